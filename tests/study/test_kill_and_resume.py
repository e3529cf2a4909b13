"""Runs killed at every step by SIGKILL: nothing half-written counts, and the end is that of an undisturbed run."""

import json
import multiprocessing
import signal
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest

from comould.study.case_file import read_case
from comould.study.case_steps import steps_of
from comould.study.fingerprint import HashCache
from comould.study.step_store import StepStore


@pytest.fixture(scope="module")
def begin(helpers):
    """Begin runs in processes of their own; what they import is imported once."""
    work = helpers("work_for_kills")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["work_for_kills"])
    with pytest.MonkeyPatch.context() as patch:
        # Before Python 3.13 the server does not know where its parent imports from.
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        forkserver.ensure_running()

    def start(case, out):
        process = context.Process(target=work.run_here, args=(case, out))
        process.start()
        return process

    return start


def finish(run):
    run.join()
    assert run.exitcode == 0


def kill_during(run, out, step, name):
    """Kill a run as soon as the step has a folder under way."""
    while run.is_alive():
        if any((out / name).glob(f".{step}.*")):
            run.kill()
            run.join()
            assert run.exitcode == -signal.SIGKILL
            return
        time.sleep(0.001)
    pytest.fail(f"{step} was over before it could be killed")


def check_whole(out, name, steps):
    """Every result that counts is whole; gives the names."""
    store = StepStore(out / name, HashCache())
    there = [step for step in steps if store.at(step).exists()]
    for step in there:
        record = store.record(step)
        assert record is not None
        assert store.damage(step, record["files"]) == []
    return there


def keys(out, name, steps):
    return {step: json.loads((out / name / step / "step.json").read_text())["key"] for step in steps}


def killed_at_every_step(begin, case, tmp_path, bits):
    """Kill runs at each step, resume, and compare with an undisturbed one."""
    found = read_case(case)
    name, steps = found.pseudonym, [step.name for step in steps_of(found)]
    finish(begin(case, tmp_path / "calm"))
    out = tmp_path / "killed"
    for number, step in enumerate(steps):
        kill_during(begin(case, out), out, step, name)
        assert check_whole(out, name, steps) == steps[:number]
    finish(begin(case, out))
    assert check_whole(out, name, steps) == steps
    assert not [path for path in (out / name).iterdir() if path.name.startswith(".") and path.is_dir()]
    calm, after = bits(tmp_path / "calm"), bits(out)
    assert set(calm) == set(after)
    assert [path for path in calm if calm[path] != after[path]] == []
    assert keys(out, name, steps) == keys(tmp_path / "calm", name, steps)
    assert "removed what a stopped run left" in (out / name / "log.txt").read_text()


def test_a_run_killed_at_every_step_ends_as_if_nothing_had_happened(begin, quick, tmp_path):
    case = quick.write_case(tmp_path / "P1", tests=None)
    killed_at_every_step(begin, case, tmp_path, quick.bits)


@pytest.mark.slow
def test_so_does_one_with_sections_and_tests(begin, tiny, tmp_path, quick):
    manifest = json.loads((tiny / "manifest.json").read_text())
    rows = [{key: value for key, value in row.items() if value is not None} for row in manifest["sections"]]
    data = {
        "pseudonym": "P1", "images": manifest["images"], "mask": manifest["mask"], "sections": rows,
        "slice_plan": manifest["slice_plan"], "habitats": {"n_habitats": 2, "stability": False}, "simulated": True,
        "registration": {"n_samples": 2, "plane": "plan", "deformable": False}, "tests": {"n_surrogates": 19},
    }  # fmt: skip
    path = Path(tiny) / "case.yaml"
    quick.save(path, data)
    killed_at_every_step(begin, path, tmp_path, quick.bits)

"""Runs killed at every step by SIGKILL: nothing half-written counts, and the end is that of an undisturbed run."""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from comould.study.case_file import read_case
from comould.study.case_steps import steps_of
from comould.study.fingerprint import HashCache
from comould.study.step_store import StepStore

RUN = """
import sys, warnings
warnings.simplefilter("ignore")
from comould.study.compute import Compute
from comould.study.study_run import RunOptions, run_study
outcome = run_study(sys.argv[1], sys.argv[2], options=RunOptions(compute=Compute(workers=0)))
sys.exit(0 if outcome.ok else 1)
"""
TIMED = {"step.json", "manifest.json", "report.html"}
"""Files that say when they were made, and how long it took."""


def begin(case, out):
    return subprocess.Popen([sys.executable, "-c", RUN, str(case), str(out)], stderr=subprocess.PIPE, text=True)


def finish(case, out):
    with begin(case, out) as run:
        said = run.communicate()[1]
        assert run.returncode == 0, said


def kill_during(case, out, step, name):
    """Begin a run and kill it as soon as the step has a folder under way."""
    with begin(case, out) as run:
        while run.poll() is None:
            if any((out / name).glob(f".{step}.*")):
                run.kill()
                run.wait()
                return
            time.sleep(0.002)
        pytest.fail(f"{step} was over before it could be killed: {run.stderr.read()}")


def check_whole(out, name, steps):
    """Every result that counts is whole; gives the names."""
    store = StepStore(out / name, HashCache())
    there = [step for step in steps if store.at(step).exists()]
    for step in there:
        record = store.record(step)
        assert record is not None
        assert store.damage(step, record["files"]) == []
    return there


def bits(out):
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in TIMED]
    kept = [path for path in files if path.name != "log.txt" and not path.name.startswith(".")]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def keys(out, name, steps):
    return {step: json.loads((out / name / step / "step.json").read_text())["key"] for step in steps}


def killed_at_every_step(case, tmp_path, loosely=()):
    """Kill runs at each step, resume, and compare with an undisturbed one."""
    found = read_case(case)
    name, steps = found.pseudonym, [step.name for step in steps_of(found)]
    finish(case, tmp_path / "calm")
    out = tmp_path / "killed"
    for number, step in enumerate(steps):
        kill_during(case, out, step, name)
        assert check_whole(out, name, steps) == steps[:number]
    finish(case, out)
    assert check_whole(out, name, steps) == steps
    assert not [path for path in (out / name).iterdir() if path.name.startswith(".") and path.is_dir()]
    calm, after = bits(tmp_path / "calm"), bits(out)
    assert set(calm) == set(after)
    different = [path for path in calm if calm[path] != after[path] and not path.endswith(loosely or "\0")]
    assert different == []
    assert keys(out, name, steps) == keys(tmp_path / "calm", name, steps)
    assert "removed what a stopped run left" in (out / name / "log.txt").read_text()


def test_a_run_killed_at_every_step_ends_as_if_nothing_had_happened(quick, tmp_path):
    case = quick.write_case(tmp_path / "P1", tests=None)
    killed_at_every_step(case, tmp_path)


@pytest.mark.slow
def test_so_does_one_with_sections_and_tests(tiny, tmp_path, quick):
    manifest = json.loads((tiny / "manifest.json").read_text())
    rows = [{key: value for key, value in row.items() if value is not None} for row in manifest["sections"]]
    data = {
        "pseudonym": "P1", "images": manifest["images"], "mask": manifest["mask"], "sections": rows,
        "slice_plan": manifest["slice_plan"], "habitats": {"n_habitats": 2, "stability": False}, "simulated": True,
        "registration": {"n_samples": 2, "plane": "plan", "deformable": False}, "tests": {"n_surrogates": 19},
    }  # fmt: skip
    path = Path(tiny) / "case.yaml"
    quick.save(path, data)
    killed_at_every_step(path, tmp_path)

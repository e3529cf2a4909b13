"""One case from file to report: what runs, why, what stays, and what a failure or a changed file does."""

import json
import shutil

import pytest
import SimpleITK as sitk

from comould.errors import InputError
from comould.study.case_file import read_case
from comould.study.pipeline import Choice, look_ahead, run_case

ALL = ("read", "habitats", "mould", "spots", "tests", "report")


@pytest.fixture(scope="module")
def finished(quick, tmp_path_factory):
    """A case that ran once; copies are cheap."""
    folder = tmp_path_factory.mktemp("finished")
    path = quick.write_case(folder / "P1")
    told = []
    outcome = run_case(read_case(path), folder / "out", progress=lambda *one: told.append(one))
    return folder, outcome, told


@pytest.fixture
def again(finished, tmp_path):
    """A copy of it: (case file, results)."""
    shutil.copytree(finished[0], tmp_path / "all")
    return tmp_path / "all" / "P1" / "case.yaml", tmp_path / "all" / "out"


def why(path, out, **choice):
    return {one.step: one.why for one in look_ahead(read_case(path), out, Choice(**choice)) if one.why}


def test_every_step_runs_once_and_is_recorded(finished):
    folder, outcome, told = finished
    assert (tuple(outcome.ran), outcome.failed, outcome.kept) == (ALL, {}, ())
    for step in ALL:
        record = json.loads((folder / "out" / "P1" / step / "step.json").read_text())
        assert record["key"]
        assert record["versions"]["comould"]
    assert told[-1] == ("", 1.0, "done")
    assert [fraction for _, fraction, _ in told] == sorted(fraction for _, fraction, _ in told)
    page = (folder / "out" / "P1" / "report" / "report.html").read_text()
    assert "hit" in page
    assert why(folder / "P1" / "case.yaml", folder / "out") == {}


def test_a_second_run_keeps_everything(again):
    path, out = again
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file() and file.name != ".lock"}
    outcome = run_case(read_case(path), out)
    assert (outcome.ran, outcome.kept) == ({}, ALL)
    before.pop(out / "P1" / ".hashes.json", None)
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())


def test_a_changed_parameter_runs_its_step_and_what_builds_on_it_and_says_so(quick, again):
    path, out = again
    quick.change(path, tests=quick.TESTS | {"fdr": 0.2})
    found = why(path, out)
    assert found["tests"] == ("parameter fdr changed from 0.1 to 0.2",)
    assert found["report"] == ("step tests is made anew",)
    assert set(found) == {"tests", "report"}


def test_a_changed_file_is_named_by_its_role(again):
    path, out = again
    mask = sitk.ReadImage(path.parent / "mask.nii.gz")
    mask[0, 0, 0] = 0
    sitk.WriteImage(mask, path.parent / "mask.nii.gz")
    found = why(path, out)
    assert found["read"] == ("mask changed",)
    # The given map and plan do not depend on the mask, but what is read comes first.
    assert set(found) == set(ALL)
    assert found["mould"] == ("step read is made anew",)


def test_changed_code_is_a_reason(again, monkeypatch):
    path, out = again
    from comould.study import fingerprint

    real = fingerprint._code
    monkeypatch.setattr(fingerprint, "_code", lambda name: "new" if name == "associate" else real(name))
    assert why(path, out)["tests"] == ("code of associate changed",)


def test_a_damaged_result_is_made_again_with_the_same_bits(again):
    path, out = again
    file = out / "P1" / "habitats" / "habitats.nii.gz"
    before = file.read_bytes()
    file.write_bytes(before[:-9])
    assert why(path, out) == {"habitats": ("result habitats.nii.gz changed",)}
    outcome = run_case(read_case(path), out)
    assert tuple(outcome.ran) == ("habitats",)
    assert file.read_bytes() == before


def test_only_and_force(again):
    path, out = again
    assert why(path, out, force=("habitats",)) == {
        "habitats": ("forced",), "tests": ("step habitats is forced",),
        "report": ("step habitats is forced", "step tests is forced"),
    }  # fmt: skip
    steps = [one.step for one in look_ahead(read_case(path), out, Choice(only=("tests",)))]
    assert steps == ["read", "habitats", "mould", "spots", "tests"]
    with pytest.raises(InputError, match="step 'x': expected one of read, habitats, mould"):
        Choice(only=("x",))


def test_a_failed_step_stops_only_what_builds_on_it_and_the_log_says_why_without_paths(quick, tmp_path):
    path = quick.write_case(tmp_path / "P1")
    (path.parent / "labels.nii.gz").rename(path.parent / "Jane_Doe.nii.gz")
    quick.change(path, habitats={"labels": "Jane_Doe.nii.gz"})
    (path.parent / "Jane_Doe.nii.gz").write_bytes(b"no image")
    outcome = run_case(read_case(path), tmp_path / "out")
    assert set(outcome.failed) == {"habitats"}
    assert outcome.waiting == ("tests", "report")
    assert set(outcome.ran) == {"read", "mould", "spots"}
    log = (tmp_path / "out" / "P1" / "log.txt").read_text()
    assert "habitats: failed: <habitat map>" in log
    assert "tests: not run, since habitats failed" in log
    for word in ("Jane", str(tmp_path)):
        assert word not in log + outcome.failed["habitats"]


def test_steps_the_case_has_no_more_are_removed(quick, again):
    path, out = again
    quick.change(path, tests=None)
    run_case(read_case(path), out)
    assert not (out / "P1" / "tests").exists()
    assert "tests: removed" in (out / "P1" / "log.txt").read_text()

"""``comould run``, ``report`` and ``init``: exit codes, one line for a mistake, reasons of a dry run."""

import json
import shutil

import pytest
import yaml
from typer.testing import CliRunner

from comould.cli.app import app
from comould.cli.run import facts, parse_size
from comould.errors import InputError
from comould.study.pipeline import CaseOutcome
from comould.study.study_run import StudyOutcome
from comould.study.study_steps import Pooled


def run(*args):
    return CliRunner().invoke(app, list(map(str, args)))


@pytest.fixture
def imaging(sound_case, tmp_path):
    """A case of imaging only, as case.yaml."""
    folder = shutil.copytree(sound_case, tmp_path / "case")
    (folder / "manifest.json").unlink()
    data = {"pseudonym": "P1", "images": {"T2": "t2.nii.gz"}, "mask": "mask.nii.gz", "slice_plan": "plan.json"}
    (folder / "case.yaml").write_text(yaml.safe_dump(data))
    return folder


def test_a_case_runs_to_its_report_and_a_second_run_has_nothing_to_do(imaging, tmp_path):
    out = tmp_path / "out"
    done = run("run", imaging, "--out", out, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "3 of 3 steps would run" in done.output
    assert not out.exists()
    done = run("run", imaging, "--out", out, "--workers", 0)
    assert done.exit_code == 0, done.output
    assert "1 of 1 done" in done.output
    assert "3 run, 0 were done before" in done.output
    assert (out / "P1" / "report" / "report.html").is_file()
    done = run("run", imaging, "--out", out, "--dry-run", "--force", "mould")
    assert "mould     forced" in done.output
    done = run("report", out)
    assert done.exit_code == 0, done.output
    assert "1 run, 2 were done before" in done.output


def test_a_failing_case_is_named_and_gives_exit_code_1(imaging, tmp_path):
    (imaging / "plan.json").write_text("{}")
    done = run("run", imaging, "--out", tmp_path / "out", "--workers", 0)
    assert done.exit_code == 1, done.output
    assert "Failed: P1" in done.output
    assert "mould: slice plan: expected" in done.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nowhere",), "case nowhere: expected a case.yaml"),
        (("CASE", "--only", "dance"), "step 'dance': expected one of read, habitats, mould"),
        (("CASE", "--memory", "lots"), "--memory: expected a size such as 12G"),
        (("CASE", "--workers", "-1"), "workers -1 is below 0"),
        (("CASE", "--scheduler", "here"), "is no address such as tcp"),
        (("CASE", "--threads", "0"), "threads: expected 1 or more"),
        (("CASE", "--out", "CASE"), "other files in it"),
    ],
)
def test_what_cannot_start_is_one_line_and_exit_code_2(imaging, args, said):
    done = run("run", *(imaging if arg == "CASE" else arg for arg in args))
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.split())
    assert done.output.count("Error:") == 1


def test_mistakes_in_the_file_come_with_their_lines(imaging):
    (imaging / "case.yaml").write_text("pseudonym: P1\nimages: {T2: t2.nii.gz}\nmask: no.nii\nseeed: 1\n")
    done = run("run", imaging)
    assert done.exit_code == 2
    text = " ".join(done.output.split())
    assert "line 3: mask 'no.nii' does not exist; line 4: seeed is no key here; did you mean seed?" in text


def test_a_report_of_unfinished_steps_is_refused(imaging, tmp_path):
    done = run("report", imaging, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "P1 read: never run" in " ".join(done.output.split())


def test_init_writes_an_example_once(tmp_path):
    for option, name in (((), "case.yaml"), (("--study",), "study.yaml")):
        done = run("init", tmp_path / "new", *option)
        assert done.exit_code == 0, done.output
        assert yaml.safe_load((tmp_path / "new" / name).read_text())
        again = run("init", tmp_path / "new", *option)
        assert again.exit_code == 2
        assert "expected no file there yet" in " ".join(again.output.split())
    assert "DIR: expected a folder" in run("init").output


def test_init_prints_the_schema():
    for option, title in (((), "comould case"), (("--study",), "comould study")):
        done = run("init", "--schema", *option)
        assert json.loads(done.output)["title"] == title


def test_sizes_are_read():
    assert [parse_size(text) for text in ("12G", "1.5 GiB", "800M", "7")] == [12 << 30, 3 << 29, 800 << 20, 7]
    with pytest.raises(InputError, match="--memory"):
        parse_size("0G")


def test_the_summary_names_what_failed(tmp_path):
    cases = (CaseOutcome("A", {"read": 1.0}), CaseOutcome("B", failed={"mould": "too thin"}, waiting=("report",)))
    rows = facts(StudyOutcome(tmp_path, cases, Pooled(1, failed="too few"), None))
    assert ("Cases", "1 of 2 done") in rows
    assert ("Failed: B", "mould: too thin") in rows
    assert ("Cohort", "not pooled: too few") in rows

"""``comould register``: options reach the registration, exit codes say what happened, mistakes take one line each."""

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from comould.cli.app import app
from comould.cli.register import summary
from comould.study import register_case
from comould.study.register_case import RegisterResult
from comould.study.register_options import RegisterOptions


def run(*args):
    return CliRunner().invoke(app, ["register", *map(str, args)])


def result_of(folder, verdicts=("accept", "review"), **changes):
    table = pd.DataFrame({"verdict": verdicts}, index=pd.Index([f"S{n}" for n in range(len(verdicts))], name="section"))
    facts = {"n_spots": 120, "not_mapped": (), "errors": None} | changes
    return RegisterResult(Path(folder).resolve(), table, **facts)


@pytest.fixture
def called(monkeypatch):
    """Stand in for the registration; what it was called with is kept."""
    kept = {}

    def stand_in(case, out, *, options, overwrite, progress):
        kept.update(case=case, out=out, options=options, overwrite=overwrite)
        for step in register_case.STEPS:
            progress(step, 0.0, "")
            progress(step, 0.5, "1 of 2: [red]S1[/]")
            progress(step, 1.0, "")
        Path(out).mkdir(exist_ok=True)
        (Path(out) / "report.html").touch()
        return kept.get("answer") or result_of(out)

    monkeypatch.setattr(register_case, "run_registration", stand_in)
    return kept


def test_a_case_file_says_how_and_what_is_typed_goes_before(called, sound_case, tmp_path):
    folder = shutil.copytree(sound_case, tmp_path / "case")
    (folder / "manifest.json").unlink()
    data = {
        "pseudonym": "P1", "images": {"T2": "t2.nii.gz"}, "mask": "mask.nii.gz", "slice_plan": "plan.json", "seed": 7,
        "registration": {"n_samples": 2, "plane": "plan", "shrinkage": [0.8, 1.0], "deformable": False},
    }  # fmt: skip
    (folder / "case.yaml").write_text(yaml.safe_dump(data))
    for case in (folder, folder / "case.yaml"):
        done = run(case, "--out", tmp_path / "out", "--plane", "fit", "--samples", 8, "--overwrite")
        assert done.exit_code == 0, done.output
        assert called["options"] == RegisterOptions(8, 7, 1, (0.8, 1.0), "fit", deformable=False)


def test_options_reach_the_registration(called, tmp_path):
    done = run(
        "case", "--out", tmp_path / "out", "--samples", 3, "--seed", 5, "--workers", 2, "--shrinkage", 0.8, 1.05,
        "--plane", "test", "--thresholds", "t.yaml", "--no-deformable", "--via", "photo", "--via", "adjacent",
        "--force", "--overwrite",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert called["options"] == RegisterOptions(
        3, 5, 2, (0.8, 1.05), "test", False, Path("t.yaml"), ("photo", "adjacent"), True
    )
    assert (called["case"], called["out"], called["overwrite"]) == (Path("case"), tmp_path / "out", True)
    assert "1 accepted, 1 to review" in done.output
    assert "report.html" in done.output
    assert "case.zarr" not in done.output


def test_defaults_are_those_of_the_options(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("case").exit_code == 0
    assert called["options"] == RegisterOptions()
    assert called["out"] == Path("comould_registered")
    (tmp_path / "comould_registered").mkdir(exist_ok=True)
    assert run("case").exit_code == 0
    assert called["out"] == Path("comould_registered-2")


def test_a_rejected_section_is_exit_code_3_and_said(called, tmp_path):
    reasons = {"S1": ("the map folds 2% of the tissue", "[bold]overlap[/] 0.3")}
    called["answer"] = result_of(tmp_path, ("accept", "reject"), not_mapped=("S1",), reasons=reasons)
    done = run("case", "--out", tmp_path / "out")
    assert done.exit_code == 3
    assert "1 accepted, 1 rejected" in done.output
    assert "those of S1 left out, as rejected" in done.output
    assert "S1: the map folds 2% of the tissue; [bold]overlap[/] 0.3" in done.output


def test_what_to_look_at_is_named_with_its_reasons(tmp_path):
    reasons = {"S1": ("another face or turn fits nearly as well (lead 2%)",)}
    rows = summary(result_of(tmp_path, ("accept", "review", "reject"), reasons=reasons))
    assert rows[0] == ("Sections", "1 accepted, 1 to review, 1 rejected")
    assert ("To review", "S1: another face or turn fits nearly as well (lead 2%)") in rows
    assert ("Rejected", "S2: the report says why") in rows


def test_facts_and_files_stand_in_one_column(called, tmp_path):
    done = run("case", "--out", tmp_path / "out")
    lines = done.stdout.splitlines()
    starts = {line.split(maxsplit=1)[0]: len(line) - len(line.split("  ", 1)[1].lstrip()) for line in lines}
    assert {"Sections", "Report", "Everything"} <= set(starts)
    assert len(set(starts.values())) == 1


def test_errors_are_said_beside_nothing_done(tmp_path):
    errors = pd.DataFrame({"section": ["S0"] * 3, "error_mm": [0.1, 0.3, 0.5], "nothing_mm": [4.0, 6.0, 8.0]})
    rows = dict(summary(result_of(tmp_path, errors=errors)))
    assert rows["Against truth"] == "median 0.30 mm, 95 % within 0.48 mm (doing nothing: 6.0 mm)"
    assert "Spots mapped" not in dict(summary(result_of(tmp_path, n_spots=0)))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "no such folder"),
        (["."], "no manifest.json in it"),
        ([".", "--samples", "-1"], "n_samples -1 is below 0"),
        ([".", "--shrinkage", "2", "1"], "shrinkage: expected two rising ratios"),
        ([".", "--thresholds", "none.yaml"], "thresholds file none.yaml"),
    ],
)
def test_mistakes_take_one_line_and_exit_2(args, said, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = run(*args, "--out", tmp_path / "out")
    assert done.exit_code == 2
    (line,) = [text for text in done.stderr.splitlines() if "Error:" in text]
    assert said in line
    assert not (tmp_path / "out").exists()


def test_all_mistakes_of_a_case_are_told_at_once(tmp_path):
    row = {"id": "S1", "picture": "../x.png", "pixel_size_um": -1, "plane_id": "P1"}
    data = {"images": {"T2": "t2.nii"}, "mask": "m.nii", "slice_plan": "p.json", "sections": [row]}
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    done = run(tmp_path, "--out", tmp_path.with_name("out"))
    assert done.exit_code == 2
    assert "5 problems" in done.stderr
    for text in ("t2.nii", "m.nii", "p.json", "../x.png", "pixel_size_um -1"):
        assert text in done.stderr


def test_help_describes_the_case_and_loads_nothing_heavy():
    heavy = ("itk", "SimpleITK", "scanpy", "squidpy", "anndata", "pandas", "matplotlib", "spatialdata")
    code = (
        "import sys; from typer.testing import CliRunner; from comould.cli.app import app; "
        "done = CliRunner().invoke(app, ['register', '--help']); "
        f"print(done.exit_code, [m for m in {heavy} if m in sys.modules]); print(done.output)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, _, text = done.stdout.partition("\n")
    assert first == "0 []"
    for word in ("manifest.json", "slice_plan", "pixel_size_um", "landmarks_patient", "via", "--no-deformable"):
        assert word in text


def test_help_breaks_lines_where_the_terminal_ends(monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    text = run("--help").output
    lines = text[: text.index("Arguments")].splitlines()
    for first, second in pairwise(lines):
        if second.strip() and first.strip():
            # The next word would not have fitted.
            assert len(first.rstrip()) + len(second.split()[0]) + 1 > 66

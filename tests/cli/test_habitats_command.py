"""``comould habitats``: options reach the run, mistakes take one line each, nothing heavy is loaded for help."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner

from comould.cli.app import app
from comould.cli.habitats import parse_images, parse_number, parse_pairs, summary
from comould.errors import InputError
from comould.study import HabitatOptions, habitats_case


def run(*args):
    return CliRunner().invoke(app, ["habitats", *map(str, args)])


def result_of(folder, **changes):
    table = pd.DataFrame(
        {"volume_ml": [12.0, 4.0], "fraction": [0.75, 0.25], "T2_mean": [100.0, 250.0]}, index=["H1", "H2"]
    )
    habitats = SimpleNamespace(table=table, parameters={"images": ["T2"]})
    stability = SimpleNamespace(
        habitats=pd.DataFrame({"dice_mean": [0.97, 0.91]}, index=["H1", "H2"]),
        table=pd.DataFrame({"rand_index": [0.9, 0.8, 0.4]}),
    )
    features = SimpleNamespace(table=pd.DataFrame({"kept": [True, False]}))
    parts = {
        "folder": Path(folder).resolve(), "habitats": habitats, "measures": pd.Series({"ith_score": 0.3}),
        "left_out": ("T2/glcm.contrast",), "features": features, "stability": stability,
    }  # fmt: skip
    return SimpleNamespace(**(parts | changes))


@pytest.fixture
def called(monkeypatch):
    """Stand in for the run; what it was called with is kept."""
    kept = {}

    def stand_in(images, mask, out, *, roi, options, overwrite, progress):
        kept.update(images=images, mask=mask, out=out, roi=roi, options=options, overwrite=overwrite)
        for step in habitats_case.STEPS:
            progress(step, 0.0, "")
            progress(step, 0.5, "noise [red]1[/]")
            progress(step, 1.0, "")
        Path(out).mkdir(exist_ok=True)
        (Path(out) / "report.html").touch()
        return kept.get("answer") or result_of(out)

    monkeypatch.setattr(habitats_case, "run_habitats", stand_in)
    return kept


def test_options_reach_the_run(called, tmp_path):
    done = run(
        "T2=a/t2", "ADC=adc.nii.gz", "--mask", "m.dcm", "--roi", "GTV", "--out", tmp_path / "out", "--habitats", 4,
        "--method", "fcm", "--rule", "gap", "--feature", "firstorder", "--feature", "glcm.contrast", "--radius-mm", 3,
        "--supervoxel-mm", 5, "--prepare", "ADC=adc", "--prepare", "T2=n4+zscore", "--model", "m.json",
        "--dicom-seg", "series", "--no-stability", "--least-icc", 0.6, "--seed", 7, "--overwrite",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert called["images"] == {"T2": Path("a/t2"), "ADC": Path("adc.nii.gz")}
    assert (called["mask"], called["roi"], called["overwrite"]) == (Path("m.dcm"), "GTV", True)
    assert called["options"] == HabitatOptions(
        4, 4, "fcm", "gap", ("firstorder", "glcm.contrast"), 3.0, supervoxel_mm=5.0, seed=7,
        prepare={"ADC": "adc", "T2": "n4+zscore"}, stability=False, least_icc=0.6, model=Path("m.json"),
        dicom_seg=Path("series"),
    )  # fmt: skip
    assert "report.html" in done.output
    assert "habitats.dcm" not in done.output


def test_defaults_are_those_of_the_options(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("t2.nii.gz", "--mask", "m.nii.gz").exit_code == 0
    assert called["options"] == HabitatOptions()
    assert called["images"] == {"image1": Path("t2.nii.gz")}
    assert called["out"] == Path("comould_habitats")


def test_the_result_is_told_in_words(called, tmp_path):
    done = run("T2=x", "--mask", "m", "--out", tmp_path / "out")
    assert "Found again" in done.output
    assert "75 %" in done.output
    facts = dict(summary(result_of(tmp_path)))
    assert facts["ITH score"] == "0.30 (0: each habitat one piece, 1: crumbs)"
    assert facts["Measured again"] == "Rand index 0.80, at worst 0.40, in 3 ways"
    assert facts["Features"] == "1 of 2 hold still; left out: T2/glcm.contrast"
    assert list(dict(summary(result_of(tmp_path, features=None, stability=None)))) == ["ITH score"]


@pytest.mark.parametrize(
    ("text", "expected"), [("3", (3, 3)), ("auto", (None, 6)), ("AUTO:9", (None, 9)), (" 12 ", (12, 12))]
)
def test_numbers_of_habitats(text, expected):
    assert parse_number(text) == expected


@pytest.mark.parametrize("text", ["", "many", "auto:", "auto:x", "-3", "2.5"])
def test_numbers_that_are_none(text):
    if text == "auto:":
        assert parse_number(text) == (None, 6)
        return
    with pytest.raises(InputError, match="--habitats: expected a whole number, auto, or auto:MOST"):
        parse_number(text)


def test_images_and_pairs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.nii").touch()
    assert parse_images(["x.nii", "T2=y", "a=b.nii"]) == {
        "image1": Path("x.nii"), "T2": Path("y"), "image3": Path("a=b.nii")
    }  # fmt: skip
    for bad in (["T2=a", "T2=b"], ["=a"], ["T2="], ["a/b=c"]):
        with pytest.raises(InputError, match="NAME=PATH with a name of its own"):
            parse_images(bad)
    assert parse_pairs(["ADC=adc"], "--prepare") == {"ADC": "adc"}
    for bad in (["ADC"], ["=adc"], ["ADC="], ["A=x", "A=y"]):
        with pytest.raises(InputError, match=r"--prepare .*: expected NAME=STEPS, each name once"):
            parse_pairs(bad, "--prepare")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("T2=nowhere", "--mask", "m.nii.gz"), "nowhere: expected a DICOM folder or file"),
        (("T2=x", "--mask", "m", "--habitats", "1"), "n_habitats 1 is not between 2 and 20"),
        (("T2=x", "--mask", "m", "--radius-mm", "-1"), "radius_mm -1.0 is not a positive length"),
        (("T2=x", "--mask", "m", "--prepare", "T2=blur"), "preparation 'blur' of T2"),
        (("T2=x", "--mask", "m", "--model", "none.json"), "habitat model none.json: expected a file"),
        (("T2=x", "T2=y", "--mask", "m"), "a name given twice"),
    ],
)
def test_mistakes_take_one_line_and_exit_2(tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    done = run(*args)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert "Traceback" not in done.output
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_files_is_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("x")
    done = run("T2=x", "--mask", "m", "--out", tmp_path / "out", "--overwrite")
    assert done.exit_code == 2
    assert "other files, which overwriting would delete" in " ".join(done.output.split())
    assert (tmp_path / "out" / "thesis.txt").exists()


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom comould.cli.app import app\n"
        "r = CliRunner().invoke(app, ['habitats', '--help'])\n"
        "assert r.exit_code == 0 and 'IMAGE' in r.output\n"
        "sys.exit(str({'SimpleITK', 'sklearn', 'scanpy', 'itk', 'matplotlib', 'numba'} & set(sys.modules)) != 'set()')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

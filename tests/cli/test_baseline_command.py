"""cli/baseline.py, study/baseline_case.py: a table in, numbers and a picture out, one line for every mistake."""

import json

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from comould.baseline import Columns
from comould.cli.app import app
from comould.errors import InputError
from comould.study.baseline_case import features_named, read_study, region_table

QUICK = ("--folds", 3, "--repeats", 1, "--permutations", 2)


def run(*args):
    return CliRunner().invoke(app, ["baseline", *(str(arg) for arg in args)])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Radiomics know nothing, habitats know the outcome."""
    rng = np.random.default_rng(3)
    event = np.arange(60) % 2
    rows = pd.DataFrame(rng.normal(size=(60, 3)), columns=["T2.mean", "T2.sd", "hab.H1"])
    rows["hab.H1"] += 2 * event
    rows = rows.assign(HRD=np.where(event == 1, "yes", "no"), pt=[f"secret{k}" for k in range(60)],
                       site=np.array(list("NNSS") * 15))  # fmt: skip
    path = tmp_path_factory.mktemp("study") / "study.csv"
    rows.to_csv(path, index=False)
    return path


def test_sets_are_compared_and_everything_is_written(table, tmp_path):
    done = run(table, "--outcome", "HRD", "--positive", "yes", "--patient", "pt", "--centre", "site",
               "--features", "radiomics=T2.*", "--features", "with habitats=T2.*,hab.*", "--out", tmp_path / "o",
               *QUICK)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "with habitats" in done.output
    compared = pd.read_csv(tmp_path / "o" / "comparison.csv").set_index(["features", "metric"])
    assert compared.loc[("with habitats", "auc"), "difference_low"] > 0
    assert pd.read_csv(tmp_path / "o" / "metrics.csv")["features"].unique().tolist() == ["radiomics", "with habitats"]
    assert pd.read_csv(tmp_path / "o" / "centres.csv")["centre"].tolist() == ["N", "S", "all"] * 2
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    assert manifest["sets"]["radiomics"]["n_features"] == 2
    assert (tmp_path / "o" / "baseline.png").stat().st_size > 5000
    written = "".join(file.read_text() for file in (tmp_path / "o").iterdir() if file.suffix in {".csv", ".json"})
    assert "secret" not in written


def test_one_set_of_all_numbers(table, tmp_path):
    done = run(table, "--outcome", "T2.sd", "--patient", "pt", "--out", tmp_path / "o", "--folds", 3, "--repeats", 1,
               "--permutations", 0)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "R²" in done.output
    assert "Riley" in done.output
    assert not (tmp_path / "o" / "comparison.csv").exists()
    assert pd.read_csv(tmp_path / "o" / "predictions.csv")["row"].tolist() == list(range(60))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--outcome", "none"), "no column 'none'"),
        (("--outcome", "HRD"), "Say which of two words is the event"),
        (("--outcome", "HRD", "--positive", "yes", "--features", "CT.*"), "none that 'CT.*' names"),
        (("--outcome", "HRD", "--features", "a=T2.*", "--features", "a=hab.*"), "each name once"),
        (("--outcome", "HRD", "--positive", "yes", "--folds", 1), "folds and inner_folds must be 2 or more"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(table, tmp_path, args, said):
    done = run(table, "--patient", "pt", "--out", tmp_path / "o", *args)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert not (tmp_path / "o").exists()


def test_tables_of_three_kinds_are_read(table, tmp_path):
    rows = read_study(table)
    rows.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    rows.to_parquet(tmp_path / "t.parquet")
    for name in ("t.tsv", "t.parquet"):
        pd.testing.assert_frame_equal(read_study(tmp_path / name), rows, check_dtype=False)
    with pytest.raises(InputError, match="a CSV, TSV or parquet file"):
        read_study(tmp_path / "missing.csv")


def test_features_never_hold_what_they_shall_predict():
    table = pd.DataFrame({"y": [0, 1], "pt": [1, 2], "x1": [0.1, 0.2], "x2": [1, 2], "word": ["a", "b"]})
    assert features_named(table, [], Columns("y", "pt")) == ["x1", "x2"]
    assert features_named(table, ["*"], Columns("y", "pt", shortcuts=("word",))) == ["x1", "x2"]


def test_cases_become_a_table():
    rng = np.random.default_rng(0)
    mask = np.zeros((6, 6, 6), np.uint8)
    mask[1:5, 1:5, 1:5] = 1
    cases = {
        name: ({"T2": sitk.GetImageFromArray(rng.normal(level, 1, (6, 6, 6)))}, sitk.GetImageFromArray(mask))
        for name, level in (("P1", 5.0), ("P2", 9.0))
    }
    table = region_table(cases, features=["firstorder.mean"])
    assert table.index.tolist() == ["P1", "P2"]
    assert table.columns.tolist() == ["T2.firstorder.mean"]
    inside = sitk.GetArrayFromImage(cases["P2"][0]["T2"])[mask == 1].mean()
    assert table.loc["P2", "T2.firstorder.mean"] == pytest.approx(inside)
    several = region_table(cases, features=["glcm.joint_entropy"], aggregation=["3D, merged", "3D, averaged"])
    assert several.columns.tolist() == ["T2.glcm.joint_entropy.3D_merged", "T2.glcm.joint_entropy.3D_averaged"]
    odd = cases | {"P3": ({"CT": cases["P1"][0]["T2"]}, cases["P1"][1])}
    with pytest.raises(InputError, match="the same images in each"):
        region_table(odd, features=["firstorder.mean"])
    with pytest.raises(InputError, match="one or more"):
        region_table({})

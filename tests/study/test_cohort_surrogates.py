"""Centres that send surrogates pool chance as if all their patients lay in one place."""

import json
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from comould import associate
from comould.associate.cohort.effects import patient_effects
from comould.associate.cohort.exchange import surrogate_p, surrogate_sums
from comould.cli.app import app
from comould.errors import InputError
from comould.study.cohort_surrogates import surrogates_of

OPTIONS = {"null": "variogram", "n_surrogates": 39, "statistic": "pearson", "covariates": [], "layer": ""}
GENES = ["own", "none"]


def write_patient(folder, seed):
    """Result of a test, as comould associate leaves it: gene ``own`` follows H1."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(14.0), np.arange(14.0)))
    inside = np.sin(x / 2.2 + seed) + np.cos(y / 2.2 - seed) > 0
    level = np.column_stack([0.5 * inside, 0 * x, *(np.zeros((6, x.size)))])
    spots = ad.AnnData(
        rng.poisson(6 * np.exp(level)).astype(np.float32),
        pd.DataFrame({"section": "S", "habitat": np.where(inside, "H1", "H2")}, index=[f"s{n}" for n in range(x.size)]),
        pd.DataFrame(index=[*GENES, *(f"g{n}" for n in range(6))]),
    )
    spots.obsm["spatial_patient"] = np.column_stack([x, y, 0 * x])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = associate.test(spots, n_surrogates=39, seed=seed, statistic="pearson")
    table.to_csv(folder / "associations.csv", index=False)
    spots.write_h5ad(folder / "spots.h5ad")
    told = {"options": OPTIONS | {"seed": seed, "genesets": ["a GMT file"]}}
    (folder / "manifest.json").write_text(json.dumps({"provenance": {"parameters": told}}))


@pytest.fixture(scope="module")
def centres(tmp_path_factory):
    base = tmp_path_factory.mktemp("centres")
    for number in range(6):
        write_patient(base / ("north" if number < 3 else "south") / f"P{number}", number)
    return base


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.mark.filterwarnings("ignore")
def test_pooled_p_values_are_those_of_all_patients_together(centres, tmp_path):
    for name in ("north", "south"):
        more = ("--export", f"{name}={tmp_path / name}.json", "--surrogates", "own", "--surrogates", "none")
        patients = sorted((centres / name).iterdir())
        done = run("cohort", *patients, "--min-patients", 3, "--out", tmp_path / name, *more)
        assert done.exit_code == 0, done.output
    done = run("combine", tmp_path / "north.json", tmp_path / "south.json", "--out", tmp_path / "both")
    assert done.exit_code == 0, done.output
    found = pd.read_csv(tmp_path / "both" / "cohort.csv").set_index(["kind", "feature", "habitat"])["p_surrogate"]
    files = {path.parent.name: path for path in sorted(centres.glob("*/*/associations.csv"))}
    patients = patient_effects({name: pd.read_csv(path) for name, path in files.items()})
    every = np.arange(len(patients.rows))
    chosen, observed, sums = surrogate_sums(patients, every, surrogates_of(files, GENES))
    truth = pd.Series(surrogate_p(observed, sums), patients.rows[chosen])
    assert found[truth.index].to_numpy() == pytest.approx(truth.to_numpy())
    assert found[("gene", "own", "H1")] == pytest.approx(1 / 40)
    assert found[("gene", "none", "H1")] > found[("gene", "own", "H1")]
    assert np.isnan(found[("gene", "g0", "H1")])
    page = (tmp_path / "both" / "report.html").read_text()
    assert "p of surrogates" in page
    assert "without north" in page


def test_what_cannot_be_made_again_is_said(centres, tmp_path):
    files = {"P0": centres / "north" / "P0" / "associations.csv"}
    with pytest.raises(InputError, match="found NOBODY"):
        surrogates_of(files, ["own", "NOBODY"])
    (tmp_path / "P").mkdir()
    with pytest.raises(InputError, match=r"P1: no spots\.h5ad and no manifest\.json beside its table"):
        surrogates_of(files | {"P1": tmp_path / "P" / "associations.csv"}, ["own"])
    (tmp_path / "P" / "spots.h5ad").touch()
    (tmp_path / "P" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="does not say how it was tested"):
        surrogates_of({"P1": tmp_path / "P" / "associations.csv"}, ["own"])
    done = run("cohort", centres / "north" / "P0", "--surrogates", "own", "--out", tmp_path / "o")
    assert done.exit_code == 2
    assert "--export" in done.output

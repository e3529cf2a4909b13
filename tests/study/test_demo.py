"""The whole loop as ``comould demo`` runs it: one run, looked at from many sides."""

import json
import re
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from comould.cli.demo import next_free, summary
from comould.errors import ComouldWarning, InputError
from comould.register import SectionRegistration
from comould.space import SlicePlan
from comould.study.demo import STEPS, run_demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    steps = []
    out = tmp_path_factory.mktemp("demo") / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)  # planes snapped to slices, spots beyond the mask: all told
        result = run_demo(out, seed=1, progress=lambda step, fraction: steps.append((step, fraction)))
    return result, steps


def test_everything_is_written_and_nothing_else_is_left(demo):
    result, _ = demo
    names = {path.name for path in result.folder.iterdir()}
    assert names == {
        "associations.csv",
        "case.zarr",
        "controls.csv",
        "habitats",
        "manifest.json",
        "mould",
        "registrations",
        "report.html",
        "shift_curve.csv",
        "cutting_sheet.pdf",
        "cores.csv",
        "spot_errors.csv",
        "spots.h5ad",
    }
    assert [path.name for path in result.folder.parent.iterdir()] == ["out"]


def test_progress_names_every_step_from_start_to_end(demo):
    _, steps = demo
    assert list(dict.fromkeys(name for name, _ in steps)) == list(STEPS)
    for name in STEPS:
        fractions = [fraction for step, fraction in steps if step == name]
        assert fractions[0] == 0.0
        assert fractions[-1] == 1.0
        assert fractions == sorted(fractions)


def test_spots_come_home(demo):
    result, _ = demo
    figures = result.figures
    assert figures["median_error_mm"] <= 1.0
    assert figures["median_error_mm"] < 0.2 * figures["median_error_nothing_mm"]
    assert figures["verdicts"].get("reject", 0) == 0
    errors = pd.read_csv(result.folder / "spot_errors.csv")
    assert len(errors) == figures["n_spots"]
    assert errors["error_mm"].median() == pytest.approx(figures["median_error_mm"], rel=1e-6)


def test_the_spatial_test_claims_what_is_there_and_little_else(demo):
    spatial, naive = demo[0].figures["genes_spatial"], demo[0].figures["genes_naive"]
    assert spatial["claimed"] - spatial["false"] >= 0.8 * spatial["true"]
    assert spatial["false"] < 0.2 * naive["false"]
    assert naive["false"] > naive["claimed"] / 2


def test_claims_are_lost_when_displaced_and_controls_are_null(demo):
    figures = demo[0].figures
    assert 2 < figures["lost_mm"] < 12
    assert figures["controls"]["wrong plane"] == figures["controls"]["mirrored map"] == "null"
    curve = pd.read_csv(demo[0].folder / "shift_curve.csv").query("along == 'plane'")
    mean = curve.groupby(["feature", "habitat", "distance_mm"])["effect"].mean().abs()
    for _, one in mean.groupby(level=[0, 1]):
        assert one.iloc[0] == one.max() > 3 * one.iloc[-1]


def test_spots_carry_position_uncertainty_and_habitat(demo):
    spots = ad.read_h5ad(demo[0].folder / "spots.h5ad")
    assert spots.obsm["spatial"].shape == (spots.n_obs, 2)
    assert spots.obsm["spatial_patient"].shape == (spots.n_obs, 3)
    assert np.all(spots.obsm["spatial_patient_sd"] > 0)
    assert set(spots.obs["habitat"].dropna()) <= {f"H{n}" for n in range(1, 10)}
    assert spots.obs_names.is_unique


def test_plan_and_registrations_read_back(demo):
    folder = demo[0].folder
    plan = SlicePlan.load(folder / "mould" / "manifest.json")
    saved = sorted((folder / "registrations").iterdir())
    assert len(saved) == demo[0].figures["n_sections"]
    for path in saved:
        registration = SectionRegistration.load(path)
        plane, pose = plan[registration.plane_id], registration.quality.pose
        if pose is not None and pose.applied:
            plane = pose.plane(plane)
        home = registration.patient_from_section_px.apply([[100.0, 200.0], [300.0, 50.0]])
        assert np.abs(plane.distance_mm(home)).max() < 1e-6


def test_manifest_says_how_and_names_nobody(demo):
    text = (demo[0].folder / "manifest.json").read_text()
    manifest = json.loads(text)
    assert manifest["kind"] == "demo"
    assert manifest["provenance"]["seed"] == 1
    assert set(manifest["figures"]["seconds"]) == set(STEPS)
    assert str(demo[0].folder.parent) not in text


def test_report_is_one_file_that_needs_nothing(demo):
    page = demo[0].report.read_text(encoding="utf-8")
    assert "Content-Security-Policy" in page
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    assert len(page) < 15e6


def test_occupied_folder_and_bad_seed_are_refused_at_once(demo):
    with pytest.raises(InputError, match="files in it"):
        run_demo(demo[0].folder)
    with pytest.raises(InputError, match="seed"):
        run_demo(demo[0].folder.parent / "new", seed=-1)
    assert not (demo[0].folder.parent / "new").exists()


def test_next_free_name(tmp_path):
    assert next_free(tmp_path / "demo") == tmp_path / "demo"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo-2").mkdir()
    assert next_free(tmp_path / "demo") == tmp_path / "demo-3"


def test_summary_gives_every_number_a_word(demo):
    rows = dict(summary(demo[0].figures))
    assert set(rows) == {"Spots home", "Sections", "Habitats", "Genes claimed", "Looked at again"}
    assert f"lost at {demo[0].figures['lost_mm']:.1f} mm; 2 of 2 controls null" in rows["Looked at again"]
    assert f"{demo[0].figures['median_error_mm']:.2f} mm" in rows["Spots home"]

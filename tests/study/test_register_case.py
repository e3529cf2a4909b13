"""A case registered from folder to folder, once, and looked at from many sides."""

import json
import shutil
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import comould.register
from comould import phantom
from comould.errors import ComouldWarning, InputError
from comould.io import read_spatialdata
from comould.register import SectionRegistration, Stack
from comould.study import RegisterOptions, run_registration
from comould.study.register_case import STEPS

QUICK = {"n_samples": 2, "plane": "plan", "deformable": False, "seed": 4}


def run(case, out, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        return run_registration(case, out, options=RegisterOptions(**(QUICK | options)))


@pytest.fixture(scope="module")
def done(tiny, worker, tmp_path_factory):
    steps = []
    out = tmp_path_factory.mktemp("registered") / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        result = run_registration(
            tiny, out, options=RegisterOptions(**QUICK), progress=lambda *told: steps.append(told)
        )
    return result, steps


def test_everything_is_written_and_nothing_else_is_left(done):
    folder = done[0].folder
    assert {path.name for path in folder.iterdir()} == {
        "case.zarr", "manifest.json", "registration.csv", "registrations", "report.html", "spot_errors.csv", "spots",
    }  # fmt: skip
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_a_scrap_is_rejected_and_its_spots_are_left_out(done):
    result, _ = done
    (rejected,) = result.rejected
    assert result.not_mapped == (rejected,)
    assert not (result.folder / "spots" / f"{rejected}.h5ad").exists()
    assert (result.folder / "registrations" / rejected / "registration.json").is_file()
    table = pd.read_csv(result.folder / "registration.csv", index_col="section")
    assert table.loc[rejected, "verdict"] == "reject"
    assert table.loc[rejected, "reasons"] == "; ".join(result.reasons[rejected])
    assert "below" in table.loc[rejected, "reasons"]
    assert json.loads((result.folder / "manifest.json").read_text())["spots_not_mapped"] == [rejected]


def test_spots_come_home_and_the_errors_are_those_of_the_score(done, tiny):
    result, _ = done
    spots = [ad.read_h5ad(path) for path in sorted((result.folder / "spots").iterdir())]
    assert sum(len(one) for one in spots) == result.n_spots == len(result.errors)
    for one in spots:
        assert one.obsm["spatial_patient"].shape == one.obsm["spatial_patient_sd"].shape == (one.n_obs, 3)
    home = pd.concat(
        pd.DataFrame(one.obsm["spatial_patient"], one.obs_names, ["x_mm", "y_mm", "z_mm"]) for one in spots
    )
    assert phantom.score(tiny, home).median_mm == pytest.approx(result.errors["error_mm"].median())
    assert result.errors["error_mm"].mean() < 0.3 * result.errors["nothing_mm"].mean()


def test_plausible_positions_of_the_ensemble_go_with_the_spots(done):
    result, _ = done
    for path in (result.folder / "spots").iterdir():
        spots = ad.read_h5ad(path)
        samples = spots.obsm["spatial_patient_samples"]
        one = SectionRegistration.load(result.folder / "registrations" / path.stem)
        np.testing.assert_allclose(samples, one.plausible_points(spots.obsm["spatial"]).transpose(1, 0, 2))
        apart = np.linalg.norm(samples - spots.obsm["spatial_patient"][:, None], axis=2)
        assert 0 < apart.max() < 15
    (stored, *_) = read_spatialdata(result.folder / "case.zarr").spots
    assert stored.obsm["spatial_patient_samples"].shape == (stored.n_obs, 2, 3)


def test_saved_registrations_give_the_same_positions(done):
    result, _ = done
    for path in (result.folder / "spots").iterdir():
        spots = ad.read_h5ad(path)
        one = SectionRegistration.load(result.folder / "registrations" / path.stem)
        position, sd = one.map_points(spots.obsm["spatial"])
        np.testing.assert_allclose(position, spots.obsm["spatial_patient"], atol=1e-9)
        np.testing.assert_allclose(sd, spots.obsm["spatial_patient_sd"], atol=1e-9)


def test_the_store_holds_the_case(done):
    result, _ = done
    case = read_spatialdata(result.folder / "case.zarr")
    assert set(case.volumes) == {"T2", "ADC"}
    assert set(case.labels) == {"specimen"}
    assert len(case.sections) == 2
    assert set(case.patient_from_section_px) == set(result.table.index) - set(result.rejected)
    assert sum(len(one) for one in case.spots) == result.n_spots


def test_manifest_says_how_and_from_what(done, tiny):
    result, _ = done
    text = (result.folder / "manifest.json").read_text()
    manifest = json.loads(text)
    origin = manifest["provenance"]
    assert origin["seed"] == 4
    assert origin["parameters"]["plane"] == "plan"
    assert {"image T2", "image ADC", "mask", "slice_plan"} < set(origin["inputs"])
    assert all(len(one["sha256"]) == 64 for one in origin["inputs"].values())
    assert str(tiny) not in text
    assert set(manifest["sections"]) == set(result.table.index)


def test_report_shows_every_section_and_needs_nothing(done):
    result, _ = done
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert "Content-Security-Policy" in page
    assert "http" not in page.split("</style>")[1].replace("http-equiv", "").split("base64")[0]
    for number in (1, 2):
        assert f'href="#section-{number}"' in page
        assert f'id="section-{number}"' in page
    assert "Rejected" in page


def test_progress_names_every_step_and_section(done):
    _, steps = done
    assert list(dict.fromkeys(name for name, _, _ in steps)) == list(STEPS)
    notes = [note for name, _, note in steps if name == "Register sections" and note]
    assert [note.split(":")[0] for note in notes] == ["0 of 2", "1 of 2", "2 of 2"]
    for name in STEPS:
        fractions = [fraction for step, fraction, _ in steps if step == name]
        assert fractions[0] == 0.0
        assert fractions[-1] == 1.0
        assert fractions == sorted(fractions)


@pytest.fixture
def replayed(done, monkeypatch):
    """Registration itself answers from what was saved: what is around it runs for real."""

    def stack(sections, **_options):
        saved = done[0].folder / "registrations"
        found = {one.id: SectionRegistration.load(saved / one.id) for one in sections}
        return Stack(found, float("nan"), done[0].table.loc[list(found)])

    monkeypatch.setattr(comould.register, "stack", stack)


def test_force_maps_what_was_rejected(tiny, replayed, tmp_path):
    result = run(tiny, tmp_path / "out", force=True)
    assert result.rejected
    assert result.not_mapped == ()
    assert len(list((result.folder / "spots").iterdir())) == 2
    assert len(read_spatialdata(result.folder / "case.zarr").patient_from_section_px) == 2


def test_without_truth_or_spots_there_are_no_errors(tiny, replayed, tmp_path):
    case = tmp_path / "case"
    shutil.copytree(tiny, case)
    manifest = json.loads((case / "manifest.json").read_text())
    row = manifest["sections"][0]
    (case / "manifest.json").write_text(json.dumps(manifest | {"sections": [{k: row[k] for k in row if k != "spots"}]}))
    result = run(case, tmp_path / "bare")
    assert result.errors is None
    assert result.n_spots == 0
    assert not (result.folder / "spots").exists()
    assert not result.rejected
    (case / "manifest.json").write_text(json.dumps(manifest))
    next((case / "truth").glob("*_spots.csv")).unlink()
    with pytest.warns(ComouldWarning, match="the truth of this simulated case was not used"):
        assert run_registration(case, tmp_path / "torn", options=RegisterOptions(**QUICK)).errors is None


def test_a_failure_while_writing_leaves_nothing(tiny, replayed, tmp_path, monkeypatch):
    def full_disk(*_args, **_options):
        raise OSError("no space")

    monkeypatch.setattr("comould.study.register_case.write_json", full_disk)
    with pytest.raises(OSError, match="no space"):
        run(tiny, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n_samples": -1}, "n_samples -1 is below 0"),
        ({"seed": -2, "workers": 0}, "2 problems: seed -2 is below 0; workers 0 is below 1"),
        ({"via": ("gross",)}, "via 'gross' is none of adjacent, photo"),
    ],
)
def test_bad_options_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        RegisterOptions(**options)


def test_bad_places_and_settings_are_refused_before_any_work(tiny, tmp_path):
    with pytest.raises(InputError, match="a folder apart from the case"):
        run(tiny, tiny / "out")
    with pytest.raises(InputError, match="shrinkage: expected two rising ratios"):
        run(tiny, tmp_path / "out", shrinkage=(1.2, 0.9))
    with pytest.raises(InputError, match="thresholds file"):
        run(tiny, tmp_path / "out", thresholds=tmp_path / "none.yaml")
    with pytest.raises(InputError, match="plane rule"):
        run(tiny, tmp_path / "out", plane="guess")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(InputError, match="files in it"):
        run(tiny, tmp_path / "full")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]

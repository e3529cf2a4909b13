"""Commands take a case.yaml as they take a folder: the same sections, the same spots, the same claims."""

import json
import shutil

import anndata as ad
import pandas as pd
import pytest

from comould.errors import InputError
from comould.study import CaseFolder, run_associations, run_calibration, run_export
from comould.study.associate_options import AssociateOptions
from comould.study.case_file import read_case
from comould.study.case_source import case_to_test, folder_to_register, registration_of
from comould.study.pipeline import Choice, run_case
from comould.study.register_options import RegisterOptions

pytestmark = pytest.mark.filterwarnings("ignore")
OPTIONS = {"n_surrogates": 19, "seed": 0}


def with_sections(quick, folder, **changes):
    """Write a case of two sections; the pictures are only named."""
    rows = [
        {"id": "S1", "picture": "s1.png", "pixel_size_um": 0.5, "downsample": 8.0, "plane_id": "P01", "face": "-",
         "offset_mm": 0.25, "photo": {"id": "F1", "picture": "s1.png", "pixel_size_um": 90.0}},
        {"id": "S2", "picture": "s1.png", "pixel_size_um": 2.0, "plane_id": "P01", "face": "+"},
    ]  # fmt: skip
    path = quick.without_tissue(folder, **({"sections": rows, "habitats": None} | changes))
    (folder / "s1.png").touch()
    return path, rows


def test_sections_of_a_case_file_are_those_of_a_manifest(quick, tmp_path):
    path, rows = with_sections(quick, tmp_path / "P1", roi=1)
    found = folder_to_register(path)
    facts = {"images": {"T2": "t2.nii.gz"}, "mask": "mask.nii.gz", "slice_plan": "plan.json", "sections": rows}
    (path.parent / "manifest.json").write_text(json.dumps(facts | {"roi": 1, "simulated": True}))
    assert found == CaseFolder.read(path.parent)
    # Where both are, case.yaml counts, as for a run.
    quick.change(path, roi=2)
    assert folder_to_register(path.parent).roi == 2
    path.unlink()
    assert folder_to_register(path.parent).roi == 1


def test_the_plan_may_be_that_of_a_mould_that_was_built(quick, tmp_path):
    path, _ = with_sections(quick, tmp_path / "P1")
    plan = path.parent / "plan.json"
    quick.change(path, slice_plan=None, mould={"settings": {"spacing_mm": 8}})
    with pytest.raises(InputError, match=r"expected cutting planes, found a mould that is not built yet.*--only mould"):
        folder_to_register(path)
    built = path.parent / "comould_results" / "P1" / "mould" / "slice_plan.json"
    built.parent.mkdir(parents=True)
    shutil.copy(plan, built)
    assert folder_to_register(path).slice_plan == built


def test_a_case_file_says_how_it_is_registered(quick, tmp_path):
    path, _ = with_sections(quick, tmp_path / "P1", registration={"n_samples": 2, "via": ["photo"]})
    quick.change(path, seed=3)
    assert registration_of(path) == RegisterOptions(2, 3, via=("photo",))
    assert registration_of(tmp_path) == RegisterOptions()
    quick.change(path, sections=None)
    with pytest.raises(InputError, match="case P1: expected sections to register, found none"):
        folder_to_register(path)


@pytest.fixture(scope="module")
def ran(quick, tmp_path_factory):
    path = quick.write_case(tmp_path_factory.mktemp("source") / "P1")
    for file in (path.parent / "registered" / "spots").glob("*.h5ad"):
        spots = ad.read_h5ad(file)
        spots.obsm["spatial"] = 10.0 * spots.obsm["spatial_patient"][:, :2]
        spots.write_h5ad(file)
    out = path.parent / "comould_results"
    assert run_case(read_case(path), out, choice=Choice(only=("tests",))).ok
    return path, out / "P1"


def test_a_case_its_results_and_its_spots_give_the_same_claims(ran, tmp_path):
    path, results = ran
    options = AssociateOptions(genesets=(str(path.parent / "tiny.gmt"),), **OPTIONS)
    run_associations(path.parent, tmp_path / "out", options=options)
    one, two = (pd.read_csv(folder / "associations.csv") for folder in (tmp_path / "out", results / "tests"))
    # A run holds its threads fixed, a command does not: fits part in their last digits.
    pd.testing.assert_frame_equal(one, two, rtol=1e-3)
    assert not one.empty
    of_results = case_to_test(results, options)
    assert (of_results.spots, of_results.options.habitats) == (results / "spots", results / "habitats")
    quick_rates = run_calibration(path, tmp_path / "rates", options=options, maps=2, genes=2, kinds=("dutilleul",))
    assert len(quick_rates.table)


def test_all_that_a_run_made_can_be_exported(ran, tmp_path):
    path, results = ran
    for number, source in enumerate((path, results)):
        found = run_export([source], tmp_path / f"{number}.zarr")
        assert found.n_spots == 242
        assert "claims" in found.elements["tables"]
        assert found.elements["labels"] == ("habitats",)
    shutil.copytree(path.parent, tmp_path / "P2", ignore=shutil.ignore_patterns("comould_results"))
    with pytest.raises(InputError, match="expected finished steps, found none in comould_results"):
        run_export([tmp_path / "P2"], tmp_path / "none.zarr")


def test_what_is_given_goes_before_what_the_case_has(ran):
    path, results = ran
    edge = AssociateOptions(covariates=("edge_mm",))
    assert case_to_test(path, edge).options.mask == results / "read" / "mask.nii.gz"
    assert case_to_test(path, AssociateOptions()).options.mask is None
    given = AssociateOptions(habitats=path.parent / "labels.nii.gz", mask=path, covariates=("edge_mm",))
    assert case_to_test(results, given).options == given
    # Registered spots of the file itself, and its own map.
    assert case_to_test(path, AssociateOptions()).spots == path.parent / "registered"
    assert case_to_test(path, AssociateOptions()).options.habitats == path.parent / "labels.nii.gz"


def test_a_case_without_registered_spots_says_what_to_do(quick, tmp_path):
    path, _ = with_sections(quick, tmp_path / "P1")
    with pytest.raises(InputError, match=r"expected registered spots, found none yet.*comould run CASE --only spots"):
        case_to_test(path, AssociateOptions())
    assert case_to_test(tmp_path, AssociateOptions()).spots == tmp_path

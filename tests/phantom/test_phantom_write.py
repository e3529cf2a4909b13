"""A written case: readable by anyone, the truth in its own folder, nothing half done."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from comould import phantom
from comould.errors import InputError
from comould.space import SlicePlan, Transform


@pytest.fixture(scope="module")
def case(tmp_path_factory, make_plan):
    made = phantom.specimen(5, volume_ml=12.0, margin_mm=4.0, subsamples=1, spacing_mm=(1.0, 1.0, 3.0))
    plan = make_plan(made, (0.4, 0.6))
    sections = made.cut(plan, image_pixel_um=200.0, spot_pitch_um=1500.0)
    folder = made.write(tmp_path_factory.mktemp("case") / "phantom", plan, sections)
    return made, plan, sections, folder


def test_images_and_mask_come_back(case):
    made, _, _, folder = case
    for name, image in made.images.items():
        found = sitk.ReadImage(str(folder / "images" / f"{name}.nii.gz"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(image))
        np.testing.assert_allclose(found.GetOrigin(), image.GetOrigin(), atol=1e-4)
    mask = sitk.ReadImage(str(folder / "mask.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(made.mask))


def test_sections_spots_and_truth_come_back(case):
    _, plan, sections, folder = case
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["sections"]) == len(sections) == 2
    assert SlicePlan.load(folder / manifest["slice_plan"]).to_dict() == plan.to_dict()
    for cut, row in zip(sections, manifest["sections"], strict=True):
        picture = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / row["picture"])))
        np.testing.assert_array_equal(picture, cut.section.image)
        assert (row["id"], row["plane_id"], row["face"]) == (cut.section.id, cut.section.plane_id, None)
        assert row["pixel_size_um"] * row["downsample"] == pytest.approx(200.0)
        spots = anndata.read_h5ad(folder / row["spots"])
        np.testing.assert_array_equal(spots.obsm["spatial"], cut.spots.obsm["spatial"])
        assert (spots.X != cut.spots.X).nnz == 0
        stem = row["spots"].removeprefix("spots/").removesuffix(".h5ad")
        truth = Transform.load(folder / "truth" / f"{stem}.h5")
        np.testing.assert_allclose(truth.apply(spots.obsm["spatial"]), cut.spots_patient_mm, atol=1e-9)
        table = pd.read_csv(folder / "truth" / f"{stem}_spots.csv", index_col="spot")
        np.testing.assert_allclose(table[["x_mm", "y_mm", "z_mm"]], cut.spots_patient_mm, atol=1e-6)
        assert table["habitat"].tolist() == cut.spots_habitat.tolist()


def test_truth_is_apart(case):
    made, _, _, folder = case
    genes = pd.read_csv(folder / "truth" / "genes.csv", index_col="gene", keep_default_na=False)
    assert genes["kind"].tolist() == made.genes["kind"].tolist()
    assert not [p for p in folder.rglob("*") if "habitat" in p.name and p.parent.name != "truth"]


def test_manifest_says_what_made_it(case):
    made, _, _, folder = case
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["simulated"] is True
    assert (manifest["units"], manifest["frame"]) == ("mm", "patient")
    assert manifest["provenance"]["seed"] == made.seed
    assert manifest["provenance"]["parameters"]["volume_ml"] == 12.0


def test_existing_case_is_kept_unless_told(case):
    made, plan, sections, folder = case
    with pytest.raises(InputError, match="expected a new or empty folder"):
        made.write(folder, plan, sections)
    assert made.write(folder, plan, sections[:1], overwrite=True) == folder
    assert len(json.loads((folder / "manifest.json").read_text())["sections"]) == 1

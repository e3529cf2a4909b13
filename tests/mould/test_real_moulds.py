"""Moulds of real masks: two formats agree, and slicers take them."""

import shutil
import subprocess

import numpy as np
import pytest

from comould import io
from comould.mould import build, check

pytestmark = pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")

CASES = {
    "STS_002": ("ibsi_sts/nifti/STS_002/MR_T1_mask.nii.gz", {"plane": "axial", "spacing_mm": 5}),
    "STS_003": ("ibsi_sts/nifti/STS_003/MR_T1_mask.nii.gz", {"plane": "axial", "spacing_mm": 5}),
    "STS_008": ("ibsi_sts/nifti/STS_008/CT_mask.nii.gz", {"plane": "axial", "spacing_mm": 5}),
    "oblique prostate": ("prostatex0000/masks/gland_Guerbet23.nii.gz", {"plane": "axial", "template": "prostate"}),
}


@pytest.fixture(scope="module")
def moulds(test_data):
    """Built on demand, once each."""
    made = {}

    def get(name):
        if name not in made:
            path, options = CASES[name]
            made[name] = build(io.read_segmentation(test_data / path), **options)
        return made[name]

    return get


@pytest.mark.parametrize("name", list(CASES))
def test_real_masks_make_checked_moulds(moulds, name):
    mould = moulds(name)
    report = check(mould.bodies["mould"])
    assert report.printable
    assert (report.bodies, report.voids, report.touching_vertices) == (1, 0, 0)
    fit = {item["name"]: item["measured"] for item in mould.report["checks"]}
    assert fit["free space matches segmentation + clearance"] >= 0.97
    assert fit["not the mirror image"] < fit["free space matches segmentation + clearance"] - 0.04
    volumes = mould.report["volumes_ml"]
    assert volumes["specimen"] == pytest.approx(volumes["mask"], rel=0.005)


def test_slices_named_are_the_slices_cut(moulds, test_data):
    from comould.space import Grid

    grid = Grid.from_image(io.read_segmentation(test_data / CASES["STS_003"][0]))
    for plane in moulds("STS_003").plan:
        assert plane.image_index == round(plane.image_index)
        index = grid.index_from_patient([plane.origin_mm])[0]
        assert index[2] == pytest.approx(plane.image_index, abs=1e-5)


def test_rtstruct_and_nifti_give_the_same_mould(moulds, test_data):
    from scipy.spatial import cKDTree

    folder = test_data / "ibsi_sts/dicom/STS_003/MR_T1"
    image = io.read_image(folder / "image")
    contours = next((folder / "mask").glob("*.dcm"))
    mould = build(io.read_segmentation(contours, image=image), image=image, **CASES["STS_003"][1])
    other = moulds("STS_003")
    one, two = (m.mould_from_patient.inverse().apply(m.specimen.vertices) for m in (mould, other))
    assert max(cKDTree(one).query(two)[0].max(), cKDTree(two).query(one)[0].max()) < 0.2
    assert np.allclose([p.origin_mm for p in mould.plan], [p.origin_mm for p in other.plan], atol=0.02)
    assert np.allclose(mould.mould_from_patient.matrix, other.mould_from_patient.matrix, atol=0.05)


def _assert_slicer_takes(mould, folder):
    """PrusaSlicer finds every printed body manifold, whole, and of the plastic volume reported."""
    if not shutil.which("prusa-slicer"):
        pytest.skip("prusa-slicer is not installed (apt-get install prusa-slicer)")
    total = 0.0
    for name in mould.bodies:
        path = folder / f"{name}.stl"
        mould.print_pose(name).export(path)
        told = subprocess.run(
            ["prusa-slicer", "--info", str(path)], capture_output=True, text=True, check=True, timeout=120
        ).stdout
        facts = {k.strip(): v.strip() for k, v in (line.split("=") for line in told.splitlines() if "=" in line)}
        assert facts["manifold"] == "yes", name
        assert facts.get("open_edges", "0") == "0", name
        assert facts.get("facets_reversed", "0") == "0", name
        assert facts["number_of_parts"] == "1", name
        total += float(facts["volume"]) / 1000.0
    assert total == pytest.approx(mould.report["volumes_ml"]["plastic"], rel=1e-3)


@pytest.mark.parametrize("name", list(CASES))
def test_prusa_slicer_calls_it_manifold(moulds, name, tmp_path):
    _assert_slicer_takes(moulds(name), tmp_path)


DESIGNS = ("slab_and_guide", "two_part", "shell")


@pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")
@pytest.mark.parametrize(
    ("name", "design"),
    [
        pytest.param(name, design, marks=() if (name, design) == ("STS_008", "two_part") else pytest.mark.slow)
        for name in CASES
        for design in DESIGNS
    ],
)
def test_prusa_slicer_takes_every_design(test_data, name, design, tmp_path):
    path, options = CASES[name]
    mould = build(io.read_segmentation(test_data / path), **(options | {"design": design}))
    _assert_slicer_takes(mould, tmp_path)


def test_admesh_finds_nothing_to_repair(moulds, tmp_path):
    if not shutil.which("admesh"):
        pytest.skip("admesh is not installed (apt-get install admesh)")
    out = moulds("STS_008").write(tmp_path / "out")
    told = subprocess.run(
        ["admesh", str(out / "mould.stl")], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    for word in ("Total disconnected facets", "Facets reversed", "Degenerate facets", "Backwards edges"):
        row = next(line for line in told.splitlines() if line.startswith(word))
        assert set(row.split(":")[1].split()) == {"0"}, row

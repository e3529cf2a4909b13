"""One chiral specimen, every file format: left stays left, and no door lets a mirror image in."""

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from comould.io import list_rois, read_image, read_segmentation, write_image
from comould.space import Grid

pytestmark = pytest.mark.filterwarnings("ignore:.*made from the contours")


@pytest.fixture
def grid(make):
    return make.oblique(size=(24, 20, 10), spacing=(1.0, 1.0, 2.0))


@pytest.fixture
def boxes(grid):
    """A long, a middle and a short arm from one corner: a shape no rotation brings onto its mirror image."""
    mask = np.zeros(grid.shape, np.uint8)
    mask[2:4, 4:7, 4:20] = 1
    mask[2:4, 4:14, 4:7] = 1
    mask[2:6, 4:7, 4:7] = 1
    return mask


def handedness(image):
    """Sign and size of the triple product of the third central moments' principal frame: a mirror turns the sign."""
    grid = Grid.from_image(image)
    points = grid.patient_from_index(np.argwhere(sitk.GetArrayFromImage(image) > 0)[:, ::-1])
    points = points - points.mean(axis=0)
    _, axes = np.linalg.eigh(points.T @ points)
    skew = ((points @ axes) ** 3).sum(axis=0)
    return float(np.linalg.det(axes * np.sign(skew)))


def centre(image):
    grid = Grid.from_image(image)
    return grid.patient_from_index(np.argwhere(sitk.GetArrayFromImage(image) > 0)[:, ::-1]).mean(axis=0)


def contours_of(grid, mask):
    from skimage.measure import find_contours

    found = []
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        for outline in find_contours(mask[k].astype(float), 0.5):
            index = np.column_stack([outline[:-1, 1], outline[:-1, 0], np.full(len(outline) - 1, k)])
            found.append(grid.patient_from_index(index))
    return found


def test_the_measure_sees_a_mirror(grid, boxes):
    image = grid.to_image(boxes)
    mirrored = grid.to_image(boxes[:, :, ::-1].copy())
    assert handedness(image) == pytest.approx(-handedness(mirrored))
    assert abs(handedness(image)) == pytest.approx(1.0)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_label_maps(tmp_path, grid, boxes, suffix):
    truth = grid.to_image(boxes)
    found = read_segmentation(write_image(truth, tmp_path / f"seg{suffix}"))
    assert handedness(found) == pytest.approx(handedness(truth))
    np.testing.assert_allclose(centre(found), centre(truth), atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_left_handed_storage_as_of_dcm2niix(tmp_path, grid, boxes, axis):
    """One array axis and its direction turned round: the header tells the truth, the matrix is left-handed."""
    truth = grid.to_image(boxes)
    flips = [n == axis for n in range(3)]
    stored = sitk.Flip(truth, flips)
    assert np.linalg.det(np.array(stored.GetDirection()).reshape(3, 3)) < 0
    sitk.WriteImage(stored, str(tmp_path / "seg.nii.gz"))
    for image in (None, truth):
        found = read_segmentation(tmp_path / "seg.nii.gz", image=image)
        assert handedness(found) == pytest.approx(handedness(truth))
        np.testing.assert_allclose(centre(found), centre(truth), atol=1e-3)


def test_dicom_series_and_its_contours(tmp_path, make, grid, boxes):
    truth = grid.to_image(boxes)
    make.series(tmp_path / "ct", grid, boxes.astype(np.int16), shuffle=True)
    image = read_image(tmp_path / "ct")
    assert handedness(image) == pytest.approx(handedness(truth))
    np.testing.assert_allclose(centre(image), centre(truth), atol=1e-3)
    struct = make.rtstruct(tmp_path / "rs.dcm", [("arms", contours_of(grid, boxes))])
    on_image = read_segmentation(struct, image=image)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(on_image), boxes)
    alone = read_segmentation(struct)
    assert handedness(alone) == pytest.approx(handedness(truth))
    np.testing.assert_allclose(centre(alone), centre(truth), atol=0.15)


def test_the_same_contours_on_a_reordered_image(tmp_path, make, grid, boxes):
    """Slices stored from the other end: contours and label map still meet."""
    flipped = sitk.Flip(grid.to_image(boxes), [False, True, True])
    struct = make.rtstruct(tmp_path / "rs.dcm", [("arms", contours_of(grid, boxes))])
    found = read_segmentation(struct, image=flipped)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(flipped))
    path = write_image(grid.to_image(boxes), tmp_path / "seg.nrrd")
    found = read_segmentation(path, image=flipped)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(flipped))


def test_what_comould_writes_other_readers_place_alike(tmp_path, grid, boxes):
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        path = write_image(grid.to_image(boxes), tmp_path / f"v{suffix}")
        itk = sitk.ReadImage(str(path))
        assert not grid.difference(Grid.from_image(itk), 1e-3)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(itk), boxes)


def test_masks_come_without_metadata(tmp_path, make, grid, boxes):
    make.series(tmp_path / "ct", grid, boxes.astype(np.int16))
    struct = make.rtstruct(tmp_path / "rs.dcm", [("arms", contours_of(grid, boxes))])
    image = read_image(tmp_path / "ct")
    image.SetMetaData("0010|0010", make.secret)
    assert not read_segmentation(struct, image=image).GetMetaDataKeys()
    assert [roi.name for roi in list_rois(struct)] == ["arms"]


def test_importing_io_loads_nothing_heavy():
    heavy = ("SimpleITK", "pydicom", "highdicom", "scanpy", "itk", "anndata", "trimesh", "tifffile")
    code = (
        "import sys, comould.io, comould.io.image, comould.io.dicom, comould.io.segmentation, comould.io.rtstruct;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

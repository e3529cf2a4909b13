"""Label maps: one label, on the image's grid, or an error that lists what there is."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

import comould.io
from comould.errors import GeometryError, InputError
from comould.io import Roi, list_rois, read_segmentation, write_image
from comould.space import Grid


@pytest.fixture
def grid(make):
    return make.oblique()


@pytest.fixture
def labels(grid):
    """An asymmetric map of labels 1, 2 and 7."""
    array = np.zeros(grid.shape, np.uint8)
    array[1:3, 1:4, 2:6] = 1
    array[3, 2:5, 1] = 2
    array[4, 0, 5:] = 7
    return array


def as_array(image):
    return sitk.GetArrayFromImage(image).astype(bool)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_label_of_any_format_and_number_type(tmp_path, grid, labels, suffix, dtype):
    path = write_image(grid.to_image(labels.astype(dtype)), tmp_path / f"seg{suffix}")
    for roi in (2, "2", "label 2", "LABEL 2"):
        found = read_segmentation(path, roi=roi)
        assert found.GetPixelID() == sitk.sitkUInt8
        np.testing.assert_array_equal(as_array(found), labels == 2)
        assert not grid.difference(Grid.from_image(found), 1e-3)
    assert list_rois(path) == [Roi(1, "label 1"), Roi(2, "label 2"), Roi(7, "label 7")]


def test_one_label_needs_no_choice_whatever_its_value(tmp_path, grid, labels):
    path = write_image(grid.to_image(np.where(labels == 7, 7, 0).astype(np.int32)), tmp_path / "seg.nrrd")
    np.testing.assert_array_equal(as_array(read_segmentation(path)), labels == 7)


def test_several_labels_are_listed_with_their_size(tmp_path, grid, labels):
    path = write_image(grid.to_image(labels), tmp_path / "seg.nii")
    listing = r"1 'label 1' \(24 voxels\), 2 'label 2' \(3 voxels\), 7 'label 7' \(2 voxels\)\. Choose .*--roi"
    with pytest.raises(InputError, match=listing):
        read_segmentation(path)
    with pytest.raises(InputError, match="region 3, found " + listing):
        read_segmentation(path, roi=3)


def test_maps_that_are_none(tmp_path, grid, labels):
    bad = {
        "empty": (np.zeros(grid.shape, np.uint8), "an empty segmentation"),
        "probability": (labels.astype(np.float32) * 0.3, r"whole-numbered labels, found values from 0 to 2.1 "),
        "holes": (np.where(labels == 7, np.nan, labels).astype(np.float32), "found NaN voxels"),
        "picture": (np.arange(labels.size, dtype=np.int16).reshape(grid.shape) - 5, "210 different values from -5"),
        "negative": (labels.astype(np.int16) - 1, "different values from -1"),
    }
    for name, (array, match) in bad.items():
        path = write_image(grid.to_image(array), tmp_path / f"{name}.nii.gz")
        with pytest.raises(InputError, match=match):
            read_segmentation(path)
    vector = write_image(grid.to_image(np.stack([labels, labels], -1)), tmp_path / "v.nrrd")
    with pytest.raises(InputError, match="2 values a voxel without segment names"):
        read_segmentation(vector)
    with pytest.raises(InputError, match="no such file"):
        read_segmentation(tmp_path / "none.nii")


@given(order=st.permutations(range(3)), flips=st.tuples(*[st.booleans()] * 3))
def test_other_storage_of_the_same_voxels_comes_out_on_the_image(tmp_path_factory, make, order, flips):
    grid = make.oblique()
    labels = np.zeros(grid.shape, np.uint8)
    labels[1:3, 1:4, 2:6] = 1
    labels[4, 0, 5:] = 1
    stored = sitk.Flip(sitk.PermuteAxes(grid.to_image(labels), order), flips)
    path = tmp_path_factory.mktemp("order") / "seg.nii"
    sitk.WriteImage(stored, str(path))
    image = grid.to_image()
    found = read_segmentation(path, image=image)
    np.testing.assert_array_equal(as_array(found), labels)
    assert Grid.from_image(found) == grid


def test_a_mask_of_another_grid_is_refused(tmp_path, grid, labels):
    path = write_image(grid.to_image(labels), tmp_path / "seg.nrrd")
    step = grid.patient_from_index([[0.5, 0, 0]])[0]
    others = {
        r"size \(7, 6, 5\) against \(7, 6, 4\)": Grid((7, 6, 4), grid.spacing_mm, grid.origin_mm, grid.axes),
        "spacing_mm": Grid(grid.size, (0.8, 0.6, 3.3), grid.origin_mm, grid.axes),
        "origin_mm": Grid(grid.size, grid.spacing_mm, tuple(step), grid.axes),
        "directions": Grid(grid.size, grid.spacing_mm, grid.origin_mm),
    }
    for match, other in others.items():
        with pytest.raises(GeometryError, match=f"the image's grid, found .*{match}.*Give the image it was drawn on"):
            read_segmentation(path, image=other.to_image(), roi=1)


def test_header_rounding_is_no_other_grid(tmp_path, grid, labels):
    near = Grid(grid.size, grid.spacing_mm, tuple(np.array(grid.origin_mm) + 0.05), grid.axes)
    path = write_image(near.to_image(labels), tmp_path / "seg.nii.gz")
    image = grid.to_image()
    found = read_segmentation(path, image=image, roi=1)
    np.testing.assert_array_equal(as_array(found), labels == 1)
    assert found.GetOrigin() == image.GetOrigin()
    assert found.GetDirection() == image.GetDirection()


def slicer_file(path, layers, segments):
    """An NRRD as 3D Slicer writes segmentations: a list axis of layers first."""
    lines = [
        "NRRD0004", "type: unsigned char", "space: left-posterior-superior", "encoding: raw",
        f"dimension: {3 if len(layers) == 1 else 4}",
    ]  # fmt: skip
    sizes, directions = "7 6 5", "(0.8,0,0) (0,0.6,0) (0,0,3)"
    several = len(layers) > 1
    lines += [f"sizes: {len(layers)} {sizes}" if several else f"sizes: {sizes}"]
    lines += [f"space directions: {'none ' if several else ''}{directions}", "space origin: (1,2,3)"]
    lines += [f"kinds: {'list ' if several else ''}domain domain domain"]
    for n, (name, value, layer) in enumerate(segments):
        lines += [f"Segment{n}_Name:={name}", f"Segment{n}_LabelValue:={value}", f"Segment{n}_Layer:={layer}"]
    path.write_bytes(("\n".join(lines) + "\n\n").encode() + np.stack(layers, -1).tobytes())
    return path


def test_slicer_segments_have_names(tmp_path, labels):
    path = slicer_file(tmp_path / "s.seg.nrrd", [labels], [("Tumour", 1, 0), ("Cyst", 7, 0), ("Ghost", 9, 0)])
    assert list_rois(path) == [Roi(1, "Tumour"), Roi(2, "label 2"), Roi(7, "Cyst"), Roi(9, "Ghost")]
    np.testing.assert_array_equal(as_array(read_segmentation(path, roi="cyst")), labels == 7)
    with pytest.raises(InputError, match=r"region 9 of .*at least one voxel, found none"):
        read_segmentation(path, roi="Ghost")


def test_slicer_layers_may_overlap(tmp_path, labels):
    other = np.zeros_like(labels)
    other[1:4, 0:3, 0:4] = 1
    path = slicer_file(tmp_path / "s.seg.nrrd", [labels, other], [("Tumour", 1, 0), ("Cyst", 7, 0), ("Margin", 1, 1)])
    assert list_rois(path) == [Roi(1, "Tumour"), Roi(2, "Cyst"), Roi(3, "Margin")]
    np.testing.assert_array_equal(as_array(read_segmentation(path, roi="Tumour")), labels == 1)
    np.testing.assert_array_equal(as_array(read_segmentation(path, roi=3)), other == 1)


def test_a_folder_is_searched_for_its_one_segmentation(tmp_path, make, grid):
    make.series(tmp_path / "ct", grid, make.chiral(grid))
    with pytest.raises(InputError, match=r"DICOM SEG or RTSTRUCT, found CT images"):
        read_segmentation(tmp_path)
    corners = [grid.patient_from_index([[0.5, 0.5, k], [3.5, 0.5, k], [3.5, 3.5, k], [0.5, 3.5, k]]) for k in (1, 2)]
    make.rtstruct(tmp_path / "rs.dcm", [("GTV", corners)])
    assert list_rois(tmp_path) == [Roi(1, "GTV")]
    image = comould.io.read_image(tmp_path / "ct")
    assert as_array(read_segmentation(tmp_path, image=image)).sum() == 2 * 9
    make.rtstruct(tmp_path / "rs2.dcm", [("GTV", corners)])
    with pytest.raises(InputError, match="one segmentation, found 2 RTSTRUCT"):
        read_segmentation(tmp_path, image=image)


def test_names_load_when_touched():
    assert set(comould.io.__all__) <= set(dir(comould.io))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        comould.io.nothing  # noqa: B018


def test_real_masks_of_an_oblique_scan_lie_on_it(test_data):
    image = comould.io.read_image(test_data / "prostatex0000/t2")
    masks = sorted((test_data / "prostatex0000/masks").glob("*.nii.gz"))
    assert len(masks) == 5
    for path in masks:
        roi = 1 if path.name.startswith("zones") else None
        found = read_segmentation(path, image=image, roi=roi)
        stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        assert as_array(found).sum() == np.count_nonzero(stored if roi is None else stored == roi)
        assert Grid.from_image(found) == Grid.from_image(image)

"""RTSTRUCT: contours to voxels, on the image's grid or on one of their own."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.io import Roi, list_rois, read_segmentation
from comould.space import Grid


@pytest.fixture
def grid(make):
    return make.oblique(size=(30, 36, 9), spacing=(0.8, 0.6, 3.0))


def ring(grid, k, radius_mm=7.0, centre=(14.3, 17.2), points=90):
    """A circle on slice ``k`` (continuous), in patient mm."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    index = np.column_stack(
        [
            centre[0] + radius_mm * np.cos(angle) / grid.spacing_mm[0],
            centre[1] + radius_mm * np.sin(angle) / grid.spacing_mm[1],
            np.full(points, float(k)),
        ]
    )
    return grid.patient_from_index(index)


def disc(grid, slices, radius_mm=7.0, centre=(14.3, 17.2)):
    """The voxels whose centre lies in the circle."""
    j, i = np.indices(grid.shape[1:])
    inside = np.hypot((i - centre[0]) * grid.spacing_mm[0], (j - centre[1]) * grid.spacing_mm[1]) < radius_mm
    mask = np.zeros(grid.shape, bool)
    mask[list(slices)] = inside
    return mask


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def as_array(image):
    return sitk.GetArrayFromImage(image).astype(bool)


def test_oblique_contours_fill_the_voxels_whose_centre_they_hold(tmp_path, make, grid):
    path = make.rtstruct(tmp_path / "rs.dcm", [("GTV", [ring(grid, k) for k in range(2, 7)])])
    found = read_segmentation(path, image=grid.to_image())
    assert Grid.from_image(found) == grid
    assert found.GetPixelID() == sitk.sitkUInt8
    assert dice(as_array(found), disc(grid, range(2, 7))) > 0.99


def test_holes_and_separate_parts_of_a_plane(tmp_path, make, grid):
    contours = [shape for k in (3, 4) for shape in (ring(grid, k), ring(grid, k, 3.0))]
    path = make.rtstruct(tmp_path / "rs.dcm", [("ring", contours)])
    found = as_array(read_segmentation(path, image=grid.to_image()))
    np.testing.assert_array_equal(
        found,
        as_array(read_segmentation(make.rtstruct(tmp_path / "a.dcm", [("o", contours[::2])]), image=grid.to_image()))
        & ~as_array(
            read_segmentation(make.rtstruct(tmp_path / "b.dcm", [("i", contours[1::2])]), image=grid.to_image())
        ),
    )
    assert dice(found, disc(grid, (3, 4)) & ~disc(grid, (3, 4), 3.0)) > 0.98


def test_rois_by_name_or_number(tmp_path, make, grid):
    drawn = [ring(grid, 3), ring(grid, 4)]
    path = make.rtstruct(tmp_path / "rs.dcm", [("Tumour", drawn), ("2", drawn[:1]), ("node", drawn), ("NODE", drawn)])
    assert list_rois(path) == [Roi(1, "Tumour"), Roi(2, "2"), Roi(3, "node"), Roi(4, "NODE")]
    image = grid.to_image()
    for roi in ("tumour", " TUMOUR ", 1, "1"):
        assert as_array(read_segmentation(path, image=image, roi=roi)).any()
    # A name wins over a number, and the exact case over another.
    assert np.count_nonzero(as_array(read_segmentation(path, image=image, roi="2")).any(axis=(1, 2))) == 1
    assert as_array(read_segmentation(path, image=image, roi="node")).any()
    listing = r"1 'Tumour' \(2 contours\), 2 '2' \(1 contours\), 3 'node' \(2 contours\), 4 'NODE'.*--roi"
    with pytest.raises(InputError, match="the choice of one, found " + listing):
        read_segmentation(path, image=image)
    with pytest.raises(InputError, match="region 'liver', found " + listing):
        read_segmentation(path, image=image, roi="liver")
    with pytest.raises(InputError, match="region 'Node' once, not 2 times, found " + listing):
        read_segmentation(path, image=image, roi="Node")
    with pytest.raises(InputError, match="region 9, found"):
        read_segmentation(path, image=image, roi=9)
    with pytest.raises(InputError, match="a number or a name, found True"):
        read_segmentation(path, image=image, roi=True)


def test_an_roi_that_was_never_drawn_needs_no_choice_but_cannot_be_chosen(tmp_path, make, grid):
    path = make.rtstruct(tmp_path / "rs.dcm", [("couch", []), ("GTV", [ring(grid, 3), ring(grid, 4)])])
    assert as_array(read_segmentation(path, image=grid.to_image())).any()
    with pytest.raises(InputError, match=r"ROI 1 of .*closed planar contours, found none"):
        read_segmentation(path, image=grid.to_image(), roi="couch")
    none = make.rtstruct(tmp_path / "none.dcm", [])
    assert list_rois(none) == []
    with pytest.raises(InputError, match="an empty segmentation"):
        read_segmentation(none, image=grid.to_image())


def test_points_and_open_contours_are_dropped_and_said(tmp_path, make, grid):
    point = ("POINT", ring(grid, 2)[:1])
    path = make.rtstruct(tmp_path / "rs.dcm", [("GTV", [point, ring(grid, 3), ring(grid, 4), ring(grid, 5)[:2]])])
    with pytest.warns(ComouldWarning, match="dropped 1 points or open contours; contour 4 has 6 numbers"):
        assert as_array(read_segmentation(path, image=grid.to_image())).any()
    path = make.rtstruct(tmp_path / "p.dcm", [("POI", [point])])
    with pytest.raises(InputError, match="1 of other types"):
        read_segmentation(path, image=grid.to_image())


def test_planes_between_slices_go_to_the_nearest_and_holes_in_the_stack_are_said(tmp_path, make, grid):
    image = grid.to_image()
    path = make.rtstruct(tmp_path / "off.dcm", [("GTV", [ring(grid, k + 0.3) for k in (2, 3, 6)])])
    with pytest.warns(ComouldWarning, match=r"0.90 mm off the slices.*2 slices between.*index 4, 5"):
        found = as_array(read_segmentation(path, image=image))
    assert np.flatnonzero(found.any(axis=(1, 2))).tolist() == [2, 3, 6]
    fine = [ring(grid, k, 7.0 if k == round(k) else 2.0) for k in np.arange(2, 5.1, 0.25)]
    path = make.rtstruct(tmp_path / "fine.dcm", [("GTV", fine)])
    with pytest.warns(ComouldWarning, match="9 contours on planes between slices were left out"):
        found = as_array(read_segmentation(path, image=image))
    assert dice(found, disc(grid, range(2, 6))) > 0.99


def test_contours_of_another_scan(tmp_path, make, grid):
    path = make.rtstruct(tmp_path / "rs.dcm", [("GTV", [ring(grid, k) for k in (3, 4)])])
    straight = Grid((30, 36, 90), (0.8, 0.6, 3.0), (-131.5, -112.25, 40.0))
    with pytest.raises(GeometryError, match="parallel to the image's slices"):
        read_segmentation(path, image=straight.to_image())
    far = Grid(grid.size, grid.spacing_mm, tuple(grid.patient_from_index([[0, 0, 40]])[0]), grid.axes)
    with pytest.raises(GeometryError, match="2 of 2 contours outside it"):
        read_segmentation(path, image=far.to_image())
    beside = Grid(grid.size, grid.spacing_mm, tuple(grid.patient_from_index([[200, 0, 0]])[0]), grid.axes)
    with pytest.raises(GeometryError, match="all of them beside it"):
        read_segmentation(path, image=beside.to_image())
    partly = Grid(grid.size, grid.spacing_mm, tuple(grid.patient_from_index([[14, 0, 0]])[0]), grid.axes)
    with pytest.warns(ComouldWarning, match="2 contours reach beyond the image"):
        read_segmentation(path, image=partly.to_image())


@given(seed=st.integers(0, 10_000), pitch=st.floats(1.0, 6.0))
def test_without_image_the_contours_make_their_own_grid(tmp_path_factory, make, seed, pitch):
    grid = Grid((30, 36, 9), (0.8, 0.6, pitch), (-31.5, 12.25, 140.0), make.rotation(seed))
    contours = [ring(grid, k) for k in (2, 3, 4, 5, 6)]
    path = make.rtstruct(tmp_path_factory.mktemp("rt") / "rs.dcm", [("GTV", contours)])
    with pytest.warns(ComouldWarning, match=r"no image was given, so a grid of .* was made from the contours"):
        found = read_segmentation(path)
    own = Grid.from_image(found)
    assert own.spacing_mm[2] == pytest.approx(pitch, abs=1e-3)
    assert abs(own.axes[:, 2] @ grid.axes[:, 2]) == pytest.approx(1.0, abs=1e-6)
    assert np.linalg.det(own.axes) == pytest.approx(1.0)
    mask = as_array(found)
    index = np.argwhere(mask)[:, ::-1]
    centre = own.patient_from_index(index).mean(axis=0)
    np.testing.assert_allclose(centre, grid.patient_from_index([[14.3, 17.2, 4]])[0], atol=0.1)
    assert mask.sum() * own.voxel_ml == pytest.approx(5 * np.pi * 49 * pitch / 1000, rel=0.02)
    # Empty on every side: nothing touches the border.
    assert not mask[[0, -1]].any()
    assert not mask[:, [0, -1]].any()
    assert not mask[:, :, [0, -1]].any()


@pytest.mark.parametrize(
    ("normal", "orientation"),
    [((0, 0, 1), "LPS"), ((0, 1, 0), "LIP"), ((1, 0, 0), "PSL")],
)
def test_own_grids_follow_the_patient_axes(tmp_path, make, normal, orientation):
    normal = np.array(normal, float)
    u = np.roll(normal, 1)
    v = np.cross(normal, u)
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = 12 * np.outer(np.cos(angle), u) + 8 * np.outer(np.sin(angle), v)
    contours = [circle + depth * normal for depth in (-4.0, 0.0, 4.0)]
    path = make.rtstruct(tmp_path / "rs.dcm", [("GTV", contours)])
    with pytest.warns(ComouldWarning, match="made from the contours"):
        grid = Grid.from_image(read_segmentation(path))
    assert grid.orientation == orientation
    np.testing.assert_allclose(np.abs(grid.axes).max(axis=0), 1.0)
    # The pixel is the distance of the contour's points, kept between 0.25 and 1 mm.
    assert grid.spacing_mm[0] == pytest.approx(1.0)
    fine = [np.repeat(c, 20, axis=0) + np.outer(np.tile(np.arange(20) * 1e-3, 60), u) for c in contours]
    with pytest.warns(ComouldWarning, match="made from the contours"):
        grid = Grid.from_image(read_segmentation(make.rtstruct(tmp_path / "fine.dcm", [("GTV", fine)])))
    assert grid.spacing_mm[0] == pytest.approx(0.25)


def test_a_mask_and_its_own_outline_agree(tmp_path, make, grid):
    """Voxel outlines drawn as contours come back as the voxels."""
    from skimage.measure import find_contours

    mask = disc(grid, range(2, 7)) & ~disc(grid, (4,), 2.5)
    contours = []
    for k in range(2, 7):
        for outline in find_contours(np.pad(mask[k], 1).astype(float), 0.5):
            i, j = outline[:-1, 1] - 1, outline[:-1, 0] - 1
            contours.append(grid.patient_from_index(np.column_stack([i, j, np.full(len(i), k)])))
    path = make.rtstruct(tmp_path / "rs.dcm", [("GTV", contours)])
    found = read_segmentation(path, image=grid.to_image())
    np.testing.assert_array_equal(as_array(found), mask)


def test_contours_that_make_no_grid(tmp_path, make, grid):
    straight = make.oblique(size=(30, 36, 9), seed=5)
    cases = [
        ([ring(grid, 3)], "found one plane.*--image"),
        ([ring(grid, k) for k in (1, 2, 3.4, 4.4)], "evenly spaced contour planes, found distances of 3.00, 4.20 mm"),
        ([ring(grid, 2), ring(grid, 3), ring(straight, 4)], "parallel planar contours"),
        ([grid.patient_from_index([[1, 1, k], [2, 2, k], [3, 3, k]]) for k in (1, 2)], "lines or points only"),
    ]
    for n, (contours, match) in enumerate(cases):
        path = make.rtstruct(tmp_path / f"{n}.dcm", [("GTV", contours)])
        with pytest.raises(GeometryError, match=match):
            read_segmentation(path)


def test_missing_planes_stay_empty_in_an_own_grid_and_are_said(tmp_path, make, grid):
    path = make.rtstruct(tmp_path / "rs.dcm", [("GTV", [ring(grid, k) for k in (1, 2, 4, 5)])])
    with (
        pytest.warns(ComouldWarning, match="1 slices between drawn ones"),
        pytest.warns(ComouldWarning, match="was made from the contours"),
    ):
        found = as_array(read_segmentation(path))
    assert found.any(axis=(1, 2)).sum() == 4


@pytest.mark.parametrize(("modality", "name"), [("CT", "gtv_mass_ct"), ("MR_T1", 1)])
def test_real_rtstruct_reproduces_its_nifti_mask(test_data, modality, name):
    from comould.io import read_image

    folder = test_data / "ibsi_sts/dicom/STS_003" / modality
    truth = read_segmentation(test_data / "ibsi_sts/nifti/STS_003" / f"{modality}_mask.nii.gz")
    found = read_segmentation(folder / "mask", image=read_image(folder / "image"), roi=name)
    assert dice(as_array(found), as_array(truth)) >= 0.999
    with pytest.warns(ComouldWarning, match="no image was given"):
        alone = read_segmentation(folder / "mask" / "RS.dcm")
    on_image = sitk.Resample(alone, truth, sitk.Transform(), sitk.sitkNearestNeighbor)
    assert dice(as_array(on_image), as_array(truth)) >= 0.99

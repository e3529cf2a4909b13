"""Which lesion, and every mask that must be refused."""

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.mould import select_lesion
from comould.mould.lesion import check_fits_image, find_lesion
from comould.space import Grid


def image_of(array, spacing=(1.0, 1.0, 3.0), direction=None):
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing)
    if direction is not None:
        image.SetDirection(np.ravel(direction).tolist())
    return image


@pytest.fixture
def two():
    array = np.zeros((12, 20, 30), np.uint8)
    array[2:5, 3:8, 3:8] = 1
    array[6:10, 8:16, 15:25] = 1
    return array


def test_one_lesion_needs_no_choice(two):
    two[:6] = 0
    chosen = select_lesion(image_of(two))
    assert np.array_equal(sitk.GetArrayFromImage(chosen), two)
    assert chosen.GetPixelID() == sitk.sitkUInt8
    assert Grid.from_image(chosen) == Grid.from_image(image_of(two))


@pytest.mark.parametrize("value", [7, 255])
def test_any_single_label_counts(two, value):
    two[:6] = 0
    assert sitk.GetArrayFromImage(select_lesion(image_of(two * value))).max() == 1


def test_two_lesions_ask_which(two):
    with pytest.raises(InputError, match=r"2 lesions \(1: 0.96 ml, 2: 0.225 ml\).*lesion='largest'.*--lesion"):
        select_lesion(image_of(two))


@pytest.mark.parametrize(
    ("lesion", "voxels"), [("largest", 320), (1, 320), ("1", 320), (2, 75), ("2", 75), ("all", 395), ("ALL", 395)]
)
def test_choice(two, lesion, voxels):
    assert int(sitk.GetArrayFromImage(select_lesion(image_of(two), lesion)).sum()) == voxels


@pytest.mark.parametrize("lesion", [3, 0, "third", "-1"])
def test_absent_choice_lists_what_there_is(two, lesion):
    with pytest.raises(InputError, match=r"rank from 1 to 2, found 2 lesions"):
        select_lesion(image_of(two), lesion)


def test_specks_are_dropped_and_counted(two):
    two[:6] = 0
    two[1, 1, 1] = two[11, 19, 29] = 1
    with pytest.warns(ComouldWarning, match=r"2 specks below 1% .* dropped \(0.006 ml"):
        found = find_lesion(image_of(two))
    assert (found.parts, found.specks, int(found.mask.sum())) == (1, 2, 320)


def test_corner_contact_is_one_lesion():
    array = np.zeros((8, 12, 12), np.uint8)
    array[2:4, 2:6, 2:6] = 1
    array[4:6, 6:9, 6:9] = 1
    assert find_lesion(image_of(array)).parts == 1


def test_empty_mask():
    with pytest.raises(InputError, match=r"a drawn lesion, found an empty mask\. .*--roi"):
        select_lesion(image_of(np.zeros((4, 5, 6), np.uint8)))


def test_several_labels_are_listed(two):
    two[6:] *= 3
    with pytest.raises(InputError, match=r"one label besides 0, found 2 labels \(1, 3\)\. .*roi"):
        select_lesion(image_of(two))


def test_nan_is_refused(two):
    array = two.astype(np.float32)
    array[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        select_lesion(image_of(array))


def test_vector_image_is_refused():
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6, 2), np.uint8), isVector=True)
    with pytest.raises(InputError, match="one value per voxel, found 2"):
        select_lesion(image)


def positions(image):
    """Rounded patient positions of the marked voxels."""
    index = np.argwhere(sitk.GetArrayFromImage(image))[:, ::-1]
    return sorted(image.TransformIndexToPhysicalPoint(row) for row in index.tolist())


@pytest.mark.parametrize("flips", [(True, False, False), (False, True, False), (False, False, True), (True,) * 3])
def test_left_handed_storage_moves_no_voxel_and_is_told(two, flips):
    two[:6] = 0
    image = image_of(two)
    stored = sitk.Flip(image, flips)
    with pytest.warns(ComouldWarning, match=r"left-handed.*moves no voxel.*letters"):
        chosen = select_lesion(stored)
    np.testing.assert_allclose(positions(chosen), positions(image), atol=1e-9)
    assert np.linalg.det(np.reshape(chosen.GetDirection(), (3, 3))) == pytest.approx(1.0)


def test_a_flat_image_is_refused():
    with pytest.raises(GeometryError, match="3 dimensions"):
        select_lesion(sitk.Image(4, 4, sitk.sitkUInt8))


@pytest.mark.parametrize(("order", "flips"), [((2, 0, 1), (False,) * 3), ((1, 0, 2), (True, True, True))])
def test_storage_order_changes_neither_mask_nor_rank(two, order, flips):
    image = image_of(two)
    stored = sitk.Flip(sitk.PermuteAxes(image, order), flips)
    one, other = find_lesion(image, 2), find_lesion(stored, 2)
    assert np.array_equal(one.mask, other.mask)
    assert one.grid == other.grid
    assert one.stored is None
    assert other.stored == Grid.from_image(stored)
    check_fits_image(other, image)
    chosen = select_lesion(stored, 2)
    assert Grid.from_image(chosen) == Grid.from_image(stored)
    np.testing.assert_allclose(positions(chosen), positions(select_lesion(image, 2)), atol=1e-9)


def test_equal_lesions_are_ranked_by_position_not_by_storage():
    array = np.zeros((10, 20, 20), np.uint8)
    array[2:6, 4:8, 3:7] = array[2:6, 12:16, 12:16] = 1
    image = image_of(array)
    turned = sitk.Flip(image, (True, True, False))
    first = [find_lesion(one, 1).points_mm().mean(axis=0) for one in (image, turned)]
    np.testing.assert_allclose(*first)


def test_points_are_held_by_voxels(two):
    lesion = find_lesion(image_of(two), "largest")
    assert lesion.holds(lesion.points_mm()).all()
    corner = lesion.points_mm().min(axis=0)
    assert lesion.holds(np.array([corner, corner - [0.4, 0, 0], corner - [0.6, 0, 0], [1e3, 0, 0]])).tolist() == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("where", "side"),
    [
        (np.s_[0, 5, 5], "inferior"),
        (np.s_[-1, 5, 5], "superior"),
        (np.s_[5, 0, 5], "anterior"),
        (np.s_[5, -1, 5], "posterior"),
        (np.s_[5, 5, 0], "right"),
        (np.s_[5, 5, -1], "left"),
    ],
)
def test_border_names_the_side(where, side):
    array = np.zeros((11, 11, 11), np.uint8)
    array[3:8, 3:8, 3:8] = 1
    index = tuple(where)
    axis = next(n for n, at in enumerate(index) if at in {0, -1})
    run = [slice(5, 6)] * 3
    run[axis] = slice(0, 6) if index[axis] == 0 else slice(5, 11)
    array[tuple(run)] = 1
    with pytest.raises(GeometryError, match=rf"image border at the {side} side: .*larger field of view"):
        check_fits_image(find_lesion(image_of(array)), None)


def test_border_follows_the_direction_matrix():
    array = np.zeros((11, 11, 11), np.uint8)
    array[3:8, 3:8, 3:] = 1
    turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    with pytest.raises(GeometryError, match="posterior"):
        check_fits_image(find_lesion(image_of(array, direction=turned)), None)


def test_image_of_another_grid(two):
    lesion = find_lesion(image_of(two), "largest")
    check_fits_image(lesion, image_of(two.astype(np.float32)))
    with pytest.raises(GeometryError, match=r"the same grid, found spacing_mm .*nearest neighbour"):
        check_fits_image(lesion, image_of(two.astype(np.float32), spacing=(1.0, 1.0, 2.5)))


@pytest.mark.parametrize("extent", [(1, 6, 6), (4, 2, 2), (5, 1, 5)])
def test_slivers(extent):
    array = np.zeros((10, 10, 10), np.uint8)
    array[tuple(slice(2, 2 + n) for n in extent)] = 1
    with pytest.raises(GeometryError, match=r"at least 2 voxels along every axis.*sliver"):
        check_fits_image(find_lesion(image_of(array)), None)


def test_crop_keeps_positions(two):
    lesion = find_lesion(image_of(two), "largest")
    mask, matrix = lesion.crop((9, 9, 9))
    points = np.argwhere(mask)[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]
    assert np.allclose(points, lesion.points_mm())
    assert lesion.volume_ml == pytest.approx(0.96)

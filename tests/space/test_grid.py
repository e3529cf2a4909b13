"""Grid against SimpleITK, its inverse, and the geometry it refuses."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from comould.errors import GeometryError
from comould.space import Grid

lengths = st.floats(0.05, 10.0)
positions = st.floats(-500.0, 500.0)


@st.composite
def grids(draw):
    angles = draw(st.tuples(*[st.floats(-180.0, 180.0)] * 3))
    return Grid(
        draw(st.tuples(*[st.integers(1, 40)] * 3)),
        draw(st.tuples(lengths, lengths, lengths)),
        draw(st.tuples(positions, positions, positions)),
        Rotation.from_euler("xyz", angles, degrees=True).as_matrix(),
    )


@given(grids(), st.lists(st.tuples(*[st.integers(-5, 60)] * 3), min_size=1, max_size=5))
def test_positions_are_those_of_simpleitk(grid, indices):
    image = grid.to_image()
    ours = grid.patient_from_index(indices)
    theirs = [image.TransformIndexToPhysicalPoint(index) for index in indices]
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    continuous = [image.TransformPhysicalPointToContinuousIndex(tuple(point)) for point in ours]
    np.testing.assert_allclose(grid.index_from_patient(ours), continuous, atol=1e-8)


@given(grids())
def test_image_round_trip_keeps_the_grid(grid):
    back = Grid.from_image(grid.to_image())
    assert back == grid
    assert not back.difference(grid)
    assert back.shape == sitk.GetArrayViewFromImage(grid.to_image()).shape


@given(grids())
def test_corners_enclose_every_voxel_and_nothing_half_a_voxel_on(grid):
    centres = grid.patient_from_index([[0, 0, 0], [n - 1 for n in grid.size]])
    assert grid.contains(centres).all()
    outside = grid.patient_from_index([[-0.51, 0, 0], [0, 0, grid.size[2] - 0.49]])
    assert not grid.contains(outside).any()
    extent = np.ptp(grid.index_from_patient(grid.corners_mm()), axis=0)
    np.testing.assert_allclose(extent, grid.size, atol=1e-6)


def test_matrix_voxel_volume_and_orientation():
    turned = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    grid = Grid((4, 5, 6), (0.5, 2.0, 3.0), (1.0, 2.0, 3.0), turned)
    assert grid.orientation == "PSL"
    assert grid.voxel_ml == pytest.approx(0.003)
    np.testing.assert_allclose(grid.matrix @ [1, 0, 0, 1], [1.0, 2.5, 3.0, 1.0])


def test_a_flat_list_of_nine_is_a_direction():
    assert Grid((2, 2, 2), direction=[1, 0, 0, 0, 1, 0, 0, 0, 1]) == Grid((2, 2, 2))


def test_arrays_are_zyx_and_vectors_last():
    grid = Grid((4, 3, 2))
    image = grid.to_image(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    assert image.GetPixel(3, 0, 0) == 3
    assert image.GetPixel(0, 0, 1) == 12
    assert grid.to_image(np.zeros((2, 3, 4, 5), np.float32)).GetNumberOfComponentsPerPixel() == 5
    assert grid.to_image(np.ones(grid.shape, bool)).GetPixelID() == sitk.sitkUInt8
    with pytest.raises(GeometryError, match=r"expected shape \(2, 3, 4\) \(z, y, x\), found \(4, 3, 2\)"):
        grid.to_image(np.zeros((4, 3, 2)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "is not three positive lengths"),
        ({"spacing_mm": (1.0, np.nan, 1.0)}, "is not three positive lengths"),
        ({"origin_mm": (0.0, np.inf, 0.0)}, "is not three finite numbers"),
        ({"size": (3, 0, 3)}, "is not three positive counts"),
        ({"size": (3, 3)}, "is not three positive counts"),
        ({"direction": np.full((3, 3), np.nan)}, "is not a finite 3×3 matrix"),
        ({"direction": np.eye(2)}, "is not a finite 3×3 matrix"),
        ({"direction": np.diag([1.0, 1.0, 1.1])}, "expected orthonormal columns"),
        ({"direction": np.diag([1.0, 1.0, -1.0])}, "left-handed .*mirror image of the patient"),
        ({"direction": np.eye(3)[[1, 0, 2]]}, "left-handed"),
    ],
)
def test_impossible_geometry_is_refused(arguments, message):
    with pytest.raises(GeometryError, match=message):
        Grid(**{"size": (3, 3, 3), **arguments})


def test_every_problem_is_listed_at_once():
    with pytest.raises(GeometryError, match=r"3 problems: size .*; spacing .*; origin "):
        Grid((0, 1, 1), (-1.0, 1.0, 1.0), (np.nan, 0.0, 0.0))


def test_flat_image_is_no_volume():
    with pytest.raises(GeometryError, match="expected 3 dimensions, found 2"):
        Grid.from_image(sitk.Image([4, 4], sitk.sitkUInt8))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Grid((5, 4, 4)), "size"),
        (Grid((4, 4, 4), (1.0, 1.0, 1.1)), "spacing_mm"),
        (Grid((4, 4, 4), origin_mm=(0.0, 0.5, 0.0)), "origin_mm"),
        (Grid((4, 4, 4), direction=Rotation.from_euler("z", 1, degrees=True).as_matrix()), "directions"),
    ],
)
def test_difference_names_what_differs(other, words):
    grid = Grid((4, 4, 4))
    assert grid.difference(other).startswith(words)
    assert grid != other
    assert not grid.difference(other, tolerance_mm=10.0) or words == "size"


def test_grids_are_frozen():
    grid = Grid((2, 2, 2))
    with pytest.raises(ValueError, match="read-only"):
        grid.axes[0, 0] = 5.0
    with pytest.raises(TypeError, match="unhashable"):
        hash(grid)

"""One order of axes for every storage order."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from comould.mould.storage import Order, aligned, canonical, slice_axis, spread
from comould.space import Grid

PROPER = [
    Order(axes, signs)
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3))
    if np.linalg.det(np.eye(3)[list(axes)]) * np.prod(signs) > 0
]


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [
        ((0.7, 0.7, 3.0), 2),
        ((3.0, 0.7, 0.7), 0),
        ((0.8, 0.6, 3.0), 2),
        # Thin slices of square pixels: the odd one out.
        ((0.7, 0.625, 0.7), 1),
        ((1.0, 1.0, 1.0), 2),
        # Headers round.
        ((1.0, 1.0000001, 0.9999999), 2),
        ((0.6, 0.6, 0.601), 2),
    ],
)
def test_slices_are_told_by_their_spacing(spacing, axis):
    assert slice_axis(Grid((5, 6, 7), spacing)) == axis


@pytest.mark.parametrize("order", PROPER)
def test_reordering_moves_no_voxel_and_has_a_way_back(order):
    rng = np.random.default_rng(3)
    grid = Grid((4, 5, 6), (0.5, 0.7, 2.0), (10, -20, 30), Rotation.random(rng=rng).as_matrix())
    array = rng.integers(0, 1000, grid.shape)
    turned, moved = order.of_array(array), order.of_grid(grid)
    assert turned.shape == moved.shape

    def placed(values, on):
        index = np.indices(on.shape).reshape(3, -1)[::-1].T
        rows = np.column_stack([on.patient_from_index(index).round(6) + 0.0, values.ravel()])
        return rows[np.lexsort(rows.T)]

    np.testing.assert_allclose(placed(turned, moved), placed(array, grid))
    np.testing.assert_array_equal(order.inverse.of_array(turned), array)
    assert order.inverse.of_grid(moved) == grid
    assert aligned(moved, grid) == grid
    assert order.kept == (order == order.inverse == Order((0, 1, 2), (1, 1, 1)))


@given(
    st.integers(0, 10_000),
    st.sampled_from([(0.7, 0.7, 3.0), (0.7, 0.7, 0.5), (0.6, 0.8, 2.0)]),
    st.sampled_from([None, *[(axis, angle) for axis in "xyz" for angle in (0, 45, 90, 135)]]),
)
def test_every_storage_order_becomes_the_same_one(seed, spacing, turn):
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(rng=rng) if turn is None else Rotation.from_euler(*turn, degrees=True)
    grid = Grid((4, 5, 6), spacing, tuple(rng.normal(size=3) * 100), rotation.as_matrix())
    wanted = canonical(grid).of_grid(grid)
    assert canonical(wanted).kept
    for order in PROPER:
        found = order.of_grid(grid)
        # Float32 headers: nothing may hang on the last digits.
        noisy = Grid(found.size, tuple(np.float32(found.spacing_mm).tolist()), found.origin_mm, found.axes)
        again = canonical(noisy).of_grid(noisy)
        assert again.size == wanted.size
        assert not wanted.difference(again, 1e-5)


def test_standard_acquisitions_stay_as_they_are():
    for directions in (np.eye(3), [[1, 0, 0], [0, 0, 1], [0, -1, 0]], [[0, 0, -1], [1, 0, 0], [0, -1, 0]]):
        assert canonical(Grid((4, 5, 6), (0.7, 0.7, 3.0), direction=np.array(directions, float))).kept


def test_unlike_axes_are_not_aligned():
    turned = Grid((4, 5, 6), direction=Rotation.from_euler("xyz", (40, 40, 40), degrees=True).as_matrix())
    assert np.linalg.det(aligned(turned, Grid((4, 5, 6))).axes) > 0


def test_spread_is_a_voxels_shadow():
    grid = Grid((4, 5, 6), (1.0, 2.0, 3.0))
    assert spread(grid, np.array([0, 1.0, 0])) == 2.0
    assert spread(grid, np.array([0.6, 0, 0.8])) == pytest.approx(3.0)

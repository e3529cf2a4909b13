"""Convolutions box by box: the boxes change nothing, and stay small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.habitats.boxes import ball_means, inverse_distance_sums, split


def lesions(seed=0, count=3, extent=40):
    """Voxels of small cubes far apart."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, extent, (count, 3))
    cube = np.argwhere(np.ones((3, 2, 4), dtype=bool))
    return np.unique(np.concatenate([corner + cube for corner in corners]), axis=0)


@given(seed=st.integers(0, 1000), count=st.integers(1, 5), largest=st.sampled_from([1, 8, 100, 10_000]))
def test_parts_hold_every_voxel_once_in_small_boxes(seed, count, largest):
    voxels = lesions(seed, count)
    parts = split(voxels, largest)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(voxels)))
    for rows in parts:
        assert np.prod(np.ptp(voxels[rows], axis=0) + 1) <= largest


@pytest.mark.parametrize("largest", [5, 60, 1 << 22])
def test_sums_over_distance_equal_those_over_pairs(largest):
    voxels, spacing = lesions(1), np.array([2.0, 0.8, 1.0])
    values = np.random.default_rng(2).normal(size=(2, len(voxels)))
    apart = np.linalg.norm((voxels[:, None] - voxels[None]) * spacing, axis=2)
    weight = np.divide(1.0, apart, out=np.zeros_like(apart), where=apart > 0)
    np.testing.assert_allclose(
        inverse_distance_sums(voxels, values, spacing, largest), values @ weight, rtol=1e-9, atol=1e-12
    )


def test_ball_means_leave_out_what_is_unknown():
    array = np.random.default_rng(3).normal(size=(9, 8, 7))
    array[:, :, 5:] = np.nan
    spacing, voxels = np.array([1.0, 2.0, 1.5]), np.array([[0, 0, 0], [4, 4, 3], [8, 7, 4]])
    places = np.argwhere(np.isfinite(array))
    expected = [
        array[tuple(places[np.linalg.norm((places - voxel) * spacing, axis=1) <= 3.0].T)].mean() for voxel in voxels
    ]
    np.testing.assert_allclose(ball_means(array, voxels, 3.0, spacing), expected, atol=1e-12)

"""edge.py: distances to bodies whose surface is known."""

import anndata as ad
import numpy as np
import pytest

from comould import associate
from comould.errors import ComouldWarning, InputError
from comould.space import Grid

TURN = np.linalg.qr(np.array([[1.0, 0.3, -0.2], [-0.2, 1.0, 0.4], [0.3, -0.5, 1.0]]))[0]
TURN = TURN * np.sign(np.linalg.det(TURN))


def at(points) -> ad.AnnData:
    spots = ad.AnnData(np.zeros((len(points), 1), dtype=np.float32))
    spots.obsm["spatial_patient"] = np.asarray(points, dtype=np.float64)
    return spots


def to_box(points, half):
    """Signed distance to a box about the origin, positive inside."""
    q = np.abs(points) - half
    return -(np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(axis=1), 0))


def test_distances_to_a_box_are_exact_on_an_oblique_anisotropic_grid():
    grid = Grid((30, 24, 12), (0.7, 0.9, 3.0), (4.0, -30.0, 11.0), TURN)
    mask = np.zeros(grid.shape, np.uint8)
    mask[3:9, 5:18, 8:22] = 2
    rng = np.random.default_rng(0)
    index = rng.uniform([0, 0, 0], np.array(grid.size) - 1, (800, 3))
    spots = at(grid.patient_from_index(index))
    associate.distance_to_edge(spots, grid.to_image(mask))
    low, high = np.array([7.5, 4.5, 2.5]), np.array([21.5, 17.5, 8.5])
    spacing = np.array(grid.spacing_mm)
    expected = to_box((index - (low + high) / 2) * spacing, (high - low) / 2 * spacing)
    np.testing.assert_allclose(spots.obs["edge_mm"], expected, atol=1e-9)
    assert 0 < (expected > 0).mean() < 1


def test_a_ball_s_depth_is_within_half_a_voxel_s_diagonal_and_follows_the_radius():
    grid = Grid((60, 60, 24), (0.8, 0.8, 2.0), (-23.6, -23.6, -23.0))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)[..., ::-1].reshape(-1, 3)
    radius = np.linalg.norm(grid.patient_from_index(index), axis=1).reshape(grid.shape)
    rng = np.random.default_rng(1)
    points = rng.normal(size=(500, 3))
    points *= (rng.uniform(2, 20, 500) / np.linalg.norm(points, axis=1))[:, None]
    spots = at(points)
    associate.distance_to_edge(spots, grid.to_image((radius <= 15).astype(np.uint8)), key_added="depth")
    error = spots.obs["depth"].to_numpy() - (15 - np.linalg.norm(points, axis=1))
    assert np.abs(error).max() < 0.5 * np.linalg.norm(grid.spacing_mm)
    assert np.abs(error).mean() < 0.7
    assert np.corrcoef(spots.obs["depth"], np.linalg.norm(points, axis=1))[0, 1] < -0.99
    assert spots.uns["comould"]["depth"]["unit"] == "mm"


def test_spots_beyond_the_grid_are_told():
    grid = Grid((4, 4, 4))
    spots = at([[1, 1, 1], [90, 0, 0], [np.nan, 0, 0]])
    with pytest.warns(ComouldWarning, match="2 of 3 spots lie beyond the mask's grid and get no edge_mm"):
        associate.distance_to_edge(spots, grid.to_image(np.ones(grid.shape, np.uint8)))
    np.testing.assert_allclose(spots.obs["edge_mm"], [1.5, np.nan, np.nan])


def test_an_empty_mask_and_a_view_are_errors():
    grid = Grid((4, 4, 4))
    spots = at([[1, 1, 1], [2, 2, 2]])
    with pytest.raises(InputError, match="mask: expected voxels inside, found none"):
        associate.distance_to_edge(spots, grid.to_image())
    with pytest.raises(InputError, match="found a view"):
        associate.distance_to_edge(spots[:1], grid.to_image())
    with pytest.raises(InputError, match="2 values"):
        associate.distance_to_edge(spots, grid.to_image(np.ones((*grid.shape, 2))))

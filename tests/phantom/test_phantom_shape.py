"""The outline: volume, sign, star shape, chirality."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from comould.phantom.shape import Body, lengths, rotation, sphere, unit_vectors

CENTRE = np.array([-35.0, 12.0, -140.0])
RATIO = np.array([50.0, 45.0, 40.0])


def draw(seed: int, volume: float = 60.0) -> Body:
    return Body.draw(np.random.default_rng(seed), volume, RATIO, CENTRE)


@given(seed=st.integers(0, 2**32 - 1), volume=st.floats(2.0, 500.0))
def test_volume_is_met(seed, volume):
    assert draw(seed, volume).volume_ml == pytest.approx(volume, rel=1e-9)


def test_volume_agrees_with_counting():
    body = draw(0)
    surface = body.surface_mm()
    low, high = surface.min(axis=0) - 1, surface.max(axis=0) + 1
    points = np.random.default_rng(0).uniform(low, high, (200_000, 3))
    counted = (body.level_mm(points) <= 0).mean() * np.prod(high - low) / 1000.0
    assert counted == pytest.approx(60.0, rel=0.01)


@given(seed=st.integers(0, 2**32 - 1))
def test_level_is_zero_on_the_surface_and_signed(seed):
    body = draw(seed)
    surface = body.surface_mm(200)
    np.testing.assert_allclose(body.level_mm(surface), 0.0, atol=1e-9)
    outward = (surface - CENTRE) / np.linalg.norm(surface - CENTRE, axis=1, keepdims=True)
    np.testing.assert_allclose(body.level_mm(surface + 2.0 * outward), 2.0, atol=1e-9)
    np.testing.assert_allclose(body.level_mm(surface - 2.0 * outward), -2.0, atol=1e-9)
    assert body.level_mm(CENTRE[None])[0] < -5.0


@pytest.mark.parametrize("seed", range(8))
def test_shape_is_a_plausible_lesion(seed):
    body = draw(seed)
    extent = np.ptp(body.surface_mm(), axis=0)
    assert (extent > 30.0).all()
    assert (extent < 80.0).all()
    radius = body.radius_mm(sphere(2000))
    assert radius.min() > 8.0
    # Lobulated: well beyond what the bare ellipsoid would vary by (50 to 40).
    assert radius.max() / radius.min() > 1.6


def best_mirror_overlap(body: Body) -> float:
    """Largest share of the specimen that its mirror image can cover by rotation and translation."""
    points = body.interior(np.random.default_rng(1), 1500)
    centre = points.mean(axis=0)
    mirrored = (points - centre) * [-1.0, 1.0, 1.0]

    def overlap(pose):
        moved = mirrored @ Rotation.from_rotvec(pose[:3]).as_matrix().T + centre + pose[3:]
        return float((body.level_mm(moved) <= 0).mean())

    starts = [np.r_[turn.as_rotvec(), 0, 0, 0] for turn in Rotation.random(300, random_state=0)]
    starts.sort(key=overlap)
    best = 0.0
    for start in starts[-3:]:
        simplex = np.vstack([start, start + np.diag([0.3, 0.3, 0.3, 2.0, 2.0, 2.0])])
        found = minimize(
            lambda pose: -overlap(pose),
            start,
            method="Nelder-Mead",
            options={"maxfev": 150, "initial_simplex": simplex},
        )
        best = max(best, -found.fun)
    return best


@pytest.mark.parametrize("seed", [0, 3])
def test_no_rotation_brings_the_mirror_image_back(seed):
    assert best_mirror_overlap(draw(seed)) < 0.96


def test_interior_points_are_inside_and_spread():
    body = draw(2)
    points = body.interior(np.random.default_rng(0), 4000, 3.0)
    assert points.shape == (4000, 3)
    assert body.level_mm(points).max() < -3.0
    assert body.interior(np.random.default_rng(0), 0).shape == (0, 3)


@given(angles=st.tuples(*[st.floats(-180, 180)] * 3))
def test_rotation_is_proper(angles):
    matrix = rotation(np.array(angles))
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


def test_rotation_order_is_x_then_y_then_z():
    expected = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
    np.testing.assert_allclose(rotation(np.array([10.0, 20.0, 30.0])), expected, atol=1e-12)


def test_directions():
    vectors = unit_vectors(np.random.default_rng(0), 500)
    np.testing.assert_allclose(lengths(vectors), 1.0)
    np.testing.assert_allclose(lengths(sphere(300)), 1.0)
    assert abs(sphere(300).mean()) < 1e-3

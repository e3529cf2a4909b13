import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.register.maps import PlanarMap, Spline, similarity
from comould.space import Frame

ANGLES = st.floats(0, 359.9)


def spline(seed=0, size=(9, 11), spacing=(7.0, 6.0), origin=(-20.0, -15.0), strength=1.5):
    rng = np.random.default_rng(seed)
    return Spline(rng.normal(0, strength, (2, *size)), spacing, origin)


@given(ANGLES, st.floats(0.5, 2.0), st.booleans())
def test_similarity_says_what_it_is(angle, scale, flipped):
    centres = {"centre_from": np.array([3.0, 4.0]), "centre_to": np.array([-1.0, 9.0])}
    matrix = similarity(angle, scale, flipped=flipped, **centres)
    planar = PlanarMap(matrix)
    np.testing.assert_allclose(planar.apply(np.array([[3.0, 4.0]])), [[-1.0, 9.0]], atol=1e-9)
    assert planar.flipped == flipped
    assert planar.scale == pytest.approx(scale)
    assert (planar.angle_deg - angle + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


@given(ANGLES, st.booleans(), st.floats(-5, 5), st.integers(0, 99))
def test_embedding_in_three_dimensions_is_exact(angle, flipped, offset, seed):
    matrix = similarity(angle, 1.07, flipped=flipped, centre_from=np.zeros(2), centre_to=np.array([2.0, -1.0]))
    planar = PlanarMap(matrix, spline(seed))
    points = np.random.default_rng(seed).uniform(-40, 60, (200, 2))
    transform = planar.to_transform(offset)
    assert (transform.source, transform.target) == (Frame.SECTION_MM, Frame.PLANE)
    mapped = transform.apply(points)
    np.testing.assert_allclose(mapped[:, :2], planar.apply(points), atol=1e-9)
    np.testing.assert_allclose(mapped[:, 2], offset, atol=1e-12)
    itk = np.array([transform.itk.TransformPoint((x, y, 0.0)) for x, y in points[:20]])
    np.testing.assert_allclose(mapped[:20], itk, atol=1e-9)


def test_linear_embedding_keeps_the_hand():
    for flipped in (False, True):
        matrix = similarity(33.0, 0.95, flipped=flipped, centre_from=np.zeros(2), centre_to=np.ones(2))
        assert np.linalg.det(PlanarMap(matrix).to_transform().matrix[:3, :3]) > 0


def test_spline_of_constant_coefficients_is_a_shift_inside_and_nothing_outside():
    constant = Spline(np.stack([np.full((8, 9), 2.0), np.full((8, 9), -3.0)]), (5.0, 5.0), (0.0, 0.0))
    inside = np.array([[5.0, 5.0], [20.0, 11.0], [34.9, 29.9]])
    np.testing.assert_allclose(constant.displacement(inside), np.tile([2.0, -3.0], (3, 1)))
    np.testing.assert_array_equal(constant.displacement(np.array([[4.9, 10.0], [36.0, 10.0]])), 0)


def test_jacobians_agree_with_differences():
    planar = PlanarMap(similarity(20, 1.1, flipped=True, centre_from=np.zeros(2), centre_to=np.zeros(2)), spline())
    points = np.random.default_rng(1).uniform(0, 20, (50, 2))
    step = 1e-4
    for axis in range(2):
        shift = step * np.eye(2)[axis]
        slope = (planar.apply(points + shift) - planar.apply(points - shift)) / (2 * step)
        np.testing.assert_allclose(planar.jacobians(points)[:, :, axis], slope, atol=2e-3)

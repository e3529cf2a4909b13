"""Polygon fill against an independent point-in-polygon test."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from comould.io.polygon import fill


def reference(polygons, shape):
    """Even-odd over all polygons, centre by centre."""
    centres = np.array([(x, y) for y, x in np.ndindex(shape)], float)
    inside = sum(points_in_poly(centres, polygon).astype(int) for polygon in polygons)
    return (inside % 2 == 1).reshape(shape)


@given(seed=st.integers(0, 100_000), corners=st.integers(3, 12), parts=st.integers(1, 3))
def test_random_polygons_even_crossing_themselves(seed, corners, parts):
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-4, 24, (corners, 2)) for _ in range(parts)]
    np.testing.assert_array_equal(fill(polygons, (15, 20)), reference(polygons, (15, 20)))


def square(low, high):
    return np.array([(low, low), (high, low), (high, high), (low, high)], float)


def test_holes_islands_and_winding():
    ring = fill([square(0.5, 9.5), square(2.5, 7.5)[::-1], square(4.5, 5.5)], (11, 11))
    assert ring.sum() == 81 - 25 + 1
    assert ring[5, 5]
    np.testing.assert_array_equal(ring, fill([square(0.5, 9.5)[::-1], square(2.5, 7.5), square(4.5, 5.5)], (11, 11)))


def test_a_keyhole_leaves_its_hole_and_no_slit():
    outer, inner = square(0.5, 9.5), square(3.5, 6.5)
    keyhole = np.vstack([outer, outer[:1], inner[::-1][-1:], inner[::-1], outer[:1]])
    np.testing.assert_array_equal(fill([keyhole], (11, 11)), fill([outer, inner], (11, 11)))


def test_pixels_on_edges_belong_to_one_side_only():
    left, right = square(1, 4), square(1, 4) + np.array([3.0, 0.0])
    both = fill([left], (8, 9)).astype(int) + fill([right], (8, 9))
    assert both.max() == 1
    assert both.sum() == 18


def test_repeated_and_horizontal_points_do_no_harm():
    doubled = np.repeat(square(0.5, 3.5), 2, axis=0)
    assert fill([doubled], (5, 5)).sum() == 9
    assert fill([np.array([(1.0, 2.0), (3.0, 2.0), (2.0, 2.0)])], (5, 5)).sum() == 0

"""nulls/motion.py: moved maps are the map, exactly, where they say anything, and are scaled for where they do not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from comould.associate.nulls import make_null
from comould.associate.nulls.motion import LEAST_OVERLAP, sources
from comould.associate.nulls.places import Places
from comould.errors import InputError

SIDE = 20
MOVED = ("shift", "rotate", "rotate_reflect")


def square(side=SIDE):
    y, x = np.mgrid[:side, :side].astype(float)
    return np.column_stack([x.ravel(), y.ravel()])


def hexagonal(side=SIDE):
    points = square(side)
    return np.column_stack([points[:, 0] + 0.5 * (points[:, 1] % 2), points[:, 1] * np.sqrt(3) / 2])


def in_patient(points, heights=(0.0,), tilt=0.0):
    """Sections in a plane that no axis of the patient is parallel to; each tilted a little more."""
    normal = np.array([0.2, -0.5, 0.8])
    turn = np.linalg.qr(np.column_stack([normal, [1.0, 0, 0], [0, 1.0, 0]]))[0][:, [1, 2, 0]]
    stack = [np.column_stack([points, height + tilt * number * points[:, 0]]) for number, height in enumerate(heights)]
    return np.concatenate(stack) @ turn.T + [30.0, -20.0, 110.0]


def smooth(side=SIDE, sigma=2.0, seed=0, n=1):
    rng = np.random.default_rng(seed)
    pad = int(4 * sigma)
    fields = rng.standard_normal((n, side + 2 * pad, side + 2 * pad))
    return gaussian_filter(fields, (0, sigma, sigma))[:, pad:-pad, pad:-pad].reshape(n, -1)


def trees(places):
    return [cKDTree(places.in_plane[spots]) for spots in places.members]


@settings(max_examples=40, deadline=None)
@given(dx=st.integers(-9, 9), dy=st.integers(-9, 9))
def test_a_lattice_shifts_exactly(dx, dy):
    places = Places(square(), np.zeros(SIDE**2, dtype=np.intp))
    number = np.arange(SIDE**2).reshape(SIDE, SIDE)
    found = sources(places, trees(places), lambda own, _centre: own - [dx, dy]).reshape(SIDE, SIDE)
    expected = np.full((SIDE, SIDE), -1)
    expected[max(dy, 0) : SIDE + min(dy, 0), max(dx, 0) : SIDE + min(dx, 0)] = number[
        max(-dy, 0) : SIDE + min(-dy, 0), max(-dx, 0) : SIDE + min(-dx, 0)
    ]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("points", [square(), hexagonal()], ids=["square", "hexagonal"])
def test_every_shifted_map_is_the_map_seen_through_one_vector(points):
    values = np.arange(len(points), dtype=float)
    made = make_null(values, points, kind="shift", n=30)
    for row in made.maps:
        covered = row != 0
        # Centring takes a constant off: differences of places tell which spot each value came from.
        level = np.round(np.median(values[covered] - row[covered]) - row[covered] * 0)
        back = row[covered] + level
        mean = row[covered].astype(float).mean()
        assert abs(mean) < 1e-2
        assert covered.mean() >= LEAST_OVERLAP - 0.01
        assert len(np.unique(np.round(back, 2))) == covered.sum()


def test_products_with_the_unmoved_map_are_its_own_correlation():
    """The move by nothing must give back the observed correlation: the scale is right."""
    values = smooth()[0]
    made = make_null(values, square(), kind="shift", n=300, seed=1)
    feature = smooth(seed=5)[0]
    feature = (feature - feature.mean()) / np.linalg.norm(feature - feature.mean())
    whole = np.isclose(made.scale, np.linalg.norm(values - values.mean()))
    still = np.flatnonzero(whole & np.isclose(made.maps, values - values.mean(), atol=1e-5).all(axis=1))
    assert len(still) >= 1
    expected = np.corrcoef(values, feature)[0, 1]
    np.testing.assert_allclose(made.maps[still] @ feature / made.scale[still], expected, rtol=1e-4)


def test_the_correction_makes_variances_alike_whatever_the_overlap():
    values, points = smooth()[0], square()
    made = make_null(values, points, kind="shift", n=600, seed=2)
    # Unrelated genes as smooth as the map: chance grows more slowly than the number of spots falls.
    genes = smooth(seed=9, n=1500).T
    genes = (genes - genes.mean(axis=0)) / np.linalg.norm(genes - genes.mean(axis=0), axis=0)
    spread = np.sqrt(np.mean((made.maps @ genes / made.scale[:, None]) ** 2, axis=1))
    own = np.sqrt(np.mean(((values - values.mean()) / np.linalg.norm(values - values.mean()) @ genes) ** 2))
    overlap = (made.maps != 0).mean(axis=1)
    few, many = spread[overlap < 0.5], spread[overlap > 0.8]
    assert few.mean() == pytest.approx(many.mean(), rel=0.12)
    assert many.mean() == pytest.approx(own, rel=0.12)


@pytest.mark.parametrize("kind", MOVED)
def test_rows_are_centred_in_each_section_and_moved_alike_in_all(kind):
    points = in_patient(square(12), heights=(0, 3, 6))
    sections = np.repeat(["a", "b", "c"], 144)
    values = np.tile(smooth(12)[0], 3) + np.repeat([0.0, 10.0, -4.0], 144)
    made = make_null(values, points, sections, kind=kind, n=40)
    parts = made.maps.reshape(40, 3, 144)
    np.testing.assert_allclose(parts.sum(axis=2), 0, atol=1e-3)
    np.testing.assert_allclose(parts[:, 0], parts[:, 1], atol=1e-4)
    np.testing.assert_allclose(parts[:, 0], parts[:, 2], atol=1e-4)


@pytest.mark.parametrize("kind", ["rotate", "rotate_reflect"])
def test_a_map_that_is_round_about_the_centre_stays(kind):
    points = square(41) - 20
    points = points[np.hypot(*points.T) <= 20]
    radius = np.hypot(*points.T)
    made = make_null(radius, points, kind=kind, n=60)
    for row in made.maps:
        covered = row != 0
        assert covered.mean() > 0.95
        assert np.corrcoef(row[covered], radius[covered])[0, 1] > 0.99
    assert not any("edge" in doubt for doubt in made.fit.doubts)


def test_turning_back_and_forth_gives_the_map_back_and_only_one_kind_mirrors():
    """A map with a hand: turned copies agree best with itself, mirrored ones with its mirror image."""
    points = square(31) - 15
    x, y = points.T
    angle = np.arctan2(y, x)
    hand = np.cos(3 * (angle - np.hypot(x, y) / 8))
    other = np.cos(3 * (angle + np.hypot(x, y) / 8))
    turns = [np.deg2rad(step) for step in range(0, 120, 4)]
    own = np.array([np.cos(3 * (angle - turn - np.hypot(x, y) / 8)) for turn in turns])
    mirrored = np.array([np.cos(3 * (angle - turn + np.hypot(x, y) / 8)) for turn in turns])
    assert hand.shape == other.shape

    def is_mirrored(kind):
        rows = make_null(hand, points, kind=kind, n=40, seed=3).maps
        return np.array([(mirrored @ row).max() > (own @ row).max() for row in rows])

    assert not is_mirrored("rotate").any()
    assert 8 <= is_mirrored("rotate_reflect").sum() <= 32


@pytest.mark.parametrize("kind", MOVED)
def test_where_the_specimen_lies_in_the_patient_does_not_matter(kind):
    values = (smooth(14)[0] > 0).astype(float)
    flat = np.column_stack([square(14), np.zeros(196)])
    one = make_null(values, flat, kind=kind, n=20, seed=4)
    two = make_null(values, flat + np.array([100.0, -50.0, 8.0]), kind=kind, n=20, seed=4)
    np.testing.assert_array_equal(one.maps, two.maps)
    np.testing.assert_allclose(one.scale, two.scale)


def test_the_common_plane_of_tilted_sections_is_found():
    points = in_patient(square(12), heights=(0, 3, 6), tilt=0.01)
    places = Places(points, np.repeat([0, 1, 2], 144))
    normal = np.array([0.2, -0.5, 0.8]) / np.linalg.norm([0.2, -0.5, 0.8])
    assert abs(places.axes[2] @ normal) > 0.999
    np.testing.assert_allclose(places.axes @ places.axes.T, np.eye(3), atol=1e-12)
    assert places.planar
    assert places.pitch == pytest.approx(1, rel=1e-3)


def test_the_edge_is_outside_and_around_holes():
    points = square(21)
    points = points[np.abs(points - 10).max(axis=1) > 2]
    places = Places(points, np.zeros(len(points), dtype=np.intp))
    distance = places.edge_distance()
    outer = np.minimum(points, 20 - points).min(axis=1)
    inner = np.abs(points - 10).max(axis=1) - 3
    assert (distance[outer == 0] == 0).all()
    assert (distance[inner == 0] <= 2).all()  # at the corners of a hole tissue is on three sides
    middle = (inner == 0) & (np.abs(points - 10).min(axis=1) <= 1)
    assert (distance[middle] == 0).all()
    assert (distance[(outer > 0) & (inner > 0)] > 0).all()
    assert distance.max() <= 4.5


def test_one_missing_spot_is_no_edge():
    points = square(15)
    points = points[~(points == 7).all(axis=1)]
    distance = Places(points, np.zeros(len(points), dtype=np.intp)).edge_distance()
    next_to_it = np.abs(points - 7).sum(axis=1) == 1
    assert (distance[next_to_it] > 5).all()


def test_a_support_with_few_places_to_go_is_refused_in_words():
    points = np.column_stack([np.arange(30.0), np.zeros(30)])
    made = make_null(np.sin(np.arange(30.0)), points, kind="shift", n=200)
    assert "different moves of the map, 40 needed" in made.fit.refusal
    assert "kind='variogram'" in made.fit.refusal


@pytest.mark.parametrize("kind", MOVED)
def test_a_section_that_is_no_plane_is_an_error(kind):
    points = np.random.default_rng(0).uniform(0, 10, (200, 3))
    with pytest.raises(InputError, match=r"sections that are planes.*Give the section of each spot"):
        make_null(points[:, 0], points, kind=kind, n=9)


@pytest.mark.parametrize("kind", MOVED)
def test_holes_and_ragged_outlines_lose_spots_and_nothing_else(kind):
    points = square(24)
    keep = (np.hypot(*(points - 12).T) < 11) & (np.hypot(*(points - [14, 10]).T) > 3.5)
    points, values = points[keep], smooth(24)[0][keep] + 7
    made = make_null(values, points, kind=kind, n=60)
    covered = (made.maps != 0).mean(axis=1)
    assert (covered >= LEAST_OVERLAP - 0.01).all()
    assert (made.scale <= 1.3 * np.linalg.norm(values - values.mean())).all()
    assert (np.ptp(made.maps, axis=1) <= np.ptp(values) + 1e-4).all()

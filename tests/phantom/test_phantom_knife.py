"""Where the knife really went: exact sizes, random directions, and the truth that is told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.phantom import CutOptions
from comould.phantom.knife import _about, specimen_in_cut, true_cut
from comould.phantom.shape import Body
from comould.space import CutPlane, SlicePlan

BODY = Body.draw(np.random.default_rng(0), 60.0, np.array([50.0, 45.0, 40.0]), np.array([-35.0, 12.0, -140.0]))
PLANE = CutPlane.from_normal("P01", (-35.0, 12.0, -142.0), (0.1, -0.2, 1.0))
FAR = CutPlane("P02", tuple(np.array(PLANE.origin_mm) + 60.0 * np.array(PLANE.u)), PLANE.normal, PLANE.u, PLANE.v)


def cut(seed=0, plane=PLANE, **options):
    return true_cut(plane, BODY, CutOptions(**options), np.random.default_rng(seed))


def angle_deg(one: CutPlane, other: CutPlane) -> float:
    return np.rad2deg(np.arctan2(np.linalg.norm(np.cross(one.normal, other.normal)), np.dot(one.normal, other.normal)))


def middle(plane: CutPlane) -> np.ndarray:
    outline = specimen_in_cut(BODY, plane.patient_from_plane)
    return plane.patient_from_plane.apply([(outline.min(axis=0) + outline.max(axis=0)) / 2])[0]


def test_without_error_the_cut_is_the_plane():
    assert cut().plane == PLANE
    assert (cut().offset_mm, cut().tilt_deg) == (0.0, (0.0, 0.0))


@pytest.mark.parametrize("plane", [PLANE, FAR])
@pytest.mark.parametrize(("offset", "tilt"), [(1.0, 5.0), (0.0, 5.0), (2.5, 0.0)])
def test_exact_sizes_and_signs(plane, offset, tilt):
    """Measured on the planes themselves: distance at the specimen's middle, angle between normals, turn about u, v."""
    for seed in range(6):
        made = cut(seed, plane, offset_mm=offset, tilt_deg=tilt)
        assert angle_deg(made.plane, plane) == pytest.approx(tilt, abs=1e-9)
        assert np.hypot(*made.tilt_deg) == pytest.approx(tilt, abs=1e-9)
        centre = middle(plane)
        # The true plane passes the displaced middle.
        moved = centre + made.offset_mm * np.array(plane.normal)
        np.testing.assert_allclose(made.plane.distance_mm(moved), 0.0, atol=1e-9)
        assert abs(made.offset_mm) == pytest.approx(offset)
        if tilt:
            axis = (made.tilt_deg[0] * np.array(plane.u) + made.tilt_deg[1] * np.array(plane.v)) / tilt
            np.testing.assert_allclose(
                np.cross(plane.normal, made.plane.normal), axis * np.sin(np.deg2rad(tilt)), atol=1e-9
            )


def test_both_sides_and_all_directions_occur():
    made = [cut(seed, offset_mm=1.0, tilt_deg=5.0) for seed in range(40)]
    assert 10 <= sum(one.offset_mm > 0 for one in made) <= 30
    turns = np.arctan2(*np.array([one.tilt_deg for one in made]).T)
    assert np.histogram(turns, bins=4, range=(-np.pi, np.pi))[0].min() >= 3


def test_spreads_are_standard_deviations():
    made = [cut(seed, offset_sd_mm=1.0, tilt_sd_deg=3.0) for seed in range(80)]
    assert 0.75 < np.std([one.offset_mm for one in made]) < 1.25
    assert 2.3 < np.std([one.tilt_deg for one in made]) < 3.7


def test_one_error_leaves_the_other_alone():
    both, offset, tilt = (cut(7, **o) for o in ({"offset_mm": 1, "tilt_deg": 4}, {"offset_mm": 1}, {"tilt_deg": 4}))
    assert both.offset_mm == offset.offset_mm
    assert both.tilt_deg == tilt.tilt_deg


def test_missed_plane_has_no_specimen_and_may_still_tilt():
    far = CutPlane.from_normal("far", (-35.0, 12.0, 0.0), (0, 0, 1))
    assert specimen_in_cut(BODY, far.patient_from_plane).shape == (0, 2)
    assert angle_deg(cut(plane=far, tilt_deg=5.0).plane, far) == pytest.approx(5.0)


def test_moved_plane_lies_on_no_image_slice():
    plane = CutPlane.from_normal("P03", PLANE.origin_mm, (0, 0, 1), image_index=4.0, kerf_mm=0.6, face="+")
    assert cut(plane=plane).plane.image_index == 4.0
    made = cut(plane=plane, offset_mm=1.0).plane
    assert (made.image_index, made.kerf_mm, made.face, made.id) == (None, 0.6, "+", "P03")
    assert SlicePlan((made,))["P03"] is made


@given(st.tuples(*[st.floats(-60.0, 60.0)] * 2))
def test_turn_is_a_rotation_by_its_length_about_its_direction(tilt):
    matrix = _about(np.array(tilt))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    np.testing.assert_allclose(matrix @ [*tilt, 0.0], [*tilt, 0.0], atol=1e-9)
    assert np.trace(matrix) == pytest.approx(1.0 + 2.0 * np.cos(np.deg2rad(np.hypot(*tilt))))

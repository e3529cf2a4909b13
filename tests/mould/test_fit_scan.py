"""A surface scan against the plan: how the specimen sat is found, and what a round one cannot tell is admitted."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from trimesh.transformations import rotation_matrix, translation_matrix

from comould.errors import InputError
from comould.mould import fit_scan
from comould.mould.fit.planned import Planned
from comould.mould.fit.scan import Attitude
from comould.space import CutPlane, SlicePlan, Transform


def spread_out(lumps, subdivisions=4):
    """A star-shaped body: how far the lumps reach in each direction."""
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    directions = np.asarray(ball.vertices)
    reach = np.full(len(directions), 12.0)
    for direction, height, width in lumps:
        away = np.arccos(np.clip(directions @ (np.array(direction) / np.linalg.norm(direction)), -1, 1))
        reach += height * np.exp(-0.5 * (away / width) ** 2)
    return directions * reach[:, None], np.asarray(ball.faces)


LUMPS = [
    ((1, 0.4, 0.2), 9, 0.5),
    ((-0.3, 1, 0.1), 7, 0.4),
    ((0.1, -0.6, 1), 5, 0.45),
    ((-0.8, -0.5, -0.6), 4, 0.35),
    ((0.5, 0.3, -1), 6, 0.35),
]


def planned_of(vertices, faces):
    plane = CutPlane("P01", (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    centred = vertices - 0.5 * (vertices.min(axis=0) + vertices.max(axis=0)) + (0.0, 0.0, 30.0)
    return Planned(centred, faces, SlicePlan((plane,)), Transform.identity("patient", "mould"))


@pytest.fixture(scope="module")
def plan():
    return planned_of(*spread_out(LUMPS))


@pytest.fixture(scope="module")
def sphere():
    return planned_of(*spread_out([]))


def turned(degrees, axis):
    return rotation_matrix(np.radians(degrees), axis)


def scanned(plan, motion=None, scale=1.0, noise_mm=0.05):
    """Scan of the specimen after a motion about its middle: shrunk, a little rough."""
    middle = 0.5 * (plan.vertices.min(axis=0) + plan.vertices.max(axis=0))
    matrix = np.eye(4) if motion is None else motion
    rough = np.random.default_rng(7).normal(0.0, noise_mm, plan.vertices.shape)
    vertices = scale * (plan.vertices + rough - middle) @ matrix[:3, :3].T + matrix[:3, 3] + middle
    return trimesh.Trimesh(vertices, plan.faces, process=False)


def in_place(plan, scan, **rest):
    return fit_scan(scan, planned=plan, frame="mould", **rest)


def test_as_planned(plan):
    fit = in_place(plan, scanned(plan))
    assert fit.verdict == "as planned"
    assert fit.undecided == ()
    assert fit.dice > 0.98
    assert fit.hd95_mm < 0.3
    assert fit.size_ratio == pytest.approx(1.0, abs=0.01)
    assert fit.attitude.tilt_deg < 0.5
    assert fit.shift_mm == pytest.approx((0, 0, 0), abs=0.1)
    assert fit.planned_from_scan == pytest.approx(np.eye(4), abs=0.1)


@given(st.floats(15.0, 345.0))
@settings(max_examples=4)
def test_a_turn_in_the_mould_is_measured(plan, degrees):
    fit = in_place(plan, scanned(plan, turned(degrees, (0, 0, 1)), 0.96))
    assert fit.verdict == "turned"
    assert (fit.attitude.turn_deg - degrees + 180) % 360 - 180 == pytest.approx(0.0, abs=1.5)
    assert fit.attitude.tilt_deg < 1.5
    assert fit.size_ratio == pytest.approx(0.96, abs=0.01)


def test_turned_by_half_a_turn_is_said_without_a_side(plan):
    assert in_place(plan, scanned(plan, turned(180, (0, 0, 1)))).sentence() == "turned by 180°"


@pytest.mark.parametrize(("axis", "about_x", "about_y"), [((1, 0, 0), 9.0, 0.0), ((0, 1, 0), 0.0, 9.0)])
def test_a_tilt_in_the_mould_is_measured(plan, axis, about_x, about_y):
    fit = in_place(plan, scanned(plan, turned(9, axis)))
    assert fit.verdict == "tilted"
    assert fit.attitude.tilt_deg == pytest.approx(9.0, abs=1.0)
    assert fit.attitude.about_normal_deg == pytest.approx(about_x, abs=1.0)
    assert fit.attitude.about_y_deg == pytest.approx(about_y, abs=1.0)
    assert "tilted by 9°" in fit.sentence()


def test_a_shift_is_measured_and_is_no_turn(plan):
    fit = in_place(plan, scanned(plan, translation_matrix((2.0, -1.0, 3.0))))
    assert fit.sat_well
    assert fit.shift_mm == pytest.approx((2, -1, 3), abs=0.15)


def test_a_free_scan_tells_shape_and_size_only(plan):
    motion = translation_matrix((300, -40, 8)) @ rotation_matrix(2.1, (1, 2, -0.5))
    fit = fit_scan(scanned(plan, motion, 0.92), planned=plan)
    assert fit.sat_well
    assert fit.attitude is None
    assert fit.shift_mm is None
    assert fit.size_ratio == pytest.approx(0.92, abs=0.01)
    assert fit.shape_hd95_mm < 0.3 < fit.hd95_mm
    assert fit.sentence() == "shape as planned"


def test_a_mirror_image_is_told(plan):
    scan = scanned(plan)
    scan.vertices[:, 0] *= -1
    scan.invert()
    fit = fit_scan(scan, planned=plan)
    assert fit.verdict == "mirror image"
    assert not fit.sat_well


def test_a_sphere_cannot_tell(sphere):
    fit = in_place(sphere, scanned(sphere, turned(180, (0, 0, 1))))
    assert fit.sat_well
    assert fit.undecided


def test_another_body_matches_nothing(plan):
    other = trimesh.creation.box((50, 14, 14)).subdivide().subdivide()
    fit = fit_scan(other, planned=plan)
    assert fit.verdict == "no match"
    assert fit.dice < 0.9


def test_the_upper_half_alone_tells_how_it_sat(plan):
    scan = scanned(plan, turned(8, (1, 0, 0)), noise_mm=0.02)
    scan.update_faces(scan.triangles_center[:, 2] > 28.0)
    fit = in_place(plan, scan)
    assert not fit.closed
    assert fit.dice is None
    assert fit.size_ratio is None
    assert fit.attitude.about_normal_deg == pytest.approx(8.0, abs=1.5)
    assert all(len(planned) for planned, _ in fit.sections.values())


def test_files_of_either_kind_and_facets_facing_inwards(plan, tmp_path):
    scan = scanned(plan)
    scan.invert()
    for name in ("scan.stl", "scan.ply"):
        scan.export(tmp_path / name)
        fit = in_place(plan, tmp_path / name)
        assert fit.sat_well
        assert fit.dice > 0.98


def test_same_scan_same_numbers(plan):
    first, second = (in_place(plan, scanned(plan, turned(20, (0, 0, 1)))).to_dict() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("scale", "unit"), [(0.001, "metres"), (1 / 25.4, "inches"), (0.1, "centimetres"), (1000.0, "micrometres")]
)
def test_other_units_are_refused_with_the_way_out(plan, scale, unit):
    with pytest.raises(InputError, match=unit):
        fit_scan(scanned(plan, scale=scale), planned=plan)


def test_bad_scans(plan, tmp_path):
    with pytest.raises(InputError, match="Check that it is this specimen"):
        fit_scan(scanned(plan, scale=2.2), planned=plan)
    with pytest.raises(InputError, match="20 facets"):
        fit_scan(trimesh.creation.box((20, 20, 20)), planned=plan)
    with pytest.raises(InputError, match="no file"):
        fit_scan(tmp_path / "none.stl", planned=plan)
    with pytest.raises(InputError, match="'mould' or 'free'"):
        fit_scan(scanned(plan), planned=plan, frame="patient")


@given(st.floats(-170, 170), st.floats(-20, 20), st.floats(0, 360))
def test_attitude_splits_any_rotation(turn, tilt, direction):
    lean = rotation_matrix(np.radians(tilt), (np.cos(np.radians(direction)), np.sin(np.radians(direction)), 0))
    found = Attitude.of((lean @ rotation_matrix(np.radians(turn), (0, 0, 1)))[:3, :3])
    assert found.turn_deg == pytest.approx(turn, abs=1e-6)
    assert found.tilt_deg == pytest.approx(abs(tilt), abs=1e-5)


def test_planned_must_be_a_body(plan):
    with pytest.raises(InputError, match="facing outwards"):
        Planned(plan.vertices, plan.faces[:, ::-1], plan.plan, plan.mould_from_patient)

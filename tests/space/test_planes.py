"""Cutting planes: right-handed frames, pairing by id, and JSON that keeps every bit."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import GeometryError, InputError
from comould.space import CutPlane, Frame, SlicePlan

vectors = st.tuples(*[st.floats(-1.0, 1.0)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)
points = st.tuples(*[st.floats(-300.0, 300.0)] * 3)


def plan_of(count=4, spacing=5.0, normal=(0.2, -0.1, 1.0), **rest):
    unit = np.array(normal) / np.linalg.norm(normal)
    return SlicePlan(
        tuple(
            CutPlane.from_normal(f"P{n + 1:02d}", np.array([10.0, -20.0, 30.0]) + n * spacing * unit, unit, **rest)
            for n in range(count)
        )
    )


@given(points, vectors)
def test_plane_frame_is_a_proper_rotation_and_its_inverse_undoes_it(origin, normal):
    plane = CutPlane.from_normal("P1", origin, normal)
    np.testing.assert_allclose(plane.rotation.T @ plane.rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(plane.rotation) == pytest.approx(1.0)
    np.testing.assert_allclose(np.cross(plane.u, plane.v), plane.normal, atol=1e-12)
    cloud = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.5]])
    placed = plane.patient_from_plane.apply(cloud)
    np.testing.assert_allclose(plane.distance_mm(placed), [0.0, 2.5], atol=1e-9)
    np.testing.assert_allclose(plane.plane_from_patient.apply(placed), cloud, atol=1e-9)
    assert plane.patient_from_plane.source is Frame.PLANE


@given(vectors, vectors)
def test_hint_gives_u_its_side(normal, hint):
    if np.linalg.norm(np.cross(normal, hint)) < 1e-2 * np.linalg.norm(normal) * np.linalg.norm(hint):
        return
    assert np.dot(CutPlane.from_normal("P1", (0, 0, 0), normal, u_hint=hint).u, hint) > 0


def test_axial_plane_shows_the_image_as_it_is_stored():
    plane = CutPlane.from_normal("P1", (0, 0, 12.5), (0, 0, 1))
    assert plane.u == (1.0, 0.0, 0.0)
    assert plane.v == (0.0, 1.0, 0.0)
    assert plane.position_mm == 12.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": (1.0, 0.1, 0.0)}, "not orthonormal"),
        ({"u": (0.0, 1.0, 0.0), "v": (1.0, 0.0, 0.0)}, "left-handed"),
        ({"normal": (0.0, 0.0, np.nan)}, "not finite vectors"),
        ({"origin_mm": (0.0, 0.0)}, "not finite vectors"),
        ({"kerf_mm": -1.0}, "is not a length"),
        ({"kerf_mm": np.nan}, "is not a length"),
        ({"face": "up"}, "is not '-' or '\\+'"),
        ({"id": ""}, "1 to 32 printable"),
        ({"id": "a\nb"}, "1 to 32 printable"),
    ],
)
def test_impossible_planes_are_refused(change, message):
    right = {"id": "P1", "origin_mm": (0, 0, 0), "normal": (0, 0, 1), "u": (1, 0, 0), "v": (0, 1, 0)}
    with pytest.raises(GeometryError, match=message):
        CutPlane(**{**right, **change})


@pytest.mark.parametrize(("normal", "hint"), [((0, 0, 0), None), ((0, 0, 1), (0, 0, 2)), ((np.nan, 0, 1), None)])
def test_no_plane_without_a_direction(normal, hint):
    with pytest.raises(GeometryError, match="expected a direction"):
        CutPlane.from_normal("P1", (0, 0, 0), normal, u_hint=hint)


def test_planes_pair_by_id_never_by_order():
    plan = plan_of(5)
    without = SlicePlan(tuple(plane for plane in plan if plane.id != "P02"))
    for plane in without:
        assert without[plane.id] is plan[plane.id]
    assert len(without) == 4
    with pytest.raises(InputError, match="'P02': expected one of P01, P03, P04, P05, found none"):
        without["P02"]


def test_spacings_and_normal():
    plan = plan_of(4, 7.5)
    np.testing.assert_allclose(plan.spacings_mm, 7.5)
    np.testing.assert_allclose(np.linalg.norm(plan.normal), 1.0)


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        (lambda p: (), "it has no plane"),
        (lambda p: (p[0], p[0]), "ids used twice: P01"),
        (lambda p: (p[1], p[0]), "positions along the normal do not increase"),
        (
            lambda p: (p[0], CutPlane.from_normal("X", (0, 0, 90), (0, 0.2, 1))),
            "not parallel with one normal direction",
        ),
        (
            lambda p: (p[0], CutPlane.from_normal("X", (0, 0, 90), -np.array(p[0].normal))),
            "not parallel with one normal direction",
        ),
    ],
)
def test_impossible_plans_are_refused(planes, message):
    with pytest.raises(GeometryError, match=message):
        SlicePlan(planes(plan_of(3).planes))


@given(st.lists(st.floats(0.1, 30.0), min_size=1, max_size=6), vectors, points)
def test_json_gives_back_every_bit(steps, normal, origin):
    unit = np.array(normal) / np.linalg.norm(normal)
    offsets = np.cumsum(steps)
    plan = SlicePlan(
        tuple(
            CutPlane.from_normal(f"P{n}", np.array(origin) + d * unit, unit, kerf_mm=d / 7, image_index=d * 0.3)
            for n, d in enumerate(offsets)
        )
    )
    back = SlicePlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert back == plan


def test_file_round_trip_and_from_a_manifest(tmp_path):
    plan = plan_of(3, face="+", kerf_mm=1.2, image_index=3.0)
    assert SlicePlan.load(plan.save(tmp_path / "plan.json")) == plan
    (tmp_path / "manifest.json").write_text(json.dumps({"units": "mm", "slice_plan": plan.to_dict()}))
    assert SlicePlan.load(tmp_path / "manifest.json") == plan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": "cm"}, "found units 'cm'"),
        ({"frame": "mould"}, "frame 'mould'"),
        ({"orientation": "RAS"}, "orientation 'RAS'"),
        ({"planes": None}, "and a list of planes"),
        ({"planes": [{"id": "P1"}]}, "planes with the documented keys"),
        ({"planes": ["P1"]}, "planes with the documented keys"),
        ({"planes": [{"id": "P1", "origin_mm": "abc", "normal": "abc", "u": "abc", "v": "abc"}]}, "documented keys"),
        ({"planes": []}, "it has no plane"),
    ],
)
def test_plans_of_another_kind_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        SlicePlan.from_dict({**plan_of(2).to_dict(), **change})


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00binary", b"{", b"[1, 2]"])
def test_files_that_are_no_plan_are_input_errors(tmp_path, content):
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(InputError, match="slice plan"):
        SlicePlan.load(tmp_path / "plan.json")

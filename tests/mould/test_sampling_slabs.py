"""Slabs: names, thickness, which face is seen, and that it is never seen as its mirror image by mistake."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.mould import slabs
from comould.mould.sampling.slab import extent_mm
from comould.space import CutPlane, SlicePlan

CENTRE = np.array([11.0, -23.0, 47.0])


def plan(offsets, *, faces="-", normal=(0, 0, 1), kerf=1.0, centre=CENTRE):
    normal = np.array(normal, float) / np.linalg.norm(normal)
    faces = faces * len(offsets) if len(faces) == 1 else faces
    return SlicePlan(
        tuple(
            CutPlane.from_normal(f"P{n:02d}", centre + offset * normal, normal, kerf_mm=kerf, face=face)
            for n, (offset, face) in enumerate(zip(offsets, faces, strict=True), 1)
        )
    )


@pytest.fixture(scope="module")
def ball(shapes):
    return shapes.sampled(lambda p: shapes.ball(p, 15.0), 15.0, spacing=(1.0, 1.0, 1.0))


def test_names_thickness_and_ends(ball):
    made = slabs(plan([-5, 0, 5]), ball)
    assert [slab.id for slab in made] == ["S01", "S02", "S03", "S04"]
    assert [slab.number for slab in made] == [1, 2, 3, 4]
    assert made[0].near is None
    assert made[3].far is None
    assert (made[1].near.id, made[1].far.id) == ("P01", "P02")
    assert np.allclose([slab.thickness_mm for slab in made[1:3]], 4.0)
    # The end slabs reach to the outer faces of the outer voxels.
    low, high = extent_mm(ball, np.array([0.0, 0, 1]))
    assert np.isclose(made[0].thickness_mm, CENTRE[2] - 5.5 - low)
    assert np.isclose(made[3].thickness_mm, high - (CENTRE[2] + 5.5))
    assert abs(high - low - 30.0) <= 1.0


def test_minus_face_is_photographed_on_the_slab_after_the_plane(ball):
    made = slabs(plan([-5, 0, 5]), ball)
    assert [slab.photographed for slab in made] == [False, True, True, True]
    assert [slab.plane.id for slab in made] == ["P01", "P01", "P02", "P03"]
    # The first slab has one cut face only, seen from the other side.
    assert [slab.face for slab in made] == ["+", "-", "-", "-"]


def test_plus_face_is_photographed_on_the_slab_before_the_plane(ball):
    made = slabs(plan([-5, 0, 5], faces="+"), ball)
    assert [slab.photographed for slab in made] == [True, True, True, False]
    assert [slab.plane.id for slab in made] == ["P01", "P02", "P03", "P03"]
    assert [slab.face for slab in made] == ["+", "+", "+", "-"]


def test_a_slab_between_two_photographed_faces_is_looked_at_from_the_near_one(ball):
    made = slabs(plan([-5, 5], faces="-+"), ball)
    assert (made[1].plane.id, made[1].face, made[1].photographed) == ("P01", "-", True)
    assert [slab.photographed for slab in slabs(plan([-5, 5], faces="+-"), ball)] == [True, False, True]


@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    face=st.sampled_from("-+"),
    xy=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    kerf=st.floats(0.0, 2.0),
)
def test_face_frame_is_a_rotation_into_the_tissue_and_agrees_with_the_plane(ball, angles, face, xy, kerf):
    normal = Rotation.from_euler("xyz", angles, degrees=True).apply([0, 0, 1.0])
    cut = plan([-4, 4], faces=face, normal=normal, kerf=kerf)
    for slab in slabs(cut, ball):
        matrix = slab.patient_from_face
        assert np.isclose(np.linalg.det(matrix[:3, :3]), 1.0)
        on_face, below = slab.patient([(*xy, 0.0), (*xy, 1.0)])
        # The face lies half a kerf from its plane, and one goes into the slab's own tissue.
        at = float(on_face @ cut.normal)
        assert np.isclose(abs(at - slab.plane.position_mm), 0.5 * kerf)
        assert np.isclose(min(abs(at - slab.low_mm), abs(at - slab.high_mm)), 0.0, atol=1e-9)
        assert slab.low_mm - 1e-9 <= float(below @ cut.normal) <= slab.high_mm + 1e-9
        uvn = slab.plane.plane_from_patient.apply([on_face])[0]
        assert np.allclose(uvn[:2], slab.uv(xy)[0], atol=1e-9)


def test_plus_face_shows_the_mirror_image(ball):
    minus, plus = slabs(plan([0]), ball)[1], slabs(plan([0], faces="+"), ball)[0]
    assert np.allclose(minus.patient_from_face[:3, 0], minus.plane.u)
    assert np.allclose(plus.patient_from_face[:3, 0], -np.array(plus.plane.u))
    for slab in (minus, plus):
        assert np.allclose(slab.patient_from_face[:3, 1], slab.plane.v)


def test_slabs_without_tissue_keep_their_numbers(ball):
    with pytest.warns(ComouldWarning, match="without tissue: S01, S05"):
        made = slabs(plan([-30, -5, 5, 30]), ball)
    assert [slab.id for slab in made] == ["S02", "S03", "S04"]


def test_impossible_plans(ball, shapes):
    with pytest.raises(GeometryError, match=r"expected a plane through the specimen \(3\d\.\d to 6\d\.\d mm"):
        slabs(plan([100]), ball)
    with pytest.raises(GeometryError, match="slab S02: expected planes P01 and P02 farther apart than their kerf"):
        slabs(plan([0, 0.5]), ball)
    with pytest.raises(InputError, match="a drawn specimen"):
        slabs(plan([0]), shapes.sampled(lambda p: np.ones(len(p)), 5.0))

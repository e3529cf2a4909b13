"""Outlines of meshes and masks: areas known on paper, both ways agree, holes run the other way round."""

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from comould.mould import outline
from comould.space import CutPlane, Grid

RADIUS = 10.0
UPRIGHT = CutPlane("P01", (0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0))


def oblique(normal, at=(0.0, 0.0, 0.0)):
    return CutPlane.from_normal("P01", at, normal)


def ball_image(radius=RADIUS, spacing=(0.5, 0.5, 0.5), direction=None, hollow=0.0):
    n = [int(2 * np.ceil((radius + 2) / s)) + 1 for s in spacing]
    rotation = np.eye(3) if direction is None else np.asarray(direction, float)
    origin = -rotation @ (np.array(spacing) * (np.array(n) - 1) / 2)
    grid = Grid(tuple(n), spacing, tuple(origin), rotation)
    points = grid.patient_from_index(np.indices(grid.shape).reshape(3, -1)[::-1].T)
    away = np.linalg.norm(points, axis=1)
    return grid.to_image(((away <= radius) & (away >= hollow)).reshape(grid.shape))


def mesh_ball(radius=RADIUS):
    return trimesh.creation.icosphere(subdivisions=5, radius=radius)


@given(
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda n: np.linalg.norm(n) > 0.2),
    st.floats(-8.0, 8.0),
)
def test_a_ball_is_cut_to_a_circle_at_any_tilt(normal, offset):
    plane = oblique(normal)
    lines = outline.of_mesh(mesh_ball(), plane.plane_from_patient.matrix, offset)
    assert len(lines) == 1
    circle = np.pi * (RADIUS**2 - offset**2)
    assert outline.area_mm2(lines) == pytest.approx(circle, rel=0.01)
    assert np.linalg.norm(lines[0], axis=1) == pytest.approx(np.sqrt(RADIUS**2 - offset**2), abs=0.02)


@pytest.mark.parametrize("normal", [(0, 0, 1), (0.3, 0.2, 1.0), (1, 0, 0), (-0.5, 1, 0.2)])
@pytest.mark.parametrize("offset", [0.0, 3.7])
def test_image_and_mesh_agree(normal, offset):
    plane = oblique(normal)
    turned = CutPlane.from_normal("P01", (0, 0, 0), (0.2, -0.3, 1.0)).rotation
    image = ball_image(direction=turned)
    picture = outline.on_plane(
        image, plane, bounds=outline.bounds_on(image, plane, 2.0), pixel_mm=0.2, offset_mm=offset
    )
    drawn = picture.outlines()
    cut = outline.of_mesh(mesh_ball(), plane.plane_from_patient.matrix, offset)
    assert outline.dice(drawn, cut) > 0.985
    assert outline.area_mm2(drawn) == pytest.approx(outline.area_mm2(cut), rel=0.02)
    assert picture.values.sum() * 0.2**2 == pytest.approx(outline.area_mm2(drawn), rel=0.01)


def test_box_cut_flat_and_tilted():
    box = trimesh.creation.box((20, 10, 30))
    flat = outline.of_mesh(box, np.eye(4))
    assert outline.area_mm2(flat) == pytest.approx(200.0)
    for degrees in (10, 30, 45):
        a = np.radians(degrees)
        plane = oblique((0, np.sin(a), np.cos(a)))
        tilted = outline.of_mesh(box, plane.plane_from_patient.matrix)
        assert outline.area_mm2(tilted) == pytest.approx(200.0 / np.cos(a))


def test_holes_run_the_other_way_round_in_both():
    hole = trimesh.creation.icosphere(subdivisions=4, radius=4.0)
    hole.invert()
    shell = trimesh.util.concatenate([mesh_ball(), hole])
    image = ball_image(hollow=4.0)
    drawn = outline.on_plane(image, UPRIGHT, bounds=outline.bounds_on(image, UPRIGHT, 1.0)).outlines()
    for lines in (drawn, outline.of_mesh(shell, np.eye(4))):
        areas = sorted(outline.area_mm2([line]) for line in lines)
        assert areas == pytest.approx([-16 * np.pi, 100 * np.pi], rel=0.05)
        assert outline.region(lines).area() == pytest.approx(84 * np.pi, rel=0.03)


def test_a_fork_gives_two_outlines():
    pair = trimesh.util.concatenate([mesh_ball(6.0).apply_translation((x, 0, 0)) for x in (-9, 9)])
    lines = outline.of_mesh(pair, np.eye(4))
    assert len(lines) == 2
    assert outline.area_mm2(lines) == pytest.approx(72 * np.pi, rel=0.01)
    assert sorted(line[:, 0].mean() for line in lines) == pytest.approx([-9, 9], abs=0.1)


def test_vertices_on_the_plane_do_not_break_it():
    # Every second row of this box's vertices lies on the plane exactly.
    box = trimesh.creation.box((10, 10, 10)).subdivide().subdivide()
    lines = outline.of_mesh(box, np.eye(4))
    assert len(lines) == 1
    assert outline.area_mm2(lines) == pytest.approx(100.0)


def test_beside_the_body_there_is_nothing():
    assert outline.of_mesh(mesh_ball(), np.eye(4), 10.5) == []
    assert outline.dice([], outline.of_mesh(mesh_ball(), np.eye(4))) == 0.0


def test_an_open_surface_is_closed_by_a_straight_line():
    ball = mesh_ball()
    ball.update_faces(ball.triangles_center[:, 0] < 0)
    lines = outline.of_mesh(ball, np.eye(4))
    assert len(lines) == 1
    assert outline.area_mm2(lines) == pytest.approx(50 * np.pi, rel=0.03)


def test_many_planes_at_once_are_the_planes_one_by_one():
    ball = mesh_ball()
    cutter = outline.Cutter(np.asarray(ball.vertices), np.asarray(ball.faces), np.eye(4))
    for offset in (-5.0, 0.0, 2.5):
        assert np.array_equal(cutter.at(offset)[0], outline.of_mesh(ball, np.eye(4), offset)[0])


def test_labels_are_not_blended():
    image = ball_image()
    labelled = image * 7
    picture = outline.on_plane(labelled, UPRIGHT, bounds=outline.bounds_on(image, UPRIGHT), labels=True)
    assert picture.values.dtype == np.int64
    assert set(np.unique(picture.values)) == {0, 7}


def test_window_larger_than_the_image_is_empty_outside():
    image = ball_image()
    (u0, v0), (u1, v1) = outline.bounds_on(image, UPRIGHT, 40.0)
    assert u1 - u0 == pytest.approx(100.5, abs=1.0)
    picture = outline.on_plane(image, UPRIGHT, bounds=((u0, v0), (u1, v1)), pixel_mm=0.5)
    assert outline.area_mm2(picture.outlines()) == pytest.approx(100 * np.pi, rel=0.02)
    away = outline.on_plane(image, UPRIGHT, bounds=((50.0, 50.0), (60.0, 60.0)))
    assert not away.values.any()


def test_points_along_an_outline_are_even():
    line = outline.of_mesh(trimesh.creation.box((20, 10, 5)), np.eye(4))
    points = outline.along(line, 0.1)
    apart = np.linalg.norm(np.diff(np.vstack([points, points[:1]]), axis=0), axis=1)
    assert len(points) == 600
    assert apart.max() <= 0.1 + 1e-9
    assert outline.along([], 0.1).shape == (0, 2)

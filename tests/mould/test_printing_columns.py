"""Rays through meshes with known material."""

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from manifold3d import Manifold

from comould.mould.printing.columns import cast


def triangles_of(body):
    raw = body.to_mesh()
    return raw.vert_properties[:, :3].astype(np.float64)[raw.tri_verts]


def volume(columns):
    return (columns.leave - columns.enter).sum() * columns.step_mm**2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_box_is_one_run_per_ray(axis):
    size = np.array([10.0, 20.0, 30.0])
    columns = cast(triangles_of(Manifold.cube(size)), axis, 1.0)
    assert columns.shape == tuple(int(size[a]) for a in columns.others)
    assert len(columns.column) == np.prod(columns.shape)
    assert np.allclose(columns.enter, 0.0)
    assert np.allclose(columns.leave, size[axis])
    middle = columns.points(np.arange(len(columns.column)), columns.leave)
    assert np.allclose(middle[:, axis], size[axis])
    assert (middle.max(axis=0) <= size).all()


@given(st.integers(0, 2), st.floats(0, 360), st.floats(0, 360), st.floats(3.0, 15.0))
def test_volume_of_a_turned_box(axis, one, two, side):
    body = Manifold.cube((side, side + 3, side + 5), True).rotate((one, two, 17.0))
    columns = cast(triangles_of(body), axis, 0.3)
    assert volume(columns) == pytest.approx(body.volume(), rel=0.03)


def test_ball_with_a_hollow_has_two_runs_in_the_middle():
    body = Manifold.sphere(10, 64) - Manifold.sphere(5, 64)
    columns = cast(triangles_of(body), 2, 0.25)
    assert np.bincount(columns.column).max() == 2
    assert volume(columns) == pytest.approx(body.volume(), rel=0.01)
    index = columns.run_at(np.array([columns.column[0]]), np.array([0.5 * (columns.enter[0] + columns.leave[0])]))
    assert index == [0]


def test_run_at_says_where_air_is():
    body = Manifold.cube((10, 10, 3)) + Manifold.cube((10, 10, 3)).translate((0, 0, 7))
    columns = cast(triangles_of(body), 2, 1.0)
    ray = np.array([0, 0, 0, 0, -1, 10_000])
    assert columns.run_at(ray, np.array([1.0, 5.0, 8.0, 99.0, 1.0, 1.0])).tolist() == [0, -1, 1, -1, -1, -1]


def test_overlapping_bodies_count_once():
    one, two = trimesh.creation.box((10, 10, 10)), trimesh.creation.box((10, 10, 10))
    two.apply_translation((0, 0, 5))
    columns = cast(np.asarray(trimesh.util.concatenate([one, two]).triangles), 2, 1.0)
    assert len(columns.column) == 100
    assert np.allclose(columns.leave - columns.enter, 15.0)


def test_open_meshes_lose_only_the_rays_through_the_hole():
    box = trimesh.creation.box((10, 10, 10))
    up = np.flatnonzero(box.face_normals[:, 2] > 0.9)
    box.update_faces(np.arange(12) != up[0])
    columns = cast(np.asarray(box.triangles), 2, 0.5)
    assert 0.4 < len(columns.column) / 400 < 0.6
    assert np.allclose(columns.leave - columns.enter, 10.0)


def test_the_work_is_bounded():
    columns = cast(triangles_of(Manifold.cube((1000, 1000, 10))), 2, 0.1, max_columns=10_000)
    assert columns.shape[0] * columns.shape[1] <= 10_201
    assert columns.step_mm == pytest.approx(10.0)


def test_no_ray_slips_between_fine_facets():
    ball = trimesh.creation.icosphere(5, 20.0)
    columns = cast(np.asarray(ball.triangles), 0, 0.25)
    assert np.bincount(columns.column)[np.unique(columns.column)].max() == 1
    assert volume(columns) == pytest.approx(ball.volume, rel=2e-3)

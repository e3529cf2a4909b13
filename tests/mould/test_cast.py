"""Rays through meshes: crossings, inside and outside, nothing lost between neighbouring triangles."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from comould.mould import _cast


def turned(mesh, seed):
    mesh.apply_transform(trimesh.transformations.random_rotation_matrix(np.random.default_rng(seed).random(3)))
    return mesh


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_ray_that_enters_a_closed_surface_leaves_it(seed):
    mesh = turned(trimesh.creation.torus(9.0, 4.0), seed)
    triangles = np.asarray(mesh.triangles) + 15.0
    x, y, z, sense = _cast.hits(triangles, (31, 31))
    total = np.zeros((31, 31))
    np.add.at(total, (x, y), sense)
    assert (total == 0).all()
    length = np.zeros((31, 31))
    np.add.at(length, (x, y), sense * z)
    assert length.min() >= 0
    assert length.sum() == pytest.approx(mesh.volume, rel=0.03)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_inside_of_a_box_is_known(seed):
    rng = np.random.default_rng(seed)
    mesh = turned(trimesh.creation.box(rng.uniform(4.0, 18.0, 3)), seed)
    half = np.ptp(trimesh.creation.box(mesh.bounding_box_oriented.primitive.extents).vertices, axis=0) / 2
    middle = np.array([14.2, 13.1, 15.3])
    solid = _cast.inside(np.asarray(mesh.triangles) + middle, (30, 28, 31))
    assert solid.shape == (31, 28, 30)
    points = np.argwhere(np.ones_like(solid))[:, ::-1] - middle
    frame = mesh.bounding_box_oriented.primitive.transform
    local = (points - frame[:3, 3]) @ frame[:3, :3]
    away = (np.abs(local) - half).max(axis=1).reshape(solid.shape)
    sure = np.abs(away) > 1e-3
    np.testing.assert_array_equal(solid[sure], (away < 0)[sure])


def test_chunks_change_nothing(monkeypatch):
    triangles = np.asarray(trimesh.creation.icosphere(3, 9.0).triangles) + 10.0
    whole = _cast.hits(triangles, (21, 21))
    monkeypatch.setattr(_cast, "_CHUNK", 50)
    for one, other in zip(whole, _cast.hits(triangles, (21, 21)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_rays_beside_the_mesh_meet_nothing():
    triangles = np.asarray(trimesh.creation.box((2, 4, 6)).triangles)
    rays = _cast.Rays(triangles)
    for axis, size in enumerate((2.0, 4.0, 6.0)):
        np.testing.assert_allclose(rays.along(np.full(3, 0.1), axis), [-size / 2, size / 2], atol=1e-9)
    assert not rays.along(np.array([0.0, 9.0, 0.0]), 0).size
    assert not _cast.hits(triangles + 50.0, (10, 10))[0].size
    assert not _cast.inside(triangles + 50.0, (5, 6, 7)).any()

"""Masks to surfaces: volume, staircase, clearance, on shapes whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from comould.mould import surface
from comould.mould.lesion import find_lesion
from comould.mould.printability import measure
from comould.mould.surface import DistanceField, bounds, distance_field, grid_step

AXIAL = np.array([[0, 0, 1], [-1, 0, 0], [0, -1.0, 0]])
CENTRE = np.array((11.0, -23.0, 47.0))


def ball(points):
    return np.linalg.norm(points, axis=1) - 14.0


def torus(points):
    return np.hypot(np.hypot(points[:, 0], points[:, 1]) - 15.0, points[:, 2]) - 7.0


def ellipsoid(points):
    axes = np.array([20.0, 13.0, 11.0])
    k0, k1 = np.linalg.norm(points / axes, axis=1), np.linalg.norm(points / axes**2, axis=1)
    return k0 * (k0 - 1) / np.maximum(k1, 1e-9)


SHAPES = {
    "ball": (ball, 14.0, 4 / 3 * np.pi * 14**3),
    "torus": (torus, (22, 22, 7), 2 * np.pi**2 * 15 * 49),
    "ellipsoid": (ellipsoid, (20, 13, 11), 4 / 3 * np.pi * 20 * 13 * 11),
}


def made(shapes, name, spacing, rotation=AXIAL, step=0.6, jitter=(0.2, -0.3, 0.4)):
    distance, reach, _ = SHAPES[name]
    lesion = find_lesion(shapes.sampled(distance, reach, spacing, centre=CENTRE, jitter=jitter))
    return lesion, distance_field(lesion, rotation, step_mm=step, margin_mm=2.5, above_mm=4.0)


@pytest.mark.parametrize("name", list(SHAPES))
@pytest.mark.parametrize(
    ("spacing", "worst", "mean"), [((1, 1, 1), 0.7, 0.15), ((0.6, 0.6, 3), 1.3, 0.35), ((0.6, 0.6, 5), 2.2, 0.8)]
)
def test_surface_is_near_the_truth(shapes, name, spacing, worst, mean):
    distance, _, volume = SHAPES[name]
    lesion, field = made(shapes, name, spacing)
    vertices, faces = field.mesh()
    report = measure(vertices, faces)
    assert report.watertight
    assert report.volume_ml == pytest.approx(lesion.volume_ml, rel=0.005)
    # The mask itself is off by the chance of where thick slices fall.
    assert abs(report.volume_ml * 1000 / volume - 1) < abs(lesion.volume_ml * 1000 / volume - 1) + 0.01
    error = np.abs(distance(vertices @ AXIAL - CENTRE))
    assert error.max() < worst
    assert error.mean() < mean


@pytest.mark.parametrize(("clearance", "middle", "ends"), [(0.25, 0.01, 0.03), (0.4, 0.01, 0.03), (1.0, 0.02, 0.06)])
def test_clearance_is_a_distance(shapes, clearance, middle, ends):
    _, field = made(shapes, "ellipsoid", (0.6, 0.6, 5), step=0.5)
    zero = field.mesh()
    near = field.exact_near(clearance, zero)
    outer, _ = near.mesh(clearance)
    corners = zero[0][zero[1]]
    rng = np.random.default_rng(0)
    shares = rng.dirichlet((1, 1, 1), (len(corners), 40))
    dense = np.einsum("fsc,fcd->fsd", shares, corners).reshape(-1, 3)
    apart = cKDTree(np.vstack([dense, zero[0]])).query(outer[::5])[0]
    # The nearest of scattered points lies a little farther away than the surface itself.
    assert np.median(apart) == pytest.approx(clearance, abs=middle)
    assert np.percentile(apart, [2, 98]) == pytest.approx(clearance, abs=ends)


def test_no_staircase(shapes):
    """On a sphere of 5 mm slices the surface's normals stay near the true ones: steps would turn them by 90°."""
    _, field = made(shapes, "ball", (0.6, 0.6, 5))
    vertices, faces = field.mesh()
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    outward = corners.mean(axis=1) @ AXIAL - CENTRE
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    cosine = np.einsum("ij,ij->i", (normal / np.maximum(area, 1e-12)[:, None]) @ AXIAL, outward)
    assert np.average(cosine, weights=area) > 0.985
    assert np.average(cosine < np.cos(np.radians(40)), weights=area) < 0.01


def test_the_result_does_not_depend_on_the_mould_axes(shapes):
    turned = Rotation.from_euler("zyx", (30, 20, 10), degrees=True).as_matrix()
    _, one = made(shapes, "ellipsoid", (0.6, 0.6, 3))
    _, two = made(shapes, "ellipsoid", (0.6, 0.6, 3), rotation=turned)
    first, second = one.mesh()[0] @ AXIAL, two.mesh()[0] @ turned
    assert cKDTree(first).query(second)[0].max() < 0.75
    assert cKDTree(second).query(first)[0].max() < 0.75


def test_opening_upwards_leaves_nothing_above(shapes):
    _, field = made(shapes, "torus", (1, 1, 1))
    swept = field.swept_up()
    inside = swept.values < 0
    assert (inside[1:] >= inside[:-1]).all()
    assert inside[-1].any()
    assert ((field.values < 0) <= inside).all()
    vertices, faces = swept.mesh(0.4)
    assert measure(vertices, faces).watertight


def test_volume_up_to_a_height():
    z = np.arange(20, dtype=np.float32)[:, None, None]
    y, x = np.indices((9, 9), dtype=np.float32)
    slab = np.maximum(np.abs(x - 4), np.abs(y - 4)) - 2.5 + 0 * z
    field = DistanceField(slab.astype(np.float32), np.zeros(3), 1.0)
    full = field.volume_ml()
    assert full == pytest.approx(20 * 25 / 1000, rel=0.05)
    assert field.volume_ml(0.0, 9.5) == pytest.approx(full / 2)
    assert field.volume_ml(0.0, 4.3) == pytest.approx(full * 4.8 / 20)
    assert field.volume_ml(0.5) > full


def test_symmetric_field_closes(shapes):
    """A mask symmetric about grid lines puts zeros exactly on the level: the mesh must close all the same."""
    lesion = find_lesion(shapes.sampled(ball, 14.0, (1, 1, 1), centre=(0, 0, 0)))
    vertices, faces = distance_field(lesion, np.eye(3), step_mm=1.0, margin_mm=2, above_mm=0).mesh()
    report = measure(vertices, faces)
    assert report.printable
    assert report.touching_vertices == 0


def test_step_is_fine_for_small_and_bounded_for_large(shapes):
    small = find_lesion(shapes.sampled(lambda p: shapes.ball(p, 6.0), 6.0, (1, 1, 1)))
    assert grid_step(small, 5.0) < 0.25
    large = find_lesion(shapes.sampled(lambda p: shapes.ball(p, 75.0), 75.0, (3, 3, 5)))
    step = grid_step(large, 10.0)
    assert 0.5 < step < 1.2


def test_gap_in_slices_is_two_parts(shapes):
    def two(points):
        return np.minimum(shapes.ball(points, 7.0, (0, 0, 14)), shapes.ball(points, 7.0, (0, 0, -14)))

    lesion = find_lesion(shapes.sampled(two, (8, 8, 22), (1, 1, 3)), "all")
    vertices, faces = distance_field(lesion, AXIAL, step_mm=0.6, margin_mm=2, above_mm=0).mesh()
    assert measure(vertices, faces).bodies == 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_interpolation_is_linear_and_goes_on_beyond_the_ends(seed):
    rng = np.random.default_rng(seed)
    native = rng.normal(size=rng.integers(2, 12, 3)).astype(np.float32)
    turn = Rotation.random(random_state=seed % 2**31).as_matrix() * rng.uniform(0.3, 1.5)
    offset, shape = rng.uniform(-4, 12, 3), rng.integers(2, 12, 3)
    found = surface._interpolated(native, turn, offset, shape)
    wanted = ndi.affine_transform(
        native, turn[::-1, ::-1], offset[::-1], output_shape=tuple(shape[::-1]), order=1, mode="nearest"
    )
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_leaving_out_uncrossed_cells_changes_no_facet(seed):
    from skimage.measure import marching_cubes

    rng = np.random.default_rng(seed)
    values = ndi.gaussian_filter(rng.normal(size=(14, 15, 16)), 1.5).astype(np.float32)
    values -= np.float32(np.quantile(values, rng.uniform(0.2, 0.8)))
    every = marching_cubes(values, 0.0)
    some = marching_cubes(values, 0.0, mask=surface._crossed(values, 0.0))
    np.testing.assert_array_equal(some[0], every[0])
    np.testing.assert_array_equal(some[1], every[1])


def test_volume_is_kept_by_one_small_shift(shapes):
    distance, _, _ = SHAPES["torus"]
    axis = 0.5 * (np.arange(96) - 47.5)
    points = np.stack(np.meshgrid(axis, axis, axis[24:72], indexing="ij"), axis=-1).reshape(-1, 3)
    values = distance(points).reshape(96, 96, 48).transpose(2, 1, 0).astype(np.float32)
    field = DistanceField(np.ascontiguousarray(values), np.zeros(3), 0.5)
    before = field.volume_ml()
    for change in (0.97, 1.0, 1.05):
        kept = surface._keep_volume(field, before * change)
        assert kept.volume_ml() == pytest.approx(before * change, rel=2e-4)
        assert np.ptp(kept.values - field.values) < 1e-5


@given(st.integers(0, 2**32 - 1))
def test_row_ends_hold_the_extremes_of_every_direction(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((5, 6, 7)) < 0.1
    mask[2, 3, 4] = True
    directions = rng.normal(size=(3, 8))
    every, ends = np.argwhere(mask)[:, ::-1] @ directions, surface._row_ends(mask) @ directions
    for one, other in zip(bounds(every), bounds(ends), strict=True):
        np.testing.assert_allclose(one, other)

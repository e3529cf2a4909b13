"""Where the knife goes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.mould.planes import check_direction, plan_cuts, resolve_view
from comould.space import Grid

RULES = {"slot_mm": 1.0, "min_rib_mm": 1.5, "min_end_slab_mm": 2.0}


def box_points(grid, low, high):
    axes = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
    return grid.patient_from_index(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3))


@pytest.mark.parametrize(
    ("name", "normal", "u", "v"),
    [
        ("axial", (0, 0, 1), (1, 0, 0), (0, 1, 0)),
        ("coronal", (0, 1, 0), (1, 0, 0), (0, 0, -1)),
        ("sagittal", (-1, 0, 0), (0, 1, 0), (0, 0, -1)),
        ("image", (0, 0, 1), (1, 0, 0), (0, 1, 0)),
        ((0, 0, -2), (0, 0, -1), (1, 0, 0), (0, -1, 0)),
        ("0,0,-2", (0, 0, -1), (1, 0, 0), (0, -1, 0)),
    ],
)
def test_named_views(name, normal, u, v):
    view = resolve_view(name, Grid((10, 10, 10)))
    assert np.allclose([view.normal, view.u, view.v], [normal, u, v])


@given(st.integers(0, 10_000), st.sampled_from(["axial", "coronal", "sagittal", "image"]))
def test_views_are_right_handed(seed, name):
    grid = Grid((10, 10, 10), direction=Rotation.random(rng=np.random.default_rng(seed)).as_matrix())
    view = resolve_view(name, grid)
    triple = np.column_stack([view.u, view.v, view.normal])
    assert np.allclose(triple.T @ triple, np.eye(3), atol=1e-12)
    assert np.linalg.det(triple) == pytest.approx(1.0)


def test_nearly_parallel_planes_take_the_slices_normal():
    tilt = Rotation.from_euler("x", 0.4, degrees=True).as_matrix()
    view = resolve_view("axial", Grid((10, 10, 10), (1, 1, 3), direction=tilt))
    assert view.axis == 2
    assert np.allclose(view.normal, tilt[:, 2])
    tilt = Rotation.from_euler("x", 0.6, degrees=True).as_matrix()
    view = resolve_view("axial", Grid((10, 10, 10), (1, 1, 3), direction=tilt))
    assert view.axis is None
    assert np.allclose(view.normal, (0, 0, 1))


def test_upside_down_slices_keep_the_asked_direction():
    turned = np.diag([1.0, -1.0, -1.0])
    view = resolve_view("axial", Grid((10, 10, 10), (1, 1, 3), direction=turned))
    assert np.allclose(view.normal, (0, 0, 1))
    assert view.axis == 2


@pytest.mark.parametrize("plane", ["oblique", (0, 0, 0), (1, 2), (np.nan, 0, 1), "1,2,x"])
def test_bad_planes(plane):
    with pytest.raises(InputError, match="plane"):
        resolve_view(plane, Grid((5, 5, 5)))


def test_multiples_of_the_slices_are_exact_and_silent():
    grid = Grid((40, 40, 30), (1, 1, 3))
    plan = plan_cuts(
        box_points(grid, (5, 5, 5), (30, 30, 25)), resolve_view("axial", grid), grid, spacing_mm=6, **RULES
    )
    assert np.allclose(plan.spacings_mm, 6)
    index = [plane.image_index for plane in plan]
    assert index == [round(i) for i in index]
    assert [plane.id for plane in plan] == [f"P{n:02d}" for n in range(1, len(plan) + 1)]
    assert all(plane.kerf_mm == 1.0 and plane.position_mm == pytest.approx(3 * plane.image_index) for plane in plan)
    ends = plan.planes[0].position_mm - 3.0 * 4.5, 3.0 * 24.5 - plan.planes[-1].position_mm
    assert min(ends) >= 2.0
    assert abs(ends[0] - ends[1]) <= 3.0 + 1e-9


def test_a_small_change_of_spacing_stays_uniform_and_is_told():
    grid = Grid((40, 40, 30), (1, 1, 2.7))
    with pytest.warns(ComouldWarning, match=r"2.7 mm slices, so they lie 5.4 mm apart instead of 5 mm"):
        plan = plan_cuts(
            box_points(grid, (5, 5, 5), (30, 30, 25)), resolve_view("axial", grid), grid, spacing_mm=5, **RULES
        )
    assert np.allclose(plan.spacings_mm, 5.4)


def test_a_large_change_snaps_each_plane():
    grid = Grid((40, 40, 30), (1, 1, 3.27))
    with pytest.warns(ComouldWarning, match=r"3.27 or 6.54 mm apart instead of 5 mm"):
        plan = plan_cuts(
            box_points(grid, (5, 5, 5), (30, 30, 25)), resolve_view("axial", grid), grid, spacing_mm=5, **RULES
        )
    assert set(np.round(plan.spacings_mm / 3.27, 6)) == {1.0, 2.0}
    assert abs(plan.spacings_mm.mean() - 5) < 0.4


def test_snapped_ribs_never_fall_below_the_limit():
    grid = Grid((40, 40, 60), (1, 1, 2.0))
    rules = RULES | {"min_rib_mm": 1.6}
    with pytest.warns(ComouldWarning, match="lie 4 mm apart instead of 2.7"):
        plan = plan_cuts(
            box_points(grid, (5, 5, 5), (30, 30, 50)), resolve_view("axial", grid), grid, spacing_mm=2.7, **rules
        )
    assert np.allclose(plan.spacings_mm, 4)


def test_planes_across_thin_voxels_do_not_snap():
    grid = Grid((40, 40, 30), (0.7, 0.7, 3))
    plan = plan_cuts(
        box_points(grid, (5, 5, 5), (35, 35, 25)), resolve_view("coronal", grid), grid, spacing_mm=5, **RULES
    )
    assert np.allclose(plan.spacings_mm, 5)
    assert plan.planes[0].image_index is None


def test_storage_order_does_not_move_the_planes():
    grid = Grid((40, 40, 30), (1, 1, 3))
    # The same voxels with the thick axis stored first: x, y, z of the array run along k, i, j.
    turned = Grid((30, 40, 40), (3, 1, 1), direction=np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0.0]]))
    one = plan_cuts(box_points(grid, (5, 5, 5), (30, 30, 25)), resolve_view("axial", grid), grid, spacing_mm=6, **RULES)
    two = plan_cuts(
        box_points(turned, (5, 5, 5), (25, 30, 30)), resolve_view("axial", turned), turned, spacing_mm=6, **RULES
    )
    assert np.allclose([p.origin_mm for p in one], [p.origin_mm for p in two])
    assert two.planes[0].image_index is None


def test_oblique_planes_are_centred():
    grid = Grid((40, 40, 30), (1, 1, 3))
    points = box_points(grid, (5, 5, 5), (30, 30, 25))
    plan = plan_cuts(points, resolve_view((1, 0, 1), grid), grid, spacing_mm=5, **RULES)
    along = points @ plan.normal
    assert plan.planes[0].position_mm - along.min() == pytest.approx(along.max() - plan.planes[-1].position_mm)
    assert np.allclose(plan.spacings_mm, 5)


def test_one_plane_at_least_with_a_word_about_thin_ends():
    grid = Grid((20, 20, 10), (1, 1, 1))
    with pytest.warns(ComouldWarning, match=r"end slabs of .* thinner than the 5 mm"):
        plan = plan_cuts(
            box_points(grid, (5, 5, 4), (12, 12, 8)),
            resolve_view("axial", grid),
            grid,
            spacing_mm=5,
            **(RULES | {"min_end_slab_mm": 5.0}),
        )
    assert len(plan) == 1


def test_ribs_too_thin():
    grid = Grid((20, 20, 10))
    with pytest.raises(InputError, match=r"spacing 2 mm: expected at least 2.5 mm \(slot 1 \+ rib 1.5\)"):
        plan_cuts(box_points(grid, (5, 5, 2), (9, 9, 8)), resolve_view("axial", grid), grid, spacing_mm=2, **RULES)


def test_direction_into_the_planes():
    view = resolve_view("axial", Grid((5, 5, 5)))
    assert np.allclose(check_direction(view, np.array([0, -3.0, 1.0]), "up"), (0, -1, 0))
    with pytest.raises(GeometryError, match="one along their normal"):
        check_direction(view, np.array([0, 0.1, 1.0]), "up")

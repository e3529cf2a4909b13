"""Where the knife goes."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.mould.lesion import find_lesion
from comould.mould.parameters import Parameters
from comould.mould.planes import check_direction, plan_cuts, plan_for, resolve_view
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
    told = r"3.27 or 6.54 mm apart instead of 5 mm \(spacing_mm=6.54 gives even slabs on slices, snap=false keeps 5 mm"
    with pytest.warns(ComouldWarning, match=told):
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


# The plan of a specimen, by its settings


def sized(**settings):
    return Parameters.model_validate(settings)


def image_of(inside, grid=None):
    """A 0/1 image of a ``(z, y, x)`` mask, on 1 × 1 × 3 mm voxels unless told."""
    grid = grid or Grid(inside.shape[::-1], (1, 1, 3), (-7.5, 3.0, 100.0))
    return grid.to_image(inside.astype(np.uint8))


@pytest.fixture
def cone():
    """Wide below, narrow above: 18 slices from z = 106 to 157 mm, the third from below the widest."""
    mask = np.zeros((22, 44, 44), bool)
    y, x = np.indices(mask.shape[1:]) - 21.5
    for k in range(2, 20):
        mask[k] = np.hypot(x, y) < (19.0 if k == 4 else 18.0 - 0.6 * k)
    return image_of(mask)


def positions(plan):
    return [round(plane.position_mm, 6) for plane in plan]


def plan_of(image, plane="axial", *, habitats=None, feature=None, **settings):
    lesion = find_lesion(image)
    return plan_for(lesion, resolve_view(plane, lesion.grid), sized(**settings), habitats=habitats, feature=feature)


def test_face_and_kerf_are_booked(cone):
    for face in "-+":
        plan = plan_of(cone, spacing_mm=6, face=face, slot_mm=1.3)
        assert {(plane.face, plane.kerf_mm) for plane in plan} == {(face, 1.3)}


def test_no_snapping_when_told(cone):
    plan = plan_of(cone, spacing_mm=5, snap=False)
    assert np.allclose(plan.spacings_mm, 5)
    middle = 0.5 * (plan.planes[0].position_mm + plan.planes[-1].position_mm)
    # The cone reaches from half a slice below 106 to half a slice above 157 mm.
    assert middle == pytest.approx(131.5)
    assert plan.planes[0].image_index == pytest.approx((plan.planes[0].position_mm - 100) / 3, abs=1e-5)


def test_a_list_of_cuts_is_sorted_and_snapped(cone):
    with pytest.warns(ComouldWarning, match=r"moved by up to 1 mm onto the centres .*snap=false"):
        plan = plan_of(cone, positions_mm=(130, 116, 122))
    assert positions(plan) == [115, 121, 130]
    assert [plane.image_index for plane in plan] == [5, 7, 10]
    assert [plane.id for plane in plan] == ["P01", "P02", "P03"]
    assert positions(plan_of(cone, positions_mm=(130, 116, 122), snap=False)) == [116, 122, 130]
    assert positions(plan_of(cone, positions_mm="130, 115 121")) == [115, 121, 130]


def test_every_problem_of_a_list_is_told_at_once(cone):
    listed = (90, 105, 118, 118, 119.2, 121.4, 200)
    with pytest.raises(InputError) as caught:
        plan_of(cone, positions_mm=listed, snap=False)
    message = str(caught.value)
    assert "\n" not in message
    for words in (
        "6 problems",
        "90 lies outside the specimen",
        "105 leaves an end slab of 0.50 mm (at least 2)",
        "118 is given twice",
        "118 and 119.2 are cut 1.2 mm apart (at least 2.5)",
        "119.2 and 121.4 are cut 2.2 mm apart",
        "200 lies outside",
        "reaches from 104.5 to 158.5 mm",
    ):
        assert words in message
    with pytest.raises(InputError, match=r"117.9 and 118.4 fall on one slice \(snap=false"):
        plan_of(cone, positions_mm=(117.9, 118.4))


@pytest.mark.parametrize("snap", [True, False])
def test_the_lattice_passes_through_the_largest_section(cone, snap):
    plan = plan_of(cone, spacing_mm=6, snap=snap, centre_on="largest_section")
    assert positions(plan) == [112 - 0, *range(118, 157, 6)]
    assert positions(plan_of(cone, spacing_mm=6, snap=snap)) != positions(plan)


def test_the_largest_section_of_a_feature(cone):
    grid = Grid((20, 20, 20), (1, 1, 1), (5.0, 15.0, 127.0))
    mask = np.zeros(grid.shape, bool)
    mask[3:9, 4:9, 4:9] = mask[5, 2:12, 2:12] = True
    plan = plan_of(cone, spacing_mm=7, snap=False, centre_on="largest_section", feature=image_of(mask, grid))
    assert 132.0 in positions(plan)
    far = image_of(mask, Grid((20, 20, 20), (1, 1, 1), (505.0, 15.0, 127.0)))
    with pytest.raises(InputError, match="feature mask: expected labels inside the specimen, found 225 voxels, none"):
        plan_of(cone, spacing_mm=7, centre_on="largest_section", feature=far)
    with pytest.raises(InputError, match="found an empty image"):
        plan_of(cone, spacing_mm=7, centre_on="largest_section", feature=image_of(np.zeros(grid.shape), grid))


def test_the_largest_section_across_oblique_planes():
    """A ball with a thin disc across (1, 0, 1): the disc is found to half a voxel."""
    grid = Grid((70, 60, 70), (1, 1, 1), (-35, -30, -35))
    points = grid.patient_from_index(np.indices(grid.shape).reshape(3, -1)[::-1].T)
    normal = np.array([1.0, 0, 1.0]) / np.sqrt(2)
    along = points @ normal
    across = np.linalg.norm(points - np.outer(along, normal), axis=1)
    inside = (np.linalg.norm(points, axis=1) < 18) | ((np.abs(along - 6.0) < 2.0) & (across < 26))
    plan = plan_of(image_of(inside.reshape(grid.shape), grid), "1,0,1", spacing_mm=8, centre_on="largest_section")
    assert min(abs(p - 6.0) for p in positions(plan)) < 0.5


def habitat_image(cone, *places):
    """Thin habitats: label n takes the slices ``places[n - 1]`` near the cone's axis."""
    grid = Grid.from_image(cone)
    labels = np.zeros(grid.shape, np.uint8)
    for label, slices in enumerate(places, 1):
        labels[slices, 16:28, 16:28] = label
    return grid.to_image(labels)


def test_planes_go_where_most_habitats_are_seen(cone):
    habitats = habitat_image(cone, [6], [9, 15], [12])
    plan = plan_of(cone, spacing_mm=9, centre_on="most_habitats", habitats=habitats)
    assert {6, 9, 12, 15} <= {round(plane.image_index) for plane in plan}
    assert np.allclose(plan.spacings_mm, 9)
    moved = plan_of(cone, spacing_mm=9, centre_on="most_habitats", habitats=habitat_image(cone, [7], [10, 16], [13]))
    assert {7, 10, 13, 16} <= {round(plane.image_index) for plane in moved}


def test_among_equal_places_the_most_even_then_the_centred_one_wins(cone):
    even = plan_of(cone, spacing_mm=9, centre_on="most_habitats", habitats=habitat_image(cone, list(range(3, 18))))
    assert positions(even) == positions(plan_of(cone, spacing_mm=9))
    # With these end slabs five planes fit through slice 7 or through slice 8. Both habitats are seen either way.
    for best in (7, 8):
        array = np.zeros(Grid.from_image(cone).shape, np.uint8)
        array[3:19, 16:28, 16:28] = 1
        array[6:10, 18:22, 18:22] = 2
        array[best, 16:28, 16:28] = 2
        habitats = Grid.from_image(cone).to_image(array)
        plan = plan_of(cone, spacing_mm=9, min_end_slab_mm=4.6, centre_on="most_habitats", habitats=habitats)
        assert len(plan) == 5
        assert best in {round(plane.image_index) for plane in plan}


def test_no_plane_is_given_up_for_evenness(cone):
    array = np.zeros(Grid.from_image(cone).shape, np.uint8)
    array[3:19, 16:28, 16:28] = 1
    array[8, 16:28, 16:28] = array[9, 18:22, 18:22] = 2
    plan = plan_of(cone, spacing_mm=9, centre_on="most_habitats", habitats=Grid.from_image(cone).to_image(array))
    assert len(plan) == len(plan_of(cone, spacing_mm=9)) == 6


def test_habitats_no_plane_can_show_are_named(cone):
    habitats = habitat_image(cone, [6], [7], [8, 11])
    with pytest.warns(ComouldWarning, match=r"habitats \d, \d not seen with room for a 3 mm core"):
        plan_of(cone, spacing_mm=9, centre_on="most_habitats", habitats=habitats)


def test_habitats_that_cannot_be_used(cone):
    with pytest.raises(
        InputError, match=r"most_habitats: expected a habitat label image, found none\. .*largest_section"
    ):
        plan_of(cone, centre_on="most_habitats")
    grid = Grid.from_image(cone)
    values = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    with pytest.raises(InputError, match=r"habitat labels: expected whole-numbered labels, at most 64"):
        plan_of(cone, centre_on="most_habitats", habitats=grid.to_image(values))
    vector = grid.to_image(np.ones((*grid.shape, 2), np.uint8))
    with pytest.raises(InputError, match="one value per voxel, found 2"):
        plan_of(cone, centre_on="most_habitats", habitats=vector)


@given(
    spacing=st.sampled_from([4.0, 5.0, 6.0, 7.5, 11.0]),
    step=st.sampled_from([0.7, 2.0, 2.5, 3.27, 5.0, 8.0]),
    end=st.floats(0.0, 6.0),
    centre_on=st.sampled_from(["extent", "largest_section"]),
    snap=st.booleans(),
    seed=st.integers(0, 999),
)
@pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")
def test_planes_keep_their_rules(spacing, step, end, centre_on, snap, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((int(90 / step) + 4, 9, 9), bool)
    low = int(rng.integers(1, 4))
    for k in range(low, low + max(3, int(rng.integers(12, 80) / step))):
        mask[k, 2 : 4 + rng.integers(1, 4), 2:7] = True
    grid = Grid(mask.shape[::-1], (1, 1, step), tuple(rng.normal(size=3) * 50))
    lesion = find_lesion(image_of(mask, grid), "largest")
    view = resolve_view("image" if step > 1.1 else "axial", lesion.grid)
    size = sized(spacing_mm=spacing, min_end_slab_mm=end, centre_on=centre_on, snap=snap)
    plan = plan_for(lesion, view, size)
    along = lesion.points_mm() @ plan.normal
    ends = np.array(positions(plan))[[0, -1]] - [along.min() - step / 2, along.max() + step / 2]
    if along.max() - along.min() + step >= 2 * end + (step if snap else 0.0):
        assert ends[0] >= end - 0.011
        assert -ends[1] >= end - 0.011
    if len(plan) > 1:
        assert plan.spacings_mm.min() >= 2.5 - 1e-6
        if not snap:
            assert np.allclose(plan.spacings_mm, spacing)
    if snap:
        index = [plane.image_index for plane in plan]
        assert np.allclose(index, np.round(index), atol=1e-5)


def test_named_planes_beside_oblique_slices_are_told(cone):
    tilt = Rotation.from_euler("x", 18.5, degrees=True).as_matrix()
    grid = Grid.from_image(cone)
    oblique = Grid(grid.size, grid.spacing_mm, grid.origin_mm, tilt).to_image(sitk.GetArrayFromImage(cone))
    with pytest.warns(ComouldWarning, match=r"axial planes run 18.5° off the image's own slices.*--plane image"):
        plan = plan_of(oblique, "axial", spacing_mm=6)
    assert np.allclose(plan.normal, (0, 0, 1))
    assert plan.planes[0].image_index is None
    kept = plan_of(oblique, "image", spacing_mm=6)
    assert np.allclose(kept.normal, tilt[:, 2])
    assert [plane.image_index for plane in kept] == [plane.image_index for plane in plan_of(cone, spacing_mm=6)]
    # Across the slices, and along a normal given on purpose, there is nothing to tell.
    plan_of(oblique, "sagittal", spacing_mm=6)
    plan_of(oblique, "0,0,1", spacing_mm=6)


def test_image_planes_do_not_depend_on_storage():
    """The acquisition's planes are seen as the nearest named view, whatever order the axes are stored in."""
    tilt = Rotation.from_euler("xyz", (8, -11, 5), degrees=True).as_matrix()
    upright = Grid((30, 28, 12), (0.8, 0.8, 4.0), direction=tilt)
    view = resolve_view("image", upright)
    assert np.allclose(np.column_stack([view.u, view.v, view.normal]), tilt)
    for axes, signs in (((2, 0, 1), (1, 1, 1)), ((0, 1, 2), (-1, -1, 1)), ((1, 0, 2), (1, 1, -1))):
        size, spacing = (tuple(np.array(part)[list(axes)].tolist()) for part in (upright.size, upright.spacing_mm))
        other = Grid(size, spacing, direction=tilt[:, axes] * np.array(signs))
        again = resolve_view("image", other)
        assert np.allclose([view.normal, view.u, view.v], [again.normal, again.u, again.v])
        assert again.axis == axes.index(2)

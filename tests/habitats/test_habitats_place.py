"""Depth, rim, volumes and neighbourhood of labels."""

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import ComouldWarning, InputError
from comould.habitats import edge_distance, interaction, rim, volume_fractions
from comould.habitats.distance import _point_to_triangle, signed_distance
from comould.habitats.rim import depth_by_label, zones
from comould.space import Grid


def array(image):
    return sitk.GetArrayFromImage(image)


@pytest.mark.parametrize("surface", ["smooth", "voxels"])
def test_depth_in_a_box_is_exact_along_its_axes(surface):
    grid = Grid((11, 9, 7), (0.5, 1.0, 2.0))
    mask = np.zeros(grid.shape, np.uint8)
    mask[:, :, 3:8] = 1
    depth = array(edge_distance(grid.to_image(mask), surface=surface))
    middle = depth[3, 4]
    np.testing.assert_allclose(middle[3:8], [0.25, 0.75, 1.25, 0.75, 0.25], atol=2e-3)
    np.testing.assert_allclose(middle[:3], [-1.25, -0.75, -0.25], atol=2e-3)
    # The image ends there: beyond is outside.
    np.testing.assert_allclose(depth[0, 4, 5], 1.0, atol=2e-3)


def ball(spacing, radius=12.0):
    size = [int(2 * radius / s) + 9 for s in spacing]
    grid = Grid(tuple(size), spacing)
    centre = grid.patient_from_index((np.array(size) - 1) / 2 + 0.13)
    k, j, i = np.indices(grid.shape)
    place = grid.patient_from_index(np.stack([i, j, k], -1).reshape(-1, 3))
    return grid, radius - np.linalg.norm(place - centre, axis=1).reshape(grid.shape)


@pytest.mark.parametrize(("spacing", "bias_mm"), [((0.6, 0.6, 0.6), 0.05), ((0.6, 0.6, 3.0), 0.25)])
def test_depth_in_a_sphere_is_the_radius_left(spacing, bias_mm):
    grid, left = ball(spacing)
    depth = array(edge_distance(grid.to_image(left > 0)))
    inside = left > 0
    assert ((depth > 0) == inside).all()
    assert np.abs(depth - left)[inside].max() <= max(spacing) / 2
    assert np.abs((depth - left)[inside].mean()) < bias_mm
    assert np.abs((depth - left)[~inside].mean()) < bias_mm
    faces = array(edge_distance(grid.to_image(inside), surface="voxels"))
    assert np.abs((faces - left)[inside].mean()) > np.abs((depth - left)[inside].mean())


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 3.0)])
def test_depth_below_an_oblique_plane_has_no_bias(spacing):
    grid = Grid(tuple(int(np.ceil(30 / s)) for s in spacing), spacing)
    k, j, i = np.indices(grid.shape)
    place = grid.patient_from_index(np.stack([i, j, k], -1).reshape(-1, 3)) - 15.1
    near = (np.linalg.norm(place, axis=1) < 6).reshape(grid.shape)
    for normal in ([1.0, 0.93, 0.1], [0.9, -0.2, 1.1], [0.31, 2.0, 2.7]):
        left = (place @ np.array(normal) / np.linalg.norm(normal)).reshape(grid.shape)
        found = signed_distance(np.pad(left > 0, 1), np.array(spacing[::-1]), "smooth")[1:-1, 1:-1, 1:-1]
        off = (found - left)[near]
        assert abs(off.mean()) < 0.05 * max(spacing), normal
        assert off.std() < 0.16 * max(spacing), normal


def test_distance_to_faces_is_that_to_the_nearest_box():
    rng = np.random.default_rng(4)
    inside = rng.random((6, 7, 8)) < 0.7
    spacing = np.array([2.0, 0.7, 1.0])
    found = signed_distance(np.pad(inside, 1), spacing, "voxels")[1:-1, 1:-1, 1:-1]
    padded = np.pad(inside, 1)
    for side, sign in ((True, 1.0), (False, -1.0)):
        others = np.argwhere(padded != side) if side else np.argwhere(padded)
        for place in np.argwhere(inside == side):
            apart = np.maximum(np.abs(others - place - 1) - 0.5, 0.0) * spacing
            assert found[tuple(place)] == pytest.approx(sign * np.sqrt((apart**2).sum(axis=1).min()))


def test_distance_to_a_triangle_is_that_to_its_finely_sampled_points():
    rng = np.random.default_rng(1)
    points, triangles = rng.normal(size=(40, 3)), rng.normal(size=(40, 3, 3))
    u, v = np.meshgrid(np.linspace(0, 1, 200), np.linspace(0, 1, 200))
    weights = np.stack([u, v, 1 - u - v], -1).reshape(-1, 3)
    weights = weights[weights[:, 2] >= 0]
    wanted = [np.linalg.norm(weights @ t - p, axis=1).min() for p, t in zip(points, triangles, strict=True)]
    np.testing.assert_allclose(_point_to_triangle(points, triangles), wanted, atol=2e-2)


@pytest.mark.parametrize("surface", ["smooth", "voxels"])
def test_a_single_voxel_and_a_sheet_have_an_inside(surface):
    for part in (np.s_[3, 4, 5], np.s_[3], np.s_[:, 2, 3]):
        mask = np.zeros((7, 8, 9), np.uint8)
        mask[part] = 1
        depth = array(edge_distance(Grid((9, 8, 7), (1.0, 1.0, 4.0)).to_image(mask), surface=surface))
        assert ((depth > 0) == (mask > 0)).all()
        assert depth.max() <= 2.0


def test_unknown_surfaces_are_refused():
    with pytest.raises(InputError, match="surface: expected one of smooth, voxels, found 'mesh'"):
        edge_distance(Grid((3, 3, 3)).to_image(np.ones((3, 3, 3), np.uint8)), surface="mesh")


def test_rim_core_and_ring():
    grid = Grid((13, 13, 13))
    mask = np.zeros(grid.shape, np.uint8)
    mask[2:11, 2:11, 2:11] = 1
    found = array(rim(grid.to_image(mask), width_mm=2.0, ring_mm=1.0, surface="voxels"))
    assert (found == 1).sum() == 5**3
    assert (found == 2).sum() == 9**3 - 5**3
    # Six faces, twelve edges and eight corners, √¾ mm away.
    assert (found == 3).sum() == 6 * 81 + 12 * 9 + 8
    assert (array(rim(grid.to_image(mask), width_mm=0.0)) == 2).sum() == 0


def test_zones_of_a_sphere_have_the_volumes_of_shells():
    grid, left = ball((0.6, 0.6, 0.6), 10.0)
    wide = np.pad(left > 0, 8)
    mask = Grid(wide.shape[::-1], grid.spacing_mm).to_image(wide)
    found = zones(mask, rim_mm=3.0, margin_mm=1.0, rings_mm=(3.0, 5.0))
    assert found.table["zone"].tolist() == ["core", "rim", "invasive margin", "ring 1 to 3 mm", "ring 3 to 5 mm"]
    radii = np.array([0.0, 7.0, 9.0, 11.0, 13.0, 15.0])
    wanted = np.diff(4 / 3 * np.pi * radii**3) / 1000
    np.testing.assert_allclose(found.table["volume_ml"], wanted, rtol=0.04)
    assert (found.table["beyond_image_ml"] == 0).all()
    labels, depth = array(found.labels), array(found.depth)
    for row in found.table.itertuples():
        mine = depth[labels == row.Index]
        assert mine.min() >= row.from_mm - 1e-5
        assert mine.max() <= row.to_mm + 1e-5
    assert (labels[depth < -5.0] == 0).all()


def test_rings_keep_to_where_they_may_lie_and_tell_what_the_image_cuts_off():
    grid, left = ball((1.0, 1.0, 1.0), 8.0)
    mask = grid.to_image(left > 0)
    with pytest.warns(ComouldWarning, match=r"zones that reach beyond the image: ring 0 to 6 mm \("):
        whole = zones(mask, rim_mm=2.0, rings_mm=(6.0,))
    organ = np.zeros(grid.shape, np.uint8)
    organ[:, :, : grid.size[0] // 2] = 1
    with pytest.warns(ComouldWarning, match="reach beyond"):
        part = zones(mask, rim_mm=2.0, rings_mm=(6.0,), allowed=grid.to_image(organ))
    assert part.table["voxels"].tolist()[:2] == whole.table["voxels"].tolist()[:2]
    assert (array(part.labels)[organ == 0] != 3).all()
    assert 0 < part.table.loc[3, "voxels"] < whole.table.loc[3, "voxels"]
    shells = 4 / 3 * np.pi * (14.0**3 - 8.0**3) / 1000
    assert whole.table.loc[3, ["volume_ml", "beyond_image_ml"]].sum() == pytest.approx(shells, rel=0.04)


def test_zones_too_thin_or_too_deep_are_told():
    grid, left = ball((1.0, 1.0, 4.0), 8.0)
    with pytest.warns(ComouldWarning, match=r"thinner than half a voxel \(4 mm at its longest\).*: rim"):
        zones(grid.to_image(left > 0), rim_mm=1.0)
    with pytest.warns(ComouldWarning, match="zones without voxels: core"):
        zones(grid.to_image(left > 0), rim_mm=20.0)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({"rim_mm": -1.0}, "rim_mm -1.0 is not a length"),
        ({"rim_mm": 2.0, "margin_mm": 2.0}, "margin_mm 2.0 is not a length of 0 mm or more and less than rim_mm"),
        ({"rim_mm": 2.0, "rings_mm": (4.0, 3.0)}, r"rings_mm \[4.0, 3.0\] do not rise"),
        ({"rim_mm": 2.0, "margin_mm": 1.0, "rings_mm": (1.0,)}, "do not rise from the margin of 1.0 mm"),
    ],
)
def test_widths_that_make_no_zones(widths, message):
    mask = Grid((9, 9, 9)).to_image(np.ones((9, 9, 9), np.uint8))
    with pytest.raises(InputError, match=message):
        zones(mask, **widths)


def test_what_is_allowed_lies_on_the_masks_grid():
    mask = Grid((9, 9, 9)).to_image(np.ones((9, 9, 9), np.uint8))
    with pytest.raises(InputError, match="mask of what is allowed: expected the tumour mask's grid"):
        zones(mask, rim_mm=2.0, allowed=Grid((9, 9, 8)).to_image(np.ones((8, 9, 9), np.uint8)))


def test_shells_are_told_from_habitats():
    grid, left = ball((1.0, 1.0, 1.0), 10.0)
    depth = edge_distance(grid.to_image(left > 0))
    inside = left > 0
    shells = depth_by_label(grid.to_image((inside * (1 + (left > 3))).astype(np.uint8)), depth)
    halves = depth_by_label(grid.to_image((inside * (1 + (np.indices(grid.shape)[2] > 14))).astype(np.uint8)), depth)
    assert shells.attrs["depth_explained"] > 0.6
    assert halves.attrs["depth_explained"] < 0.05
    assert shells.loc[1, "p90_mm"] <= 3.5 < shells.loc[2, "p50_mm"]
    assert shells["voxels"].sum() == inside.sum()
    with pytest.raises(InputError, match="labels: expected integers, some above 0"):
        depth_by_label(grid.to_image(left), depth)
    with pytest.raises(InputError, match="labels: expected the grid of the depth map"):
        depth_by_label(Grid((3, 3, 3)).to_image(), depth)


@pytest.mark.parametrize("width", [-1.0, np.nan])
def test_a_rim_has_a_width(width):
    mask = Grid((3, 3, 3)).to_image(np.ones((3, 3, 3), np.uint8))
    with pytest.raises(InputError, match="rim width_mm: expected a length of 0 mm or more"):
        rim(mask, width_mm=width)


def test_depth_of_nothing_is_refused():
    with pytest.raises(InputError, match="mask: expected voxels inside, found none"):
        edge_distance(Grid((3, 3, 3)).to_image())


def labelled():
    labels = np.zeros((2, 3, 6), np.uint8)
    labels[:, :, 1:3], labels[:, :, 3:5] = 1, 2
    labels[0, 0, 0] = 2
    return Grid((6, 3, 2), (1.0, 2.0, 3.0)).to_image(labels)


def test_volume_fractions():
    table = volume_fractions(labelled())
    assert table.index.tolist() == [1, 2]
    assert table["voxels"].tolist() == [12, 13]
    np.testing.assert_allclose(table["volume_ml"], [0.072, 0.078])
    np.testing.assert_allclose(table["fraction"].sum(), 1.0)
    assert table["components"].tolist() == [1, 2]
    np.testing.assert_allclose(table["largest_component_fraction"], [1.0, 12 / 13])


def test_interaction_is_the_shared_area():
    table = interaction(labelled())
    # Six faces of 2 × 3 mm between the slabs, one more at the odd voxel.
    assert table.loc[1, 2] == table.loc[2, 1] == 6 * 6.0 + 6.0
    # The odd voxel touches outside at one 1 × 3 and one 1 × 2 face; the second slab at six 2 × 3 faces.
    assert table.loc[0, 2] == 36.0 + 3.0 + 2.0
    assert table.loc[0, 1] == 5 * 6.0
    assert np.isnan(table.loc[0, 0])


def test_interaction_without_any_outside():
    labels = np.ones((1, 1, 2), np.uint8)
    labels[..., 1] = 2
    table = interaction(Grid((2, 1, 1)).to_image(labels))
    assert table.loc[1, 2] == 1.0
    assert table.loc[0].drop(0).tolist() == [0.0, 0.0]


def test_labels_are_integers_above_zero():
    with pytest.raises(InputError, match="labels above 0, found none"):
        volume_fractions(Grid((2, 2, 2)).to_image())
    with pytest.raises(InputError, match="an integer label image, found 64-bit float"):
        interaction(Grid((2, 2, 2)).to_image(np.ones((2, 2, 2))))

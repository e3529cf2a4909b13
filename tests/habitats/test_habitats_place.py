"""Depth, rim, volumes and neighbourhood of labels."""

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import InputError
from comould.habitats import edge_distance, interaction, rim, volume_fractions
from comould.space import Grid


def array(image):
    return sitk.GetArrayFromImage(image)


def test_depth_in_a_box_is_exact_along_its_axes():
    grid = Grid((11, 9, 7), (0.5, 1.0, 2.0))
    mask = np.zeros(grid.shape, np.uint8)
    mask[:, :, 3:8] = 1
    depth = array(edge_distance(grid.to_image(mask)))
    middle = depth[3, 4]
    np.testing.assert_allclose(middle[3:8], [0.25, 0.75, 1.25, 0.75, 0.25], atol=1e-6)
    np.testing.assert_allclose(middle[:3], [-1.25, -0.75, -0.25], atol=1e-6)
    # The image ends there: beyond is outside.
    np.testing.assert_allclose(depth[0, 4, 5], 1.0, atol=1e-6)


@pytest.mark.parametrize(("spacing", "bias_mm"), [((0.6, 0.6, 0.6), 0.2), ((0.6, 0.6, 3.0), 0.45)])
def test_depth_in_a_sphere_is_the_radius_left(spacing, bias_mm):
    radius = 12.0
    size = [int(2 * radius / s) + 5 for s in spacing]
    grid = Grid(tuple(size), spacing)
    centre = grid.patient_from_index((np.array(size) - 1) / 2)
    k, j, i = np.indices(grid.shape)
    place = grid.patient_from_index(np.stack([i, j, k], -1).reshape(-1, 3))
    left = radius - np.linalg.norm(place - centre, axis=1).reshape(grid.shape)
    depth = array(edge_distance(grid.to_image(left > 0)))
    assert ((depth > 0) == (left > 0)).all()
    inside = left > 0
    assert np.abs(depth - left)[inside].max() <= max(spacing) / 2 + 1e-5
    assert np.abs(depth - left)[~inside & (left > -3)].max() <= max(spacing)
    assert -bias_mm < (depth - left)[inside].mean() < 0.0


def test_rim_core_and_ring():
    grid = Grid((13, 13, 13))
    mask = np.zeros(grid.shape, np.uint8)
    mask[2:11, 2:11, 2:11] = 1
    zones = array(rim(grid.to_image(mask), width_mm=2.0, ring_mm=1.0))
    assert (zones == 1).sum() == 5**3
    assert (zones == 2).sum() == 9**3 - 5**3
    # Six faces and twelve edges; corners lie √3 - ½ mm away.
    assert (zones == 3).sum() == 6 * 81 + 12 * 9
    assert (array(rim(grid.to_image(mask), width_mm=0.0)) == 2).sum() == 0


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

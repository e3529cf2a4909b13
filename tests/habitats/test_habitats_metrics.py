"""Metrics of hand-made label maps."""

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import GeometryError, InputError
from comould.habitats import interaction, interaction_features, ith_score, pieces
from comould.space import Grid


def image(array, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)):
    array = np.atleast_3d(np.asarray(array, dtype=np.uint8))
    if array.shape[2] == 1 and array.shape[0] > 1:
        array = np.moveaxis(array, 2, 0)
    return Grid(array.shape[::-1], spacing, origin).to_image(np.ascontiguousarray(array))


PLATE = [
    [1, 1, 0, 2, 2],
    [1, 1, 0, 2, 2],
    [0, 0, 0, 0, 0],
    [1, 1, 0, 2, 0],
]
"""Label 1: pieces of 4 and 2; label 2: 4 and 1."""


def test_ith_score_by_hand():
    # Largest piece over number of pieces, of 11 voxels; the single one of label 2 does not count.
    assert ith_score(image(PLATE)) == pytest.approx(1 - (4 / 2 + 4 / 1) / 11)
    assert ith_score(image(PLATE), least_voxels=1) == pytest.approx(1 - (4 / 2 + 4 / 2) / 11)
    assert ith_score(image(np.ones((3, 3, 3)))) == 0.0
    assert ith_score(image([[[1, 2], [2, 1]]]), least_voxels=1) == 0.0
    assert ith_score(image([[[1, 2], [2, 1]]]), least_voxels=1, connectivity="faces") == 0.75
    assert ith_score(image([[[1, 2], [2, 1]]]), connectivity="faces") == 1.0


def test_interaction_of_a_plate():
    labels = image([[1, 1, 2], [1, 3, 2]], spacing=(1.0, 2.0, 3.0))
    faces = interaction(labels, unit="faces")
    assert faces.loc[1, 1] == 2
    assert faces.loc[1, 2] == 1
    assert faces.loc[1, 3] == 2
    assert faces.loc[2, 3] == 1
    assert faces.loc[2, 2] == 1
    # Faces between columns are 2 × 3 mm, between rows 1 × 3 mm.
    area = interaction(labels)
    assert area.loc[1, 2] == 6.0
    assert area.loc[1, 3] == 9.0
    assert area.loc[1, 1] == 9.0


def test_interaction_features_by_hand():
    found = interaction_features(image([[1, 1, 2, 2]]), unit="faces")
    assert found["share_1_1"] == pytest.approx(1 / 3)
    assert found["share_1_2"] == pytest.approx(1 / 3)
    assert found["mixing"] == pytest.approx(1 / 3)
    # p = [[1/3, 1/6], [1/6, 1/3]]
    assert found["contrast"] == pytest.approx(1 / 3)
    assert found["homogeneity"] == pytest.approx(2 / 3 + 1 / 6)
    assert found["correlation"] == pytest.approx((2 / 3 * 0.25 - 1 / 3 * 0.25) / 0.25)
    assert found["energy"] == pytest.approx(2 / 9 + 2 / 36)
    assert found["entropy"] == pytest.approx(2 / 3 * np.log2(3) + 1 / 3 * np.log2(6))


def test_interaction_with_the_outside_counts_it_as_a_class():
    labels = image([[0, 1, 2, 0]])
    found = interaction_features(labels, unit="faces", outside=True)
    assert found["share_0_1"] == found["share_1_2"] == found["share_0_2"] == pytest.approx(1 / 3)
    assert found["mixing"] == pytest.approx(1.0)
    assert found["contrast"] == pytest.approx(1 / 3 * (1 + 1 + 4))
    assert [name for name in found.index if name.startswith("share")] == [
        "share_0_1", "share_0_2", "share_1_1", "share_1_2", "share_2_2"
    ]  # fmt: skip


def test_one_label_has_no_correlation():
    found = interaction_features(image(np.ones((2, 2, 2))))
    assert found["energy"] == 1.0
    assert np.isnan(found["correlation"])


def test_pieces_and_what_touches_them():
    labels = image([[1, 1, 2, 1], [0, 0, 2, 0]], spacing=(2.0, 3.0, 5.0), origin=(10.0, 20.0, 30.0))
    nodes, edges = pieces(labels)
    assert nodes["label"].tolist() == [1, 1, 2]
    assert nodes["voxels"].tolist() == [2, 1, 2]
    assert nodes["volume_ml"].tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert nodes.loc[1, ["x_mm", "y_mm", "z_mm"]].tolist() == [11.0, 20.0, 30.0]
    assert nodes.loc[3, ["x_mm", "y_mm", "z_mm"]].tolist() == [14.0, 21.5, 30.0]
    assert edges.to_numpy().tolist() == [[1, 3, 15.0], [2, 3, 15.0]]
    assert nodes["edge_mm2"].tolist() == [20.0, 10.0, 30.0]
    assert pieces(labels, least_ml=0.05)[0]["label"].tolist() == [1, 2]
    with pytest.raises(InputError, match=r"a piece of at least 1 ml"):
        pieces(labels, least_ml=1.0)


def test_bad_maps_are_refused():
    empty = Grid((2, 2, 2)).to_image(np.zeros((2, 2, 2), np.uint8))
    for measure in (ith_score, interaction_features, pieces):
        with pytest.raises(InputError, match="labels above 0"):
            measure(empty)
    with pytest.raises(InputError, match="expected an integer label image"):
        ith_score(Grid((2, 2, 2)).to_image(np.ones((2, 2, 2))))
    with pytest.raises(GeometryError, match="3"):
        ith_score(sitk.Image([2, 2, 2, 2], sitk.sitkUInt8))
    with pytest.raises(InputError, match="connectivity 'faces' or 'corners'"):
        ith_score(image(PLATE), connectivity="edges")
    with pytest.raises(InputError, match="voxels that touch"):
        interaction_features(image([[[1]]]))

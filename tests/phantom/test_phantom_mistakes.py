"""Mistakes of people: swapped labels, wrong faces, dirty slides. The truth is kept apart from what is told."""

import numpy as np
import pytest

from comould.errors import InputError
from comould.phantom import CutOptions
from comould.phantom.cut import mixed_up

QUICK = {"image_pixel_um": 100.0, "spot_pitch_um": 1500.0}


def test_swapped_sections_bear_each_others_name_and_nothing_tells(small, make_plan):
    plan = make_plan(small, (0.3, 0.5, 0.7))
    right, wrong = (small.cut(plan, swapped=swapped, **QUICK) for swapped in (0, 1))
    assert [cut.true_plane_id for cut in wrong] == ["P01", "P02", "P03"]
    told = [cut.section.plane_id for cut in wrong]
    assert sorted(told) == ["P01", "P02", "P03"]
    moved = [n for n, plane_id in enumerate(told) if plane_id != f"P{n + 1:02d}"]
    assert len(moved) == 2
    assert moved[1] - moved[0] == 1
    for one, other in zip(right, wrong, strict=True):
        np.testing.assert_array_equal(one.section.image, other.section.image)
        np.testing.assert_array_equal(one.spots_patient_mm, other.spots_patient_mm)
        assert other.section.id == f"S-{other.section.plane_id}"
        assert set(other.spots.obs["section"]) == {other.section.id}
        assert other.spots.obs_names.str.startswith(other.section.id).all()
        assert one.true_plane == other.true_plane


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_neighbours_and_apart(seed):
    ids = [f"P{n:02d}" for n in range(9)]
    told = mixed_up(ids, CutOptions(swapped=3), (seed, 0))
    away = [abs(ids.index(name) - n) for n, name in enumerate(told)]
    assert sum(away) == 6
    assert max(away) == 1


def test_more_swaps_than_sections(small, make_plan):
    with pytest.raises(InputError, match="swapped 2: expected at most as many pairs as 2 sections hold"):
        small.cut(make_plan(small, (0.4, 0.6)), swapped=2, **QUICK)


@pytest.mark.parametrize("face", ["-", "+"])
def test_face_is_told_rightly_wrongly_or_not(small, make_plan, face):
    plan = make_plan(small, (0.5,), face=face)
    cuts = {told: small.cut(plan, tell_face=told, **QUICK)[0] for told in ("auto", "right", "wrong", "untold")}
    shown = "+" if cuts["untold"].flipped else "-"
    assert {cut.flipped for cut in cuts.values()} == {cuts["untold"].flipped}
    assert (cuts["auto"].section.face, cuts["untold"].section.face) == (None, None)
    assert cuts["right"].section.face == shown
    assert cuts["wrong"].section.face not in {shown, None}
    kept = small.cut(plan, tell_face="right", flip=False, **QUICK)[0]
    assert kept.section.face == face


def test_unknown_word_for_the_face():
    with pytest.raises(InputError, match="tell_face 'maybe' is not one of auto, right, wrong, untold"):
        CutOptions(tell_face="maybe")


@pytest.fixture(scope="module")
def dirty(small, make_plan):
    plan = make_plan(small, (0.5,))
    options = {"clean": {}, "dust": {"dust": 80}, "pen": {"pen": 2}, "folds": {"folds": 2}}
    return {name: small.cut(plan, **QUICK, **given)[0] for name, given in options.items()}


@pytest.mark.parametrize("name", ["dust", "pen", "folds"])
def test_dirt_is_painted_over_and_moves_nothing(small, dirty, name):
    clean, cut = dirty["clean"], dirty[name]
    np.testing.assert_array_equal(cut.spots_patient_mm, clean.spots_patient_mm)
    assert (cut.spots.X != clean.spots.X).nnz == 0
    changed = np.abs(cut.section.image.astype(int) - clean.section.image).max(axis=2) > 12
    assert 0.0005 < changed.mean() < 0.25
    y, x = np.nonzero(changed)
    level = small.level_mm(cut.locate((np.column_stack([x, y]) + 0.5) * cut.section.downsample - 0.5)[0])
    if name == "folds":
        assert level.max() < 0.3
        assert cut.section.image[changed].mean() < clean.section.image[changed].mean() - 10
    else:
        # Dust and ink know nothing of the tissue.
        assert (level > 0.5).any()
    if name == "pen":
        ink = cut.section.image[changed].astype(int)
        assert np.median(ink.max(axis=1)) < 190

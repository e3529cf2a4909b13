from functools import cache

import numpy as np
import pytest

from comould.register import plane_raster, section_raster
from comould.register.initialise import search


def apart_deg(a, b):
    return abs((a - b + 180) % 360 - 180)


def turn_of(pair):
    """The truth in the search's own convention (mirror x first, then turn), from the mapped spots."""
    slide = pair.section.section_mm_from_section_px.apply(pair.spots_px)[:, :2]
    plane = pair.plan["P02"].plane_from_patient.apply(pair.spots_patient_mm)[:, :2]
    basis = np.column_stack([slide - slide.mean(axis=0), np.ones(len(slide))])
    linear = np.linalg.lstsq(basis, plane, rcond=None)[0][:2].T @ np.diag([-1.0 if pair.flipped else 1.0, 1.0])
    return np.degrees(np.arctan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])) % 360


def rasters(pair):
    plane = plane_raster(pair.plan["P02"], pair.images, pair.mask)
    return section_raster(pair.section, plane.spacing_mm), plane


@pytest.fixture(scope="module")
def found(make):
    """What the search answers for a seed; searched once."""
    return cache(lambda seed: search(*rasters(make(seed))))


@pytest.mark.parametrize("seed", [0, 4, 7, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (3, 5))])
def test_face_and_turn_are_found(make, found, seed):
    pair = make(seed)
    best, *others = found(seed)
    assert best.planar.flipped == pair.flipped
    assert apart_deg(best.planar.angle_deg, turn_of(pair)) < 8
    assert best.planar.scale == pytest.approx(1 / 0.95, abs=0.06)
    assert all(other.score <= best.score for other in others)


@pytest.mark.parametrize("seed", [0, 4, 7])
def test_answers_are_distinct(found, seed):
    starts = found(seed)
    for i, a in enumerate(starts):
        for b in starts[:i]:
            assert a.planar.flipped != b.planar.flipped or apart_deg(a.planar.angle_deg, b.planar.angle_deg) > 15


def test_a_known_face_is_obeyed(make):
    pair = make(4)
    for flipped in (True, False):
        assert {start.planar.flipped for start in search(*rasters(pair), flipped=flipped)} == {flipped}


def test_scale_stays_within_the_bounds(make):
    starts = search(*rasters(make(4)), shrinkage=(0.97, 1.0))
    assert all(1.0 - 1e-9 <= start.planar.scale <= 1 / 0.97 + 1e-9 for start in starts)


def test_same_input_same_answer(make, found):
    for a, b in zip(found(0), search(*rasters(make(0))), strict=True):
        np.testing.assert_array_equal(a.planar.linear, b.planar.linear)

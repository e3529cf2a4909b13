"""Landmarks as clues: in a fit, alone, held out; in the wrong order they are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import comould.register
from comould.errors import InputError
from comould.io.landmarks import Landmarks
from comould.register import Clues, LandmarkPairs, RegisterSettings
from comould.register.landmarks import check_order, doubts, misfits, similarity_of

QUICK = RegisterSettings(deformable=False, plane="plan", round_trip=False)


def pairs_of(pair, every=70, start=0, noise_mm=0.0):
    rows = np.arange(start, len(pair.spots_px), every)
    noise = np.random.default_rng(start).normal(0, noise_mm, (len(rows), 3)) if noise_mm else 0.0
    names = tuple(f"L{row}" for row in rows)
    return LandmarkPairs(names, pair.spots_px[rows].astype(float), pair.spots_patient_mm[rows] + noise)


def run(pair, **clues):
    return comould.register.section(
        pair.section,
        plan=pair.plan,
        image=pair.images,
        mask=pair.mask,
        n_samples=0,
        clues=Clues(**clues),
        settings=QUICK,
    )


@given(
    st.floats(0, 360), st.floats(0.5, 2.0), st.booleans(), st.floats(-50, 50), st.floats(-50, 50), st.integers(0, 99)
)
def test_a_similarity_is_found_from_points(angle, scale, flipped, x, y, seed):
    points = np.random.default_rng(seed).normal(0, 10, (6, 2))
    t = np.deg2rad(angle)
    rotation = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    target = points * ([-1, 1] if flipped else [1, 1]) @ rotation.T * scale + [x, y]
    matrix = similarity_of(points, target, flipped=flipped)
    np.testing.assert_allclose(points @ matrix[:2, :2].T + matrix[:2, 2], target, atol=1e-8)
    assert (np.linalg.det(matrix[:2, :2]) < 0) == flipped


@given(st.integers(0, 999), st.integers(7, 30), st.integers(0, 2), st.booleans())
def test_pairs_that_do_not_go_with_the_others_are_found(seed, n, wrong, flipped):
    rng = np.random.default_rng(seed)
    source = rng.uniform(-15, 15, (n, 2))
    target = source * ([-1, 1] if flipped else [1, 1]) @ np.array([[0.6, -0.8], [0.8, 0.6]]) * 1.05 + [3, 4]
    target += rng.normal(0, 0.4, (n, 2))
    strays = rng.permutation(n)[:wrong]
    target[strays] += 60.0
    assert set(misfits(source, target)) == set(strays)
    assert bool(doubts(source, target, tuple(map(str, range(n))), "landmarks")) == (wrong > 0)


def test_too_few_or_wholly_mixed_pairs_name_nobody():
    points = np.random.default_rng(3).uniform(-15, 15, (12, 2))
    assert not len(misfits(points[:3], points[3:6]))
    assert not len(misfits(points, np.roll(points, 5, axis=0)))


def test_held_out_landmarks_measure_and_change_nothing(pair, plain):
    held = pairs_of(pair)
    found = run(pair, held_out=held)
    np.testing.assert_array_equal(found.map_points(pair.spots_px)[0], plain.map_points(pair.spots_px)[0])
    errors = np.linalg.norm(found.map_points(held.section_px)[0] - held.target, axis=1)
    np.testing.assert_allclose(found.quality.held_out.residual_mm, errors)
    assert plain.quality.held_out is None


def test_landmarks_alone_bring_a_section_home(pair):
    given_, held = pairs_of(pair, noise_mm=0.1), pairs_of(pair, start=35)
    found = run(pair, landmarks=given_, held_out=held, landmarks_only=True)
    assert found.quality.held_out.median_mm < 0.6
    assert found.quality.flipped == pair.flipped
    assert found.quality.fitted.names == given_.names
    assert not found.quality.fitted.held_out


def test_landmarks_in_the_wrong_order_are_refused(pair):
    right = pairs_of(pair)
    mixed = LandmarkPairs(right.names, right.section_px, right.target[np.random.default_rng(1).permutation(len(right))])
    said = r"landmarks of section 'S1': expected landmarks that match up by a turn and a scaling, found .* mm left"
    with pytest.raises(InputError, match=said):
        run(pair, landmarks=mixed)
    with pytest.raises(InputError, match="expected landmarks apart from one another, found all at one place"):
        check_order(np.zeros((5, 2)), np.zeros((5, 2)), tuple("abcde"), "landmarks")
    given_ = LandmarkPairs(tuple(f"g{name}" for name in right.names), right.section_px, right.target)
    verdict = run(pair, landmarks=given_, landmarks_only=True, held_out=mixed).quality
    assert verdict.verdict == "reject"
    assert any("held-out landmarks are" in reason for reason in verdict.reasons)
    assert any("held-out landmarks do not match up" in reason for reason in verdict.reasons)


def test_bad_landmarks_are_refused():
    xy, xyz = np.zeros((2, 2)), np.zeros((2, 3))
    with pytest.raises(InputError, match="landmark pairs: expected finite coordinates, found none at b"):
        LandmarkPairs(("a", "b"), np.array([[0.0, 1.0], [np.nan, 1.0]]), xyz)
    with pytest.raises(InputError, match=r"found \(2, 2\), \(2, 3\) and 3 names"):
        LandmarkPairs(("a", "b", "c"), xy, xyz)
    few = LandmarkPairs(("a", "b"), xy, xyz)
    with pytest.raises(InputError, match="landmarks_only needs 3 pairs or more, not 2"):
        Clues(landmarks=few, landmarks_only=True)
    with pytest.raises(InputError, match="landmarks_only needs landmarks"):
        Clues(landmarks_only=True)
    with pytest.raises(InputError, match="landmarks both fitted and held out: a, b"):
        Clues(landmarks=few, held_out=few)
    with pytest.raises(InputError, match=r"angle_deg \(10.0, 0.0\) is not"):
        Clues(angle_deg=(10.0, 0.0))


def test_targets_must_be_in_the_patient(pair):
    flat = LandmarkPairs(tuple("abcd"), pair.spots_px[:4].astype(float), pair.spots_px[:4].astype(float))
    with pytest.raises(InputError, match=r"landmarks of 'S1': expected targets in patient mm \(n, 3\)"):
        run(pair, landmarks=flat)


def test_pairs_are_made_by_name_and_split():
    a = Landmarks(("x", "y", "z", "w"), np.arange(8.0).reshape(4, 2), "section_px")
    b = Landmarks(("w", "z", "y", "x"), np.arange(12.0).reshape(4, 3), "patient")
    pairs = LandmarkPairs.of(a, b)
    assert pairs.names == ("x", "y", "z", "w")
    np.testing.assert_array_equal(pairs.target[0], [9.0, 10.0, 11.0])
    fit, held = pairs.split(0.25, seed=1)
    assert (len(fit), len(held)) == (3, 1)
    assert not set(fit.names) & set(held.names)
    with pytest.raises(InputError, match="landmark pairs: expected enough to split, found 4"):
        pairs.split(0.0)

"""Agreement against published tables and other implementations."""

import numpy as np
import pytest

from comould.errors import InputError
from comould.habitats.agreement import assign, dice, icc, match_overlap, rand_index

# Shrout & Fleiss 1979, table 2: six targets rated by four judges.
TARGETS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


@pytest.mark.parametrize(
    ("kind", "value", "low", "high"),
    # Values: table 4 of the paper. Limits: R package psych, ICC(sf).
    [("2,1", 0.29, 0.019, 0.76), ("3,1", 0.71, 0.342, 0.95)],
)
def test_the_example_of_shrout_and_fleiss(kind, value, low, high):
    found = icc(TARGETS, kind)
    assert found.value == pytest.approx(value, abs=0.005)
    assert found.low == pytest.approx(low, abs=0.001)
    assert found.high == pytest.approx(high, abs=0.005)
    assert (found.n_subjects, found.n_raters) == (6, 4)


def test_a_shift_of_one_rater_breaks_agreement_but_not_consistency():
    subjects = np.random.default_rng(0).normal(size=(50, 1))
    ratings = np.hstack([subjects, subjects, subjects + 3.0])
    assert icc(ratings, "3,1").value == pytest.approx(1.0)
    assert icc(ratings, "2,1").value < 0.4
    assert icc(ratings[:, :2], "2,1").low == 1.0


def test_known_share_of_noise():
    rng = np.random.default_rng(1)
    ratings = rng.normal(size=(4000, 1)) * 2.0 + rng.normal(size=(4000, 4))
    found = icc(ratings, "2,1")
    assert found.low < 0.8 < found.high
    assert found.high - found.low < 0.03


def test_limits_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        ratings = rng.normal(size=(20, 1)) + rng.normal(size=(1, 5)) * 0.3 + rng.normal(size=(20, 5)) * 0.5
        found = icc(ratings, "2,1")
        held += found.low <= 1.0 / (1.0 + 0.09 + 0.25) <= found.high
    assert 0.91 < held / 300 < 0.99


def test_nothing_varies():
    assert np.isnan(icc(np.ones((5, 3))).value)


@pytest.mark.parametrize(
    ("ratings", "kind", "message"),
    [
        (np.ones((1, 3)), "2,1", "at least 2 subjects"),
        (np.ones((3, 1)), "2,1", "2 raters"),
        ([[1, 2], [np.nan, 3]], "2,1", "finite values, found 1 others"),
        ([[1, 2], [2, 3]], "1,1", "found '1,1'"),
    ],
)
def test_bad_ratings_are_refused(ratings, kind, message):
    with pytest.raises(InputError, match=message):
        icc(ratings, kind)


def test_rand_index_is_the_known_one():
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(3)
    for _ in range(5):
        a, b = rng.integers(0, 4, 200), rng.integers(0, 3, 200)
        assert rand_index(a, b) == pytest.approx(adjusted_rand_score(a, b))
    assert rand_index([1, 1, 2, 2], [7, 7, 3, 3]) == 1.0
    assert rand_index([1, 1, 1], [2, 2, 2]) == 1.0
    with pytest.raises(InputError, match="3 and 2 voxels"):
        rand_index([1, 2, 3], [1, 2])


def test_dice_by_hand():
    assert dice([0, 1, 1, 2, 2, 3], [1, 1, 0, 2, 2, 0]) == {1: 0.5, 2: 1.0, 3: 0.0}


def test_labels_are_renamed_to_overlap_most():
    reference = np.array([0, 1, 1, 1, 2, 2, 3, 3])
    labels = np.array([0, 3, 3, 1, 1, 1, 2, 2])
    np.testing.assert_array_equal(match_overlap(reference, labels), [0, 1, 1, 2, 2, 2, 3, 3])
    more = np.array([0, 1, 1, 4, 2, 2, 3, 3])
    np.testing.assert_array_equal(match_overlap(reference, more), [0, 1, 1, 4, 2, 2, 3, 3])


def test_assignment_is_the_best_of_all():
    from itertools import permutations

    gain = np.random.default_rng(4).normal(size=(4, 4))
    best = max(permutations(range(4)), key=lambda p: sum(gain[i, p[i]] for i in range(4)))
    np.testing.assert_array_equal(assign(gain), best)
    assert sorted(assign(gain[:, :2]).tolist()) == [-1, -1, 0, 1]

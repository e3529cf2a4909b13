"""cohort/sign_flip.py: all flips by hand, the error rates, and what few patients cannot say."""

from itertools import product

import numpy as np
import pytest

from comould.associate.cohort.sign_flip import sign_flip
from comould.errors import InputError


def by_hand(y):
    """Two-sided p-value over all 2^n flips of the t statistic."""
    observed = abs(y.mean() / y.std(ddof=1))
    flipped = [y * signs for signs in product((1, -1), repeat=len(y))]
    return np.mean([abs(f.mean() / f.std(ddof=1)) >= observed - 1e-9 for f in flipped])


def test_few_patients_are_flipped_in_every_way():
    rng = np.random.default_rng(0)
    y = rng.normal(0.5, 1, (7, 12))
    found = sign_flip(y)
    assert found.exact
    assert found.n_flips == 64
    assert found.p == pytest.approx([by_hand(column) for column in y.T])


def test_the_clearest_data_reach_the_smallest_p():
    for n in (6, 9):
        found = sign_flip(np.linspace(1, 2, n))
        assert found.p[0] == found.attainable[0] == pytest.approx(2 / 2**n)


@pytest.mark.parametrize(("n", "least"), [(1, "1"), (4, "0.12"), (5, "0.062")])
def test_too_few_patients_are_not_tested_and_the_reason_is_said(n, least):
    found = sign_flip(np.ones((n, 2)))
    assert np.isnan(found.p).all()
    assert np.isnan(found.p_max_t).all()
    assert found.reason[0] == f"{n} patients: the smallest p-value is {least}, above 0.05"


def test_a_patient_without_the_feature_does_not_count():
    rng = np.random.default_rng(3)
    y = rng.normal(0.4, 1, (8, 2))
    y[[1, 4], 0] = np.nan
    found = sign_flip(y)
    there = y[np.isfinite(y[:, 0]), 0]
    assert found.p[0] == pytest.approx(by_hand(there))
    assert found.attainable.tolist() == [2 / 2**6, 2 / 2**8]


def test_the_smallest_p_of_many_is_held_to_the_error_rate_of_all():
    rng = np.random.default_rng(5)
    some, any_ = [], []
    for trial in range(300):
        shared = rng.normal(size=(16, 1))
        y = 0.5 * shared + rng.normal(size=(16, 30))
        found = sign_flip(y, np.ones_like(y), n_flips=399, seed=trial)
        some.append((found.p <= 0.05).mean())
        any_.append((found.p_max_t <= 0.05).any())
        assert (found.p_max_t >= found.p).all()
    assert np.mean(some) == pytest.approx(0.05, abs=0.015)
    assert np.mean(any_) == pytest.approx(0.05, abs=0.035)


def test_step_down_keeps_the_order_and_finds_what_is_there():
    rng = np.random.default_rng(8)
    y = rng.normal(size=(12, 60))
    y[:, :3] += np.array([3.0, 2.5, 2.0])
    found = sign_flip(y)
    assert (found.p_max_t[:2] <= 0.05).all()
    assert (np.diff(found.p_max_t[np.argsort(found.p)]) >= -1e-12).mean() > 0.9


def test_random_flips_repeat_by_seed_and_come_near_the_exact_answer():
    rng = np.random.default_rng(2)
    y = rng.normal(0.3, 1, (15, 4))
    first, again, other = (sign_flip(y, n_flips=4999, seed=s) for s in (1, 1, 2))
    assert not first.exact
    assert (first.p == again.p).all()
    assert (first.p != other.p).any()
    assert first.p == pytest.approx([by_hand(column) for column in y.T[:, :]], abs=0.02)


def test_wrong_input_is_told():
    with pytest.raises(InputError, match="variances have shape"):
        sign_flip(np.ones(8), np.ones(7))
    with pytest.raises(InputError, match="0 flips"):
        sign_flip(np.ones(8), n_flips=0)
    with pytest.raises(InputError, match="patients × features"):
        sign_flip(np.ones((0, 3)))

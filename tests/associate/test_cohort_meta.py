"""cohort/meta.py: published answers, other software's answers, coverage, and who carries a claim."""

import time

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from comould.associate.cohort.leave_out import carried_by, leave_one_out
from comould.associate.cohort.meta import random_effects
from comould.associate.cohort.roots import find_roots
from comould.errors import InputError

# Colditz et al. (1994), doi:10.1001/jama.1994.03510330076038: tuberculosis with and without, vaccinated and not.
BCG = np.array(
    [
        (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619), (33, 5036, 47, 5761),
        (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892), (29, 7470, 45, 7232),
        (17, 1699, 65, 1600), (186, 50448, 141, 27197), (5, 2493, 3, 2338), (27, 16886, 29, 17825),
    ],
    dtype=float,
)  # fmt: skip


def risk_ratios():
    a, b, c, d = BCG.T
    return np.log(a / (a + b) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)


# What R's metafor prints for dat.bcg (Viechtbauer 2010, doi:10.18637/jss.v036.i03, and its reference pages).
@pytest.mark.parametrize(
    ("method", "knapp", "estimate", "se", "tau2", "i2", "h2"),
    [
        ("REML", "none", -0.7145, 0.1798, 0.3132, 92.22, 12.86),
        ("DL", "none", -0.7141, 0.1787, 0.3088, 92.12, 12.69),
        ("REML", "plain", -0.7145, 0.1808, 0.3132, 92.22, 12.86),
        ("PM", "none", -0.7150, 0.1809, 0.3181, 92.33, 13.04),
    ],
)
def test_vaccine_trials_come_out_as_published(method, knapp, estimate, se, tau2, i2, h2):
    found = random_effects(*risk_ratios(), method=method, hartung_knapp=knapp)
    assert found.estimate == pytest.approx(estimate, abs=6e-5)
    assert found.se == pytest.approx(se, abs=6e-5)
    assert found.tau2 == pytest.approx(tau2, abs=6e-5)
    assert found.i2 == pytest.approx(i2, abs=6e-3)
    assert found.h2 == pytest.approx(h2, abs=6e-3)
    assert found.q == pytest.approx(152.2330, abs=6e-5)
    assert (found.tau2_low, found.tau2_high) == pytest.approx((0.1197, 1.1115), abs=6e-5)
    assert found.n == 13


def test_q_profile_of_the_odds_ratios_is_the_published_one():
    a, b, c, d = BCG.T
    found = random_effects(np.log(a * d / (b * c)), (1 / BCG).sum(axis=1), hartung_knapp="none")
    # metafor-project.org, van Houwelingen et al. 2002: 0.1302 to 1.1812, from data rounded to four digits.
    assert (found.tau2_low, found.tau2_high) == pytest.approx((0.1302, 1.1812), abs=2e-4)


def test_prediction_interval_is_that_of_higgins_thompson_and_spiegelhalter():
    found = random_effects(*risk_ratios(), method="DL", hartung_knapp="none")
    reach = stats.t.ppf(0.975, 11) * np.sqrt(0.308760 + 0.178742**2)
    assert (found.predicted_low, found.predicted_high) == pytest.approx(
        (-0.714117 - reach, -0.714117 + reach), abs=1e-4
    )


@pytest.mark.parametrize(("ours", "theirs"), [("DL", "dl"), ("PM", "pm")])
def test_statsmodels_agrees(ours, theirs):
    rng = np.random.default_rng(4)
    for _ in range(20):
        v = rng.uniform(0.01, 0.2, 9)
        y = rng.normal(0.3, np.sqrt(v + 0.05))
        plain = random_effects(y, v, method=ours, hartung_knapp="none")
        knapp = random_effects(y, v, method=ours, hartung_knapp="plain")
        if plain.q < 8:  # statsmodels' DL does not stop at 0
            assert plain.tau2 == 0
            continue
        other = combine_effects(y, v, method_re=theirs)
        assert plain.tau2 == pytest.approx(other.tau2, abs=1e-6)
        assert plain.estimate == pytest.approx(other.mean_effect_re, abs=1e-6)
        assert plain.se == pytest.approx(other.sd_eff_w_re, abs=1e-6)
        assert knapp.se == pytest.approx(other.sd_eff_w_re_hksj, abs=1e-6)


def test_reml_is_the_likelihoods_highest_point():
    rng = np.random.default_rng(1)
    v = rng.uniform(0.01, 0.5, (6, 40))
    y = rng.normal(0, np.sqrt(v + 0.1))
    found = random_effects(y, v)
    for column in range(40):
        grid = np.concatenate([[0, found.tau2[column]], np.geomspace(1e-5, 10, 2000)])
        w = 1 / (v[:, column, None] + grid)
        mean = (w * y[:, column, None]).sum(axis=0) / w.sum(axis=0)
        spread = (w * (y[:, column, None] - mean) ** 2).sum(axis=0)
        likelihood = -0.5 * (spread + np.log(w.sum(axis=0)) - np.log(w).sum(axis=0))
        assert likelihood[1] >= likelihood.max() - 1e-12


def test_the_guard_never_narrows():
    y, v = np.full(6, 0.3) + 1e-3 * np.arange(6), np.full(6, 0.04)
    plain, guarded, usual = (random_effects(y, v, hartung_knapp=k) for k in ("plain", "truncated", "none"))
    assert plain.se < usual.se
    assert guarded.se == pytest.approx(usual.se)
    assert guarded.high - guarded.low > usual.high - usual.low


def test_intervals_cover_what_is_true():
    rng = np.random.default_rng(7)
    n, trials, mean, tau2 = 6, 4000, 0.2, 0.03
    v = np.repeat(1 / rng.uniform(20, 120, (n, 1)), trials, axis=1)
    y = rng.normal(mean, np.sqrt(tau2 + v))
    further = rng.normal(mean, np.sqrt(tau2), trials)
    usual, guarded = random_effects(y, v, hartung_knapp="none"), random_effects(y, v)
    covered = [float(((r.low <= mean) & (mean <= r.high)).mean()) for r in (usual, guarded)]
    assert covered[0] < 0.935
    assert 0.94 < covered[1] < 0.975
    spread = (guarded.tau2_low <= tau2) & (tau2 <= guarded.tau2_high)
    assert float(spread.mean()) == pytest.approx(0.95, abs=0.012)
    predicted = (guarded.predicted_low <= further) & (further <= guarded.predicted_high)
    # Known to fall short with few patients (Partlett & Riley 2017, doi:10.1002/sim.7140).
    assert 0.88 < float(predicted.mean()) < 0.97


def test_many_features_with_gaps_are_pooled_as_each_alone_and_quickly():
    rng = np.random.default_rng(2)
    v = 1 / rng.uniform(10, 300, (10, 18000))
    y = rng.normal(0.1, np.sqrt(v + 0.01))
    y[rng.random(y.shape) < 0.2] = np.nan
    y[:, 0], y[1:, 1], y[2:, 2] = np.nan, np.nan, np.nan
    y[0, 1], y[:2, 2] = 0.4, (0.1, 0.2)
    start = time.perf_counter()
    together = random_effects(y, v)
    assert time.perf_counter() - start < 8
    for column in (*range(3, 30), 1, 2):
        there = np.isfinite(y[:, column])
        alone = random_effects(y[there, column], v[there, column])
        for name in ("estimate", "low", "high", "p", "tau2", "tau2_low", "tau2_high", "predicted_low", "i2", "n"):
            assert getattr(together, name)[column] == pytest.approx(
                getattr(alone, name), rel=1e-9, abs=1e-12, nan_ok=True
            )
        assert together.weights[there, column] == pytest.approx(alone.weights)
    assert together.n[:3].tolist() == [0, 1, 2]
    assert np.isnan(together.estimate[0])
    assert together.estimate[1] == pytest.approx(0.4)
    assert np.isnan(together.p[1])
    assert np.isfinite(together.p[2])
    assert np.isnan(together.predicted_low[2])
    assert together.frame().shape == (18000, 15)


def test_wrong_input_is_told():
    with pytest.raises(InputError, match="not above 0"):
        random_effects([0.1, 0.2], [0.1, 0.0])
    with pytest.raises(InputError, match="shape"):
        random_effects([0.1, 0.2], [0.1])
    with pytest.raises(InputError, match="infinite"):
        random_effects([0.1, np.inf], [0.1, 0.1])
    with pytest.raises(InputError, match="'ML' is not one of REML, DL, PM"):
        random_effects([0.1, 0.2], [0.1, 0.1], method="ML")
    with pytest.raises(InputError, match="hartung_knapp True is not one of"):
        random_effects([0.1, 0.2], [0.1, 0.1], hartung_knapp=True)
    with pytest.raises(InputError, match="level 95"):
        random_effects([0.1, 0.2], [0.1, 0.1], level=95)


def test_roots_are_found_to_the_last_digit():
    target = np.geomspace(1e-6, 0.9, 50)
    found = find_roots(lambda x: x**3 - target, np.zeros(50), np.ones(50))
    assert found == pytest.approx(np.cbrt(target), rel=1e-14)
    assert find_roots(lambda x: x + 1, np.zeros(1), np.ones(1))[0] == 0


@pytest.fixture
def carried():
    """Eight patients of two centres: P7 alone makes the first feature, centre B the second, nobody the third."""
    y = np.column_stack(
        [
            [0.02, 0.03, 0.0, 0.05, -0.02, 0.01, 0.04, 1.5],
            [0.01, -0.01, 0.02, 0.0, 0.6, 0.7, 0.65, 0.55],
            [0.4, 0.5, 0.45, 0.55, 0.6, 0.4, 0.5, 0.45],
        ]
    )
    v = np.full(y.shape, 0.005)
    v[7, 0] = 0.0002
    return y, v, [f"P{i}" for i in range(8)], ["A"] * 4 + ["B"] * 4


def test_leave_one_out_pools_the_rest(carried):
    y, v, patients, centres = carried
    table = leave_one_out(y[:, 1], v[:, 1], patients, groups=centres).set_index("left_out")
    assert table["unit"].value_counts().to_dict() == {"patient": 8, "centre": 2, "all": 1}
    for name, kept in (("P3", [0, 1, 2, 4, 5, 6, 7]), ("B", [0, 1, 2, 3])):
        rest = random_effects(y[kept, 1], v[kept, 1])
        assert table.loc[name, "estimate"] == pytest.approx(rest.estimate)
        assert table.loc[name, "p"] == pytest.approx(rest.p)
        assert table.loc[name, "n"] == len(kept)
    assert table.loc["B", "lost"] == "significance lost"
    assert table.loc["", "p"] < 0.05


def test_who_carries_a_claim_is_named(carried):
    y, v, patients, centres = carried
    said = carried_by(y, v, patients, groups=centres, hartung_knapp="none", method="DL")
    assert "centre B (significance lost)" in said[1]
    assert said[2] == ""
    turned = np.array([[-0.2], [-0.2], [-0.2], [3.0]])
    found = carried_by(turned, np.array([[0.1], [0.1], [0.1], [0.001]]), "abcd", hartung_knapp="none", level=0.5)
    assert found[0] == "patient d (sign lost)"


def test_a_patient_without_the_feature_carries_nothing(carried):
    y, v, patients, centres = carried
    y[5, :] = np.nan
    assert not any("P5" in text for text in carried_by(y, v, patients, groups=centres))


def test_wrong_names_are_told(carried):
    y, v, patients, _ = carried
    with pytest.raises(InputError, match="named twice"):
        leave_one_out(y[:, 0], v[:, 0], ["P0"] * 8)
    with pytest.raises(InputError, match="2 centres named for 8"):
        leave_one_out(y[:, 0], v[:, 0], patients, groups=["A", "B"])

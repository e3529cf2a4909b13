"""harmonise.py, select.py, metrics.py, folds.py, sample_size.py: each against what is known of it."""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from comould.baseline import Predictions, evaluate, harmonise, minimum_sample_size
from comould.baseline.data import read_table
from comould.baseline.folds import patient_folds
from comould.baseline.harmonise import Harmoniser
from comould.baseline.metrics import measures, patient_weights
from comould.baseline.select import lasso_order, uncorrelated, usable
from comould.errors import InputError

needs_combat = pytest.mark.skipif(
    importlib.util.find_spec("combatlearn") is None, reason='pip install "comould[combat]"'
)


@pytest.fixture
def predicted(study, named):
    """Predictions of one fold and one repeat."""
    table = study(80, 3)
    data = read_table(table, ["f0", "f1", "f2"], named)
    chance = np.clip(1 / (1 + np.exp(-0.7 * (table["f0"] - table["f1"]).to_numpy() + 0.3)), 1e-3, 1 - 1e-3)
    made = Predictions.empty(data, 1)
    made.fill(0, np.arange(80), chance, 0.5, 0)
    return made


def test_measures_are_those_of_scikit_learn(predicted):
    found = measures(predicted, np.ones((1, 80)))
    y, chance = predicted.data.outcome, predicted.predicted[0]
    assert found["auc"][0] == pytest.approx(roc_auc_score(y, chance))
    assert found["brier"][0] == pytest.approx(brier_score_loss(y, chance))
    assert found["brier_skill"][0] == pytest.approx(1 - brier_score_loss(y, chance) / 0.25)
    logit = np.log(chance / (1 - chance))
    slope = LogisticRegression(C=1e8, tol=1e-8).fit(logit[:, None], y).coef_[0, 0]
    assert found["calibration_slope"][0] == pytest.approx(slope, rel=1e-3)


def test_weights_are_as_good_as_repeated_rows(predicted):
    weights = patient_weights(predicted.data, 5, seed=3)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 80).all()
    found = measures(predicted, weights)
    rows = np.repeat(np.arange(80), weights[2].astype(int))
    again = roc_auc_score(predicted.data.outcome[rows], predicted.predicted[0, rows])
    assert found["auc"][2] == pytest.approx(again)


def test_pairs_of_different_folds_are_not_compared(predicted):
    moved = predicted.predicted.copy()
    fold = np.arange(80)[None, :] % 2
    moved[0, fold[0] == 1] = moved[0, fold[0] == 1] * 0.01 + 1e-3
    apart = replace(predicted, predicted=moved, fold=fold)
    y = predicted.data.outcome
    counts = [float((y[fold[0] == f] == 1).sum() * (y[fold[0] == f] == 0).sum()) for f in (0, 1)]
    own = [roc_auc_score(y[fold[0] == f], predicted.predicted[0, fold[0] == f]) for f in (0, 1)]
    assert measures(apart, np.ones((1, 80)))["auc"][0] == pytest.approx(np.average(own, weights=counts))


def test_folds_are_alike_and_patients_whole(study, named):
    data = read_table(pd.concat([study(61, 2), study(61, 2)], ignore_index=True), ["f0"], named)
    folds = patient_folds(data, 5, np.random.default_rng(0))
    assert len(set(zip(folds, data.patients, strict=True))) == 61
    events = [int(data.outcome[folds == f].sum()) // 2 for f in range(5)]
    assert max(events) - min(events) <= 1
    homes = pd.crosstab(folds, data.centres)
    assert (homes.max() - homes.min() <= 4).all()


def test_what_is_missing_constant_or_twice_there_is_left_out():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 5))
    values[:, 1] = 3.0
    values[:12, 2] = np.nan
    values[1:, 3] = 0.0
    assert usable(values, 0.2).tolist() == [0, 4]
    assert usable(values, 0.5).tolist() == [0, 2, 4]
    first = rng.normal(size=(40, 3))
    scaled = np.column_stack([first, -first[:, 0] + 0.05 * rng.normal(size=40)])
    scaled = (scaled - scaled.mean(axis=0)) / scaled.std(axis=0)
    kept = uncorrelated(scaled, 0.9).tolist()
    assert len(kept) == 3
    assert len({0, 3} & set(kept)) == 1
    outcome = scaled[:, 2] + 0.5 * scaled[:, 1] + 0.1 * rng.normal(size=40)
    assert lasso_order(scaled[:, :3], outcome, 2).tolist() == [2, 1]


@needs_combat
def test_combat_takes_a_centres_shift_and_scale_off_and_keeps_the_rest(study):
    table = study(150, 20, signal=0.0)
    names, rng = [f"f{k}" for k in range(20)], np.random.default_rng(1)
    truth = table[names]
    code = table["centre"].map({"A": 0, "B": 1, "C": 2}).to_numpy()
    shift, scale = rng.normal(0, 3, (3, 20))[code], rng.uniform(0.5, 2, (3, 20))[code]
    measured = 1e-7 * (truth * scale + shift)
    done = harmonise(measured, table["centre"])
    means = done.groupby(table["centre"]).mean() / done.std()
    assert (measured.groupby(table["centre"]).mean() / measured.std()).abs().to_numpy().max() > 1
    assert np.ptp(means.to_numpy(), axis=0).max() < 0.1
    assert min(done[name].corr(truth[name]) for name in names) > 0.95


@needs_combat
def test_combat_learns_from_the_rows_it_is_given_and_leaves_unknown_centres(study):
    table = study(90, 6, shift=3.0, signal=0.0)
    names = [f"f{k}" for k in range(6)]
    learn = pd.Series(np.arange(90) < 60)
    one = harmonise(table[names], table["centre"], fit_on=learn)
    changed = table[names].copy()
    changed.loc[~learn] += 100.0
    again = harmonise(changed, table["centre"], fit_on=learn)
    pd.testing.assert_frame_equal(one[learn], again[learn])
    known = table["centre"] != "C"
    held = harmonise(table[names], table["centre"], fit_on=known)
    pd.testing.assert_frame_equal(held[~known], table.loc[~known, names])
    assert (held[known] - table.loc[known, names]).abs().to_numpy().max() > 0.5


@needs_combat
def test_harmonised_features_no_longer_know_the_centre(study, named, quick):
    table = study(90, 12, shift=2.0)
    names = [f"f{k}" for k in range(12)]
    found = evaluate(table, names, named, options=replace(quick, harmonise="combat"))
    shortcuts = found.shortcuts.set_index("question")
    assert not shortcuts.loc["it from the features", "above_chance"]
    assert found.metrics.set_index("metric").loc["auc", "value"] > 0.75
    assert any("cannot be applied to a centre it was not fitted on" in note for note in found.notes)


def test_one_centre_needs_no_harmonisation():
    values = np.random.default_rng(0).normal(size=(20, 3))
    same = Harmoniser(values, np.zeros(20, dtype=np.intp)).apply(values, np.ones(20, dtype=np.intp))
    assert same is values


def test_without_combat_the_remedy_is_said(study, named, quick, monkeypatch):
    monkeypatch.setitem(sys.modules, "combatlearn", None)
    with pytest.raises(InputError, match=r'pip install "comould\[combat\]"'):
        evaluate(study(60, 3), ["f0", "f1"], named, options=replace(quick, harmonise="combat"))
    with pytest.raises(InputError, match="missing or infinite"):
        harmonise(pd.DataFrame({"a": [np.nan, 1.0]}), pd.Series(["A", "B"]))


def test_sample_sizes_are_those_published():
    """Riley et al. 2019 and the examples of pmsampsize (R)."""
    # 24 parameters, 17.4 % events, Cox-Snell R² 0.288 of at most 0.603: 662 for the fit, 623 for overfitting.
    assert minimum_sample_size(24, prevalence=0.174, r2=0.288 / 0.6032) == 662
    assert minimum_sample_size(25, r2=0.2) == 918
    with pytest.raises(InputError, match="2 problems: 0 features; prevalence 1"):
        minimum_sample_size(0, prevalence=1.0)

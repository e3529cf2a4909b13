"""curves.py: the drawn curves have the measured area."""

import numpy as np
import pytest

from comould.baseline import Columns, Predictions
from comould.baseline.curves import calibration_curve, roc_curve
from comould.baseline.data import read_table
from comould.baseline.metrics import measures
from comould.errors import InputError


@pytest.fixture
def predicted(study, named):
    data = read_table(study(120, 2), ["f0", "f1"], named)
    rng = np.random.default_rng(0)
    made = Predictions.empty(data, 2)
    for repeat in range(2):
        for fold in range(3):
            rows = np.flatnonzero(np.arange(120) % 3 == fold)
            chance = np.clip(0.3 * data.outcome[rows] + 0.6 * rng.random(40), 0.01, 0.99).round(1) + 0.01 * fold
            made.fill(repeat, rows, chance, 0.5, fold)
    return made


def test_the_area_below_the_curve_is_the_auc(predicted):
    false, true = roc_curve(predicted)
    assert true[0] >= 0
    assert true[-1] == 1
    assert (np.diff(true) >= -1e-12).all()
    auc = measures(predicted, np.ones((1, 120)))["auc"][0]
    assert np.trapezoid(true, false) == pytest.approx(auc, abs=0.01)


def test_calibration_groups_hold_every_row(predicted):
    curve = calibration_curve(predicted, 4)
    assert curve.count.tolist() == [60, 60, 60, 60]
    assert np.average(curve.observed, weights=curve.count) == pytest.approx(predicted.data.outcome.mean())
    assert (np.diff(curve.predicted) > 0).all()
    with pytest.raises(InputError, match="two groups or more"):
        calibration_curve(predicted, 1)


def test_numbers_have_no_roc(study):
    data = read_table(study(30, 2), ["f0"], Columns("score", "patient"))
    with pytest.raises(InputError, match="an event"):
        roc_curve(Predictions.empty(data, 1))

"""How well predictions do, for many weightings of the patients at once: the estimate first, then resamples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from comould.baseline.data import IntArray, StudyData
from comould.baseline.predictions import Predictions
from comould.space import FloatArray

_STEPS = 25
_FAR = 30.0
_LEAST = 1e-6


def patient_weights(data: StudyData, n_bootstrap: int, seed: int) -> FloatArray:
    """Weigh rows for the estimate and for resamples of whole patients.

    Parameters
    ----------
    data
        Rows and whose they are.
    n_bootstrap
        Resamples.
    seed
        Same seed and patients, same weights: results of several models can be compared resample by resample.

    Returns
    -------
    ndarray
        ``(1 + n_bootstrap, n_rows)``; the first row is 1 throughout.
    """
    rng = np.random.default_rng(seed)
    n = data.n_patients
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap)[:, data.patients]
    return np.vstack([np.ones((1, len(data.patients))), drawn]).astype(np.float64)


def measures(predictions: Predictions, weights: FloatArray) -> dict[str, FloatArray]:
    """Measure predictions under every weighting.

    Parameters
    ----------
    predictions
        Of rows held out.
    weights
        ``(n_weightings, n_rows)``.

    Returns
    -------
    dict
        Name to ``(n_weightings,)``, NaN where it cannot be said. Of events: ``auc``, ``auc_within_centres``, ``brier``,
        ``brier_skill``, ``calibration_slope``, ``calibration_intercept``. Of numbers: ``r2``, ``rmse``,
        ``correlation``, ``correlation_within_centres``, ``calibration_slope``.

    Notes
    -----
    ``auc`` is the share of concordant pairs among pairs of one fold: models of different folds are not on one scale,
    and pooling them makes noise look worse than chance. ``auc_within_centres`` takes pairs of one fold *and* centre: no
    difference between centres can help. ``r2`` and ``brier_skill`` compare with the mean of the training outcome.

    References
    ----------
    Airola, A. et al. (2011). doi:10.1016/j.csda.2010.11.018 (pairs of one fold). Van Calster, B. et al. (2019).
    doi:10.1186/s12916-019-1466-7 (calibration). Steyerberg, E. W. et al. (2010). doi:10.1097/EDE.0b013e3181c30fb2
    """
    known = np.isfinite(predictions.predicted).all(axis=0)
    if not known.all():
        predictions, weights = predictions.of(np.flatnonzero(known)), weights[:, known]
    found = (_of_events if predictions.data.binary else _of_numbers)(predictions, weights)
    return {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}


def intervals(values: dict[str, FloatArray], level: float) -> pd.DataFrame:
    """Turn measures into a table: ``metric``, ``value``, ``low``, ``high`` (percentiles over resamples)."""
    tails = [100 * (1 - level) / 2, 100 * (1 + level) / 2]
    rows = []
    for name, each in values.items():
        drawn = each[1:][np.isfinite(each[1:])]
        low, high = np.percentile(drawn, tails) if len(drawn) >= 0.5 * len(each) else (np.nan, np.nan)
        rows.append((name, float(each[0]), float(low), float(high)))
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def headline(binary: bool) -> str:
    """Name the measure that is tested: AUC of events, R² of numbers."""
    return "auc" if binary else "r2"


def chance(binary: bool) -> float:
    """Give the headline's value for predictions that know nothing."""
    return 0.5 if binary else 0.0


def pair_auc(predictions: Predictions, weights: FloatArray, *, within: IntArray | None = None) -> FloatArray:
    """Share of concordant pairs of one fold (and of one group of ``within``), ties as half; ``(n_weightings,)``."""
    event = predictions.data.outcome > 0.5
    concordant = np.zeros((int(event.sum()), int((~event).sum())))
    compared = np.zeros_like(concordant)
    for predicted, fold in zip(predictions.predicted, predictions.fold, strict=True):
        same = fold[event][:, None] == fold[~event]
        if within is not None:
            same &= within[event][:, None] == within[~event]
        ahead = np.sign(predicted[event][:, None] - predicted[~event])
        concordant += np.where(same, (ahead + 1) / 2, 0.0)
        compared += same
    above, below = weights[:, event], weights[:, ~event]
    return _ratio(((above @ concordant) * below).sum(axis=1), ((above @ compared) * below).sum(axis=1))


def _of_events(p: Predictions, weights: FloatArray) -> dict[str, FloatArray]:
    y = p.data.outcome
    found = {"auc": pair_auc(p, weights)}
    if p.data.centre_names:
        found["auc_within_centres"] = pair_auc(p, weights, within=p.data.centres)
    total = weights.sum(axis=1)
    brier = weights @ ((p.predicted - y) ** 2).mean(axis=0) / total
    reference = weights @ ((p.expected - y) ** 2).mean(axis=0) / total
    chances = np.clip(p.predicted, _LEAST, 1 - _LEAST)
    logit = np.log(chances / (1 - chances))
    intercept, slope = _recalibrated(logit, y, weights)
    return found | {
        "brier": brier, "brier_skill": 1 - _ratio(brier, reference), "calibration_slope": slope,
        "calibration_intercept": intercept,
    }  # fmt: skip


def _of_numbers(p: Predictions, weights: FloatArray) -> dict[str, FloatArray]:
    y = p.data.outcome
    left = weights @ ((p.predicted - y) ** 2).mean(axis=0)
    reference = weights @ ((p.expected - y) ** 2).mean(axis=0)
    found = {"r2": 1 - _ratio(left, reference), "rmse": np.sqrt(left / weights.sum(axis=1))}
    found["correlation"], found["calibration_slope"] = _linear(p, weights, p.fold)
    if p.data.centre_names:
        both = p.fold * len(p.data.centre_names) + p.data.centres
        found["correlation_within_centres"] = _linear(p, weights, both)[0]
    return found


def _linear(p: Predictions, weights: FloatArray, groups: IntArray) -> tuple[FloatArray, FloatArray]:
    """Correlation and slope of outcome on prediction, each about the means of its group."""
    sums = np.zeros((3, len(weights)))
    for predicted, group in zip(p.predicted, groups, strict=True):
        for one in np.unique(group):
            rows = group == one
            w, x, y = weights[:, rows], predicted[rows], p.data.outcome[rows]
            share = _ratio(np.ones(len(w)), w.sum(axis=1))
            mean_x, mean_y = w @ x * share, w @ y * share
            size = w.sum(axis=1)
            parts = (
                w @ (x * y) - size * mean_x * mean_y, w @ x**2 - size * mean_x**2, w @ y**2 - size * mean_y**2
            )  # fmt: skip
            sums += np.nan_to_num(np.stack(parts))
    xy, xx, yy = sums
    return _ratio(xy, np.sqrt(np.maximum(xx * yy, 0.0))), _ratio(xy, xx)


def _recalibrated(logit: FloatArray, outcome: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Intercept (at slope 1) and slope of a logistic regression of the outcome on the logit, all weightings at once."""
    x = logit.ravel()
    y = np.tile(outcome, len(logit))
    w = np.tile(weights, len(logit))

    def newton(design: Callable[[FloatArray], FloatArray], count: int) -> FloatArray:
        """Climb to the coefficients of every weighting; ``design`` gives the logit at some."""
        at = np.zeros((len(w), count))
        basis = np.ones((1, len(x))) if count == 1 else np.stack([np.ones(len(x)), x])
        for _ in range(_STEPS):
            chance_ = 1 / (1 + np.exp(-np.clip(design(at), -_FAR, _FAR)))
            gradient = (w * (y - chance_)) @ basis.T
            hessian = np.einsum("bn,in,jn->bij", w * chance_ * (1 - chance_), basis, basis, optimize=True)
            hessian += 1e-9 * np.eye(count)
            at = at + np.clip(np.linalg.solve(hessian, gradient[..., None])[..., 0], -2.0, 2.0)
        return at

    intercept = newton(lambda at: at[:, :1] + x, 1)[:, 0]
    slope = newton(lambda at: at[:, :1] + at[:, 1:] * x, 2)[:, 1] if np.ptp(x) > 0 else np.full(len(w), np.nan)
    # A resample in which the prediction parts the outcomes has no finite answer.
    return np.where(np.abs(intercept) < _FAR, intercept, np.nan), np.where(np.abs(slope) < _FAR, slope, np.nan)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)

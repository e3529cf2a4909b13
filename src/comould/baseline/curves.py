"""Curves of predictions, drawn so that they say what the measures say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comould.baseline.predictions import Predictions
from comould.errors import InputError
from comould.space import FloatArray

_GRID = 401


@dataclass(frozen=True, eq=False)
class Calibration:
    """Predicted against observed, in groups of like predictions.

    Parameters
    ----------
    predicted, observed
        ``(n_groups,)`` means; of an event, the share.
    count
        ``(n_groups,)`` rows, all repeats counted.
    """

    predicted: FloatArray
    observed: FloatArray
    count: FloatArray


def roc_curve(predictions: Predictions) -> tuple[FloatArray, FloatArray]:
    """Average the ROC curves of folds at equal false-positive rates, weighted by their pairs.

    Returns
    -------
    tuple of ndarray
        False-positive and true-positive rates; the area below is the ``auc`` of
        :func:`comould.baseline.metrics.measures`.

    Raises
    ------
    InputError
        If the outcome is no event, or no fold has both outcomes.
    """
    if not predictions.data.binary:
        raise InputError(subject="ROC curve", expected="an event", found="a continuous outcome")
    grid = np.linspace(0.0, 1.0, _GRID)
    total, weight = np.zeros(_GRID), 0.0
    for predicted, fold in zip(predictions.predicted, predictions.fold, strict=True):
        for one in np.unique(fold[np.isfinite(predicted)]):
            rows = fold == one
            event = predictions.data.outcome[rows] > 0.5
            pairs = float(event.sum() * (~event).sum())
            if pairs:
                total += pairs * _mean_height(predicted[rows], event, grid)
                weight += pairs
    if not weight:
        raise InputError(subject="ROC curve", expected="a fold with both outcomes", found="none")
    return grid, total / weight


def _mean_height(predicted: FloatArray, event: np.ndarray, grid: FloatArray) -> FloatArray:
    thresholds = np.unique(predicted)[::-1]
    at_least = predicted[:, None] >= thresholds
    false = np.r_[0.0, at_least[~event].mean(axis=0)]
    true = np.r_[0.0, at_least[event].mean(axis=0)]
    # A hair of slope keeps vertical steps in order; ties become the diagonals they stand for.
    false = false + 1e-9 * np.arange(len(false))
    return np.interp(grid, false, true)


def calibration_curve(predictions: Predictions, n_groups: int = 6) -> Calibration:
    """Group rows of all repeats by what was predicted, and say what happened.

    Parameters
    ----------
    predictions
        Of rows held out.
    n_groups
        Groups of equal size.

    Raises
    ------
    InputError
        For fewer than two groups.
    """
    if n_groups < 2:
        raise InputError(subject="calibration curve", expected="two groups or more", found=str(n_groups))
    outcome = np.tile(predictions.data.outcome, len(predictions.predicted))
    predicted = predictions.predicted.ravel()
    known = np.flatnonzero(np.isfinite(predicted))
    groups = np.array_split(known[np.argsort(predicted[known], kind="stable")], min(n_groups, len(known)))
    return Calibration(
        np.array([predicted[rows].mean() for rows in groups]),
        np.array([outcome[rows].mean() for rows in groups]),
        np.array([float(len(rows)) for rows in groups]),
    )

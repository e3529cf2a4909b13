"""From training rows to a model: prepare, choose size and penalty in inner folds, fit."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from comould.baseline.data import IntArray, StudyData
from comould.baseline.folds import patient_folds
from comould.baseline.harmonise import Harmoniser
from comould.baseline.options import BaselineOptions
from comould.baseline.select import lasso_order, uncorrelated, usable
from comould.errors import InputError
from comould.space import FloatArray

_CLOSEST = 1e-3
"""Predicted chances are kept this far from 0 and 1: a few dozen patients cannot vouch for more."""
_FAR = 30.0


class Preparation:
    """All that is learnt about features before the outcome is looked at.

    Parameters
    ----------
    data
        The training rows.
    options
        ``harmonise``, ``max_missing`` and ``max_correlation``.

    Attributes
    ----------
    scaled
        ``(n_rows, len(columns))`` the training rows, prepared.

    Raises
    ------
    InputError
        If no feature is left, or ComBat is asked for and not installed.
    """

    def __init__(self, data: StudyData, options: BaselineOptions) -> None:
        self._columns = usable(data.features, options.max_missing)
        if not len(self._columns):
            raise InputError(
                subject="features", expected="some that vary and are complete enough in every training set",
                found="none",
            )  # fmt: skip
        self._fill = np.nanmedian(data.features[:, self._columns], axis=0)
        values = self._filled(data)
        self._harmoniser = Harmoniser(values, data.centres) if options.harmonise == "combat" else None
        values = self._harmonised(values, data)
        self._mean, self._sd = values.mean(axis=0), values.std(axis=0)
        self._sd = np.where(self._sd > 0, self._sd, 1.0)
        scaled = (values - self._mean) / self._sd
        self._kept = uncorrelated(scaled, options.max_correlation)
        self.scaled: FloatArray = scaled[:, self._kept]

    @property
    def columns(self) -> IntArray:
        """The columns of the table that come out, in order."""
        return self._columns[self._kept]

    def apply(self, data: StudyData) -> FloatArray:
        """Prepare rows as the training rows were: ``(n_rows, len(columns))``, scaled by the training rows."""
        values = (self._harmonised(self._filled(data), data) - self._mean) / self._sd
        return np.asarray(values[:, self._kept], dtype=np.float64)

    def _filled(self, data: StudyData) -> FloatArray:
        values = data.features[:, self._columns]
        return np.where(np.isfinite(values), values, self._fill)

    def _harmonised(self, values: FloatArray, data: StudyData) -> FloatArray:
        return values if self._harmoniser is None else self._harmoniser.apply(values, data.centres)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model that can predict.

    Parameters
    ----------
    preparation
        Of the training rows.
    chosen
        Columns of the prepared features that entered.
    estimator
        scikit-learn's.
    binary
        Whether it predicts the chance of an event.
    """

    preparation: Preparation
    chosen: IntArray
    estimator: Any
    binary: bool

    @property
    def columns(self) -> IntArray:
        """The columns of the table with a weight other than 0."""
        weight = np.ravel(self.estimator.coef_)
        return self.preparation.columns[self.chosen[weight != 0]]

    def predict(self, data: StudyData) -> FloatArray:
        """Predict: the chance of an event, or the value."""
        return _predicted(self.estimator, self.preparation.apply(data)[:, self.chosen], binary=self.binary)


def fit_model(data: StudyData, options: BaselineOptions, rng: np.random.Generator) -> Fitted:
    """Fit the whole workflow on training rows.

    Parameters
    ----------
    data
        The training rows; nothing else is looked at.
    options
        How.
    rng
        Of the inner folds.

    Returns
    -------
    Fitted
        Size and penalty have the smallest loss (log loss, or squared error) in the inner folds, each of which went
        through harmonisation and selection by itself.

    Raises
    ------
    InputError
        As :class:`Preparation` and :func:`~comould.baseline.folds.patient_folds`.
    """
    folds = patient_folds(data, options.inner_folds, rng)
    loss = np.zeros((len(options.sizes), len(options.strengths)))
    for fold in range(options.inner_folds):
        inside, aside = data.take(folds != fold), data.take(folds == fold)
        for place, predicted in _tried(inside, aside, options).items():
            loss[place] += _loss(aside.outcome, predicted, binary=data.binary)
    best = np.unravel_index(int(np.argmin(loss)), loss.shape)
    preparation = Preparation(data, options)
    scaled = preparation.scaled
    chosen = lasso_order(scaled, data.outcome, options.sizes[best[0]])
    estimator = _fit(scaled[:, chosen], data.outcome, options.strengths[best[1]], options, binary=data.binary)
    return Fitted(preparation, chosen, estimator, data.binary)


def _tried(inside: StudyData, aside: StudyData, options: BaselineOptions) -> dict[tuple[int, int], FloatArray]:
    """Predict the rows aside with every size and penalty."""
    preparation = Preparation(inside, options)
    scaled, other = preparation.scaled, preparation.apply(aside)
    order = lasso_order(scaled, inside.outcome, max(options.sizes))
    known: dict[tuple[int, int], FloatArray] = {}
    found = {}
    for i, size in enumerate(options.sizes):
        chosen = order[:size]
        for j, strength in enumerate(options.strengths):
            key = (len(chosen), j)
            if key not in known:
                estimator = _fit(scaled[:, chosen], inside.outcome, strength, options, binary=inside.binary)
                known[key] = _predicted(estimator, other[:, chosen], binary=inside.binary)
            found[i, j] = known[key]
    return found


def _fit(scaled: FloatArray, outcome: FloatArray, strength: float, options: BaselineOptions, *, binary: bool) -> Any:
    from sklearn import config_context
    from sklearn.linear_model import ElasticNet, LogisticRegression

    if binary:
        how: dict[str, Any] = {"solver": "saga", "l1_ratio": options.l1_ratio, "max_iter": 300, "tol": 1e-3}
        if LogisticRegression().penalty != "deprecated":
            how["penalty"] = "elasticnet"
        estimator = LogisticRegression(C=strength, random_state=0, **how)
    else:
        # The same weight of the penalty as C has, on an outcome in units of its spread.
        unit = max(float(outcome.std()), np.finfo(np.float64).tiny)
        estimator = ElasticNet(alpha=unit / (strength * len(outcome)), l1_ratio=options.l1_ratio)
    with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
        # Not quite converged is a little more of a penalty.
        warnings.simplefilter("ignore")
        return estimator.fit(scaled, outcome)


def _predicted(estimator: Any, scaled: FloatArray, *, binary: bool) -> FloatArray:
    score = scaled @ np.ravel(estimator.coef_) + float(np.ravel(estimator.intercept_)[0])
    if not binary:
        return np.asarray(score, dtype=np.float64)
    return np.clip(1 / (1 + np.exp(-np.clip(score, -_FAR, _FAR))), _CLOSEST, 1 - _CLOSEST)


def _loss(outcome: FloatArray, predicted: FloatArray, *, binary: bool) -> float:
    if binary:
        return float(-np.log(np.where(outcome > 0.5, predicted, 1 - predicted)).sum())
    return float(((outcome - predicted) ** 2).sum())

"""Which features may enter: complete, not constant, not twice the same, then the LASSO's order."""

from __future__ import annotations

import warnings

import numpy as np

from comould.baseline.data import IntArray
from comould.space import FloatArray

_SAME = 1e-9
"""Spread, as a share of the size of the values, below which a feature is constant."""
_MOSTLY = 0.95
"""Share of rows with one and the same value from which a feature is nearly constant."""


def usable(features: FloatArray, max_missing: float) -> IntArray:
    """Find features that are there and not nearly constant.

    Parameters
    ----------
    features
        ``(n_rows, n_features)`` of the training rows; NaN where missing.
    max_missing
        Largest share of missing rows.

    Returns
    -------
    ndarray
        Columns to keep.
    """
    there = np.isfinite(features)
    enough = 1 - there.mean(axis=0) <= max_missing
    kept = []
    for column in np.flatnonzero(enough & there.any(axis=0)):
        values = features[there[:, column], column]
        spread = float(np.ptp(values)) > _SAME * float(np.abs(values).max())
        if spread and np.unique(values, return_counts=True)[1].max() <= _MOSTLY * len(values):
            kept.append(column)
    return np.array(kept, dtype=np.intp)


def uncorrelated(scaled: FloatArray, most: float) -> IntArray:
    """Keep one of features that say the same.

    Parameters
    ----------
    scaled
        ``(n_rows, n_features)`` of mean 0 and variance 1.
    most
        Largest absolute correlation between two that are kept.

    Returns
    -------
    ndarray
        Columns to keep, rising. Features that are least like all others are taken first, without a look at the
        outcome.
    """
    alike = np.abs(scaled.T @ scaled) / len(scaled)
    open_ = np.ones(len(alike), dtype=bool)
    kept = []
    for column in np.argsort(alike.mean(axis=0), kind="stable"):
        if open_[column]:
            kept.append(column)
            open_ &= alike[column] <= most
    return np.sort(np.array(kept, dtype=np.intp))


def lasso_order(scaled: FloatArray, outcome: FloatArray, most: int) -> IntArray:
    """Order features as they enter the LASSO path.

    Parameters
    ----------
    scaled
        ``(n_rows, n_features)`` of mean 0 and variance 1.
    outcome
        ``(n_rows,)``; an event as 0 and 1.
    most
        How many are wanted.

    Returns
    -------
    ndarray
        At most ``most`` columns, the first to enter first.

    References
    ----------
    Efron, B. et al. (2004). Least angle regression. doi:10.1214/009053604000000067
    """
    from sklearn.linear_model import lars_path

    with warnings.catch_warnings():
        # Features that run together end the path early, which is all that is said.
        warnings.simplefilter("ignore")
        _, _, steps = lars_path(scaled, outcome - outcome.mean(), method="lasso", max_iter=2 * most)
    in_ = steps != 0
    entered = np.where(in_.any(axis=1), in_.argmax(axis=1), steps.shape[1])
    order = np.argsort(entered, kind="stable")
    return order[entered[order] < steps.shape[1]][:most].astype(np.intp)

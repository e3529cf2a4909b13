"""From a statistic and its surrogates to a p-value: by rank where ranks can tell, by a t tail beyond."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from comould._compiled import compiled
from comould.associate.claims.blocks import FLAT
from comould.space import FloatArray

ANCHOR = 20
"""Surrogate exceedances below which a p-value leans on the tail of a t distribution; see :func:`chance`."""


def chance(statistic: FloatArray, random: npt.NDArray[np.floating], n_spots: int) -> tuple[FloatArray, FloatArray]:
    """Two-sided p-value of correlations against surrogate ones, with a tail beyond the surrogates' number.

    Parameters
    ----------
    statistic
        ``(c,)`` observed correlations.
    random
        ``(n_surrogates, c)`` correlations of the surrogate maps with the same features.
    n_spots
        Upper bound of the effective sample size.

    Returns
    -------
    tuple of ndarray
        p ``(c,)`` and effective sample size ``(c,)``; NaN where no surrogate correlates at all (a constant feature).

    Notes
    -----
    Where at least 20 surrogates reach the observed |r|, p = (1 + their number) / (n + 1) (Phipson & Smyth 2010,
    doi:10.2202/1544-6115.1585). Beyond, the p-value of the 20th largest surrogate is carried outwards along the tail
    of the correlation's t distribution with the effective sample size (Clifford, Richardson & Hémon 1989,
    doi:10.2307/2532039): rank-exact where ranks can tell, and fine enough for thousands of tests where they cannot.
    For noisy genes that tail is wider than the true one, so the smallest p-values err to the cautious side.
    """
    count = len(random)
    anchor = anchor_of(count)
    reached, spread, edge = summary(np.ascontiguousarray(random, dtype=np.float32), np.abs(statistic), anchor)
    return p_values(np.abs(statistic), reached, spread, edge, count=count, n_spots=n_spots)


def anchor_of(count: int) -> int:
    """Which largest surrogate the tail starts from."""
    return min(ANCHOR, max(count // 5, 1))


def summary(
    random: npt.NDArray[np.float32], observed: FloatArray, anchor: int
) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray]:
    """Per column of ``(n, c)``: how many reach the observed |r|, mean square, and the ``anchor``-th largest |r|.

    The last is found only where fewer than ``anchor`` reach the observed one, and 0 elsewhere.
    """
    reached, squares = _reached(random, observed)
    edge = np.zeros(len(observed))
    far = np.flatnonzero(reached < anchor)
    last = len(random) - anchor
    edge[far] = np.partition(np.abs(random[:, far].T), last, axis=1)[:, last]
    return reached, squares / len(random), edge


@compiled
def _reached(random: npt.NDArray[np.float32], observed: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    count, columns = random.shape
    reached, squares = np.zeros(columns, dtype=np.int64), np.zeros(columns)
    for row in range(count):
        for column in range(columns):
            value = np.float64(random[row, column])
            squares[column] += value * value
            reached[column] += abs(value) >= observed[column]
    return reached, squares


@compiled
def raise_maxima(maxima: FloatArray, random: npt.NDArray[np.float32], weight: FloatArray) -> None:
    """Raise ``(n,)`` maxima to the largest |r| · weight of a surrogate over the columns, in place."""
    count, columns = random.shape
    for row in range(count):
        largest = maxima[row]
        for column in range(columns):
            largest = max(largest, abs(random[row, column]) * weight[column])
        maxima[row] = largest


def p_values(
    observed: FloatArray,
    reached: npt.NDArray[np.int64],
    spread: FloatArray,
    edge: FloatArray,
    *,
    count: int,
    n_spots: int,
) -> tuple[FloatArray, FloatArray]:
    """Turn what :func:`summary` found into p-values and effective sample sizes, both ``(c,)``."""
    none = spread <= FLAT**2
    effective = np.minimum(1 + 1 / np.where(none, 1, spread), n_spots)
    anchor = anchor_of(count)
    p = (1.0 + reached) / (count + 1)
    far = (reached < anchor) & ~none
    tail = np.exp(_log_t(observed[far], effective[far]) - _log_t(edge[far], effective[far]))
    p[far] = np.clip((1 + anchor) / (count + 1) * np.minimum(tail, 1), np.finfo(np.float64).tiny, 1)
    return np.where(none, np.nan, p), np.where(none, np.nan, effective)


def t_test(correlation: FloatArray, effective: FloatArray) -> FloatArray:
    """Two-sided p-value of a correlation with a given effective sample size."""
    return np.exp(_log_t(np.abs(correlation), effective)) * 2


def _log_t(correlation: FloatArray, effective: FloatArray) -> FloatArray:
    freedom = np.maximum(effective - 2, 0.5)
    squared = np.minimum(correlation**2, 1 - 1e-12)
    return np.asarray(stats.t.logsf(np.sqrt(freedom * squared / (1 - squared)), freedom), dtype=np.float64)

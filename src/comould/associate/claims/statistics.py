"""Plain statistics of maps and genes, as arrays: effective samples, fold change, naive test, corrected p-values.

No AnnData here, and no null.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy import stats

from comould.associate.claims.blocks import FLAT
from comould.associate.nulls.variogram import Pairs
from comould.space import FloatArray

_PRIOR_COUNT = 0.5


def analytic_effective(values: FloatArray, features: FloatArray, pairs: Pairs) -> FloatArray:
    """Effective sample size ``(c,)`` of a map ``(n,)`` and features ``(n, c)`` from their correlograms alone.

    A quick second opinion that needs no surrogates; ``benchmarks/false_positive_rate.py`` shows how far it holds.

    References
    ----------
    Dutilleul, P. (1993). Modifying the t test for assessing the correlation between two spatial processes.
    doi:10.2307/2532625
    """
    count = len(values)
    both = z_scores(np.column_stack([values, features]))
    products = both[pairs.first] * both[pairs.second]
    sums = np.stack([np.bincount(pairs.lag, column, len(pairs.counts)) for column in products.T])
    correlogram = sums / np.maximum(pairs.counts, 1)
    shared = (correlogram[0] * correlogram[1:] * pairs.share).sum(axis=1)
    variance = (1 + (count - 1) * shared) / count
    return np.asarray(np.clip(1 + 1 / np.maximum(variance, 1e-12), 3, count))


def fold_change(raw: Any, library: FloatArray, inside: FloatArray) -> FloatArray:
    """Pseudobulk log2 fold change ``(n_maps, c)``: pooled counts over pooled library sizes, inside against outside.

    Counts ``(n_spots, c)`` may be sparse; a prior count of 0.5 keeps genes without any finite.
    """
    counts, totals = np.asarray(inside.T @ raw), inside.T @ library
    rest, rest_total = np.asarray(raw.sum(axis=0)) - counts, library.sum() - totals
    one = (counts + _PRIOR_COUNT) / (totals + 2 * _PRIOR_COUNT)[:, None]
    other = (rest + _PRIOR_COUNT) / (rest_total + 2 * _PRIOR_COUNT)[:, None]
    return np.asarray(np.log2(one / other))


def welch(features: Any, inside: FloatArray) -> FloatArray:
    """Welch's t-test ``(n_maps, c)``, two-sided, spots taken as independent: what spatial data are *not*."""
    middle = features if sp.issparse(features) else features - features.mean(axis=0)
    squares = middle.power(2) if sp.issparse(middle) else middle**2
    n_in = inside.sum(axis=0)[:, None]
    n_out = len(inside) - n_in
    sum_in, square_in = np.asarray(inside.T @ middle), np.asarray(inside.T @ squares)
    sum_out, square_out = np.asarray(middle.sum(axis=0)) - sum_in, np.asarray(squares.sum(axis=0)) - square_in
    with np.errstate(divide="ignore", invalid="ignore"):
        error_in = np.maximum(square_in - sum_in**2 / n_in, 0) / (n_in - 1) / n_in
        error_out = np.maximum(square_out - sum_out**2 / n_out, 0) / (n_out - 1) / n_out
        error = error_in + error_out
        freedom = error**2 / (error_in**2 / (n_in - 1) + error_out**2 / (n_out - 1))
        t = (sum_in / n_in - sum_out / n_out) / np.sqrt(error)
        return np.asarray(2 * stats.t.sf(np.abs(t), freedom))


def z_scores(features: FloatArray) -> FloatArray:
    """Centre and scale each column of ``(n_spots, c)`` to standard deviation 1; constant columns become 0."""
    spread = features.std(axis=0)
    flat = spread <= FLAT * np.maximum(np.abs(features).max(axis=0), 1e-300)
    return np.where(flat, 0, (features - features.mean(axis=0)) / np.where(flat, 1, spread))


def benjamini_hochberg(p: npt.ArrayLike) -> FloatArray:
    """Benjamini–Hochberg q-values of ``(n,)`` p-values; NaN stays NaN and does not count as a test.

    References
    ----------
    Benjamini, Y. & Hochberg, Y. (1995). doi:10.1111/j.2517-6161.1995.tb02031.x
    """
    values = np.asarray(p, dtype=np.float64)
    q = np.full(values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(values))
    if len(tested):
        order = tested[np.argsort(values[tested], kind="stable")]
        steps = values[order] * len(order) / np.arange(1, len(order) + 1)
        q[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return q

"""How a map varies with distance: empirical variograms on any support, and the Gaussian field that matches one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.special import ndtri

from comould.errors import InputError
from comould.space import FloatArray

IntArray = npt.NDArray[np.intp]

N_LAGS = 24
SMOOTHNESSES = (0.5, 1.5, np.inf)
"""Matérn smoothness ν tried: exponential, once differentiable, Gaussian."""
NUGGETS = np.array([0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
_HERMITE_ORDER = 80
_N_SCALES = 60
_N_NEIGHBOURS = 8
_MIN_PAIRS = 30
_FITTED_SHARE = 0.5
_SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of support points sorted into lags: made once for a support, used for every map on it.

    Parameters
    ----------
    first, second
        ``(p,)`` indices of the two points.
    lag
        ``(p,)`` index of the pair's lag.
    lags_mm
        ``(l,)`` mean distance of each lag.
    counts
        ``(l,)`` pairs in each lag.
    share
        ``(l,)`` share of *all* pairs of the support (estimated on a uniform subset) at each lag; sums to 1.
    nearest_mm, longest_mm
        Median distance of a point to its nearest neighbour, and the largest distance met.
    """

    first: IntArray
    second: IntArray
    lag: IntArray
    lags_mm: FloatArray
    counts: FloatArray
    share: FloatArray
    nearest_mm: float
    longest_mm: float

    def variogram(self, values: npt.NDArray[np.floating]) -> FloatArray:
        """Half the mean squared difference at each lag; ``(n,)`` gives ``(l,)``. Needs no mean, so has no bias."""
        squares = 0.5 * (values[self.first] - values[self.second]) ** 2
        return np.bincount(self.lag, squares, len(self.lags_mm)) / np.maximum(self.counts, 1)

    def mean_variogram(self, rows: npt.NDArray[np.floating]) -> FloatArray:
        """Mean variogram ``(l,)`` of maps ``(m, n)``, over the pairs of which a map has both values (not NaN)."""
        total, known = np.zeros(len(self.lags_mm)), np.zeros(len(self.lags_mm))
        for row in rows.astype(np.float64):
            if np.isfinite(row).all():
                total += self.variogram(row) * self.counts
                known += self.counts
                continue
            squares = 0.5 * (row[self.first] - row[self.second]) ** 2
            there = np.isfinite(squares)
            total += np.bincount(self.lag[there], squares[there], len(self.lags_mm))
            known += np.bincount(self.lag[there], minlength=len(self.lags_mm))
        return total / np.maximum(known, 1)

    def normalised(self, variogram: FloatArray) -> FloatArray:
        """Divide by the mean over all pairs, which a map's own variance fixes whatever its pattern."""
        return variogram / np.maximum((variogram * self.share).sum(axis=-1, keepdims=True), 1e-300)

    @property
    def fitted(self) -> npt.NDArray[np.bool_]:
        """Lags that enter a fit: enough pairs, and no longer than half the support (beyond, one map says little)."""
        return (self.counts > _MIN_PAIRS) & (self.lags_mm < _FITTED_SHARE * self.longest_mm)


def sample_pairs(
    positions: FloatArray,
    groups: IntArray | None = None,
    *,
    seed: int | np.random.SeedSequence = 0,
    max_points: int = 1000,
) -> Pairs:
    """Sort pairs of a support into lags: all pairs of a uniform subset, and near neighbours of the whole.

    Parameters
    ----------
    positions
        ``(n, d)``, mm.
    groups
        ``(n,)`` codes; pairs of different groups are left out (sections whose positions cannot be compared).
    seed
        Chooses the subsets when there are more than ``max_points`` points.
    max_points
        Size of the uniform subset.

    Raises
    ------
    InputError
        If the points do not spread: fewer than two places, or no pair within a group.
    """
    rng = np.random.default_rng(seed)
    count = len(positions)
    chosen = np.sort(rng.permutation(count)[:max_points])
    i, j = np.triu_indices(len(chosen), 1)
    first, second = chosen[i], chosen[j]
    n_uniform = len(first)
    if count > max_points:
        anchors = np.sort(rng.permutation(count)[: 2 * max_points])
        _, neighbours = cKDTree(positions).query(positions[anchors], _N_NEIGHBOURS + 1)
        first = np.concatenate([first, np.repeat(anchors, _N_NEIGHBOURS)])
        second = np.concatenate([second, neighbours[:, 1:].ravel()])
    distance = np.linalg.norm(positions[first] - positions[second], axis=1)
    uniform = np.arange(len(first)) < n_uniform
    keep = np.ones(len(first), dtype=bool) if groups is None else groups[first] == groups[second]
    first, second, distance, uniform = first[keep], second[keep], distance[keep], uniform[keep]
    if not len(distance) or not distance.any():
        raise InputError(
            subject="spot positions", expected="at least two different places", found="all spots at one place"
        )
    longest = float(distance.max())
    nearest = _nearest(positions, chosen, distance)
    edges = np.concatenate([[0.0], np.geomspace(min(1.2 * nearest, 0.5 * longest), longest * 1.0001, N_LAGS)])
    lag = np.searchsorted(edges, distance, side="right") - 1
    counts = np.bincount(lag, minlength=N_LAGS).astype(np.float64)
    share = np.bincount(lag[uniform], minlength=N_LAGS) / max(int(uniform.sum()), 1)
    lags_mm = np.bincount(lag, distance, N_LAGS) / np.maximum(counts, 1)
    return Pairs(first, second, lag, lags_mm, counts, share, nearest, longest)


def _nearest(positions: FloatArray, chosen: IntArray, distance: FloatArray) -> float:
    to_next = cKDTree(positions).query(positions[chosen], 2)[0][:, 1]
    apart = to_next[to_next > 0]
    return float(np.median(apart)) if len(apart) else float(distance[distance > 0].min())


@dataclass(frozen=True)
class FieldModel:
    """A stationary, isotropic Gaussian field of variance 1: Matérn correlation and a nugget.

    Parameters
    ----------
    smoothness
        Matérn ν: 0.5, 1.5 or infinity (Gaussian).
    scale_mm
        Its length ℓ.
    nugget
        Share of the variance that no distance correlates, 0 to below 1.
    """

    smoothness: float
    scale_mm: float
    nugget: float

    def correlation(self, distance_mm: FloatArray) -> FloatArray:
        """Correlation at distances above 0."""
        return (1 - self.nugget) * _matern(np.asarray(distance_mm) / self.scale_mm, self.smoothness)

    @property
    def range_mm(self) -> float:
        """Distance at which the smooth part's correlation falls to 0.05."""
        steps = np.linspace(0, 6, 6001)
        return float(self.scale_mm * steps[np.argmax(_matern(steps, self.smoothness) <= 0.05)])


def _matern(scaled: FloatArray, smoothness: float) -> FloatArray:
    if smoothness == 0.5:
        return np.exp(-scaled)
    if smoothness == 1.5:
        return (1 + np.sqrt(3) * scaled) * np.exp(-np.sqrt(3) * scaled)
    return np.exp(-0.5 * scaled**2)


def rank_correlation_table(values: npt.NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
    """Tabulate how a latent Gaussian correlation looks after the values took the field's ranks.

    A field whose ranks are replaced by the sorted ``values`` has their histogram (for 0/1 values: their fraction) and
    correlation ``Σ a_k² ρ^k``, a_k the Hermite coefficients of the values' quantile function.

    Parameters
    ----------
    values
        ``(n,)``, not all equal.

    Returns
    -------
    tuple of ndarray
        Latent correlations from 0 to 1, increasing, and the correlations of the ranked values.
    """
    steps = np.sort(np.asarray(values, dtype=np.float64))
    breaks = np.flatnonzero(np.diff(steps)) + 1
    levels = steps[np.concatenate([[0], breaks])]
    edges = ndtri(breaks / len(steps))
    density = np.exp(-0.5 * edges**2) / np.sqrt(2 * np.pi)
    jumps = np.diff(levels) * density
    squares = np.empty(_HERMITE_ORDER)
    hermite, previous = np.ones_like(edges), np.zeros_like(edges)
    for order in range(1, _HERMITE_ORDER + 1):
        squares[order - 1] = (jumps * hermite).sum() ** 2 / order
        hermite, previous = (edges * hermite - np.sqrt(order - 1) * previous) / np.sqrt(order), hermite
    latent = np.sin(np.linspace(0, np.pi / 2, 400))
    total = np.zeros_like(latent)
    for square in squares[::-1]:
        total = (total + square) * latent
    total += max(steps.var() - squares.sum(), 0.0) * latent ** (2 * _HERMITE_ORDER)
    return latent, total / total[-1]


def fit_field(
    pairs: Pairs, values: npt.NDArray[np.floating], histogram: npt.NDArray[np.floating] | None = None
) -> FieldModel:
    """Find the latent Gaussian field whose rank-matched maps vary with distance as the given one does.

    Least squares on normalised variograms (each divided by its mean over all pairs, which cancels the finite
    support's loss of variance), weighted by pairs over squared variogram (Cressie 1985), lags up to half the support.

    Parameters
    ----------
    pairs
        Of the support.
    values
        ``(n,)``, not all equal: a 0/1 indicator or a continuous map.
    histogram
        Values whose histogram the ranked field takes, where pairs are of some of the spots only; all by default.

    References
    ----------
    Cressie, N. (1985). Fitting variogram models by weighted least squares. doi:10.1007/BF01032109
    """
    latent, ranked = rank_correlation_table(values if histogram is None else histogram)
    observed = pairs.normalised(pairs.variogram(values))
    scales = np.geomspace(0.2 * pairs.nearest_mm, 2 * pairs.longest_mm, _N_SCALES)
    use = pairs.fitted if pairs.fitted.any() else pairs.counts > 0
    best, least = FieldModel(np.inf, float(scales[0]), 0.0), np.inf
    for smoothness in SMOOTHNESSES:
        smooth = _matern(pairs.lags_mm / scales[:, None], smoothness)
        correlation = np.interp((1 - NUGGETS)[:, None, None] * smooth, latent, ranked)
        model = pairs.normalised(np.maximum(1 - correlation, _SMALLEST))[..., use]
        weight = pairs.counts[use] / model**2
        misfit = (weight * (observed[use] - model) ** 2).sum(axis=-1) / weight.sum(axis=-1)
        nugget, scale = np.unravel_index(int(misfit.argmin()), misfit.shape)
        if misfit[nugget, scale] < least:
            least = float(misfit[nugget, scale])
            best = FieldModel(smoothness, float(scales[scale]), float(NUGGETS[nugget]))
    return best

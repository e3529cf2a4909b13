"""A Gaussian mixture whose voxels listen to their neighbours (hidden Markov random field), with room for outliers.

References
----------
Zhang, Brady & Smith, IEEE Trans Med Imaging 2001, doi 10.1109/42.906424 (HMRF-EM); the mean-field E-step after
Celeux, Forbes & Peyrard, Pattern Recognition 2003, doi 10.1016/S0031-3203(02)00027-4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from comould.space import FloatArray

Neighbours = Callable[[FloatArray], FloatArray]
"""Gives for ``(n,)`` values the mean of every voxel's neighbours ``(n,)``."""

RIDGE = 1e-3
"""Added to every variance of the scaled features: no component may shrink onto one grey level."""
_BULK = 6.0
_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class MixtureSettings:
    """How the mixture is fitted.

    Parameters
    ----------
    weight
        Strength of the neighbours' vote (log-odds a voxel gains for a habitat when all its neighbours are in it).
    outlier_fraction
        Share of voxels that may belong to no habitat's distribution (cysts, vessels, rims): their neighbours decide.
    iterations
        Most steps of EM.
    tolerance
        Mean change of probabilities at which EM stops.
    spherical
        One variance for all habitats and features, and no update of the means: the geometry of k-means.
    """

    weight: float
    outlier_fraction: float = 0.05
    iterations: int = 20
    tolerance: float = 1e-3
    spherical: bool = False


@dataclass(frozen=True, eq=False)
class Mixture:
    """Means ``(k, d)``, covariances ``(k, d, d)``, probabilities ``(n, k)`` and log-likelihood ``(n,)`` of a fit.

    ``floor`` is the log density of outliers; the likelihood is NaN for methods that have none.
    """

    means: FloatArray
    covariances: FloatArray
    probabilities: FloatArray
    log_likelihood: FloatArray
    iterations: int
    floor: float = -np.inf

    @property
    def n_parameters(self) -> int:
        """Free numbers: means, covariances, shares."""
        k, d = self.means.shape
        return k * d + k * d * (d + 1) // 2 + k - 1


def fit_mixture(
    data: FloatArray, labels: np.ndarray, neighbours: Neighbours | None, settings: MixtureSettings
) -> Mixture:
    """Fit from starting labels ``(n,)`` (0…k-1, none empty) to scaled data ``(n, d)``."""
    k = int(labels.max()) + 1
    means = np.stack([np.median(data[labels == c], axis=0) for c in range(k)])
    covariances = _covariances(np.clip(data, -4.0, 4.0), np.eye(k)[labels], means, pooled=settings.spherical)
    start = Mixture(
        means, covariances, np.eye(k)[labels], np.zeros(len(data)), 0, outlier_floor(data, settings.outlier_fraction)
    )
    return _iterated(data, start, neighbours, settings, still=settings.spherical)


def apply_mixture(
    data: FloatArray, known: Mixture, neighbours: Neighbours | None, settings: MixtureSettings
) -> Mixture:
    """Find the probabilities of new data under known distributions, which stay as they are."""
    density = np.logaddexp(log_density(data, known.means, known.covariances), known.floor)
    start = Mixture(known.means, known.covariances, _softmax(density), np.zeros(len(data)), 0, known.floor)
    return _iterated(data, start, neighbours, settings, still=True)


def _iterated(
    data: FloatArray, start: Mixture, neighbours: Neighbours | None, settings: MixtureSettings, *, still: bool
) -> Mixture:
    """Alternate probabilities and, unless they stand still, distributions."""
    means, covariances, probabilities, floor = start.means, start.covariances, start.probabilities, start.floor
    density = log_density(data, means, covariances)
    for iteration in range(1, settings.iterations + 1):
        if iteration > 1 and not still:
            density = log_density(data, means, covariances)
        floored = np.logaddexp(density, floor)
        updated = _softmax(floored + _prior(probabilities, neighbours, settings.weight))
        change = float(np.abs(updated - probabilities).mean())
        probabilities = updated
        if change < settings.tolerance or iteration == settings.iterations:
            break
        if not still:
            weights = probabilities * np.exp(density - floored) + 1e-12
            means = (weights.T @ data) / weights.sum(axis=0)[:, None]
            covariances = _covariances(data, weights, means)
    shares = np.maximum(probabilities.mean(axis=0), 1e-12)
    joint = np.logaddexp.reduce(density + np.log(shares), axis=1)
    return Mixture(means, covariances, probabilities, np.logaddexp(joint, floor), iteration, floor)


def _prior(probabilities: FloatArray, neighbours: Neighbours | None, weight: float) -> FloatArray:
    """Log prior ``(n, k)``: the neighbours' vote, or without neighbours each component's share ``(k,)``."""
    if neighbours is None:
        return np.log(np.maximum(probabilities.mean(axis=0), 1e-12))
    return weight * np.stack([neighbours(column) for column in probabilities.T], axis=1)


def log_density(data: FloatArray, means: FloatArray, covariances: FloatArray) -> FloatArray:
    """Gaussian log density ``(n, k)``."""
    out = np.empty((len(data), len(means)))
    for c, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        factor = np.linalg.cholesky(covariance)
        whitened = (data - mean) @ np.linalg.inv(factor).T
        log_root = np.log(np.diag(factor)).sum()
        out[:, c] = -0.5 * np.einsum("ij,ij->i", whitened, whitened) - log_root - 0.5 * len(mean) * _LOG_2PI
    return out


def outlier_floor(data: FloatArray, fraction: float) -> float:
    """Log density of a uniform distribution over the bulk of the data, times the outliers' share."""
    low, high = np.percentile(np.clip(data, -_BULK, _BULK), [0.1, 99.9], axis=0)
    return float(np.log(max(fraction, 1e-300)) - np.log(np.maximum(high - low, 1e-9)).sum())


def _covariances(data: FloatArray, weights: FloatArray, means: FloatArray, *, pooled: bool = False) -> FloatArray:
    k, d = means.shape
    out = np.empty((k, d, d))
    for c in range(k):
        offset = data - means[c]
        out[c] = (offset * weights[:, c, None]).T @ offset / weights[:, c].sum()
    if pooled:
        spread = np.einsum("kdd,k->", out, weights.sum(axis=0)) / (weights.sum() * d)
        out[:] = np.eye(d) * spread
    return out + RIDGE * np.eye(d)


def _softmax(scores: FloatArray) -> FloatArray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)

"""Pictures of two modalities made to look alike: canonical variates of their channels where they overlap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comould.register.dense.describe import spread
from comould.register.raster import Raster, smooth_inside
from comould.space import FloatArray

MOST_PAIRS = 3
FURTHER_PAIR = 0.3
"""A further pair is used when its correlation reaches this."""

LEAST_OVERLAP_PX = 50
CLOSEST = 0.95
"""Correlations count as no closer than this."""


def canonical_pictures(
    laid: Raster, plane: Raster, smooth_mm: float
) -> tuple[list[FloatArray], list[FloatArray], list[float]]:
    """Combine the channels of either side so that the combinations correlate best, as the two lie now.

    Stain and MR contrast are related by no known curve; quadratic combinations of the channels, found by canonical
    correlation over the overlap, bring out what both see and drop what only one does.

    Parameters
    ----------
    laid
        The section, already laid on the plane's axes.
    plane
        The plane.
    smooth_mm
        Scale at which they are compared.

    Returns
    -------
    list, list, list
        One to three pictures of the section, as many of the plane, and their correlations.

    References
    ----------
    H. Hotelling, Biometrika 28 (1936), doi:10.2307/2333955.
    """
    mine = _features(laid, smooth_mm)
    theirs = _features(plane, smooth_mm)
    points = laid.points_mm(laid.mask)
    both = plane.sample(plane.mask, points) > 0.5
    if both.sum() < 50:
        both[:] = True
    a = np.column_stack([feature[laid.mask][both] for feature in mine])
    b = np.column_stack([plane.sample(feature, points[both]) for feature in theirs])
    left, right, correlations = _canonical(a, b)
    count = max(1, int(np.sum(correlations[:MOST_PAIRS] >= FURTHER_PAIR)))
    pictures = [
        [np.tensordot(weights, np.array(features), axes=1) for weights in side.T[:count]]
        for side, features in ((left, mine), (right, theirs))
    ]
    return pictures[0], pictures[1], correlations[:count].tolist()


def shared_channels(
    laid: Raster, target: Raster, smooth_px: float = 0.7
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Canonical variates scaled so that their squared difference is a log-likelihood.

    Parameters
    ----------
    laid, target
        Pictures of normal scores on one grid.
    smooth_px
        Scale at which they are compared.

    Returns
    -------
    array, array
        ``(k, h, w)`` each, ``k`` from 0 to 3: of a pair (a, b) of correlation r, ``a / √(1 - r²)`` and
        ``r b / √(1 - r²)``. What is unrelated has little weight, what is related much.
    """
    both = laid.mask & target.mask
    empty = np.zeros((0, *laid.mask.shape), dtype=np.float32)
    if both.sum() < LEAST_OVERLAP_PX:
        return empty, empty
    mine, theirs = (_spread_features(raster, smooth_px) for raster in (laid, target))
    a, b = mine[:, both].T, theirs[:, both].T
    left, right, correlations = _canonical(a, b)
    pairs = []
    for k in np.flatnonzero(correlations[:MOST_PAIRS] >= FURTHER_PAIR):
        r = min(float(correlations[k]), CLOSEST)
        pair = [
            np.clip(np.tensordot(weights[:, k], side - values.mean(axis=0)[:, None, None], axes=1), -3.0, 3.0)
            for weights, side, values in ((left, mine, a), (right, theirs, b))
        ]
        pairs.append((pair[0] / np.sqrt(1.0 - r * r), r * pair[1] / np.sqrt(1.0 - r * r)))
    if not pairs:
        return empty, empty
    return np.array([p[0] for p in pairs], dtype=np.float32), np.array([p[1] for p in pairs], dtype=np.float32)


def _spread_features(raster: Raster, smooth_px: float) -> FloatArray:
    base = [
        np.clip(spread(smooth_inside(channel, raster.mask, smooth_px), raster.mask), -3.0, 3.0)
        for channel in raster.channels
    ]
    return np.array([*base, *(base[i] * base[j] for i in range(len(base)) for j in range(i, len(base)))])


def _features(raster: Raster, smooth_mm: float) -> list[npt.NDArray[np.float64]]:
    sigma = max(0.5, smooth_mm / raster.spacing_mm)
    base = []
    for channel in raster.channels:
        smooth = smooth_inside(channel, raster.mask, sigma)
        tissue = smooth[raster.mask]
        base.append(np.clip((smooth - tissue.mean()) / (tissue.std() + 1e-9), -3.0, 3.0))
    return [*base, *(base[i] * base[j] for i in range(len(base)) for j in range(i, len(base)))]


def _canonical(a: FloatArray, b: FloatArray, ridge: float = 1e-2) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights ``(p, k)`` and ``(q, k)`` of unit-variance canonical variates, and their correlations."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    whiten_a, whiten_b = _whitener(a, ridge), _whitener(b, ridge)
    left, correlations, right = np.linalg.svd(whiten_a.T @ (a.T @ b / len(a)) @ whiten_b, full_matrices=False)
    return whiten_a @ left, whiten_b @ right.T, correlations


def _whitener(values: FloatArray, ridge: float) -> FloatArray:
    covariance = values.T @ values / len(values)
    covariance += ridge * np.diag(np.diag(covariance) + 1e-12)
    variance, axes = np.linalg.eigh(covariance)
    return axes / np.sqrt(np.maximum(variance, 1e-12))

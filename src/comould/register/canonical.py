"""Pictures of two modalities made to look alike: canonical variates of their channels where they overlap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comould.register.raster import Raster, smooth_inside
from comould.space import FloatArray

MOST_PAIRS = 3
FURTHER_PAIR = 0.3
"""A further pair is used when its correlation reaches this."""


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

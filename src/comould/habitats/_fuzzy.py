"""Fuzzy c-means whose memberships listen to their neighbours.

References
----------
Bezdek, Ehrlich & Full, Comput Geosci 1984, doi 10.1016/0098-3004(84)90020-7 (fuzzy c-means); the spatial membership
after Chuang et al., Comput Med Imaging Graph 2006, doi 10.1016/j.compmedimag.2005.10.001.
"""

from __future__ import annotations

import numpy as np

from comould.habitats._mixture import RIDGE, Mixture, MixtureSettings, Neighbours
from comould.space import FloatArray

FUZZIFIER = 2.0
_CLIP = 4.0
_ITERATIONS = 60
_TOLERANCE = 1e-4


def fit_fuzzy(
    data: FloatArray, labels: np.ndarray, neighbours: Neighbours | None, settings: MixtureSettings
) -> Mixture:
    """Fit from starting labels ``(n,)`` (0…k-1, none empty) to scaled data ``(n, d)``.

    Returns
    -------
    Mixture
        Centres as means, memberships as probabilities; covariances are those of the memberships, for the record.

    Notes
    -----
    A membership is multiplied by the neighbours' mean membership to the power q, then scaled to sum 1. q is an eighth
    of ``settings.weight``, so that the default weight gives Chuang's q = 1. Data are clipped at 4: distances of fuzzy
    c-means have no outliers' class.
    """
    data = np.clip(data, -_CLIP, _CLIP)
    k = int(labels.max()) + 1
    centres = np.stack([data[labels == c].mean(axis=0) for c in range(k)])
    membership = np.eye(k)[labels]
    iteration = 0
    change = np.inf
    while change >= _TOLERANCE and iteration < _ITERATIONS:
        iteration += 1
        updated = memberships(data, centres, neighbours, settings.weight)
        change = float(np.abs(updated - membership).mean())
        membership = updated
        weights = membership**FUZZIFIER + 1e-12
        centres = (weights.T @ data) / weights.sum(axis=0)[:, None]
    return _mixture(data, centres, membership, iteration)


def apply_fuzzy(data: FloatArray, known: Mixture, neighbours: Neighbours | None, settings: MixtureSettings) -> Mixture:
    """Find the memberships of new data about known centres."""
    data = np.clip(data, -_CLIP, _CLIP)
    membership = memberships(data, known.means, neighbours, settings.weight)
    return Mixture(known.means, known.covariances, membership, np.full(len(data), np.nan), 1, known.floor)


def memberships(data: FloatArray, centres: FloatArray, neighbours: Neighbours | None, weight: float) -> FloatArray:
    """Memberships ``(n, k)`` of data ``(n, d)`` about centres ``(k, d)``; each row sums to 1."""
    square = ((data[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
    inverse = np.maximum(square, 1e-12) ** (-1.0 / (FUZZIFIER - 1.0))
    plain = inverse / inverse.sum(axis=1, keepdims=True)
    if neighbours is None or weight == 0:
        return plain
    near = np.stack([neighbours(column) for column in plain.T], axis=1)
    # A voxel without neighbours decides for itself.
    near = np.where(near.sum(axis=1, keepdims=True) > 1e-9, np.maximum(near, 1e-12), 1.0)
    swayed = plain * near ** (weight / 8.0)
    return swayed / swayed.sum(axis=1, keepdims=True)


def _mixture(data: FloatArray, centres: FloatArray, membership: FloatArray, iterations: int) -> Mixture:
    d = data.shape[1]
    covariances = np.empty((len(centres), d, d))
    for c, centre in enumerate(centres):
        offset = data - centre
        share = membership[:, c, None]
        covariances[c] = (offset * share).T @ offset / share.sum() + RIDGE * np.eye(d)
    return Mixture(centres, covariances, membership, np.full(len(data), np.nan), iterations)

"""How much a map can tell on its support, how well surrogates fit it, and the limits of both."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comould.associate.nulls.recipe import Drawn, Job
from comould.associate.nulls.record import Float32Array
from comould.associate.nulls.variogram import Pairs
from comould.space import FloatArray

FEWEST_EFFECTIVE = 6.0
"""Independent spots below which no correlation short of 0.8 would be told from chance."""
WORST_FIT = 1.0
"""Variogram distance from which surrogates and map have nothing in common but their values."""
_MOST = 120


def variogram_distance(pairs: Pairs, observed: FloatArray, imitated: FloatArray) -> float:
    """Root-mean-square relative difference of two normalised variograms ``(l,)`` over the lags that are fitted."""
    use = pairs.fitted if pairs.fitted.any() else pairs.counts > 0
    relative = (observed[use] - imitated[use]) / np.maximum(imitated[use], 1e-2)
    return float(np.sqrt(np.mean(relative**2)))


def effective_spots(job: Job, drawn: Drawn, fields: Float32Array) -> float:
    """Independent spots that would give unrelated maps of this smoothness the same chance correlation.

    Parameters
    ----------
    job, drawn
        The map and what its kind made.
    fields
        ``(m, n_spots)`` whole maps of its smoothness: its own surrogates, where they are whole.
    """
    if not len(drawn.maps):
        from comould.associate.claims.statistics import analytic_effective  # which itself imports from here

        return float(analytic_effective(job.values, job.values[:, None], job.pairs)[0])
    if drawn.scale is None:
        return self_effective(fields)
    chance = (drawn.maps[:_MOST] @ _unit(fields).T) / drawn.scale[:_MOST, None]
    return _effective(chance, len(job.values))


def self_effective(maps: Float32Array) -> float:
    """Effective spots of whole maps ``(m, n_spots)`` held against one another; NaN for a single one."""
    rows = _unit(maps)
    return _effective((rows @ rows.T)[np.triu_indices(len(rows), 1)], maps.shape[1])


def _unit(maps: Float32Array) -> Float32Array:
    rows = maps[:_MOST] - maps[:_MOST].mean(axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30), dtype=np.float32)


def _effective(chance: npt.NDArray[np.floating], n_spots: int) -> float:
    if not chance.size:
        return float("nan")
    return float(min(1 + 1 / np.maximum(np.mean(chance.astype(np.float64) ** 2), 1e-12), n_spots))

"""Kind ``variogram``: Gaussian fields with the map's own variogram, given its values by rank; kind ``shuffle``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comould.associate.nulls.places import branch
from comould.associate.nulls.recipe import Drawn, Job
from comould.associate.nulls.record import Float32Array
from comould.associate.nulls.variogram import FieldModel, fit_field
from comould.space import FloatArray

BATCH = 200
"""Fields that share a set of frequencies."""
_POINTS = 4096
_RANKED_AT_ONCE = 1 << 22


def draw_fields(job: Job) -> Drawn:
    """Draw stationary isotropic fields of the map's variogram and histogram."""
    model = fit_field(job.pairs, job.values)
    maps = ranked_fields(model, job.places.apart, job.values, job.n, job.seed)
    return Drawn(maps, model, reference=maps)


def draw_shuffled(job: Job) -> Drawn:
    """Permute spots within sections: forgets space."""
    rng = np.random.default_rng(job.seed)
    maps = np.empty((job.n, len(job.values)), dtype=np.float32)
    for row in maps:
        for spots in job.places.members:
            row[spots] = job.values[rng.permutation(spots)]
    return Drawn(maps, FieldModel(np.inf, 0.0, 1.0), reference=maps)


def ranked_fields(
    model: FieldModel, positions: FloatArray, values: FloatArray, n: int, seed: np.random.SeedSequence
) -> Float32Array:
    """Draw ``(n, n_spots)`` fields at ``(n_spots, d)`` mm, each a permutation of ``values`` by rank.

    Batches have frequencies of their own, so that no set of frequencies leaves its mark.
    """
    maps = np.empty((n, len(values)), dtype=np.float32)
    centred = positions - positions.mean(axis=0)
    ordered = np.sort(values).astype(np.float32)
    step = max(1, _RANKED_AT_ONCE // len(values))
    for start, rng in zip(range(0, n, BATCH), generators(seed, -(-n // BATCH)), strict=True):
        batch = maps[start : start + BATCH]
        gaussian_fields(model, centred, rng, batch)
        for low in range(0, len(batch), step):
            batch[low : low + step] = ranked(batch[low : low + step], ordered)
    return maps


def generators(seed: np.random.SeedSequence, count: int) -> list[np.random.Generator]:
    """One generator a batch."""
    return [np.random.default_rng(branch(seed, number)) for number in range(count)]


def gaussian_fields(model: FieldModel, positions: FloatArray, rng: np.random.Generator, out: Float32Array) -> None:
    """Fill ``(n, n_spots)`` with fields of variance 1 by random Fourier features, points by the fixed chunk.

    The chunk bounds memory; being fixed, it leaves the bits alone.

    References
    ----------
    Rahimi, A. & Recht, B. (2007). Random features for large-scale kernel machines. NeurIPS 20.
    """
    # Enough frequencies that a batch's own covariance has the freedom of the field: about one a correlated patch.
    patches = np.prod(np.maximum(np.ptp(positions, axis=0) / max(model.scale_mm, 1e-12), 1.0))
    count = int(np.clip(patches, 256, 1024))
    frequencies = rng.standard_normal((count, positions.shape[1])) / model.scale_mm
    if np.isfinite(model.smoothness):
        freedom = 2 * model.smoothness
        frequencies *= np.sqrt(freedom / rng.chisquare(freedom, (count, 1)))
    weights = rng.standard_normal((2, len(out), count), dtype=np.float32)
    weights *= np.float32(np.sqrt((1 - model.nugget) / count))
    for low in range(0, len(positions), _POINTS):
        phase = (positions[low : low + _POINTS] @ frequencies.T).astype(np.float32)
        part = weights[0] @ np.cos(phase).T + weights[1] @ np.sin(phase).T
        if model.nugget > 0:
            part += np.float32(np.sqrt(model.nugget)) * rng.standard_normal(part.shape, dtype=np.float32)
        out[:, low : low + _POINTS] = part


def ranked(fields: Float32Array, ordered: npt.NDArray[np.float32]) -> Float32Array:
    """Give each field the sorted values by rank."""
    levels, counts = np.unique(ordered, return_counts=True)
    if len(levels) == 2:
        maps = np.full(fields.shape, levels[0], dtype=np.float32)
        for row, field in zip(maps, fields, strict=True):
            row[top(field, counts[1])] = levels[1]
        return maps
    maps = np.empty_like(fields)
    np.put_along_axis(maps, fields.argsort(axis=1), np.broadcast_to(ordered, fields.shape), axis=1)
    return maps


def top(field: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.intp]:
    """Places of the ``count`` highest values, exactly so many whatever the ties."""
    return field.argpartition(len(field) - count)[len(field) - count :]

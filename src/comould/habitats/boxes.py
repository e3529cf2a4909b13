"""Convolutions over a region in bounded memory: a mask of lesions far apart is worked on box by box."""

from __future__ import annotations

import numpy as np

from comould.habitats.neighbourhood import IntArray
from comould.space import FloatArray

LARGEST = 1 << 22
"""Voxels of a box that is not cut further."""


def split(voxels_idx: IntArray, largest: int = LARGEST) -> list[IntArray]:
    """Cut a region into parts whose boxes are small: halves along the longest side, until each is.

    Parameters
    ----------
    voxels_idx
        ``(n, 3)`` voxel indices (k, j, i).
    largest
        Voxels a part's box may hold.

    Returns
    -------
    list of ndarray
        Row numbers of each part; together every row once.
    """
    waiting, parts = [np.arange(len(voxels_idx))], []
    while waiting:
        rows = waiting.pop()
        low, high = voxels_idx[rows].min(axis=0), voxels_idx[rows].max(axis=0)
        size = high - low + 1
        if size.prod() <= largest or size.max() == 1:
            parts.append(rows)
            continue
        axis = int(size.argmax())
        below = voxels_idx[rows, axis] < low[axis] + size[axis] // 2
        waiting += [rows[~below], rows[below]]
    return parts


def inverse_distance_sums(
    voxels_idx: IntArray, values: FloatArray, spacing_mm: FloatArray, largest: int = LARGEST
) -> FloatArray:
    """Sum, at every voxel, the values of all others over the distance to them.

    Parameters
    ----------
    voxels_idx
        ``(n, 3)`` voxel indices (k, j, i).
    values
        ``(f, n)``: several fields at once.
    spacing_mm
        Voxel spacing in array order.
    largest
        Voxels of the boxes that are convolved with each other.

    Returns
    -------
    ndarray
        ``(f, n)``, per mm. Every pair of voxels counts, none is sampled.
    """
    parts = split(voxels_idx, largest)
    result = np.zeros_like(values)
    for here in parts:
        for there in parts:
            result[:, here] += _between(voxels_idx[here], voxels_idx[there], values[:, there], spacing_mm)
    return result


def _between(here_idx: IntArray, there_idx: IntArray, values: FloatArray, spacing_mm: FloatArray) -> FloatArray:
    """Do so for the voxels of one box and the values of another."""
    from scipy import fft

    here_low, there_low = here_idx.min(axis=0), there_idx.min(axis=0)
    here_size, there_size = here_idx.max(axis=0) - here_low + 1, there_idx.max(axis=0) - there_low + 1
    shape = [fft.next_fast_len(int(a + b - 1), real=True) for a, b in zip(here_size, there_size, strict=True)]
    distance = np.zeros(shape)
    for axis, length in enumerate(shape):
        lag = np.arange(length)
        lag = np.where(lag < here_size[axis], lag, lag - length) + here_low[axis] - there_low[axis]
        distance += ((lag * spacing_mm[axis]) ** 2).reshape([-1 if a == axis else 1 for a in range(3)])
    distance[distance == 0.0] = np.inf
    np.sqrt(distance, out=distance)
    np.reciprocal(distance, out=distance)
    weights = fft.rfftn(distance, overwrite_x=True)
    found = np.empty((len(values), len(here_idx)))
    for field, row in zip(values, found, strict=True):
        box = np.zeros(there_size)
        box[tuple((there_idx - there_low).T)] = field
        spread = fft.rfftn(box, shape)
        spread *= weights
        row[:] = fft.irfftn(spread, shape, overwrite_x=True)[tuple((here_idx - here_low).T)]
    return found


def ball_means(array: FloatArray, voxels_idx: IntArray, radius_mm: float, spacing_mm: FloatArray) -> FloatArray:
    """Average an array within a ball around some of its voxels; NaN in it counts for nothing.

    Parameters
    ----------
    array
        ``(k, j, i)``.
    voxels_idx
        ``(n, 3)`` voxels of the array.
    radius_mm
        Voxels count whose centre lies within it.
    spacing_mm
        Voxel spacing in array order.

    Returns
    -------
    ndarray
        ``(n,)``.
    """
    from scipy.signal import oaconvolve

    reach = np.floor(radius_mm / spacing_mm + 1e-6).astype(int)
    axes = [np.arange(-r, r + 1) * s for r, s in zip(reach, spacing_mm, strict=True)]
    away = sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij"))
    ball = (away <= radius_mm**2 * (1.0 + 1e-12)).astype(np.float64)
    means = np.empty(len(voxels_idx))
    for rows in split(voxels_idx):
        low = np.maximum(voxels_idx[rows].min(axis=0) - reach, 0)
        high = np.minimum(voxels_idx[rows].max(axis=0) + reach + 1, array.shape)
        part = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        known = np.isfinite(part)
        total = oaconvolve(np.where(known, part, 0.0), ball, mode="same")
        count = np.rint(oaconvolve(known.astype(np.float64), ball, mode="same"))
        means[rows] = (total / np.maximum(count, 1.0))[tuple((voxels_idx[rows] - low).T)]
    return means

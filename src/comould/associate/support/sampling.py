"""Values of a volume at points: the voxel a point lies in, or all around it, weighted. No AnnData here."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from comould.associate.support.kernel import Kernel
from comould.space import FloatArray, Grid


def nearest(labels: npt.NDArray[np.integer], grid: Grid, points: FloatArray) -> npt.NDArray[np.int64]:
    """Label of the voxel each point ``(n, 3)`` lies in; 0 outside the grid or without a position."""
    codes = np.zeros(len(points), dtype=np.int64)
    known = np.flatnonzero(np.isfinite(points).all(axis=1))
    known = known[grid.contains(points[known])]
    index = np.floor(grid.index_from_patient(points[known]) + 0.5).astype(np.intp)
    i, j, k = np.clip(index, 0, np.asarray(grid.size) - 1).T
    codes[known] = labels[k, j, i]
    return codes


def interpolate(values: FloatArray, grid: Grid, points: FloatArray, kernel: Kernel | None = None) -> FloatArray:
    """Interpolate ``(z, y, x, c)`` linearly at points ``(n, 3)``, averaged over a kernel where one is given.

    Beyond the outer voxels their value holds on.
    """
    if kernel is None or kernel.n_nodes == 1:
        return linear(values, grid, points)
    total = np.zeros((len(points), values.shape[-1]))
    for node in range(kernel.n_nodes):
        total += linear(values, grid, kernel.moved(points, node))
    return total / kernel.n_nodes


def linear(values: FloatArray, grid: Grid, points: FloatArray) -> FloatArray:
    """Interpolate ``(z, y, x, c)`` linearly at points ``(n, 3)``, patient mm, to ``(n, c)``."""
    size = np.asarray(grid.size)
    index = np.clip(grid.index_from_patient(points), 0, size - 1)
    low = np.minimum(np.floor(index).astype(np.intp), np.maximum(size - 2, 0))
    share = index - low
    total = np.zeros((len(points), values.shape[-1]))
    for corner in product((0, 1), repeat=3):
        i, j, k = np.minimum(low + corner, size - 1).T
        weight = np.prod(np.where(corner, share, 1 - share), axis=1)
        total += weight[:, None] * values[k, j, i]
    return total

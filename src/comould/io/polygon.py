"""Closed polygons → pixels: a pixel belongs to the region when its centre does (even-odd rule)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from comould.space import FloatArray


def fill(polygons: Sequence[FloatArray], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Fill closed polygons together: holes, islands in holes and keyholes come out right.

    Parameters
    ----------
    polygons
        Each ``(n, 2)`` in continuous pixel indices x, y; pixel centres on integers.
    shape
        Rows and columns of the result.

    Returns
    -------
    ndarray
        Boolean ``(rows, columns)``. A centre exactly on an edge belongs to the region on its right or below.

    Notes
    -----
    Every edge toggles, in each row it crosses, all pixels right of the crossing; a running count's parity is the
    answer. Rows are half-open at edges' ends, so that a vertex counts once.
    """
    rows, columns = shape
    toggles = np.zeros((rows, columns + 1), np.int32)
    for polygon in polygons:
        x0, y0 = polygon.T
        x1, y1 = np.roll(polygon, -1, axis=0).T
        low, high = np.minimum(y0, y1), np.maximum(y0, y1)
        first = np.clip(np.ceil(low), 0, rows).astype(np.intp)
        last = np.clip(np.ceil(high), 0, rows).astype(np.intp)
        crossed = last - first
        edge = np.repeat(np.arange(len(x0)), crossed)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(crossed) - crossed, crossed) + first[edge]
        x = x0[edge] + (row - y0[edge]) * ((x1 - x0)[edge] / (y1 - y0)[edge])
        column = np.clip(np.ceil(x), 0, columns).astype(np.intp)
        np.add.at(toggles, (row, column), 1)
    return (np.cumsum(toggles, axis=1)[:, :columns] & 1).astype(bool)

"""Compiled searches for :mod:`comould.habitats.distance`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comould._compiled import compiled
from comould.space import FloatArray


@compiled
def nearest_box(lines: FloatArray, side: float) -> None:
    """Replace each value of every line ``(m, n)`` by the least of (value + square of the distance to its box) along it.

    A box reaches half a side to both sides of its centre. The search from a place goes outwards until no box further
    away can be nearer than the best.
    """
    count = lines.shape[1]
    old = np.empty(count)
    for line in range(lines.shape[0]):
        lowest = np.inf
        for at in range(count):
            old[at] = lines[line, at]
            lowest = min(lowest, old[at])
        for at in range(count):
            best = old[at]
            for step in range(1, count):
                away = ((step - 0.5) * side) ** 2
                if away + lowest >= best:
                    break
                if at >= step:
                    best = min(best, old[at - step] + away)
                if at + step < count:
                    best = min(best, old[at + step] + away)
            lines[line, at] = best


@compiled
def hand_on(nearest: npt.NDArray[np.int64], distance: FloatArray, points: FloatArray, spacing_mm: FloatArray) -> None:
    """Fill in the nearest point of every voxel ``(k, j, i)`` from that of its neighbours, and how far it is.

    ``nearest`` is −1 where it is not known yet. The array is gone through from each of its eight corners; whatever the
    neighbours that came before found nearest is tried for the voxel itself.
    """
    planes, rows, columns = nearest.shape
    for turn in range(8):
        # Opposite corners follow each other.
        code = turn // 2 if turn % 2 == 0 else 7 - turn // 2
        sk, sj, si = 1 - 2 * (code // 4), 1 - 2 * (code // 2 % 2), 1 - 2 * (code % 2)
        for nk in range(planes):
            k = nk if sk > 0 else planes - 1 - nk
            for nj in range(rows):
                j = nj if sj > 0 else rows - 1 - nj
                for ni in range(columns):
                    i = ni if si > 0 else columns - 1 - ni
                    best, own = distance[k, j, i], nearest[k, j, i]
                    z, y, x = k * spacing_mm[0], j * spacing_mm[1], i * spacing_mm[2]
                    if own >= 0 and np.isinf(best):
                        best = (z - points[own, 0]) ** 2 + (y - points[own, 1]) ** 2 + (x - points[own, 2]) ** 2
                    for c in range(13):
                        kk, jj, ii = k + sk * (c // 9 - 1), j + sj * (c // 3 % 3 - 1), i + si * (c % 3 - 1)
                        if kk < 0 or jj < 0 or ii < 0 or kk >= planes or jj >= rows or ii >= columns:
                            continue
                        other = nearest[kk, jj, ii]
                        if other < 0 or other == own:
                            continue
                        dz, dy, dx = z - points[other, 0], y - points[other, 1], x - points[other, 2]
                        square = dz * dz + dy * dy + dx * dx
                        if square < best:
                            best, own = square, other
                    distance[k, j, i], nearest[k, j, i] = best, own
    for k in range(planes):
        for j in range(rows):
            for i in range(columns):
                distance[k, j, i] = np.sqrt(distance[k, j, i])

"""Compiled search along lines for :mod:`comould.habitats.distance`."""

from __future__ import annotations

import numba
import numpy as np

from comould.space import FloatArray


@numba.njit(cache=True, nogil=True)
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

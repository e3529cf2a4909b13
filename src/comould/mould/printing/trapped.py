"""Fluid that stays in a part: what is poured in and finds no way down.

The air of each vertical ray is split into intervals; intervals of neighbouring rays that overlap are joined, and the
join can be passed above the higher of their two bottoms. Fluid in an interval stands as high as the lowest way out of
it: the largest height on the path to the outside that keeps lowest (a minimum spanning tree holds all such paths).
Drain holes, slots open at an end and overhanging pockets need no special treatment. Heights are exact, areas sampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.mould.printing.columns import Columns, IntArray
from comould.space import FloatArray

NOTABLE_ML = 1.0
"""Less than this is wetness."""


@dataclass(frozen=True)
class Fluid:
    """Fluid that stays in a part standing on its print side.

    Parameters
    ----------
    trapped_ml
        All that stays when everything is filled to the brim.
    largest_pool_ml
        The largest connected pool of it.
    drain_recommended
        Whether a cystic specimen should have drain holes.
    """

    trapped_ml: float
    largest_pool_ml: float
    drain_recommended: bool


@dataclass(frozen=True, eq=False)
class _Air:
    """Stretches of air on the rays, each with its bottom and top."""

    column: IntArray
    bottom: FloatArray
    top: FloatArray

    @classmethod
    def over(cls, columns: Columns) -> _Air:
        """Take the air above each run of material; below the lowest one it is outside, like rays without material."""
        follows = np.zeros(len(columns.column), dtype=bool)
        follows[:-1] = columns.column[1:] == columns.column[:-1]
        top = np.full(len(columns.column), np.inf)
        top[:-1][follows[:-1]] = columns.enter[1:][follows[:-1]]
        keep = top - columns.leave > 1e-6
        return cls(columns.column[keep], columns.leave[keep], top[keep])


def trapped_fluid(columns: Columns) -> Fluid:
    """Measure the fluid that stays in a part.

    Parameters
    ----------
    columns
        Rays along z through the part, see :func:`comould.mould.printing.columns.cast`.

    Returns
    -------
    Fluid
        A hole narrower than the distance between rays may be missed.
    """
    air = _Air.over(columns)
    count = len(air.column)
    if not count:
        return Fluid(0.0, 0.0, False)
    one, two, height = _joins(columns, air)
    level = np.maximum(_way_out(one, two, height, count), air.bottom)
    depth = np.minimum(level, air.top) - air.bottom
    volume = depth * columns.step_mm**2 / 1000.0
    wet = depth > 1e-3
    pools = _pools(one, two, wet, count)
    largest = float(np.bincount(pools[wet], weights=volume[wet]).max()) if wet.any() else 0.0
    total = float(volume.sum())
    return Fluid(total, largest, total >= NOTABLE_ML)


def _joins(columns: Columns, air: _Air) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs of joined intervals (index ``count`` is the outside) and the height above which they are joined."""
    rows, cols = columns.shape
    count = len(air.column)
    starts = np.searchsorted(air.column, np.arange(rows * cols + 1))
    ground = float(columns.enter.min())
    # Below the lowest material of a ray, and on rays without any, lies the outside, down to the table.
    open_below = np.full(rows * cols, np.inf)
    has = np.unique(columns.column, return_index=True)
    open_below[has[0]] = columns.enter[has[1]]
    first, second = np.divmod(air.column, cols)
    ones, twos, heights = [], [], []
    for di, dj in ((1, 0), (0, 1), (-1, 0), (0, -1)):
        i, j = first + di, second + dj
        inside = (i >= 0) & (i < rows) & (j >= 0) & (j < cols)
        beyond = np.flatnonzero(~inside)
        ones.append(beyond)
        twos.append(np.full(len(beyond), count))
        heights.append(air.bottom[beyond])
        here = np.flatnonzero(inside)
        other = i[here] * cols + j[here]
        below = open_below[other] > air.bottom[here]
        ones.append(here[below])
        twos.append(np.full(int(below.sum()), count))
        heights.append(air.bottom[here[below]])
        if di + dj > 0:
            pair = _overlaps(air, here, starts[other], starts[other + 1])
            ones.append(pair[0])
            twos.append(pair[1])
            heights.append(np.maximum(air.bottom[pair[0]], air.bottom[pair[1]]))
    one, two, height = np.concatenate(ones), np.concatenate(twos), np.concatenate(heights)
    return one, two, np.maximum(height, ground)


def _overlaps(air: _Air, here: IntArray, start: IntArray, stop: IntArray) -> tuple[IntArray, IntArray]:
    """Pair each interval with those of a neighbouring ray that it overlaps."""
    counts = stop - start
    mine = np.repeat(here, counts)
    rank = np.arange(len(mine)) - np.repeat(np.cumsum(counts) - counts, counts)
    theirs = np.repeat(start, counts) + rank
    overlap = np.minimum(air.top[mine], air.top[theirs]) > np.maximum(air.bottom[mine], air.bottom[theirs])
    return mine[overlap], theirs[overlap]


def _way_out(one: IntArray, two: IntArray, height: FloatArray, count: int) -> FloatArray:
    """Lowest height each interval must be filled to before it runs over to the outside."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    low = float(height.min())
    # A sparse graph adds up doubled entries: keep the lowest join of each pair only. Zero would be no join.
    key = np.minimum(one, two) * (count + 1) + np.maximum(one, two)
    order = np.lexsort((height, key))
    kept = order[np.unique(key[order], return_index=True)[1]]
    graph = coo_matrix((height[kept] - low + 1.0, (one[kept], two[kept])), shape=(count + 1, count + 1)).tocsr()
    tree = minimum_spanning_tree(graph)
    tree = tree + tree.T
    order, before = breadth_first_order(tree, count, directed=False, return_predecessors=True)
    step = np.asarray(tree[order[1:], before[order[1:]]]).ravel() + low - 1.0
    # Air closed on all sides cannot be filled and is not reached.
    level = np.full(count + 1, -np.inf)
    for node, parent, at in zip(order[1:].tolist(), before[order[1:]].tolist(), step.tolist(), strict=True):
        above = level[parent]
        level[node] = at if at > above else above
    return level[:count]


def _pools(one: IntArray, two: IntArray, wet: npt.NDArray[np.bool_], count: int) -> IntArray:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    both = np.append(wet, False)
    joined = both[one] & both[two]
    graph = coo_matrix((np.ones(int(joined.sum()), dtype=np.int8), (one[joined], two[joined])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.intp)

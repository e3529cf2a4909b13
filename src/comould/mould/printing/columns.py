"""Columns of rays through a mesh: where they run through material, and which facets bound it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.space import FloatArray

IntArray = npt.NDArray[np.intp]

MAX_COLUMNS = 60_000
"""Rays per direction at most: what a look at a mesh may cost. Larger meshes get a wider lattice."""

_BESIDE = (0.4871, 0.5137)
"""Where in its cell a ray runs: not along the faces of parts drawn on whole and half millimetres."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Stretches of material ("runs") along one axis, on a square lattice of rays.

    Parameters
    ----------
    axis
        0, 1, 2 for rays along x, y, z.
    step_mm
        Distance between neighbouring rays.
    origin_mm
        ``(2,)`` position of ray (0, 0) along the two other axes, in the order axis + 1, axis + 2 (modulo 3).
    shape
        Rays along these two axes.
    column
        ``(n,)`` flat index ``first * shape[1] + second`` of each run's ray, ascending; runs of one ray by depth.
    enter, leave
        ``(n,)`` depths along the axis, mm.
    enter_facet, leave_facet
        ``(n,)`` facets crossed there.
    """

    axis: int
    step_mm: float
    origin_mm: FloatArray
    shape: tuple[int, int]
    column: IntArray
    enter: FloatArray
    leave: FloatArray
    enter_facet: IntArray
    leave_facet: IntArray

    @property
    def others(self) -> tuple[int, int]:
        """The two axes the lattice spans."""
        return (self.axis + 1) % 3, (self.axis + 2) % 3

    def points(self, runs: IntArray, depth: FloatArray) -> FloatArray:
        """Positions ``(k, 3)`` mm at a depth on the rays of some runs."""
        out = np.empty((len(runs), 3))
        first, second = np.divmod(self.column[runs], self.shape[1])
        out[:, self.others[0]] = self.origin_mm[0] + first * self.step_mm
        out[:, self.others[1]] = self.origin_mm[1] + second * self.step_mm
        out[:, self.axis] = depth
        return out

    def run_at(self, column: IntArray, depth: FloatArray) -> IntArray:
        """Find the run that holds each (ray, depth); −1 where there is air or no ray."""
        if not len(self.column):
            return np.full(len(column), -1, dtype=np.intp)
        low = float(self.enter.min()) - 1.0
        high = float(self.leave.max()) + 1.0
        span = high - low
        place = np.searchsorted(
            self.column * span + (self.enter - low), column * span + (np.clip(depth, low, high) - low), "right"
        )
        run = np.maximum(place - 1, 0)
        held = (place > 0) & (self.column[run] == column) & (self.leave[run] >= depth)
        return np.where(held, run, -1)


def cast(triangles: FloatArray, axis: int, step_mm: float, *, max_columns: int = MAX_COLUMNS) -> Columns:
    """Shoot a lattice of rays along an axis through a closed mesh.

    Parameters
    ----------
    triangles
        ``(m, 3, 3)`` corners, mm, outward.
    axis
        0, 1, 2.
    step_mm
        Distance between rays; widened when the mesh would need more than ``max_columns``.
    max_columns
        Bound of the work.

    Returns
    -------
    Columns
        Material is where the winding number is positive, so bodies that overlap count once. Rays whose crossings do
        not cancel (an open mesh) are left out.
    """
    others = [(axis + 1) % 3, (axis + 2) % 3]
    across = [triangles[:, :, other] for other in others]
    low = np.array([part.min() for part in across])
    high = np.array([part.max() for part in across])
    area = float(np.prod(np.maximum(high - low, step_mm)))
    step = max(step_mm, float(np.sqrt(area / max_columns)))
    shape = np.maximum(np.ceil((high - low) / step).astype(int), 1)
    origin = low + np.array(_BESIDE) * step
    # Most facets of a fine surface lie between the rays.
    met = np.ones(len(triangles), dtype=bool)
    for part, start in zip(across, origin, strict=True):
        one, two, three = ((part[:, corner] - start) / step for corner in range(3))
        met &= np.ceil(np.minimum(np.minimum(one, two), three)) < np.ceil(np.maximum(np.maximum(one, two), three))
    rows = np.flatnonzero(met)
    flat = (triangles[rows][:, :, others] - origin) / step
    column, facet, depth, sense = _cross(flat, triangles[rows][:, :, axis], (int(shape[0]), int(shape[1])))
    facet = rows[facet]
    return Columns(axis, step, origin, (int(shape[0]), int(shape[1])), *_runs(column, facet, depth, sense))


def _cross(
    flat: FloatArray, depth: FloatArray, shape: tuple[int, int]
) -> tuple[IntArray, IntArray, FloatArray, npt.NDArray[np.int8]]:
    """Find every (ray, facet) crossing: flat ray index, facet, depth and sense (+1 enters, −1 leaves).

    Facets are filled row by row between their edges. An edge is crossed at the same number in both its facets, and
    intervals are half open: a ray never slips between two neighbours, nor hits both.
    """
    one, two = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    sense = -np.sign(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]).astype(np.int8)
    order = np.argsort(flat[:, :, 0], axis=1, kind="stable")
    corners = np.take_along_axis(np.concatenate([flat, depth[:, :, None]], axis=2), order[:, :, None], axis=1)
    first, last = _between(corners[:, 0, 0], corners[:, 2, 0], shape[0])
    facet, row = _spread(first, np.where(sense != 0, last, first))
    low, middle, high = corners[facet, 0], corners[facet, 1], corners[facet, 2]
    upper = (row >= middle[:, 0])[:, None]
    long_edge = _on_edge(low, high, row)
    short_edge = _on_edge(np.where(upper, middle, low), np.where(upper, high, middle), row)
    start, stop = np.minimum(long_edge[:, 0], short_edge[:, 0]), np.maximum(long_edge[:, 0], short_edge[:, 0])
    which, j = _spread(*_between(start, stop, shape[1]))
    at, other = long_edge[which], short_edge[which]
    share = (j - at[:, 0]) / (other[:, 0] - at[:, 0])
    facet = facet[which]
    return row[which] * shape[1] + j, facet, at[:, 1] + share * (other[:, 1] - at[:, 1]), sense[facet]


def _between(low: FloatArray, high: FloatArray, count: int) -> tuple[IntArray, IntArray]:
    """Whole numbers n with low ≤ n < high and 0 ≤ n < count, as first and one past the last."""
    first = np.clip(np.ceil(low), 0, count).astype(np.intp)
    return first, np.maximum(np.clip(np.ceil(high), 0, count).astype(np.intp), first)


def _spread(first: IntArray, stop: IntArray) -> tuple[IntArray, IntArray]:
    """List every (item, number) with first ≤ number < stop."""
    counts = stop - first
    item = np.repeat(np.arange(len(counts)), counts)
    return item, np.arange(len(item)) - (np.cumsum(counts) - counts - first)[item]


def _on_edge(low: FloatArray, high: FloatArray, row: IntArray) -> FloatArray:
    """Position and depth ``(n, 2)`` where an edge crosses its row."""
    share = (row - low[:, 0]) / (high[:, 0] - low[:, 0])
    return low[:, 1:] + share[:, None] * (high[:, 1:] - low[:, 1:])


def _runs(
    column: IntArray, facet: IntArray, depth: FloatArray, sense: npt.NDArray[np.int8]
) -> tuple[IntArray, FloatArray, FloatArray, IntArray, IntArray]:
    """Pair crossings to runs by their winding number."""
    order = np.lexsort((depth, column))
    column, facet, depth, sense = column[order], facet[order], depth[order], sense[order].astype(np.intp)
    winding = np.cumsum(sense)
    first = np.ones(len(column), dtype=bool)
    first[1:] = column[1:] != column[:-1]
    ray = np.cumsum(first) - 1
    sums = np.bincount(ray, weights=sense, minlength=1)
    whole = sums[ray] == 0 if len(ray) else np.zeros(0, dtype=bool)
    before = winding - sense
    start = np.flatnonzero(first)
    base = before[start][ray] if len(ray) else winding
    winding, before = winding - base, before - base
    opens = whole & (before <= 0) & (winding > 0)
    closes = whole & (before > 0) & (winding <= 0)
    return column[opens], depth[opens], depth[closes], facet[opens], facet[closes]

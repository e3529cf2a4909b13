"""Rays through a mesh: what is inside it, measured on its triangles alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from comould.space import FloatArray

IntArray = npt.NDArray[np.intp]

_NUDGE = (1.234567e-5, 2.345678e-5)
"""Rays run beside whole numbers, in columns: through a vertex or along an edge is then as good as impossible."""

_CHUNK = 4_000_000


def hits(triangles: FloatArray, shape: tuple[int, int]) -> tuple[IntArray, IntArray, FloatArray, npt.NDArray[np.int8]]:
    """Shoot rays along +z through whole-number columns (x, y) and find every triangle they cross.

    Parameters
    ----------
    triangles
        ``(m, 3, 3)`` corners x, y, z in column units.
    shape
        Columns along x and y, from 0.

    Returns
    -------
    tuple
        Column x, column y, z of the crossing, and its sense: −1 where the ray enters a solid whose triangles face
        outwards, +1 where it leaves.
    """
    found = [_cross(part, columns) for part, columns in _candidates(triangles, shape)]
    if not found:
        empty = np.zeros(0, dtype=np.intp)
        return empty, empty, np.zeros(0), np.zeros(0, dtype=np.int8)
    x, y, z, sense = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return x, y, z, sense


def inside(triangles: FloatArray, shape: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """Tell which whole-number points (x, y, z) lie inside a closed mesh.

    Parameters
    ----------
    triangles
        ``(m, 3, 3)``, in index units.
    shape
        Points along x, y, z.

    Returns
    -------
    ndarray
        bool ``(z, y, x)``: winding number not zero.
    """
    x, y, z, sense = hits(triangles, shape[:2])
    first = np.clip(np.ceil(z), 0, shape[2]).astype(np.intp)
    flat = (first * shape[1] + y) * shape[0] + x
    change = np.bincount(flat, weights=-sense, minlength=(shape[2] + 1) * shape[1] * shape[0])
    winding = np.cumsum(change.reshape(shape[2] + 1, shape[1], shape[0]), axis=0)[:-1]
    return np.abs(winding) > 0.5


class Rays:
    """Single rays along the axes through one mesh.

    Parameters
    ----------
    triangles
        ``(m, 3, 3)``, mm.
    """

    def __init__(self, triangles: FloatArray) -> None:
        self._triangles = triangles
        self._low, self._high = triangles.min(axis=1), triangles.max(axis=1)

    def along(self, origin: FloatArray, axis: int) -> FloatArray:
        """Shoot one ray both ways along an axis and return the sorted coordinates where it meets the mesh."""
        first, second = (axis + 1) % 3, (axis + 2) % 3
        near = (self._low[:, first] <= origin[first] + 1e-3) & (self._high[:, first] >= origin[first] - 1e-3)
        near &= (self._low[:, second] <= origin[second] + 1e-3) & (self._high[:, second] >= origin[second] - 1e-3)
        local = self._triangles[near][:, :, [first, second, axis]] - np.array([origin[first], origin[second], 0.0])
        return np.sort(hits(local, (1, 1))[2])


def _candidates(
    triangles: FloatArray, shape: tuple[int, int]
) -> Iterator[tuple[FloatArray, tuple[IntArray, IntArray]]]:
    """Pair triangles with the columns inside their bounding boxes, in chunks of bounded size."""
    nudge = np.array(_NUDGE)
    flat = triangles[:, :, :2] - nudge
    first = np.clip(np.ceil(flat.min(axis=1)), 0, None).astype(np.intp)
    last = np.minimum(np.floor(flat.max(axis=1)), np.array(shape) - 1).astype(np.intp)
    spans = np.clip(last - first + 1, 0, None)
    counts = spans[:, 0] * spans[:, 1]
    used = np.flatnonzero(counts)
    if not used.size:
        return
    edges = np.searchsorted(np.cumsum(counts[used]), np.arange(_CHUNK, counts.sum() + _CHUNK, _CHUNK))
    for rows in np.split(used, np.unique(edges + 1)):
        if not rows.size:
            continue
        n = counts[rows]
        which = np.repeat(np.arange(rows.size), n)
        rank = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        width = spans[rows, 0][which]
        x = first[rows, 0][which] + rank % width
        y = first[rows, 1][which] + rank // width
        yield triangles[rows[which]], (x, y)


def _cross(
    corners: FloatArray, columns: tuple[IntArray, IntArray]
) -> tuple[IntArray, IntArray, FloatArray, npt.NDArray[np.int8]]:
    x, y = columns
    px, py = x + _NUDGE[0], y + _NUDGE[1]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]

    def side(p: FloatArray, q: FloatArray) -> FloatArray:
        return (q[:, 0] - p[:, 0]) * (py - p[:, 1]) - (q[:, 1] - p[:, 1]) * (px - p[:, 0])

    wa, wb, wc = side(b, c), side(c, a), side(a, b)
    total = wa + wb + wc
    hit = ((wa > 0) & (wb > 0) & (wc > 0)) | ((wa < 0) & (wb < 0) & (wc < 0))
    hit &= total != 0
    weight = total[hit]
    z = (wa[hit] * a[hit, 2] + wb[hit] * b[hit, 2] + wc[hit] * c[hit, 2]) / weight
    return x[hit], y[hit], z, np.sign(weight).astype(np.int8)

"""Rays through a mesh: what is inside it, measured on its triangles alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from comould.space import FloatArray

IntArray = npt.NDArray[np.intp]
_Hits = tuple[IntArray, IntArray, FloatArray, npt.NDArray[np.int8]]

_NUDGE = (1.234567e-5, 2.345678e-5)
"""Rays run beside whole numbers, in columns: through a vertex or along an edge is then as good as impossible."""

_CHUNK = 4_000_000


def hits(triangles: FloatArray, shape: tuple[int, int]) -> _Hits:
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
    found = list(_crossings(triangles, shape))
    if not found:
        empty = np.zeros(0, dtype=np.intp)
        return empty, empty, np.zeros(0), np.zeros(0, dtype=np.int8)
    if len(found) == 1:
        return found[0]
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
    # Along the rays last: running sums go through memory in order.
    flat = (y * shape[0] + x) * (shape[2] + 1) + first
    winding = np.zeros((shape[1], shape[0], shape[2] + 1), dtype=np.int16)
    np.add.at(winding.reshape(-1), flat, -sense.astype(np.int16))
    np.cumsum(winding, axis=2, dtype=np.int16, out=winding)
    return np.ascontiguousarray((winding[:, :, :-1] != 0).transpose(2, 0, 1))


class Rays:
    """Single rays along the axes through one mesh.

    Parameters
    ----------
    triangles
        ``(m, 3, 3)``, mm.
    """

    def __init__(self, triangles: FloatArray) -> None:
        self._triangles = triangles
        corners = [triangles[:, corner] for corner in range(3)]
        self._low, self._high = _least(corners) - 1e-3, _most(corners) + 1e-3

    def along(self, origin: FloatArray, axis: int) -> FloatArray:
        """Shoot one ray both ways along an axis and return the sorted coordinates where it meets the mesh."""
        first, second = (axis + 1) % 3, (axis + 2) % 3
        near = (self._low[:, first] <= origin[first]) & (self._high[:, first] >= origin[first])
        near &= (self._low[:, second] <= origin[second]) & (self._high[:, second] >= origin[second])
        local = self._triangles[near][:, :, [first, second, axis]] - np.array([origin[first], origin[second], 0.0])
        return np.sort(hits(local, (1, 1))[2])


def _crossings(triangles: FloatArray, shape: tuple[int, int]) -> Iterator[_Hits]:
    """Pair triangles with the columns inside their bounding boxes, in chunks of bounded size, and keep the crossings.

    A triangle's edges are given by coefficients that change their sign, and nothing else, when the edge runs the other
    way: neighbours agree to the last bit on which side of their common edge a ray passes.
    """
    # One array per coordinate: reducing over a last axis of three is many times slower.
    xs = [triangles[:, corner, 0] - _NUDGE[0] for corner in range(3)]
    ys = [triangles[:, corner, 1] - _NUDGE[1] for corner in range(3)]
    first_x, wide = _span(xs, shape[0])
    first_y, deep = _span(ys, shape[1])
    used = np.flatnonzero((wide > 0) & (deep > 0))
    counts = wide[used] * deep[used]
    total = np.cumsum(counts)
    if not used.size:
        return
    edges = np.searchsorted(total, np.arange(_CHUNK, total[-1] + _CHUNK, _CHUNK))
    for part in np.split(np.arange(used.size), np.unique(edges + 1)):
        if not part.size:
            continue
        rows, n = used[part], counts[part]
        which = np.repeat(np.arange(rows.size), n)
        rank = np.arange(which.size) - np.repeat(np.cumsum(n) - n, n)
        down = rank // wide[rows][which]
        x = first_x[rows][which] + rank - down * wide[rows][which]
        y = first_y[rows][which] + down
        yield _cross([v[rows] for v in xs], [v[rows] for v in ys], triangles[rows, :, 2], (which, x, y))


def _span(corners: list[FloatArray], size: int) -> tuple[IntArray, IntArray]:
    """First whole number within the corners' range, and how many there are, within 0 … size - 1."""
    first = np.maximum(np.ceil(_least(corners)), 0.0)
    last = np.minimum(np.floor(_most(corners)), size - 1.0)
    return first.astype(np.intp), np.maximum(last - first + 1.0, 0.0).astype(np.intp)


def _least(corners: list[FloatArray]) -> FloatArray:
    return np.minimum(np.minimum(corners[0], corners[1]), corners[2])


def _most(corners: list[FloatArray]) -> FloatArray:
    return np.maximum(np.maximum(corners[0], corners[1]), corners[2])


def _cross(
    xs: list[FloatArray], ys: list[FloatArray], heights: FloatArray, pairs: tuple[IntArray, IntArray, IntArray]
) -> _Hits:
    """Keep the pairs of triangle and column that meet."""
    which, x, y = pairs
    sides = []
    for p, q in ((1, 2), (2, 0), (0, 1)):
        along_x, along_y = xs[q] - xs[p], ys[q] - ys[p]
        offset = xs[p] * ys[q] - xs[q] * ys[p]
        sides.append(along_x[which] * y - along_y[which] * x + offset[which])
    wa, wb, wc = sides
    hit = np.flatnonzero(((wa > 0) & (wb > 0) & (wc > 0)) | ((wa < 0) & (wb < 0) & (wc < 0)))
    wa, wb, wc, z = wa[hit], wb[hit], wc[hit], heights[which[hit]]
    weight = wa + wb + wc
    height = (wa * z[:, 0] + wb * z[:, 1] + wc * z[:, 2]) / weight
    return x[hit], y[hit], height, np.sign(weight).astype(np.int8)

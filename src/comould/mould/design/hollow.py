"""Less plastic: cells taken out of the underside, with roofs that print without support.

Below the cavity and beside it a mould is a thick piece of nothing in particular. Cells with upright walls are taken out
from below; each ends under a roof that closes at 45° up to a flat ceiling no wider than the printer can bridge.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi

from comould.mould.design.layout import Layout
from comould.mould.parameters import Parameters
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import CrossSection, Manifold

CELL_MM = 26.0
"""Largest side of a cell: more walls cost more print time than the plastic they save."""

MIN_HEIGHT_MM = 4.0
"""Lower cells are not worth their walls."""

_STEP_MM = 1.0


@dataclass(frozen=True, eq=False)
class Ceiling:
    """How high material may be taken out from below.

    Parameters
    ----------
    height
        ``(x, y)`` lattice: mm above the bed.
    origin
        x and y of its first point, mould frame.
    """

    height: FloatArray
    origin: FloatArray

    @classmethod
    def of(cls, cavity: FloatArray, layout: Layout, size: Parameters) -> Ceiling:
        """Look at the lowest thing above each place, with the base's thickness below and beside it.

        Parameters
        ----------
        cavity
            ``(n, 3)`` vertices of the cavity's surface, mould frame, at most about 1 mm apart.
        layout, size
            Slots and guides.
        """
        origin = layout.low[:2]
        shape = tuple(np.ceil((layout.high[:2] - origin) / _STEP_MM).astype(int) + 1)
        x = origin[0] + _STEP_MM * np.arange(shape[0])
        y = origin[1] + _STEP_MM * np.arange(shape[1])
        height = np.full(shape, np.inf)
        for slot in layout.slots:
            here = (x >= slot.cell[0]) & (x <= slot.cell[1])
            # Engraved numbers reach down from the guides' tops.
            height[here] = np.minimum(height[here], slot.top_z - size.engrave_mm)
            cut = np.abs(x - slot.x) <= 0.5 * size.slot_mm + _STEP_MM
            along = (y >= slot.y[0] - _STEP_MM) & (y <= slot.y[1] + _STEP_MM)
            height[np.ix_(cut, along)] = np.minimum(height[np.ix_(cut, along)], slot.floor_z)
        at = np.clip(np.round((cavity[:, :2] - origin) / _STEP_MM).astype(int), 0, np.array(shape) - 1)
        np.minimum.at(height, (at[:, 0], at[:, 1]), cavity[:, 2])
        height[~np.isfinite(height)] = 0.0
        reach = int(np.ceil(size.base_mm / _STEP_MM))
        disc = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= reach
        return cls(ndi.minimum_filter(height, footprint=disc) - size.base_mm, origin)

    def over(self, x: tuple[float, float], y: tuple[float, float]) -> float:
        """Lowest ceiling over a rectangle."""
        a, b = (
            (int(np.floor((low - at) / _STEP_MM)), int(np.ceil((high - at) / _STEP_MM)) + 1)
            for (low, high), at in zip((x, y), self.origin, strict=True)
        )
        part = self.height[max(a[0], 0) : a[1], max(b[0], 0) : b[1]]
        return float(part.min()) if part.size else 0.0


def cells(ceiling: Ceiling, layout: Layout, size: Parameters, shape: CrossSection) -> Manifold | None:
    """Make everything to take out of the underside.

    Parameters
    ----------
    ceiling
        How high one may go.
    layout, size
        The geometry.
    shape
        The mould's outline from above.

    Returns
    -------
    Manifold or None
        ``None`` when nothing is worth taking out.
    """
    from manifold3d import JoinType, Manifold, OpType

    skin = max(size.cell_wall_mm + 0.5, 0.5 * size.wall_mm)
    inner = shape.offset(-skin, JoinType.Miter)
    made = [
        cell
        for x in _spans(layout.low[0] + skin, layout.high[0] - skin, size.cell_wall_mm)
        for y in _spans(layout.low[1] + skin, layout.high[1] - skin, size.cell_wall_mm)
        for cell in _filled(ceiling, x, y, size)
    ]
    if not made:
        return None
    return Manifold.batch_boolean(made, OpType.Add) ^ inner.extrude(float(layout.high[2]) + 2.0).translate((0, 0, -1.0))


def _spans(low: float, high: float, wall: float) -> list[tuple[float, float]]:
    count = max(1, int(np.ceil((high - low + wall) / (CELL_MM + wall))))
    edges = np.linspace(low - 0.5 * wall, high + 0.5 * wall, count + 1)
    return [(float(a) + 0.5 * wall, float(b) - 0.5 * wall) for a, b in pairwise(edges)]


def _filled(ceiling: Ceiling, x: tuple[float, float], y: tuple[float, float], size: Parameters) -> list[Manifold]:
    """Make one cell, or up to four smaller ones where that takes out more."""
    whole = ceiling.over(x, y)
    sides = (x[1] - x[0], y[1] - y[0])
    if min(sides) < 2 * (4.0 + size.cell_wall_mm):
        return [_cell(x, y, whole, size)] if whole >= MIN_HEIGHT_MM and min(sides) >= 4.0 else []
    half = 0.5 * size.cell_wall_mm
    mid = (0.5 * (x[0] + x[1]), 0.5 * (y[0] + y[1]))
    parts = [
        (a, b)
        for a in ((x[0], mid[0] - half), (mid[0] + half, x[1]))
        for b in ((y[0], mid[1] - half), (mid[1] + half, y[1]))
    ]
    split = sum(
        max(ceiling.over(a, b), 0.0) * (a[1] - a[0]) * (b[1] - b[0])
        for a, b in parts
        if ceiling.over(a, b) >= MIN_HEIGHT_MM
    )
    if whole >= MIN_HEIGHT_MM and whole * sides[0] * sides[1] >= 0.75 * split:
        return [_cell(x, y, whole, size)]
    return [cell for a, b in parts for cell in _filled(ceiling, a, b, size)]


def _cell(x: tuple[float, float], y: tuple[float, float], height: float, size: Parameters) -> Manifold:
    """Make an upright prism under a roof of 45°, cut off flat where it has become narrow enough to bridge."""
    from manifold3d import Manifold

    narrow = min(x[1] - x[0], y[1] - y[0])
    slope = min(max(0.5 * (narrow - size.bridge_mm), 0.0), height)
    corners = [(a, b, z, s) for a in x for b in y for z, s in ((-1.0, 0.0), (height - slope, 0.0), (height, slope))]
    middle = (0.5 * (x[0] + x[1]), 0.5 * (y[0] + y[1]))
    points = [(a + np.sign(middle[0] - a) * s, b + np.sign(middle[1] - b) * s, z) for a, b, z, s in corners]
    return Manifold.hull_points(np.array(points))

"""What the knife and fluids need: slots, the lengthwise orientation slit, drain holes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import ComouldWarning
from comould.mould.design.layout import Layout
from comould.mould.parameters import Parameters
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import Manifold

OFF_CENTRE = 0.08
"""The orientation slit keeps this share of each cut's width away from its middle, so that it tells left from right."""

DEEP_MM = 12.0
"""An orientation cut deeper than this in any plane is told."""


def slots(layout: Layout, size: Parameters) -> Manifold:
    """Make the gaps for the knife: exactly ``slot_mm`` wide about each cutting plane."""
    from manifold3d import Manifold, OpType

    top = float(layout.high[2]) + 1.0
    boxes = [
        Manifold.cube((size.slot_mm, slot.y[1] - slot.y[0], top - slot.floor_z)).translate(
            (slot.x - 0.5 * size.slot_mm, slot.y[0], slot.floor_z)
        )
        for slot in layout.slots
    ]
    return Manifold.batch_boolean(boxes, OpType.Add)


@dataclass(frozen=True)
class Slit:
    """The lengthwise orientation cut: a shallow notch in the top edge of every slab, always on the same side.

    Parameters
    ----------
    y
        Where the knife goes, mould frame.
    floor_z
        How deep, mould frame.
    depths_mm
        Depth below the tissue's own surface on each cutting plane, in order.
    """

    y: float
    floor_z: float
    depths_mm: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"y_mm": self.y, "floor_z_mm": self.floor_z, "depth_mm_per_plane": list(self.depths_mm)}


def orientation_slit(specimen: FloatArray, layout: Layout, size: Parameters, *, least_z: float = 0.0) -> Slit | None:
    """Place the lengthwise cut so that it shows on every cutting plane and goes no deeper than that needs.

    Parameters
    ----------
    specimen
        ``(m, 3, 3)`` triangles of the specimen, mould frame.
    layout, size
        The slots; ``size.slit_depth_mm`` is the least depth, measured from the tissue's surface on each plane.
    least_z
        Below this height the cut would part a body of the mould.

    Returns
    -------
    Slit or None
        ``None`` when it is not wanted, or when no straight lengthwise cut crosses every plane high enough.

    Warns
    -----
    ComouldWarning
        If there is none, or if it goes deeper than 12 mm somewhere.
    """
    if size.slit_depth_mm <= 0:
        return None
    ranges, tops = zip(*(_top_edge(specimen, slot.x) for slot in layout.slots), strict=True)
    low, high = max(r[0] for r in ranges) + 1.0, min(r[1] for r in ranges) - 1.0
    best: tuple[float, float, float] | None = None
    for y in np.arange(low, high, 0.5) if low < high else ():
        off = min(abs(y - 0.5 * (r[0] + r[1])) - OFF_CENTRE * (r[1] - r[0]) for r in ranges)
        heights = np.array([np.interp(y, *top) for top in tops])
        deepest = float(np.ptp(heights))
        floor = float(heights.min()) - size.slit_depth_mm
        if off >= 0 and floor >= least_z and (best is None or deepest < best[0] - 1e-6):
            best = deepest, float(y), floor
    if best is None:
        warnings.warn(
            "orientation slit: no straight lengthwise cut beside the middle crosses every plane; the mould has none. "
            "Mark the slabs with ink",
            ComouldWarning,
            stacklevel=5,
        )
        return None
    _, y, floor = best
    depths = tuple(float(np.interp(y, *top)) - floor for top in tops)
    if max(depths) > DEEP_MM:
        warnings.warn(
            f"orientation slit: {size.slit_depth_mm:g} mm deep in the lowest slab means {max(depths):.0f} mm in the "
            "highest; set slit_depth_mm=0 to leave it out",
            ComouldWarning,
            stacklevel=5,
        )
    return Slit(y, floor, depths)


def _top_edge(triangles: FloatArray, x: float) -> tuple[tuple[float, float], tuple[FloatArray, FloatArray]]:
    """Cut the surface at x: the range of y, and the upper edge as y and z on a 0.5 mm lattice."""
    side = triangles[:, :, 0] >= x
    crossed = triangles[side.any(axis=1) & ~side.all(axis=1)]
    points = []
    for a, b in ((0, 1), (1, 2), (2, 0)):
        one, other = crossed[:, a], crossed[:, b]
        through = (one[:, 0] >= x) != (other[:, 0] >= x)
        share = (x - one[through, 0]) / (other[through, 0] - one[through, 0])
        points.append(one[through, 1:] + share[:, None] * (other[through, 1:] - one[through, 1:]))
    yz = np.concatenate(points)
    if not len(yz):
        return (np.inf, -np.inf), (np.zeros(1), np.zeros(1))
    low, high = float(yz[:, 0].min()), float(yz[:, 0].max())
    bins = np.round((yz[:, 0] - low) / 0.5).astype(np.intp)
    top = np.full(bins.max() + 1, -np.inf)
    np.maximum.at(top, bins, yz[:, 1])
    known = np.flatnonzero(np.isfinite(top))
    return (low, high), (np.asarray(low + 0.5 * known, dtype=np.float64), top[known])


def slit_solid(slit: Slit, layout: Layout, size: Parameters) -> Manifold:
    """Make the gap of the orientation slit, through both end walls."""
    from manifold3d import Manifold

    length = float(layout.high[0] - layout.low[0]) + 2 * size.flange_mm + 10.0
    height = float(layout.high[2]) + 1.0 - slit.floor_z
    box = Manifold.cube((length, size.slot_mm, height))
    return box.translate((float(layout.low[0]) - size.flange_mm - 5.0, slit.y - 0.5 * size.slot_mm, slit.floor_z))


def drains(layout: Layout, size: Parameters) -> Manifold | None:
    """Make drain holes from the floors of the slots through the base; ``None`` when not wanted.

    Every slot gets one, at the middle of its length: fluid in the cavity runs into the slots, whose floors are the
    lowest places.
    """
    from manifold3d import Manifold, OpType

    if size.drain_mm <= 0:
        return None
    holes = [
        Manifold.cylinder(slot.floor_z + 0.2 + 1.0, 0.5 * size.drain_mm, circular_segments=24).translate(
            (slot.x, 0.5 * (slot.y[0] + slot.y[1]), -1.0)
        )
        for slot in layout.slots
    ]
    return Manifold.batch_boolean(holes, OpType.Add)

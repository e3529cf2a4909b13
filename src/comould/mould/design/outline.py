"""The shape of a mould seen from above: convex, with a straight part on each side for its letter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from comould.mould.parameters import Parameters
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import CrossSection

WALLS = ("-x", "+x", "-y", "+y")

ID_LENGTH_MM = 26.0
"""Straight edge that the mould's name needs."""


@dataclass(frozen=True, eq=False)
class Outline:
    """A convex outline.

    Parameters
    ----------
    points
        ``(k, 2)`` corners, counter-clockwise.
    flats
        Ends of the straight part of each wall (``"-x"``, ``"+y"``, …) along the wall.
    """

    points: FloatArray
    flats: Mapping[str, tuple[float, float]]

    @property
    def low(self) -> FloatArray:
        """Lower corner ``(2,)``."""
        return self.points.min(axis=0)

    @property
    def high(self) -> FloatArray:
        """Upper corner ``(2,)``."""
        return self.points.max(axis=0)

    def moved(self, shift: FloatArray) -> Outline:
        """Move it by ``(2,)``."""
        flats = {wall: (a + shift[s], b + shift[s]) for wall, (a, b) in self.flats.items() for s in (_along(wall),)}
        return Outline(self.points + shift, flats)

    def section(self, wider: float = 0.0) -> CrossSection:
        """Draw it, ``wider`` all round."""
        from manifold3d import CrossSection, JoinType

        drawn = CrossSection([self.points])
        return drawn.offset(wider, JoinType.Miter, miter_limit=2.0) if wider else drawn

    def shrunk(self, by_mm: float) -> Outline:
        """Make it smaller all round."""
        return Outline(np.asarray(self.section(-by_mm).to_polygons()[0], dtype=np.float64), self.flats)

    def within(self, x: tuple[float, float], y: tuple[float, float]) -> FloatArray:
        """Corners ``(k, 2)`` of the part inside a rectangle."""
        points = self.points
        for axis, sign, limit in ((0, 1.0, x[0]), (0, -1.0, -x[1]), (1, 1.0, y[0]), (1, -1.0, -y[1])):
            side = sign * points[:, axis] - limit
            kept = []
            for n in range(len(points)):
                m = (n + 1) % len(points)
                if side[n] >= 0:
                    kept.append(points[n])
                if (side[n] >= 0) != (side[m] >= 0):
                    share = side[n] / (side[n] - side[m])
                    kept.append(points[n] + share * (points[m] - points[n]))
            points = np.array(kept).reshape(-1, 2)
        return points

    def towards(self, direction: tuple[float, float]) -> FloatArray:
        """Find the point ``(2,)`` of the outline that lies farthest in a direction."""
        return self.points[int(np.argmax(self.points @ np.array(direction)))]


def around(needed: FloatArray, size: Parameters) -> Outline:
    """Draw the outline round points ``(n, 2)`` it must hold.

    A trimmed outline is their hull, with a straight part on each side; the other kind is a rectangle, one corner of
    which is cut off as the key.
    """
    low, high = needed.min(axis=0), needed.max(axis=0)
    if size.outline == "block":
        return _rectangle(low, high, needed, size)
    span = high - low
    flat = np.minimum(np.maximum(0.25 * span, (ID_LENGTH_MM, 1.4 * size.letter_mm)), span)
    flats, corners = {}, [needed]
    for wall in WALLS:
        along, across = _along(wall), 1 - _along(wall)
        edge = (high if wall[0] == "+" else low)[across]
        near = needed[np.abs(needed[:, across] - edge) < 1.0]
        middle = np.clip(
            0.5 * (near[:, along].min() + near[:, along].max()), low[along] + 0.5 * flat[along],
            high[along] - 0.5 * flat[along],
        )  # fmt: skip
        ends = (float(middle - 0.5 * flat[along]), float(middle + 0.5 * flat[along]))
        flats[wall] = ends
        corners.append(np.array([(end, edge) if along == 0 else (edge, end) for end in ends]))
    return Outline(_hull(np.concatenate(corners)), flats)


def _rectangle(low: FloatArray, high: FloatArray, needed: FloatArray, size: Parameters) -> Outline:
    (x0, y0), (x1, y1), c = low, high, size.chamfer_mm
    # The key's leg: as long as what must be held leaves room for.
    k = float(np.clip((needed @ (1.0, -1.0)).min() - (x0 - y1), c, size.key_mm))
    points = [
        (x0, y0 + c), (x0 + c, y0), (x1 - c, y0), (x1, y0 + c), (x1, y1 - c), (x1 - c, y1), (x0 + k, y1), (x0, y1 - k),
    ]  # fmt: skip
    flats = {"-x": (y0 + c, y1 - k), "+x": (y0 + c, y1 - c), "-y": (x0 + c, x1 - c), "+y": (x0 + k, x1 - c)}
    return Outline(np.array(points), {wall: (float(a), float(b)) for wall, (a, b) in flats.items()})


def _hull(points: FloatArray) -> FloatArray:
    from scipy.spatial import ConvexHull

    return points[ConvexHull(points).vertices]


def _along(wall: str) -> int:
    """Axis a wall runs along."""
    return 1 if wall[1] == "x" else 0

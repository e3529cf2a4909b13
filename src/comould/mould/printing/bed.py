"""Does a part fit on a print bed, in whichever rotation about z fits best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comould.space import FloatArray

_STEP_DEG = 0.5


@dataclass(frozen=True)
class BedFit:
    """How a part lies on a bed.

    Parameters
    ----------
    bed_mm
        Bed along x, y and the height above it.
    rotation_deg
        Turn about z (counter-clockwise from above) in which it lies best; 0 when it fits as it is.
    footprint_mm
        Its x, y and z then.
    margin_mm
        Room left at the tightest side; negative by how much it is too large.
    """

    bed_mm: tuple[float, float, float]
    rotation_deg: float
    footprint_mm: tuple[float, float, float]
    margin_mm: float

    @property
    def fits(self) -> bool:
        """Whether it fits in this rotation."""
        return self.margin_mm >= 0.0


def fit_on_bed(vertices: FloatArray, bed_mm: tuple[float, float, float]) -> BedFit:
    """Find the rotation about z in which a part fits a bed best.

    Parameters
    ----------
    vertices
        ``(n, 3)``, mm.
    bed_mm
        Bed along x, y, and height.

    Returns
    -------
    BedFit
        Every direction of a side of the hull is tried, and every half degree: the room left is exact at the former
        and within ``size × 0.004`` at the latter.
    """
    corners = _hull(vertices[:, :2])
    height = float(np.ptp(vertices[:, 2]))
    edges = np.diff(corners, axis=0, append=corners[:1])
    angles = np.concatenate([[0.0], np.arctan2(edges[:, 1], edges[:, 0]), np.deg2rad(np.arange(0, 90, _STEP_DEG))])
    turns = np.mod(-np.concatenate([angles, angles + 0.5 * np.pi]), np.pi)
    turns[0] = 0.0
    along = np.stack([np.cos(turns), -np.sin(turns)], axis=1)
    across = np.stack([np.sin(turns), np.cos(turns)], axis=1)
    x, y = np.ptp(corners @ along.T, axis=0), np.ptp(corners @ across.T, axis=0)
    room = np.minimum(np.minimum(bed_mm[0] - x, bed_mm[1] - y), bed_mm[2] - height)
    flat_room = np.minimum(bed_mm[0] - x, bed_mm[1] - y)
    best = 0 if flat_room[0] >= 0 else int(np.argmax(flat_room))
    return BedFit(
        (float(bed_mm[0]), float(bed_mm[1]), float(bed_mm[2])),
        float(np.rad2deg(turns[best])),
        (float(x[best]), float(y[best]), height),
        float(room[best]),
    )


def _hull(points: FloatArray) -> FloatArray:
    """Corners of the convex hull in order; the points themselves when they lie on a line."""
    from scipy.spatial import ConvexHull, QhullError

    # The hull's corners are the outermost points in some direction: leave out what lies well inside.
    angles = np.deg2rad(np.arange(0.0, 360.0, 15.0))
    ring = points[np.unique([int(np.argmax(points @ (np.cos(a), np.sin(a)))) for a in angles])]
    try:
        edges = ConvexHull(ring).equations
        outside = np.zeros(len(points), dtype=bool)
        for nx, ny, offset in edges:
            outside |= points[:, 0] * nx + points[:, 1] * ny + offset >= -1e-9
        points = points[outside]
        return points[ConvexHull(points).vertices]
    except QhullError:
        return points

"""How the specimen lies in the mould: cuts across x, insertion from above along z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comould.errors import InputError
from comould.mould.lesion import Lesion
from comould.mould.planes import View, check_direction
from comould.space import DIRECTIONS, FloatArray

ANGLES_DEG = tuple(float(angle) for angle in range(0, 360, 15))
"""In-plane insertion angles tried, clockwise from the top of the picture as the view shows it."""

TIE_FRACTION = 0.01
"""Angles whose undercut differs by less than this share of the specimen count as equal."""


@dataclass(frozen=True)
class Undercut:
    """What one insertion angle costs.

    Parameters
    ----------
    angle_deg
        Clockwise from the picture's top.
    undercut_ml
        Space below the specimen's top that the opening needs beside the tissue: there nothing holds it.
    height_mm
        Height of the specimen.
    """

    angle_deg: float
    undercut_ml: float
    height_mm: float


@dataclass(frozen=True, eq=False)
class Pose:
    """Axes of the mould frame.

    Parameters
    ----------
    rotation
        ``(3, 3)`` ``mould_from_patient``: rows are the patient directions of mould x, y, z; determinant +1.
    angle_deg
        Insertion angle.
    undercut_ml
        Estimate at that angle, see :class:`Undercut`.
    tried
        Every angle looked at.
    """

    rotation: FloatArray
    angle_deg: float
    undercut_ml: float
    tried: tuple[Undercut, ...]


def choose_pose(lesion: Lesion, view: View, up: str | float | None = None) -> Pose:
    """Find the insertion direction with the least undercut, or take the one asked for.

    Parameters
    ----------
    lesion
        What goes in.
    view
        Directions of the cut; z is always perpendicular to the normal.
    up
        ``None`` searches; ``"anterior"`` and the like fix the patient direction that faces up; a number is the angle in
        degrees, clockwise from the top of the picture.

    Returns
    -------
    Pose
        Ties within 1 % of the specimen's volume go to the lowest lie (it rests most stably), then to the smallest
        angle.

    Raises
    ------
    InputError
        If ``up`` is neither a direction nor a number, or runs along the normal.
    """
    points, cell = _coarse_points(lesion, view)
    fixed = _fixed_angle(view, up)
    tried = tuple(_undercut(points, cell, angle) for angle in (ANGLES_DEG if fixed is None else (fixed,)))
    least = min(option.undercut_ml for option in tried)
    ties = [option for option in tried if option.undercut_ml <= least + TIE_FRACTION * lesion.volume_ml]
    best = min(ties, key=lambda option: (round(option.height_mm), option.angle_deg))
    z = up_direction(view, best.angle_deg)
    rotation = np.array([view.normal, np.cross(z, view.normal), z])
    return Pose(rotation, best.angle_deg, best.undercut_ml, tried)


def up_direction(view: View, angle_deg: float) -> FloatArray:
    """Patient direction that faces up at an insertion angle."""
    angle = np.radians(angle_deg)
    return np.sin(angle) * view.u - np.cos(angle) * view.v


def _fixed_angle(view: View, up: str | float | None) -> float | None:
    if up is None or (isinstance(up, str) and up.strip().lower() in {"", "auto"}):
        return None
    if isinstance(up, str) and up.strip().lower() in DIRECTIONS:
        inside = check_direction(view, np.array(DIRECTIONS[up.strip().lower()]), f"up={up!r}")
        return float(np.degrees(np.arctan2(inside @ view.u, -(inside @ view.v))) % 360.0)
    try:
        angle = float(up)
    except ValueError:
        angle = np.nan
    if not np.isfinite(angle):
        raise InputError(
            subject=f"up={up!r}", expected=f"auto, an angle in degrees, or one of {', '.join(DIRECTIONS)}", found="neither"
        )
    return angle % 360.0


def _coarse_points(lesion: Lesion, view: View) -> tuple[FloatArray, float]:
    """Sample the lesion evenly: ``(n, 3)`` points along normal, u, v, and their pitch in mm."""
    mask, matrix = lesion.crop((1, 1, 1))
    corners = np.array([[(n >> a) & 1 for a in range(3)] for n in range(8)]) * (np.array(mask.shape[::-1]) - 1)
    basis = np.array([view.normal, view.u, view.v])
    box = (corners @ matrix[:3, :3].T + matrix[:3, 3]) @ basis.T
    cell = float(np.clip((lesion.volume_ml * 1000.0) ** (1 / 3) / 30.0, 0.2, 4.0))
    axes = [np.arange(lo, hi + cell, cell) for lo, hi in zip(box.min(axis=0), box.max(axis=0), strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    index = np.rint((points @ basis - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T).astype(np.intp)
    valid = np.all((index >= 0) & (index < np.array(mask.shape[::-1])), axis=1)
    points, index = points[valid], index[valid]
    return points[mask[index[:, 2], index[:, 1], index[:, 0]]], cell


def _undercut(points: FloatArray, cell: float, angle_deg: float) -> Undercut:
    angle = np.radians(angle_deg)
    z = np.sin(angle) * points[:, 1] - np.cos(angle) * points[:, 2]
    y = np.cos(angle) * points[:, 1] + np.sin(angle) * points[:, 2]
    # Columns as wide as the sampling's diagonal are never empty between two filled ones, whatever the angle.
    width = cell * np.sqrt(2.0)
    column = np.rint((y - y.min()) / width).astype(np.intp)
    row = np.rint((points[:, 0] - points[:, 0].min()) / cell).astype(np.intp)
    lowest = np.full((row.max() + 1, column.max() + 1), np.inf)
    np.minimum.at(lowest, (row, column), z)
    top = float(z.max())
    swept = float(np.sum(top - lowest[np.isfinite(lowest)] + cell)) * cell * width
    return Undercut(angle_deg, max(swept - len(points) * cell**3, 0.0) / 1000.0, top - float(z.min()) + cell)

"""How the specimen lies in the mould: cuts across x, insertion from above along z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from comould.errors import InputError
from comould.mould.lesion import Lesion
from comould.mould.planes import View, check_direction
from comould.mould.surface import DistanceField, distance_field
from comould.space import DIRECTIONS, FloatArray

ANGLES_DEG = tuple(float(angle) for angle in range(0, 360, 15))
"""In-plane insertion angles tried, clockwise from the top of the picture as the view shows it."""

TIE_FRACTION = 0.02
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
        Ties within 2 % of the specimen's volume go to the lowest lie (it rests most stably), then to the smallest
        angle.

    Raises
    ------
    InputError
        If ``up`` is neither a direction nor a number, or runs along the normal.
    """
    coarse = _coarse_field(lesion, view)
    fixed = _fixed_angle(view, up)
    tried = tuple(_undercut(coarse, angle) for angle in (ANGLES_DEG if fixed is None else (fixed,)))
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
            subject=f"up={up!r}",
            expected=f"auto, an angle in degrees, or one of {', '.join(DIRECTIONS)}",
            found="neither",
        )
    return angle % 360.0


def _coarse_field(lesion: Lesion, view: View) -> DistanceField:
    """Make a coarse distance field along normal, y and z of insertion angle 0."""
    z = up_direction(view, 0.0)
    step = float(np.clip((lesion.volume_ml * 1000.0) ** (1 / 3) / 25.0, 0.2, 4.0))
    rotation = np.array([view.normal, np.cross(z, view.normal), z])
    return distance_field(lesion, rotation, step_mm=step, margin_mm=2.0 * step, above_mm=0.0)


def _undercut(coarse: DistanceField, angle_deg: float) -> Undercut:
    """Turn the field about the normal and open it upwards."""
    angle = np.radians(angle_deg)
    # At angle 0 mould y is −u, so a turn of z from −v towards u is one from z away from y.
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    before = np.array(coarse.values.shape)
    side = int(np.ceil(np.hypot(before[0], before[1])))
    after = np.array([side, side, before[2]])
    offset = 0.5 * (before - 1) - turn @ (0.5 * (after - 1))
    values = ndi.affine_transform(coarse.values, turn, offset, output_shape=tuple(after), order=1, mode="nearest")
    turned = DistanceField(values, np.zeros(3), coarse.step_mm)
    bottom, top = _crossings(values.min(axis=(1, 2)))
    opened = turned.swept_up().volume_ml(0.0, top * coarse.step_mm) - turned.volume_ml()
    return Undercut(angle_deg, max(opened, 0.0), (top - bottom) * coarse.step_mm)


def _crossings(least: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Fractional layers between which the least value per layer is negative."""
    inside = np.flatnonzero(least < 0)
    ends = []
    for last, beyond in ((inside[0], inside[0] - 1), (inside[-1], inside[-1] + 1)):
        share = float(least[last] / (least[last] - least[beyond])) if 0 <= beyond < len(least) else 0.0
        ends.append(last + share * (beyond - last))
    return float(ends[0]), float(ends[1])

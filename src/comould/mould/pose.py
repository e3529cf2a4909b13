"""How the specimen lies in the mould: cuts across x, insertion from above along z."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from comould.errors import ComouldWarning, InputError
from comould.mould.lesion import Lesion
from comould.mould.parameters import Parameters
from comould.mould.planes import View, check_direction
from comould.mould.pose_score import Seat, Turntable, both_ways
from comould.mould.pose_turns import turned_dice, turned_room
from comould.mould.surface import DistanceField, distance_field
from comould.space import DIRECTIONS, FloatArray, Grid

ANGLES_DEG = tuple(float(angle) for angle in range(0, 360, 15))
"""In-plane insertion angles tried, clockwise from the top of the picture as the view shows it."""

WEIGHTS = {"loose": 1.0, "undercut": 2.0, "plastic": 0.5, "slender": 10.0, "turned": 100.0}
"""Points per percent loose, per percent undercut, per percent of plastic above the thriftiest angle, per unit of height
over the root of the support area, and per unit of Dice beyond :data:`NEARLY_TURNED`."""

NEARLY_TURNED = 0.90
"""Overlap with itself after half a turn that begins to cost."""

SEATS_TURNED = 0.95
"""Overlap from which a specimen is said to seat turned: what still differs is less than a soft specimen gives way."""

TAKEN_TURNED = 0.98
"""Share of the turned specimen the cavity has room for from which it is said to be taken, though it fits badly."""

THINNED_SHARE = 0.02
"""Largest change of volume that joining fine voxels may make."""

TIE_POINTS, TIE_MM = 1.0, 0.5
"""Costs and heights nearer than this to the least count as equal: far above rounding, below what matters."""

COST_FORMULA = (
    f"cost = {WEIGHTS['loose']:g} × loose_percent + {WEIGHTS['undercut']:g} × undercut_percent "
    f"+ {WEIGHTS['plastic']:g} × (plastic above the least of all angles, %) "
    f"+ {WEIGHTS['slender']:g} × height / √support "
    f"+ {WEIGHTS['turned']:g} × (greatest Dice after half a turn − {NEARLY_TURNED:g}, if positive)"
)
TIE_RULE = (
    f"angles within {TIE_POINTS:g} point of the least cost are equal; of these the ones within {TIE_MM:g} mm of the "
    "lowest; of these the smallest angle"
)

DEFINITIONS = {
    "undercut": "pockets with tissue straight above and straight below: no mould filled from above can hold them",
    "deepest_undercut": "greatest horizontal distance from a point of a pocket to the open",
    "loose": "space below the specimen's highest point where the cavity stands off the tissue, undercut included",
    "support": "horizontal projection of what rests on mould material facing up; slots not taken off",
    "footprint": "extent on the printer's bed along mould x (across the slots) and y (along them)",
    "plastic": "estimate for a plain open block, neither trimmed nor hollowed",
    "turned_dice": "specimen against itself after half a turn about mould x, y, z, best over small shifts",
    "asymmetry": "1 - the greatest of these",
}

_HOW = {
    "x": "upside down with its slabs in the same order",
    "y": "upside down and end for end",
    "z": "end for end with the same side up",
}


@dataclass(frozen=True, eq=False)
class Pose:
    """Axes of the mould frame, and what every way to lie would cost.

    Parameters
    ----------
    rotation
        ``(3, 3)`` ``mould_from_patient``: rows are the patient directions of mould x, y, z; determinant +1.
    angle_deg
        Insertion angle.
    undercut_ml
        Estimate at that angle, see :class:`~comould.mould.pose_score.Seat`.
    tried
        Every angle looked at, in order.
    room
        Share of the specimen, put in after half a turn about mould x, y and z, that the cavity has room for.
    fixed
        Whether the angle was asked for.
    step_mm
        Spacing of the field all this was measured on.
    """

    rotation: FloatArray
    angle_deg: float
    undercut_ml: float
    tried: tuple[Seat, ...]
    room: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fixed: bool = False
    step_mm: float = float("nan")

    @property
    def seat(self) -> Seat:
        """What is known of the chosen angle."""
        return next(seat for seat in self.tried if seat.angle_deg == self.angle_deg)

    @property
    def half_turns(self) -> dict[str, str]:
        """What comes of half a turn about mould x, y, z: it ``seats``, is ``taken`` (loosely) or ``refused``."""
        found = {}
        for axis, dice, room in zip("xyz", self.seat.turned, self.room, strict=True):
            found[axis] = "seats" if dice >= SEATS_TURNED else "taken" if room >= TAKEN_TURNED else "refused"
        return found

    @property
    def verdict(self) -> str:
        """Whether the mould tells a turned specimen from a right one, in words."""
        turned = dict(zip("xyz", zip(self.seat.turned, self.room, strict=True), strict=True))
        seats = [f"{_HOW[a]} (Dice {turned[a][0]:.3f})" for a, how in self.half_turns.items() if how == "seats"]
        taken = [f"{_HOW[a]} ({turned[a][1]:.1%} has room)" for a, how in self.half_turns.items() if how == "taken"]
        parts = []
        if seats:
            parts.append(f"the specimen would also seat {', or '.join(seats)}; limit Dice {SEATS_TURNED:g}")
        if taken:
            parts.append(f"the cavity would also take it, loosely, {', or '.join(taken)}; limit {TAKEN_TURNED:.0%}")
        return "; ".join(parts) or (
            f"the fit shows a specimen put in turned: greatest Dice after half a turn {max(self.seat.turned):.3f} "
            f"(limit {SEATS_TURNED:g}), greatest share with room {max(self.room):.1%} (limit {TAKEN_TURNED:.0%})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the manifest's ``pose``."""
        seat = self.seat
        return {
            **seat.to_dict(),
            "chosen_by": "the angle or direction asked for" if self.fixed else "least cost",
            "cost_formula": COST_FORMULA,
            "tie_rule": TIE_RULE,
            "definitions": DEFINITIONS,
            "half_turns": {
                "limit_dice": SEATS_TURNED,
                "limit_room_share": TAKEN_TURNED,
                "about": {
                    axis: {"put_in": _HOW[axis], "dice": dice, "room_share": room, "result": self.half_turns[axis]}
                    for axis, dice, room in zip("xyz", seat.turned, self.room, strict=True)
                },
                "verdict": self.verdict,
            },
            "grid_step_mm": self.step_mm,
            "tried": [option.to_dict() for option in self.tried],
        }


def choose_pose(lesion: Lesion, view: View, up: str | float | None = None, size: Parameters | None = None) -> Pose:
    """Find the insertion direction that costs least, or take the one asked for.

    Parameters
    ----------
    lesion
        What goes in.
    view
        Directions of the cut; z is always perpendicular to the normal.
    up
        ``None`` searches; ``"anterior"`` and the like fix the patient direction that faces up; a number is the angle in
        degrees, clockwise from the top of the picture.
    size
        Lengths of the mould, for footprint and plastic; the defaults when left out.

    Returns
    -------
    Pose
        With every angle of :data:`ANGLES_DEG`, also when one was asked for.

    Raises
    ------
    InputError
        If ``up`` is neither a direction nor a number, or runs along the normal.

    Warns
    -----
    ComouldWarning
        If the specimen would also seat turned by 180°, or the cavity would take it so.

    Notes
    -----
    The cost is :data:`COST_FORMULA`, in points of about one percent of the specimen; ties are broken by
    :data:`TIE_RULE`. All is measured on a field of some 25 samples across the specimen: enough to compare angles, not
    to report the finished mould's volumes.
    """
    fixed = _fixed_angle(view, up)
    table = Turntable(_coarse_field(lesion, view))
    angles = ANGLES_DEG if fixed is None or fixed in ANGLES_DEG else tuple(sorted((*ANGLES_DEG, fixed)))
    tried = with_costs(_measured(table, angles, view, lesion.volume_ml, size or Parameters.model_validate({})))
    best = least_cost(tried) if fixed is None else next(seat for seat in tried if seat.angle_deg == fixed)
    z = up_direction(view, best.angle_deg)
    rotation = np.array([view.normal, np.cross(z, view.normal), z])
    room = _room(table, best.angle_deg)
    pose = Pose(rotation, best.angle_deg, best.undercut_ml, tried, room, fixed is not None, table.step_mm)
    if set(pose.half_turns.values()) != {"refused"}:
        warnings.warn(_warning(pose, table), ComouldWarning, stacklevel=2)
    return pose


def up_direction(view: View, angle_deg: float) -> FloatArray:
    """Patient direction that faces up at an insertion angle."""
    angle = np.radians(angle_deg)
    return np.sin(angle) * view.u - np.cos(angle) * view.v


def with_costs(seats: tuple[Seat, ...]) -> tuple[Seat, ...]:
    """Fill in every seat's cost, see :data:`COST_FORMULA`."""
    thriftiest = min(seat.plastic_ml for seat in seats if seat.angle_deg in ANGLES_DEG)
    costed = []
    for seat in seats:
        cost = WEIGHTS["loose"] * seat.loose_percent + WEIGHTS["undercut"] * seat.undercut_percent
        cost += WEIGHTS["plastic"] * 100.0 * (seat.plastic_ml / thriftiest - 1.0)
        cost += WEIGHTS["slender"] * seat.height_mm / (10.0 * np.sqrt(seat.support_cm2))
        cost += WEIGHTS["turned"] * max(max(seat.turned) - NEARLY_TURNED, 0.0)
        costed.append(replace(seat, cost=float(cost)))
    return tuple(costed)


def least_cost(seats: tuple[Seat, ...]) -> Seat:
    """Pick the seat that costs least; ties as :data:`TIE_RULE` says."""
    least = min(seat.cost for seat in seats)
    ties = [seat for seat in seats if seat.cost <= least + TIE_POINTS]
    lowest = min(seat.height_mm for seat in ties)
    return min((seat for seat in ties if seat.height_mm <= lowest + TIE_MM), key=lambda seat: seat.angle_deg)


def _measured(
    table: Turntable, angles: tuple[float, ...], view: View, specimen_ml: float, size: Parameters
) -> tuple[Seat, ...]:
    """Measure every angle; angles half a turn apart share one turned field, and quarter turns their overlaps."""
    lies = {half: table.lie(half) for half in sorted({angle % 180.0 for angle in angles})}
    about_z = {half: turned_dice(lie, "z") for half, lie in lies.items()}
    # About the normal it is the same half turn at every angle.
    about_x = turned_dice(next(iter(lies.values())), "x")
    seats: dict[float, Seat] = {}
    for half, lie in lies.items():
        ups = (up_direction(view, half), up_direction(view, half + 180.0))
        quarter_on = (half + 90.0) % 180.0
        about_y = about_z[quarter_on] if quarter_on in lies else turned_dice(lie, "y")
        for seat in both_ways(lie, half, ups, specimen_ml, size):
            seats[seat.angle_deg] = replace(seat, turned=(about_x, about_y, about_z[half]))
    return tuple(seats[angle] for angle in angles)


def _room(table: Turntable, angle_deg: float) -> tuple[float, float, float]:
    lie = table.lie(angle_deg)
    return turned_room(lie, "x"), turned_room(lie, "y"), turned_room(lie, "z")


def _warning(pose: Pose, table: Turntable) -> str:
    """Say what would seat turned, and what helps."""
    remedy = "Ink its sides before it is laid in, and check the first cut face against the image"
    for seat in sorted(pose.tried, key=lambda seat: (seat.cost, seat.angle_deg)):
        if max(seat.turned) < SEATS_TURNED and max(_room(table, seat.angle_deg)) < TAKEN_TURNED:
            remedy += (
                f"; or choose up={seat.angle_deg:g}, where the fit shows it (cost {seat.cost:.0f} instead of "
                f"{pose.seat.cost:.0f} points)"
            )
            break
    return f"pose: {pose.verdict}. {remedy}"


def _fixed_angle(view: View, up: str | float | None) -> float | None:
    if up is None or (isinstance(up, str) and up.strip().lower() in {"", "auto"}):
        return None
    if isinstance(up, str) and up.strip().lower() in DIRECTIONS:
        inside = check_direction(view, np.array(DIRECTIONS[up.strip().lower()]), f"up={up!r}")
        angle = float(np.degrees(np.arctan2(inside @ view.u, -(inside @ view.v))))
    else:
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
    # Free of rounding noise, so that a right angle is one of those tried and not a hair beside it.
    return round(angle, 6) % 360.0


def _coarse_field(lesion: Lesion, view: View) -> DistanceField:
    """Make a coarse distance field along normal, y and z of insertion angle 0."""
    z = up_direction(view, 0.0)
    step = float(np.clip((lesion.volume_ml * 1000.0) ** (1 / 3) / 25.0, 0.2, 4.0))
    # Smoothing may let few, thick voxels bulge by part of their own size.
    margin = 2.0 * step + 0.5 * max(lesion.grid.spacing_mm)
    rotation = np.array([view.normal, np.cross(z, view.normal), z])
    return distance_field(_thinned(lesion, step), rotation, step_mm=step, margin_mm=margin, above_mm=0.0)


def _thinned(lesion: Lesion, step_mm: float) -> Lesion:
    """Join voxels finer than half the field's step into blocks, full or empty by majority."""
    grid = lesion.grid
    times = np.maximum(np.array(step_mm / (2.0 * np.array(grid.spacing_mm)) + 1e-6, dtype=int), 1)
    if times.max() == 1:
        return lesion
    (z, y, x), (deep, wide, long) = times[::-1].tolist(), lesion.mask.shape
    mask = np.pad(lesion.mask, ((0, -deep % z), (0, -wide % y), (0, -long % x)))
    blocks = mask.reshape(mask.shape[0] // z, z, mask.shape[1] // y, y, mask.shape[2] // x, x)
    count = blocks.sum(axis=5, dtype=np.uint16).sum(axis=3).sum(axis=1)
    corner = grid.patient_from_index(0.5 * (times - 1.0))[0]
    size = (count.shape[2], count.shape[1], count.shape[0])
    spacing = tuple((times * np.array(grid.spacing_mm)).tolist())
    thinned = Lesion(2 * count >= times.prod(), Grid(size, spacing, tuple(corner.tolist()), grid.direction), 1, 0)
    # Parts as thin as a block may be lost: then every voxel counts.
    return thinned if abs(thinned.volume_ml / lesion.volume_ml - 1.0) <= THINNED_SHARE else lesion

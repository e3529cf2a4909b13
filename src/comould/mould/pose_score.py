"""What it costs to lay a specimen into an open mould one way or another: undercut, support, size, plastic.

A coarse distance field of the specimen is turned about the normal of the cuts. One turned field tells about two seats,
the one it shows and the one upside down: what is swept from below in the one is swept from above in the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from comould.mould.parameters import Parameters
from comould.mould.surface import DistanceField, Field
from comould.space import FloatArray

GAP = 2
"""Empty layers kept round the turned specimen."""

BEYOND_MM = 10.0
"""Distance taken to hold outside the field: more than any clearance."""

TEXT_ROOM_MM = 2.4
"""Solid left on both sides of engraved text together."""


@dataclass(frozen=True)
class Seat:
    """One way to lay the specimen in, and what that costs.

    Parameters
    ----------
    angle_deg
        In-plane angle of the direction that faces up, clockwise from the top of the picture as the view shows it.
    up_patient
        The same as a patient direction.
    undercut_ml, undercut_percent
        Volume of the pockets that have tissue straight above and straight below them, also in percent of the specimen.
        No mould that the specimen is laid into from above can fill them.
    deepest_undercut_mm
        How far such a pocket reaches sideways under its overhang: the greatest horizontal distance from a point of a
        pocket to the open, as a dental surveyor's undercut gauge would measure it.
    loose_ml, loose_percent
        Space below the specimen's highest point where the cavity stands off the tissue (pockets included): nothing
        holds the specimen there, since nothing may lie above tissue.
    support_cm2
        Horizontal projection of the surface that rests on mould material facing up: the specimen's weight over this
        area is the mean pressure on it. Slots are not taken off.
    height_mm
        Height of the specimen.
    footprint_mm
        Extent on the printer's bed across (x, along the normal) and along the slots (y).
    plastic_ml
        Estimate for a plain open block, see :func:`open_block`.
    turned
        Dice of the specimen with itself after half a turn about mould x (the normal: upside down, the first slab stays
        first), y (upside down and end for end) and z (end for end, the same side up), best over small shifts.
    cost
        See :data:`~comould.mould.pose.COST_FORMULA`; NaN until all angles are compared.
    """

    angle_deg: float
    up_patient: tuple[float, float, float]
    undercut_ml: float
    undercut_percent: float
    deepest_undercut_mm: float
    loose_ml: float
    loose_percent: float
    support_cm2: float
    height_mm: float
    footprint_mm: tuple[float, float]
    plastic_ml: float
    turned: tuple[float, float, float] = (0.0, 0.0, 0.0)
    cost: float = float("nan")

    @property
    def footprint_cm2(self) -> float:
        """Area taken on the printer's bed."""
        return self.footprint_mm[0] * self.footprint_mm[1] / 100.0

    @property
    def asymmetry(self) -> float:
        """How clearly the shape shows a wrong seat: 0 if some half turn changes nothing, up to 1."""
        return 1.0 - max(self.turned)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = asdict(self) | {"footprint_cm2": self.footprint_cm2, "asymmetry": self.asymmetry}
        plain["turned_dice"] = dict(zip("xyz", plain.pop("turned"), strict=True))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


@dataclass(frozen=True, eq=False)
class Lie:
    """The specimen turned to one angle: distances ``(z, y, x)`` along the mould axes, its centroid in the middle.

    Parameters
    ----------
    values
        Signed distance in mm, negative inside; every axis has an odd number of samples.
    step_mm
        Their spacing.
    """

    values: Field
    step_mm: float


class Turntable:
    """Turns a coarse field about the normal of the cuts.

    Samples lie at whole steps from the specimen's centroid, so that neither an empty layer more or less nor the order
    in which the image was stored can move them.

    Parameters
    ----------
    coarse
        Along normal, y and z of insertion angle 0.
    """

    def __init__(self, coarse: DistanceField) -> None:
        self.step_mm = coarse.step_mm
        # Whatever lies beyond the field is carried on from its border: that must be far outside.
        values = np.pad(coarse.values, 1, constant_values=np.float32(10.0 * coarse.step_mm + BEYOND_MM))
        weight = occupied(values, coarse.step_mm)
        total = float(weight.sum(dtype=np.float64))
        middle = np.array(
            [
                float(np.arange(n) @ weight.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.float64)) / total
                for axis, n in enumerate(weight.shape)
            ]
        )
        inside = np.argwhere(weight > 0) - middle
        self._reach = int(np.ceil(np.hypot(inside[:, 0], inside[:, 1]).max() - 1e-3)) + GAP
        side = int(np.ceil(np.abs(inside[:, 2]).max() - 1e-3)) + GAP
        at, share = _between(middle[2] + np.arange(-side, side + 1), values.shape[2])
        self._values = values[:, :, at] * (1 - share) + values[:, :, at + 1] * share
        self._middle = middle[:2]

    def lie(self, angle_deg: float) -> Lie:
        """Turn the specimen so that the direction at an angle faces up."""
        angle = np.radians(angle_deg)
        z, y = np.meshgrid(*[np.arange(-self._reach, self._reach + 1)] * 2, indexing="ij")
        # At angle 0 mould y is −u, so a turn of z from −v towards u is one from z away from y.
        z, y = np.cos(angle) * z + np.sin(angle) * y, -np.sin(angle) * z + np.cos(angle) * y
        deep, wide, long = self._values.shape
        (z, share_z), (y, share_y) = _between(z + self._middle[0], deep), _between(y + self._middle[1], wide)
        rows = self._values.reshape(-1, long)
        first = (z * wide + y).ravel()
        low, high = (1 - share_z).ravel()[:, None], share_z.ravel()[:, None]
        left, right = (1 - share_y).ravel()[:, None], share_y.ravel()[:, None]
        turned = (low * left) * rows[first] + (low * right) * rows[first + 1]
        turned += (high * left) * rows[first + wide] + (high * right) * rows[first + wide + 1]
        return Lie(turned.reshape(2 * self._reach + 1, 2 * self._reach + 1, long), self.step_mm)


def _between(at: FloatArray, count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Whole index below each position, and the share of the next one; the ends are carried on outwards."""
    at = np.clip(at, 0.0, count - 1.0)
    first = np.minimum(at.astype(np.intp), count - 2)
    return first, (at - first).astype(np.float32)


def occupied(values: Field, step_mm: float) -> Field:
    """Share of each voxel inside the zero level."""
    return np.clip(np.float32(0.5) - values / np.float32(step_mm), 0.0, 1.0)


def both_ways(
    lie: Lie, angle_deg: float, ups: Sequence[FloatArray], specimen_ml: float, size: Parameters
) -> tuple[Seat, Seat]:
    """Measure the seat at an angle and the one upside down to it.

    Parameters
    ----------
    lie
        The specimen turned to the angle.
    angle_deg
        The angle, and
    ups
        the patient directions that face up at it and at the opposite one.
    specimen_ml
        Volume of the specimen.
    size
        Lengths of the mould.

    Returns
    -------
    tuple
        Without cost and half turns.
    """
    values, step = lie.values, lie.step_mm
    ml, clearance = step**3 / 1000.0, np.float32(size.clearance_mm)
    from_below = np.minimum.accumulate(values, axis=0)
    from_above = np.minimum.accumulate(values[::-1], axis=0)[::-1]
    # A pocket is what both sweeps reach: tissue below it and tissue above it.
    filled = np.maximum(from_below, from_above)
    tissue = float(occupied(values, step).sum(dtype=np.float64)) * ml
    undercut = max(float(occupied(filled, step).sum(dtype=np.float64)) * ml - tissue, 0.0)
    depth = deepest(values, filled, step)
    low, high = crossings(values.min(axis=(1, 2)))
    extent = step * np.array([_span(values.min(axis=(0, 1))), _span(values.min(axis=(0, 2))), high - low])
    shadow = from_below[-1]
    middle = 0.5 * (len(values) - 1)
    seats = []
    for up, swept, top, angle in (
        (ups[0], from_below, high, angle_deg),
        (ups[1], from_above[::-1], 2 * middle - low, (angle_deg + 180.0) % 360.0),
    ):
        opened = float(_layers(occupied(swept, step)) @ _below(len(swept), top)) * ml
        loose = max(opened - tissue, 0.0)
        cavity = float(_layers(occupied(swept - clearance, step)) @ _below(len(swept), top)) * ml
        cavity += float(occupied(shadow - clearance, step).sum(dtype=np.float64)) * step**2 * size.guide_mm / 1000.0
        plastic, across = open_block(extent, cavity, size)
        seats.append(
            Seat(
                angle_deg=angle,
                up_patient=(float(up[0]), float(up[1]), float(up[2])),
                undercut_ml=undercut,
                undercut_percent=100.0 * undercut / specimen_ml,
                deepest_undercut_mm=depth,
                loose_ml=loose,
                loose_percent=100.0 * loose / specimen_ml,
                support_cm2=float(occupied(shadow, step).sum(dtype=np.float64)) * step**2 / 100.0,
                height_mm=float(extent[2]),
                footprint_mm=across,
                plastic_ml=plastic,
            )
        )
    return seats[0], seats[1]


def _layers(share: Field) -> FloatArray:
    return share.sum(axis=(1, 2), dtype=np.float64)


def _below(count: int, top: float) -> FloatArray:
    """Share of each layer that lies below a height in layers."""
    return np.clip(top - np.arange(count) + 0.5, 0.0, 1.0)


def deepest(values: Field, filled: Field, step_mm: float) -> float:
    """Greatest horizontal distance (mm) from inside a pocket to the open.

    Parameters
    ----------
    values
        Distances ``(z, y, x)``, negative in tissue.
    filled
        The same with every pocket filled.
    step_mm
        Their spacing.
    """
    hidden = (filled < 0) & (occupied(filled, step_mm) - occupied(values, step_mm) > 0.25)
    layers = np.flatnonzero(hidden.any(axis=(1, 2)))
    if not layers.size:
        return 0.0
    from scipy.spatial import cKDTree

    inside = filled[layers] < 0
    rim = np.zeros_like(inside)
    for axis in (1, 2):
        rim |= np.roll(inside, 1, axis) | np.roll(inside, -1, axis)
    # Layers far apart: the nearest way out is then always one within the layer.
    apart = np.array([10.0 * max(values.shape), 1.0, 1.0])
    tree = cKDTree(np.argwhere(rim & ~inside) * apart)
    return float(tree.query(np.argwhere(hidden[layers]) * apart)[0].max()) * step_mm


def open_block(extent_mm: FloatArray, cavity_ml: float, size: Parameters) -> tuple[float, tuple[float, float]]:
    """Estimate the plastic of a plain open block and its size on the bed.

    Parameters
    ----------
    extent_mm
        ``(3,)`` of the specimen along the mould axes.
    cavity_ml
        Room taken out for it, clearance and the way in included, up to the block's top.
    size
        Lengths of the mould.

    Returns
    -------
    tuple
        Plastic in ml, and extent along x and y in mm.

    Notes
    -----
    Block = (length along the normal + 2 clearance + wall + strip for the letter on top) × (length along the slots + 2
    overhang + 2 strips for the slice numbers) × (height + guide + slot depth below + base), less the cavity, less as
    many slots as the spacing allows (where they run through the cavity nothing is left to take), plus the foot plate.
    A strip is as wide as the wall or as its text needs. Not in it: the corner cut off, engravings, and whatever
    trimming and hollowing save.
    """
    numbers = max(size.wall_mm, size.digit_mm + 2 * size.stroke_mm + TEXT_ROOM_MM)
    letter = max(size.wall_mm, min(6.0, size.letter_mm) + TEXT_ROOM_MM)
    x = extent_mm[0] + 2 * size.clearance_mm + size.wall_mm + letter
    slot = extent_mm[1] + 2 * size.slot_overhang_mm
    y = slot + 2 * numbers
    deep = extent_mm[2] + size.guide_mm + max(size.slot_below_mm, size.clearance_mm + 0.5)
    count = max(int((extent_mm[0] - 2 * size.min_end_slab_mm) / size.spacing_mm + 1e-6) + 1, 1)
    cut = min(count * size.slot_mm / float(extent_mm[0]), 1.0)
    slots_ml = max(count * size.slot_mm * slot * deep / 1000.0 - cut * cavity_ml, 0.0)
    wide, long = x + 2 * size.flange_mm, y + 2 * size.flange_mm
    foot_ml = (wide * long - x * y) * size.base_mm / 1000.0
    plastic = x * y * (deep + size.base_mm) / 1000.0 - cavity_ml - slots_ml + foot_ml
    return float(plastic), (float(wide), float(long))


def crossings(least: Field) -> tuple[float, float]:
    """Fractional layers between which the least value per layer is negative."""
    # A sheet thinner than the samples lies where they are nearest to it.
    inside = np.flatnonzero(least <= max(float(least.min()), -1e-6))
    ends = []
    for last, beyond in ((inside[0], inside[0] - 1), (inside[-1], inside[-1] + 1)):
        known = 0 <= beyond < len(least) and least[last] < 0 < least[beyond]
        share = float(least[last] / (least[last] - least[beyond])) if known else 0.0
        ends.append(last + share * (beyond - last))
    return float(ends[0]), float(ends[1])


def _span(least: Field) -> float:
    low, high = crossings(least)
    return high - low

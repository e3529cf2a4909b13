"""The block, its slots and its marks: everything round the cavity, in mould axes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import ComouldWarning
from comould.mould import marks
from comould.mould.parameters import Parameters
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import CrossSection, Manifold

_MARGIN_MM = 1.2
"""Solid strip left on each side of engraved text."""


@dataclass(frozen=True)
class Labels:
    """How the slice numbers fit on the frame.

    Parameters
    ----------
    height_mm
        Digit height.
    rotated
        Whether the text runs along the slot instead of across it.
    both_sides
        Odd planes at the front, even ones at the back.
    every
        Number every n-th plane.
    depth_mm
        Strip of frame the text needs beyond the slot's end.
    """

    height_mm: float
    rotated: bool
    both_sides: bool
    every: int
    depth_mm: float


@dataclass(frozen=True, eq=False)
class Layout:
    """Where everything lies: millimetres in the mould frame (underside on z = 0, centred in x and y).

    Parameters
    ----------
    low, high
        ``(3,)`` corners of the block without its foot plate.
    tissue_low, tissue_high
        ``(3,)`` bounds of the specimen, without clearance.
    slots_x
        Centre of each slot.
    slot_y
        Ends of the slots.
    floor_z
        Bottom of the slots: top of the plate.
    labels
        How the numbers fit.
    shift
        ``(3,)`` from mould axes at the patient origin to the mould frame.
    """

    low: FloatArray
    high: FloatArray
    tissue_low: FloatArray
    tissue_high: FloatArray
    slots_x: FloatArray
    slot_y: tuple[float, float]
    floor_z: float
    labels: Labels
    shift: FloatArray


def plan_layout(tissue: tuple[FloatArray, FloatArray], slots_x: FloatArray, size: Parameters) -> Layout:
    """Work out the block's dimensions.

    Parameters
    ----------
    tissue
        Lower and upper bounds ``(3,)`` of the specimen's surface along the mould axes (patient origin).
    slots_x
        Positions of the cutting planes along x, same axes.
    size
        The template's parameters.

    Warns
    -----
    ComouldWarning
        If the slots are too dense for every plane to be numbered.
    """
    low, high = tissue
    labels = _fit_labels(slots_x, size)
    strip = max(size.wall_mm, labels.depth_mm)
    end_strip = max(size.wall_mm, _top_letter_mm(size) + 2 * _MARGIN_MM)
    slot_y = (low[1] - size.slot_overhang_mm, high[1] + size.slot_overhang_mm)
    # The slots must end below the cavity too, however generous the clearance.
    floor = low[2] - max(size.slot_below_mm, size.clearance_mm + 0.5)
    block_low = np.array([low[0] - size.clearance_mm - size.wall_mm, slot_y[0] - strip, floor - size.base_mm])
    block_high = np.array([high[0] + size.clearance_mm + end_strip, slot_y[1] + strip, high[2] + size.guide_mm])
    shift = -np.array([*(0.5 * (block_low + block_high))[:2], block_low[2]])
    return Layout(
        block_low + shift,
        block_high + shift,
        low + shift,
        high + shift,
        slots_x + shift[0],
        (slot_y[0] + shift[1], slot_y[1] + shift[1]),
        float(floor + shift[2]),
        labels,
        shift,
    )


def block(layout: Layout, size: Parameters) -> Manifold:
    """Make the solid block on its foot plate, with one corner cut off as the key."""
    from manifold3d import Manifold, OpType

    body = _outline(layout, size, 0.0).extrude(float(layout.high[2]))
    if size.flange_mm <= 0:
        return body
    foot = _outline(layout, size, size.flange_mm).extrude(size.base_mm)
    return Manifold.batch_boolean([body, foot], OpType.Add)


def _outline(layout: Layout, size: Parameters, wider: float) -> CrossSection:
    """Draw the block's outline from above, the key corner at low x and high y; ``wider`` all round for the foot."""
    from manifold3d import CrossSection

    (x0, y0), (x1, y1) = layout.low[:2] - wider, layout.high[:2] + wider
    c = size.chamfer_mm
    # An edge at 45° moved out by the same distance: its legs grow by (2 − √2) of it.
    k = _key_mm(layout, size) + (2.0 - np.sqrt(2.0)) * wider
    corners = [
        (x0, y0 + c), (x0 + c, y0), (x1 - c, y0), (x1, y0 + c), (x1, y1 - c), (x1 - c, y1), (x0 + k, y1), (x0, y1 - k),
    ]  # fmt: skip
    return CrossSection([np.array(corners)])


def slots(layout: Layout, size: Parameters) -> Manifold:
    """Make the gaps for the knife: exactly ``slot_mm`` wide about each cutting plane."""
    from manifold3d import Manifold, OpType

    top = float(layout.high[2]) + 1.0
    extent = (size.slot_mm, layout.slot_y[1] - layout.slot_y[0], top - layout.floor_z)
    box = Manifold.cube(extent)
    boxes = [box.translate((x - 0.5 * size.slot_mm, layout.slot_y[0], layout.floor_z)) for x in layout.slots_x]
    return Manifold.batch_boolean(boxes, OpType.Add)


def engravings(layout: Layout, size: Parameters, letters: dict[str, str], numbers: list[str]) -> Manifold:
    """Make all text to take away.

    Parameters
    ----------
    layout, size
        The geometry.
    letters
        Patient direction of each outward normal: keys ``"-x"``, ``"+x"``, ``"-y"``, ``"+y"``, ``"+z"``.
    numbers
        Text for each slot, in order.
    """
    from manifold3d import Manifold, OpType

    parts = _numbers(layout, size, numbers) + _letters(layout, size, letters)
    return Manifold.batch_boolean(parts, OpType.Add)


def _numbers(layout: Layout, size: Parameters, numbers: list[str]) -> list[Manifold]:
    labels = layout.labels
    x_axis, y_axis = np.eye(3)[0], np.eye(3)[1]
    right, up = (y_axis, -x_axis) if labels.rotated else (x_axis, y_axis)
    strips = (0.5 * (layout.low[1] + layout.slot_y[0]), 0.5 * (layout.high[1] + layout.slot_y[1]))
    parts = []
    for n, (x, text) in enumerate(zip(layout.slots_x, numbers, strict=True)):
        if n % labels.every:
            continue
        y = strips[(n // labels.every) % 2 if labels.both_sides else 0]
        at = np.array([x, y, layout.high[2]])
        parts.append(
            marks.engraving(
                text,
                at=at,
                right=right,
                up=up,
                height_mm=labels.height_mm,
                stroke_mm=size.stroke_mm,
                depth_mm=size.engrave_mm,
            )
        )
    return parts


def _letters(layout: Layout, size: Parameters, letters: dict[str, str]) -> list[Manifold]:
    z = np.eye(3)[2]
    plate = size.base_mm if size.flange_mm > 0 else 0.0
    middle = 0.5 * (layout.low + layout.high)
    middle[2] = 0.5 * (layout.high[2] + plate)
    wall_height = float(layout.high[2] - plate)
    parts = []
    for wall, text in letters.items():
        axis = "xyz".index(wall[1])
        out = np.eye(3)[axis] * (1.0 if wall[0] == "+" else -1.0)
        at = middle.copy()
        if axis == 2:
            height = _top_letter_mm(size)
            # The strip beyond the last slot, at the upper right of the reader who stands at the front.
            at[:] = layout.high - (0.5 * (height + 2 * _MARGIN_MM), 0.0, 0.0)
            at[1] = middle[1]
            right, up = np.eye(3)[1], -np.eye(3)[0]
        else:
            at[axis] = (layout.high if wall[0] == "+" else layout.low)[axis]
            right, up = np.cross(z, out), z
            across = float(np.abs(right) @ (layout.high - layout.low)) - 2 * (size.key_mm + _MARGIN_MM)
            height = min(size.letter_mm, wall_height - 2 * _MARGIN_MM, 1.2 * across / len(text))
        stroke = max(size.stroke_mm, height / 8.0)
        parts.append(
            marks.engraving(
                text, at=at, right=right, up=up, height_mm=height, stroke_mm=stroke, depth_mm=size.engrave_mm
            )
        )
    return parts + _arrow(layout, size)


def _arrow(layout: Layout, size: Parameters) -> list[Manifold]:
    """Put an arrow on the front of the foot plate: the way the slice numbers run."""
    height = min(size.flange_mm - 2.0, 8.0)
    if height < 3 * size.stroke_mm or size.base_mm < size.engrave_mm + 2.0:
        return []
    at = np.array([0.0, layout.low[1] - 0.5 * size.flange_mm, size.base_mm])
    right, up = np.eye(3)[0], np.eye(3)[1]
    return [
        marks.engraving(
            ">", at=at, right=right, up=up, height_mm=height, stroke_mm=size.stroke_mm, depth_mm=size.engrave_mm
        )
    ]


def _top_letter_mm(size: Parameters) -> float:
    return min(6.0, size.letter_mm)


def _key_mm(layout: Layout, size: Parameters) -> float:
    """Keep a wall between the cut corner and the nearest slot end."""
    corner = (layout.slots_x[0] - 0.5 * size.slot_mm - layout.low[0]) + (layout.high[1] - layout.slot_y[1])
    return float(min(size.key_mm, corner - 3.0 * np.sqrt(2.0)))


def _fit_labels(slots_x: FloatArray, size: Parameters) -> Labels:
    digits = len(str(len(slots_x)))
    wide = marks.text_width("0" * digits, size.digit_mm, size.stroke_mm)
    least = 5 * size.stroke_mm
    # Underlined numbers are a little taller.
    tall = 2.0 * size.stroke_mm
    if _gap(slots_x, 1) >= wide + 1.0:
        return Labels(size.digit_mm, False, False, 1, size.digit_mm + tall + 2 * _MARGIN_MM)
    room = wide + 2 * _MARGIN_MM
    for every in range(1, len(slots_x) + 1):
        numbered = slots_x[::every]
        for both in (False, True):
            height = min(size.digit_mm, _gap(numbered, 2 if both else 1) - tall)
            if height >= least - 1e-9:
                if every > 1:
                    warnings.warn(
                        f"slice numbers: slots {_gap(slots_x, 1):.3g} mm apart leave no room for every number; "
                        f"every {every}. one is engraved, beginning with 1",
                        ComouldWarning,
                        stacklevel=4,
                    )
                return Labels(height, True, both, every, room)
    return Labels(least, True, False, len(slots_x), room)


def _gap(slots_x: FloatArray, step: int) -> float:
    return float((slots_x[step:] - slots_x[:-step]).min()) if len(slots_x) > step else np.inf

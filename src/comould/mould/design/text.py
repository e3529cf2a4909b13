"""Where the marks stand on a mould: slice numbers, patient directions, the way the numbers run, the mould's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.mould import marks
from comould.mould.design.layout import TEXT_MARGIN_MM, Layout, top_letter_mm
from comould.mould.design.outer import rim_depth, tab_depths
from comould.mould.parameters import Parameters
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import Manifold

X, Y, Z = np.eye(3)


@dataclass(frozen=True, eq=False)
class Mark:
    """One piece of engraved text.

    Parameters
    ----------
    text
        What it says.
    kind
        ``"number"``, ``"direction"``, ``"arrow"`` or ``"id"``.
    at
        ``(3,)`` centre on the face, mould frame.
    right, up
        Unit vectors of the reader who faces it; right × up points out of the material.
    height_mm, stroke_mm, depth_mm
        Size.
    body
        The body it is engraved in.
    """

    text: str
    kind: str
    at: FloatArray
    right: FloatArray
    up: FloatArray
    height_mm: float
    stroke_mm: float
    depth_mm: float
    body: str = "mould"

    def solid(self) -> Manifold:
        """Make the solid to take away."""
        return marks.engraving(
            self.text,
            at=self.at,
            right=self.right,
            up=self.up,
            height_mm=self.height_mm,
            stroke_mm=self.stroke_mm,
            depth_mm=self.depth_mm,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "text": self.text,
            "kind": self.kind,
            "body": self.body,
            "at_mm": self.at.tolist(),
            "right": self.right.tolist(),
            "up": self.up.tolist(),
            "height_mm": self.height_mm,
            "stroke_mm": self.stroke_mm,
            "depth_mm": self.depth_mm,
        }


def engraved(marks_: Sequence[Mark]) -> Manifold:
    """Make all text to take away."""
    from manifold3d import Manifold, OpType

    return Manifold.batch_boolean([mark.solid() for mark in marks_], OpType.Add)


def frame_marks(
    layout: Layout, size: Parameters, letters: Mapping[str, str], name: str, *, side_top: float = np.inf
) -> list[Mark]:
    """Place the marks of a mould with a frame round its slots.

    Parameters
    ----------
    layout, size
        The geometry.
    letters
        Patient direction of each outward normal: keys ``"-x"``, ``"+x"``, ``"-y"``, ``"+y"``, ``"+z"``.
    name
        The mould's name.
    side_top
        Letters on the walls stay below this height: where another body begins.
    """
    front, back = layout.strips
    rows = [
        (
            (slot.y[0] - 0.5 * front, slot.y[1] + 0.5 * back),
            layout.top_at(slot.x, slot.x, back=layout.labels.at_back(n)),
        )
        for n, slot in enumerate(layout.slots)
    ]
    return [*numbers(layout, size, rows), *_directions(layout, size, letters, side_top), *_foot(layout, size, name)]


def numbers(layout: Layout, size: Parameters, rows: Sequence[tuple[tuple[float, float], float]]) -> list[Mark]:
    """Place the slice numbers.

    Parameters
    ----------
    layout, size
        The slots and how their numbers fit.
    rows
        For each slot: y of a number in front of it and behind it, and the height of the face it is engraved in.
    """
    labels = layout.labels
    right, up = (Y, -X) if labels.rotated else (X, Y)
    made = []
    for n, (slot, (ys, z)) in enumerate(zip(layout.slots, rows, strict=True)):
        if n % labels.every:
            continue
        at = np.array([slot.x, ys[1] if labels.at_back(n) else ys[0], z])
        made.append(Mark(str(n + 1), "number", at, right, up, labels.height_mm, size.stroke_mm, size.engrave_mm))
    return made


def _directions(layout: Layout, size: Parameters, letters: Mapping[str, str], side_top: float) -> list[Mark]:
    plate = size.base_mm if size.flange_mm > 0 else 0.0
    made = []
    for wall, text in letters.items():
        at = 0.5 * (layout.low + layout.high)
        axis = "xyz".index(wall[1])
        if axis == 2:
            # The strip beyond the last slot, at the upper right of the reader who stands at the front.
            height = top_letter_mm(size)
            at[0] = layout.rim.high[0] - 0.5 * (height + 2 * TEXT_MARGIN_MM)
            at[1], at[2] = np.mean(layout.core.flats["+x"]), layout.lands[0][-1].top_z
            right, up = Y, -X
        else:
            sign = 1.0 if wall[0] == "+" else -1.0
            right, up = np.cross(Z, sign * np.eye(3)[axis]), Z
            ends = np.array(layout.core.flats[wall])
            at[axis] = (layout.core.high if sign > 0 else layout.core.low)[axis]
            at[1 - axis] = ends.mean()
            x = (ends[0], ends[1]) if axis == 1 else (at[0], at[0])
            top = min(layout.top_at(*x, back=back) for back in (False, True))
            top = min(top - rim_depth(layout), side_top)
            at[2] = 0.5 * (top + plate)
            room = min(top - plate - 2 * TEXT_MARGIN_MM, 1.2 * (np.ptp(ends) - 2 * TEXT_MARGIN_MM) / len(text))
            height = min(size.letter_mm, float(room))
        made.append(Mark(text, "direction", at, right, up, height, max(size.stroke_mm, height / 8.0), size.engrave_mm))
    return made


def _foot(layout: Layout, size: Parameters, name: str) -> list[Mark]:
    """Put an arrow on the front of the foot plate, the way the numbers run, and the name at its back."""
    height = min(size.flange_mm - 2.0, 8.0)
    if height < 5 * size.stroke_mm - 1e-9 or size.base_mm < size.engrave_mm + 2.0:
        return []
    made = []
    for wall, text, kind, right, up in (("-y", ">", "arrow", X, Y), ("+y", name, "id", -X, -Y)):
        front, back = tab_depths(layout, size)
        middle = 0.5 * size.flange_mm
        y = layout.core.low[1] - front + middle if wall == "-y" else layout.core.high[1] + back - middle
        ends = layout.core.flats[wall]
        at = np.array([np.mean(ends), y, size.base_mm])
        if text and marks.text_width(text, height, size.stroke_mm) <= np.ptp(ends):
            made.append(Mark(text, kind, at, right, up, height, size.stroke_mm, size.engrave_mm))
    return made

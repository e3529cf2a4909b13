"""Where the marks stand on a mould: slice numbers, patient directions, the way the numbers run, the mould's name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import ComouldWarning
from comould.mould import marks
from comould.mould.design.cuts import Slit
from comould.mould.design.layout import TEXT_MARGIN_MM, Layout, top_letter_mm
from comould.mould.design.outer import rim_depth, tab_depths
from comould.mould.parameters import Parameters
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import Manifold

X, Y, Z = np.eye(3)

Patch = tuple[float, float, float, float]
"""Part of a wall, mm: from and to along it, from and to in height."""


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
    layout: Layout,
    size: Parameters,
    letters: Mapping[str, str],
    name: str,
    *,
    slit: Slit | None = None,
    taken_up: Mapping[str, Sequence[Patch]] | None = None,
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
    slit
        The orientation cut, which letters keep clear of.
    taken_up
        By wall, the parts of it where no letter may stand: joints of two bodies, lugs, tabs.

    Warns
    -----
    ComouldWarning
        If the walls are too low for their letters.
    """
    front, back = layout.strips
    rows = [
        (
            (slot.free_y[0] - 0.5 * front, slot.free_y[1] + 0.5 * back),
            layout.top_at(slot.x, slot.x, back=layout.labels.at_back(n)),
        )
        for n, slot in enumerate(layout.slots)
    ]
    busy = {wall: list((taken_up or {}).get(wall, ())) for wall in letters}
    if slit is not None:
        half = 0.5 * size.slot_mm + TEXT_MARGIN_MM
        for wall in ("-x", "+x"):
            busy[wall].append((slit.y - half, slit.y + half, slit.floor_z - TEXT_MARGIN_MM, np.inf))
    walls = [_on_wall(layout, size, wall, text, busy[wall]) for wall, text in letters.items() if wall != "+z"]
    made = [mark for mark in walls if mark is not None]
    if len(made) < len(walls):
        warnings.warn(
            f"letters: walls too low for {len(walls) - len(made)} of 4 letters of the patient's directions; go by the "
            "letter on the top and the key corner, or give a higher base_mm or guide_mm",
            ComouldWarning,
            stacklevel=5,
        )
    up = _on_top(layout, size, letters["+z"], slit)
    return [*numbers(layout, size, rows), *made, up, *_foot(layout, size, name, busy)]


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
        # The line below a 6 or 9 counts as part of the text: both together are centred.
        at = at + 0.5 * marks.underline_mm(str(n + 1), size.stroke_mm) * up
        made.append(Mark(str(n + 1), "number", at, right, up, labels.height_mm, size.stroke_mm, size.engrave_mm))
    return made


def _on_top(layout: Layout, size: Parameters, text: str, slit: Slit | None) -> Mark:
    """Put the letter for what faces up on the strip beyond the last slot, beside the orientation slit."""
    height = top_letter_mm(size)
    x = layout.rim.high[0] - 0.5 * (height + 2 * TEXT_MARGIN_MM)
    y = float(np.mean(layout.core.flats["+x"]))
    if slit is not None:
        apart = 0.5 * (marks.text_width(text, height, size.stroke_mm) + size.slot_mm) + TEXT_MARGIN_MM
        if abs(y - slit.y) < apart:
            y = slit.y + (apart if y >= slit.y else -apart)
    at = np.array([x, y, layout.lands[0][-1].top_z])
    return Mark(text, "direction", at, Y, -X, height, size.stroke_mm, size.engrave_mm)


def _on_wall(layout: Layout, size: Parameters, wall: str, text: str, busy: Sequence[Patch]) -> Mark | None:
    """Put a letter on the wall it names, as large as its free part allows; ``None`` where it would be too small."""
    axis, sign = "xyz".index(wall[1]), 1.0 if wall[0] == "+" else -1.0
    ends = layout.core.flats[wall]
    edge = float((layout.core.high if sign > 0 else layout.core.low)[axis])
    x = ends if axis == 1 else (edge, edge)
    low = size.base_mm if size.flange_mm > 0 else 0.0
    top = min(layout.top_at(*x, back=back) for back in (False, True)) - rim_depth(layout)
    best, height = None, marks.least_height(size.stroke_mm) - 1e-9
    for a, b, c, d in _free((*ends, low, top), busy):
        fits = 1.2 * (b - a - 2 * TEXT_MARGIN_MM) / len(text)
        possible = min(size.letter_mm, d - c - 2 * TEXT_MARGIN_MM, fits)
        if possible > height + 1e-6:
            best, height = (0.5 * (a + b), 0.5 * (c + d)), possible
    if best is None:
        return None
    at = np.array([edge, best[0], best[1]]) if axis == 0 else np.array([best[0], edge, best[1]])
    right = np.cross(Z, sign * np.eye(3)[axis])
    return Mark(text, "direction", at, right, Z, height, max(size.stroke_mm, height / 8.0), size.engrave_mm)


def _free(whole: Patch, busy: Sequence[Patch]) -> list[Patch]:
    """Every rectangle of a wall between the edges of its busy parts that meets none of them; the whole one first."""
    along = sorted({whole[0], whole[1], *(e for p in busy for e in p[:2] if whole[0] < e < whole[1])})
    up = sorted({whole[2], whole[3], *(e for p in busy for e in p[2:] if whole[2] < e < whole[3])})
    found = [
        (a, b, c, d)
        for (a, b), (c, d) in product(combinations(along, 2), combinations(up, 2))
        if not any(a < p[1] and b > p[0] and c < p[3] and d > p[2] for p in busy)
    ]
    return sorted(found, key=lambda p: -(p[1] - p[0]) * (p[3] - p[2]))


def _foot(layout: Layout, size: Parameters, name: str, busy: Mapping[str, Sequence[Patch]]) -> list[Mark]:
    """Put an arrow on the front of the foot plate, the way the numbers run, and the name at its back."""
    height = min(size.flange_mm - 2.0, 8.0)
    if height < 5 * size.stroke_mm - 1e-9 or size.base_mm < size.engrave_mm + 2.0:
        return []
    made = []
    for wall, text, kind, right, up in (("-y", ">", "arrow", X, Y), ("+y", name, "id", -X, -Y)):
        front, back = tab_depths(layout, size)
        middle = 0.5 * size.flange_mm
        y = layout.core.low[1] - front + middle if wall == "-y" else layout.core.high[1] + back - middle
        # Lugs hide what lies below them; a joint higher up does not.
        lugs = [(a, b, 0.0, 1.0) for a, b, low, _ in busy[wall] if low <= size.base_mm]
        free = _free((*layout.core.flats[wall], 0.0, 1.0), lugs)
        if free and text and marks.text_width(text, height, size.stroke_mm) <= free[0][1] - free[0][0]:
            at = np.array([0.5 * (free[0][0] + free[0][1]), y, size.base_mm])
            made.append(Mark(text, kind, at, right, up, height, size.stroke_mm, size.engrave_mm))
    return made

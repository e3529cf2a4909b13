"""Shell: a thin wall that follows the specimen's outline, for large or soft specimens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from comould.mould import marks
from comould.mould.design import cuts, outer, text
from comould.mould.design.fins import fins
from comould.mould.design.joints import without_chips
from comould.mould.design.layout import TEXT_MARGIN_MM, Layout, plan_layout
from comould.mould.design.open_block import minus, removals
from comould.mould.design.parts import Order, Parts
from comould.mould.form import shifted, solid_of
from comould.mould.parameters import Parameters
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import CrossSection

_SMOOTH_MM = 6.0
"""Bays of the outline narrower than twice this are closed."""


def make(order: Order) -> Parts:
    """Make the shell on its plate, which carries all marks."""
    size = order.size
    layout = plan_layout(order.form.specimen[0], order.slots_x, size, bare_frame=True)
    wall = _wall(order, layout)
    plate = _Plate.under(layout, order)
    body = wall.extrude(float(layout.high[2])) ^ outer.under_guides(layout)
    whole = body + plate.outline(size).extrude(size.base_mm)
    cavity = shifted(order.form.opened_up(), layout.shift)
    written = plate.marks(layout, order)
    taken = removals(order, layout, cavity, wall)
    hole = solid_of(cavity)
    gone = taken.solid + text.engraved(written) + fins(hole, layout, size)
    solid, chips = without_chips(minus(whole, [cuts.slots(layout, size), gone, hole]))
    return Parts({"mould": solid}, layout, whole, gone + chips, tuple(written), slit=taken.slit)


def _wall(order: Order, layout: Layout) -> CrossSection:
    """Draw the wall from above: round the cavity's silhouette and the slots' ends, bays smoothed, holes closed."""
    from manifold3d import CrossSection, FillRule, JoinType, OpType

    size = order.size
    lines = [line + layout.shift[:2] for line in order.form.silhouette(size.clearance_mm)]
    boxes = [
        CrossSection.square((size.slot_mm, slot.y[1] - slot.y[0])).translate((slot.x - 0.5 * size.slot_mm, slot.y[0]))
        for slot in layout.slots
    ]
    silhouette = CrossSection([np.ascontiguousarray(line) for line in lines], FillRule.NonZero)
    inner = CrossSection.batch_boolean([silhouette, *boxes], OpType.Add)
    grown = inner.offset(size.wall_mm + _SMOOTH_MM, JoinType.Round, circular_segments=64)
    shape = grown.offset(-_SMOOTH_MM, JoinType.Round, circular_segments=64).simplify(0.02)
    outside = [line for line in shape.to_polygons() if _area(np.asarray(line)) > 0]
    return CrossSection(outside, FillRule.Positive)


def _area(line: FloatArray) -> float:
    x, y = line.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


@dataclass(frozen=True, eq=False)
class _Plate:
    """The rectangular plate under a shell, one corner cut off as the key.

    Parameters
    ----------
    low, high
        ``(2,)`` corners.
    number_mm, letter_mm
        Depth of the rows for slice numbers and for letters.
    """

    low: FloatArray
    high: FloatArray
    number_mm: float
    letter_mm: float

    @classmethod
    def under(cls, layout: Layout, order: Order) -> _Plate:
        """Leave a row for numbers and one for letters at the front, one for letters elsewhere."""
        size = order.size
        height = _letter_height(size)
        texts = (order.letters["+y"], _facing_up(order))
        least_x = sum(marks.text_width(text, height, size.stroke_mm) for text in texts) + 2 * height
        least_x += size.key_mm + size.chamfer_mm
        number = layout.labels.depth_mm
        letter = _letter_height(size) + 2 * TEXT_MARGIN_MM
        back = letter + (number if layout.labels.both_sides else 0.0)
        low = layout.low[:2] - (letter, number + letter)
        high = layout.high[:2] + np.array([letter, back])
        wider = max(0.5 * (least_x - float(high[0] - low[0])), 0.0)
        return cls(low - (wider, 0.0), high + np.array([wider, 0.0]), number, letter)

    def outline(self, size: Parameters) -> CrossSection:
        """Draw it from above."""
        from manifold3d import CrossSection

        (x0, y0), (x1, y1) = self.low, self.high
        c, k = size.chamfer_mm, size.key_mm
        points = [
            (x0, y0 + c), (x0 + c, y0), (x1 - c, y0), (x1, y0 + c), (x1, y1 - c), (x1 - c, y1), (x0 + k, y1),
            (x0, y1 - k),
        ]  # fmt: skip
        return CrossSection([np.array(points)])

    def marks(self, layout: Layout, order: Order) -> list[text.Mark]:
        """Place numbers before their slots, letters on all sides, arrow and name at the front."""
        size = order.size
        height, row = _letter_height(size), 0.5 * self.letter_mm
        middle = 0.5 * (self.low + self.high)
        ys = (layout.low[1] - 0.5 * self.number_mm, layout.high[1] + 0.5 * self.number_mm)
        made = text.numbers(layout, size, [(ys, size.base_mm)] * len(layout.slots))

        def put(said: str, kind: str, x: float, y: float, right: FloatArray, up: FloatArray) -> None:
            at = np.array([x, y, size.base_mm])
            made.append(text.Mark(said, kind, at, right, up, height, size.stroke_mm, size.engrave_mm))

        for wall, x in (("-x", self.low[0] + row), ("+x", self.high[0] - row)):
            put(order.letters[wall], "direction", x, float(middle[1]), text.Y, -text.X)
        ends = (float(self.low[0]) + size.chamfer_mm + row, float(self.high[0]) - size.chamfer_mm - 1.0)
        front = ((">", "arrow"), (order.letters["-y"], "direction"), (order.name, "id"))
        back = (("", ""), (order.letters["+y"], "direction"), (_facing_up(order), "up"))
        for texts, y, low in ((front, self.low[1] + row, 0.0), (back, self.high[1] - row, size.key_mm)):
            widths = [marks.text_width(said, height, size.stroke_mm) if said else 0.0 for said, _ in texts]
            for (said, kind), x in zip(texts, _row(widths, (ends[0] + low, ends[1]), height), strict=True):
                if said and np.isfinite(x):
                    put(said, kind, x, float(y), text.X, text.Y)
        return made


def _row(widths: Sequence[float], ends: tuple[float, float], gap: float) -> tuple[float, float, float]:
    """Middles of a text at the left, one in the middle and one at the right; what finds no room is not finite."""
    left, right = ends[0] + 0.5 * widths[0], ends[1] - 0.5 * widths[2]
    least = ends[0] + (widths[0] + gap if widths[0] else 0.0) + 0.5 * widths[1]
    most = ends[1] - (widths[2] + gap if widths[2] else 0.0) - 0.5 * widths[1]
    if least > most:
        most, right = ends[1] - 0.5 * widths[1], np.inf
    if least > most:
        least, left = ends[0] + 0.5 * widths[1], np.inf
    return left, float(np.clip(0.5 * sum(ends), least, max(least, most))), right


def _facing_up(order: Order) -> str:
    return f"UP-{order.letters['+z']}"


def _letter_height(size: Parameters) -> float:
    return max(5 * size.stroke_mm, min(size.letter_mm, size.digit_mm + 1.0))

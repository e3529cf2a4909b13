"""Texts on a sampling plate: read from outside, clear of holes and of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.mould.marks import GLYPHS, engraving, text_width, upside_down
from comould.mould.sampling.options import PlateOptions
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import Manifold

Point = tuple[float, float]
Box = tuple[float, float, float, float]

GAP_MM = 0.8
"""Material left between a text and anything else."""
LONGEST_MM = 80.0


@dataclass(frozen=True)
class Label:
    """A text and where its centre may be, best place first (plate mm)."""

    text: str
    places: tuple[Point, ...]
    height_mm: float
    options: PlateOptions

    @classmethod
    def beside(cls, text: str, at: FloatArray, radius_mm: float, options: PlateOptions) -> Label:
        """Make a label that stands beside a hole, above it if it can (up is −y)."""
        wide, high = cls.width(text, options.digit_mm, options), options.digit_mm + 2 * options.stroke_mm
        places = []
        for degrees in (270, 90, 0, 180, 315, 225, 45, 135, 292, 248, 68, 112):
            direction = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
            # As far out as the box needs to clear the hole on this side.
            reach = radius_mm + GAP_MM + 0.5 * (abs(direction[0]) * wide + abs(direction[1]) * high)
            x, y = (np.asarray(at) + direction * (reach + 0.2)).tolist()
            places.append((float(x), float(y)))
        return cls(text, tuple(places), options.digit_mm, options)

    @staticmethod
    def width(text: str, height_mm: float, options: PlateOptions) -> float:
        """Width of the text, 0 when it will not be engraved."""
        if not text or set(text) - set(GLYPHS):
            return 0.0
        wide = text_width(text, height_mm, options.stroke_mm)
        return wide if wide <= LONGEST_MM else 0.0

    def box(self, at: Point) -> Box:
        """Room the text takes: a line below it included where the font underlines."""
        half = 0.5 * self.width(self.text, self.height_mm, self.options), 0.5 * self.height_mm
        below = 2.0 * self.options.stroke_mm if upside_down(self.text) not in {None, self.text} else 0.0
        return at[0] - half[0], at[1] - half[1], at[0] + half[0], at[1] + half[1] + below


def place_labels(
    wishes: Sequence[Label], holes: Sequence[tuple[FloatArray, float]], plate: tuple[FloatArray, FloatArray]
) -> tuple[list[Label], list[str]]:
    """Give each text the first place where nothing is in its way.

    Parameters
    ----------
    wishes
        The texts, most important first.
    holes
        Centre and radius of each hole.
    plate
        Lower and upper corner.

    Returns
    -------
    tuple
        The texts with their one place, and those without.
    """
    taken: list[Box] = []
    placed, unmarked = [], []
    for wish in wishes:
        for at in wish.places if wish.width(wish.text, wish.height_mm, wish.options) else ():
            box = wish.box(at)
            if _inside(box, plate) and not any(_meets(box, other) for other in taken) and _clear(box, holes):
                taken.append(box)
                placed.append(Label(wish.text, (at,), wish.height_mm, wish.options))
                break
        else:
            unmarked.append(wish.text)
    return placed, unmarked


def mark(label: Label) -> dict[str, Any]:
    """Say where a placed text is, as :func:`comould.mould.marks.measure_engravings` reads it.

    It is read with x to the right and y downwards, from the side z < 0.
    """
    return {
        "text": label.text,
        "at_mm": (*label.places[0], 0.0),
        "right": (1.0, 0.0, 0.0),
        "up": (0.0, -1.0, 0.0),
        "height_mm": label.height_mm,
        "stroke_mm": label.options.stroke_mm,
    }


def engraved(mark: Mapping[str, Any], depth_mm: float) -> Manifold:
    """Make the solid to take away for a mark."""
    at, right, up = (np.array(mark[key]) for key in ("at_mm", "right", "up"))
    height, stroke = mark["height_mm"], mark["stroke_mm"]
    return engraving(mark["text"], at=at, right=right, up=up, height_mm=height, stroke_mm=stroke, depth_mm=depth_mm)


def _inside(box: Box, plate: tuple[FloatArray, FloatArray]) -> bool:
    low, high = plate
    return (
        box[0] >= low[0] + GAP_MM
        and box[1] >= low[1] + GAP_MM
        and box[2] <= high[0] - GAP_MM
        and box[3] <= high[1] - GAP_MM
    )


def _meets(one: Box, other: Box) -> bool:
    return (
        one[0] < other[2] + GAP_MM
        and other[0] < one[2] + GAP_MM
        and one[1] < other[3] + GAP_MM
        and other[1] < one[3] + GAP_MM
    )


def _clear(box: Box, holes: Sequence[tuple[FloatArray, float]]) -> bool:
    for at, radius in holes:
        nearest = np.clip(at, box[:2], box[2:])
        if np.linalg.norm(nearest - at) < radius + GAP_MM:
            return False
    return True

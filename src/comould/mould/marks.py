"""Engraved text: a stroke font of capsules, placed so that it reads from outside and never mirrored."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import CrossSection, Manifold

Stroke = tuple[tuple[float, float], ...]

_CAP, _WIDTH = 6.0, 4.0


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float) -> Stroke:
    count = max(3, round(abs(stop - start) / 15.0) + 1)
    angles = np.radians(np.linspace(start, stop, count))
    return tuple((float(cx + rx * np.cos(a)), float(cy + ry * np.sin(a))) for a in angles)


_BOWL: Stroke = ((0, 6), *_arc(2.4, 4.5, 1.6, 1.5, 90, -90), (0, 3))
_SIX: tuple[Stroke, ...] = (_arc(2, 1.9, 2, 1.9, 0, 360), ((0, 1.9), (0.25, 3.7), (1.2, 5.2), (3, 6)))

GLYPHS: dict[str, tuple[Stroke, ...]] = {
    "0": (_arc(2, 3, 2, 3, 0, 360),),
    "1": (((0.7, 4.7), (2.2, 6), (2.2, 0)), ((0.8, 0), (3.6, 0))),
    "2": ((*_arc(2, 4.1, 2, 1.9, 165, -30), (0, 0), (4, 0)),),
    "3": (_arc(1.9, 4.55, 1.8, 1.45, 150, -90), _arc(2, 1.55, 2, 1.55, 90, -150)),
    "4": (((3, 0), (3, 6), (0, 2), (4, 2)),),
    "5": (((3.6, 6), (0.6, 6), (0.35, 3.3), *_arc(1.9, 1.95, 2.1, 1.95, 130, -150)),),
    "6": _SIX,
    "7": (((0, 6), (4, 6), (1.4, 0)),),
    "8": (_arc(2, 4.55, 1.7, 1.45, 0, 360), _arc(2, 1.55, 2, 1.55, 0, 360)),
    "9": tuple(tuple((_WIDTH - x, _CAP - y) for x, y in stroke) for stroke in _SIX),
    "R": (((0, 0), (0, 6)), _BOWL, ((2, 3), (4, 0))),
    "L": (((0, 6), (0, 0), (3.8, 0)),),
    "A": (((0, 0), (2, 6), (4, 0)), ((0.7, 2.1), (3.3, 2.1))),
    "P": (((0, 0), (0, 6)), _BOWL),
    "S": ((*_arc(2, 4.5, 1.9, 1.5, 25, 270), *_arc(2, 1.5, 2, 1.5, 90, -155)),),
    "I": (((2, 0), (2, 6)), ((0.9, 0), (3.1, 0)), ((0.9, 6), (3.1, 6))),
    ">": (((0, 3), (4, 3)), ((2.2, 5), (4, 3), (2.2, 1))),
}
"""Strokes of each sign on a box 4 wide and 6 high, x to the right and y up."""


def text_width(text: str, height_mm: float, stroke_mm: float) -> float:
    """Width of a line of text, strokes included."""
    unit = (height_mm - stroke_mm) / _CAP
    return len(text) * _WIDTH * unit + (len(text) - 1) * (unit + stroke_mm) + stroke_mm


def strokes(text: str, height_mm: float, stroke_mm: float) -> list[FloatArray]:
    """Lay out a line of text as polylines ``(n, 2)`` in mm, centred on the origin.

    A number that reads as another one when turned upside down (6, 9, 16, …) is underlined.

    Raises
    ------
    ValueError
        For a sign the font does not have.
    """
    if unknown := sorted(set(text) - set(GLYPHS)):
        msg = f"the engraving font has no {unknown}"
        raise ValueError(msg)
    unit = (height_mm - stroke_mm) / _CAP
    left = -0.5 * text_width(text, height_mm, stroke_mm) + 0.5 * stroke_mm
    step = (_WIDTH + 1) * unit + stroke_mm
    lines = [
        np.array(stroke) * unit + (left + n * step, -0.5 * _CAP * unit)
        for n, sign in enumerate(text)
        for stroke in GLYPHS[sign]
    ]
    if set(text) <= set("01689") and set(text) & set("69"):
        below = -0.5 * height_mm - 1.25 * stroke_mm
        lines.append(np.array([[left, below], [-left, below]]))
    return lines


def section(lines: Iterable[FloatArray], stroke_mm: float) -> CrossSection:
    """Thicken polylines to a cross-section of round-ended strokes."""
    from manifold3d import CrossSection, OpType

    dot = CrossSection.circle(0.5 * stroke_mm, 12)
    capsules = [
        CrossSection.batch_hull([dot.translate(tuple(a)), dot.translate(tuple(b))])
        for line in lines
        for a, b in pairwise(line)
    ]
    return CrossSection.batch_boolean(capsules, OpType.Add)


def engraving(
    text: str,
    *,
    at: FloatArray,
    right: FloatArray,
    up: FloatArray,
    height_mm: float,
    stroke_mm: float,
    depth_mm: float,
) -> Manifold:
    """Make the solid to take away for text on a flat face.

    Parameters
    ----------
    text
        Signs of :data:`GLYPHS`.
    at
        Centre of the text on the face.
    right, up
        Unit vectors of the reader who faces it. The face's outward normal is right × up, which is what keeps text
        from ever being mirrored.
    height_mm, stroke_mm, depth_mm
        Size, stroke width and depth.
    """
    out = np.cross(right, up)
    solid = section(strokes(text, height_mm, stroke_mm), stroke_mm).extrude(depth_mm + 0.5)
    origin = at - depth_mm * out
    return solid.transform(np.column_stack([right, up, out, origin]))

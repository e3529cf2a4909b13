"""The engraving font: strokes of each sign on a box 4 wide and 6 high, x to the right and y up."""

from __future__ import annotations

import numpy as np

Stroke = tuple[tuple[float, float], ...]

CAP, WIDTH = 6.0, 4.0
"""Height and width of the box."""


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float) -> Stroke:
    count = max(3, round(abs(stop - start) / 15.0) + 1)
    angles = np.radians(np.linspace(start, stop, count))
    return tuple((float(cx + rx * np.cos(a)), float(cy + ry * np.sin(a))) for a in angles)


def _turned(sign: tuple[Stroke, ...]) -> tuple[Stroke, ...]:
    return tuple(tuple((WIDTH - x, CAP - y) for x, y in stroke) for stroke in sign)


_BOWL: Stroke = ((0, 6), *_arc(2.4, 4.5, 1.6, 1.5, 90, -90), (0, 3))
_STEM: Stroke = ((0, 0), (0, 6))
_RING: tuple[Stroke, ...] = (_arc(2, 3, 2, 3, 0, 360),)
_SIX: tuple[Stroke, ...] = (_arc(2, 1.9, 2, 1.9, 0, 360), ((0, 1.9), (0.25, 3.7), (1.2, 5.2), (3, 6)))
_M: tuple[Stroke, ...] = (((0, 0), (0, 6), (2, 2.2), (4, 6), (4, 0)),)

_DIGITS: dict[str, tuple[Stroke, ...]] = {
    "0": _RING,
    "1": (((0.7, 4.7), (2.2, 6), (2.2, 0)), ((0.8, 0), (3.6, 0))),
    "2": ((*_arc(2, 4.1, 2, 1.9, 165, -30), (0, 0), (4, 0)),),
    "3": (_arc(1.9, 4.55, 1.8, 1.45, 150, -90), _arc(2, 1.55, 2, 1.55, 90, -150)),
    "4": (((3, 0), (3, 6), (0, 2), (4, 2)),),
    "5": (((3.6, 6), (0.6, 6), (0.35, 3.3), *_arc(1.9, 1.95, 2.1, 1.95, 130, -150)),),
    "6": _SIX,
    "7": (((0, 6), (4, 6), (1.4, 0)),),
    "8": (_arc(2, 4.55, 1.7, 1.45, 0, 360), _arc(2, 1.55, 2, 1.55, 0, 360)),
    "9": _turned(_SIX),
}

_LETTERS: dict[str, tuple[Stroke, ...]] = {
    "A": (((0, 0), (2, 6), (4, 0)), ((0.7, 2.1), (3.3, 2.1))),
    "B": (_STEM, ((0, 6), *_arc(2.2, 4.6, 1.5, 1.4, 90, -90), (0, 3.2)), (*_arc(2.2, 1.6, 1.8, 1.6, 90, -90), (0, 0))),
    "C": (_arc(2.1, 3, 2.1, 3, 42, 318),),
    "D": (((0, 0), (0, 6), (1.4, 6), *_arc(1.5, 3, 2.5, 3, 90, -90), (0, 0)),),
    "E": (((3.7, 6), (0, 6), (0, 0), (3.8, 0)), ((0, 3.1), (3.2, 3.1))),
    "F": (((3.8, 6), (0, 6), (0, 0)), ((0, 3), (3.2, 3))),
    "G": ((*_arc(2.1, 3, 2.1, 3, 45, 325), (3.9, 2.7), (2.4, 2.7)),),
    "H": (_STEM, ((4, 0), (4, 6)), ((0, 3), (4, 3))),
    "I": (((2, 0), (2, 6)), ((0.9, 0), (3.1, 0)), ((0.9, 6), (3.1, 6))),
    "J": (((3.6, 6), (3.6, 1.7), *_arc(1.8, 1.7, 1.8, 1.7, 0, -150)),),
    "K": (_STEM, ((3.8, 6), (0, 2.2)), ((1.4, 3.6), (4, 0))),
    "L": (((0, 6), (0, 0), (3.8, 0)),),
    "M": _M,
    "N": (((0, 0), (0, 6), (4, 0), (4, 6)),),
    "O": _RING,
    "P": (_STEM, _BOWL),
    "Q": (*_RING, ((2.4, 1.7), (4, 0))),
    "R": (_STEM, _BOWL, ((2, 3), (4, 0))),
    "S": ((*_arc(2, 4.5, 1.9, 1.5, 25, 270), *_arc(2, 1.5, 2, 1.5, 90, -155)),),
    "T": (((0, 6), (4, 6)), ((2, 6), (2, 0))),
    "U": (((0, 6), *_arc(2, 2, 2, 2, 180, 360), (4, 6)),),
    "V": (((0, 6), (2, 0), (4, 6)),),
    "W": _turned(_M),
    "X": (((0, 0), (4, 6)), ((0, 6), (4, 0))),
    "Y": (((0, 6), (2, 3.1), (4, 6)), ((2, 3.1), (2, 0))),
    "Z": (((0, 6), (4, 6), (0, 0), (4, 0)),),
}

_SIGNS: dict[str, tuple[Stroke, ...]] = {
    ">": (((0, 3), (4, 3)), ((2.2, 5), (4, 3), (2.2, 1))),
    "-": (((0.7, 3), (3.3, 3)),),
    "/": (((0.4, 0), (3.6, 6)),),
}

GLYPHS: dict[str, tuple[Stroke, ...]] = _DIGITS | _LETTERS | _SIGNS
"""Strokes of each sign."""

UPSIDE_DOWN = {
    **{sign: sign for sign in "018HINOSXZ-/"},
    **{"6": "9", "9": "6", "M": "W", "W": "M", "3": "E", "E": "3", "7": "L", "L": "7"},
}
"""What a sign may be read as when it is turned by 180°; a sign that is missing shows that it is upside down."""

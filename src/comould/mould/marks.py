"""Engraved text: a stroke font of capsules, placed so that it reads from outside and never mirrored, and measured."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.mould._font import CAP, GLYPHS, UPSIDE_DOWN, WIDTH
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import CrossSection, Manifold

__all__ = [
    "GLYPHS",
    "ID_SIGNS",
    "Engraving",
    "engraving",
    "least_height",
    "make_id",
    "measure_engraving",
    "measure_engravings",
    "section",
    "strokes",
    "text_width",
    "upside_down",
]

ID_SIGNS = "2345678CFHJKMNPRTVXY"
"""Signs of a mould's ID: none that looks like another (0 O Q D, 1 I L, 2 Z, 5 S, 6 G, 8 B, U V, M W) and no vowels."""

_LEAST_HEIGHT, _LEAST_WHOLE = 5.0, 0.99
_DOT_SIDES = 12
_KINDS = (frozenset("0123456789"), frozenset("RLAPSI"))
"""Slice numbers and anatomical letters: turned text that is no longer of its kind cannot be taken for another."""


def least_height(stroke_mm: float) -> float:
    """Give the least height of text (mm) at which strokes of this width leave every sign's openings open."""
    return _LEAST_HEIGHT * stroke_mm


def upside_down(text: str) -> str | None:
    """Read text turned by 180°.

    Returns
    -------
    str or None
        What it then says; none when a sign shows that it is upside down, or when a slice number or an anatomical letter
        turns into something that is neither.
    """
    if not set(text) <= set(UPSIDE_DOWN):
        return None
    turned = "".join(UPSIDE_DOWN[sign] for sign in reversed(text))
    kind = next((signs for signs in _KINDS if set(text) <= signs), None)
    return turned if kind is None or set(turned) <= kind else None


def make_id(*parts: bytes | str, signs: int = 6) -> str:
    """Make a short name for a mould out of what it was made from: always the same one, and no patient data.

    Parameters
    ----------
    *parts
        What makes the mould this one: the mask's bytes, the plan, the template. Each counts with its length, so that
        ``("ab", "c")`` and ``("a", "bc")`` differ.
    signs
        Signs of :data:`ID_SIGNS`, 3 to 9; each is worth 4.3 bits. Six tell 1000 moulds apart in 99 of 100 hospitals.

    Returns
    -------
    str
        Groups of three, ``"7KX-4HT"``; never a text that reads as another when turned upside down.

    Raises
    ------
    ValueError
        If there are no parts, or too few or many signs.

    Notes
    -----
    A digest of 26 bits gives nothing of the mask away. Who already has the mask and the plan can find out that this
    mould belongs to them; add a secret part where even that must not be.
    """
    if not parts or not 3 <= signs <= 9:
        msg = f"an ID needs parts and 3 to 9 signs, found {len(parts)} parts and {signs} signs"
        raise ValueError(msg)
    raw = [part.encode() if isinstance(part, str) else part for part in parts]
    base = b"".join(len(part).to_bytes(8, "big") + part for part in raw)
    attempt = 0
    while True:
        number = int.from_bytes(hashlib.sha256(base + attempt.to_bytes(4, "big")).digest(), "big")
        name = "".join(ID_SIGNS[number // len(ID_SIGNS) ** n % len(ID_SIGNS)] for n in range(signs))
        text = "-".join(name[n : n + 3] for n in range(0, signs, 3))
        if upside_down(text) in {None, text}:
            return text
        attempt += 1


def text_width(text: str, height_mm: float, stroke_mm: float) -> float:
    """Width of a line of text, strokes included."""
    unit = (height_mm - stroke_mm) / CAP
    return len(text) * WIDTH * unit + (len(text) - 1) * (unit + stroke_mm) + stroke_mm


def underline_mm(text: str, stroke_mm: float) -> float:
    """Tell how far a line of text reaches down below its letters: not at all, unless it is underlined."""
    return 1.75 * stroke_mm if upside_down(text) not in {None, text} else 0.0


def strokes(text: str, height_mm: float, stroke_mm: float) -> list[FloatArray]:
    """Lay out a line of text as polylines ``(n, 2)`` in mm, centred on the origin.

    Text that reads as other text when turned upside down (6, 9, 16, …, see :func:`upside_down`) is underlined.

    Raises
    ------
    ValueError
        For a sign the font does not have.
    """
    if unknown := sorted(set(text) - set(GLYPHS)):
        msg = f"the engraving font has no {unknown}"
        raise ValueError(msg)
    unit = (height_mm - stroke_mm) / CAP
    left = -0.5 * text_width(text, height_mm, stroke_mm) + 0.5 * stroke_mm
    step = (WIDTH + 1) * unit + stroke_mm
    lines = [
        np.array(stroke) * unit + (left + n * step, -0.5 * CAP * unit)
        for n, sign in enumerate(text)
        for stroke in GLYPHS[sign]
    ]
    if upside_down(text) not in {None, text}:
        below = 0.5 * stroke_mm - 0.5 * height_mm - underline_mm(text, stroke_mm)
        lines.append(np.array([[left, below], [-left, below]]))
    return lines


def section(lines: Iterable[FloatArray], stroke_mm: float) -> CrossSection:
    """Thicken polylines to a cross-section of round-ended strokes, nowhere narrower than asked for."""
    from manifold3d import CrossSection, OpType

    # Drawn round the circle, not in it, or strokes would be up to 3 % too narrow; its flat sides face along x and y.
    dot = CrossSection.circle(0.5 * stroke_mm / np.cos(np.pi / _DOT_SIDES), _DOT_SIDES).rotate(180.0 / _DOT_SIDES)
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


@dataclass(frozen=True, eq=False)
class Engraving:
    """Text found on a finished mesh, as a reader who faces it sees it.

    Parameters
    ----------
    text
        What should be there.
    mask
        bool ``(rows, columns)``, row 0 at the top: where the face lies deeper.
    pitch_mm
        Size of its pixels; widths are known to about one and a half.
    depth_mm
        Depth that 95 % of it reach; 0 when nothing was found.
    stroke_mm
        Diameter of the widest disc that paints 95 % of it, and nothing else; 0 when nothing was found.
    likeness, mirrored
        Dice of the mask with the text as it should be, and with its mirror image.
    whole
        Share of the middle half of its strokes that is there: less than 1 when text runs over the edge of its face.
    """

    text: str
    mask: npt.NDArray[np.bool_]
    pitch_mm: float
    depth_mm: float
    stroke_mm: float
    likeness: float
    mirrored: float
    whole: float

    def faults(self, min_stroke_mm: float, min_depth_mm: float, min_likeness: float = 0.85) -> list[str]:
        """Say what is wrong with it; empty when it is deep, wide (to 1½ pixels) and right enough.

        Parameters
        ----------
        min_stroke_mm, min_depth_mm
            What the process needs, see :class:`~comould.mould.equipment.Printer`.
        min_likeness
            Dice below which it is not that text.
        """
        found = []
        if not self.mask.any():
            return [f"text {self.text!r}: nothing engraved there"]
        if self.mirrored > self.likeness + 0.02:
            found.append(f"text {self.text!r}: mirrored (Dice {self.mirrored:.2f} against {self.likeness:.2f})")
        elif self.likeness < min_likeness:
            found.append(f"text {self.text!r}: not readable (Dice {self.likeness:.2f}, needed {min_likeness:g})")
        elif self.whole < _LEAST_WHOLE:
            found.append(
                f"text {self.text!r}: {100 * (1 - self.whole):.0f} % of it missing (over the edge of its face?)"
            )
        if self.stroke_mm < min_stroke_mm - 1.5 * self.pitch_mm:
            found.append(f"text {self.text!r}: strokes {self.stroke_mm:.2f} mm wide, needed {min_stroke_mm:g}")
        if self.depth_mm < min_depth_mm - 1e-3:
            found.append(f"text {self.text!r}: {self.depth_mm:.2f} mm deep, needed {min_depth_mm:g}")
        return found


def measure_engraving(
    mesh: Any,
    text: str,
    *,
    at: FloatArray,
    right: FloatArray,
    up: FloatArray,
    height_mm: float,
    stroke_mm: float,
    pitch_mm: float = 0.04,
) -> Engraving:
    """Look at a face of a finished mesh and measure the text engraved in it.

    Rays along the face's normal find how deep it lies; the width of the strokes is the diameter of the widest disc that
    fits everywhere in them. Nothing of how the text was made enters but where it should be and what it should say.

    Parameters
    ----------
    mesh
        A mesh with ``triangles``, or the triangles themselves ``(m, 3, 3)``, mm, outward.
    text, at, right, up, height_mm, stroke_mm
        As for :func:`engraving`.
    pitch_mm
        Distance between rays.

    Returns
    -------
    Engraving
        What is there.
    """
    surface = mesh if isinstance(mesh, _Surface) else _Surface.of(mesh)
    half = 0.5 * np.array([text_width(text, height_mm, stroke_mm), height_mm]) + stroke_mm
    if upside_down(text) not in {None, text}:
        half[1] += 2.0 * stroke_mm
    columns, rows = np.ceil(2.0 * half / pitch_mm).astype(int)
    frame = np.array([right, up, -np.cross(right, up)])
    depth = _depths(surface.near(frame, at, half), frame, np.asarray(at), (columns, rows), pitch_mm)
    mask = _within_picture(depth > _SEEN_MM)
    expected = _painted(text, height_mm, stroke_mm, (columns, rows), pitch_mm)
    middle = _painted(text, height_mm, stroke_mm, (columns, rows), pitch_mm, wide_mm=0.5 * stroke_mm)
    return Engraving(
        text,
        mask,
        pitch_mm,
        float(np.percentile(depth[mask], 5)) if mask.any() else 0.0,
        _stroke_width(mask, pitch_mm),
        _dice(mask, expected),
        _dice(mask, expected[:, ::-1]),
        float(mask[middle].mean()),
    )


def measure_engravings(mesh: Any, marks: Iterable[Mapping[str, Any]], pitch_mm: float = 0.04) -> list[Engraving]:
    """Measure every mark of one body, see :func:`measure_engraving`.

    Parameters
    ----------
    mesh
        The body.
    marks
        Plain records with ``text``, ``at_mm``, ``right``, ``up``, ``height_mm``, ``stroke_mm``, as in a mould's report.
    pitch_mm
        Distance between rays.

    Returns
    -------
    list of Engraving
        In the order of the marks.
    """
    surface = _Surface.of(mesh)
    return [
        measure_engraving(
            surface,
            str(mark["text"]),
            at=np.asarray(mark["at_mm"], dtype=np.float64),
            right=np.asarray(mark["right"], dtype=np.float64),
            up=np.asarray(mark["up"], dtype=np.float64),
            height_mm=float(mark["height_mm"]),
            stroke_mm=float(mark["stroke_mm"]),
            pitch_mm=pitch_mm,
        )
        for mark in marks
    ]


@dataclass(frozen=True, eq=False)
class _Surface:
    """Triangles ``(m, 3, 3)`` and their bounds ``(m, 3)``, worked out once for all marks."""

    triangles: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, mesh: Any) -> _Surface:
        """Take a mesh with ``triangles``, or the triangles."""
        triangles = np.asarray(getattr(mesh, "triangles", mesh), dtype=np.float64)
        a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
        return cls(triangles, np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c))

    def near(self, frame: FloatArray, at: FloatArray, half: FloatArray) -> FloatArray:
        """Triangles whose bounds meet those of the box rays are sent through."""
        middle = np.asarray(at) + 0.5 * (_REACH_MM - _FRONT_MM) * frame[2]
        reach = np.abs(frame.T) @ np.array([*half, 0.5 * (_REACH_MM + _FRONT_MM)]) + 1e-6
        kept = np.ones(len(self.triangles), dtype=bool)
        for axis in range(3):
            kept &= self.low[:, axis] <= middle[axis] + reach[axis]
            kept &= self.high[:, axis] >= middle[axis] - reach[axis]
        return self.triangles[kept]


_SEEN_MM, _FRONT_MM, _REACH_MM = 0.1, 0.5, 3.0
"""Depth from which something counts as engraved; how far before and behind the face rays look."""


def _depths(
    triangles: FloatArray, frame: FloatArray, at: FloatArray, shape: tuple[int, int], pitch_mm: float
) -> FloatArray:
    """Depth behind the face at each pixel, row 0 at the top; 0 where it is open beyond reach (a slot, an edge)."""
    from comould.mould import _cast

    local = (triangles.reshape(-1, 3) - at) @ frame.T
    local[:, :2] = local[:, :2] / pitch_mm + 0.5 * (np.array(shape) - 1)
    a, b, c = local[0::3], local[1::3], local[2::3]
    low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    near = (low[:, 2] < _REACH_MM) & (high[:, 2] > -_FRONT_MM) & (low[:, 0] < shape[0]) & (low[:, 1] < shape[1])
    near &= (high[:, 0] > -1.0) & (high[:, 1] > -1.0)
    # Right, up and into the face are a left-handed frame: what faces the reader runs counter-clockwise in it.
    near &= (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) > (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    x, y, z, _ = _cast.hits(local.reshape(-1, 3, 3)[near], shape)
    seen = (z > -_FRONT_MM) & (z < _REACH_MM)
    first = np.full(shape[::-1], np.inf)
    np.minimum.at(first, (shape[1] - 1 - y[seen], x[seen]), z[seen])
    return np.where(np.isfinite(first), first, 0.0)


def _within_picture(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Leave out what runs over the border: the next step of a face, or a slot, but no text."""
    from scipy import ndimage as ndi

    labels, _ = ndi.label(mask, np.ones((3, 3)))
    outside = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return mask & ~np.isin(labels, outside[outside > 0])


def _painted(
    text: str,
    height_mm: float,
    stroke_mm: float,
    shape: tuple[int, int],
    pitch_mm: float,
    wide_mm: float | None = None,
) -> npt.NDArray[np.bool_]:
    """Paint text as it should be seen, from the middle lines of its strokes; ``wide_mm`` where not its own width."""
    columns, rows = shape
    wide = stroke_mm if wide_mm is None else wide_mm
    x = (np.arange(columns) - 0.5 * (columns - 1)) * pitch_mm
    y = (0.5 * (rows - 1) - np.arange(rows)) * pitch_mm
    painted = np.zeros((rows, columns), dtype=bool)
    for line in strokes(text, height_mm, stroke_mm):
        for a, b in pairwise(line):
            low, high = np.minimum(a, b) - stroke_mm, np.maximum(a, b) + stroke_mm
            i, j = (y >= low[1]) & (y <= high[1]), (x >= low[0]) & (x <= high[0])
            px, py = x[j][None, :] - a[0], y[i][:, None] - a[1]
            along = np.clip((px * (b - a)[0] + py * (b - a)[1]) / max((b - a) @ (b - a), 1e-12), 0.0, 1.0)
            near = np.hypot(px - along * (b - a)[0], py - along * (b - a)[1]) <= 0.5 * wide
            painted[np.ix_(i, j)] |= near
    return painted


def _stroke_width(mask: npt.NDArray[np.bool_], pitch_mm: float) -> float:
    """Width (mm) that 95 % of the strokes' middle lines have at least."""
    if not mask.any():
        return 0.0
    from scipy import ndimage as ndi

    inward = ndi.distance_transform_edt(np.pad(mask, 1))
    middle = (inward > 0) & (inward == ndi.maximum_filter(inward, 3))
    # Distances end at the centre of the nearest pixel outside, half a pixel beyond the border; and an even number of
    # pixels has its middle between two, which loses half a pixel on average.
    return float(2.0 * np.percentile(inward[middle], 5) - 0.5) * pitch_mm


def _dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2.0 * float((one & other).sum()) / total if total else 0.0

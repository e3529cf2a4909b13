"""Engraved text: a stroke font of capsules, placed so that it reads from outside and never mirrored, and measured."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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
    "section",
    "strokes",
    "text_width",
    "upside_down",
]

ID_SIGNS = "2345678CFHJKMNPRTVXY"
"""Signs of a mould's ID: none that looks like another (0 O Q D, 1 I L, 2 Z, 5 S, 6 G, 8 B, U V, M W) and no vowels."""

_LEAST_HEIGHT = 5.0
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
        below = -0.5 * height_mm - 1.25 * stroke_mm
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
    """

    text: str
    mask: npt.NDArray[np.bool_]
    pitch_mm: float
    depth_mm: float
    stroke_mm: float
    likeness: float
    mirrored: float

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
    pitch_mm: float = 0.03,
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
    triangles = np.asarray(getattr(mesh, "triangles", mesh), dtype=np.float64)
    half = 0.5 * np.array([text_width(text, height_mm, stroke_mm), height_mm]) + stroke_mm
    if upside_down(text) not in {None, text}:
        half[1] += 2.0 * stroke_mm
    columns, rows = np.ceil(2.0 * half / pitch_mm).astype(int)
    depth = _depths(triangles, np.array([right, up, -np.cross(right, up)]), np.asarray(at), (columns, rows), pitch_mm)
    mask = depth > _SEEN_MM
    expected = _painted(text, height_mm, stroke_mm, (columns, rows), pitch_mm)
    return Engraving(
        text,
        mask,
        pitch_mm,
        float(np.percentile(depth[mask], 5)) if mask.any() else 0.0,
        _stroke_width(mask, pitch_mm),
        _dice(mask, expected),
        _dice(mask, expected[:, ::-1]),
    )


_SEEN_MM, _FRONT_MM, _REACH_MM = 0.1, 0.5, 3.0
"""Depth from which something counts as engraved; how far before and behind the face rays look."""


def _depths(
    triangles: FloatArray, frame: FloatArray, at: FloatArray, shape: tuple[int, int], pitch_mm: float
) -> FloatArray:
    """Depth behind the face at each pixel, row 0 at the top; 0 where it is open beyond reach (a slot, an edge)."""
    from comould.mould import _cast

    local = (triangles - at) @ frame.T
    local[:, :, :2] = local[:, :, :2] / pitch_mm + 0.5 * (np.array(shape) - 1)
    low, high = local.min(axis=1), local.max(axis=1)
    near = (low[:, 2] < _REACH_MM) & (high[:, 2] > -_FRONT_MM)
    near &= (high[:, :2] > -1.0).all(axis=1) & (low[:, :2] < np.array(shape)).all(axis=1)
    x, y, z, sense = _cast.hits(local[near], shape)
    # Right, up and into the face are a left-handed frame: a ray that enters has the opposite sense there.
    entering = (sense > 0) & (z > -_FRONT_MM) & (z < _REACH_MM)
    first = np.full(shape[::-1], np.inf)
    np.minimum.at(first, (shape[1] - 1 - y[entering], x[entering]), z[entering])
    return np.where(np.isfinite(first), first, 0.0)


def _painted(
    text: str, height_mm: float, stroke_mm: float, shape: tuple[int, int], pitch_mm: float
) -> npt.NDArray[np.bool_]:
    """Paint text as it should be seen, from the middle lines of its strokes."""
    columns, rows = shape
    x = (np.arange(columns) - 0.5 * (columns - 1)) * pitch_mm
    y = (0.5 * (rows - 1) - np.arange(rows)) * pitch_mm
    painted = np.zeros((rows, columns), dtype=bool)
    for line in strokes(text, height_mm, stroke_mm):
        for a, b in pairwise(line):
            low, high = np.minimum(a, b) - stroke_mm, np.maximum(a, b) + stroke_mm
            i, j = (y >= low[1]) & (y <= high[1]), (x >= low[0]) & (x <= high[0])
            px, py = x[j][None, :] - a[0], y[i][:, None] - a[1]
            along = np.clip((px * (b - a)[0] + py * (b - a)[1]) / max((b - a) @ (b - a), 1e-12), 0.0, 1.0)
            near = np.hypot(px - along * (b - a)[0], py - along * (b - a)[1]) <= 0.5 * stroke_mm
            painted[np.ix_(i, j)] |= near
    return painted


def _stroke_width(mask: npt.NDArray[np.bool_], pitch_mm: float) -> float:
    """Give the diameter (mm) of the widest disc that paints 95 % of a mask and nothing beside it."""
    if not mask.any():
        return 0.0
    from scipy import ndimage as ndi

    padded = np.pad(mask, 1)
    # Distances end at the centre of the nearest pixel outside: half a pixel beyond the border.
    inward = ndi.distance_transform_edt(padded) - 0.5
    low, high = 0.0, float(inward.max())
    while high - low > 0.1:
        radius = 0.5 * (low + high)
        # One pixel more: the steps of a slanting border are not the stroke's fault.
        reached = ndi.distance_transform_edt(inward < radius) <= radius + 1.0
        low, high = (radius, high) if (reached & padded).sum() >= 0.95 * padded.sum() else (low, radius)
    # An even number of pixels has its middle between two: half a pixel is lost on average.
    return (2.0 * low + 0.5) * pitch_mm


def _dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2.0 * float((one & other).sum()) / total if total else 0.0

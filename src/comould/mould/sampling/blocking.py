"""Cassette blocking: large slabs cut into the fewest pieces that fit a cassette, none of them a crumb."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import ComouldWarning, InputError
from comould.mould.sampling.plate_body import outline_section
from comould.mould.sampling.raster import Volume, outlines
from comould.mould.sampling.slab import Slab, slabs
from comould.space import FloatArray, SlicePlan

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk
    from manifold3d import CrossSection

    Strips = list[list[CrossSection]]

FORMATS: dict[str, tuple[float, float]] = {"cassette": (26.0, 20.0), "mega": (75.0, 50.0)}
"""Usable width and height in mm: of a standard tissue cassette, and of a mega-cassette and its 75 × 50 mm slide."""

CRUMB_SHARE = 0.08
"""Pieces below this share of the format's area are crumbs, unless ``min_piece_mm2`` says otherwise."""

_PITCHES = 5
_PHASES = 5
_LEAST_TRIED, _MOST_TRIED = 6, 24
_ROUGH_MM = 0.3
_NIL_MM2 = 1e-6

Format = str | tuple[float, float]
Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Block:
    """One piece of a slab.

    Parameters
    ----------
    id
        ``S03-A1``: strip A, B, … and place in it, from the upper left as the face is seen; ``S03-A1`` too for a slab
        that stays whole.
    slab, plane
        Ids of the slab and of its face's plane.
    outlines_uv_mm
        Closed polygons ``(k, 2)`` on the plane (its own u and v); several where the piece has several parts.
    area_mm2
        Of the piece.
    size_mm
        Its extent along u and v.
    centre_uv_mm
        Middle of that extent.
    centre_mm
        The same on the face, in patient mm.
    thickness_mm
        Of the slab.
    crumb
        Smaller than was asked for.
    """

    id: str
    slab: str
    plane: str
    outlines_uv_mm: tuple[FloatArray, ...]
    area_mm2: float
    size_mm: tuple[float, float]
    centre_uv_mm: tuple[float, float]
    centre_mm: tuple[float, float, float]
    thickness_mm: float
    crumb: bool

    def row(self) -> dict[str, Any]:
        """One row of the table."""
        return {
            "block": self.id,
            "slab": self.slab,
            "plane": self.plane,
            "area_mm2": round(self.area_mm2, 1),
            "width_mm": round(self.size_mm[0], 2),
            "height_mm": round(self.size_mm[1], 2),
            "thickness_mm": round(self.thickness_mm, 2),
            "u_mm": round(self.centre_uv_mm[0], 3),
            "v_mm": round(self.centre_uv_mm[1], 3),
            **{f"face_{axis}_mm": round(value, 3) for axis, value in zip("xyz", self.centre_mm, strict=True)},
            "crumb": self.crumb,
        }


@dataclass(frozen=True)
class Blocks:
    """Pieces of one or all slabs.

    Parameters
    ----------
    blocks
        Slab by slab, in the order of their ids.
    format_mm
        Width and height each fits, one way or turned by 90°.
    """

    blocks: tuple[Block, ...]
    format_mm: tuple[float, float]

    def of(self, slab: str | Slab) -> tuple[Block, ...]:
        """Pieces of one slab."""
        name = slab if isinstance(slab, str) else slab.id
        return tuple(block for block in self.blocks if block.slab == name)

    def table(self) -> pd.DataFrame:
        """One row per piece: area, extent along u and v, centre on the plane and in the patient (LPS), all mm."""
        import pandas as pd

        return pd.DataFrame([block.row() for block in self.blocks])


def plan_blocks(
    plan: SlicePlan, seg: sitk.Image, *, format: Format = "cassette", min_piece_mm2: float | None = None
) -> Blocks:
    """Split all slabs of a specimen; see :func:`block_slab`."""
    size, least = _checked(format, min_piece_mm2)
    tissue = Volume.of(seg)
    blocks = [block for slab in slabs(plan, seg) for block in _split(slab, tissue, size, least)]
    _warn(blocks, least)
    return Blocks(tuple(blocks), size)


def block_slab(
    slab: Slab, seg: sitk.Image, *, format: Format = "cassette", min_piece_mm2: float | None = None
) -> Blocks:
    """Split a slab into pieces that fit a cassette.

    Parameters
    ----------
    slab
        The slab.
    seg
        Label image of the specimen, patient LPS; everything that is not 0 counts.
    format
        ``"cassette"`` (26 × 20 mm), ``"mega"`` (75 × 50 mm), or width and height in mm.
    min_piece_mm2
        Pieces smaller than this are avoided; 8 % of the format's area by default.

    Returns
    -------
    Blocks
        A slab that fits is one piece.

    Raises
    ------
    InputError
        For an unknown format or an impossible size.

    Warns
    -----
    ComouldWarning
        If a crumb could not be avoided.

    Notes
    -----
    As at the bench: parallel cuts make strips, and each strip is cut across on its own. Strips along either side of
    the slab, the format either way round, strips of several widths beginning at several places, and one strip more
    than needed are tried; no crumbs goes before few pieces, and of equals the one whose smallest piece is largest is
    taken. The outline is that of all tissue of the slab, whatever its depth.
    """
    size, least = _checked(format, min_piece_mm2)
    blocks = _split(slab, Volume.of(seg), size, least)
    _warn(blocks, least)
    return Blocks(tuple(blocks), size)


def _checked(format: Format, min_piece_mm2: float | None) -> tuple[tuple[float, float], float]:
    size = FORMATS.get(format) if isinstance(format, str) else tuple(format)
    if size is None or len(size) != 2 or not all(3.0 <= float(side) <= 300.0 for side in size):
        raise InputError(
            subject=f"block format {format!r}",
            expected=f"{', '.join(FORMATS)} or width and height from 3 to 300 mm",
            found="neither",
        )
    least = CRUMB_SHARE * size[0] * size[1] if min_piece_mm2 is None else float(min_piece_mm2)
    if not 0.0 <= least <= 0.5 * size[0] * size[1]:
        raise InputError(
            subject="min_piece_mm2", expected=f"0 to {0.5 * size[0] * size[1]:g} (half the format)", found=f"{least:g}"
        )
    return (float(size[0]), float(size[1])), least


def _warn(blocks: Iterable[Block], least: float) -> None:
    if crumbs := [block.id for block in blocks if block.crumb]:
        listed = ", ".join(crumbs[:8]) + (", …" if len(crumbs) > 8 else "")
        warnings.warn(
            f"blocks: {len(crumbs)} smaller than {least:.0f} mm² could not be avoided: {listed}",
            ComouldWarning,
            stacklevel=3,
        )


@dataclass(frozen=True)
class _Way:
    """One way to cut: strips along an axis (0 x, 1 y), pieces of at most a length along it, and how many it makes."""

    along: int
    length_mm: float
    cuts: tuple[Interval, ...]
    pieces: int


def _split(slab: Slab, tissue: Volume, size: tuple[float, float], least: float) -> list[Block]:
    area = outline_section(outlines(slab, tissue)).simplify(0.02)
    x0, y0, x1, y1 = area.bounds()
    if any(x1 - x0 <= w and y1 - y0 <= h for w, h in (size, size[::-1])):
        return [_block(slab, f"{slab.id}-A1", area, 0.0)]
    return [
        _block(slab, f"{slab.id}-{_letters(row)}{column}", piece, least)
        for row, strip in enumerate(_best(area, size, least))
        for column, piece in enumerate(strip, 1)
    ]


def _best(area: CrossSection, size: tuple[float, float], least: float) -> Strips:
    """Look at the ways that make fewest pieces, until one without crumbs is found and no other makes as few."""
    rough = area.simplify(_ROUGH_MM)
    turns = [size] if size[0] == size[1] else [size, size[::-1]]
    ways = [way for along in (0, 1) for length, width in turns for way in _ways(rough, along, length, width)]
    ways.sort(key=lambda way: way.pieces)
    best: tuple[tuple[int, int, float], Strips] | None = None
    for tried, way in enumerate(ways):
        if best is not None and (tried >= _MOST_TRIED or (tried >= _LEAST_TRIED and best[0][:2] < (0, way.pieces))):
            break
        strips = _cut(area, way)
        areas = [piece.area() for strip in strips for piece in strip]
        score = sum(a < least for a in areas), len(areas), -round(min(areas), 3)
        if best is None or score < best[0]:
            best = score, strips
    return best[1] if best is not None else [[area]]


def _cut(area: CrossSection, way: _Way) -> Strips:
    strips = []
    for cut in way.cuts:
        strip = _between(area, 1 - way.along, cut)
        pieces = [_between(strip, way.along, part) for part in _even(_shadow(strip, way.along), way.length_mm)]
        strips.append([piece for piece in pieces if piece.area() > _NIL_MM2])
    return [strip for strip in strips if strip]


def _ways(area: CrossSection, along: int, length: float, width: float) -> Iterator[_Way]:
    """Ways to cut into strips along an axis, pieces at most length × width along and across it."""
    seen = set()
    for cuts in _strips(_shadow(area, 1 - along), width):
        key = tuple(round(edge, 2) for cut in cuts for edge in cut)
        if key not in seen:
            seen.add(key)
            strips = (_shadow(_between(area, 1 - along, cut), along) for cut in cuts)
            yield _Way(along, length, tuple(cuts), sum(len(_greedy(shadow, length)) for shadow in strips))


def _strips(shadow: list[Interval], width: float) -> Iterator[list[Interval]]:
    """Ways to cover a shadow with strips: even ones, and wider ones shifted; with one strip more too."""
    even = _even(shadow, width)
    yield even
    for more in (0, 1):
        count = len(even) + more
        extent = shadow[-1][1] - shadow[0][0]
        narrow = min(width, extent / count)
        for pitch in np.linspace(narrow, width, _PITCHES):
            slack = count * pitch - extent
            for phase in np.linspace(0.0, 1.0, _PHASES):
                if slack < -1e-9:
                    continue
                start = shadow[0][0] - phase * min(slack, pitch * 0.999)
                edges = start + pitch * np.arange(count + 1)
                yield [(float(a), float(b)) for a, b in pairwise(edges)]


def _even(shadow: list[Interval], most: float) -> list[Interval]:
    """Cover a shadow with the fewest intervals no longer than ``most``, as short as so few can be."""
    count = len(_greedy(shadow, most))
    low, high = 0.0, most
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if len(_greedy(shadow, middle, count + 1)) <= count else (middle, high)
    return _greedy(shadow, high)


def _greedy(shadow: list[Interval], length: float, stop: int = 10_000) -> list[Interval]:
    """Cover intervals from the left with pieces of one length, each starting at the first tissue not yet covered."""
    made: list[Interval] = []
    reached = -np.inf
    for low, high in shadow:
        start = max(low, reached)
        while high - start > 1e-9 and len(made) < stop:
            made.append((start, start + length))
            start = reached = start + length
    return made


def _shadow(area: CrossSection, axis: int) -> list[Interval]:
    """Where an area is along an axis: its parts' extents, merged where they overlap."""
    if area.is_empty():
        return []
    if area.num_contour() == 1:
        bounds = area.bounds()
        return [(float(bounds[axis]), float(bounds[axis + 2]))]
    ends = sorted((part.bounds()[axis], part.bounds()[axis + 2]) for part in area.decompose())
    merged: list[Interval] = []
    for low, high in ends:
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((float(low), float(high)))
    return merged


def _between(area: CrossSection, axis: int, cut: Interval) -> CrossSection:
    from manifold3d import CrossSection

    if area.is_empty():
        return area
    x0, y0, x1, y1 = area.bounds()
    low, high = [x0 - 1.0, y0 - 1.0], [x1 + 1.0, y1 + 1.0]
    low[axis], high[axis] = cut
    box = CrossSection.square((high[0] - low[0], high[1] - low[1])).translate((low[0], low[1]))
    return area ^ box


def _block(slab: Slab, name: str, piece: CrossSection, least: float) -> Block:
    to_uv: Callable[[Any], FloatArray] = slab.uv
    polygons = tuple(to_uv(np.vstack([part, part[:1]])) for part in map(np.asarray, piece.to_polygons()))
    x0, y0, x1, y1 = piece.bounds()
    middle = np.array([0.5 * (x0 + x1), 0.5 * (y0 + y1)])
    face = slab.patient((*middle, 0.0))[0]
    u, v = to_uv(middle)[0]
    return Block(
        id=name,
        slab=slab.id,
        plane=slab.plane.id,
        outlines_uv_mm=polygons,
        area_mm2=float(piece.area()),
        size_mm=(float(x1 - x0), float(y1 - y0)),
        centre_uv_mm=(float(u), float(v)),
        centre_mm=(float(face[0]), float(face[1]), float(face[2])),
        thickness_mm=slab.thickness_mm,
        crumb=bool(piece.area() < least),
    )


def _letters(number: int) -> str:
    """Count in letters: A to Z, AA, AB and so on."""
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("A") + digit) + text
    return text

"""Which paper, and where on it: millimetres from the page's upper left corner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

Paper = Literal["auto", "A4", "A3", "letter", "tabloid"]
Size = tuple[float, float]

PAPERS: dict[str, Size] = {
    "A4": (210.0, 297.0),
    "A3": (297.0, 420.0),
    "letter": (215.9, 279.4),
    "tabloid": (279.4, 431.8),
}
"""Width and height, upright."""
TEXT_PAPER = {"A4": "A4", "A3": "A4", "letter": "letter", "tabloid": "letter"}
"""What cover and lists are printed on."""
LARGER: dict[str, Size] = {"A2": (420.0, 594.0), "A1": (594.0, 841.0), "A0": (841.0, 1189.0)}

MARGIN = 10.0
"""Edge that any printer can leave white."""
HEADER = 36.0
RULER = 14.0
"""Strip below the picture for the bar that checks the printer."""
SIDE = 10.0
"""Strip left of the picture for the upright bar."""
FOOTER = 6.0
LETTERS = 8.0
"""Room for a letter at each edge of a picture."""
CAPTION = 11.0
FORM_HIGH = 40.0
FORM_WIDE = 66.0
OVERLAP = 10.0
SMALLEST = 0.1
GAP = 6.0


@dataclass(frozen=True)
class Box:
    """A rectangle on the page, mm."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.y + self.height


@dataclass(frozen=True)
class Slot:
    """Where a picture goes.

    Parameters
    ----------
    x, y
        Upper left corner of the picture itself, without its letters.
    scale
        Page mm per patient mm.
    """

    x: float
    y: float
    scale: float


@dataclass(frozen=True)
class Tile:
    """One piece of a picture too large for the paper.

    Parameters
    ----------
    row, column
        From 0.
    x_mm, y_mm
        Part of the picture it shows: from, to.
    """

    row: int
    column: int
    x_mm: tuple[float, float]
    y_mm: tuple[float, float]

    @property
    def name(self) -> str:
        """``A1`` is the upper left one; the letter is the row."""
        return f"{chr(ord('A') + self.row % 26)}{self.column + 1}"


@dataclass(frozen=True)
class Layout:
    """How every plane's page looks.

    Parameters
    ----------
    paper, upright
        Paper and its orientation.
    body
        Everything between header and ruler.
    form
        Tick boxes and lines.
    main, other
        The photographed face and the opposite one.
    tiles
        Empty when the main picture is on the page at 1:1; else the page shows it reduced and each tile follows on a
        page of its own.
    """

    paper: str
    upright: bool
    body: Box
    form: Box
    main: Slot
    other: Slot
    tiles: tuple[Tile, ...] = ()

    @property
    def page(self) -> Size:
        """Width and height of the page."""
        return _page(self.paper, self.upright)

    @property
    def tile_slot(self) -> Slot:
        """Where a tile's picture begins."""
        return Slot(self.body.x + LETTERS, self.body.y + LETTERS, 1.0)


def choose(picture: Size, paper: Paper = "auto") -> Layout:
    """Find the smallest paper that holds a plane's picture at exactly 1:1.

    Parameters
    ----------
    picture
        Width and height in patient mm, the same for every plane.
    paper
        ``"auto"`` takes A4, or A3 where A4 is too small.

    Returns
    -------
    Layout
        With both faces at 1:1 when that fits, else the opposite face reduced, else the photographed one in tiles.
    """
    papers = ("A4", "A3") if paper == "auto" else (paper,)
    for name in papers:
        for both in (True, False):
            for upright in (True, False):
                if found := _fit(picture, name, upright, both):
                    return found
    return _tiled(picture, papers[-1])


def paper_needed(picture: Size) -> str:
    """Name the smallest sheet that would hold the picture whole at 1:1."""
    for name in ("A4", "A3", *LARGER):
        for upright in (True, False):
            if _fit(picture, name, upright, both=False):
                return name
    return "larger than A0"


def _page(paper: str, upright: bool) -> Size:
    width, height = (PAPERS | LARGER)[paper]
    return (width, height) if upright else (height, width)


def _frame(paper: str, upright: bool) -> tuple[Box, Box, Box]:
    """Body, form, and what is left of the body for pictures."""
    width, height = _page(paper, upright)
    top = MARGIN + HEADER
    body = Box(MARGIN + SIDE, top, width - 2 * MARGIN - SIDE, height - top - MARGIN - FOOTER - RULER)
    if upright:
        form = Box(body.x, body.bottom - FORM_HIGH, body.width, FORM_HIGH)
        return body, form, Box(body.x, body.y, body.width, body.height - FORM_HIGH)
    high = 78.0
    form = Box(body.right - FORM_WIDE, body.bottom - high, FORM_WIDE, high)
    return body, form, Box(body.x, body.y, body.width - FORM_WIDE - 4.0, body.height)


def _cell(picture: Size, scale: float = 1.0) -> Size:
    return picture[0] * scale + 2 * LETTERS, picture[1] * scale + 2 * LETTERS + CAPTION


def _put(area: Box, picture: Size, scale: float) -> Slot:
    """Centre a picture with its caption and letters in an area."""
    wide, high = _cell(picture, scale)
    x = area.x + 0.5 * (area.width - wide) + LETTERS
    y = area.y + 0.5 * (area.height - high) + CAPTION + LETTERS
    return Slot(x, y, scale)


def _fit(picture: Size, paper: str, upright: bool, both: bool) -> Layout | None:
    body, form, area = _frame(paper, upright)
    wide, high = _cell(picture)
    if both:
        halves = _split(area, 0.5, GAP, across=True), _split(area, 0.5, GAP, across=False)
        for first, second in halves:
            if wide <= first.width and high <= first.height:
                return Layout(paper, upright, body, form, _put(first, picture, 1.0), _put(second, picture, 1.0))
        return None
    if wide > area.width or high > area.height:
        return None
    rests = [
        Box(area.x, area.y + high, area.width, area.height - high),
        Box(area.x + wide, area.y, area.width - wide, area.height),
    ]
    if not upright:
        rests.append(Box(form.x, body.y, form.width, form.y - body.y))
    scales = [_largest(rest, picture) for rest in rests]
    best = int(np.argmax(scales))
    if scales[best] < SMALLEST:
        return None
    spare = area
    if best == 0:
        spare = Box(area.x, area.y, area.width, high)
    elif best == 1:
        spare = Box(area.x, area.y, wide, area.height)
    return Layout(paper, upright, body, form, _put(spare, picture, 1.0), _put(rests[best], picture, scales[best]))


def _split(area: Box, share: float, gap: float = 0.0, *, across: bool) -> tuple[Box, Box]:
    if across:
        at, rest = share * (area.width - gap), (1.0 - share) * (area.width - gap)
        return Box(area.x, area.y, at, area.height), Box(area.right - rest, area.y, rest, area.height)
    at, rest = share * (area.height - gap), (1.0 - share) * (area.height - gap)
    return Box(area.x, area.y, area.width, at), Box(area.x, area.bottom - rest, area.width, rest)


def _largest(area: Box, picture: Size) -> float:
    """Largest scale below 1 in steps of 5 % (a round number is easier to trust)."""
    wide, high = _cell((0.0, 0.0))
    scale = min((area.width - wide) / picture[0], (area.height - high) / picture[1], 0.95)
    return float(np.floor(scale * 20.0 + 1e-9) / 20.0)


def _tiled(picture: Size, paper: str) -> Layout:
    upright = picture[1] >= picture[0]
    body, form, area = _frame(paper, upright)
    first, second = max(
        (_split(area, 0.6, GAP, across=side) for side in (True, False)), key=lambda f: _free(f[0], picture)
    )
    scales = [max(min(_free(part, picture), 0.95), 0.01) for part in (first, second)]
    window = body.width - 2 * LETTERS, body.height - 2 * LETTERS
    tiles = tuple(_tiles(picture, window))
    return Layout(paper, upright, body, form, _put(first, picture, scales[0]), _put(second, picture, scales[1]), tiles)


def _free(area: Box, picture: Size) -> float:
    wide, high = _cell((0.0, 0.0))
    return min((area.width - wide) / picture[0], (area.height - high) / picture[1])


def _tiles(picture: Size, window: Size) -> Iterator[Tile]:
    spans = [_spans(total, held) for total, held in zip(picture, window, strict=True)]
    for row, y in enumerate(spans[1]):
        for column, x in enumerate(spans[0]):
            yield Tile(row, column, x, y)


def _spans(total: float, held: float) -> list[tuple[float, float]]:
    """Cut a length into equal pieces that each fit and overlap their neighbours."""
    count = max(1, int(np.ceil((total - OVERLAP) / (held - OVERLAP) - 1e-9)))
    long = (total + (count - 1) * OVERLAP) / count
    return [(n * (long - OVERLAP), n * (long - OVERLAP) + long) for n in range(count)]

"""One face of one cut on paper: image, habitats, outline, cores and the letters round it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from comould.pl.decor import ON_LIGHT
from comould.pl.style import habitat_colour
from comould.report.sheet.inks import shade
from comould.report.sheet.layout import LETTERS, Box, Slot
from comould.report.sheet.page import FAINT, INK, PT_MM, Page
from comould.report.sheet.scene import Core, Cut, Scene, Turn
from comould.space import FloatArray

OUTLINE = "#c4002f"
MASK = "#3a1f8f"
SLIT = "#0050a0"


@dataclass(frozen=True, eq=False)
class Placed:
    """A face on a page: how plane millimetres become page millimetres.

    Parameters
    ----------
    turn
        How the plane lies on paper.
    box
        Where its window, or the part of it shown, is on the page.
    low
        Turned plane coordinates at the box's upper left corner.
    scale
        Page mm per patient mm.
    """

    turn: Turn
    box: Box
    low: FloatArray
    scale: float

    @classmethod
    def of(cls, scene: Scene, turn: Turn, slot: Slot, part: tuple[FloatArray, FloatArray] | None = None) -> Placed:
        """Place a face; ``part`` is what of the window is shown (from, to; mm from its upper left corner)."""
        size = np.asarray(scene.size)
        start, stop = part if part is not None else (np.zeros(2), size)
        corner = scene.low
        if np.linalg.det(turn.matrix @ scene.turn.matrix.T) < 0:
            corner = np.array([-scene.high[0], scene.low[1]])
        wide, high = slot.scale * (stop - start)
        return cls(turn, Box(slot.x, slot.y, float(wide), float(high)), corner + start, slot.scale)

    def xy(self, uv: FloatArray) -> FloatArray:
        """Page positions ``(n, 2)`` of plane positions ``(n, 2)``."""
        turned = np.atleast_2d(uv) @ self.turn.matrix.T
        return np.asarray(np.array([self.box.x, self.box.y]) + self.scale * (turned - self.low))


def draw_face(page: Page, scene: Scene, cut: Cut, placed: Placed, grey: FloatArray | None) -> None:
    """Draw image, habitats, outlines and the cores taken from this face."""
    box = placed.box
    if grey is not None:
        _image(page, scene, placed, grey)
    for region in cut.regions:
        rings = [placed.xy(ring) for ring in region.rings]
        colour = habitat_colour(region.number)
        page.shape(rings, fill=(*_rgb(colour), 0.32), edge=colour, width=1.0, clip=box)
    page.shape([placed.xy(ring) for ring in cut.mask], edge=MASK, width=1.0, clip=box, dashed=True)
    page.shape([placed.xy(ring) for ring in cut.outlines], edge=OUTLINE, width=1.1, clip=box)
    if cut.slit is not None:
        page.line(placed.xy(cut.slit), 2.8, "white")
        page.line(placed.xy(cut.slit), 1.6, SLIT, linestyle=(0, (1.2, 0.8)))
    taken = _cores(page, [core for core in cut.cores if core.face == placed.turn.face], placed)
    if placed.scale > 0.45:
        _names(page, cut, placed, taken)


def _image(page: Page, scene: Scene, placed: Placed, grey: FloatArray) -> None:
    """Place the whole raster; a tile is cut out of it by clipping, so that no pixel moves."""
    turned = np.linalg.det(placed.turn.matrix @ scene.turn.matrix.T) < 0
    corner = np.array([-scene.high[0], scene.low[1]]) if turned else scene.low
    x, y = np.array([placed.box.x, placed.box.y]) + placed.scale * (corner - placed.low)
    whole = Box(float(x), float(y), placed.scale * scene.size[0], placed.scale * scene.size[1])
    page.picture(grey[:, ::-1] if turned else grey, whole, clip=placed.box)


def _names(page: Page, cut: Cut, placed: Placed, taken: list[Box]) -> None:
    """Name the habitats where neither a core nor its name is in the way."""
    for region in cut.regions:
        for x, y in placed.xy(region.names_at) if len(region.names_at) else ():
            at = Box(x - 2.2, y - 1.3, 4.4, 2.6)
            if _within((x, y), placed.box) and not any(_meets(at, other) for other in taken):
                taken.append(at)
                _lifted(page, x, y, f"H{region.number}", 7.0)


def _cores(page: Page, cores: list[Core], placed: Placed) -> list[Box]:
    """Draw cores with their names; returns the room they take."""
    centres = [placed.xy(np.array(core.uv_mm))[0] for core in cores]
    taken: list[Box] = []
    for core, (x, y) in zip(cores, centres, strict=True):
        radius = 0.5 * core.diameter_mm * placed.scale
        if not _within((x, y), placed.box):
            continue
        page.circle(x, y, radius, width=2.6, colour="white", clip=placed.box)
        page.circle(x, y, radius, width=1.3, colour=INK, clip=placed.box)
        taken.append(Box(x - radius, y - radius, 2 * radius, 2 * radius))
    for core, (x, y) in zip(cores, centres, strict=True):
        if placed.scale <= 0.45 or not _within((x, y), placed.box):
            continue
        at = _free_place(x, y, 0.5 * core.diameter_mm * placed.scale, core.id, taken)
        taken.append(at)
        _lifted(page, at.x + 0.5 * at.width, at.y + 0.5 * at.height, core.id, 7.0)
    return taken


def _free_place(x: float, y: float, radius: float, text: str, taken: list[Box]) -> Box:
    """Find room for a core's name above, below or beside it; above when there is none."""
    wide, high = len(text) * 7.0 * 0.66 * PT_MM, 7.0 * PT_MM
    gap = radius + 0.7
    places = [
        Box(x - 0.5 * wide, y - gap - high, wide, high),
        Box(x - 0.5 * wide, y + gap, wide, high),
        Box(x + gap, y - 0.5 * high, wide, high),
        Box(x - gap - wide, y - 0.5 * high, wide, high),
    ]
    return next((place for place in places if not any(_meets(place, other) for other in taken)), places[0])


def _meets(a: Box, b: Box) -> bool:
    return a.x < b.right and b.x < a.right and a.y < b.bottom and b.y < a.bottom


def _within(xy: tuple[float, float], box: Box) -> bool:
    return box.x <= xy[0] <= box.right and box.y <= xy[1] <= box.bottom


def _lifted(page: Page, x: float, y: float, text: str, size: float) -> None:
    page.text(x, y, text, size, ha="center", va="center", weight="bold", path_effects=ON_LIGHT.lift(2.2))


def draw_letters(page: Page, placed: Placed, inks: Mapping[str, str], *, size: float = 15.0) -> None:
    """Write the patient directions round a picture, each over a bar of its ink."""
    box = placed.box
    middle = box.x + 0.5 * box.width, box.y + 0.5 * box.height
    places = {
        "left": (box.x - 0.5 * LETTERS, middle[1]),
        "right": (box.right + 0.5 * LETTERS, middle[1]),
        "top": (middle[0], box.y - 0.5 * LETTERS),
        "bottom": (middle[0], box.bottom + 0.5 * LETTERS),
    }
    for edge, text in placed.turn.edge_letters().items():
        x, y = places[edge]
        fitted = size if len(text) == 1 else size * (0.8 if edge in {"top", "bottom"} else 0.62)
        page.text(x, y + 1.2, text, fitted, ha="center", weight="bold")
        bar = Box(x - 3.0, y + 2.2, 6.0, 1.5)
        page.rect(bar, fill=shade(inks[text[0]]), edge=INK, width=0.3)


def draw_corners(page: Page, box: Box) -> None:
    """Mark the corners of a picture lightly: the window, without a frame that would compete with the tissue."""
    for x, across in ((box.x, 1.0), (box.right, -1.0)):
        for y, down in ((box.y, 1.0), (box.bottom, -1.0)):
            page.line([(x + 3.0 * across, y), (x, y), (x, y + 3.0 * down)], 0.5, FAINT)


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    made: Any = to_rgb(colour)
    return float(made[0]), float(made[1]), float(made[2])

"""The page of one cut: both faces, what to do, what to write down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from comould.pl.style import habitat_colour
from comould.report.sheet.facts import Facts, PlaneFacts, spoken
from comould.report.sheet.layout import (
    FOOTER,
    MARGIN,
    OVERLAP,
    SIDE,
    Box,
    Layout,
    Slot,
    Tile,
    paper_needed,
)
from comould.report.sheet.page import FAINT, INK, MUTED, Page, bars
from comould.report.sheet.picture import MASK, OUTLINE, SLIT, Placed, draw_corners, draw_face, draw_letters
from comould.report.sheet.scene import Cut, Scene, Turn
from comould.space import FloatArray

BANNER = "#ffe08a"


@dataclass(frozen=True, eq=False)
class Kit:
    """What every plane's page is made from."""

    scene: Scene
    facts: Facts
    layout: Layout
    inks: Mapping[str, str]


def plane_pages(kit: Kit, cut: Cut) -> list[Page]:
    """Draw the page of a cut, and its tiles when the picture is larger than the paper."""
    grey = kit.scene.grey(cut)
    turn = _turn(kit.scene, cut.plane.face)
    page = Page(kit.layout.page)
    _header(page, kit, cut)
    for slot, seen in ((kit.layout.main, turn), (kit.layout.other, turn.mirrored())):
        _face(page, kit, cut, slot, seen, grey)
    _form(page, kit, cut)
    if not kit.layout.tiles:
        bars(page, *bar_corner(page))
    legend(page, kit.scene)
    return [page, *(_tile_page(kit, cut, tile, grey) for tile in kit.layout.tiles)]


def _turn(scene: Scene, face: str) -> Turn:
    """How the plane lies when one looks at a face: as imaged, or its mirror image."""
    return scene.turn if scene.turn.face == face else scene.turn.mirrored()


def bar_corner(page: Page) -> tuple[float, float]:
    """Where the two 50 mm bars meet."""
    return MARGIN + SIDE - 3.0, page.size[1] - MARGIN - FOOTER - 6.0


def _header(page: Page, kit: Kit, cut: Cut) -> None:
    facts = kit.facts.planes[cut.plane.id]
    width = page.size[0]
    name = cut.plane.id
    page.text(MARGIN - 0.8, MARGIN + 19.5, name, 60.0 if len(name) <= 3 else 180.0 / len(name), weight="bold")
    page.text(MARGIN, MARGIN + 27.5, f"cut {facts.number} of {facts.of}", 11.0, color=MUTED)
    _scale_note(page, kit)
    rows = [
        ("from the specimen's end " + kit.facts.first_end, f"{facts.depth_mm:.1f} mm"),
        ("from the mould's outer wall " + kit.facts.first_end, f"{facts.wall_mm:.1f} mm"),
        (
            "image slice (index, first is 0)" if facts.image_index else "of the image's slices",
            facts.image_index or "none",
        ),
        ("kerf, lost to the knife", f"{cut.plane.kerf_mm:g} mm"),
    ]
    if facts.slot_mm is not None:
        rows.append(("slot; a longer knife goes in point first", f"{facts.slot_mm:.0f} mm"))
    x = MARGIN + 53.0
    for n, (label, value) in enumerate(rows):
        y = MARGIN + 4.0 + 4.9 * n
        page.text(x, y, value, 11.0, weight="bold")
        page.text(x + 27.0, y, label, 8.5, color=MUTED)
    _slab_strip(page, kit.facts, cut, facts, width - MARGIN - 58.0)
    page.line([(MARGIN, MARGIN + 32.0), (width - MARGIN, MARGIN + 32.0)], 0.8)


def _scale_note(page: Page, kit: Kit) -> None:
    if kit.layout.tiles:
        count = len(kit.layout.tiles)
        where = f"tiles on the next {count} pages" if count > 1 else "on the next page"
        page.rect(Box(MARGIN + 32.0, MARGIN + 25.4, 91.0, 5.6), fill=BANNER, edge="none")
        note = f"NOT 1:1: this page {100.0 * kit.layout.main.scale:.0f} %. 1:1 {where}"
        page.text(MARGIN + 34.0, MARGIN + 29.3, note, 8.0, weight="bold")


def _slab_strip(page: Page, facts: Facts, cut: Cut, words: PlaneFacts, x: float) -> None:
    """Draw the two slabs beside the cut, the photographed face with a thick edge and an eye."""
    y, wide, high, gap = MARGIN + 2.5, 23.0, 11.0, 7.0
    left, right = Box(x, y, wide, high), Box(x + wide + gap + 5.0, y, wide, high)
    for box, slab in ((left, words.before), (right, words.after)):
        page.rect(box, fill="#f1f3f5", edge=FAINT, width=0.6)
        page.text(box.x + 0.5 * wide, y + 7.6, slab, 15.0, ha="center", weight="bold")
    middle = 0.5 * (left.right + right.x)
    page.line([(middle, y - 2.0), (middle, y + high + 2.0)], 0.8, linestyle=(0, (3, 2)))
    seen = right.x if cut.plane.face == "-" else left.right
    toward = -1.0 if cut.plane.face == "-" else 1.0
    page.line([(seen, y - 0.3), (seen, y + high + 0.3)], 3.2)
    tip = seen + 1.0 * toward
    page.shape(
        [np.array([(tip, y + 5.5), (tip + 3.4 * toward, y + 3.6), (tip + 3.4 * toward, y + 7.4), (tip, y + 5.5)])],
        fill=INK,
    )
    arrow = y + high + 3.6
    for end, at, away, align in ((left.x, -1.0, 1.0, "left"), (right.right, 1.0, -1.0, "right")):
        tail = end + 5.0 * away
        page.line([(tail, arrow), (end, arrow)], 1.0)
        page.line([(end + 1.6 * away, arrow - 1.1), (end, arrow), (end + 1.6 * away, arrow + 1.1)], 1.0)
        page.text(tail + 1.5 * away, y + high + 5.0, facts.end(at), 10.0, ha=align, weight="bold")
    side = spoken(facts.end(-1.0 if cut.plane.face == "-" else 1.0))
    page.text(x + 29.0, y + high + 10.5, f"photograph {words.photographed}, its {side} face", 8.5, ha="center")
    page.text(x + 29.0, y + high + 14.5, f"(the face that lies at {cut.plane.id})", 7.5, ha="center", color=MUTED)


def _face(page: Page, kit: Kit, cut: Cut, slot: Slot, turn: Turn, grey: FloatArray | None) -> None:
    placed = Placed.of(kit.scene, turn, slot)
    draw_corners(page, placed.box)
    draw_face(page, kit.scene, cut, placed, grey)
    draw_letters(page, placed, kit.inks, size=15.0 if slot.scale > 0.6 else 11.0)
    facts = kit.facts.planes[cut.plane.id]
    main = turn.face == cut.plane.face
    slab = facts.photographed if main else facts.opposite
    seen = "as imaged" if turn.face == kit.scene.turn.face else "mirror image of the scan"
    scale = "1:1" if slot.scale == 1.0 else f"{100 * slot.scale:.0f} %, not 1:1"
    if main and kit.layout.tiles:
        scale += f" (whole at 1:1 it needs {paper_needed(kit.scene.size)})"
    x, y = placed.box.x + 0.5 * placed.box.width, placed.box.y - 8.0
    what = f"Photographed face: slab {slab}" if main else f"Opposite face: slab {slab}"
    small = slot.scale < 0.6
    page.text(x, y - 5.0, what, 8.5 if small else 11.5, ha="center", weight="bold")
    page.text(x, y - 1.0, f"{seen} · {scale}", 7.0 if small else 8.5, ha="center", color=MUTED)
    if not cut.outlines:
        page.text(x, placed.box.y + 0.5 * placed.box.height, "no tissue on this plane", 11.0, ha="center", color=MUTED)


def _form(page: Page, kit: Kit, cut: Cut) -> None:
    """Tick boxes and writing lines: a row below the pictures, or a column beside them."""
    form = kit.layout.form
    ticks = ["cut", "photographed", "inked", "sampled"]
    lines = [f"Slab {kit.facts.planes[cut.plane.id].photographed}: thickness mm, weight g", "Remarks", "By, date, time"]
    if kit.layout.upright:
        step = form.width / 4.0
        for n, label in enumerate(ticks):
            page.tick(form.x + n * step, form.y + 8.0, label, 11.0)
        for n, label in enumerate(lines):
            page.blank(form.x, form.y + 18.0 + 9.5 * n, label, form.right)
        return
    for n, label in enumerate(ticks):
        page.tick(form.x, form.y + 6.0 + 8.0 * n, label, 11.0)
    for n, label in enumerate(lines):
        y = form.y + 42.0 + 12.0 * n
        page.text(form.x, y, label, 8.5, color=MUTED)
        page.line([(form.x, y + 6.5), (form.right, y + 6.5)], 0.5, MUTED)


def legend(page: Page, scene: Scene) -> None:
    """Explain lines and colours, right of the lying bar."""
    x, y = MARGIN + SIDE + 54.0, bar_corner(page)[1] - 3.0
    items: list[tuple[str, str]] = [("specimen", OUTLINE)]
    if any(cut.mask for cut in scene.cuts):
        items.append(("segmented structure", MASK))
    for text, colour in items:
        dashed = (0, (4.0, 2.5)) if colour == MASK else "solid"
        page.line([(x, y - 1.0), (x + 7.0, y - 1.0)], 1.3, colour, linestyle=dashed)
        page.text(x + 9.0, y, text, 8.0)
        x += 12.0 + 1.55 * len(text)
    if any(cut.slit is not None for cut in scene.cuts):
        page.line([(x, y - 1.0), (x + 5.0, y - 1.0)], 1.4, SLIT, linestyle=(0, (1.2, 1.0)))
        page.text(x + 6.5, y, "orientation slit", 8.0)
        x += 33.0
    if any(cut.cores for cut in scene.cuts):
        page.circle(x + 2.0, y - 1.0, 1.6, width=1.3, colour=INK)
        page.text(x + 5.5, y, "core, from this face", 8.0)
    x, y = MARGIN + SIDE + 54.0, y + 5.5
    numbers = sorted({region.number for cut in scene.cuts for region in cut.regions})
    for number in numbers:
        name = scene.habitat_names.get(number, "")
        text = f"H{number}" + (f" {name}" if name and name != f"H{number}" else "")
        if x + 6.0 + 1.6 * len(text) > page.size[0] - MARGIN:
            break
        page.rect(Box(x, y - 2.6, 4.0, 3.2), fill=habitat_colour(number), edge=INK, width=0.3)
        page.text(x + 5.4, y, text, 8.0)
        x += 9.0 + 1.6 * len(text)


def _tile_page(kit: Kit, cut: Cut, tile: Tile, grey: FloatArray | None) -> Page:
    """Draw one tile at 1:1, with the lines along which its neighbours join."""
    page = Page(kit.layout.page)
    turn = _turn(kit.scene, cut.plane.face)
    part = np.array([tile.x_mm[0], tile.y_mm[0]]), np.array([tile.x_mm[1], tile.y_mm[1]])
    placed = Placed.of(kit.scene, turn, kit.layout.tile_slot, part)
    facts = kit.facts.planes[cut.plane.id]
    name = cut.plane.id
    page.text(MARGIN - 0.8, MARGIN + 19.5, name, 60.0 if len(name) <= 3 else 180.0 / len(name), weight="bold")
    many = len(kit.layout.tiles) > 1
    page.text(MARGIN + 62.0, MARGIN + 10.0, f"tile {tile.name}" if many else "whole", 24.0, weight="bold")
    page.text(MARGIN + 62.0, MARGIN + 18.0, f"photographed face of slab {facts.photographed} · 1:1", 11.0)
    if many:
        how = "Cut along the dashed lines and lay neighbours edge to edge; the crosses must meet."
        page.text(MARGIN + 62.0, MARGIN + 24.0, how, 8.5, color=MUTED)
        _tile_map(page, kit.layout.tiles, tile)
    page.line([(MARGIN, MARGIN + 32.0), (page.size[0] - MARGIN, MARGIN + 32.0)], 0.8)
    draw_face(page, kit.scene, cut, placed, grey)
    draw_letters(page, placed, kit.inks)
    _joins(page, kit.layout.tiles, tile, placed.box)
    bars(page, *bar_corner(page))
    legend(page, kit.scene)
    return page


def _tile_map(page: Page, tiles: tuple[Tile, ...], here: Tile) -> None:
    rows, columns = max(t.row for t in tiles) + 1, max(t.column for t in tiles) + 1
    high, wide = 26.0 / max(rows, 2), 36.0 / max(columns, 3)
    for tile in tiles:
        x = page.size[0] - MARGIN - (columns - tile.column) * wide
        box = Box(x, MARGIN + 2.0 + tile.row * high, wide, high)
        page.rect(box, fill="#d5dade" if tile == here else "white", width=0.6)
        page.text(box.x + 0.5 * wide, box.y + 0.5 * high, tile.name, 8.0, ha="center", va="center")


def _joins(page: Page, tiles: tuple[Tile, ...], here: Tile, box: Box) -> None:
    """Mark the middle of each overlap: a dashed line and two crosses at places its neighbour marks too."""
    half = 0.5 * OVERLAP
    beside = {(tile.row - here.row, tile.column - here.column): tile.name for tile in tiles}
    for (down, across), at in {
        (0, -1): box.x + half,
        (0, 1): box.right - half,
        (-1, 0): box.y + half,
        (1, 0): box.bottom - half,
    }.items():
        if (down, across) not in beside:
            continue
        line = [(at, box.y), (at, box.bottom)] if across else [(box.x, at), (box.right, at)]
        page.line(line, 0.7, INK, linestyle=(0, (5, 3)))
        for share in (0.25, 0.75):
            x, y = (at, box.y + share * box.height) if across else (box.x + share * box.width, at)
            page.line([(x - 3.0, y), (x + 3.0, y)], 0.9)
            page.line([(x, y - 3.0), (x, y + 3.0)], 0.9)

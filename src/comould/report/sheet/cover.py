"""The cover: the mould, which way round, the inks, what to check before the first cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from comould.pl.decor import Pen
from comould.pl.kinds import MouldLike
from comould.pl.mould_figure import compass, mould_picture
from comould.pl.render import Rendered
from comould.report.sheet.facts import Facts, spoken
from comould.report.sheet.inks import NAMES, shade
from comould.report.sheet.layout import LETTERS, MARGIN, PAPERS, Box
from comould.report.sheet.page import FAINT, INK, MUTED, Page, bars
from comould.report.sheet.plane_page import bar_corner
from comould.space import FloatArray

TEXT_PEN = Pen(INK, INK, "")

CHECKLIST = (
    'Printed at 100 % ("actual size"): both 50 mm bars measured with a ruler',
    "Mould and sheet belong together: same mould ID",
    "Which way round the specimen lies: checked with the surgeon",
    "Ink colours agreed with the pathologist, specimen inked",
    "Specimen seated, nothing trapped under it; photographed in the mould",
    "Blade fits the slots and reaches their floor",
    "Slabs laid out in order, labelled, photographed with a scale beside them",
)


def cover(facts: Facts, inks: Mapping[str, str], title: str, paper: str) -> Page:
    """Draw the cover, upright."""
    page = Page(PAPERS[paper])
    width = page.size[0]
    page.text(MARGIN, MARGIN + 10.0, title, 26.0 if len(title) <= 30 else 780.0 / len(title), weight="bold")
    if facts.mould_id:
        page.text(width - MARGIN, MARGIN + 10.0, facts.mould_id, 26.0, weight="bold", ha="right")
        page.text(width - MARGIN, MARGIN + 16.0, "mould ID, engraved", 8.5, color=MUTED, ha="right")
    page.text(MARGIN, MARGIN + 17.0, _subtitle(facts), 10.5, color=MUTED)
    page.line([(MARGIN, MARGIN + 20.5), (width - MARGIN, MARGIN + 20.5)], 0.8)
    half = 0.5 * (width - 2 * MARGIN) - 3.0
    top = MARGIN + 24.0
    _cut_away(page, facts.mould, Box(MARGIN, top, half, 80.0))
    _from_above(page, facts, Box(MARGIN + half + 6.0, top, half, 80.0))
    below = top + 93.0
    _way_round(page, facts, Box(MARGIN, below, half, 60.0))
    _numbers(page, facts, Box(MARGIN + half + 6.0, below, half, 60.0))
    lower = below + 57.0
    _inks(page, inks, Box(MARGIN + 74.0, lower, width - 2 * MARGIN - 74.0, 20.0))
    _checks(page, Box(MARGIN + 74.0, lower + 25.0, width - 2 * MARGIN - 74.0, 60.0))
    bars(page, *bar_corner(page))
    _printer_note(page)
    return page


def _subtitle(facts: Facts) -> str:
    template = getattr(facts.mould, "template", None)
    plan = facts.mould.plan
    parts = [str(template.name).replace("_", " ")] if template is not None else []
    parts += [f"{len(plan)} cut{'s' if len(plan) != 1 else ''}", f"{len(plan) + 1} slabs"]
    parts.append(f"numbered from {facts.end(-1.0)} to {facts.end(1.0)}")
    return " · ".join(parts)


def _heading(page: Page, x: float, y: float, text: str) -> None:
    page.text(x, y, text, 12.0, weight="bold")


def _fitted(page: Page, picture: Rendered, box: Box) -> tuple[Box, Any]:
    """Put a rendered picture into a box, whole and undistorted; returns where it lies and its axes."""
    high, wide = picture.rgba.shape[:2]
    scale = min(box.width / wide, box.height / high)
    at = Box(
        box.x + 0.5 * (box.width - scale * wide),
        box.y + 0.5 * (box.height - scale * high),
        scale * wide,
        scale * high,
    )
    ax = page.inset(at)
    ax.imshow(picture.rgba, extent=(0.0, 1.0, 1.0, 0.0), interpolation="none", aspect="auto")
    return at, ax


def _cut_away(page: Page, mould: MouldLike, box: Box) -> None:
    _heading(page, box.x, box.y + 4.0, "The specimen in its mould, cut away")
    picture = mould_picture(mould, "cut", width_px=460)
    _fitted(page, picture, Box(box.x, box.y + 7.0, box.width, box.height - 7.0))
    corner = page.inset(Box(box.right - 24.0, box.bottom - 8.0, 24.0, 16.0))
    compass(corner, picture.camera, mould.mould_from_patient.matrix[:3, :3])


def _from_above(page: Page, facts: Facts, box: Box) -> None:
    """Show the mould from above with a letter at each side and the cuts by name."""
    _heading(page, box.x, box.y + 4.0, "From above, front side down")
    picture = mould_picture(facts.mould, "top", width_px=460)
    room = Box(box.x + LETTERS, box.y + 16.0, box.width - 2 * LETTERS, box.height - 12.0 - LETTERS)
    at, _ = _fitted(page, picture, room)
    right, down = np.asarray(picture.camera.right), np.asarray(picture.camera.down)
    middle = at.x + 0.5 * at.width, at.y + 0.5 * at.height
    for x, y, direction in (
        (at.x - 5.0, middle[1], -right),
        (at.right + 5.0, middle[1], right),
        (middle[0], at.y - 7.5, -down),
        (middle[0], at.bottom + 5.5, down),
    ):
        page.text(x, y + 1.6, _engraved(facts, direction), 13.0, ha="center", weight="bold")
    _slot_names(page, facts, picture, at)


def _engraved(facts: Facts, direction: FloatArray) -> str:
    """Letters of the wall a horizontal direction of the mould frame points to."""
    axis = int(np.argmax(np.abs(direction)))
    return facts.wall(axis, float(direction[axis]))


def _slot_names(page: Page, facts: Facts, picture: Rendered, at: Box) -> None:
    """Write plane ids at the ends of their slots, as many as there is room for."""
    left, right, _, top = picture.extent
    scale = at.width / (right - left)
    low = np.asarray(facts.mould.specimen.vertices).min(axis=0)
    high = np.asarray(facts.mould.specimen.vertices).max(axis=0)
    middle = 0.5 * (low + high)
    camera = picture.camera.matrix
    places = []
    for plane in facts.mould.plan:
        foot = facts.mould.mould_from_patient.apply([plane.origin_mm])[0]
        normal = facts.rotation @ np.asarray(plane.normal)
        centre = middle + normal * float((foot - middle) @ normal)
        seen = camera @ centre
        places.append((at.x + (seen[0] - left) * scale, at.y + (seen[1] - top) * scale))
    xy = np.array(places)
    step = np.abs(np.diff(xy, axis=0)).max(axis=0) if len(xy) > 1 else np.array([99.0, 0.0])
    lying = step[0] >= step[1]
    every = max(1, int(np.ceil((7.5 if lying else 4.0) / max(float(step.max()), 0.1))))
    for n, plane in enumerate(facts.mould.plan):
        if n % every == 0:
            x, y = (xy[n, 0], at.y - 2.0) if lying else (at.x - 2.0, xy[n, 1] + 1.0)
            page.text(x, y, plane.id, 7.5, ha="center" if lying else "right")


def _way_round(page: Page, facts: Facts, box: Box) -> None:
    _heading(page, box.x, box.y, "Which way round")
    first, last = facts.mould.plan.planes[0].id, facts.mould.plan.planes[-1].id
    rows = [
        ("up, the opening", facts.wall(2, 1.0)),
        ("front wall", facts.wall(1, -1.0)),
        ("back wall", facts.wall(1, 1.0)),
        (f"left end, near {first}", facts.wall(0, -1.0)),
        (f"right end, near {last}", facts.wall(0, 1.0)),
    ]
    for n, (label, letter) in enumerate(rows):
        y = box.y + 7.5 + 6.2 * n
        page.text(box.x, y, letter, 12.0, weight="bold")
        page.text(box.x + 13.0, y, label, 9.5)
        page.text(box.x + 50.0, y, spoken(letter) if set(letter) <= set(NAMES) else "", 9.0, color=MUTED)
    notes = ["Turn the mould until the slot numbers rise from left to right:", "you then stand at its front."]
    if facts.setting("key_mm"):
        notes.append("Keyed corner (unlike the others): back left.")
    if any("slit" in key and value for key, value in facts.report.items()):
        notes.append("The lengthwise orientation slit stays visible on every slab.")
    for n, note in enumerate(notes):
        page.text(box.x, box.y + 39.0 + 4.4 * n, note, 8.5)


def _numbers(page: Page, facts: Facts, box: Box) -> None:
    _heading(page, box.x, box.y, "The cuts")
    plan = facts.mould.plan
    kerf = sorted({plane.kerf_mm for plane in plan})
    rows = [
        ("cutting planes", f"{len(plan)}  ({plan.planes[0].id} to {plan.planes[-1].id})"),
        ("slabs", f"{len(facts.slabs)}  ({facts.slabs[0].id} to {facts.slabs[-1].id})"),
        ("spacing", facts.spacing),
        ("slot width (kerf)", ", ".join(f"{k:g}" for k in kerf) + " mm"),
    ]
    if facts.blade_mm is not None:
        rows.append(("shortest slot; longer knives go in point first", f"{facts.blade_mm:.0f} mm"))
    sides = " and ".join(sorted(spoken(facts.end(-1.0 if face == "-" else 1.0)) for face in facts.faces))
    rows += [
        ("photographed face", sides),
        ("specimen, along the cuts' normal", f"{facts.last_mm - facts.first_mm:.1f} mm"),
    ]
    rows.append(("scale", f"{float(facts.report.get('scale', 1.0)):.2f}"))
    for n, (label, value) in enumerate(rows):
        y = box.y + 7.5 + 5.4 * n
        page.text(box.x, y, label, 9.5, color=MUTED)
        page.text(box.right, y, value, 10.0, weight="bold", ha="right")
    page.text(box.x, box.y + 51.0, "Shrinkage after resection and fixation is not modelled.", 8.5)


def _inks(page: Page, inks: Mapping[str, str], box: Box) -> None:
    _heading(page, box.x, box.y + 3.0, "Inks")
    page.text(box.right, box.y + 3.0, "a proposal: agree with the pathologist", 8.5, color=MUTED, ha="right")
    step = box.width / len(inks)
    for n, (letter, colour) in enumerate(inks.items()):
        x = box.x + n * step
        page.rect(Box(x, box.y + 6.0, 5.0, 5.0), fill=shade(colour), edge=INK, width=0.5)
        page.text(x + 6.5, box.y + 10.3, letter, 12.0, weight="bold")
        page.text(x, box.y + 15.5, NAMES[letter], 8.0)
        page.text(x, box.y + 19.2, colour, 8.0, color=MUTED)


def _checks(page: Page, box: Box) -> None:
    _heading(page, box.x, box.y + 3.0, "Before the first cut")
    for n, line in enumerate(CHECKLIST):
        page.tick(box.x, box.y + 10.0 + 6.3 * n, line, 8.5, 4.0)
    y = box.y + 10.0 + 6.3 * len(CHECKLIST) + 3.0
    third = box.width / 2.0
    page.blank(box.x, y, "Date, time", box.x + third - 4.0)
    page.blank(box.x + third, y, "Name", box.right)


def _printer_note(page: Page) -> None:
    x, y = bar_corner(page)
    for n, line in enumerate(
        ("Measure both bars before", "trusting any picture: 50 mm", "each, or print again at 100 %.")
    ):
        page.text(x + 6.0, y - 24.0 + 4.2 * n, line, 8.5)
    page.line([(x + 62.0, y), (x + 62.0, y - 48.0)], 0.4, FAINT)

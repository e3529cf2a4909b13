"""The last pages: every slab and every core in a table, with boxes to tick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from comould.report.sheet.facts import Facts
from comould.report.sheet.layout import FOOTER, MARGIN, PAPERS, Box
from comould.report.sheet.page import FAINT, INK, MUTED, Page
from comould.report.sheet.scene import Core

ROW = 6.4
TICK = "[ ]"


@dataclass(frozen=True)
class Column:
    """A column: heading, where it begins as a share of the width, and whether numbers are set flush right."""

    heading: str
    at: float
    right: bool = False


SLABS = (
    Column("slab", 0.0),
    Column("between", 0.09),
    Column("mm thick", 0.36, True),
    Column("from mm", 0.46, True),
    Column("to mm", 0.55, True),
    Column("photo at", 0.575),
    Column("cut", 0.69),
    Column("photo", 0.745),
    Column("inked", 0.81),
    Column("weight, g", 0.88),
)
CORES = (
    Column("core", 0.0),
    Column("slab", 0.11),
    Column("plane", 0.185),
    Column("habitat", 0.27),
    Column("diam. mm", 0.46, True),
    Column("u mm", 0.54, True),
    Column("v mm", 0.62, True),
    Column("L+ mm", 0.71, True),
    Column("P+ mm", 0.80, True),
    Column("S+ mm", 0.89, True),
    Column("taken", 0.94),
)


def list_pages(facts: Facts, cores: Sequence[Core], paper: str) -> list[Page]:
    """Draw the tables, on as many pages as they need."""
    book = _Book(paper)
    book.table("Slabs", "Depths run from the specimen's end " + facts.first_end + "; the kerf is left out.", SLABS)
    for slab in facts.slabs:
        book.row([
            slab.id, slab.between, f"{slab.thickness_mm:.1f}", f"{slab.start_mm:.1f}", f"{slab.stop_mm:.1f}",
            slab.photographed_at, TICK, TICK, TICK, "_",
        ])  # fmt: skip
    if cores:
        note = "u, v on the plane; L+, P+, S+ the point's place in the patient (LPS). Each from the face at its plane."
        book.table("Cores", note, CORES)
    for core in cores:
        plane = facts.mould.plan[core.plane_id]
        at = plane.patient_from_plane.apply(np.array([[*core.uv_mm, 0.0]]))[0]
        book.row([
            core.id, core.slab, core.plane_id, core.habitat[:18], f"{core.diameter_mm:g}",
            *(f"{value:.1f}" for value in (*core.uv_mm, *at)), TICK,
        ])  # fmt: skip
    return book.pages


class _Book:
    """Pages that fill from the top; a table that reaches the foot goes on with its headings on the next."""

    def __init__(self, paper: str) -> None:
        self.size = PAPERS[paper]
        self.pages: list[Page] = []
        self.y = np.inf
        self.head: Callable[[], None] | None = None
        self.columns: tuple[Column, ...] = ()

    @property
    def page(self) -> Page:
        """The page being filled."""
        return self.pages[-1]

    def table(self, title: str, note: str, columns: tuple[Column, ...]) -> None:
        """Begin a table."""
        self.columns = columns
        self.y += 10.0
        self._turn(3 * ROW + 24.0)
        self._headings(title, note)
        self.head = lambda: self._headings(f"{title}, continued", note)

    def row(self, cells: Sequence[str]) -> None:
        """Write one row."""
        if self._turn(ROW) and self.head is not None:
            self.head()
        for column, cell in zip(self.columns, cells, strict=True):
            self._cell(column, cell)
        self.page.line([(MARGIN, self.y + 2.1), (self.size[0] - MARGIN, self.y + 2.1)], 0.3, FAINT)
        self.y += ROW

    def _turn(self, needed: float) -> bool:
        if self.y + needed <= self.size[1] - MARGIN - FOOTER - 2.0:
            return False
        self.pages.append(Page(self.size))
        self.y = MARGIN + 8.0
        return True

    def _headings(self, title: str, note: str) -> None:
        self.page.text(MARGIN, self.y, title, 16.0, weight="bold")
        self.page.text(MARGIN, self.y + 6.0, note, 8.5, color=MUTED)
        self.y += 14.0
        for column in self.columns:
            self._write(column, column.heading, 8.0, MUTED)
        self.page.line([(MARGIN, self.y + 2.1), (self.size[0] - MARGIN, self.y + 2.1)], 0.8)
        self.y += ROW + 0.6

    def _cell(self, column: Column, cell: str) -> None:
        x = self._x(column)
        if cell == TICK:
            self.page.rect(Box(x, self.y - 3.4, 4.0, 4.0), edge=INK, width=0.8)
        elif cell == "_":
            self.page.line([(x, self.y + 0.4), (self.size[0] - MARGIN, self.y + 0.4)], 0.5, MUTED)
        else:
            self._write(column, cell, 9.5, INK)

    def _write(self, column: Column, text: str, size: float, colour: str) -> None:
        weight = "bold" if column.at == 0.0 else "normal"
        ha = "right" if column.right else "left"
        self.page.text(self._x(column), self.y, text, size, color=colour, ha=ha, weight=weight)

    def _x(self, column: Column) -> float:
        return MARGIN + column.at * (self.size[0] - 2 * MARGIN)

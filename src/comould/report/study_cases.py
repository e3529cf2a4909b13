"""The cases of a study's page: one table, a verdict and a way to its own report for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from comould.report.facts import chapter, number
from comould.report.home import VERDICT_WORDS

if TYPE_CHECKING:
    from comould.report.study import StudyCase

_TEXT = (
    "A case is to be looked at when a section of it is. Claims: rows of its own spatial test. Lost at: median "
    "displacement of the spots at which its claims are lost; a claim that no displacement loses does not come from the "
    "place."
)


@dataclass(frozen=True)
class CaseRow:
    """A row: the case, its verdict (``accept``, ``review``, ``reject``) in words, and cells under the headings."""

    name: str
    page: str
    verdict: str
    word: str
    cells: tuple[str, ...]


def cases_chapter(cases: Sequence[StudyCase]) -> dict[str, Any]:
    """Make the chapter; columns that no case fills are left out."""
    columns: list[tuple[str, list[str]]] = [
        ("Centre", [case.centre or "–" for case in cases]),
        ("Sections", [_sections(case) for case in cases]),
        ("Claims", [number(case.claimed) for case in cases]),
        ("Lost at", [_lost(case) for case in cases]),
        ("Steps", [number(len(case.done)) for case in cases]),
        ("Seconds", [f"{case.seconds:.1f}" for case in cases]),
    ]
    filled = [(name, cells) for name, cells in columns if any(cell != "–" for cell in cells)]
    rows = []
    for n, case in enumerate(cases):
        verdict, word = verdict_of(case)
        rows.append(CaseRow(case.name, case.page, verdict, word, tuple(cells[n] for _, cells in filled)))
    headings = [name for name, _ in filled]
    told = any(case.verdicts or case.claimed is not None for case in cases)
    return chapter(
        "cases", "Cases", "How each case stands", _TEXT if told else "", cases={"headings": headings, "rows": rows}
    )


def verdict_of(case: StudyCase) -> tuple[str, str]:
    """Judge a case: failed, to be looked at for its sections' sake, or done."""
    if case.failed:
        return "reject", f"failed: {', '.join(case.failed)}"
    if any(case.verdicts.get(name) for name in ("review", "reject")):
        return "review", "done, see sections"
    return "accept", "done"


def _sections(case: StudyCase) -> str:
    said = [f"{case.verdicts[name]} {word.lower()}" for name, word in VERDICT_WORDS.items() if case.verdicts.get(name)]
    return ", ".join(said) or "–"


def _lost(case: StudyCase) -> str:
    return f"{case.lost_mm:.1f} mm" if isfinite(case.lost_mm) else "–"

"""StudyReport: how every case of a study stands, and what the patients say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.report import checklists
from comould.report.cohort import pooled_chapter
from comould.report.cohort import summary as of_cohort
from comould.report.facts import Figure, chapter, flat_items
from comould.report.study_cases import cases_chapter
from comould.report.study_model import StudyModel, model_chapter, model_limits
from comould.report.write import check_path, page, put

if TYPE_CHECKING:
    import pandas as pd

LIMITS = (
    (
        "The patient is the unit",
        "Spots of one patient say nothing of the next; only the pooled rows speak of patients.",
    ),
    ("Failed cases are not missing at random", "What could not be registered or tested may differ from what could."),
)


@dataclass(frozen=True)
class StudyCase:
    """One case of the study's page.

    Parameters
    ----------
    name
        Its pseudonym.
    centre
        Where it was treated; empty when not told.
    page
        Its own report, relative to the study's; empty when there is none.
    done
        Steps that are done.
    failed
        Step to what went wrong.
    seconds
        What this run took for it.
    verdicts
        How many of its sections got each verdict.
    claimed
        Claims at the case's own false-discovery rate; None when nothing was tested.
    lost_mm
        Median displacement at which its claims are lost; NaN when none is.
    """

    name: str
    centre: str = ""
    page: str = ""
    done: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    verdicts: Mapping[str, int] = field(default_factory=dict)
    claimed: int | None = None
    lost_mm: float = float("nan")


@dataclass(frozen=True, eq=False)
class StudyReport:
    """What the page shows.

    Parameters
    ----------
    title
        Heading; no patient data.
    simulated
        Whether all cases are simulated.
    cases
        In the order of the study.
    cohort
        Table of :func:`comould.associate.cohort`; None without one.
    cohort_page
        The cohort's own page, relative to the study's; empty when there is none.
    not_pooled
        Why patients were not pooled; empty when they were or nobody asked.
    model
        The habitat model of all cases; None when every case found its own.
    provenance
        From :func:`comould.io.output.provenance`.
    """

    title: str
    simulated: bool = False
    cases: Sequence[StudyCase] = ()
    cohort: pd.DataFrame | None = None
    cohort_page: str = ""
    not_pooled: str = ""
    model: StudyModel | None = None
    provenance: Mapping[str, Any] | None = None


def write_study(report: StudyReport, path: str | Path) -> Path:
    """Write a study's page; its links lead to the cases' own pages beside it.

    Parameters
    ----------
    report
        What to show.
    path
        The ``.html`` file; replaced if it exists.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the path does not end in ``.html`` or has no folder.
    """
    path = check_path(path)
    limits = chapter("limits", "Limits", "What this does not show", points=(*LIMITS, *model_limits(report.model)))
    parts = [
        model_chapter(report.model),
        _cohort(report),
        _failed(report),
        limits,
        _checklists(report),
        _provenance(report),
    ]
    chapters = [cases_chapter(report.cases), *(one for one in parts if one is not None)]
    eyebrow = "comould study" + " · simulated" * report.simulated
    text = page(
        "study.html.j2", eyebrow=eyebrow, title=report.title, summary=summary(report), numbers=_numbers(report),
        chapters=chapters,
    )  # fmt: skip
    return put(text, path)


def summary(report: StudyReport) -> str:
    """Say in two sentences how the study stands."""
    done = sum(not case.failed for case in report.cases)
    said = "Simulated cases. " if report.simulated else ""
    said += f"{done} of {len(report.cases)} cases are done"
    said += "." if done == len(report.cases) else "; the others are named below, with what went wrong."
    return said if report.cohort is None else f"{said} {of_cohort(report.cohort)}"


def _numbers(report: StudyReport) -> list[Figure]:
    centres = {case.centre for case in report.cases if case.centre}
    failed = sum(bool(case.failed) for case in report.cases)
    found = [(len(report.cases), "cases"), (len(report.cases) - failed, "done")]
    found += [(failed, "failed")] if failed else []
    found += [(len(centres), "centres")] if centres else []
    return [Figure(str(count), "", what) for count, what in found]


def _checklists(report: StudyReport) -> dict[str, Any]:
    known = checklists.Known(
        simulated=report.simulated,
        parameters=dict((report.provenance or {}).get("parameters") or {}),
        provenance=report.provenance is not None,
        spots=any(case.claimed is not None for case in report.cases),
        tested=any(case.claimed is not None for case in report.cases),
        cases=len(report.cases),
        centres=len({case.centre for case in report.cases if case.centre}),
        pooled=report.cohort is not None,
    )
    made = checklists.chapter(known)
    return chapter(made["id"], made["name"], made["heading"], text=made["text"], lists=made["lists"])


def _provenance(report: StudyReport) -> dict[str, Any] | None:
    pairs = flat_items(report.provenance)
    if not pairs:
        return None
    text = "Versions and choices of the study. Every case says its own on its page."
    return chapter("provenance", "Provenance", "How it was made", text=text, pairs=pairs)


def _cohort(report: StudyReport) -> dict[str, Any] | None:
    if report.not_pooled:
        text = f"Not pooled: {report.not_pooled}"
        return chapter("cohort", "Cohort", "What the patients say together", text)
    if report.cohort is None:
        return None
    links = [(report.cohort_page, "Patients apart, and how they were pooled")] if report.cohort_page else []
    return pooled_chapter(report.cohort) | {"links": links}


def _failed(report: StudyReport) -> dict[str, Any] | None:
    points = [(case.name, f"{step}: {text}") for case in report.cases for step, text in case.failed.items()]
    if not points:
        return None
    return chapter("failed", "Failed", "What went wrong", points=points)

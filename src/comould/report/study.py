"""StudyReport: how every case of a study stands, and what the patients say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.report import checklists
from comould.report.facts import Figure, Table, chapter, flat_items, number
from comould.report.home import VERDICT_WORDS
from comould.report.pictures import Picture
from comould.report.study_model import StudyModel, model_chapter, model_limits
from comould.report.write import check_path, page, put

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 15
COLUMNS = ("correlation", "low", "high", "p", "q", "n_patients", "carried_by")
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
    forest
        PNG of the strongest rows.
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
    forest: Path | None = None
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
        _tissue(report),
        _cohort(report),
        _failed(report),
        limits,
        _checklists(report),
        _provenance(report),
    ]
    chapters = [one for one in parts if one is not None]
    text = page(
        "study.html.j2", title=report.title, summary=summary(report), numbers=_numbers(report), cases=report.cases,
        chapters=chapters,
    )  # fmt: skip
    return put(text, path)


def summary(report: StudyReport) -> str:
    """Say in two sentences how the study stands."""
    done = sum(not case.failed for case in report.cases)
    said = "Simulated cases. " if report.simulated else ""
    said += f"{done} of {len(report.cases)} cases are done"
    said += "." if done == len(report.cases) else "; the others are named below, with what went wrong."
    if report.cohort is not None:
        tested = report.cohort[report.cohort["testable"].astype(str).str.lower() == "true"]
        said += f" {int((tested['q'].astype(float) <= 0.1).sum())} of {len(tested)} pooled rows are claimed at FDR 0.1."
    return said


def _numbers(report: StudyReport) -> list[Figure]:
    centres = {case.centre for case in report.cases if case.centre}
    failed = sum(bool(case.failed) for case in report.cases)
    found = [(len(report.cases), "cases"), (len(report.cases) - failed, "done")]
    found += [(failed, "failed")] if failed else []
    found += [(len(centres), "centres")] if centres else []
    return [Figure(str(count), "", what) for count, what in found]


def _tissue(report: StudyReport) -> dict[str, Any] | None:
    """Tell case by case what became of its sections, its claims, and how far a claim survives displaced spots."""
    told = [case for case in report.cases if case.verdicts or case.claimed is not None]
    if not told:
        return None
    rows = [
        [
            case.name,
            *(number(case.verdicts.get(verdict, 0)) if case.verdicts else "–" for verdict in VERDICT_WORDS),
            number(case.claimed),
            number(case.lost_mm),
        ]
        for case in told
    ]
    headings = ["case", *(word.lower() for word in VERDICT_WORDS.values()), "claims", "lost at, mm"]
    caption = (
        "Sections by verdict; claims of the spatial test; median displacement of the spots at which claims are lost. "
        "A claim that survives any displacement does not come from the place."
    )
    tables = [(caption, Table(headings, rows, [False] * len(rows)))]
    return chapter("tissue", "Tissue", "Sections and claims, case by case", tables=tables)


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
    made = chapter("cohort", "Cohort", "What the patients say together")
    if report.not_pooled:
        return made | {"text": f"Not pooled: {report.not_pooled}"}
    if report.cohort is None:
        return None
    columns = [name for name in COLUMNS if name in report.cohort]
    rows = [
        [f"{row['feature']} in {row['habitat']}", *(number(row[name]) for name in columns)]
        for row in report.cohort.head(MOST_ROWS).to_dict("records")
    ]
    table = Table(["row", *(name.replace("_", " ") for name in columns)], rows, [False] * len(rows))
    pictures = [_forest(report.forest)] if report.forest is not None and report.forest.is_file() else []
    return made | {"pictures": pictures, "tables": [("The strongest rows", table)]}


def _forest(path: Path) -> Picture:
    import base64

    from PIL import Image

    with Image.open(path) as picture:
        width, height = picture.size
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    alt = "Forest plot of the strongest pooled rows, with their intervals"
    return Picture(source=f"data:image/png;base64,{data}", alt=alt, caption="", width=width // 2, height=height // 2)


def _failed(report: StudyReport) -> dict[str, Any] | None:
    points = [(case.name, f"{step}: {text}") for case in report.cases for step, text in case.failed.items()]
    if not points:
        return None
    return chapter("failed", "Failed", "What went wrong", points=points)

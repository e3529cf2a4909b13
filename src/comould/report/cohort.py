"""The page of pooled patients, or of centres that shared sums only: one room for all commands that pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.errors import InputError
from comould.report import forest
from comould.report.facts import Figure, chapter, flat_items
from comould.report.write import check_path, page, put

if TYPE_CHECKING:
    import pandas as pd

    from comould.associate import FeatureEffects

FDR = 0.1
"""False-discovery rate at which a pooled row counts as claimed."""
NEEDED = (
    "feature", "kind", "habitat", "estimate", "low", "high", "predicted_low", "predicted_high", "p", "q", "n_patients",
    "testable", "carried_by",
)  # fmt: skip
LIMITS = (
    ("Research use only", "Not a medical device. Nothing here may guide diagnosis or treatment."),
    (
        "The patient is the unit",
        "Spots of one patient say nothing of the next; only the pooled rows speak of patients like these.",
    ),
    (
        "A habitat must be the same everywhere",
        "Rows are matched by the habitat's name. That of separate fits may mean something else in every patient.",
    ),
    (
        "Missing by chance is assumed",
        "Patients who lack a row are taken as missing by chance; a habitat without tissue to measure is not.",
    ),
    ("Chosen results bias everything", "All rows of all patients have to be given, not those that looked good."),
)


@dataclass(frozen=True, eq=False)
class CohortReport:
    """What the page shows; what is empty is left out.

    Parameters
    ----------
    table
        Of :func:`comould.associate.cohort` or :func:`comould.associate.combine_summaries`, smallest p first.
    n_patients, n_centres
        How many; 0 centres when not told.
    title
        Heading; no patient data.
    command
        What made it, above the heading.
    top
        Rows of the forest.
    patients
        Single rows taken apart into their patients (:func:`comould.associate.feature_effects`).
    left_out
        Centre left out to the table of the others (:func:`comould.associate.leave_one_centre_out`).
    provenance
        From :func:`comould.io.output.provenance`.

    Raises
    ------
    InputError
        If the table lacks a column.
    """

    table: pd.DataFrame
    n_patients: int
    n_centres: int = 0
    title: str = "What the patients say together"
    command: str = "comould cohort"
    top: int = 15
    patients: Sequence[FeatureEffects] = ()
    left_out: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    provenance: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, table in {"pooled table": self.table, **self.left_out}.items():
            if lacking := [column for column in NEEDED if column not in table]:
                raise InputError(
                    subject=name, expected="the columns of comould.associate.cohort", found=f"no {', '.join(lacking)}"
                )


def write_cohort(report: CohortReport, path: str | Path) -> Path:
    """Write one self-contained HTML file; see :func:`comould.report.write_case` for what it may and may not do.

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
    limits = chapter("limits", "Limits", "What this does not show", points=LIMITS)
    pairs = flat_items(report.provenance)
    made = [
        pooled_chapter(report.table, report.top, "What follows a habitat in patients like these"), _patients(report),
        _left_out(report), limits,
        chapter("provenance", "Provenance", "How it was made", pairs=pairs) if pairs else None,
    ]  # fmt: skip
    text = page(
        "study.html.j2", eyebrow=report.command, title=report.title, summary=summary(report.table),
        numbers=key_figures(report), chapters=[one for one in made if one is not None],
    )  # fmt: skip
    return put(text, path)


def claimed_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Give the rows claimed at the false-discovery rate :data:`FDR`."""
    return table[table["testable"] & (table["q"] <= FDR)]


def summary(table: pd.DataFrame) -> str:
    """Say how many pooled rows are claimed, and whether a single patient or centre carries them."""
    tested, claimed = int(table["testable"].sum()), claimed_rows(table)
    if not tested:
        return "No row could be tested: too few patients have any. The table says why for each."
    said = f"{len(claimed)} of {tested} pooled rows {'is' if len(claimed) == 1 else 'are'} claimed at FDR {FDR:g}."
    if carried := int((claimed["carried_by"] != "").sum()):
        said += (
            f" {carried} of them would be lost without a single patient or centre."
            if len(claimed) > 1
            else " It would be lost without a single patient or centre."
        )
    return said


def key_figures(report: CohortReport) -> list[Figure]:
    """Pick the few numbers a reader wants first."""
    claimed = claimed_rows(report.table)
    carried = int((claimed["carried_by"] != "").sum())
    centres = [Figure(str(report.n_centres), "", "centres")] if report.n_centres else []
    return [
        Figure(str(report.n_patients), "", "patients"), *centres,
        Figure(str(len(claimed)), f"of {int(report.table['testable'].sum())}", f"rows claimed at FDR {FDR:g}"),
        *([Figure(str(carried), "", "lost without a single patient or centre")] if len(claimed) else []),
    ]  # fmt: skip


def pooled_chapter(
    table: pd.DataFrame, top: int = 15, heading: str = "What the patients say together"
) -> dict[str, Any]:
    """Make the chapter of the pooled rows, as a forest.

    Parameters
    ----------
    table
        As in :class:`CohortReport`.
    top
        Rows, at most.
    heading
        Of the chapter.
    """
    drawn = forest.of_rows(table, FDR, top)
    text = "Correlation of a gene or set with a habitat, the patient as the unit: strongest rows first."
    if drawn is None:
        text = "No row has an estimate: too few patients have any."
    elif len(table) > len(drawn.rows):
        text += f" {len(drawn.rows)} of {len(table)} rows; all are in cohort.csv."
    forests = [(heading, drawn)] if drawn else []
    return chapter("cohort", "Cohort", heading, text, forests=forests)


def _patients(report: CohortReport) -> dict[str, Any] | None:
    if not report.patients:
        return None
    forests = [(f"{one.feature} in {one.habitat}", forest.of_patients(one)) for one in report.patients]
    text = "The strongest rows taken apart. A mean that few of the patients agree with is not a finding."
    return chapter("patients", "Patients", "What each patient says", text, forests=forests)


def _left_out(report: CohortReport) -> dict[str, Any] | None:
    """Draw the strongest rows again without each centre; a centre without which a row cannot be pooled is not drawn."""
    if not report.left_out:
        return None
    forests = []
    strongest: list[Any] = report.table[report.table["estimate"].notna()].head(3).to_dict("records")
    for row in strongest:
        rest = [
            (name, found)
            for name, table in report.left_out.items()
            if (found := _same(table, row)) is not None
        ]  # fmt: skip
        if rest:
            forests.append((f"{row['feature']} in {row['habitat']}", forest.of_left_out(row, rest, FDR)))
    if not forests:
        return None
    text = "The strongest rows again without each centre: one that stands or falls with a centre is that centre's."
    return chapter("centres", "Centres", "Without each centre", text, forests=forests)


def _same(table: pd.DataFrame, row: Mapping[str, Any]) -> dict[str, Any] | None:
    found = table[["kind", "feature", "habitat"]].eq([row["kind"], row["feature"], row["habitat"]]).all(axis=1)
    rows = table[found & table["estimate"].notna()].to_dict("records")
    return {str(name): value for name, value in rows[0].items()} if rows else None

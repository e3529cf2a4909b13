"""StudyModel: what a study's page says of the habitats that all its cases share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from comould.report.facts import Table, chapter, number

if TYPE_CHECKING:
    import pandas as pd

SEEN = (
    "Habitats were fitted on all centres",
    "A centre that is held out has lent its images to the model, though not its genes: what is said of it is no "
    "external validation of the habitats.",
)


@dataclass(frozen=True, eq=False)
class StudyModel:
    """One habitat model for all cases.

    Parameters
    ----------
    cases, of
        How many cases it stands on, of how many it was asked.
    left_out
        Case to why it did not enter.
    notes
        Doubts that were told while it was fitted.
    failed
        Why there is none; empty when there is.
    by_case
        Whether each case is scaled by itself.
    means
        Habitats (rows) by feature maps.
    shares
        Case to habitat to its share of the specimen.
    basis
        Cases the model stands on (rows), with ``voxels``.
    """

    cases: int = 0
    of: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    failed: str = ""
    by_case: bool = False
    means: pd.DataFrame | None = None
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    basis: pd.DataFrame | None = None


def model_limits(model: StudyModel | None) -> tuple[tuple[str, str], ...]:
    """Say what habitats fitted on everybody have seen."""
    return () if model is None or model.failed else (SEEN,)


def model_chapter(model: StudyModel | None) -> dict[str, Any] | None:
    """Tell what the habitats all cases share stand on, what they are, and how much of each case they make up."""
    if model is None:
        return None
    made = chapter("model", "Habitat model", "One set of habitats for all cases")
    if model.failed:
        return made | {"text": f"There is none: {model.failed}"}
    scale = "each case on a scale of its own" if model.by_case else "all cases on one scale"
    text = (
        f"Fitted on the images of {model.cases} of {model.of} cases, {scale}, before any case was mapped; then applied "
        "to every case, so that a habitat means the same in each. No gene was looked at."
    )
    points = [(f"Without {case}", why) for case, why in model.left_out.items()]
    points += [("Note", note) for note in model.notes]
    return made | {"text": text, "points": points, "tables": _tables(model)}


def _tables(model: StudyModel) -> list[tuple[str, Table]]:
    tables = []
    if model.means is not None:
        unit = "in spreads from the case's own median" if model.by_case else "in the units of the prepared images"
        rows = [[str(name), *map(number, row)] for name, row in zip(model.means.index, model.means.values, strict=True)]
        headings = ["habitat", *(str(name).removesuffix("/intensity.voxel") for name in model.means.columns)]
        tables.append((f"Means of the habitats, {unit}.", Table(headings, rows, [False] * len(rows))))
    if model.shares:
        habitats = list(dict.fromkeys(name for one in model.shares.values() for name in one))
        counts = {} if model.basis is None else model.basis["voxels"].to_dict()
        rows = [
            [
                case,
                f"{counts[case]:,}" if case in counts else "–",
                *(f"{100 * one.get(name, 0.0):.0f} %" for name in habitats),
            ]
            for case, one in model.shares.items()
        ]
        caption = "Share of each habitat. A case without voxels in the fit had the model applied all the same."
        tables.append((caption, Table(["case", "voxels in the fit", *habitats], rows, [False] * len(rows))))
    return tables

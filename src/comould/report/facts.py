"""The numbers and tables of a case's report, as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from comould.io.output import plain
from comould.pl import associations_figure as claims_of
from comould.report.case import CaseReport

TOP_ROWS = 20
_HEADINGS = {
    "feature": "Gene or set",
    "kind": "Kind",
    "habitat": "Habitat",
    "log2_fold_change": "log₂ fold change",
    "statistic": "Correlation",
    "n_effective": "Effective spots",
    "p_spatial": "p, spatial",
    "q_spatial": "q, spatial",
    "p_naive": "p, naive",
    "q_naive": "q, naive",
}


@dataclass(frozen=True)
class Figure:
    """A key number: its value, its unit or complement, and what it is."""

    value: str
    unit: str
    what: str


@dataclass(frozen=True)
class Table:
    """Headings and rows of text; ``marked`` rows stand out; the last column of a ``wordy`` one holds sentences."""

    headings: list[str]
    rows: list[list[str]]
    marked: list[bool]
    wordy: bool = False


def number(value: Any, digits: int = 3) -> str:
    """Write a number for reading: three digits, powers of ten where small, a dash when there is none."""
    if value is None or (isinstance(value, float | np.floating) and not np.isfinite(float(value))):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{int(value)}"
    if isinstance(value, float | np.floating):
        value = float(value)
        if value != 0 and abs(value) < 1e-3:
            mantissa, exponent = f"{value:.1e}".split("e")
            return f"{mantissa} × 10{_superscript(int(exponent))}".replace("-", "−")
        return (f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}").replace("-", "−")
    return str(value)


def _superscript(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def key_figures(case: CaseReport) -> list[Figure]:
    """Pick the few numbers a reader wants first."""
    found = []
    if case.mask is not None:
        found.append(Figure(number(_volume_ml(case.mask)), "ml", "specimen"))
    if case.cutting is not None:
        found.append(Figure(str(len(case.cutting)), "", "cutting planes"))
    if case.registrations:
        accepted = sum(str(r.quality.verdict) == "accept" for r in case.registrations)
        found.append(Figure(f"{accepted}", f"of {len(case.registrations)}", "sections accepted"))
    if case.errors is not None and len(case.errors):
        middle = float(case.errors["error_mm"].median())
        found.append(Figure(number(middle, 2), "mm", "median spot error against simulated truth"))
    if case.habitats is not None:
        import SimpleITK as sitk

        found.append(Figure(str(int(sitk.GetArrayViewFromImage(case.habitats.labels).max())), "", "habitats"))
    if case.results is not None:
        counts = claims_of.count_claims(case.results, case.fdr, None)
        naive = counts["naive"][0]
        found.append(Figure(str(counts["spatial"][0]), f"not {naive}", "genes claimed, spatial against naive test"))
    return found


def summary(case: CaseReport) -> str:
    """Say in a few sentences what was found."""
    said = []
    if case.mould is not None:
        said.append(f"The mould guides the knife to {len(case.mould.plan)} imaging planes.")
    if case.registrations:
        verdicts = [str(r.quality.verdict) for r in case.registrations]
        counted = ", ".join(
            f"{verdicts.count(v)} {word}"
            for v, word in (("accept", "accepted"), ("review", "to review"), ("reject", "rejected"))
            if verdicts.count(v)
        )
        said.append(f"Of {len(verdicts)} section{'s' * (len(verdicts) != 1)} brought back to the image, {counted}.")
    if case.errors is not None and len(case.errors):
        middle = case.errors[["error_mm", "nothing_mm"]].median()
        said.append(
            f"Half of all spots lie within {number(float(middle['error_mm']), 2)} mm of their true place; "
            f"with nothing done it would be {number(float(middle['nothing_mm']), 2)} mm."
        )
    if case.results is not None:
        counts = claims_of.count_claims(case.results, case.fdr, case.genes)
        naive, spatial = (sum(counts[test]) for test in ("naive", "spatial"))
        said.append(
            f"A test that ignores how smooth the maps are would claim {_genes(naive)}; "
            f"the spatial test claims {spatial}."
        )
        if case.genes is not None:
            said.append(
                f"In the simulation {counts['naive'][1]} of the naive claims and {counts['spatial'][1]} "
                "of the spatial claims are wrong."
            )
    return " ".join(said)


def _genes(count: int) -> str:
    return f"{count} gene{'s' * (count != 1)}"


def _volume_ml(mask: Any) -> float:
    import SimpleITK as sitk

    return float((sitk.GetArrayViewFromImage(mask) != 0).sum() * np.prod(mask.GetSpacing()) / 1000.0)


def result_table(case: CaseReport) -> Table | None:
    """Pick the rows with the strongest spatial evidence; claimed ones are marked."""
    if case.results is None or case.results.empty:
        return None
    columns = [c for c in _HEADINGS if c in case.results]
    rows = case.results.sort_values(["p_spatial", "feature"]).head(TOP_ROWS)
    return Table(
        [_HEADINGS[c] for c in columns],
        [[_cell(c, row[c]) for c in columns] for _, row in rows.iterrows()],
        [bool(q <= case.fdr) for q in rows["q_spatial"]],
    )


def _cell(column: str, value: Any) -> str:
    """Write a value; a probability too small for a float is not nought."""
    return "< 10⁻³⁰⁰" if column[:2] in {"p_", "q_"} and value == 0 else number(value)


def habitat_table(case: CaseReport) -> Table | None:
    """Copy the habitats' own table."""
    table = getattr(case.habitats, "table", None)
    if table is None or not len(table):
        return None
    columns = [c for c in table.columns if c not in {"label", "voxels"}][:8]
    names = [number(name) for name in table.index]
    rows = [[name, *(number(row[c]) for c in columns)] for name, (_, row) in zip(names, table.iterrows(), strict=True)]
    return Table(["habitat", *(str(c).replace("_", " ") for c in columns)], rows, [False] * len(rows))


def flat_items(data: Mapping[str, Any] | None, most: int = 60) -> list[tuple[str, str]]:
    """Flatten nested plain data to readable rows, long lists by their length."""
    rows: list[tuple[str, str]] = []

    def walk(name: str, value: Any) -> None:
        """Add the rows of one value."""
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{name} · {key}" if name else str(key), item)
        elif isinstance(value, list) and (len(value) > 6 or any(isinstance(v, dict | list) for v in value)):
            rows.append((name, f"{len(value)} entries"))
        elif isinstance(value, list):
            rows.append((name, ", ".join(number(v) for v in value) or "none"))
        else:
            rows.append((name, number(value, 6)))

    walk("", plain(dict(data or {})))
    return [(name.replace("_", " "), text) for name, text in rows[:most]]


def chapter(id: str, name: str, heading: str, text: str = "", **rest: Any) -> dict[str, Any]:
    """Make a page's chapter: what it does not have is empty, so that a template may ask for anything."""
    lists = ("legend", "pictures", "charts", "forests", "tables", "points", "links", "lists", "pairs")
    empty = dict.fromkeys(lists, ()) | {"judged": None, "cases": None, "beside": False, "truth": False}
    return {"id": id, "name": name, "heading": heading, "text": text} | empty | rest

"""Chapters of the report of the tests: figures and tables, with the words between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from comould import pl
from comould.pl import associations_figure as claims_of
from comould.pl.shift_figure import said_of
from comould.report.associations import AssociationReport, set_counts
from comould.report.facts import Table, chapter, flat_items, number
from comould.report.pictures import Picture, chart

if TYPE_CHECKING:
    import pandas as pd

    from comould.associate.scrutiny import ShiftCurve
    from comould.pl.style import Theme

TOP_ROWS = 24
MOST_CURVES = 4
_MOST_MISSING = 12
LIMITS = (
    ("Research use only", "Not a medical device. Nothing here may guide diagnosis or treatment."),
    (
        "Matching is not cause",
        "A gene that follows a habitat need not make it, and a habitat need not have made the gene change.",
    ),
    ("One specimen", "The unit across patients is the patient. One case cannot show that a finding holds in others."),
    (
        "A null is a model",
        "The spatial test allows for smoothness as far as its null describes the map. Its doubts are listed; no doubt "
        "is no proof.",
    ),
    (
        "Controls that are null prove nothing alone",
        "They catch shortcuts that would also work on a wrong map. A confound that lies exactly where the habitat lies "
        "passes them.",
    ),
    (
        "What leaves no RNA",
        "Fat, cyst fluid, calcification and lost tissue have no spots. Their absence from a table is not evidence.",
    ),
    (
        "Not found is not absent",
        "A row that could not be tested, or a p-value that is not small, does not say that a gene ignores the habitat.",
    ),
)
_CLAIM_HEADINGS = {
    "feature": "Gene or set",
    "habitat": "Habitat",
    "log2_fold_change": "log₂ fold change",
    "statistic": "Correlation",
    "n_effective": "Effective spots",
    "p_spatial": "p, spatial",
    "q_spatial": "q, spatial",
    "p_max_t": "p, family-wise",
    "p_naive": "p, naive",
}
_SET_HEADINGS = {
    "feature": "Gene set",
    "habitat": "Habitat",
    "statistic": "Correlation",
    "p_spatial": "p, self-contained",
    "q_spatial": "q",
    "p_competitive": "p, competitive",
    "q_competitive": "q, competitive",
}
_VERDICTS = {"null": "accept", "holds": "accept", "local": "accept", "not null": "reject", "too many": "reject",
             "elsewhere": "review", "not lost": "review"}  # fmt: skip


_WORDS = {"accept": "accepted", "review": "to review", "reject": "rejected"}


def chapters(report: AssociationReport) -> list[dict[str, Any]]:
    """Make every chapter for which there is something to say, in order."""
    makers = (_claims, _sets, _place, _positions, _controls, _nulls, _calibration, _coverage)
    found = [made for maker in makers if (made := maker(report)) is not None]
    found.append(chapter("limits", "Limits", "What this does not show", points=LIMITS))
    pairs = flat_items(report.provenance)
    pairs += [(f"time · {step}", f"{number(float(s))} s") for step, s in report.seconds.items()]
    if pairs:
        text = "Versions, settings, seed and the fingerprints of the inputs. File names are left out on purpose."
        found.append(chapter("provenance", "Provenance", "How it was made", text, pairs=pairs))
    return found


def _claims(report: AssociationReport) -> dict[str, Any]:
    table, fdr = report.table, report.fdr
    genes = table[~claims_of.is_set(table)]
    counts = {test: pair[0] for test, pair in claims_of.count_claims(table, fdr).items()}
    charts = [
        _chart(
            partial(pl.claims, table, fdr=fdr),
            title="What each test would claim",
            alt=f"{counts['naive']} genes claimed by the naive test, {counts['spatial']} by the spatial test",
        ),
        _chart(
            partial(pl.volcano, table, fdr=fdr),
            title="Every gene against every habitat",
            alt="Effect against evidence of the spatial test; orange ones only a naive test would claim",
        ),
        _chart(
            partial(pl.ranked, table, fdr=fdr),
            title="Strongest genes",
            alt="Genes with the strongest spatial evidence, their effect and habitat",
        ),
    ]
    text = (
        "Two smooth maps agree by chance far more often than a simple test thinks. "
        "Orange is what such a test would claim; blue-green is what survives a null that is just as smooth."
    )
    caption = (
        f"Strongest spatial evidence; marked rows are claimed at FDR {fdr:g}. Spatial p-values far below one in the "
        "number of surrogates follow from their spread, not from counting them. All rows are in associations.csv."
    )
    return chapter(
        "claims", "Claims", "What follows a habitat, tested honestly", text,
        charts=charts, tables=[(caption, _rows(genes, _CLAIM_HEADINGS, fdr))],
    )  # fmt: skip


def _sets(report: AssociationReport) -> dict[str, Any] | None:
    table, missing = report.table[claims_of.is_set(report.table)], _missing(report)
    if table.empty and missing is None:
        return None
    charts, tables = [], []
    text = "None could be tested: too few of their genes were measured, or the habitats cannot be tested at all."
    if set_counts(report) is not None:
        shot = _chart(
            partial(pl.gene_sets, table, fdr=report.fdr),
            title="Two questions",
            alt="Evidence that each gene set follows a habitat, and that its genes do so more than other genes",
        )
        charts, tables = [shot], [("Marked rows are claimed", _rows(table, _SET_HEADINGS, report.fdr))]
        text = (
            "Self-contained: does the set follow the habitat? Competitive: do its genes follow it more than the other "
            "genes do? A set that answers only the first may merely go with everything else."
        )
    if missing is not None:
        tables.append(("What each set is, and which of its genes were not measured", missing))
    return chapter("sets", "Gene sets", "Genes that are read as one", text, charts=charts, tables=tables)


def _missing(report: AssociationReport) -> Table | None:
    records: Mapping[str, Any] = report.table.attrs.get("genesets") or {}
    rows = []
    for name, record in records.items():
        missing = [str(gene) for gene in record.get("missing", ())]
        listed = ", ".join(missing[:_MOST_MISSING]) + (f" … ({len(missing)})" if len(missing) > _MOST_MISSING else "")
        n = int(record.get("n_genes", 0))
        rows.append([str(name), f"{n - len(missing)} of {n}", str(record.get("doi", "") or "–"), listed or "none"])
    return Table(["Gene set", "Measured", "DOI", "Missing"], rows, [False] * len(rows), wordy=True) if rows else None


def _place(report: AssociationReport) -> dict[str, Any] | None:
    if report.shift is None or report.shift.summary.empty:
        return None
    curve, summary = report.shift, report.shift.summary
    charts = shift_charts(curve, MOST_CURVES)
    rows = [
        {
            "name": f"{row.feature} · {row.habitat}",
            "verdict": _VERDICTS.get(row.verdict, "none"),
            "word": row.verdict,
            "cells": [
                number(row.effect),
                number(row.critical),
                *(_mm(value, row.reach_mm) for value in (row.lost_mm, row.half_mm, row.lost_normal_mm)),
                f"{row.peak_mm:.1f}",
            ],
        }
        for row in claims_of.each(summary)
    ]
    tolerance = float(summary["tolerance_mm"].iloc[0])
    judged = {
        "first": "Claim",
        "note": f"Displacements in mm. Local: largest within {tolerance:.1f} mm of where the spots are, and lost "
        "within reach. Chance: the correlation that unrelated maps of this smoothness stay below in 95 of 100 cases.",
        "headings": ["Correlation", "Chance", "Lost at", "Half at", "Lost along normal", "Largest at"],
        "rows": rows,
        "wordy": False,
    }
    text = (
        "All spots are displaced together and the habitats read there. A true match is largest at zero and falls as "
        "fast as the map forgets itself; what a trend or another smooth confound makes hardly notices."
    )
    return chapter("place", "Place", "Does the place matter?", text, charts=charts, judged=judged)


def shift_charts(curve: ShiftCurve, most: int) -> list[Picture]:
    """Draw the strongest claims displaced: genes and sets by turns, the strongest of each kind first."""
    turns = curve.summary.groupby("kind").cumcount()
    order = curve.summary.assign(turn=turns).sort_values(["turn"], kind="stable")
    return [
        _chart(
            partial(_curve, curve, str(row.feature), str(row.habitat)),
            title=f"{row.feature} · {row.habitat}: {said_of(row)}",
            alt=f"Correlation of {row.feature} with {row.habitat} as spots are displaced; {said_of(row)}",
        )
        for row in claims_of.each(order.head(most))
    ]


def _curve(curve: Any, feature: str, habitat: str, theme: Theme) -> Any:
    ax = pl.shift_curve(curve, feature=feature, habitat=habitat, theme=theme)
    # The card's own heading names it.
    ax.set_title("", loc="left")
    return ax


def _mm(value: float, reach: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1f}" if np.isfinite(value) else f"> {reach:.1f}"


def _positions(report: AssociationReport) -> dict[str, Any] | None:
    if report.plausible is None or report.plausible.summary.empty:
        return None
    found = report.plausible
    shot = _chart(
        partial(pl.plausible, found),
        title="Effects over plausible positions",
        alt="Each claim's effect with its interval over plausible positions, and how often it stands",
        caption="Dot: at the stated positions. Bar: 5 to 95 % of the plausible ones.",
    )
    rows = [
        [
            f"{row.feature} · {row.habitat}", number(row.effect), f"{number(row.low)} to {number(row.high)}",
            f"{row.attenuation:.2f}", number(row.extrapolated), f"{100 * row.fraction_significant:.0f} %",
        ]
        for row in claims_of.each(found.summary)
    ]  # fmt: skip
    headings = ["Claim", "Effect", "Interval", "Attenuation", "Extrapolated", "Stands in"]
    n, where = int(found.summary["n_draws"].max()), "the registrations' own ensemble"
    if found.source != "ensemble":
        where = "their stated standard deviations, all spots of a section erring together"
    text = (
        f"Registration is never exact. The claims were repeated at {n} sets of positions from {where}. Attenuation is "
        "what one more dose of that error leaves of an effect; extrapolated is the effect without any."
    )
    table = Table(headings, rows, [False] * len(rows))
    return chapter(
        "positions", "Uncertainty", "If spots lie elsewhere than stated", text,
        charts=[shot], tables=[("One row a claim", table)],
    )  # fmt: skip


def _controls(report: AssociationReport) -> dict[str, Any] | None:
    if report.controls is None or report.controls.empty:
        return None
    text = (
        "The strongest claims held against maps that cannot be right, and genes that cannot matter against the right "
        "map. Nothing should be found. What is found all the same, a shortcut makes."
    )
    return chapter("controls", "Controls", "What must come out null", text, judged=judged_controls(report.controls))


def judged_controls(controls: pd.DataFrame) -> dict[str, Any]:
    """Lay out controls, a row each with its verdict, for the macro ``judged``."""
    rows = [
        {
            "name": str(row.control),
            "verdict": _VERDICTS.get(str(row.verdict), "none"),
            "word": str(row.verdict),
            "cells": [
                *(["–"] * 3 if row.verdict == "not run" else [str(row.n_tested), str(row.n_found), _right(row)]),
                "; ".join(text for text in (str(row.what), str(row.note)) if text),
            ],
        }
        for row in claims_of.each(controls)
    ]
    return {
        "first": "Control",
        "note": "Found: at p ≤ 0.05, once the right map's own part is taken off.",
        "headings": ["Tested", "Found on it", "Found on the right map", "What"],
        "rows": rows,
        "wordy": True,
    }


def _right(row: Any) -> str:
    return str(row.n_right_map) if row.control != "housekeeping genes" else "–"


def _nulls(report: AssociationReport) -> dict[str, Any] | None:
    if not report.nulls:
        return None
    nulls = report.nulls
    shot = _chart(
        partial(_null_axes, nulls),
        title="Habitats and their surrogates",
        alt=f"Variograms of {len(nulls)} habitats beside the mean one of their surrogates",
        caption="Dots should lie near the line. At long distances few pairs are left and the dots scatter.",
    )
    rows = [
        [
            name, str(record["kind"]), number(record["n_surrogates"]), number(record["range_mm"]),
            number(record["n_effective"]), number(record["variogram_distance"]),
            "; ".join(report.doubts.get(name, ())) or "none",
        ]
        for name, record in nulls.items()
    ]  # fmt: skip
    headings = ["Habitat", "Null", "Surrogates", "Range, mm", "Effective spots", "Variogram distance", "Doubts"]
    text = (
        "Each habitat was held against maps that are random but as smooth as itself. Here is how well they imitate it, "
        "and what they say against themselves."
    )
    table = Table(headings, rows, [False] * len(rows), wordy=True)
    return chapter(
        "nulls", "Nulls", "What the claims were held against", text,
        charts=[shot], tables=[("A distance of 0.1 to 0.2 is usual for a smooth map", table)],
    )  # fmt: skip


def _null_axes(nulls: Mapping[str, Any], theme: Theme) -> Any:
    return pl.null_fit(nulls, theme=theme).get_axes()[0]  # type: ignore[union-attr]


def _calibration(report: AssociationReport) -> dict[str, Any] | None:
    if report.calibration is None or report.calibration.empty:
        return None
    return calibration_chapter(report.calibration)


def calibration_chapter(table: pd.DataFrame) -> dict[str, Any]:
    """Chart and table of how often each test is wrong on a case's own spots."""
    whole = table[table["habitat"] == "all"]
    shot = _chart(
        partial(pl.calibration, table),
        title="False positives on these spots",
        alt="; ".join(f"{row.test} {number(row.rate_05)}" for row in claims_of.each(whole)),
        caption="Large: all habitats, with the 95 % interval. Small: habitat by habitat.",
    )
    rows = [
        {
            "name": str(row.test),
            "verdict": _VERDICTS.get(str(row.verdict), "none"),
            "word": str(row.verdict),
            "cells": [number(row.rate_05), f"{number(row.low)} to {number(row.high)}", number(row.n_maps)],
        }
        for row in claims_of.each(whole)
    ]
    judged = {
        "first": "Test",
        "note": "Share of p ≤ 0.05 among genes and maps that have nothing to do with one another; 0.05 is promised.",
        "headings": ["Rate", "95 % interval", "Maps"],
        "rows": rows,
        "wordy": False,
    }
    text = (
        "Maps as smooth as the habitats were drawn by chance and tested against the real genes of these sections. "
        "Whatever is found is false."
    )
    return chapter(
        "calibration", "Calibration", "How often each test is wrong here", text, charts=[shot], judged=judged
    )


def _coverage(report: AssociationReport) -> dict[str, Any] | None:
    tables = []
    if report.coverage is not None and len(report.coverage):
        tables.append(("Spots by section; those without a habitat lie outside its mask", _spot_table(report.coverage)))
    if reasons := reason_counts(report.table):
        rows = [[kind, number(count), text] for kind, text, count in reasons]
        why = Table(["Kind", "Rows", "Why (an example)"], rows, [False] * len(rows), wordy=True)
        tables.append(("What could not be tested, and why", why))
    pairs = [("covariates", ", ".join(map(str, report.parameters.get("covariates") or ())) or "none")]
    for key, words in (
        ("null", "null"), ("statistic", "statistic"), ("within_sections", "centred within sections"),
        ("min_spots", "fewest spots in a habitat"), ("min_effective", "fewest effective spots"),
    ):  # fmt: skip
        if key in report.parameters:
            pairs.append((words, number(report.parameters[key])))
    pairs += [(f"left out · {name}", why) for name, why in report.left_out.items()]
    text = "Which spots entered, what was taken off before testing, and which rows say nothing."
    return chapter("coverage", "Coverage", "What was tested, and what was not", text, tables=tables, pairs=pairs)


def _spot_table(table: pd.DataFrame) -> Table:
    verdicts = "verdict" in table
    rows = []
    for name, row in table.iterrows():
        kept = int(row["n_spots"] - row["n_outside"])
        cells = [
            str(name),
            number(int(row["n_spots"])),
            number(kept),
            f"{100 * kept / max(int(row['n_spots']), 1):.0f} %",
        ]
        rows.append([*cells, _WORDS.get(str(row["verdict"]), str(row["verdict"]))] if verdicts else cells)
    headings = ["Section", "Spots", "With a habitat", "Share", *(["Registration"] if verdicts else [])]
    return Table(headings, rows, [False] * len(rows))


def reason_counts(table: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Count the rows that could not be tested by kind and reason, reasons that differ in numbers only taken as one.

    Returns
    -------
    list
        Kind, an example of the reason, and rows; the most frequent first.
    """
    left = table[~table["testable"].astype(bool)]
    if left.empty:
        return []
    like = left["reason"].astype(str).map(lambda text: re.sub(r"\d[\d.,]*", "#", text))
    counted = left.assign(like=like).groupby(["kind", "like"])["reason"].agg(example="first", rows="size").reset_index()
    rows = [(str(row.kind), str(row.example), int(row.rows)) for row in claims_of.each(counted)]
    return sorted(rows, key=lambda row: (-row[2], row[1]))


def _rows(table: pd.DataFrame, headings: Mapping[str, str], fdr: float) -> Table:
    columns = [name for name in headings if name in table]
    rows = (
        table[table["p_spatial"].notna()].sort_values(["p_spatial", "p_naive", "feature"], kind="stable").head(TOP_ROWS)
    )
    cells = [[_cell(name, row[name]) for name in columns] for _, row in rows.iterrows()]
    return Table([headings[name] for name in columns], cells, [bool(q <= fdr) for q in rows["q_spatial"]])


def _cell(column: str, value: Any) -> str:
    """Write a value; a probability too small for a float is not nought."""
    return "< 10⁻³⁰⁰" if column[:2] in {"p_", "q_"} and value == 0 else number(value)


def _chart(draw: Callable[..., Any], *, title: str, alt: str, caption: str = "") -> Picture:
    def themed(theme: Theme) -> Any:
        return draw(theme=theme)

    return chart(themed, title=title, alt=alt, caption=caption)

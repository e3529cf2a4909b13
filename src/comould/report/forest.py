"""A forest as a table: every row says its numbers in words and draws them, so that eyes, ears and printers read it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from comould.report.facts import number

if TYPE_CHECKING:
    import pandas as pd

    from comould.associate import FeatureEffects

TICKS = (-0.99, -0.95, -0.9, -0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)
FURTHEST = 2.65
"""Fisher's z beyond which nothing is drawn: a correlation of 0.99."""
LARGEST_PX, SMALLEST_PX = 15.0, 5.0
_TICKS_APART = 9.0
_CARRIER = re.compile(r"(patient|centre) (.+?) \((?:sign|significance) lost\)(?:; |$)")


@dataclass(frozen=True)
class Drawn:
    """Where a row's marks lie, in per cent of the width: the middle, the interval, and the wider one of a prediction.

    Parameters
    ----------
    middle, interval, prediction
        None where there is none, or where it lies beyond the drawing.
    size_px
        Of a square as heavy as its weight; 0 draws a diamond.
    """

    middle: float | None
    interval: tuple[float, float] | None
    prediction: tuple[float, float] | None = None
    size_px: float = 0.0


@dataclass(frozen=True)
class Row:
    """A row: name, what is drawn, cells under the headings; a heading of its own has no drawing."""

    name: str
    drawn: Drawn | None
    cells: tuple[str, ...] = ()
    marked: bool = False


@dataclass(frozen=True)
class Forest:
    """What the template draws.

    Parameters
    ----------
    first
        Heading of the names.
    headings
        Of the cells; the first cell is the correlation with its interval.
    rows
        From the top.
    zero
        Where no correlation lies, per cent.
    ticks
        Place in per cent and correlation.
    caption
        What marks and lines mean.
    wordy
        Whether the last column holds words.
    """

    first: str
    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    zero: float
    ticks: tuple[tuple[float, str], ...]
    caption: str
    wordy: bool = False


class _Scale:
    """Fisher's z to per cent of the width, wide enough for 0 and for everything given."""

    def __init__(self, values: Iterable[float]) -> None:
        there = [float(np.clip(v, -FURTHEST, FURTHEST)) for v in values if np.isfinite(v)]
        low, high = min([*there, -0.1]), max([*there, 0.1])
        room = 0.04 * (high - low)
        self.low, self.span = low - room, high - low + 2 * room

    def at(self, z: float) -> float:
        """Place of a value; values beyond the drawing lie at its edge."""
        return round(float(np.clip(100 * (z - self.low) / self.span, 0.0, 100.0)), 2)

    def marks(self, middle: float, ends: tuple[float, float], more: tuple[float, float], size_px: float = 0) -> Drawn:
        """Place a row's marks."""
        interval, prediction = (
            (self.at(a), self.at(b)) if np.isfinite(a) and np.isfinite(b) else None for a, b in (ends, more)
        )
        return Drawn(self.at(middle) if np.isfinite(middle) else None, interval, prediction, size_px)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Correlations to write, from 0 outwards, none too near another."""
        kept: list[float] = []
        for tick in sorted(TICKS, key=abs):
            z = float(np.arctanh(tick))
            inside = self.low <= z <= self.low + self.span
            if inside and all(abs(self.at(z) - self.at(float(np.arctanh(one)))) >= _TICKS_APART for one in kept):
                kept.append(tick)
        return tuple((self.at(float(np.arctanh(tick))), f"{tick:g}".replace("-", "−")) for tick in sorted(kept))


def words(middle: float, low: float, high: float) -> str:
    """Say a mean and its interval as correlations.

    Parameters
    ----------
    middle, low, high
        Fisher's z; the interval may be missing (NaN).
    """
    said = _correlation(middle)
    return f"{said} ({_correlation(low)} to {_correlation(high)})" if np.isfinite(low) else said


def _correlation(z: float) -> str:
    # Adding 0 takes the sign off a nought.
    return f"{round(float(np.tanh(z)), 2) + 0.0:.2f}".replace("-", "−") if np.isfinite(z) else "–"


def lost_without(text: str, n_patients: int, n_centres: int = 0) -> str:
    """Say in few words which single patients or centres a claim is lost without.

    Parameters
    ----------
    text
        ``carried_by`` of :func:`comould.associate.cohort`.
    n_patients, n_centres
        How many there are; 0 centres when not told.
    """
    found: dict[str, list[str]] = {"patient": [], "centre": []}
    for unit, name in _CARRIER.findall(text):
        found[unit].append(name)
    said = []
    for (unit, names), count in zip(found.items(), (n_patients, n_centres), strict=True):
        if names and len(names) == count > 1:
            said.append(f"any one of {count} {unit}s")
        elif names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            said.append(f"{unit}{'s' * (len(names) > 1)} {', '.join(names[:3])}{more}")
    return "; ".join(said)


def of_rows(table: pd.DataFrame, fdr: float, most: int = 15) -> Forest | None:
    """Draw the strongest rows of a pooled table.

    Parameters
    ----------
    table
        Of :func:`comould.associate.cohort` or :func:`comould.associate.combine_summaries`, smallest p first.
    fdr
        False-discovery rate at which a row is marked.
    most
        Rows, at most.

    Returns
    -------
    Forest or None
        None when no row has an estimate.
    """
    rows: list[Any] = table[table["estimate"].notna()].head(most).to_dict("records")
    if not rows:
        return None
    scale = _Scale(row[name] for row in rows for name in ("estimate", "low", "high", "predicted_low", "predicted_high"))
    surrogate = "p_surrogate" in table and any(np.isfinite(row["p_surrogate"]) for row in rows)
    extra = ("p of surrogates",) if surrogate else ()
    made = [
        Row(
            _name(row),
            scale.marks(
                row["estimate"], (row["low"], row["high"]), (row["predicted_low"], row["predicted_high"])
            ),
            (
                words(row["estimate"], row["low"], row["high"]), number(row["p"]), number(row["q"]),
                *((number(row["p_surrogate"]),) if surrogate else ()), number(int(row["n_patients"])),
                _carried(row),
            ),
            bool(row["q"] <= fdr),
        )
        for row in rows
    ]  # fmt: skip
    caption = (
        f"Diamond: mean correlation; thick line: its interval; thin line: where a further patient is expected. Marked "
        f"rows are claimed at FDR {fdr:g}. Lost without: single patients or centres whose leaving out takes the claim."
    )
    if surrogate:
        caption += " p of surrogates: chance that it is so far from 0 when no patient has any of it."
    headings = ("Correlation", "p", "q", *extra, "Patients", "Lost without")
    return Forest("Row", headings, tuple(made), scale.at(0.0), scale.ticks(), caption, wordy=True)


def _name(row: dict[str, Any]) -> str:
    return f"{'set ' if row.get('kind') == 'geneset' else ''}{row['feature']} · {row['habitat']}"


def _carried(row: dict[str, Any]) -> str:
    centres = row.get("n_centres")
    known = int(centres) if centres is not None and np.isfinite(float(centres)) else 0
    return lost_without(str(row["carried_by"]), int(row["n_patients"]), known) or "–"


def of_patients(data: FeatureEffects) -> Forest:
    """Draw every patient of a row, under its centre, and what they say together.

    Parameters
    ----------
    data
        Of :func:`comould.associate.feature_effects`.
    """
    reach = float(stats.norm.ppf((1 + data.level) / 2)) * np.sqrt(data.variances)
    lows, highs = data.effects - reach, data.effects + reach
    pooled, weights = data.pooled, np.asarray(data.pooled.weights, dtype=np.float64)
    further = (float(pooled.predicted_low), float(pooled.predicted_high))
    together = (float(pooled.low), float(pooled.high))
    scale = _Scale([*lows, *highs, *further, *together])
    rows = []
    for header, each in _by_centre(data):
        rows += [Row(header, None)] if header else []
        for n in each:
            size = SMALLEST_PX + (LARGEST_PX - SMALLEST_PX) * float(weights[n]) / max(float(weights.max()), 1e-9)
            marks = scale.marks(data.effects[n], (lows[n], highs[n]), (np.nan, np.nan), round(size, 1))
            rows.append(
                Row(data.patients[n], marks, (words(data.effects[n], lows[n], highs[n]), f"{weights[n]:.0f} %"))
            )
    middle = float(pooled.estimate)
    said = (words(middle, *together), "100 %")
    rows.append(Row(f"all {int(pooled.n)}", scale.marks(middle, together, further), said, marked=True))
    if np.isfinite(further[0]):
        text = f"{_correlation(further[0])} to {_correlation(further[1])}"
        rows.append(Row("a further patient", scale.marks(np.nan, (np.nan, np.nan), further), (text, "–")))
    caption = (
        "Square: a patient, as large as its weight; diamond: the mean; thin line: where a further one is expected."
    )
    return Forest("Patient", ("Correlation", "Weight"), tuple(rows), scale.at(0.0), scale.ticks(), caption)


def _by_centre(data: FeatureEffects) -> list[tuple[str, list[int]]]:
    everyone = list(range(len(data.patients)))
    if len(set(data.centres)) < 2:
        return [("", everyone)]
    return [(name, [n for n in everyone if data.centres[n] == name]) for name in sorted(set(data.centres))]


def of_left_out(whole: dict[str, Any], rest: Sequence[tuple[str, dict[str, Any]]], fdr: float) -> Forest:
    """Draw a pooled row with all centres, and again without each.

    Parameters
    ----------
    whole
        The row of all.
    rest
        Centre left out, and the row of the others.
    fdr
        False-discovery rate at which a row is marked.
    """
    rows = [("all centres", whole), *((f"without {name}", row) for name, row in rest)]
    scale = _Scale(row[name] for _, row in rows for name in ("estimate", "low", "high"))
    made = [
        Row(
            name,
            scale.marks(row["estimate"], (row["low"], row["high"]), (np.nan, np.nan)),
            (
                words(row["estimate"], row["low"], row["high"]), number(row["p"]), number(row["q"]),
                str(row.get("reason") or int(row["n_patients"])),
            ),
            bool(row["q"] <= fdr),
        )
        for name, row in rows
    ]  # fmt: skip
    caption = f"Diamond: mean correlation; line: its interval. Marked rows are claimed at FDR {fdr:g}."
    headings = ("Correlation", "p", "q", "Patients")
    return Forest("Centres", headings, tuple(made), scale.at(0.0), scale.ticks(), caption)

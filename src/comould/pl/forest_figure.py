"""What each patient says, and what they say together: the forest of one feature, or one line a feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from comould.errors import InputError
from comould.pl.style import LIGHT, Theme, context, one_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from comould.associate import FeatureEffects

NEEDED = ("feature", "habitat", "estimate", "low", "high", "predicted_low", "predicted_high", "n_patients")
_TICKS = (-0.99, -0.95, -0.9, -0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)
_ROW_IN = 0.25
_LARGEST = 110.0
_FURTHEST = 2.65
"""Fisher's z beyond which intervals are cut off with an arrow: a correlation of 0.99."""


def forest(data: FeatureEffects | pd.DataFrame | pd.Series, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot effects with their intervals, on the scale of Fisher's z with correlations written at it.

    Parameters
    ----------
    data
        One feature with its patients (:func:`comould.associate.feature_effects`): a square a patient, as large as its
        weight, under its centre; then the mean (diamond: confidence interval; bar: prediction interval). Or rows of
        :func:`comould.associate.cohort` or :func:`comould.associate.combine_summaries`: a diamond and a bar a feature.
    theme
        Colours of the paper.
    ax
        Axes to draw into; a new figure, as tall as the rows need, when ``None``.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    InputError
        If a table lacks columns, or there is nothing to draw.
    """
    if isinstance(data, pd.Series):
        data = data.to_frame().T
    if isinstance(data, pd.DataFrame):
        return _features(data, theme, ax)
    return _patients(data, theme, ax)


def _patients(data: FeatureEffects, theme: Theme, ax: Axes | None) -> Axes:
    pooled = data.pooled
    reach = float(stats.norm.ppf((1 + data.level) / 2)) * np.sqrt(data.variances)
    lows, highs = data.effects - reach, data.effects + reach
    weights = np.asarray(pooled.weights, dtype=np.float64)
    lines = _lines(data)
    with context(theme):
        ax = one_axes(ax, 6.4, _ROW_IN * (len(lines) + 3) + 1.0)
        y, names, said = 0.0, [], []
        for header, number in lines:
            if header:
                ax.annotate(
                    header, (0, y), xycoords=("axes fraction", "data"), xytext=(-6, 0), textcoords="offset points",
                    ha="right", va="center", color=theme.muted, fontweight="bold", fontsize=8.5, parse_math=False,
                )  # fmt: skip
            else:
                _interval(ax, lows[number], highs[number], y, theme.muted, 1.2)
                size = 10 + _LARGEST * weights[number] / max(float(weights.max()), 1e-9)
                place = float(np.clip(data.effects[number], -_FURTHEST, _FURTHEST))
                ax.scatter([place], [y], s=size, marker="s", color=theme.accent, lw=0, zorder=3, gid="patient")
                names.append((y, data.patients[number]))
                said.append((y, _words(data.effects[number], lows[number], highs[number]), f"{weights[number]:.0f} %"))
            y += 1
        y += 0.4
        _together(ax, y, pooled, theme)
        names.append((y, f"all {int(pooled.n)}"))
        said.append((y, _words(pooled.estimate, pooled.low, pooled.high), ""))
        if np.isfinite(pooled.predicted_low):
            y += 1
            _prediction(ax, y, pooled, theme)
            names.append((y, "a further patient"))
            said.append((y, _range(pooled.predicted_low, pooled.predicted_high), ""))
        _finish(ax, y, names, said, theme)
        ax.axhline(y - (1.7 if np.isfinite(pooled.predicted_low) else 0.7), color=theme.grid, lw=0.8)
        ax.set_title(f"{data.feature} in {data.habitat}", parse_math=False)
        ax.set_xlabel(f"correlation with the habitat\n{_heterogeneity(pooled)}")
    return ax


def _lines(data: FeatureEffects) -> list[tuple[str, int]]:
    """Rows from the top: centres' headers (text, -1) and patients ("", number)."""
    if len(set(data.centres)) < 2:
        return [("", number) for number in range(len(data.patients))]
    lines = []
    for centre in sorted(set(data.centres)):
        lines.append((centre, -1))
        lines += [("", number) for number, own in enumerate(data.centres) if own == centre]
    return lines


def _features(table: pd.DataFrame, theme: Theme, ax: Axes | None) -> Axes:
    if lacking := [name for name in NEEDED if name not in table]:
        raise InputError(
            subject="cohort table", expected="the columns of comould.associate.cohort", found=f"no {', '.join(lacking)}"
        )
    rows = table[table["estimate"].notna()]
    if rows.empty:
        raise InputError(subject="cohort table", expected="a row with an estimate", found="none")
    with context(theme):
        ax = one_axes(ax, 6.4, _ROW_IN * (len(rows) + 1) + 1.0)
        names, said = [], []
        for y, (_, row) in enumerate(rows.iterrows()):
            _together(ax, y, row, theme)
            _prediction(ax, y, row, theme, beside=True)
            names.append((float(y), f"{_short(row['feature'])} · {row['habitat']}"))
            said.append((float(y), _words(row["estimate"], row["low"], row["high"]), f"n {int(row['n_patients'])}"))
        _finish(ax, len(rows) - 1.0, names, said, theme)
        ax.set_xlabel("correlation with the habitat (diamond: mean; line: where a further patient lies)")
    return ax


def _interval(ax: Axes, low: float, high: float, y: float, colour: str, width: float) -> None:
    ends = np.clip([low, high], -_FURTHEST, _FURTHEST)
    ax.plot(ends, [y, y], color=colour, lw=width, solid_capstyle="butt", zorder=2)
    for end, value, mark in ((ends[0], low, "<"), (ends[1], high, ">")):
        if end != value:
            ax.plot([end], [y], mark, color=colour, ms=4)


def _together(ax: Axes, y: float, found: Any, theme: Theme) -> None:
    """Draw the diamond; a mere point where there is no interval."""
    middle = float(found.estimate)
    low, high = (float(x) if np.isfinite(x) else middle for x in (found.low, found.high))
    low, middle, high = np.clip([low, middle, high], -_FURTHEST, _FURTHEST)
    ax.fill(
        [low, middle, high, middle], [y, y - 0.3, y, y + 0.3], color=theme.contrast, lw=0.8, ec=theme.contrast,
        zorder=4, gid="together",
    )  # fmt: skip


def _prediction(ax: Axes, y: float, found: Any, theme: Theme, *, beside: bool = False) -> None:
    low, high = float(found.predicted_low), float(found.predicted_high)
    if not np.isfinite(low):
        return
    _interval(ax, low, high, y, theme.contrast if not beside else theme.faint, 1.6 if beside else 4.0)


def _finish(
    ax: Axes, last: float, names: list[tuple[float, str]], said: list[tuple[float, str, str]], theme: Theme
) -> None:
    ax.axvline(0, color=theme.faint, lw=1.0, zorder=1)
    ax.set_ylim(last + 0.7, -0.7)
    ax.set_yticks([y for y, _ in names], labels=[name for _, name in names], parse_math=False)
    for y, text, more in said:
        # Two columns: numbers under one another can be compared.
        for words, offset, side in ((text, 8, "left"), (more, 148, "right")):
            ax.annotate(
                words, (1, y), xycoords=("axes fraction", "data"), xytext=(offset, 0), textcoords="offset points",
                va="center", ha=side, fontsize=8.0, color=theme.ink,
            )  # fmt: skip
    low, high = ax.get_xlim()
    shown = [tick for tick in _TICKS if low <= np.arctanh(tick) <= high]
    ticks = _apart(shown, 0.055 * (high - low))
    ax.set_xticks(np.arctanh(ticks), labels=[f"{tick:g}".replace("-", "−") for tick in ticks])
    ax.set_xlim(low, high)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")


def _apart(ticks: list[float], least: float) -> list[float]:
    """Leave out ticks too near to one kept before, going outwards from 0."""
    kept: list[float] = []
    for tick in sorted(ticks, key=abs):
        if all(abs(np.arctanh(tick) - np.arctanh(other)) >= least for other in kept):
            kept.append(tick)
    return sorted(kept)


def _words(middle: Any, low: Any, high: Any) -> str:
    return f"{_number(middle)} {_range(low, high)}"


def _range(low: Any, high: Any) -> str:
    return f"[{_number(low)}, {_number(high)}]" if np.isfinite(low) else ""


def _number(z: Any) -> str:
    return f"{np.tanh(z):.2f}".replace("-", "−")


def _heterogeneity(pooled: Any) -> str:
    if not np.isfinite(pooled.tau2):
        return ""
    p = f"p = {pooled.p:.2g}" if pooled.p >= 1e-4 else "p < 0.0001"
    return f"{p}   τ² = {pooled.tau2:.3f} [{pooled.tau2_low:.3f}, {pooled.tau2_high:.3f}]   I² = {pooled.i2:.0f} %"


def _short(name: object, most: int = 26) -> str:
    text = str(name)
    return text if len(text) <= most else text[: most - 1] + "…"

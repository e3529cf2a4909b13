"""How an effect fares when every spot is deliberately displaced: where a claim is lost, and what chance would reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError
from comould.pl.associations_figure import each, habitat_number
from comould.pl.style import LIGHT, Theme, context, habitat_colour, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from comould.associate.scrutiny import ShiftCurve

_LATE = 0.55
"""Share of the way to the end from which a label stands to the left of its mark."""


def shift_curve(
    curve: ShiftCurve,
    *,
    feature: str | None = None,
    habitat: str | None = None,
    theme: Theme = LIGHT,
    ax: Axes | None = None,
) -> Axes:
    """Plot one claim's effect against displacement, in the sections' plane and (beside it) along their normal.

    The line is the mean over directions, the band their range, the thin dashed line what a gene that follows the map
    exactly would do, the grey strip what unrelated maps of this smoothness reach in 95 of 100 cases.

    Parameters
    ----------
    curve
        Of :func:`comould.associate.shift_curve`.
    feature, habitat
        Which claim; the strongest (first) when left out.
    theme
        Colours of the paper.
    ax
        Axes to draw the plane's panel into; a new figure with both panels when ``None``.

    Returns
    -------
    Axes
        The plane's panel: mm against correlation.

    Raises
    ------
    InputError
        If the curve holds no such claim.
    """
    row = _claim(curve.summary, feature, habitat)
    mine = curve.points
    mine = mine[(mine["feature"] == row.feature) & (mine["habitat"] == row.habitat) & (mine["kind"] == row.kind)]
    plane, normal = (mine[(mine["along"] == along) & mine["effect"].notna()] for along in ("plane", "normal"))
    with context(theme):
        beside = None
        if ax is None:
            figure = new_figure(6.2, 3.4)
            grid = figure.add_gridspec(1, 2, width_ratios=(2.6, 1.0))
            ax = figure.add_subplot(grid[0, 0])
            beside = figure.add_subplot(grid[0, 1], sharey=ax)
        _panel(ax, plane, row, float(row.lost_mm), theme)
        ax.set_xlabel("displacement in the plane, mm")
        ax.set_ylabel("correlation with the habitat")
        ax.set_title(f"{row.feature} · {row.habitat}", parse_math=False)
        if beside is not None:
            _panel(beside, normal, row, float(row.lost_normal_mm), theme)
            beside.set_xlabel("along the normal, mm")
            beside.tick_params(labelleft=False)
        _room(ax, mine, row)
        ax.legend(loc="upper right" if row.effect >= 0 else "lower right", handlelength=1.6)
    return ax


def said_of(row: Any) -> str:
    """Say in a few words what a summary's row found: ``lost at 6.2 mm``."""
    if row.verdict == "no effect":
        return "no effect beyond chance"
    if row.verdict == "elsewhere":
        return f"largest {row.peak_mm:.1f} mm away"
    if np.isfinite(row.lost_mm):
        return f"lost at {row.lost_mm:.1f} mm"
    return f"not lost within {row.reach_mm:.1f} mm"


def _claim(summary: pd.DataFrame, feature: str | None, habitat: str | None) -> Any:
    rows = summary
    if feature is not None:
        rows = rows[rows["feature"] == feature]
    if habitat is not None:
        rows = rows[rows["habitat"] == habitat]
    if rows.empty:
        wanted = " · ".join(word for word in (feature, habitat) if word) or "any"
        raise InputError(
            subject=f"shift curve of {wanted}",
            expected=f"one of {', '.join(f'{r.feature} · {r.habitat}' for r in each(summary)) or 'no claims'}",
            found="none of that name",
        )
    return next(each(rows))


def _panel(ax: Axes, points: pd.DataFrame, row: Any, lost_mm: float, theme: Theme) -> None:
    colour = habitat_colour(habitat_number(row.habitat))
    by = points.groupby("distance_mm")
    mean = by[["effect", "expected", "share"]].mean()
    distance = mean.index.to_numpy(dtype=float)
    chance = _chance(float(row.critical), mean["share"].to_numpy(dtype=float))
    ax.grid(axis="y")
    ax.axhline(0, color=theme.faint, lw=1.0)
    ax.fill_between(distance, -chance, chance, color=theme.faint, alpha=0.35, lw=0, label="chance", gid="chance")
    ax.fill_between(
        distance, by["effect"].min(), by["effect"].max(), color=colour, alpha=0.3, lw=0, label="all directions",
        gid="directions",
    )  # fmt: skip
    ax.plot(distance, mean["expected"], color=theme.muted, lw=1.1, ls="--", label="if it followed the map", gid="exact")
    ax.plot(distance, mean["effect"], color=theme.ink, lw=2.4, label="mean", gid="mean")
    if np.isfinite(lost_mm):
        height = float(np.interp(lost_mm, distance, mean["effect"]))
        ax.axvline(lost_mm, color=theme.contrast, lw=1.2, ls=":", gid="lost")
        ax.plot([lost_mm], [height], "o", ms=6, color=theme.contrast, zorder=4)
        late = lost_mm > _LATE * distance.max()
        up = (row.effect >= 0) != late
        ax.annotate(
            f"lost at {lost_mm:.1f} mm", (lost_mm, height), xytext=(-6 if late else 6, 7 if up else -15),
            textcoords="offset points", color=theme.contrast, fontweight="bold", fontsize=8.5,
            ha="right" if late else "left",
        )  # fmt: skip
    ax.set_xlim(0, float(distance.max()) if len(distance) else 1.0)


def _chance(critical: float, share: np.ndarray) -> np.ndarray:
    """Raise the chance level where spots drop out, as the summary does: effective samples go with their share."""
    from scipy.optimize import brentq

    from comould.associate.scrutiny.shift import critical_correlation

    if not np.isfinite(critical) or not 0 < critical < float(critical_correlation(2.6)):
        return np.full(len(share), np.nan)
    effective = brentq(lambda n: float(critical_correlation(n)) - critical, 2.6, 1e8)
    return np.minimum(critical_correlation(effective * share), 1.0)


def _room(ax: Axes, points: pd.DataFrame, row: Any) -> None:
    """Leave room for the legend on the side to which the effect points."""
    values = points[["effect", "expected"]].to_numpy(dtype=float)
    chance = float(np.nan_to_num(row.critical))
    low, high = min(np.nanmin(values), -chance), max(np.nanmax(values), chance)
    extra = 0.3 * (high - low)
    ax.set_ylim(*((low - 0.06, high + extra) if row.effect >= 0 else (low - extra, high + 0.06)))

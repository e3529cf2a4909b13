"""Effects over all places a spot may really have: what the registration's uncertainty leaves of a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.pl.associations_figure import each, habitat_number
from comould.pl.style import LIGHT, Theme, context, habitat_colour, one_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from comould.associate.scrutiny import Plausible


def plausible(found: Plausible, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot each claim's effect, its interval over plausible positions, and what it would be without any error.

    Parameters
    ----------
    found
        Of :func:`comould.associate.over_positions`.
    theme
        Colours of the paper.
    ax
        Axes to draw into; new ones when ``None``.

    Returns
    -------
    Axes
        Correlation, one row a claim, the strongest on top. Dot: at the stated positions (filled: claimed); bar: 5 to
        95 % of the plausible ones; diamond: extrapolated to no error. At the right, how often the claim stands.
    """
    rows = found.summary
    with context(theme):
        ax = one_axes(ax, 5.6, 1.25 + 0.3 * len(rows))
        ax.grid(axis="x")
        ax.axvline(0, color=theme.faint, lw=1.0)
        for y, row in enumerate(each(rows)):
            colour = habitat_colour(habitat_number(row.habitat))
            ax.plot([row.low, row.high], [y, y], color=colour, lw=5, alpha=0.5, solid_capstyle="butt", gid="interval")
            ax.plot([row.extrapolated], [y], "D", ms=5.5, mfc="none", mec=theme.muted, mew=1.3, gid="extrapolated")
            ax.plot(
                [row.effect], [y], "o", ms=7, mfc=colour if row.claimed else theme.paper, mec=theme.ink, mew=1.0,
                gid="effect",
            )  # fmt: skip
            ax.annotate(
                f"{100 * row.fraction_significant:.0f} %", (1.0, y), xycoords=("axes fraction", "data"),
                xytext=(6, 0), textcoords="offset points", va="center", color=theme.muted, annotation_clip=False,
            )  # fmt: skip
        ax.annotate(
            "stands in", (1.0, -0.75), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
            va="bottom", color=theme.muted, fontsize=8, annotation_clip=False,
        )  # fmt: skip
        ax.set_yticks(range(len(rows)), [_name(r.feature, r.habitat) for r in each(rows)], parse_math=False)
        ax.set_ylim(len(rows) - 0.4, -0.7)
        _keep_zero_in_sight(ax)
        ax.set_xlabel("correlation with the habitat (◇ extrapolated to no error)")
        ax.spines["left"].set_visible(False)
    return ax


def _keep_zero_in_sight(ax: Axes) -> None:
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, -0.03), max(high, 0.03))


def _name(feature: str, habitat: str, most: int = 30) -> str:
    text = f"{feature} · {habitat}"
    return text if len(text) <= most else f"{str(feature)[: most - len(str(habitat)) - 4]}… · {habitat}"


def attenuated(found: Plausible) -> float:
    """Median of the claims' attenuation: 1 when the uncertainty costs nothing; NaN without claims."""
    values = found.summary["attenuation"].to_numpy(dtype=float)
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")

"""What a test's false-positive rate really is on these spots, beside the one it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.pl.associations_figure import each, habitat_number
from comould.pl.style import LIGHT, Theme, context, habitat_colour, one_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

NOMINAL = 0.05
_NEEDED = ("test", "habitat", "rate_05", "low", "high", "verdict")


def calibration(table: pd.DataFrame, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot how often each test claims a gene for a map drawn by chance, with its 95 % interval.

    Parameters
    ----------
    table
        Of :func:`comould.associate.calibrate`.
    theme
        Colours of the paper.
    ax
        Axes to draw into; new ones when ``None``.

    Returns
    -------
    Axes
        Share of p ≤ 0.05, one row a test: large dot with interval over all habitats, small dots habitat by habitat.
        Dashed: 0.05.

    Raises
    ------
    InputError
        If the table is none of a calibration.
    """
    if lacking := [name for name in _NEEDED if name not in table]:
        raise InputError(
            subject="calibration table", expected="the columns of comould.associate.calibrate",
            found=f"no {', '.join(lacking)}",
        )  # fmt: skip
    whole = table[table["habitat"] == "all"]
    with context(theme):
        ax = one_axes(ax, 5.6, 1.2 + 0.46 * len(whole))
        ax.grid(axis="x")
        ax.axvline(NOMINAL, color=theme.muted, lw=1.2, ls="--", gid="nominal")
        for y, row in enumerate(each(whole)):
            colour = theme.accent if row.verdict == "holds" else theme.contrast
            parts = table[(table["test"] == row.test) & (table["habitat"] != "all")]
            for part in each(parts):
                ax.plot(
                    [part.rate_05], [y + 0.26], "o", ms=4.5, color=habitat_colour(habitat_number(part.habitat)),
                    mec=theme.ink, mew=0.4, gid="habitat",
                )  # fmt: skip
            if not np.isfinite(row.rate_05):
                ax.annotate("cannot be tested here", (0, y), xytext=(6, 0), textcoords="offset points", va="center")
                continue
            ax.plot([row.low, row.high], [y, y], color=colour, lw=3, alpha=0.55, gid="interval")
            ax.plot([row.rate_05], [y], "o", ms=8, color=colour, gid="rate")
            ax.annotate(
                f"{row.rate_05:.3f}", (max(row.high, row.rate_05), y), xytext=(8, 0), textcoords="offset points",
                va="center", fontweight="bold", color=colour,
            )  # fmt: skip
        ax.set_yticks(range(len(whole)), [str(name) for name in whole["test"]], parse_math=False)
        ax.set_ylim(len(whole) - 0.35, -0.55)
        high = np.nanmax([NOMINAL, *whole["high"], *table["rate_05"]])
        ax.set_xlim(0, 1.18 * high)
        ax.set_xlabel("share of chance maps claimed at p ≤ 0.05 (dashed: as promised)")
        ax.spines["left"].set_visible(False)
    return ax

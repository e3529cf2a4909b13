"""How power grows with patients, sections and effect, and what a registration error costs."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError
from comould.pl.style import LIGHT, Theme, context, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEEDED = ("effect", "n_sections", "n_spots", "error_mm", "n_patients", "power", "low", "high")
SHADES = ("#00697a", "#c2570c", "#7a4fa3", "#0072B2", "#8a6d00", "#b3261e")
DARK_SHADES = ("#4fc3d1", "#f2994a", "#c49be6", "#7fb8ff", "#e3c450", "#ff8a80")
MARKS = "osD^vP"


def power_curves(
    table: pd.DataFrame, *, wanted: float = 0.8, theme: Theme = LIGHT, ax: Axes | None = None
) -> Figure | Axes:
    """Plot power against the number of patients, a curve an error, a panel an effect and number of sections.

    Parameters
    ----------
    table
        Of :func:`comould.associate.power`.
    wanted
        Power marked by a line.
    theme
        Colours of the paper.
    ax
        Axes to draw all curves into, for one effect and number of sections; a new figure when ``None``.

    Returns
    -------
    Figure or Axes
        Bands are the simulation's own uncertainty (95 %).

    Raises
    ------
    InputError
        If columns are missing, or one axes cannot hold several effects or numbers of sections.
    """
    if lacking := [name for name in NEEDED if name not in table]:
        raise InputError(subject="power table", expected="the columns of power", found=f"no {', '.join(lacking)}")
    effects = sorted(table["effect"].unique())
    sections = sorted(table["n_sections"].unique())
    errors = sorted(table["error_mm"].unique())
    if ax is not None:
        if len(effects) * len(sections) != 1:
            raise InputError(
                subject="power curves in one axes", expected="one effect and one number of sections",
                found=f"{len(effects)} and {len(sections)}", remedy="Choose rows of the table, or leave ax out",
            )  # fmt: skip
        with context(theme):
            _panel(ax, table, errors, wanted, theme)
            ax.legend(title="error of position", **_LEGEND)
        return ax
    with context(theme):
        figure = new_figure(1.0 + 2.7 * len(effects), 1.0 + 2.2 * len(sections))
        panels = figure.subplots(len(sections), len(effects), sharex=True, sharey=True, squeeze=False)
        for (row, count), (column, effect) in product(enumerate(sections), enumerate(effects)):
            own = table[(table["effect"] == effect) & (table["n_sections"] == count)]
            panel = panels[row, column]
            _panel(panel, own, errors, wanted, theme)
            panel.label_outer()
            panel.set_title(_title(effect, count, int(own["n_spots"].iloc[0])))
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=max(1, len(errors)), title="error of position",
            title_fontsize=8.5,
        )  # fmt: skip
    return figure


_LEGEND: dict[str, Any] = {"title_fontsize": 8.5, "alignment": "left", "loc": "best"}


def _panel(ax: Axes, table: pd.DataFrame, errors: list[float], wanted: float, theme: Theme) -> None:
    ax.grid(axis="y")
    ax.axhline(wanted, color=theme.muted, lw=1.0, ls=(0, (4, 3)), gid="wanted")
    shades = DARK_SHADES if theme.paper != LIGHT.paper else SHADES
    for number, error in enumerate(errors):
        own = table[table["error_mm"] == error].sort_values("n_patients")
        if own.empty:
            continue
        x = own["n_patients"].to_numpy(dtype=float)
        colour, mark = shades[number % len(shades)], MARKS[number % len(MARKS)]
        ax.fill_between(x, own["low"], own["high"], color=colour, alpha=0.14, lw=0)
        ax.plot(
            x, own["power"], color=colour, lw=1.8, marker=mark, ms=4.5, label=f"{error:g} mm", gid=f"error-{error:g}"
        )
    sizes = np.sort(table["n_patients"].unique())
    ax.set_xticks(sizes if len(sizes) <= 8 else sizes[:: -(-len(sizes) // 8)])
    ax.set_ylim(-0.02, 1.02)
    ax.set_yticks(np.arange(0, 1.01, 0.2), labels=[f"{100 * y:.0f} %" for y in np.arange(0, 1.01, 0.2)])
    ax.set_xlabel("patients")
    ax.set_ylabel("power")


def _title(effect: float, sections: int, spots: int) -> str:
    change = "no effect" if not effect else f"{2.0 ** abs(effect):.3g}-fold {'more' if effect > 0 else 'less'}"
    return f"{change}\n{sections} section{'s' if sections > 1 else ''}, {spots} spots"

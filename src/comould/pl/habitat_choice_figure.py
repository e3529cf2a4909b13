"""How the number of habitats was chosen: every criterion's whole curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.pl.panels import panels
from comould.pl.style import LIGHT, Theme, context

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CRITERIA: dict[str, tuple[str, str]] = {
    "excess": ("Silhouette beyond chance", "higher is better"),
    "silhouette": ("Silhouette", "higher is better"),
    "calinski_harabasz": ("Calinski-Harabasz", "higher is better"),
    "davies_bouldin": ("Davies-Bouldin", "lower is better"),
    "gap": ("Gap", "the first not below the next"),
    "bic": ("BIC", "lower is better"),
    "stability": ("Stability between halves", "1 is the same twice"),
}
"""Column to title and how to read it."""


def selection_curves(
    selection: pd.DataFrame, *, theme: Theme = LIGHT, columns: int = 4, ax: Axes | None = None
) -> Figure | Axes:
    """Plot every criterion of every number of habitats, and mark the number chosen.

    Parameters
    ----------
    selection
        As :class:`comould.habitats.Habitats` has it: ``n_habitats``, ``chosen`` and columns of :data:`CRITERIA`.
    theme
        Colours of the paper.
    columns
        Panels in a row.
    ax
        Axes to divide; a new figure when ``None``.

    Returns
    -------
    Figure or Axes
        What was drawn into.

    Raises
    ------
    InputError
        If the table holds fewer than two numbers or none of the criteria.
    """
    shown = [name for name in CRITERIA if name in selection and selection[name].notna().any()]
    if len(selection) < 2 or not shown:
        raise InputError(
            subject="selection curve",
            expected="two numbers of habitats or more, and a criterion",
            found=f"{len(selection)} and {len(shown)}",
        )
    numbers = selection["n_habitats"].to_numpy(dtype=int)
    chosen = int(numbers[selection["chosen"].to_numpy(dtype=bool)][0])
    with context(theme):
        host, made = panels(ax, len(shown), columns=columns, size_in=(2.15, 1.75), plate=False)
        for panel, name in zip(made, shown, strict=True):
            _draw(panel, selection, name, numbers, chosen, theme)
    return host


def _draw(ax: Axes, selection: pd.DataFrame, name: str, numbers: np.ndarray, chosen: int, theme: Theme) -> None:
    title, how = CRITERIA[name]
    values = selection[name].to_numpy(dtype=float)
    ax.grid(axis="y")
    if f"{name}_se" in selection:
        error = selection[f"{name}_se"].to_numpy(dtype=float)
        ax.fill_between(numbers, values - error, values + error, color=theme.faint, alpha=0.5, lw=0)
    if name == "silhouette" and "silhouette_null" in selection:
        ax.plot(numbers, selection["silhouette_null"], color=theme.muted, lw=1.2, ls="--")
    ax.plot(numbers, values, color=theme.accent, lw=1.6, marker="o", ms=4, mfc=theme.paper)
    ax.plot([chosen], values[numbers == chosen], "o", ms=8, color=theme.contrast)
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(how, fontsize=8, color=theme.muted)
    ax.set_xticks(numbers)
    ax.tick_params(labelsize=8)
    ax.margins(x=0.1, y=0.2)

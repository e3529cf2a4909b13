"""Gene sets by two questions: whether a set follows the habitat, and whether its genes do so more than others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.pl.associations_figure import each, habitat_number, is_set
from comould.pl.style import LIGHT, Theme, context, habitat_colour, one_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_SETS = 16
_LEAST = 1e-12


def gene_sets(
    table: pd.DataFrame, *, fdr: float = 0.1, top: int = MOST_SETS, theme: Theme = LIGHT, ax: Axes | None = None
) -> Axes:
    """Plot each gene set's self-contained against its competitive evidence, the strongest on top.

    A set far to the right by its dot alone follows the habitat as most genes do; one whose square is far to the right
    too follows it more than they.

    Parameters
    ----------
    table
        Of :func:`comould.associate.test`, with gene sets.
    fdr
        Largest q-value of a claim: its mark is filled.
    top
        Most rows.
    theme
        Colours of the paper.
    ax
        Axes to draw into; new ones when ``None``.

    Returns
    -------
    Axes
        Dot: -log10 of ``p_spatial``; square: of ``p_competitive``.

    Raises
    ------
    InputError
        If the table has no gene set that could be tested.
    """
    rows = table[is_set(table) & table["p_spatial"].notna()].sort_values(["p_spatial", "feature"]).head(top)
    if rows.empty or "p_competitive" not in rows:
        raise InputError(
            subject="association table", expected="gene sets that could be tested", found="none",
            remedy="Give genesets= to comould.associate.test",
        )  # fmt: skip
    with context(theme):
        ax = one_axes(ax, 5.8, 1.5 + 0.27 * len(rows))
        ax.grid(axis="x")
        for y, row in enumerate(each(rows)):
            colour = habitat_colour(habitat_number(row.habitat))
            own, other = _evidence(row.p_spatial), _evidence(row.p_competitive)
            ax.plot([own, other], [y, y], color=theme.faint, lw=1.4)
            for value, q, marker, name in (
                (other, row.q_competitive, "s", "competitive"), (own, row.q_spatial, "o", "self-contained"),
            ):  # fmt: skip
                ax.plot(
                    [value], [y], marker, ms=7.5 if marker == "o" else 6.2, mfc=colour if q <= fdr else theme.paper,
                    mec=theme.ink if q <= fdr else colour, mew=0.8 if q <= fdr else 1.5, ls="", gid=name,
                )  # fmt: skip
        ax.set_yticks(range(len(rows)), [f"{r.feature} · {r.habitat}" for r in each(rows)], parse_math=False)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_xlim(left=-0.05 * max(1.0, ax.get_xlim()[1]))
        capped = (rows[["p_spatial", "p_competitive"]] < _LEAST).any(axis=None)
        ax.set_xlabel(f"evidence (−log₁₀ p; filled: q ≤ {fdr:g}{'; 12: or more' if capped else ''})")
        _legend(ax, theme)
        ax.spines["left"].set_visible(False)
    return ax


def _legend(ax: Axes, theme: Theme) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], marker=marker, ls="", color=theme.muted, ms=6.5, label=label)
        for marker, label in (
            ("o", "follows the habitat"),
            ("s", "more than other genes do"),
        )
    ]
    ax.legend(handles=marks, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handletextpad=0.2, columnspacing=1)


def _evidence(p: float) -> float:
    return float(-np.log10(max(p, _LEAST))) if np.isfinite(p) else float("nan")

"""Which habitats lie beside which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.pl.style import LIGHT, Theme, context, habitat_colour, one_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def interaction(matrix: pd.DataFrame, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Show how much of each habitat's border faces each other one, and the outside.

    Parameters
    ----------
    matrix
        From :func:`comould.habitats.interaction`: rows and columns are labels, 0 (outside) first; areas in mm².
    theme
        Colours of the paper.
    ax
        Axes to draw into; new ones when ``None``.
    """
    labels = [int(label) for label in matrix.index if label != 0]
    facing = [*labels, 0]
    areas = matrix.loc[labels, facing].to_numpy(dtype=float)
    for row in range(len(labels)):
        areas[row, row] = 0.0
    share = areas / np.maximum(areas.sum(axis=1, keepdims=True), 1e-12)
    with context(theme):
        ax = one_axes(ax, 5.6, 1.0 + 0.42 * len(labels))
        left = np.zeros(len(labels))
        rows = np.arange(len(labels))[::-1]
        for column, label in enumerate(facing):
            colour = habitat_colour(label) if label else theme.grid
            ax.barh(
                rows, share[:, column], left=left, height=0.62, color=colour, label=f"H{label}" if label else "outside"
            )
            for row, start, width in zip(rows, left, share[:, column], strict=True):
                if width > 0.07:
                    ink = "#14202b" if label else theme.ink
                    ax.text(
                        start + width / 2,
                        row,
                        f"{100 * width:.0f} %",
                        ha="center",
                        va="center",
                        color=ink,
                        fontsize=8.5,
                    )
            left += share[:, column]
        ax.set_yticks(rows, [f"H{label}" for label in labels])
        ax.set_xlim(0, 1)
        ax.set_xticks([])
        ax.spines["bottom"].set_visible(False)
        ax.set_xlabel("share of each habitat's border by what lies beyond it")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(facing), 6), handlelength=1.0)
    return ax

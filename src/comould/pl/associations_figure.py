"""Which genes follow a habitat: what is claimed honestly, and what would have been claimed without minding space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError
from comould.pl.style import LIGHT, Theme, context, habitat_colour, new_figure, one_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAP_COLUMNS = ("habitat", "map", "level")
NAIVE_ONLY, BOTH, NEITHER = "naive only", "both", "neither"


def associations(
    table: pd.DataFrame,
    *,
    fdr: float = 0.1,
    truth: pd.DataFrame | None = None,
    top: int = 14,
    theme: Theme = LIGHT,
    ax: Axes | None = None,
) -> Figure | Axes:
    """Plot tested associations: every gene, the claims counted, the strongest genes and the gene sets.

    Parameters
    ----------
    table
        From :func:`comould.associate.test`: ``feature``, ``kind`` (gene or gene set), the habitat, ``statistic`` or
        ``log2_fold_change``, and ``q_spatial`` and ``q_naive``.
    fdr
        False-discovery rate at which a gene counts as claimed.
    truth
        Index gene, column ``habitat`` (empty when it follows none): what is true of a simulated specimen.
    top
        Rows of the ranked panel.
    theme
        Colours of the paper.
    ax
        Axes to draw into (the plot of every gene only); a new figure with all panels when ``None``.
    """
    if ax is not None:
        return volcano(table, fdr=fdr, theme=theme, ax=ax)
    sets = is_set(table).any()
    with context(theme):
        figure = new_figure(11.0, 6.4)
        grid = figure.add_gridspec(2, 2, height_ratios=(1.5, 1.0), width_ratios=(1.15, 1.0))
        volcano(table, fdr=fdr, theme=theme, ax=figure.add_subplot(grid[0, 0]))
        claims(table, fdr=fdr, truth=truth, theme=theme, ax=figure.add_subplot(grid[1, 0]))
        right = grid[0, 1] if sets else grid[:, 1]
        ranked(table, fdr=fdr, top=top, theme=theme, ax=figure.add_subplot(right))
        if sets:
            ranked(table, kind="set", fdr=fdr, theme=theme, ax=figure.add_subplot(grid[1, 1]))
    return figure


def volcano(table: pd.DataFrame, *, fdr: float = 0.1, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot effect against honest evidence for every habitat × gene; orange ones only the naive test would claim."""
    genes = table[~is_set(table)]
    effect = effect_column(table)
    group = claimed_by(genes, fdr)
    with context(theme):
        ax = one_axes(ax, 4.4, 3.4)
        ax.grid()
        looks = (
            (NEITHER, theme.faint, 9, 0.6, "neither test"),
            (NAIVE_ONLY, theme.contrast, 16, 0.55, "naive test only"),
            (BOTH, theme.accent, 26, 0.95, "spatial test"),
        )
        evidence = -np.log10(np.clip(genes["p_spatial"].fillna(1.0).to_numpy(dtype=float), 1e-40, 1.0))
        for name, colour, size, alpha, label in looks:
            rows = group == name
            ax.scatter(
                genes[effect].to_numpy(dtype=float)[rows],
                evidence[rows],
                s=size,
                color=colour,
                alpha=alpha,
                lw=0,
                label=f"{label} ({int(rows.sum())})",
                gid=f"volcano-{name}",
            )
        ax.axvline(0, color=theme.faint, lw=0.8)
        ax.set_xlabel(EFFECT_LABELS.get(effect, effect))
        ax.set_ylabel("evidence, spatial test (−log₁₀ p)")
        ax.legend(loc="upper left", title=f"claimed at FDR {fdr:g} by", title_fontsize=8.5, alignment="left")
        ax.margins(y=0.12)
        _headroom(ax)
    return ax


def claims(
    table: pd.DataFrame,
    *,
    fdr: float = 0.1,
    truth: pd.DataFrame | None = None,
    theme: Theme = LIGHT,
    ax: Axes | None = None,
) -> Axes:
    """Count genes claimed by the naive and by the spatial test; with the truth, how many claims are right."""
    counts = count_claims(table, fdr, truth)
    with context(theme):
        ax = one_axes(ax, 4.4, 1.8)
        for row, (test, colour) in enumerate((("naive", theme.contrast), ("spatial", theme.accent))):
            right, wrong = counts[test]
            if truth is None:
                ax.barh([row], [right + wrong], color=colour, height=0.55)
                note = f"{right + wrong}"
            else:
                ax.barh([row], [right], color=colour, height=0.55, gid=f"right-{test}")
                ax.barh([row], [wrong], left=[right], color="none", edgecolor=colour, hatch="////", height=0.55, lw=1)
                note = f"{right + wrong}  ({wrong} wrong)"
            ax.annotate(
                note, (right + wrong, row), xytext=(6, 0), textcoords="offset points", va="center", fontweight="bold"
            )
        ax.set_yticks([0, 1], labels=["naive test", "spatial test"])
        ax.set_ylim(1.6, -0.6)
        ax.set_xlim(0, 1.3 * max(1, *(sum(pair) for pair in counts.values())))
        name = "genes claimed" if truth is None else "genes claimed (hatched: true of no habitat)"
        ax.set_xlabel(name)
        ax.spines["left"].set_visible(False)
    return ax


def ranked(
    table: pd.DataFrame,
    *,
    kind: str = "gene",
    fdr: float = 0.1,
    top: int = 14,
    theme: Theme = LIGHT,
    ax: Axes | None = None,
) -> Axes:
    """Plot the features with the strongest honest evidence: effect, habitat (colour), claimed (filled) or not."""
    rows = table[is_set(table) == (kind != "gene")].sort_values(["p_spatial", "feature"]).head(top)
    effect, which = effect_column(rows), map_column(table)
    with context(theme):
        ax = one_axes(ax, 4.4, max(1.4, 0.24 * len(rows) + 0.7))
        ax.grid(axis="x")
        ax.axvline(0, color=theme.faint, lw=1.0)
        for y, (_, row) in enumerate(rows.iterrows()):
            colour = habitat_colour(habitat_number(row[which])) if which else theme.accent
            claimed = bool(row["q_spatial"] <= fdr)
            ax.plot([0, row[effect]], [y, y], color=theme.faint, lw=1.2)
            ax.plot([row[effect]], [y], "o", ms=8, mfc=colour if claimed else theme.paper, mec=colour, mew=1.6)
        names = [f"{r['feature']} · {r[which]}" if which else str(r["feature"]) for _, r in rows.iterrows()]
        ax.set_yticks(range(len(rows)), labels=[_short(n) for n in names], parse_math=False)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_xlabel(f"{EFFECT_LABELS.get(effect, effect).split(',')[0]} (filled: claimed at FDR {fdr:g})")
        ax.spines["left"].set_visible(False)
    return ax


EFFECT_LABELS = {
    "log2_fold_change": "log₂ fold change, inside against outside",
    "statistic": "correlation with the habitat",
}


def effect_column(table: pd.DataFrame) -> str:
    """Find the column that says how strong an association is: fold change, else correlation.

    Raises
    ------
    InputError
        If the table has neither with a value in it.
    """
    for name in EFFECT_LABELS:
        if name in table and (table[name].notna().any() or table.empty):
            return name
    raise InputError(
        subject="association table", expected=f"a column {' or '.join(EFFECT_LABELS)}", found=", ".join(table.columns)
    )


def map_column(table: pd.DataFrame) -> str | None:
    """Column that names the habitat a row is about, if there is one."""
    return next((name for name in MAP_COLUMNS if name in table), None)


def habitat_number(name: object) -> int:
    """Take the number of a habitat from its name (``H3`` is 3); 1 when it has none."""
    digits = "".join(c for c in str(name) if c.isdigit())
    return max(1, int(digits)) if digits else 1


def each(table: pd.DataFrame) -> Iterator[Any]:
    """Give the rows of a table by the names of its columns."""
    return iter(table.itertuples())


def is_set(table: pd.DataFrame) -> pd.Series:
    """Tell which rows are about gene sets."""
    if "kind" not in table:
        return table["feature"].isna()
    return table["kind"].astype(str) != "gene"


def claimed_by(genes: pd.DataFrame, fdr: float) -> np.ndarray:
    """Say for every row which test claims it: both (or the spatial alone), naive only, or neither."""
    spatial, naive = (genes[c].to_numpy(dtype=float) <= fdr for c in ("q_spatial", "q_naive"))
    return np.where(spatial, BOTH, np.where(naive, NAIVE_ONLY, NEITHER))


def count_claims(table: pd.DataFrame, fdr: float, truth: pd.DataFrame | None = None) -> dict[str, tuple[int, int]]:
    """Count the genes either test claims for any habitat: right ones and wrong ones (all right without a truth)."""
    from comould.associate import by_feature

    genes = by_feature(table[~is_set(table)].assign(kind="gene"))
    follows = set(truth.index[truth["habitat"].astype(str) != ""]) if truth is not None else None
    counts = {}
    for test in ("naive", "spatial"):
        found = set(genes.index[genes[f"q_{test}"] <= fdr])
        right = found if follows is None else found & follows
        counts[test] = (len(right), len(found) - len(right))
    return counts


def _headroom(ax: Axes) -> None:
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -0.1), high + 0.35 * (high - low))


def _short(name: str, most: int = 34) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"

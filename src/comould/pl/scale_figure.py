"""How effect and evidence change with the scale at which habitats and genes are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.pl.panels import panels
from comould.pl.style import HABITATS, LIGHT, Theme, context

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NEEDED = ("feature", "habitat", "scale_mm", "statistic", "p_spatial")


def scale_curve(
    table: pd.DataFrame,
    *,
    features: Sequence[str] | None = None,
    habitat: str | None = None,
    top: int = 6,
    theme: Theme = LIGHT,
    ax: Axes | None = None,
) -> Figure | Axes:
    """Plot effect and spatial p-value against scale, a line for every feature and habitat.

    Parameters
    ----------
    table
        From :func:`comould.associate.scales`.
    features
        Genes or gene sets to show; else those with the smallest p-value at the smallest scale.
    habitat
        Show one habitat only.
    top
        Lines at most, when ``features`` are not given.
    theme
        Colours of the paper.
    ax
        Axes to divide; a new figure when ``None``.

    Returns
    -------
    Figure or Axes
        What was drawn into.

    Raises
    ------
    InputError
        If columns are missing, or nothing is left to show.
    """
    if lacking := [name for name in _NEEDED if name not in table]:
        raise InputError(
            subject="table of scales", expected="that of comould.associate.scales", found=f"no {', '.join(lacking)}"
        )
    rows = table if habitat is None else table[table["habitat"].astype(str) == habitat]
    if features is not None:
        rows = rows[rows["feature"].astype(str).isin([str(name) for name in features])]
    lines = _lines(rows, None if features is not None else top)
    if not lines:
        raise InputError(subject="scale curve", expected="a feature of the table", found="none that is left to show")
    sizes = sorted(table["scale_mm"].unique())
    with context(theme):
        host, (effect, evidence) = panels(ax, 2, columns=2, size_in=(3.6, 3.4), plate=False)
        for number, (name, line) in enumerate(lines.items()):
            colour = HABITATS[number % len(HABITATS)]
            at = [sizes.index(size) for size in line["scale_mm"]]
            effect.plot(at, line["statistic"], color=colour, lw=1.8, marker="o", ms=5, label=name)
            strength = -np.log10(np.clip(line["p_spatial"].to_numpy(dtype=float), 1e-40, 1.0))
            evidence.plot(at, strength, color=colour, lw=1.8, marker="o", ms=5)
        _dress(effect, table, sizes, theme)
        _dress(evidence, table, sizes, theme)
        effect.axhline(0, color=theme.faint, lw=1.0)
        effect.set_title("Effect")
        effect.set_ylabel("correlation with habitat")
        evidence.axhline(-np.log10(0.05), color=theme.contrast, lw=1.0, ls="--")
        evidence.set_title("Evidence, spatial test")
        evidence.set_ylabel("−log₁₀ p (dashed: 0.05)")
        evidence.set_ylim(bottom=0)
        effect.margins(y=0.15)
        _legend(host, effect, ax is None)
    return host


def _lines(rows: pd.DataFrame, top: int | None) -> dict[str, pd.DataFrame]:
    """Rows of every feature and habitat in order of scale, the strongest at the smallest scale first."""
    ordered = rows.sort_values(["scale_mm", "p_spatial", "feature"], kind="stable")
    lines: dict[str, pd.DataFrame] = {}
    for (feature, habitat), line in ordered.groupby(["feature", "habitat"], sort=False, observed=True):
        if top is not None and len(lines) == top:
            break
        if line["statistic"].notna().any():
            lines[f"{feature} · {habitat}"] = line
    return lines


def _dress(panel: Axes, table: pd.DataFrame, sizes: list[float], theme: Theme) -> None:
    names = [f"{size:g}" if size else "spots" for size in sizes]
    if "n_places" in table:
        counts = table.groupby("scale_mm")["n_places"].first()
        names = [f"{name}\n{counts[size]:,}" for name, size in zip(names, sizes, strict=True)]
    panel.set_xticks(range(len(sizes)), labels=names)
    panel.set_xlim(-0.25, len(sizes) - 0.75)
    panel.set_xlabel("size of a place, mm (below: places tested)" if "n_places" in table else "size of a place, mm")
    panel.grid(axis="y")


def _legend(host: Figure | Axes, effect: Axes, own: bool) -> None:
    handles, labels = effect.get_legend_handles_labels()
    if own:
        host.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)))  # type: ignore[call-arg]
    else:
        effect.legend(handles, labels, fontsize=7)

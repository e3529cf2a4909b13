"""Habitat maps, their legend, and how the number of habitats was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.pl import decor
from comould.pl.kinds import HabitatsLike
from comould.pl.panels import panels
from comould.pl.style import LIGHT, Theme, context, habitat_colour, one_axes
from comould.pl.view import View, grey_window, mask_points, pixel_mm
from comould.space import CutPlane, FloatArray, Grid, SlicePlan

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def habitats(
    habitats: HabitatsLike | sitk.Image,
    image: sitk.Image,
    plan: SlicePlan | None = None,
    *,
    columns: int = 4,
    ax: Axes | None = None,
) -> Figure | Axes:
    """Show habitats on the image, plane by plane, with each one's share of the volume.

    Parameters
    ----------
    habitats
        Habitats, or a label map (0 outside, 1 … k).
    image
        The volume beneath.
    plan
        Cutting planes to show; up to six slices of the label map's own grid by default.
    columns
        Pictures in a row.
    ax
        Axes to draw into; a new figure when ``None``.

    Returns
    -------
    Figure or Axes
        What was drawn into; the first panel is the legend.
    """
    labels = habitats if _is_image(habitats) else habitats.labels
    cuts = list(plan) if plan is not None else own_planes(labels)
    view = View.of_plane(cuts[0], mask_points(labels))
    aspect = view.size_mm[1] / view.size_mm[0]
    with context():
        host, made = panels(ax, len(cuts) + 1, columns=columns, size_in=(2.8, 2.8 * aspect))
        _legend(made[0], fractions(labels))
        for panel, cut in zip(made[1:], cuts, strict=True):
            habitat_plane(labels, image, cut, ax=panel)
    return host


def habitat_plane(
    labels: sitk.Image,
    image: sitk.Image,
    plane: CutPlane,
    *,
    points_mm: FloatArray | None = None,
    window: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Show the habitats in one plane over the image; see :func:`habitats`."""
    from matplotlib.colors import to_rgba

    view = View.of_plane(plane, mask_points(labels) if points_mm is None else points_mm)
    spacing = pixel_mm(labels)
    with context():
        ax = one_axes(ax, 3.2, 3.2 * view.size_mm[1] / view.size_mm[0], plate=True)
        decor.grey(ax, view, image, window or grey_window(image, labels), pixel_mm(image))
        found = view.sample(labels, spacing, linear=False, outside=0.0).astype(int)
        table = np.array([(0.0, 0.0, 0.0, 0.0), *(to_rgba(habitat_colour(n), 0.78) for n in range(1, found.max() + 1))])
        ax.imshow(table[found], extent=view.extent, origin="upper", interpolation="nearest", gid="habitats")
        decor.finish(ax, view, plane.id)
    return ax


def fractions(labels: sitk.Image) -> dict[int, float]:
    """Share of the labelled volume of each habitat, by number."""
    import SimpleITK as sitk

    counts = np.bincount(sitk.GetArrayViewFromImage(labels).ravel())[1:]
    total = max(int(counts.sum()), 1)
    return {number: count / total for number, count in enumerate(counts.tolist(), start=1) if count}


def own_planes(labels: sitk.Image, most: int = 6) -> list[CutPlane]:
    """Make planes on slices of a label map's own grid, spread over the slices that hold a label."""
    import SimpleITK as sitk

    grid = Grid.from_image(labels)
    held = np.flatnonzero((sitk.GetArrayViewFromImage(labels) > 0).any(axis=(1, 2)))
    picked = held
    if len(held) > most:
        # Away from both ends, where little is to be seen.
        picked = held[np.unique(np.linspace(0, len(held) - 1, most + 2).round().astype(int))[1:-1]]
    u, v, n = grid.axes.T
    # A header's rounding would make the axes fail the plane's own check.
    v = np.cross(n, u) / np.linalg.norm(np.cross(n, u))
    n = np.cross(u / np.linalg.norm(u), v)
    middle = np.asarray(grid.size) / 2.0
    return [
        CutPlane(
            f"slice {k}",
            tuple(grid.patient_from_index([middle[0], middle[1], k])[0]),
            tuple(n),
            tuple(u / np.linalg.norm(u)),
            tuple(v),
            image_index=float(k),
        )
        for k in picked.tolist()
    ]


def selection_curve(
    selection: pd.DataFrame, *, chosen: int | None = None, theme: Theme = LIGHT, ax: Axes | None = None
) -> Axes:
    """Plot the score of each number of habitats and mark the one chosen.

    Parameters
    ----------
    selection
        One row per k: a column ``n_habitats`` (or ``k``, or the index) and scores; the first of stability, BIC and
        others is drawn.
    chosen
        The k that was used; by default the row marked in a column ``chosen``.
    theme
        Colours of the paper.
    ax
        Axes to draw into; new ones when ``None``.
    """
    k, score, name = _curve(selection)
    if chosen is None and "chosen" in selection and selection["chosen"].any():
        chosen = k[int(np.argmax(selection["chosen"].to_numpy(dtype=bool)))]
    with context(theme):
        ax = one_axes(ax, 4.2, 2.6)
        ax.grid(axis="y")
        ax.plot(k, score, color=theme.accent, lw=1.8, marker="o", ms=5, mfc=theme.paper)
        if chosen is not None and chosen in k:
            at = k.index(chosen)
            ax.plot([chosen], [score[at]], "o", ms=10, color=theme.accent)
            falls = at + 1 == len(score) or score[at + 1] < score[at]
            ax.annotate(
                f"{chosen} chosen",
                (chosen, score[at]),
                xytext=(6, 7 if falls else -7),
                textcoords="offset points",
                ha="left",
                va="bottom" if falls else "top",
                fontweight="bold",
            )
            ax.margins(x=0.08, y=0.25)
        ax.set_xticks(k)
        ax.set_xlabel("number of habitats")
        ax.set_ylabel(name)
    return ax


def _curve(selection: pd.DataFrame) -> tuple[list[int], list[float], str]:
    column = next((c for c in ("k", "n_habitats") if c in selection), None)
    k = [int(n) for n in (selection[column] if column else selection.index)]
    known = ("stability", "bic", "score", "silhouette", "gap", "inertia")
    numeric: Sequence[str] = [
        c for c in selection.columns if c not in {column, "rank"} and selection[c].dtype.kind in "fi"
    ]
    name = next((c for c in known if c in numeric), numeric[0])
    label = name.upper() if name == "bic" else name.replace("_", " ")
    return k, [float(v) for v in selection[name]], label


def _legend(ax: Axes, shares: dict[int, float]) -> None:
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    for row, (number, share) in enumerate(shares.items()):
        y = 0.86 - 0.13 * row
        ax.plot([0.12], [y], "s", ms=11, color=habitat_colour(number))
        ax.text(0.24, y, f"H{number}", color="white", va="center", fontweight="bold", fontsize=10)
        ax.text(0.48, y, f"{100 * share:.0f} %", color="white", va="center", fontsize=10)


def _is_image(thing: Any) -> bool:
    return hasattr(thing, "GetSpacing")

"""What held still when a tumour was measured again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.pl import decor
from comould.pl.style import LIGHT, Theme, context, habitat_colour, one_axes
from comould.pl.view import View, grey_window, pixel_mm
from comould.space import CutPlane, FloatArray

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk
    from matplotlib.axes import Axes

MOST_FEATURES = 30


def feature_stability(
    table: pd.DataFrame, *, least_icc: float = 0.75, theme: Theme = LIGHT, ax: Axes | None = None
) -> Axes:
    """Plot each feature's intraclass correlation with its limits; those left out are in another colour.

    Parameters
    ----------
    table
        Of :class:`comould.habitats.FeatureStability`: index feature; ``icc``, ``icc_low``, ``icc_high``, ``kept``. Of
        more than 30 features the least stable are shown.
    least_icc
        The threshold, drawn as a line.
    theme
        Colours of the paper.
    ax
        Axes to draw into; new ones when ``None``.
    """
    column = "icc" if table["icc"].notna().any() else "icc_bins"
    shown = table.sort_values(column, na_position="first").head(MOST_FEATURES)[::-1]
    rows = np.arange(len(shown))[::-1]
    with context(theme):
        ax = one_axes(ax, 5.6, 0.9 + 0.24 * len(shown))
        ax.grid(axis="x")
        ax.axvline(least_icc, color=theme.muted, lw=1.2, ls="--")
        for row, (_, one) in zip(rows, shown.iterrows(), strict=True):
            colour = theme.accent if one["kept"] else theme.contrast
            if column == "icc":
                ax.plot([max(one["icc_low"], 0), one["icc_high"]], [row, row], color=colour, lw=2.2, alpha=0.55)
            ax.plot([max(one[column], 0)], [row], "o", ms=5.5, color=colour, mfc=colour if one["kept"] else theme.paper)
        ax.set_yticks(rows, [str(name) for name in shown.index])
        ax.set_xlim(0, 1.02)
        ax.set_ylim(-0.7, len(shown) - 0.3)
        ax.set_xlabel("intraclass correlation (0: noise, 1: the same every time)")
    return ax


def habitat_stability(table: pd.DataFrame, *, theme: Theme = LIGHT, ax: Axes | None = None) -> Axes:
    """Plot each habitat's overlap with itself (Dice) and the whole map's agreement, measurement by measurement.

    Parameters
    ----------
    table
        Of :class:`comould.habitats.HabitatStability`: ``perturbation``, ``rand_index`` and ``dice_<habitat>``.
    theme
        Colours of the paper.
    ax
        Axes to draw into; new ones when ``None``.
    """
    names = [str(name).removeprefix("dice_") for name in table.columns if str(name).startswith("dice_")]
    rows = np.arange(len(table))[::-1]
    with context(theme):
        ax = one_axes(ax, 5.6, 1.3 + 0.3 * len(table))
        ax.grid(axis="x")
        ax.barh(rows, table["rand_index"], height=0.55, color=theme.grid, label="whole map (Rand)")
        for number, name in enumerate(names, start=1):
            ax.plot(
                table[f"dice_{name}"], rows, "o", ms=6.5, color=habitat_colour(number), mec=theme.paper, mew=0.8,
                label=f"{name} (Dice)", clip_on=False, zorder=3,
            )  # fmt: skip
        ax.set_yticks(
            rows,
            [_words(str(kind), float(amount)) for kind, amount in zip(table["kind"], table["amount"], strict=True)],
        )
        ax.set_xlim(0, 1)
        ax.set_xlabel("agreement with the habitats as first found (1: the same)")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(names) + 1, 4), handletextpad=0.3)
    return ax


def _words(kind: str, amount: float) -> str:
    said = {
        "noise": f"noise, {amount:g} × its own",
        "rotation": f"turned {amount:+g}°",
        "translation": f"moved {amount:g} voxel",
        "contour": f"contour {amount:+g} mm",
        "bins": f"{amount:g} bins",
    }
    return said.get(kind, f"{kind} {amount:g}").replace("-", "−")


def kept_plane(
    kept: sitk.Image, image: sitk.Image, plane: CutPlane, *, points_mm: FloatArray, ax: Axes | None = None
) -> Axes:
    """Show in one plane how often each voxel stayed in its habitat: dark never, bright always.

    Parameters
    ----------
    kept
        Of :class:`comould.habitats.HabitatStability`: share 0 to 1, 0 outside.
    image
        The volume beneath.
    plane
        Where to look.
    points_mm
        ``(n, 3)`` what must be in the window.
    ax
        Axes to draw into; new ones when ``None``.
    """
    view = View.of_plane(plane, points_mm)
    with context():
        ax = one_axes(ax, 3.2, 3.2 * view.size_mm[1] / view.size_mm[0], plate=True)
        decor.grey(ax, view, image, grey_window(image, kept), pixel_mm(image))
        share = view.sample(kept, pixel_mm(kept), linear=False, outside=0.0)
        shown = np.ma.masked_less_equal(share, 0.0)
        ax.imshow(
            shown, cmap="inferno", vmin=0.0, vmax=1.0, alpha=0.85, extent=view.extent, origin="upper",
            interpolation="nearest", gid="kept",
        )  # fmt: skip
        decor.finish(ax, view, plane.id)
    return ax

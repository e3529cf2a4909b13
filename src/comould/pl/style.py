"""One look for every figure: palettes safe for colour-blind readers, fonts, and figures that leak no global state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HABITATS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#D55E00", "#B8B8B8")
"""Habitat colours, H1 first: Okabe & Ito's set (https://jfly.uni-koeln.de/color/), brightest first for dark plates."""

PLATE = "#0a0d12"
"""Background of every picture that holds an image."""
OUTLINE = "#FFD84D"
"""Outline of the segmentation on images."""
SPECIMEN = (0.78, 0.36, 0.33)
MOULD = (0.80, 0.84, 0.88)

VERDICTS = {"accept": "#0f8a5f", "review": "#b26a00", "reject": "#b3261e"}


@dataclass(frozen=True)
class Theme:
    """Colours of a chart on light or dark paper."""

    ink: str
    muted: str
    grid: str
    paper: str
    accent: str
    contrast: str
    faint: str


LIGHT = Theme("#14202b", "#5c6b78", "#dde3e8", "#ffffff", "#00697a", "#c2570c", "#b9c4cd")
DARK = Theme("#e8edf1", "#9fb0bd", "#2b3742", "#10171e", "#4fc3d1", "#f2994a", "#526270")
THEMES = {"light": LIGHT, "dark": DARK}


def habitat_colour(number: int) -> str:
    """Colour of habitat ``number`` (1, 2, …); repeats after eight."""
    return HABITATS[(int(number) - 1) % len(HABITATS)]


def rc(theme: Theme = LIGHT) -> dict[str, Any]:
    """Matplotlib settings of the house for one theme."""
    return {
        # Ships with matplotlib: the same picture on every machine.
        "font.family": ["DejaVu Sans"],
        "font.size": 9.0,
        "axes.titlesize": 10.0,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 9.0,
        "axes.labelsize": 9.0,
        "axes.labelcolor": theme.ink,
        "axes.edgecolor": theme.faint,
        "axes.titlecolor": theme.ink,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": False,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "xtick.major.size": 0.0,
        "ytick.major.size": 0.0,
        "text.color": theme.ink,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "figure.facecolor": theme.paper,
        "savefig.facecolor": "auto",
        "svg.fonttype": "none",
        "svg.hashsalt": "comould",
        "image.interpolation": "nearest",
    }


@contextmanager
def context(theme: Theme = LIGHT) -> Iterator[Theme]:
    """Apply the house style inside the block only."""
    import matplotlib as mpl

    with mpl.rc_context(rc(theme)):
        yield theme


def new_figure(
    width_in: float, height_in: float, *, plate: bool = False, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """Make a figure outside pyplot: it is not registered anywhere and goes when the caller lets it go.

    Parameters
    ----------
    width_in, height_in
        Size in inches.
    plate
        Dark background, for images.
    layout
        Matplotlib layout engine.
    """
    from comould.pl.canvas import ShownFigure

    figure = ShownFigure(figsize=(width_in, height_in), layout=layout)
    if plate:
        figure.set_facecolor(PLATE)
    return figure


def one_axes(ax: Axes | None, width_in: float, height_in: float, *, plate: bool = False) -> Axes:
    """Give the caller's axes, or new ones that fill a new figure."""
    if ax is not None:
        return ax
    figure = new_figure(width_in, height_in, plate=plate, layout=None if plate else "constrained")
    return figure.add_axes((0.0, 0.0, 1.0, 1.0)) if plate else figure.add_subplot()

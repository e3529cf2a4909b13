"""What every image view carries: a scale bar in mm, orientation letters, outlines, a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.pl.style import OUTLINE, PLATE
from comould.pl.view import View
from comould.space import FloatArray

if TYPE_CHECKING:
    import SimpleITK as sitk
    from matplotlib.axes import Axes

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Pen:
    """Colours of what is written on a picture, and of the halo that lifts it off; no halo when empty."""

    ink: str
    letter: str
    halo: str

    def lift(self, width: float = 2.0) -> list[Any]:
        """Path effects of a halo that wide."""
        from matplotlib.patheffects import withStroke

        return [withStroke(linewidth=width, foreground=self.halo)] if self.halo else []


ON_DARK = Pen("#ffffff", "#9fd8e3", PLATE)
ON_LIGHT = Pen("#14202b", "#00566a", "#ffffff")
ON_NOTHING = Pen("#7d8b97", "#7d8b97", "")


def bar_length_mm(width_mm: float) -> float:
    """Longest of 1, 2, 5 × 10ⁿ mm that takes at most 30 % of the picture's width."""
    return max((s for s in _STEPS if s <= 0.3 * width_mm), default=_STEPS[0])


def scale_bar(ax: Axes, *, length_mm: float | None = None, pen: Pen = ON_DARK) -> float:
    """Draw a scale bar at the lower left of axes whose data units are mm; returns its length in mm."""
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    length = length_mm or bar_length_mm(abs(x1 - x0))
    x, y = x0 + 0.04 * (x1 - x0), y0 + 0.045 * (y1 - y0)
    sign = 1.0 if x1 > x0 else -1.0
    (line,) = ax.plot([x, x + sign * length], [y, y], color=pen.ink, lw=2.4, solid_capstyle="butt", gid="scale-bar")
    line.set_path_effects(pen.lift(4.0))
    ax.annotate(
        f"{length:g} mm",
        (x, y),
        xytext=(0, 4),
        textcoords="offset points",
        color=pen.ink,
        fontsize=8,
        va="bottom",
        ha="left",
        path_effects=pen.lift(),
    )
    return length


def orientation(ax: Axes, view: View, *, pen: Pen = ON_DARK) -> dict[str, str]:
    """Write the patient directions at the four edges; returns them."""
    places = {
        "left": (0.02, 0.5, "left", "center"),
        "right": (0.98, 0.5, "right", "center"),
        "top": (0.5, 0.985, "center", "top"),
        "bottom": (0.5, 0.015, "center", "bottom"),
    }
    named = view.edge_letters
    for edge, (x, y, ha, va) in places.items():
        ax.text(
            x,
            y,
            named[edge],
            transform=ax.transAxes,
            ha=ha,
            va=va,
            color=pen.letter,
            fontsize=9,
            fontweight="bold",
            path_effects=pen.lift(2.5),
            gid=f"letter-{edge}",
        )
    return named


def label(ax: Axes, text: str, *, pen: Pen = ON_DARK) -> None:
    """Write a short name in the upper left corner; mathtext is off, so any name is safe."""
    ax.text(
        0.03,
        0.975,
        text,
        transform=ax.transAxes,
        ha="left",
        va="top",
        color=pen.ink,
        fontsize=9.5,
        fontweight="bold",
        path_effects=pen.lift(2.5),
        parse_math=False,
        gid="label",
    )


def frame(ax: Axes, view: View) -> None:
    """Bind axes to a window: mm limits, y downwards, equal scale, nothing but the picture."""
    ax.set_xlim(*view.x_mm)
    ax.set_ylim(view.y_mm[1], view.y_mm[0])
    ax.set_aspect("equal")
    ax.set_axis_off()


def finish(ax: Axes, view: View, name: str = "", *, pen: Pen = ON_DARK) -> None:
    """Add what every image view carries."""
    frame(ax, view)
    scale_bar(ax, pen=pen)
    orientation(ax, view, pen=pen)
    if name:
        label(ax, name, pen=pen)


def grey(ax: Axes, view: View, image: sitk.Image, window: tuple[float, float], spacing_mm: float) -> FloatArray:
    """Show a volume in a window; returns the sampled values."""
    values = view.sample(image, spacing_mm)
    ax.imshow(
        values,
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
        extent=view.extent,
        origin="upper",
        interpolation="bilinear",
        interpolation_stage="data",
    )
    return values


def outline(
    ax: Axes, view: View, mask: sitk.Image, spacing_mm: float, *, colour: str = OUTLINE, width: float = 1.3
) -> bool:
    """Draw the outline of a mask in a window; tells whether the plane meets the mask."""
    from scipy.ndimage import gaussian_filter

    field = view.sample(mask, spacing_mm, outside=0.0)
    if field.max() < 0.5:
        return False
    # A binary mask's linear interpolation is a staircase; half a voxel of blur is for the eye only.
    field = gaussian_filter(np.pad(field, 1), 1.0)[1:-1, 1:-1]
    step = view.grid(spacing_mm).spacing_mm
    x = view.x_mm[0] + (np.arange(field.shape[1]) + 0.5) * step[0]
    y = view.y_mm[0] + (np.arange(field.shape[0]) + 0.5) * step[1]
    if min(field.shape) < 2 or field.max() <= 0.5:
        return False
    drawn = ax.contour(x, y, field, levels=[0.5], colors=[colour], linewidths=[width])
    drawn.set_path_effects(ON_DARK.lift(width + 1.2))
    return True

"""Pictures of a mould with its specimen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError
from comould.pl.decor import ON_NOTHING, scale_bar
from comould.pl.kinds import MouldLike
from comould.pl.panels import panels
from comould.pl.render import Body, Camera, MeshLike, Rendered, render
from comould.pl.style import MOULD, SPECIMEN, context, new_figure
from comould.space import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VIEWS = {
    "cut": "Cut away: the specimen lies in its cavity",
    "lifted": "Taken apart",
    "top": "From above, mould as glass",
    "front": "Across the slots, mould as glass",
}
RGB = tuple[float, float, float]
LEVEL = (0.0, 0.0, 0.0)
BODIES = (MOULD, (0.66, 0.75, 0.86), (0.86, 0.82, 0.70))
"""Colours of a mould's bodies, in their order."""

_GREY = ON_NOTHING.ink
FOOT = 0.12
"""Share of the height kept free below for scale bar and compass."""


def mould(
    mould: MouldLike, *, views: Sequence[str] = tuple(VIEWS), width_px: int = 560, ax: Axes | None = None
) -> Figure | Axes:
    """Draw a mould with its specimen, from several sides.

    Parameters
    ----------
    mould
        Bodies and specimen in the mould frame (mm, z up), plan and ``mould_from_patient``.
    views
        Of ``cut``, ``lifted``, ``top`` and ``front``.
    width_px
        Width of each rendered picture.
    ax
        Axes to draw into; a new figure when ``None``.

    Returns
    -------
    Figure or Axes
        What was drawn into.

    Raises
    ------
    InputError
        For an unknown view.

    Examples
    --------
    >>> cm.pl.mould(cm.mould.build(seg)).savefig("mould.png")  # doctest: +SKIP
    """
    with context():
        host, made = panels(ax, len(views), columns=2, size_in=(4.2, 3.6), plate=False)
        for panel, view in zip(made, views, strict=True):
            mould_view(mould, view, width_px=width_px, ax=panel)
            panel.set_title(VIEWS[view])
    return host


def mould_view(mould: MouldLike, view: str = "cut", *, width_px: int = 700, ax: Axes | None = None) -> Axes:
    """Draw one view of a mould, with a scale bar and a compass of patient directions; see :func:`mould`."""
    with context():
        picture = mould_picture(mould, view, width_px=width_px)
        if ax is None:
            height, width = picture.rgba.shape[:2]
            inches = 5.6 if width_px > 600 else 4.0
            figure = new_figure(inches, inches * height / width / (1.0 - FOOT), layout=None)
            figure.patch.set_alpha(0.0)
            ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        ax.imshow(picture.rgba, extent=picture.extent, origin="upper", interpolation="antialiased")
        left, right, bottom, top = picture.extent
        ax.set_xlim(left, right)
        ax.set_ylim(bottom + (bottom - top) * FOOT / (1.0 - FOOT), top)
        ax.set_aspect("equal")
        ax.set_axis_off()
        scale_bar(ax, pen=ON_NOTHING)
        compass(ax, picture.camera, mould.mould_from_patient.matrix[:3, :3])
    return ax


def mould_picture(mould: MouldLike, view: str, *, width_px: int = 700) -> Rendered:
    """Render one view without drawing it anywhere; see :func:`mould`.

    Raises
    ------
    InputError
        For an unknown view.
    """
    if view not in VIEWS:
        raise InputError(subject=f"mould view {view!r}", expected=f"one of {', '.join(VIEWS)}", found="another")
    normal = mould.mould_from_patient.matrix[:3, :3] @ mould.plan.normal
    across = _level(np.cross(normal, [0.0, 0.0, 1.0]))
    facing = float(np.rad2deg(np.arctan2(across[1], across[0])))
    specimen = np.asarray(mould.specimen.vertices)
    middle = 0.5 * (specimen.min(axis=0) + specimen.max(axis=0))
    cut = (across, float(across @ middle)) if view == "cut" else None
    glass = 0.30 if view in {"top", "front"} else 1.0
    shifts = _lifts(mould) if view == "lifted" else {}
    colours = body_colours(mould)
    meshes: dict[str, MeshLike] = {**mould.bodies, **getattr(mould, "inlays", {})}
    bodies = [Body(mesh, colours[name], glass, cut, shifts.get(name, LEVEL)) for name, mesh in meshes.items()]
    bodies.append(Body(mould.specimen, SPECIMEN, shift=shifts.get("", LEVEL)))
    angles = {"cut": (facing - 28.0, 30.0), "lifted": (facing - 38.0, 32.0), "top": (facing, 90.0)}
    return render(bodies, Camera.orbit(*angles.get(view, (facing, 6.0))), width_px=width_px).trimmed()


def _inlay_facts(mould: MouldLike) -> dict[str, Mapping[str, Any]]:
    """Look up what the report says of each inlay: its colour and the body it lies in."""
    report = getattr(mould, "report", {})
    return {fact["name"]: fact for fact in report.get("structures", ()) if fact["body"]}


def body_colours(mould: MouldLike) -> dict[str, RGB]:
    """Give bodies greys of their own, inlays the colour they are printed in."""
    from matplotlib.colors import to_rgb

    found = {name: BODIES[n % len(BODIES)] for n, name in enumerate(mould.bodies)}
    return found | {name: to_rgb(fact["colour"]) for name, fact in _inlay_facts(mould).items()}


def _lifts(mould: MouldLike) -> dict[str, RGB]:
    """Take a mould apart upwards: its lowest body stays, then the specimen (``""``), then what closes over it."""
    height = {name: _heights(mesh) for name, mesh in mould.bodies.items()}
    lowest = min(height, key=lambda name: height[name][0])
    low, high = _heights(mould.specimen)
    gap = 0.12 * float(np.ptp(np.asarray(mould.specimen.vertices), axis=0).max())
    floor = height[lowest][1] + gap
    shifts = {"": (0.0, 0.0, floor - low)}
    floor += high - low + gap
    for name in height:
        if name != lowest:
            shifts[name] = (0.0, 0.0, floor - height[name][0])
            floor += height[name][1] - height[name][0] + gap
    inside = {name: shifts.get(fact["body"], LEVEL) for name, fact in _inlay_facts(mould).items()}
    return shifts | inside


def _heights(mesh: MeshLike) -> tuple[float, float]:
    z = np.asarray(mesh.vertices)[:, 2]
    return float(z.min()), float(z.max())


def _level(vector: FloatArray) -> FloatArray:
    """Make a horizontal unit vector; −y when there is none (a plan whose planes lie flat)."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-3 else np.array([0.0, -1.0, 0.0])


def compass(ax: Axes, camera: Camera, mould_from_patient: FloatArray) -> dict[str, tuple[float, float]]:
    """Draw where left, anterior and superior of the patient point in a picture; returns x right, y up per letter."""
    from matplotlib.offsetbox import AnchoredOffsetbox, DrawingArea
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.text import Text

    box = DrawingArea(54, 54)
    pointing = {}
    for letter, direction in (("L", (1.0, 0.0, 0.0)), ("A", (0.0, -1.0, 0.0)), ("S", (0.0, 0.0, 1.0))):
        seen = camera.matrix @ mould_from_patient @ np.asarray(direction)
        x, y = float(seen[0]), float(-seen[1])
        pointing[letter] = (x, y)
        if np.hypot(x, y) < 0.2:
            continue
        tip = (27 + 17 * x, 27 + 17 * y)
        box.add_artist(FancyArrowPatch((27, 27), tip, arrowstyle="-|>", mutation_scale=7, color=_GREY, lw=1.2))
        long = 24.0 / max(float(np.hypot(x, y)), 0.75)
        box.add_artist(
            Text(
                27 + long * x, 27 + long * y, letter, color=_GREY, fontsize=8.5, weight="bold", ha="center", va="center"
            )
        )
    ax.add_artist(AnchoredOffsetbox("lower right", child=box, frameon=False, pad=0.1, borderpad=0.1))
    return pointing

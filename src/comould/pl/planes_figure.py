"""The cutting planes on the imaging."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.pl import decor
from comould.pl.panels import panels
from comould.pl.style import context, one_axes
from comould.pl.view import View, grey_window, mask_points, overview, pixel_mm
from comould.space import CutPlane, FloatArray, SlicePlan

if TYPE_CHECKING:
    import SimpleITK as sitk
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLANE_COLOUR = "#5fd0e0"


def planes(
    image: sitk.Image, mask: sitk.Image, plan: SlicePlan, *, columns: int = 4, ax: Axes | None = None
) -> Figure | Axes:
    """Show every cutting plane through the volume, with the specimen's outline, and where the planes lie.

    Parameters
    ----------
    image
        Scalar volume, patient LPS mm.
    mask
        The specimen, on any grid.
    plan
        The cutting planes.
    columns
        Pictures in a row.
    ax
        Axes to draw into; a new figure when ``None``.

    Returns
    -------
    Figure or Axes
        What was drawn into: first the overview, then one picture per plane, all in radiological convention.
    """
    points = mask_points(mask)
    window = grey_window(image, mask)
    view = View.of_plane(plan.planes[0], points)
    aspect = view.size_mm[1] / view.size_mm[0]
    with context():
        host, made = panels(ax, len(plan) + 1, columns=columns, size_in=(2.8, 2.8 * aspect))
        plan_overview(image, mask, plan, window=window, aspect=1.0 / aspect, ax=made[0])
        for panel, cut in zip(made[1:], plan, strict=True):
            plane(image, mask, cut, points_mm=points, window=window, ax=panel)
    return host


def plane(
    image: sitk.Image,
    mask: sitk.Image,
    plane: CutPlane,
    *,
    points_mm: FloatArray | None = None,
    window: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Show the volume in one cutting plane, with the specimen's outline.

    Parameters
    ----------
    image, mask
        As in :func:`planes`.
    plane
        The cutting plane.
    points_mm
        ``(n, 3)`` patient points the picture must hold; the mask's voxels by default.
    window
        Values shown black and white; chosen from the image around the mask by default.
    ax
        Axes to draw into; new ones when ``None``.
    """
    view = View.of_plane(plane, mask_points(mask) if points_mm is None else points_mm)
    with context():
        ax = one_axes(ax, 3.2, 3.2 * view.size_mm[1] / view.size_mm[0], plate=True)
        decor.grey(ax, view, image, window or grey_window(image, mask), pixel_mm(image))
        decor.outline(ax, view, mask, pixel_mm(image))
        decor.finish(ax, view, plane.id)
    return ax


def plan_overview(
    image: sitk.Image,
    mask: sitk.Image,
    plan: SlicePlan,
    *,
    window: tuple[float, float] | None = None,
    aspect: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Show where the cutting planes lie, seen edge-on in a view across them; the band is the knife's width.

    Parameters
    ----------
    image, mask, plan
        As in :func:`planes`.
    window
        Values shown black and white; chosen from the image around the mask by default.
    aspect
        Width over height of the picture; as the specimen needs by default.
    ax
        Axes to draw into; new ones when ``None``.
    """
    points = mask_points(mask)
    view = overview(plan, points, margin_mm=14.0)
    view = view.widened(aspect) if aspect else view
    with context():
        ax = one_axes(ax, 3.2, 3.2 * view.size_mm[1] / view.size_mm[0], plate=True)
        decor.grey(ax, view, image, window or grey_window(image, mask), pixel_mm(image))
        decor.outline(ax, view, mask, pixel_mm(image))
        reach = points @ np.asarray(plan.planes[0].u)
        for cut in plan:
            _edge_on(ax, view, cut, (float(reach.min()) - 3.0, float(reach.max()) + 3.0))
        decor.finish(ax, view)
    return ax


def _edge_on(ax: Axes, view: View, cut: CutPlane, reach: tuple[float, float]) -> None:
    """Draw one plane as the line it makes in a view across it, labelled at the end further right or down."""
    u = np.asarray(cut.u)
    foot = np.asarray(cut.origin_mm) - u * (np.asarray(cut.origin_mm) @ u)
    ends = view.from_patient([foot + u * reach[0], foot + u * reach[1]])
    ends = ends[np.argsort(ends.sum(axis=1), kind="stable")]
    if cut.kerf_mm > 0:
        half = 0.5 * cut.kerf_mm * np.asarray(cut.normal)
        band = view.from_patient([foot + u * r + h for r, h in ((reach[0], half), (reach[1], half))])
        back = view.from_patient([foot + u * r - half for r in reach[::-1]])
        ax.fill(*np.vstack([band, back]).T, color=PLANE_COLOUR, alpha=0.35, lw=0)
    ax.plot(ends[:, 0], ends[:, 1], color=PLANE_COLOUR, lw=0.9, gid=f"plane-{cut.id}")
    ax.annotate(
        cut.id,
        ends[0],
        color="white",
        fontsize=7,
        ha="right" if abs(ends[1, 0] - ends[0, 0]) > abs(ends[1, 1] - ends[0, 1]) else "center",
        va="center" if abs(ends[1, 0] - ends[0, 0]) > abs(ends[1, 1] - ends[0, 1]) else "bottom",
        parse_math=False,
        annotation_clip=False,
        path_effects=decor.ON_DARK.lift(),
    )

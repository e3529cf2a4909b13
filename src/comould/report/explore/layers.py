"""What lies on each cutting plane, as layers of one window: imaging, outline, habitats, sections as registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.io.section import Section
from comould.pl.kinds import HabitatsLike, RegistrationLike
from comould.pl.mapped import outlines
from comould.pl.section_figure import background, warp
from comould.pl.style import habitat_colour
from comould.pl.view import View, grey_window, mask_points, pixel_mm
from comould.report.case import CaseReport
from comould.report.explore.pack import picture
from comould.report.explore.places import planes_to_show
from comould.report.home import section_tissue, verdict_word
from comould.space import FloatArray

if TYPE_CHECKING:
    import SimpleITK as sitk

SECTION_PIXELS = 560
"""Pixels along the longer side of a registered section."""
MOST_PIXELS = 420
"""Pixels along the longer side of imaging and habitats."""


def stops(case: CaseReport) -> tuple[list[dict[str, Any]], dict[str, View]]:
    """Make what can be paged through: a stop for every section on its plane, one for each plane without any.

    Returns
    -------
    tuple
        The stops in the order of the plan, and the window of each plane by its id, patient mm.
    """
    mask = case.mask
    cutting, alone = planes_to_show(case)
    if mask is None or not cutting:
        return [], {}
    points = mask_points(mask)
    window = (0.0, 1.0) if case.image is None else grey_window(case.image, mask)
    views = {plane.id: View.of_plane(plane, points) for plane in cutting}
    on_plane: dict[str, list[tuple[Section, RegistrationLike]]] = {plane.id: [] for plane in cutting}
    for section, registration in case.paired:
        if registration.plane_id in on_plane:
            on_plane[registration.plane_id].append((section, registration))
    made: list[dict[str, Any]] = []
    for plane in cutting:
        shared = _plane(case.habitats, (case.image, mask), views[plane.id], window)
        first = len(made)
        for section, registration in on_plane[plane.id]:
            made.append({"plane": plane.id, **_section(section, registration, views[plane.id])})
        made += [{"plane": plane.id, "section": name, "word": "", "verdict": ""} for name in alone.get(plane.id, ())]
        if len(made) == first:
            made.append({"plane": plane.id, "section": "", "word": "", "verdict": ""})
        made[first].update(shared)
    return made, views


def planes(case: CaseReport, views: dict[str, View]) -> list[dict[str, Any]]:
    """Tell where every plane's window lies: corner of view point (0, 0) and unit vectors, patient LPS mm."""
    return [
        {
            "id": plane.id, "origin": _rounded(views[plane.id].origin_mm), "right": _exact(views[plane.id].right),
            "down": _exact(views[plane.id].down), "x": _rounded(views[plane.id].x_mm),
            "y": _rounded(views[plane.id].y_mm), "letters": views[plane.id].edge_letters,
        }
        for plane in planes_to_show(case)[0] if plane.id in views
    ]  # fmt: skip


def habitat_legend(case: CaseReport) -> list[dict[str, Any]]:
    """Name the habitats with their colours."""
    if case.habitats is None:
        return []
    import SimpleITK as sitk

    numbers = np.unique(sitk.GetArrayViewFromImage(case.habitats.labels))
    own = {n: f" {name}" for n, name in case.habitat_names.items()}
    return [
        {"name": f"H{n}{own.get(n, '')}", "colour": habitat_colour(n)}
        for n in (int(number) for number in numbers)
        if n > 0
    ]


def _plane(
    habitats: HabitatsLike | None,
    volumes: tuple[sitk.Image | None, sitk.Image],
    view: View,
    window: tuple[float, float],
) -> dict[str, Any]:
    """Draw what every section on a plane shares."""
    image, mask = volumes
    step = max(pixel_mm(mask if image is None else image), max(view.size_mm) / MOST_PIXELS)
    shared: dict[str, Any] = {"outline": [_line(line) for line in mask_outline(view, mask, step)]}
    if image is not None:
        values = np.nan_to_num(view.sample(image, step), nan=window[0])
        grey = np.clip((values - window[0]) / (window[1] - window[0]), 0.0, 1.0)
        shared["grey"] = picture(np.rint(255 * grey).astype(np.uint8))
    if habitats is not None:
        labels = view.sample(habitats.labels, step, linear=False, outside=0.0).astype(np.int64)
        if labels.any():
            shared["habitats"] = picture(_painted(labels), "PNG")
    return shared


def _painted(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Colour labels ``(h, w)``; transparent outside."""
    palette = np.zeros((int(labels.max()) + 1, 4), np.uint8)
    for number in range(1, len(palette)):
        colour = habitat_colour(number)
        palette[number] = [*(int(colour[at : at + 2], 16) for at in (1, 3, 5)), 255]
    return palette[labels]


def mask_outline(view: View, mask: Any, spacing_mm: float) -> list[FloatArray]:
    """Find the outlines of a mask in a window.

    Parameters
    ----------
    view
        The window.
    mask
        SimpleITK image.
    spacing_mm
        Pixel size at which it is looked at.

    Returns
    -------
    list of ndarray
        ``(n, 2)`` closed lines, view mm; empty where the plane misses the mask.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.measure import find_contours

    field = np.pad(view.sample(mask, spacing_mm, outside=0.0), 1)
    # A binary mask's linear interpolation is a staircase; half a voxel of blur is for the eye only.
    lines = find_contours(gaussian_filter(field, 1.0), 0.5)
    step = view.grid(spacing_mm).spacing_mm
    corner = view.x_mm[0], view.y_mm[0]
    return [
        np.column_stack([corner[0] + (line[:, 1] - 0.5) * step[0], corner[1] + (line[:, 0] - 0.5) * step[1]])
        for line in lines if len(line) > 3
    ]  # fmt: skip


def _section(section: Section, registration: RegistrationLike, view: View) -> dict[str, Any]:
    """Bring a section into the window as registered, bare glass left out."""
    home = registration.patient_from_section_px
    colour = warp(section, home, view, max(view.size_mm) / SECTION_PIXELS)
    there = np.isfinite(colour[..., 0]) & ~background(colour)
    pixels = np.dstack([np.rint(255 * np.nan_to_num(colour)), 255.0 * there]).astype(np.uint8)
    tissue = section_tissue(section)
    edge = [] if tissue is None else outlines(section, tissue, home, view)
    verdict = str(registration.quality.verdict)
    return {
        "section": section.id, "verdict": verdict, "word": verdict_word(verdict), "picture": picture(pixels),
        "edge": [_line(line) for line in edge],
    }  # fmt: skip


def _line(points: FloatArray) -> list[float]:
    """Flatten a line to x, y, x, y … in hundredths of a millimetre."""
    return [int(v) for v in np.rint(100.0 * points).ravel()]


def _rounded(values: Any) -> list[float]:
    return [round(float(v), 4) for v in values]


def _exact(values: Any) -> list[float]:
    return [float(v) for v in values]

"""The planes that can be paged through: those of the plan, and those that spots without a slide lie in."""

from __future__ import annotations

import numpy as np

from comould.report.case import CaseReport
from comould.report.explore.spots import placed
from comould.space import CutPlane, FloatArray

NEAR_MM = 1.0
"""Spots whose median distance from a plane is at most this are shown on it."""


def planes_to_show(case: CaseReport) -> tuple[list[CutPlane], dict[str, list[str]]]:
    """Gather the plan's planes, and planes laid through sections of spots that have no slide and lie on none of them.

    Parameters
    ----------
    case
        The case.

    Returns
    -------
    tuple
        The planes, along the first one's normal; and by plane the sections of spots without a slide that lie on it.
    """
    planes = list(case.cutting or ())
    shown = {section.id for section, _ in case.paired}
    alone: dict[str, list[str]] = {}
    for name, _, place in placed(case):
        if name in shown or len(place) < 3:
            continue
        plane = _nearest(planes, place)
        if plane is None:
            plane = _through(_free(name, planes), place)
            planes.append(plane)
        alone.setdefault(plane.id, []).append(name)
    if planes:
        up = np.asarray(planes[0].normal)
        planes.sort(key=lambda plane: float(np.asarray(plane.origin_mm) @ up))
    return planes, alone


def _nearest(planes: list[CutPlane], place: FloatArray) -> CutPlane | None:
    away = [float(np.median(np.abs((place - plane.origin_mm) @ np.asarray(plane.normal)))) for plane in planes]
    return planes[int(np.argmin(away))] if away and min(away) <= NEAR_MM else None


def _through(name: str, place: FloatArray) -> CutPlane:
    """Lay a plane through spots by least squares, its normal towards the larger coordinates."""
    middle = place.mean(axis=0)
    normal = np.linalg.svd(place - middle, full_matrices=False)[2][2]
    return CutPlane.from_normal(name, middle, normal * np.sign(normal[np.argmax(np.abs(normal))]))


def _free(name: str, planes: list[CutPlane]) -> str:
    taken = {plane.id for plane in planes}
    return name if name not in taken else f"{name} (spots)"

"""All sections of a specimen together: one shrinkage that changes slowly, and a test of every section's plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from comould.io.section import Section
from comould.register.align import Imaging, to_plane
from comould.register.batch import BatchOptions, batch_options, register_all, worker_pool
from comould.register.initialise import search
from comould.register.plane import plane_raster
from comould.register.result import SectionRegistration
from comould.register.settings import RegisterSettings
from comould.register.thresholds import with_planes
from comould.register.tissue import section_raster
from comould.space import CutPlane, SlicePlan

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

    from comould.register.plane import Images
    from comould.register.raster import Raster

NEIGHBOURS = 2
"""Planes to either side of its own that a section is tried on."""

LEAST_SECTIONS = 3
"""Fewer sections have no common shrinkage to speak of."""

BAND = 0.03
"""A section may differ from the common shrinkage by this much before it is looked at again."""


@dataclass(frozen=True, eq=False)
class Stack:
    """A specimen's sections, brought home together.

    Parameters
    ----------
    registrations
        By section id, in the order given.
    shrinkage
        Common ratio of slide size to patient size; NaN with fewer than three sections. It is the sections' agreement,
        not a measurement of shrinkage: see Notes.
    table
        One row a section: plane, scale, what the stack expects of it, pose, verdict, the plane that fits best.

    Notes
    -----
    The ratio comes out too near to 1, by about 0.01, and in single sections by up to 0.03. On simulated sections
    shrunken to 0.960 even the affine map that fits the true positions best says 0.964: bending hides a part of the
    shrinkage from a straight map. The outlines, which the linear stages weigh, add 0.008: 1 to 2 % of the tissue found
    on a slide lies beyond the specimen's mask. Bending changes the area of single sections by 1 % either way, too.
    Positions do not suffer, since the map is fitted as a whole; a shrinkage to be published needs landmarks.
    """

    registrations: dict[str, SectionRegistration]
    shrinkage: float
    table: pd.DataFrame


def stack(sections: Sequence[Section], *, plan: SlicePlan, image: Images, mask: sitk.Image, **options: object) -> Stack:
    """Register a specimen's sections and let them check one another.

    Every section is first registered alone. From all of them comes the common shrinkage, changing slowly from slab to
    slab (robust line over the planes' positions); a section that differs by more than 3 % is registered once more
    within 3 % of what the others say, and that is taken when it fits as well. Then every section is tried on the
    planes beside its own: "plane P05 fits better" becomes a reason to review, never a move. Missing sections stay
    missing.

    Parameters
    ----------
    sections, plan, image, mask, **options
        As for :func:`~comould.register.sections`.

    Returns
    -------
    Stack

    Raises
    ------
    InputError, RegistrationError
        As :func:`~comould.register.sections`.
    """
    chosen = batch_options(options)
    imaging, listed = Imaging(plan, image, mask), list(sections)
    found = register_all(listed, imaging, chosen)
    expected = _expected_scales(listed, found, imaging)
    if expected:
        found = _together(listed, found, expected, imaging, chosen)
    settings = chosen.settings or RegisterSettings()
    scores = _plane_scores(listed, imaging, settings)
    for one in listed:
        quality = with_planes(found[one.id].quality, settings.thresholds, scores[one.id], found[one.id].plane_id)
        found[one.id] = replace(found[one.id], quality=quality)
    shrinkage = 1.0 / float(np.median(list(expected.values()))) if expected else float("nan")
    return Stack(found, shrinkage, _table(listed, found, expected, scores))


def _expected_scales(
    listed: list[Section], found: dict[str, SectionRegistration], imaging: Imaging
) -> dict[str, float]:
    """Scale (patient mm per slide mm) the stack expects of each section, from the others' robust line."""
    usable = [one for one in listed if found[one.id].quality.verdict != "reject"]
    if len(usable) < LEAST_SECTIONS:
        return {}
    at = np.array([imaging.plane_of(one).position_mm for one in usable])
    log_scale = np.log([found[one.id].quality.scale for one in usable])
    slope, level = _robust_line(at - at.mean(), log_scale)
    return {one.id: float(np.exp(level + slope * (imaging.plane_of(one).position_mm - at.mean()))) for one in listed}


def _robust_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Theil–Sen slope, drawn to zero where few points speak for it, and the median level."""
    i, j = np.triu_indices(len(x), 1)
    apart = np.abs(x[i] - x[j]) > 1e-6
    slope = float(np.median(((y[i] - y[j])[apart]) / ((x[i] - x[j])[apart]))) if apart.any() else 0.0
    slope *= max(0.0, 1.0 - LEAST_SECTIONS / len(x))
    return slope, float(np.median(y - slope * x))


def _together(
    listed: list[Section],
    found: dict[str, SectionRegistration],
    expected: dict[str, float],
    imaging: Imaging,
    options: BatchOptions,
) -> dict[str, SectionRegistration]:
    """Register anew, within the stack's bounds, what differs from the stack; keep it when it fits as well."""
    settings = options.settings or RegisterSettings()
    odd = [one for one in listed if abs(np.log(found[one.id].quality.scale / expected[one.id])) > BAND]
    result = dict(found)
    with worker_pool(options.workers, max(len(odd), 1)) as pool:
        for one in odd:
            ratio = 1.0 / expected[one.id]
            task = options.task(one)
            task = replace(task, settings=replace(settings, shrinkage=(ratio * (1 - BAND), ratio * (1 + BAND))))
            again = to_plane(one, imaging, task, pool[0])
            before, after = (_score(item) for item in (found[one.id], again))
            if after >= 0.97 * before:
                result[one.id] = again
    return result


def _score(registration: SectionRegistration) -> float:
    return [stage.score for stage in registration.quality.stages if stage.kept][-1]


def _plane_scores(listed: list[Section], imaging: Imaging, settings: RegisterSettings) -> dict[str, dict[str, float]]:
    """Best score of the search for each section on its own plane and on those beside it."""
    order = [plane.id for plane in imaging.plan]
    cut: dict[str, Raster] = {}

    def raster(plane: CutPlane) -> Raster | None:
        """Cut the imaging at a plane once; nothing where the plane misses."""
        from comould.errors import InputError, RegistrationError

        if plane.id not in cut:
            try:
                cut[plane.id] = plane_raster(plane, imaging.images, imaging.mask)
            except (RegistrationError, InputError):
                return None
        return cut[plane.id]

    scores: dict[str, dict[str, float]] = {}
    for one in listed:
        at = order.index(imaging.plane_of(one).id)
        scores[one.id] = {}
        for plane in imaging.plan.planes[max(0, at - NEIGHBOURS) : at + NEIGHBOURS + 1]:
            target = raster(plane)
            if target is not None:
                flipped = None if one.face is None else one.face == "+"
                tissue = section_raster(one, target.spacing_mm)
                best = search(tissue, target, flipped=flipped, shrinkage=settings.shrinkage)[0]
                scores[one.id][plane.id] = float(best.score)
    return scores


def _table(
    listed: list[Section],
    found: dict[str, SectionRegistration],
    expected: dict[str, float],
    scores: dict[str, dict[str, float]],
) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for one in listed:
        q = found[one.id].quality
        tried = scores[one.id]
        rows.append(
            {
                "section": one.id,
                "plane": found[one.id].plane_id,
                "verdict": q.verdict,
                "scale": q.scale,
                "expected_scale": expected.get(one.id, float("nan")),
                "offset_mm": float("nan") if q.pose is None else q.pose.offset_mm,
                "offset_sd_mm": float("nan") if q.pose is None else q.pose.offset_sd_mm,
                "tilt_deg": float("nan") if q.pose is None else q.pose.tilt_size_deg,
                "best_plane": max(tried, key=lambda name: tried[name]) if tried else "",
            }
        )
    return pd.DataFrame(rows).set_index("section")

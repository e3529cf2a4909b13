"""What would stop a registration later, looked for before any work: blank pictures, planes that miss the specimen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from comould.io.section import Section
from comould.space import SlicePlan

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.register import Clues

When = Callable[[Callable[[], Any]], Any]
"""Calls something, and notes what it raises instead of stopping."""


def check_pictures(sections: Iterable[Section], clues: Mapping[str, Clues], when: When) -> None:
    """Look for tissue on every section and on every picture on its way.

    Parameters
    ----------
    sections, clues
        As read; clues by section id.
    when
        Notes a blank picture, or one filled with tissue.
    """
    from comould.register import tissue_report

    for section in sections:
        via = clues[section.id].via if section.id in clues else ()
        for picture in (section, *via):
            when(lambda picture=picture: tissue_report(picture))  # type: ignore[misc]


def check_planes(
    sections: Iterable[Section],
    clues: Mapping[str, Clues],
    plan: SlicePlan,
    images: Mapping[str, sitk.Image],
    mask: sitk.Image,
    when: When,
) -> None:
    """Cut the imaging at every section's plane once.

    Parameters
    ----------
    sections, clues
        As read; sections whose plane is not in the plan are passed over.
    plan, images, mask
        As read.
    when
        Notes a plane that misses the specimen, or a volume that does not cover it there; once for each.
    """
    from comould.register.plane import plane_raster

    known = {plane.id for plane in plan}
    cuts = set()
    for section in sections:
        via = clues[section.id].via if section.id in clues else ()
        last = via[-1] if via else section
        if section.plane_id in known:
            cuts.add((str(section.plane_id), last.offset_mm))
    for plane_id, offset_mm in sorted(cuts):
        when(lambda id_=plane_id, at=offset_mm: plane_raster(plan[id_], images, mask, offset_mm=at))  # type: ignore[misc]

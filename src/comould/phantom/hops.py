"""Pictures between a section and the imaging: an adjacent H&E section, a photograph of the slab's face."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from comould.io.section import Section
from comould.phantom import deform, gross, slide
from comould.phantom.artefacts import Artefacts
from comould.phantom.cut_options import CutOptions
from comould.phantom.knife import TrueCut, specimen_in_cut
from comould.phantom.stain import Stain
from comould.phantom.tissue import Tissue
from comould.space import CutPlane, FloatArray, Transform

if TYPE_CHECKING:
    from comould.phantom.deform import Placement

GAP_UM = (5.0, 50.0)
"""Between a section and its adjacent one."""


@dataclass(frozen=True, eq=False)
class CutImage:
    """A further picture of a cut, and the truth about it.

    Parameters
    ----------
    section
        What a pipeline may see; named after the section it belongs to.
    patient_from_section_px
        Truth: full-resolution pixels of this picture to patient mm, exact everywhere on it.
    flipped
        Truth: whether it shows the mirror image of the plane as imaged.
    angle_deg
        Truth: rotation from picture to plane, applied after the flip of x.
    true_plane
        Truth: the plane it shows.
    """

    section: Section
    patient_from_section_px: Transform
    flipped: bool
    angle_deg: float
    true_plane: CutPlane


def adjacent_section(
    beside: Section, cut: TrueCut, tissue: Tissue, options: CutOptions, seeds: np.random.SeedSequence
) -> CutImage | None:
    """Cut an H&E section 5 to 50 µm beside another: whole, but deformed, turned and stained by a chance of its own.

    ``None`` when nothing of the specimen is left there.
    """
    choosing, placing, painting, staining, covering = seeds.spawn(5)
    rng = np.random.default_rng(choosing)
    gap_mm = float(rng.uniform(*GAP_UM)) / 1000.0 * (1.0 if rng.random() < 0.5 else -1.0)
    origin = np.array(cut.plane.origin_mm) + gap_mm * np.array(cut.plane.normal)
    plane = replace(cut.plane, origin_mm=tuple(origin.tolist()), image_index=None)
    whole = replace(options, tears=0, pieces=1, missing=0.0)
    outline = specimen_in_cut(tissue.body, plane.patient_from_plane)
    if not len(outline):
        return None
    shifted = TrueCut(plane, cut.offset_mm + gap_mm, cut.tilt_deg)
    placement = deform.place(shifted, outline, whole, np.random.default_rng(placing))
    finish = slide.Finish(
        Stain.draw(options, np.random.default_rng(staining)),
        Artefacts.draw(placement, whole, covering),
        np.random.default_rng(painting),
    )
    picture = slide.paint(tissue, placement, finish, whole)
    section = replace(
        beside,
        id=f"{beside.id}-HE",
        image=picture,
        face=None if options.flip else cut.plane.face,
    )
    return _with_truth(section, placement, plane)


def face_photo(
    beside: Section,
    cut: TrueCut,
    outline_uv: FloatArray,
    tissue: Tissue,
    *,
    options: CutOptions,
    seeds: np.random.SeedSequence,
) -> CutImage:
    """Photograph the face of the slab the section was taken from, before processing; its side is known."""
    placing, viewing, painting = (np.random.default_rng(s) for s in seeds.spawn(3))
    fresh = gross.photo_options(options)
    placement = deform.place(cut, outline_uv, fresh, placing)
    view = gross.tilted_view(placement, options.photo_tilt_deg, viewing)
    if view is not None:
        way = placement.patient_from_cut @ (view @ placement.flat_from_section_px)
        placement = replace(placement, ways=(way,))
    section = Section(
        id=f"{beside.id}-photo",
        image=gross.paint_face(tissue, placement, fresh, painting),
        pixel_size_um=fresh.pixel_size_um,
        plane_id=beside.plane_id,
        face=cut.plane.face,
    )
    return _with_truth(section, placement, cut.plane)


def _with_truth(section: Section, placement: Placement, plane: CutPlane) -> CutImage:
    return CutImage(section, placement.patient_from_section_px, placement.flipped, placement.angle_deg, plane)

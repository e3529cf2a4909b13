"""Cutting a specimen along a plan: sections, spots, and the truth about both."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.io.section import Section
from comould.phantom import deform, slide, spots
from comould.phantom.cut_options import CutOptions
from comould.phantom.genes import GeneModel
from comould.phantom.knife import LATTICE_MM, specimen_in_cut, true_cut
from comould.phantom.stain import Stain
from comould.phantom.tissue import Tissue
from comould.space import CutPlane, FloatArray, Transform

if TYPE_CHECKING:
    from anndata import AnnData

LEAST_AREA_MM2 = 20.0
"""A plane that meets less of the specimen than this gives no section."""


@dataclass(frozen=True, eq=False)
class CutSection:
    """One section of the phantom, and the truth about it.

    Parameters
    ----------
    section
        What a pipeline may see: the picture and its pixel size.
    spots
        What a pipeline may see: counts, with ``obsm["spatial"]`` in full-resolution px. Holds none of the truth.
    patient_from_section_px
        Truth: full-resolution pixels to patient mm, exact everywhere on the slide.
    spots_patient_mm
        Truth: ``(n, 3)`` patient positions of the spots.
    spots_habitat
        Truth: ``(n,)`` habitat labels of the spots, 1 to k.
    flipped
        Truth: whether the slide shows the mirror image of the plane as imaged (u right, v down).
    angle_deg
        Truth: rotation from slide to plane, applied after the flip of x.
    shrinkage
        Truth: share of its length the tissue has lost, but for anisotropy and bending.
    true_plane
        Truth: the plane the knife took.
    plane_offset_mm
        Truth: its distance from the plan's plane along that one's normal, at the middle of the specimen in the plane.
    plane_tilt_deg
        Truth: its rotation about the plan's u and v through that middle; the length is the angle between the normals.
    """

    section: Section
    spots: AnnData
    patient_from_section_px: Transform
    spots_patient_mm: FloatArray
    spots_habitat: npt.NDArray[np.int64]
    flipped: bool
    angle_deg: float
    shrinkage: float
    true_plane: CutPlane
    plane_offset_mm: float
    plane_tilt_deg: tuple[float, float]


def cut_at(
    plane: CutPlane, *, tissue: Tissue, genes: GeneModel, options: CutOptions, seed: tuple[int, ...]
) -> CutSection | None:
    """Cut at one plane; ``None`` when it misses the specimen. Depends on nothing but the seed and the plane's id."""
    words = np.frombuffer(hashlib.sha256(plane.id.encode()).digest()[:16], dtype=np.uint32)
    streams = np.random.SeedSequence([*seed, *words.tolist()]).spawn(5)
    cutting, placing, painting, measuring, staining = (np.random.default_rng(s) for s in streams)
    cut = true_cut(plane, tissue.body, options, cutting)
    tissue_uv = specimen_in_cut(tissue.body, cut.patient_from_cut)
    if len(tissue_uv) * LATTICE_MM**2 < LEAST_AREA_MM2:
        return None
    placement = deform.place(plane, cut.patient_from_cut, tissue_uv, options, placing)
    section = Section(
        id=f"S-{plane.id}",
        image=slide.paint(tissue, placement, Stain.draw(options, staining), options, painting),
        pixel_size_um=options.pixel_size_um,
        downsample=options.image_pixel_um / options.pixel_size_um,
        plane_id=plane.id,
        face=None if options.flip else plane.face,
    )
    adata, patient, labels = spots.measure(section.id, tissue, genes, placement, options, measuring)
    return CutSection(
        section=section,
        spots=adata,
        patient_from_section_px=placement.patient_from_section_px,
        spots_patient_mm=patient,
        spots_habitat=labels,
        flipped=placement.flipped,
        angle_deg=placement.angle_deg,
        shrinkage=options.shrinkage,
        true_plane=cut.plane,
        plane_offset_mm=cut.offset_mm,
        plane_tilt_deg=cut.tilt_deg,
    )

"""Cutting a specimen along a plan: sections, spots, and the truth about both."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.io.section import Section
from comould.phantom import deform, slide, spots
from comould.phantom.artefacts import Artefacts
from comould.phantom.cut_options import CutOptions
from comould.phantom.deform import Placement
from comould.phantom.genes import GeneModel
from comould.phantom.hops import CutImage, adjacent_section, face_photo
from comould.phantom.knife import LATTICE_MM, TrueCut, specimen_in_cut, true_cut
from comould.phantom.stain import Stain
from comould.phantom.tissue import Tissue
from comould.space import CutPlane, FloatArray, Transform, as_points
from comould.space.planes import Face

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
        Truth: full-resolution pixels to patient mm, exact everywhere on the slide; of a torn section, on the piece that
        stayed.
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
    true_plane_id
        Truth: the plane of the plan it was cut at, which ``section.plane_id`` names unless sections were swapped.
    true_plane
        Truth: the plane the knife took.
    plane_offset_mm
        Truth: its distance from the plan's plane along that one's normal, at the middle of the specimen in the plane.
    plane_tilt_deg
        Truth: its rotation about the plan's u and v through that middle; the length is the angle between the normals.
    placement
        Truth: how the section lies, in its parts if it tore.
    options
        Truth: all that was chosen for it.
    adjacent
        An adjacent H&E section with its own truth, when asked for.
    photo
        A photograph of the slab's face with its own truth, when asked for.
    """

    section: Section
    spots: AnnData
    patient_from_section_px: Transform
    spots_patient_mm: FloatArray
    spots_habitat: npt.NDArray[np.int64]
    flipped: bool
    angle_deg: float
    shrinkage: float
    true_plane_id: str
    true_plane: CutPlane
    plane_offset_mm: float
    plane_tilt_deg: tuple[float, float]
    placement: Placement
    options: CutOptions
    adjacent: CutImage | None = None
    photo: CutImage | None = None

    @property
    def parts_patient_from_section_px(self) -> tuple[Transform, ...]:
        """Truth: as ``patient_from_section_px``, for each part of a torn section; the first is that one."""
        return self.placement.ways

    def locate(self, points_px: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Truth at any point of the slide, torn or not.

        Parameters
        ----------
        points_px
            ``(n, 2)`` or ``(n, 3)`` full-resolution pixels.

        Returns
        -------
        ndarray
            ``(n, 3)`` patient mm; NaN where the slide shows no part: between the parts, or where a wedge is lost.
        ndarray
            ``(n,)`` the part each lies in, an index into ``parts_patient_from_section_px``; −1 for none.
        """
        patient, part = self.placement.locate(as_points(points_px))
        patient[part < 0] = np.nan
        return patient, part


@dataclass(frozen=True, eq=False)
class Prepared:
    """A cut that meets the specimen, before it is made into a section."""

    plane: CutPlane
    cut: TrueCut
    tissue_uv: FloatArray
    streams: tuple[np.random.SeedSequence, ...]


def prepare(plane: CutPlane, tissue: Tissue, options: CutOptions, seed: tuple[int, ...]) -> Prepared | None:
    """Cut at one plane; ``None`` when it misses the specimen. Depends on nothing but the seed and the plane's id."""
    words = np.frombuffer(hashlib.sha256(plane.id.encode()).digest()[:16], dtype=np.uint32)
    cutting, *streams = np.random.SeedSequence([*seed, *words.tolist()]).spawn(9)
    cut = true_cut(plane, tissue.body, options, np.random.default_rng(cutting))
    tissue_uv = specimen_in_cut(tissue.body, cut.patient_from_cut)
    if len(tissue_uv) * LATTICE_MM**2 < LEAST_AREA_MM2:
        return None
    return Prepared(plane, cut, tissue_uv, tuple(streams))


def make_section(
    ready: Prepared, *, tissue: Tissue, genes: GeneModel, options: CutOptions, plane_id: str
) -> CutSection:
    """Deform, stain, photograph and measure a cut; it will bear the name of ``plane_id``, its own as a rule."""
    placing, painting, measuring, staining, tearing, covering, adjoining, viewing = ready.streams
    placement = deform.place(
        ready.cut, ready.tissue_uv, options, np.random.default_rng(placing), np.random.default_rng(tearing)
    )
    stain = Stain.draw(options, np.random.default_rng(staining))
    finish = slide.Finish(
        stain.paler() if options.adjacent else stain,
        Artefacts.draw(placement, options, covering),
        np.random.default_rng(painting),
    )
    section = Section(
        id=f"S-{plane_id}",
        image=slide.paint(tissue, placement, finish, options),
        pixel_size_um=options.pixel_size_um,
        downsample=options.image_pixel_um / options.pixel_size_um,
        plane_id=plane_id,
        face=_told_face(placement, ready.plane, options),
    )
    adata, patient, labels = spots.measure(
        section.id, tissue, genes, placement, options, np.random.default_rng(measuring)
    )
    return CutSection(
        section=section,
        spots=adata,
        patient_from_section_px=placement.patient_from_section_px,
        spots_patient_mm=patient,
        spots_habitat=labels,
        flipped=placement.flipped,
        angle_deg=placement.angle_deg,
        shrinkage=options.shrinkage,
        true_plane_id=ready.plane.id,
        true_plane=ready.cut.plane,
        plane_offset_mm=ready.cut.offset_mm,
        plane_tilt_deg=ready.cut.tilt_deg,
        placement=placement,
        options=options,
        adjacent=adjacent_section(section, ready.cut, tissue, options, adjoining) if options.adjacent else None,
        photo=face_photo(section, ready.cut, ready.tissue_uv, tissue, options=options, seeds=viewing)
        if options.photo
        else None,
    )


def _told_face(placement: Placement, plane: CutPlane, options: CutOptions) -> Face | None:
    shown: Face = "+" if placement.flipped else "-"
    hidden: Face = "-" if placement.flipped else "+"
    told = {"auto": None if options.flip else plane.face, "right": shown, "wrong": hidden, "untold": None}
    return told[options.tell_face]


def mixed_up(ids: list[str], options: CutOptions, seed: tuple[int, ...]) -> list[str]:
    """Names the sections bear: their own, but for the neighbouring pairs that are swapped.

    Raises
    ------
    InputError
        If there are not as many pairs apart from each other.
    """
    told = list(ids)
    rng = np.random.default_rng(np.random.SeedSequence([*seed, 1]))
    free = list(range(len(ids) - 1))
    for done in range(options.swapped):
        if not free:
            raise InputError(
                subject=f"swapped {options.swapped}",
                expected=f"at most as many pairs as {len(ids)} sections hold",
                found=f"no room after {done}",
                remedy="Swap fewer pairs or cut more sections",
            )
        first = free[int(rng.integers(len(free)))]
        told[first], told[first + 1] = told[first + 1], told[first]
        free = [n for n in free if abs(n - first) > 1]
    return told

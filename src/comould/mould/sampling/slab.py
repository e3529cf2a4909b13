"""Slabs: the pieces a specimen falls into when it is cut along its plan, and which face of each is looked at."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.space import CutPlane, FloatArray, Grid, SlicePlan
from comould.space.planes import Face

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True)
class Slab:
    """One slab of tissue between two cuts, or between a cut and the specimen's end.

    Parameters
    ----------
    id
        ``S01`` lies before the first plane, on the side the normal comes from; ``S02`` between the first and second.
    number
        1 for ``S01``.
    near, far
        The planes it lies between, along the normal; ``None`` where the specimen ends.
    low_mm, high_mm
        Where its tissue begins and ends along the normal (distance from the patient's origin): half a kerf from a
        plane, or the specimen's end.
    plane
        The plane of the face that is looked at.
    face
        Which face of that cut it is: ``"-"`` is seen as imaged, ``"+"`` as its mirror image;
        see :class:`~comould.space.CutPlane`.
    photographed
        Whether that face is the photographed one. An end slab may have none: then it is its only cut face.
    """

    id: str
    number: int
    near: CutPlane | None
    far: CutPlane | None
    low_mm: float
    high_mm: float
    plane: CutPlane
    face: Face
    photographed: bool

    @property
    def thickness_mm(self) -> float:
        """Tissue along the normal."""
        return self.high_mm - self.low_mm

    @property
    def across(self) -> float:
        """How far u runs per mm to the right as the face is seen: 1, or −1 where the face shows the mirror image."""
        return 1.0 if self.face == "-" else -1.0

    @property
    def patient_from_face(self) -> FloatArray:
        """``(4, 4)`` from face mm to patient mm, determinant +1.

        The face is seen with x to the right and y (the plane's v) downwards; z runs into the tissue, 0 at the face.
        """
        inward = self.across * np.asarray(self.plane.normal)
        matrix = np.eye(4)
        matrix[:3, 0] = self.across * np.asarray(self.plane.u)
        matrix[:3, 1] = self.plane.v
        matrix[:3, 2] = inward
        matrix[:3, 3] = np.asarray(self.plane.origin_mm) + 0.5 * self.plane.kerf_mm * inward
        return matrix

    def uv(self, xy_mm: npt.ArrayLike) -> FloatArray:
        """Plane millimetres ``(n, 2)`` (u, v) of face millimetres ``(n, 2)`` (x, y)."""
        return np.atleast_2d(np.asarray(xy_mm, np.float64)) * (self.across, 1.0)

    def patient(self, xyz_mm: npt.ArrayLike) -> FloatArray:
        """Patient millimetres ``(n, 3)`` of face millimetres ``(n, 3)``."""
        matrix = self.patient_from_face
        return np.atleast_2d(np.asarray(xyz_mm, np.float64)) @ matrix[:3, :3].T + matrix[:3, 3]


def slabs(plan: SlicePlan, seg: sitk.Image) -> tuple[Slab, ...]:
    """List the slabs a specimen is cut into.

    Parameters
    ----------
    plan
        The cutting planes.
    seg
        Label image of the specimen, patient LPS; everything that is not 0 counts.

    Returns
    -------
    tuple of Slab
        In order along the normal; those without tissue are left out but keep their number.

    Raises
    ------
    InputError
        If the image is empty.
    GeometryError
        If the kerf leaves nothing between two planes, or no plane meets the specimen.

    Warns
    -----
    ComouldWarning
        If planes lie outside the specimen.
    """
    low, high = extent_mm(seg, plan.normal)
    planes = plan.planes
    if not any(low < plane.position_mm < high for plane in planes):
        raise GeometryError(
            subject="slice plan",
            expected=f"a plane through the specimen ({low:.1f} to {high:.1f} mm along the normal)",
            found=f"{len(plan)} from {planes[0].position_mm:.1f} to {planes[-1].position_mm:.1f} mm",
            remedy="Plan and segmentation belong to one patient and one frame",
        )
    found, empty = [], []
    for number, (near, far) in enumerate(zip((None, *planes), (*planes, None), strict=True), 1):
        name = f"S{number:02d}"
        start = low if near is None else near.position_mm + 0.5 * near.kerf_mm
        stop = high if far is None else far.position_mm - 0.5 * far.kerf_mm
        if near is not None and far is not None and stop <= start:
            raise GeometryError(
                subject=f"slab {name}",
                expected=f"planes {near.id} and {far.id} farther apart than their kerf",
                found=f"{far.position_mm - near.position_mm:.3g} mm",
            )
        start, stop = max(start, low), min(stop, high)
        if stop <= start:
            empty.append(name)
            continue
        plane, face, photographed = _face(near, far)
        found.append(Slab(name, number, near, far, start, stop, plane, face, photographed))
    if empty:
        warnings.warn(f"slabs without tissue: {', '.join(empty)}", ComouldWarning, stacklevel=2)
    return tuple(found)


def extent_mm(seg: sitk.Image, normal: FloatArray) -> tuple[float, float]:
    """First and last tissue along a unit normal, mm from the patient's origin (outer voxels count whole).

    Raises
    ------
    InputError
        If the image is empty.
    """
    import SimpleITK as sitk

    inside = np.argwhere(sitk.GetArrayViewFromImage(seg) != 0)
    if not len(inside):
        raise InputError(
            subject="segmentation", expected="a drawn specimen", found="an empty mask", remedy="Choose another --roi"
        )
    grid = Grid.from_image(seg)
    along = grid.patient_from_index(inside[:, ::-1]) @ normal
    half = 0.5 * float(np.abs(normal @ grid.axes) @ np.asarray(grid.spacing_mm))
    return float(along.min()) - half, float(along.max()) + half


def _face(near: CutPlane | None, far: CutPlane | None) -> tuple[CutPlane, Face, bool]:
    """Choose the face that is looked at: a photographed one, else the only (or nearer) cut face."""
    if near is not None and near.face == "-":
        return near, "-", True
    if far is not None and far.face == "+":
        return far, "+", True
    if near is not None:
        return near, "-", False
    if far is None:
        raise GeometryError(subject="slab", expected="a plane on one side at least", found="none")
    return far, "+", False

"""Virtual cutting: the knife in each slot must lay open the outline the image shows on that plane.

The specimen's surface, as it lies in the mould, is cut by the middle plane of each slot; the cut outline is brought
back to the patient and compared with the outline of the segmentation on the same plane of the image, which nothing of
the mould has touched. Distances are also given in voxels: an offset between two outlines is expressed along the
image's own axes, each divided by its spacing, so that "one in-plane voxel" means the same for planes on the image's
slices, across them and oblique to them. Between thick slices nothing was drawn. Planes that cross such slices are
therefore compared where they cross them, within the slices; only their Dice, and planes that cross no slice near the
tissue's edge, use an outline interpolated by shape (Raya and Udupa 1990, doi:10.1109/42.52980).

What no cut can show, a specimen displaced or stretched along the cuts' normal, its volume and centroid do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.mould import outline
from comould.mould.lesion import Lesion, find_lesion
from comould.mould.outline import Cutter
from comould.mould.verify import Check
from comould.space import CutPlane, FloatArray, SlicePlan

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.mould.form import Surface
    from comould.mould.result import Mould

MAX_VOXELS = 1.0
"""Largest HD95 between the cut outline and the segmentation's, in in-plane voxels."""

MAX_VOLUME_CHANGE = 0.05
"""Largest share by which the specimen's volume may differ from the segmentation's."""

MAX_CENTROID_VOXELS = 1.0
"""Largest distance between both centroids, in voxels."""

THICK = 1.5
"""Slices this much thicker than their pixels are thick."""

STEP_MM = 0.1
"""Outlines are compared at points at most this far apart."""

BESIDE_MM = 0.1
"""How far beside a slot's wall the cavity is looked at."""


@dataclass(frozen=True)
class VirtualCut:
    """One plane's comparison.

    Parameters
    ----------
    plane_id
        Which plane.
    dice
        Overlap of the two cut faces, 0 to 1.
    hd95_mm, mean_mm
        95th percentile (the larger of both directions) and mean of the distances between the outlines.
    hd95_voxels
        The same percentile in in-plane voxels.
    area_ratio
        Area of the cut face over the segmentation's.
    """

    plane_id: str
    dice: float
    hd95_mm: float
    mean_mm: float
    hd95_voxels: float
    area_ratio: float


@dataclass(frozen=True)
class CavityWall:
    """The cavity's wall beside one slot, below the tissue: where it is held.

    Parameters
    ----------
    plane_id, side
        The slot, and which side of it along the normal (−1 or +1).
    gap_mm
        5th, 50th and 95th percentile of the room between tissue and wall, across the wall.
    """

    plane_id: str
    side: int
    gap_mm: tuple[float, float, float]


def virtual_cuts(mould: Mould, seg: sitk.Image, lesion: str | int | None = None) -> list[VirtualCut]:
    """Cut the specimen in its mould by every slot's middle plane and compare with the segmentation.

    Parameters
    ----------
    mould
        As built or loaded.
    seg
        The segmentation it was built from.
    lesion
        As given to :func:`~comould.mould.build`.

    Returns
    -------
    list of VirtualCut
        One for each plane, in the plan's order.
    """
    surface = np.asarray(mould.specimen.vertices), np.asarray(mould.specimen.faces)
    return cuts(surface, mould.mould_from_patient.matrix, find_lesion(seg, lesion), mould.plan)


def checks(specimen: Surface, mould_from_patient: FloatArray, lesion: Lesion, plan: SlicePlan) -> list[Check]:
    """Give two requirements: every plane's cut outline, and volume and place; see :func:`cuts` for the parameters."""
    found = cuts(specimen, mould_from_patient, lesion, plan)
    worst = max(found, key=lambda cut: cut.hd95_voxels)
    measured: dict[str, Any] = {
        "worst_plane": worst.plane_id,
        "hd95_voxels": worst.hd95_voxels,
        "hd95_mm": max(cut.hd95_mm for cut in found),
        "mean_mm": float(np.mean([cut.mean_mm for cut in found])),
        "lowest_dice": min(cut.dice for cut in found),
    }
    return [
        Check(
            "cut outlines match the segmentation",
            worst.hd95_voxels <= MAX_VOXELS,
            measured,
            f"HD95 of every plane at most {MAX_VOXELS:g} in-plane voxel",
        ),
        _place_check(specimen, mould_from_patient, lesion),
    ]


def _place_check(specimen: Surface, mould_from_patient: FloatArray, lesion: Lesion) -> Check:
    vertices, faces = specimen
    middle = vertices.mean(axis=0)
    a, b, c = (vertices[faces[:, corner]] - middle for corner in range(3))
    parts = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6.0
    ratio = float(parts.sum()) / (1000.0 * lesion.volume_ml)
    centroid = middle + (parts @ (a + b + c)) / (4.0 * parts.sum())
    patient_from_mould = np.linalg.inv(mould_from_patient)
    here = lesion.grid.index_from_patient(centroid @ patient_from_mould[:3, :3].T + patient_from_mould[:3, 3])[0]
    away = float(np.linalg.norm(here - np.argwhere(lesion.mask).mean(axis=0)[::-1]))
    return Check(
        "specimen has the segmentation's volume and place",
        abs(ratio - 1.0) <= MAX_VOLUME_CHANGE and away <= MAX_CENTROID_VOXELS,
        {"volume_ratio": ratio, "centroid_voxels": away},
        f"volume within {MAX_VOLUME_CHANGE:.0%}, centroid within {MAX_CENTROID_VOXELS:g} voxel",
    )


def cuts(specimen: Surface, mould_from_patient: FloatArray, lesion: Lesion, plan: SlicePlan) -> list[VirtualCut]:
    """Compare the cut outlines of a specimen with its segmentation's.

    Parameters
    ----------
    specimen
        Vertices ``(n, 3)`` and outward faces ``(m, 3)``, mould frame, mm.
    mould_from_patient
        ``(4, 4)``, rigid.
    lesion
        The segmentation.
    plan
        The cutting planes, patient mm.

    Returns
    -------
    list of VirtualCut
        One for each plane. A plane where only one of the two shows tissue has infinite distances and Dice 0.
    """
    first = plan.planes[0]
    patient_from_mould: FloatArray = np.linalg.inv(np.asarray(mould_from_patient, dtype=np.float64))
    cutter = Cutter(*specimen, first.plane_from_patient.matrix @ patient_from_mould)
    drawing = _Drawing.of(lesion, first)
    pairs = None if drawing.thick is None else _Pairs.on_slices(specimen, patient_from_mould, lesion, drawing)
    found = []
    for plane in plan:
        shift = plane.plane_from_patient.matrix @ first.patient_from_plane.matrix
        lines = [line + shift[:2, 3] for line in cutter.at(plane.position_mm - first.position_mm)]
        near = None if pairs is None else pairs.near(plane, 0.5 * min(lesion.grid.spacing_mm))
        found.append(_compared(plane, lines, drawing, near))
    return found


def _compared(plane: CutPlane, cut: list[FloatArray], drawing: _Drawing, near: _Offsets | None) -> VirtualCut:
    drawn = drawing.outlines(plane)
    areas = outline.area_mm2(cut), outline.area_mm2(drawn)
    if not cut or not drawn or min(areas) <= 0:
        same = not cut and not drawn
        away = 0.0 if same else np.inf
        return VirtualCut(plane.id, float(same), away, away, away, 1.0 if same else np.inf if cut else 0.0)
    if near is None:
        index_from_plane = (np.linalg.inv(drawing.patient_from_index) @ plane.patient_from_plane.matrix)[:3, :2]
        offsets = nearest_offsets(outline.along(cut, STEP_MM), outline.along(drawn, STEP_MM))
        near = [(np.hypot(*part.T), np.linalg.norm(part @ index_from_plane.T, axis=1)) for part in offsets]
    return VirtualCut(
        plane.id,
        outline.dice(cut, drawn),
        max(float(np.percentile(mm, 95)) for mm, _ in near),
        float(np.mean([mm.mean() for mm, _ in near])),
        max(float(np.percentile(voxels, 95)) for _, voxels in near),
        areas[0] / areas[1],
    )


def nearest_offsets(one: FloatArray, other: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Offsets from every point to the nearest one of the other set, both ways."""
    from scipy.spatial import cKDTree

    to_other, to_one = cKDTree(other).query(one)[1], cKDTree(one).query(other)[1]
    return other[to_other] - one, one[to_one] - other


@dataclass(frozen=True, eq=False)
class _Drawing:
    """The segmentation as drawn, cut to its box: the mask, and depths below its outline when its slices are thick.

    ``thick`` is the image axis across which the planes cut thick slices, if they do.
    """

    mask: npt.NDArray[np.bool_]
    patient_from_index: FloatArray
    spacing: FloatArray
    thick: int | None
    depths: npt.NDArray[np.float32] | None

    @classmethod
    def of(cls, lesion: Lesion, plane: CutPlane) -> _Drawing:
        """Look whether planes like this one cross thick slices."""
        box, matrix = lesion.crop((1, 1, 1))
        spacing = np.array(lesion.grid.spacing_mm)
        thick = int(np.argmax(spacing))
        on_slices = abs(float(np.asarray(plane.normal) @ lesion.grid.axes[:, thick])) > 1.0 - 1e-6
        if on_slices or spacing[thick] < THICK * np.sort(spacing)[1]:
            return cls(box, matrix, spacing, None, None)
        depths = _depths(np.moveaxis(box, 2 - thick, 0), np.delete(spacing, thick)[::-1])
        return cls(box, matrix, spacing, thick, np.moveaxis(depths, 0, 2 - thick))

    def outlines(self, plane: CutPlane) -> list[FloatArray]:
        """Outline the segmentation on a plane: half way between voxels inside and outside."""
        index_from_plane = np.linalg.inv(self.patient_from_index) @ plane.patient_from_plane.matrix
        plane_from_index = np.linalg.inv(index_from_plane)
        reach = np.array(self.mask.shape[::-1]) - 0.5
        corners = np.array(np.meshgrid(*np.column_stack([np.full(3, -0.5), reach]))).reshape(3, -1).T
        uv = (corners @ plane_from_index[:3, :3].T + plane_from_index[:3, 3])[:, :2]
        # Along u and along v the voxels are this wide: half of the finer one loses nothing.
        pixel = 0.5 / float(np.linalg.norm(index_from_plane[:3, :2], axis=0).max())
        (u0, v0), (u1, v1) = uv.min(axis=0).tolist(), uv.max(axis=0).tolist()
        bounds = (u0, v0), (u1, v1)
        if self.depths is None:
            return outline.sample(self.mask, self.patient_from_index, plane, bounds, pixel).outlines()
        return outline.sample(self.depths, self.patient_from_index, plane, bounds, pixel, depths=True).outlines(0.0)


_Offsets = list[tuple[FloatArray, FloatArray]]
"""For each direction, distances between two outlines in mm and in voxels."""


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Distances between specimen and drawing within the image's slices, at points ``(n, 3)`` of the patient.

    Parameters
    ----------
    points, offsets
        For each direction, points of one outline, and distances to the other in mm and in voxels.
    """

    points: list[FloatArray]
    offsets: _Offsets

    @classmethod
    def on_slices(
        cls, specimen: Surface, patient_from_mould: FloatArray, lesion: Lesion, drawing: _Drawing
    ) -> _Pairs | None:
        """Outline both on every slice drawn."""
        from skimage.measure import find_contours

        thick = drawing.thick if drawing.thick is not None else 2
        axes = [*np.delete(np.arange(3), thick).tolist(), thick]
        pixel = drawing.spacing[axes[:2]]
        # Within slices in mm, across them in slices.
        slice_from_index = np.diag([*pixel, 1.0, 1.0]) @ np.eye(4)[[*axes, 3]]
        patient_from_slice = drawing.patient_from_index @ np.linalg.inv(slice_from_index)
        cutter = Cutter(*specimen, np.linalg.inv(patient_from_slice) @ patient_from_mould)
        parts: tuple[list[FloatArray], list[FloatArray]] = ([], [])
        for number, picture in enumerate(np.moveaxis(drawing.mask, 2 - thick, 0)):
            drawn = [line[:, ::-1] * pixel for line in find_contours(picture.astype(np.float64), 0.5)]
            cut = cutter.at(float(number))
            if not drawn or not cut:
                continue
            placed = outline.along(cut, STEP_MM), outline.along(drawn, STEP_MM)
            for side, (points, offset) in enumerate(zip(placed, nearest_offsets(*placed), strict=True)):
                parts[side].append(np.column_stack([points, np.full(len(points), number), offset, offset / pixel]))
        if not parts[0]:
            return None
        joined = [np.concatenate(part) for part in parts]
        return cls(
            [rows[:, :3] @ patient_from_slice[:3, :3].T + patient_from_slice[:3, 3] for rows in joined],
            [(np.hypot(*rows[:, 3:5].T), np.hypot(*rows[:, 5:7].T)) for rows in joined],
        )

    def near(self, plane: CutPlane, reach_mm: float) -> _Offsets | None:
        """Choose what lies at a plane; ``None`` when nothing does."""
        chosen = [np.abs(plane.distance_mm(points)) <= reach_mm for points in self.points]
        if not all(which.any() for which in chosen):
            return None
        return [(mm[which], voxels[which]) for (mm, voxels), which in zip(self.offsets, chosen, strict=True)]


def _depths(slices: npt.NDArray[np.bool_], pixel: FloatArray) -> npt.NDArray[np.float32]:
    """Depth below the outline within each slice, negative outside; a slice beyond the last one mirrors it.

    The outline then ends half a slice beyond the last slice drawn, as the voxels do.
    """
    from scipy import ndimage as ndi

    drawn = np.flatnonzero(slices.any(axis=(1, 2)))
    found = np.zeros(slices.shape, dtype=np.float32)
    for number in drawn:
        one = slices[number]
        found[number] = ndi.distance_transform_edt(one, pixel) - ndi.distance_transform_edt(~one, pixel)
    for number in np.setdiff1d(np.arange(len(slices)), drawn):
        nearest = drawn[np.argmin(np.abs(drawn - number))]
        found[number] = -np.abs(found[nearest])
    return found


def cavity_walls(mould: Mould) -> list[CavityWall]:
    """Measure, on the printed bodies' own triangles, how far the cavity's wall lies from the tissue beside each slot.

    Only the tissue's underside as it lies in the mould is looked at: there every design has a wall.

    Parameters
    ----------
    mould
        As built or loaded.

    Returns
    -------
    list of CavityWall
        Two for each plane; none where the tissue ends before the slot's wall.

    Notes
    -----
    The room within the plane is multiplied by the sine of the angle between the specimen's surface and the plane,
    which makes it the room across the wall where the wall is nearly parallel to the surface. Tissue inside plastic
    has a negative room.
    """
    from scipy.spatial import cKDTree

    bodies = _joined(mould)
    frame = np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    tissue = Cutter(np.asarray(mould.specimen.vertices), np.asarray(mould.specimen.faces), frame)
    plastic = Cutter(*bodies, frame)
    middles = (mould.mould_from_patient.apply([plane.origin_mm for plane in mould.plan]))[:, 0]
    found = []
    for plane, x in zip(mould.plan, middles, strict=True):
        for side in (-1, 1):
            at = float(x + side * (0.5 * plane.kerf_mm + BESIDE_MM))
            lines, walls = tissue.at(at), plastic.at(at)
            points = _underside(outline.along(lines, STEP_MM)) if lines else np.zeros((0, 2))
            if not len(points) or not walls:
                continue
            steep = _steepness(tissue, at, points)
            distance = cKDTree(outline.along(walls, 0.5 * STEP_MM)).query(points)[0]
            sign = np.where(_inside(walls, points), -1.0, 1.0)
            low, middle, high = np.percentile(sign * distance * steep, (5, 50, 95))
            found.append(CavityWall(plane.id, side, (float(low), float(middle), float(high))))
    return found


def _joined(mould: Mould) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    vertices, faces, count = [], [], 0
    for mesh in mould.bodies.values():
        vertices.append(np.asarray(mesh.vertices))
        faces.append(np.asarray(mesh.faces, dtype=np.int64) + count)
        count += len(vertices[-1])
    return np.concatenate(vertices), np.concatenate(faces)


def _underside(points: FloatArray, width_mm: float = 0.5) -> FloatArray:
    """Keep the points nothing of the same outline lies below: columns of y, the lowest of z."""
    column = np.floor((points[:, 0] - points[:, 0].min()) / width_mm).astype(int)
    lowest = np.full(column.max() + 1, np.inf)
    np.minimum.at(lowest, column, points[:, 1])
    # The ends of an outline run upwards, where a column does not tell what lies below.
    inner = (column > 0) & (column < column.max())
    return points[inner & (points[:, 1] <= lowest[column] + width_mm)]


def _steepness(tissue: Cutter, at: float, points: FloatArray, step_mm: float = 0.2) -> FloatArray:
    """Sine of the angle between the surface and the plane: from how far the outline moves to the next plane."""
    from scipy.spatial import cKDTree

    moved = np.full(len(points), np.inf)
    for side in (-step_mm, step_mm):
        if lines := tissue.at(at + side):
            moved = np.minimum(moved, cKDTree(outline.along(lines, 0.5 * STEP_MM)).query(points)[0])
    return np.asarray(step_mm / np.hypot(step_mm, np.where(np.isfinite(moved), moved, 0.0)))


def _inside(lines: list[FloatArray], points: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell which points lie within outlines: an odd number of crossings to the right."""
    odd = np.zeros(len(points), dtype=bool)
    for line in lines:
        (x0, y0), (x1, y1) = line[:-1].T[:, None], line[1:].T[:, None]
        x, y = points.T[:, :, None]
        across = (y0 <= y) != (y1 <= y)
        with np.errstate(divide="ignore", invalid="ignore"):
            right = x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
        odd ^= (across & right).sum(axis=1) % 2 == 1
    return odd

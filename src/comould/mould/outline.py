"""Outlines on a cutting plane, of a label image or of a mesh, in the plane's own millimetres.

All outlines are closed polygons ``(k, 2)`` of u and v, the first point repeated at the end. Outer ones enclose a
positive area by the shoelace formula, holes a negative one: the sum over a plane is the area of tissue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from comould.space import CutPlane, FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk
    import trimesh
    from manifold3d import CrossSection

Bounds = tuple[tuple[float, float], tuple[float, float]]
"""Lower and upper corner in u and v, mm."""


@dataclass(frozen=True, eq=False)
class PlaneMask:
    """A picture of a plane: rows along v, columns along u (seen along the normal: u right, v down).

    Parameters
    ----------
    values
        ``(rows, columns)``: share of tissue in 0…1, or labels.
    origin_mm
        u and v of the first pixel's centre.
    pixel_mm
        Side of a pixel.
    """

    values: npt.NDArray[np.float32] | npt.NDArray[np.int64]
    origin_mm: tuple[float, float]
    pixel_mm: float

    def uv(self, rows: npt.ArrayLike, columns: npt.ArrayLike) -> FloatArray:
        """Plane millimetres ``(n, 2)`` of continuous pixel positions."""
        return np.column_stack(
            [
                self.origin_mm[0] + np.asarray(columns, np.float64) * self.pixel_mm,
                self.origin_mm[1] + np.asarray(rows, np.float64) * self.pixel_mm,
            ]
        )

    def outlines(self, level: float = 0.5) -> list[FloatArray]:
        """Trace closed polygons ``(k, 2)`` u, v in mm where the values cross a level; holes run the other way round."""
        from skimage.measure import find_contours

        values = np.asarray(self.values, np.float64)
        padded = np.pad(values, 1, constant_values=min(0.0, float(values.min())))
        lines = find_contours(padded, level, positive_orientation="low")
        return [self.uv(line[:, 0] - 1.0, line[:, 1] - 1.0) for line in lines if len(line) > 3]


def bounds_on(seg: sitk.Image, plane: CutPlane, margin_mm: float = 0.0) -> Bounds:
    """Find the extent in u and v of all voxels that are not 0, wherever they lie along the normal."""
    import SimpleITK as sitk

    grid = Grid.from_image(seg)
    inside = np.argwhere(sitk.GetArrayViewFromImage(seg) != 0)
    corner = np.array([inside.min(axis=0), inside.max(axis=0)])[:, ::-1] + np.array([[-0.5], [0.5]])
    corners = np.array(np.meshgrid(*corner.T)).reshape(3, -1).T
    uv = plane.plane_from_patient.apply(grid.patient_from_index(corners))[:, :2]
    low, high = uv.min(axis=0) - margin_mm, uv.max(axis=0) + margin_mm
    return (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))


def on_plane(
    seg: sitk.Image,
    plane: CutPlane,
    *,
    bounds: Bounds,
    pixel_mm: float = 0.25,
    offset_mm: float = 0.0,
    labels: bool = False,
) -> PlaneMask:
    """Sample a label image on a plane.

    Parameters
    ----------
    seg
        0/1 mask, or labels with ``labels=True``.
    plane
        Where; see :class:`~comould.space.CutPlane`.
    bounds
        Window in u, v; :func:`bounds_on` gives one.
    pixel_mm
        Side of a pixel of the result.
    offset_mm
        Distance from the plane along its normal.
    labels
        Take the nearest voxel's label instead of interpolating the share of tissue.
    """
    import SimpleITK as sitk

    array = sitk.GetArrayViewFromImage(seg)
    return sample(array, Grid.from_image(seg).matrix, plane, bounds, pixel_mm, offset_mm=offset_mm, labels=labels)


def sample(
    array: npt.NDArray[np.generic],
    patient_from_index: FloatArray,
    plane: CutPlane,
    bounds: Bounds,
    pixel_mm: float,
    *,
    offset_mm: float = 0.0,
    labels: bool = False,
    depths: bool = False,
) -> PlaneMask:
    """Sample a ``(z, y, x)`` array on a plane, see :func:`on_plane`.

    ``patient_from_index`` is ``(4, 4)``; with ``depths`` the values themselves are interpolated, positive inside.
    """
    (u0, v0), (u1, v1) = bounds
    shape = (int(np.ceil((v1 - v0) / pixel_mm)) + 1, int(np.ceil((u1 - u0) / pixel_mm)) + 1)
    index_from_plane = np.linalg.inv(patient_from_index) @ plane.patient_from_plane.matrix
    start = (index_from_plane @ (u0, v0, offset_mm, 1.0))[:3]
    step = index_from_plane[:3, :2] * pixel_mm
    # Only the part of the array the window meets is converted.
    corners = start + np.array([[r * step[:, 1] + c * step[:, 0] for c in (0, shape[1])] for r in (0, shape[0])])
    last = np.array(array.shape[::-1])
    low = np.clip(np.floor(corners.min(axis=(0, 1))).astype(int) - 1, 0, last - 1)
    high = np.clip(np.ceil(corners.max(axis=(0, 1))).astype(int) + 2, low + 1, last)
    part = array[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    part = part.astype(np.int64) if labels else (part if depths else part != 0).astype(np.float32)
    outside = float(part.min()) if depths else 0.0
    # scipy maps output indices (–, row, column) to input indices (z, y, x); the first output axis has one layer.
    matrix = np.column_stack([np.zeros(3), step[:, 1], step[:, 0]])[::-1]
    found = ndi.affine_transform(
        np.pad(part, 1, constant_values=outside),
        matrix,
        (start - low + 1.0)[::-1],
        output_shape=(1, *shape),
        order=0 if labels else 1,
        mode="constant",
        cval=outside,
        prefilter=False,
    )
    return PlaneMask(found[0], (u0, v0), pixel_mm)


def of_mesh(mesh: trimesh.Trimesh, plane_from_mesh: FloatArray, offset_mm: float = 0.0) -> list[FloatArray]:
    """Cut a mesh and give the closed outlines ``(k, 2)`` u, v in mm.

    Parameters
    ----------
    mesh
        Closed surface with outward faces, mm, any frame.
    plane_from_mesh
        ``(4, 4)`` from that frame to plane mm.
    offset_mm
        Distance from the plane along its normal.
    """
    return Cutter(np.asarray(mesh.vertices), np.asarray(mesh.faces), plane_from_mesh).at(offset_mm)


class Cutter:
    """Cuts one surface at many parallel planes.

    Parameters
    ----------
    vertices, faces
        ``(n, 3)`` mm and ``(m, 3)``: a closed surface with outward faces. Where a surface is open, its outline is
        closed by a straight line.
    plane_from_mesh
        ``(4, 4)`` from the surface's frame to mm of the first plane.
    """

    def __init__(self, vertices: FloatArray, faces: npt.NDArray[np.int64], plane_from_mesh: FloatArray) -> None:
        local = vertices @ plane_from_mesh[:3, :3].T + plane_from_mesh[:3, 3]
        self._uv, self._height, self._faces = np.ascontiguousarray(local[:, :2]), local[:, 2].copy(), faces
        heights = [self._height[faces[:, corner]] for corner in range(3)]
        self._low = np.minimum(np.minimum(heights[0], heights[1]), heights[2])
        self._high = np.maximum(np.maximum(heights[0], heights[1]), heights[2])

    def at(self, offset_mm: float) -> list[FloatArray]:
        """Outlines at a distance from the first plane along its normal."""
        # A vertex on the plane belongs to the upper side: every crossing is then between two vertices.
        crossed = self._faces[(self._low < offset_mm) & (self._high >= offset_mm)]
        if not len(crossed):
            return []
        height = self._height - offset_mm
        entry, leave = _edges(crossed, height[crossed] >= 0.0)
        lower, upper = entry.T
        share = (height[lower] / (height[lower] - height[upper]))[:, None]
        points = self._uv[lower] + share * (self._uv[upper] - self._uv[lower])
        count = len(height)
        key = entry[:, 0] * count + entry[:, 1]
        return [points[[*chain, chain[0]]] for chain in _cycles(key, leave[:, 0] * count + leave[:, 1])]


def _edges(
    faces: npt.NDArray[np.int64], above: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give the edge by which the outline enters each crossed face and the one by which it leaves it: lower end first.

    Looking along the normal with v down, an outline that keeps the tissue on its right runs round it clockwise, which
    encloses a positive area; faces seen from outside run anticlockwise, so it enters where they go down.
    """
    rows = np.arange(len(faces))
    after, above_after = np.roll(faces, -1, axis=1), np.roll(above, -1, axis=1)
    falls, rises = np.argmax(above & ~above_after, axis=1), np.argmax(~above & above_after, axis=1)
    entry = np.column_stack([after[rows, falls], faces[rows, falls]])
    leave = np.column_stack([faces[rows, rises], after[rows, rises]])
    return entry.astype(np.int64), leave.astype(np.int64)


def _cycles(entry: npt.NDArray[np.int64], leave: npt.NDArray[np.int64]) -> list[list[int]]:
    """Follow each face to the one entered where it is left, round and round."""
    by_entry, by_leave = np.argsort(entry, kind="stable"), np.argsort(leave, kind="stable")
    following = np.full(len(entry), -1)
    if np.array_equal(entry[by_entry], leave[by_leave]):
        following[by_leave] = by_entry
    else:
        place = np.minimum(np.searchsorted(entry[by_entry], leave), len(entry) - 1)
        met = entry[by_entry][place] == leave
        following[met] = by_entry[place[met]]
    entered = np.zeros(len(entry) + 1, dtype=bool)
    entered[following] = True
    # Open chains first, from the end nothing leads to; then any face left is on a closed one.
    starts = [*np.flatnonzero(~entered[:-1]).tolist(), *range(len(entry))]
    following_list, seen, chains = following.tolist(), [False] * len(entry), []
    for start in starts:
        chain, at = [], start
        while at >= 0 and not seen[at]:
            seen[at] = True
            chain.append(at)
            at = following_list[at]
        if chain:
            chains.append(chain)
    return chains


def area_mm2(outlines: Sequence[FloatArray]) -> float:
    """Area of tissue within outlines: holes count against it."""
    return 0.5 * float(sum((line[:-1, 0] @ line[1:, 1]) - (line[:-1, 1] @ line[1:, 0]) for line in outlines))


def along(outlines: Sequence[FloatArray], step_mm: float) -> FloatArray:
    """Place points ``(n, 2)`` evenly on every outline, at most ``step_mm`` apart."""
    placed = [np.zeros((0, 2))]
    for line in outlines:
        length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
        at = np.linspace(0.0, length[-1], max(int(np.ceil(length[-1] / step_mm)), 1), endpoint=False)
        placed.append(np.column_stack([np.interp(at, length, line[:, axis]) for axis in range(2)]))
    return np.concatenate(placed)


def region(outlines: Sequence[FloatArray]) -> CrossSection:
    """Make a manifold3d cross-section of outlines, for areas and boolean operations."""
    from manifold3d import CrossSection, FillRule

    return CrossSection([np.ascontiguousarray(line[:-1]) for line in outlines if len(line) > 3], FillRule.EvenOdd)


def dice(one: Sequence[FloatArray], other: Sequence[FloatArray]) -> float:
    """Overlap of two sets of outlines on one plane, exact on the polygons: 0 apart, 1 the same."""
    first, second = region(one), region(other)
    total = first.area() + second.area()
    return 2.0 * (first ^ second).area() / total if total > 0 else 0.0

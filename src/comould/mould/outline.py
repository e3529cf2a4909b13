"""Outlines on a cutting plane, of a label image or of a mesh, in the plane's own millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from comould.space import CutPlane, FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk
    import trimesh

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

        padded = np.pad(np.asarray(self.values, np.float64), 1)
        return [self.uv(line[:, 0] - 1.0, line[:, 1] - 1.0) for line in find_contours(padded, level) if len(line) > 3]


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

    (u0, v0), (u1, v1) = bounds
    shape = (int(np.ceil((v1 - v0) / pixel_mm)) + 1, int(np.ceil((u1 - u0) / pixel_mm)) + 1)
    picture = PlaneMask(np.zeros(shape, np.float32), (u0, v0), pixel_mm)
    rows, columns = np.indices(shape)
    uv = picture.uv(rows.ravel(), columns.ravel())
    points = plane.patient_from_plane.apply(np.column_stack([uv, np.full(len(uv), offset_mm)]))
    index = Grid.from_image(seg).index_from_patient(points)[:, ::-1].T
    array = sitk.GetArrayViewFromImage(seg)
    if labels:
        found = ndi.map_coordinates(array, index, order=0, mode="constant", cval=0)
        return PlaneMask(found.reshape(shape).astype(np.int64), (u0, v0), pixel_mm)
    share = ndi.map_coordinates((array != 0).astype(np.float32), index, order=1, mode="constant", cval=0.0)
    return PlaneMask(share.reshape(shape).astype(np.float32), (u0, v0), pixel_mm)


def of_mesh(mesh: trimesh.Trimesh, plane_from_mesh: FloatArray, offset_mm: float = 0.0) -> list[FloatArray]:
    """Cut a mesh and give the closed outlines ``(k, 2)`` u, v in mm.

    Parameters
    ----------
    mesh
        Closed surface, mm, any frame.
    plane_from_mesh
        ``(4, 4)`` from that frame to plane mm.
    offset_mm
        Distance from the plane along its normal.
    """
    vertices = np.asarray(mesh.vertices) @ plane_from_mesh[:3, :3].T + plane_from_mesh[:3, 3]
    height = vertices[:, 2] - offset_mm
    # A vertex on the plane belongs to the upper side: every crossing is then between two vertices.
    faces = np.asarray(mesh.faces)
    above = height[faces] >= 0.0
    faces = faces[above.any(axis=1) & ~above.all(axis=1)]
    return _chains(faces, height, vertices[:, :2])


def _chains(faces: npt.NDArray[np.int64], height: FloatArray, uv: FloatArray) -> list[FloatArray]:
    """Join each crossed triangle's entry edge to its exit edge, round and round."""
    following: dict[tuple[int, int], tuple[int, int]] = {}
    for face in faces:
        ends = {}
        for a, b in zip(face, np.roll(face, -1), strict=True):
            if (height[a] >= 0.0) != (height[b] >= 0.0):
                edge = (int(min(a, b)), int(max(a, b)))
                ends["out" if height[a] >= 0.0 else "in"] = edge
        following[ends["in"]] = ends["out"]
    lines = []
    while following:
        start, edge = following.popitem()
        chain = [start]
        while edge != start and edge in following:
            chain.append(edge)
            edge = following.pop(edge)
        a, b = np.array(chain).T
        share = (height[a] / (height[a] - height[b]))[:, None]
        points = uv[a] + share * (uv[b] - uv[a])
        lines.append(np.vstack([points, points[:1]]))
    return lines

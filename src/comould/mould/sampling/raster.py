"""A slab as pixels: tissue and labels on its face and at depths below it, as the face is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from comould.errors import GeometryError
from comould.mould.outline import PlaneMask
from comould.mould.sampling.slab import Slab
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

PIXEL_MM = 0.25
LARGEST_PX = 400
"""Pixels along a slab's longer side before they grow: 0.25 mm up to 100 mm."""
DEPTH_STEP_MM = 1.0
MOST_LAYERS = 12
_PAD = 2
_BLUR_VOXELS = 0.8


@dataclass(frozen=True, eq=False)
class Volume:
    """The part of a label image that is not 0, ready to be sampled anywhere.

    Parameters
    ----------
    array
        ``(z, y, x)``, with empty voxels all round.
    index_from_patient
        ``(4, 4)`` to its i, j, k.
    inside_mm
        ``(n, 3)`` patient centres of the voxels that are not 0.
    voxel_mm
        Half a voxel's diagonal.
    fine_mm
        Its shortest side.
    """

    array: npt.NDArray[Any]
    index_from_patient: npt.NDArray[Any]
    inside_mm: FloatArray
    voxel_mm: float
    fine_mm: float

    @classmethod
    def of(cls, image: sitk.Image, *, labels: bool = False) -> Volume:
        """Crop a label image that is not empty; a mask becomes 0 and 1 unless its ``labels`` are wanted."""
        import SimpleITK as sitk

        array, grid = sitk.GetArrayViewFromImage(image), Grid.from_image(image)
        inside = np.argwhere(array != 0)
        low, high = inside.min(axis=0), inside.max(axis=0) + 1
        part = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        part = part.astype(np.int32) if labels else (part != 0).astype(np.float32)
        matrix = grid.matrix.copy()
        matrix[:3, 3] = grid.patient_from_index(low[::-1] - _PAD)[0]
        half = 0.5 * float(np.linalg.norm(grid.spacing_mm))
        centres = grid.patient_from_index(inside[:, ::-1])
        return cls(np.pad(part, _PAD), np.linalg.inv(matrix), centres, half, float(min(grid.spacing_mm)))

    def spread(self, tissue: Volume) -> Volume:
        """Give labels to the voxels just outside a mask: the next label's.

        Interpolated tissue reaches up to half a voxel beyond the mask's voxels, into voxels without a label.
        """
        patient_from_index = np.linalg.inv(self.index_from_patient)
        # From array order (k, j, i) to patient.
        flipped = patient_from_index[:, [2, 1, 0, 3]]
        shape = (self.array.shape[0], self.array.shape[1], self.array.shape[2])
        outside = tissue.sample(flipped, shape, order=0) == 0
        shell = outside & (self.array == 0) & ndi.binary_dilation(self.array != 0, np.ones((3, 3, 3), bool))
        sampling = np.linalg.norm(patient_from_index[:3, :3], axis=0)[::-1]
        nearest = ndi.distance_transform_edt(
            self.array == 0, sampling=sampling, return_distances=False, return_indices=True
        )
        array = self.array.copy()
        array[shell] = self.array[tuple(nearest[:, shell])]
        return replace(self, array=array)

    def sample(self, patient_from_raster: FloatArray, shape: tuple[int, int, int], *, order: int) -> npt.NDArray[Any]:
        """Sample a block ``(depths, rows, columns)`` whose (4, 4) matrix takes depth, row, column to patient mm."""
        matrix = self.index_from_patient @ patient_from_raster
        linear, offset = matrix[2::-1, :3], matrix[2::-1, 3]
        return ndi.affine_transform(self.array, linear, offset, shape, order=order, mode="constant", cval=0)


@dataclass(frozen=True)
class Window:
    """The pixels of a slab, in face mm: centre of the first, and how many.

    Parameters
    ----------
    pixel_mm
        Side of a pixel.
    x_mm, y_mm
        Centre of pixel (0, 0).
    rows, columns
        How many.
    """

    pixel_mm: float
    x_mm: float
    y_mm: float
    rows: int
    columns: int

    @classmethod
    def of(cls, slab: Slab, tissue: Volume) -> Window:
        """Hold all tissue of a slab; pixels lie on one lattice whatever else is cut.

        Raises
        ------
        GeometryError
            If the slab holds no tissue.
        """
        matrix = slab.patient_from_face
        offset, reach = tissue.inside_mm - matrix[:3, 3], tissue.voxel_mm
        depth = _along(offset, matrix[:3, 2])
        offset = offset[(depth > -reach) & (depth < slab.thickness_mm + reach)]
        face = np.column_stack([_along(offset, matrix[:3, 0]), _along(offset, matrix[:3, 1])])
        if not len(face):
            raise GeometryError(
                subject=f"slab {slab.id}",
                expected="tissue in it",
                found="none",
                remedy="Use the segmentation it was planned on",
            )
        low, high = face.min(axis=0) - reach, face.max(axis=0) + reach
        pixel = PIXEL_MM * max(1.0, float(np.ceil((high - low).max() / (PIXEL_MM * LARGEST_PX))))
        first = np.floor(low / pixel) - 2
        count = (np.ceil(high / pixel) + 3 - first).astype(int)
        return cls(pixel, float(first[0] * pixel), float(first[1] * pixel), int(count[1]), int(count[0]))

    def matrix(self, slab: Slab, first_mm: float, step_mm: float) -> FloatArray:
        """``(4, 4)`` from depth, row, column to patient mm, the first depth and their step given."""
        face = np.zeros((4, 4))
        face[:3, 3] = self.x_mm, self.y_mm, first_mm
        face[0, 2] = face[1, 1] = self.pixel_mm
        face[2, 0] = step_mm
        face[3, 3] = 1.0
        return slab.patient_from_face @ face

    def xy(self, rows: npt.ArrayLike, columns: npt.ArrayLike) -> FloatArray:
        """Face millimetres ``(n, 2)`` of pixels."""
        return np.column_stack(
            [
                self.x_mm + self.pixel_mm * np.asarray(columns, np.float64),
                self.y_mm + self.pixel_mm * np.asarray(rows, np.float64),
            ]
        )


@dataclass(frozen=True, eq=False)
class Raster:
    """Tissue and labels of one slab.

    Parameters
    ----------
    window
        Where the pixels are.
    depths_mm
        ``(n,)`` distances below the face, in the middle of n equal layers of the slab.
    face_tissue, face_labels
        ``(rows, columns)`` on the face; labels are 0 outside the tissue.
    tissue, labels
        ``(n, rows, columns)`` below it.
    """

    window: Window
    depths_mm: npt.NDArray[Any]
    face_tissue: BoolArray
    face_labels: IntArray
    tissue: BoolArray
    labels: IntArray

    @property
    def layer_mm(self) -> float:
        """Thickness of a layer."""
        return float(2.0 * self.depths_mm[0])


def rasterise(slab: Slab, tissue: Volume, labels: Volume) -> Raster:
    """Sample a slab: tissue where the mask's linear interpolation is at least ½, labels from the nearest voxel."""
    window = Window.of(slab, tissue)
    layers = _layers(slab.thickness_mm)
    step = slab.thickness_mm / layers
    stack, face = window.matrix(slab, 0.5 * step, step), window.matrix(slab, 0.0, 1.0)
    many, one = (layers, window.rows, window.columns), (1, window.rows, window.columns)
    inside, on_face = tissue.sample(stack, many, order=1) >= 0.5, tissue.sample(face, one, order=1)[0] >= 0.5
    below, above = labels.sample(stack, many, order=0), labels.sample(face, one, order=0)[0]
    return Raster(
        window,
        (np.arange(layers) + 0.5) * step,
        on_face,
        np.where(on_face, above, 0),
        inside,
        np.where(inside, below, 0),
    )


def outlines(slab: Slab, tissue: Volume, depth_mm: float | None = None) -> list[FloatArray]:
    """Outline of all tissue from the face to a depth, as the face is seen.

    Parameters
    ----------
    slab, tissue
        What to outline.
    depth_mm
        How deep to look; the whole slab by default.

    Returns
    -------
    list of ndarray
        Closed polygons ``(k, 2)`` x, y in face mm; holes run the other way round.
    """
    window = Window.of(slab, tissue)
    depth = slab.thickness_mm if depth_mm is None else min(depth_mm, slab.thickness_mm)
    layers = 1 + _layers(depth)
    share = tissue.sample(
        window.matrix(slab, 0.0, depth / (layers - 1)), (layers, window.rows, window.columns), order=1
    )
    # A mask's edge is a staircase: most of a voxel of blur makes it the smooth edge it stands for.
    smooth = ndi.gaussian_filter(share.max(axis=0), _BLUR_VOXELS * tissue.fine_mm / window.pixel_mm, mode="constant")
    return PlaneMask(smooth, (window.x_mm, window.y_mm), window.pixel_mm).outlines()


def _layers(depth_mm: float) -> int:
    """How many layers to look at: one a millimetre, in thick slabs fewer."""
    return int(np.clip(np.ceil(depth_mm / DEPTH_STEP_MM - 1e-9), 1, MOST_LAYERS))


def _along(points: FloatArray, direction: FloatArray) -> FloatArray:
    # For tall arrays three products are several times faster than a matrix product shared among threads.
    return points[:, 0] * direction[0] + points[:, 1] * direction[1] + points[:, 2] * direction[2]

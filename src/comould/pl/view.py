"""Flat windows on the patient: where a picture's pixels, letters and millimetres come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.space import CutPlane, FloatArray, Grid, SlicePlan, anatomical_letter, as_points

if TYPE_CHECKING:
    import SimpleITK as sitk

OBLIQUE = float(np.sin(np.deg2rad(15.0)))
"""A second letter is shown when the direction leans more than 15° towards it."""

_RIGHT_DOWN = {  # By the axis the view looks along: x sagittal, y coronal, z axial.
    0: ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
    1: ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    2: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
}


def radiological(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Turn two in-plane axes into the right and down of a radiologist's screen.

    Axial views have the patient's right on the left and anterior at the top, coronal views right on the left and
    superior at the top, sagittal views anterior on the left and superior at the top; oblique planes take the nearest.

    Parameters
    ----------
    first, second
        Orthogonal unit vectors of the plane, patient LPS.

    Returns
    -------
    tuple of ndarray
        ``right`` and ``down``: the two axes, swapped or turned round, never bent.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    wanted = [np.array(w) for w in _RIGHT_DOWN[int(np.argmax(np.abs(np.cross(a, b))))]]
    choices = [(s * p, t * q) for p, q in ((a, b), (b, a)) for s, t in product((1.0, -1.0), repeat=2)]
    return max(choices, key=lambda c: round(float(c[0] @ wanted[0] + c[1] @ wanted[1]), 9))


def letters(direction: npt.ArrayLike) -> str:
    """Name a direction as on a radiology screen: nearest letter first, then those it leans to (``"LA"``)."""
    vector = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    named = anatomical_letter(vector)
    for axis in np.argsort(-np.abs(vector))[1:]:
        if abs(vector[axis]) > OBLIQUE:
            named += anatomical_letter(np.where(np.arange(3) == axis, vector, 0.0))
    return named


@dataclass(frozen=True, eq=False)
class View:
    """A rectangle in the patient, seen flat: x to the right, y downwards, mm.

    Parameters
    ----------
    origin_mm
        Patient position of view point (0, 0).
    right, down
        Unit vectors, patient LPS, orthogonal.
    x_mm, y_mm
        The window: lowest and highest view coordinate along each.
    """

    origin_mm: FloatArray
    right: FloatArray
    down: FloatArray
    x_mm: tuple[float, float]
    y_mm: tuple[float, float]

    @classmethod
    def around(
        cls,
        origin_mm: npt.ArrayLike,
        axes: tuple[npt.ArrayLike, npt.ArrayLike],
        points_mm: npt.ArrayLike,
        margin_mm: float = 4.0,
    ) -> Self:
        """Make the radiological window of a plane that holds some patient points.

        Parameters
        ----------
        origin_mm
            A point of the plane.
        axes
            Two orthogonal unit vectors of the plane, in any order and sense.
        points_mm
            ``(n, 3)`` patient points to hold; only their position in the plane counts.
        margin_mm
            Border around them.
        """
        right, down = radiological(*axes)
        origin = np.asarray(origin_mm, dtype=np.float64)
        offset = as_points(points_mm) - origin
        x, y = offset @ right, offset @ down
        return cls(
            origin,
            right,
            down,
            (float(x.min()) - margin_mm, float(x.max()) + margin_mm),
            (float(y.min()) - margin_mm, float(y.max()) + margin_mm),
        )

    @classmethod
    def of_plane(cls, plane: CutPlane, points_mm: npt.ArrayLike, margin_mm: float = 4.0) -> Self:
        """Make the window of a cutting plane; see :meth:`around`."""
        return cls.around(plane.origin_mm, (plane.u, plane.v), points_mm, margin_mm)

    def widened(self, aspect: float) -> View:
        """Widen or heighten the window about its middle to a ratio of width to height."""
        width, height = self.size_mm
        wide, high = max(width, height * aspect), max(height, width / aspect)
        x, y = sum(self.x_mm) / 2.0, sum(self.y_mm) / 2.0
        return replace(self, x_mm=(x - wide / 2.0, x + wide / 2.0), y_mm=(y - high / 2.0, y + high / 2.0))

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height."""
        return self.x_mm[1] - self.x_mm[0], self.y_mm[1] - self.y_mm[0]

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """For ``imshow``: left, right, bottom, top (y runs downwards)."""
        return self.x_mm[0], self.x_mm[1], self.y_mm[1], self.y_mm[0]

    @property
    def edge_letters(self) -> dict[str, str]:
        """Patient directions at the four edges: keys left, right, top, bottom."""
        return {
            "left": letters(-self.right),
            "right": letters(self.right),
            "top": letters(-self.down),
            "bottom": letters(self.down),
        }

    def from_patient(self, points_mm: npt.ArrayLike) -> FloatArray:
        """Map patient points ``(n, 3)`` to view x, y ``(n, 2)``."""
        offset = as_points(points_mm) - self.origin_mm
        return np.column_stack([offset @ self.right, offset @ self.down])

    def grid(self, spacing_mm: float) -> Grid:
        """One-slice grid whose pixels tile the window (the window's far edges are rounded to whole pixels)."""
        size = tuple(max(1, round(length / spacing_mm)) for length in self.size_mm)
        step = (self.size_mm[0] / size[0], self.size_mm[1] / size[1], 1.0)
        corner = self.x_mm[0] + 0.5 * step[0], self.y_mm[0] + 0.5 * step[1]
        origin = self.origin_mm + corner[0] * self.right + corner[1] * self.down
        axes = np.column_stack([self.right, self.down, np.cross(self.right, self.down)])
        return Grid((size[0], size[1], 1), step, tuple(origin), axes)

    def points_mm(self, spacing_mm: float) -> FloatArray:
        """Patient positions ``(h, w, 3)`` of the pixel centres of :meth:`grid`."""
        grid = self.grid(spacing_mm)
        j, i = np.mgrid[: grid.size[1], : grid.size[0]]
        index = np.column_stack([i.ravel(), j.ravel(), np.zeros(i.size)])
        return grid.patient_from_index(index).reshape(grid.size[1], grid.size[0], 3)

    def sample(
        self, image: sitk.Image, spacing_mm: float, *, linear: bool = True, outside: float = np.nan
    ) -> FloatArray:
        """Resample a volume onto the window.

        Parameters
        ----------
        image
            Scalar volume.
        spacing_mm
            Pixel size.
        linear
            Linear interpolation; nearest for labels.
        outside
            Value where the volume has no voxel.

        Returns
        -------
        ndarray
            ``(h, w)`` float64.
        """
        import SimpleITK as sitk

        grid = self.grid(spacing_mm)
        how = sitk.sitkLinear if linear else sitk.sitkNearestNeighbor
        # ITK extrapolates half a voxel; a volume of one slice would vanish without it.
        flat = sitk.Resample(
            image,
            grid.size,
            sitk.Transform(),
            how,
            grid.origin_mm,
            grid.spacing_mm,
            grid.axes.ravel().tolist(),
            outside,
            sitk.sitkFloat64,
        )
        return sitk.GetArrayFromImage(flat)[0]


def mask_points(mask: sitk.Image) -> FloatArray:
    """Patient positions ``(n, 3)`` of the voxels of a mask.

    Raises
    ------
    InputError
        If the mask is empty.
    """
    import SimpleITK as sitk

    found = np.argwhere(sitk.GetArrayViewFromImage(mask) != 0)
    if not len(found):
        raise InputError(subject="mask", expected="at least one voxel", found="none", remedy="Check the segmentation")
    return Grid.from_image(mask).patient_from_index(found[:, ::-1])


def pixel_mm(image: sitk.Image) -> float:
    """Pixel size for pictures of a volume: half its finest spacing."""
    return 0.5 * float(min(image.GetSpacing()))


def grey_window(image: sitk.Image, mask: sitk.Image | None = None, margin_mm: float = 6.0) -> tuple[float, float]:
    """Choose black and white: the 0.5 and 99.5 percentiles in the box around the mask.

    Parameters
    ----------
    image
        Scalar volume.
    mask
        The specimen; without it the whole volume counts.
    margin_mm
        Border around its box.
    """
    import SimpleITK as sitk

    values = sitk.GetArrayViewFromImage(image)
    if mask is not None:
        grid = Grid.from_image(image)
        index = grid.index_from_patient(mask_points(mask))
        pad = margin_mm / np.asarray(grid.spacing_mm)
        low = np.clip(np.floor(index.min(axis=0) - pad), 0, np.asarray(grid.size) - 1).astype(int)
        high = np.clip(np.ceil(index.max(axis=0) + pad) + 1, low + 1, grid.size).astype(int)
        values = values[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    black, white = (float(x) for x in np.percentile(finite, (0.5, 99.5)))
    return (black, white) if white > black else (black, black + 1.0)


def overview(plan: SlicePlan, points_mm: npt.ArrayLike, margin_mm: float = 6.0) -> View:
    """Window across all cutting planes, through the middle of some points: the planes are seen edge-on."""
    points = as_points(points_mm)
    middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
    first = plan.planes[0]
    return View.around(middle, (first.u, first.normal), points, margin_mm)

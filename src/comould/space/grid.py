"""Grid: where the voxels of an image lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from comould.errors import GeometryError
from comould.space.frames import FloatArray, anatomical_letter, as_points

if TYPE_CHECKING:
    import SimpleITK as sitk

ORTHONORMAL_TOLERANCE = 1e-4
"""Largest deviation of ``DᵀD`` from the identity that a direction matrix may show (float32 headers round)."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Size, spacing, origin and direction of an image: patient LPS, mm.

    Parameters
    ----------
    size
        Voxels along the image's i, j, k axes (x fastest); the array has the reverse shape ``(k, j, i)``.
    spacing_mm
        Distance between voxel centres along i, j, k.
    origin_mm
        Patient position of the centre of voxel (0, 0, 0).
    direction
        ``(3, 3)``; columns are the patient directions of i, j, k. Orthonormal and right-handed.

    Raises
    ------
    GeometryError
        If a number is not finite, a spacing not positive, or the direction not a proper rotation.

    Examples
    --------
    >>> grid = Grid((10, 20, 5), (0.5, 0.5, 3.0))
    >>> grid.patient_from_index([[1, 0, 2]])
    array([[0.5, 0. , 6. ]])
    """

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: FloatArray | None = None

    def __post_init__(self) -> None:
        size = tuple(int(n) for n in self.size)
        spacing = tuple(float(s) for s in self.spacing_mm)
        origin = tuple(float(o) for o in self.origin_mm)
        direction = np.eye(3) if self.direction is None else np.array(self.direction, dtype=np.float64)
        if direction.size == 9:
            direction = direction.reshape(3, 3)
        _check_shape(size, spacing, origin, direction)
        _check_rotation(direction)
        direction.setflags(write=False)
        for name, value in (("size", size), ("spacing_mm", spacing), ("origin_mm", origin), ("direction", direction)):
            object.__setattr__(self, name, value)

    @property
    def axes(self) -> FloatArray:
        """``(3, 3)`` direction matrix; column i is the patient direction of image axis i."""
        return np.eye(3) if self.direction is None else self.direction

    @property
    def matrix(self) -> FloatArray:
        """``(4, 4)`` homogeneous ``patient_from_index``."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.axes * np.asarray(self.spacing_mm)
        matrix[:3, 3] = self.origin_mm
        return matrix

    @property
    def shape(self) -> tuple[int, int, int]:
        """Array shape ``(z, y, x)``."""
        return self.size[2], self.size[1], self.size[0]

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def orientation(self) -> str:
        """Patient directions the i, j, k axes run towards, e.g. ``LPS``."""
        return "".join(anatomical_letter(self.axes[:, axis]) for axis in range(3))

    @classmethod
    def from_image(cls, image: sitk.Image) -> Self:
        """Read the grid of a SimpleITK image.

        Parameters
        ----------
        image
            Three-dimensional.

        Raises
        ------
        GeometryError
            If the image is not 3-D, or its direction matrix is left-handed or not orthonormal.
        """
        if image.GetDimension() != 3:
            raise GeometryError(
                subject="image",
                expected="3 dimensions",
                found=f"{image.GetDimension()}",
                remedy="Give one volume; split a 4-D series first",
            )
        direction = np.array(image.GetDirection()).reshape(3, 3)
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), direction)

    def to_image(self, array: npt.NDArray[np.generic] | None = None) -> sitk.Image:
        """Make a SimpleITK image on this grid.

        Parameters
        ----------
        array
            ``(z, y, x)``, or ``(z, y, x, c)`` for a vector image; without it an empty uint8 label map is made.
        """
        import SimpleITK as sitk

        if array is None:
            image = sitk.Image(self.size, sitk.sitkUInt8)
        else:
            if array.shape[:3] != self.shape:
                raise GeometryError(
                    subject="array for a grid", expected=f"shape {self.shape} (z, y, x)", found=f"{array.shape}"
                )
            data = array.astype(np.uint8) if array.dtype == np.bool_ else array
            image = sitk.GetImageFromArray(np.ascontiguousarray(data), isVector=data.ndim == 4)
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.axes.ravel().tolist())
        return image

    def patient_from_index(self, indices: npt.ArrayLike) -> FloatArray:
        """Map continuous voxel indices ``(n, 3)`` in i, j, k order to patient mm ``(n, 3)``."""
        return as_points(indices) @ self.matrix[:3, :3].T + np.asarray(self.origin_mm)

    def index_from_patient(self, points_mm: npt.ArrayLike) -> FloatArray:
        """Map patient mm ``(n, 3)`` to continuous voxel indices ``(n, 3)`` in i, j, k order."""
        inverse = np.linalg.inv(self.matrix[:3, :3])
        return (as_points(points_mm) - np.asarray(self.origin_mm)) @ inverse.T

    def contains(self, points_mm: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Tell which patient points lie inside a voxel of the grid (half a voxel beyond the outer centres)."""
        index = self.index_from_patient(points_mm)
        return np.all((index >= -0.5) & (index <= np.asarray(self.size) - 0.5), axis=1)

    def corners_mm(self) -> FloatArray:
        """Patient positions ``(8, 3)`` of the outer voxel corners."""
        low, high = -0.5 * np.ones(3), np.asarray(self.size) - 0.5
        bits = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)])
        return self.patient_from_index(np.where(bits, high, low))

    def difference(self, other: Grid, tolerance_mm: float = 1e-2) -> str:
        """Say how another grid differs, in words; empty when no voxel lies more than the tolerance apart.

        Parameters
        ----------
        other
            The grid to compare with.
        tolerance_mm
            Largest distance between the same corner of both grids.
        """
        if self.size != other.size:
            return f"size {other.size} against {self.size}"
        apart = float(np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1).max())
        if apart <= tolerance_mm:
            return ""
        for name in ("spacing_mm", "origin_mm"):
            mine, theirs = np.array(getattr(self, name)), np.array(getattr(other, name))
            if np.abs(mine - theirs).max() > 1e-3:
                rounded = tuple(float(x) for x in theirs.round(3)), tuple(float(x) for x in mine.round(3))
                return f"{name} {rounded[0]} against {rounded[1]} (corners up to {apart:.2f} mm apart)"
        return f"directions {other.orientation} against {self.orientation} (corners up to {apart:.2f} mm apart)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and not self.difference(other, 1e-6)

    __hash__ = None  # type: ignore[assignment]


def _check_shape(
    size: tuple[int, ...], spacing: tuple[float, ...], origin: tuple[float, ...], direction: FloatArray
) -> None:
    problems = []
    if len(size) != 3 or min(size, default=0) < 1:
        problems.append(f"size {size} is not three positive counts")
    if len(spacing) != 3 or not np.isfinite(spacing).all() or min(spacing, default=0.0) <= 0:
        problems.append(f"spacing {spacing} mm is not three positive lengths")
    if len(origin) != 3 or not np.isfinite(origin).all():
        problems.append(f"origin {origin} mm is not three finite numbers")
    if direction.shape != (3, 3) or not np.isfinite(direction).all():
        problems.append(f"direction of shape {direction.shape} is not a finite 3×3 matrix")
    if problems:
        raise GeometryError.collect(subject="image grid", problems=problems)


def _check_rotation(direction: FloatArray) -> None:
    deviation = float(np.abs(direction.T @ direction - np.eye(3)).max())
    if deviation > ORTHONORMAL_TOLERANCE:
        raise GeometryError(
            subject="image direction matrix",
            expected="orthonormal columns",
            found=f"a deviation of {deviation:.2g}",
            remedy="Resample the sheared image to an orthogonal grid first",
        )
    if np.linalg.det(direction) < 0:
        raise GeometryError(
            subject="image direction matrix",
            expected="right-handed (determinant +1)",
            found="left-handed (determinant −1): used as it is, the result could be a mirror image of the patient",
            remedy="Flip one axis of the array together with its direction (comould.io.right_handed does), "
            "after checking that left and right in the file are right",
        )

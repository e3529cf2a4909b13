"""Volume: an image read at any patient point, and the signed distance to a specimen's surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels that can be read anywhere.

    Parameters
    ----------
    voxels
        ``(z, y, x)``.
    grid
        Where they lie.
    """

    voxels: npt.NDArray[np.float32]
    grid: Grid

    @classmethod
    def of(cls, image: sitk.Image) -> Self:
        """Take an image."""
        import SimpleITK as sitk

        return cls(sitk.GetArrayFromImage(image).astype(np.float32), Grid.from_image(image))

    @classmethod
    def inside_distance(cls, mask: sitk.Image) -> Self:
        """Signed distance to the surface of a mask (> 0), positive inside, mm: zero half-way between two voxels."""
        import SimpleITK as sitk

        grid = Grid.from_image(mask)
        return cls(signed_distance(sitk.GetArrayViewFromImage(mask) > 0, grid.spacing_mm), grid)

    def at(self, patient_mm: FloatArray) -> FloatArray:
        """Values ``(n,)`` at patient points ``(n, 3)``, trilinear; beyond the border the border's value."""
        index = self.grid.index_from_patient(patient_mm)
        return ndimage.map_coordinates(self.voxels, index.T[::-1], order=1, mode="nearest", output=np.float64)


def signed_distance(inside: npt.NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> npt.NDArray[np.float32]:
    """Distance ``(z, y, x)`` to the nearest voxel centre of the other kind, positive inside.

    A distance to border voxels (as Maurer's filter gives) is zero on whole voxels of a thick slice: holes.
    """
    sampling = spacing_mm[::-1]
    return np.asarray(
        ndimage.distance_transform_edt(inside, sampling) - ndimage.distance_transform_edt(~inside, sampling),
        dtype=np.float32,
    )

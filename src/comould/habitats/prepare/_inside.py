"""Which voxels of an image lie in a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.habitats.inputs import _grid, mask_indices
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

LEAST_VOXELS = 20
"""Fewer give no mean or percentile worth the name."""


def checked(image: sitk.Image, subject: str) -> tuple[Grid, FloatArray]:
    """Grid and float64 values ``(k, j, i)`` of a scalar 3-D image."""
    import SimpleITK as sitk

    grid = _grid(image, subject)
    return grid, sitk.GetArrayFromImage(image).astype(np.float64)


def inside(mask: sitk.Image, grid: Grid, subject: str) -> npt.NDArray[np.bool_]:
    """Voxels ``(k, j, i)`` of a grid whose centre lies in a voxel of the mask.

    Raises
    ------
    InputError
        If the mask is empty or many-labelled, or holds fewer than 20 of the grid's voxels.
    """
    import SimpleITK as sitk

    mask_indices(mask)
    if grid.difference(Grid.from_image(mask)):
        mask = sitk.Resample(mask, grid.to_image(), sitk.Transform(), sitk.sitkNearestNeighbor, 0.0, sitk.sitkUInt8)
    found = sitk.GetArrayFromImage(mask) != 0
    if found.sum() < LEAST_VOXELS:
        raise InputError(
            subject=subject,
            expected=f"at least {LEAST_VOXELS} voxels of the image in it",
            found=f"{int(found.sum())}",
            remedy="Check that mask and image are of the same patient and frame of reference",
        )
    return found


def finite(values: FloatArray, subject: str) -> FloatArray:
    """Refuse NaN and infinity."""
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise InputError(
            subject=subject,
            expected="finite intensities in the mask",
            found=f"{bad} voxels with NaN or infinity",
            remedy="Repair the image or take these voxels out of the mask",
        )
    return values

"""Where in the tumour: depth below its edge, and rim, core and the ring around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.habitats.inputs import mask_indices
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

ZONES = {1: "core", 2: "rim", 3: "ring"}


def edge_distance(mask: sitk.Image) -> sitk.Image:
    """Measure how deep every voxel lies below the mask's edge.

    Parameters
    ----------
    mask
        One label.

    Returns
    -------
    SimpleITK.Image
        float32, mm, on the mask's grid: distance of the voxel's centre to the edge, positive inside, negative outside.
        The edge runs between voxels; beyond the image's border is outside.

    Raises
    ------
    InputError
        If the mask is empty or holds several labels.

    Notes
    -----
    The distance goes to the box of the voxel on the other side whose centre is nearest: exact along the image's axes
    and within half a voxel elsewhere.
    """
    inside_idx = mask_indices(mask)
    grid = Grid.from_image(mask)
    inside = np.zeros(grid.shape, dtype=bool)
    inside[tuple(inside_idx.T)] = True
    spacing = np.asarray(grid.spacing_mm)[::-1]
    padded = np.pad(inside, 1)
    depth = _to_nearest(padded, spacing)
    # Nothing of the mask lies in the padding: it is only the outside's nearest voxel.
    height = _to_nearest(~inside, spacing)
    signed = np.where(inside, depth[1:-1, 1:-1, 1:-1], -height)
    return grid.to_image(signed.astype(np.float32))


def rim(mask: sitk.Image, *, width_mm: float, ring_mm: float = 0.0) -> sitk.Image:
    """Divide a mask into core and rim, and put a ring around it on request.

    Parameters
    ----------
    mask
        One label.
    width_mm
        Depth of the rim below the edge.
    ring_mm
        Width of the peritumoural ring outside.

    Returns
    -------
    SimpleITK.Image
        uint8: 1 core, 2 rim, 3 ring, 0 elsewhere (:data:`ZONES`).

    Raises
    ------
    InputError
        If a width is not a non-negative length, or the mask is refused as by :func:`edge_distance`.
    """
    import SimpleITK as sitk

    for name, value in (("width_mm", width_mm), ("ring_mm", ring_mm)):
        if not np.isfinite(value) or value < 0:
            raise InputError(subject=f"rim {name}", expected="a length of 0 mm or more", found=f"{value}")
    image = edge_distance(mask)
    distance = sitk.GetArrayViewFromImage(image)
    zones = np.zeros(distance.shape, dtype=np.uint8)
    zones[distance > 0] = 1
    zones[(distance > 0) & (distance <= width_mm)] = 2
    zones[(distance < 0) & (distance >= -ring_mm)] = 3
    return Grid.from_image(image).to_image(zones)


def _to_nearest(inside: np.ndarray, spacing: FloatArray) -> FloatArray:
    """Distance (mm) from every true voxel's centre to the box of the nearest false voxel; 0 at false voxels."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(inside, sampling=spacing, return_distances=False, return_indices=True)
    square = np.zeros(inside.shape)
    for axis, step in enumerate(spacing):
        own = np.arange(inside.shape[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
        gap = np.maximum(np.abs(nearest[axis] - own) - 0.5, 0.0) * step
        square += gap**2
    return np.sqrt(square)

"""Values read at points that lie between the voxels, nothing from outside the mask among them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.space import FloatArray, Grid, Transform

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.habitats.features import FeatureMaps

_LEAST_WEIGHT = 0.5
"""Share of a trilinear neighbourhood that must have values."""


def sampled(maps: FeatureMaps, points_mm: FloatArray) -> FloatArray:
    """Read feature maps ``(n, f)`` at patient points ``(n, 3)``: trilinear over voxels of the mask with a value.

    NaN where less than half of the weight lies on such voxels.
    """
    rows = np.full(tuple(np.array(maps.grid.shape) + 2), -1, dtype=np.int64)
    rows[tuple((maps.mask_idx + 1).T)] = np.arange(len(maps.mask_idx))
    index = maps.grid.index_from_patient(points_mm)[:, ::-1] + 1.0
    # Points beyond the image meet its empty border.
    index = np.clip(index, 0.0, np.array(rows.shape) - 1.001)
    low = np.floor(index).astype(np.int64)
    part = index - low
    total = np.zeros((len(index), maps.values.shape[1]))
    weights = np.zeros_like(total)
    for corner in product((0, 1), repeat=3):
        step = np.array(corner)
        row = rows[tuple((low + step).T)]
        weight = np.where(step, part, 1.0 - part).prod(axis=1)
        values = maps.values[row]
        known = np.isfinite(values) & (row >= 0)[:, None]
        total += np.where(known, values, 0.0) * weight[:, None]
        weights += known * weight[:, None]
    return np.where(weights >= _LEAST_WEIGHT, total / np.maximum(weights, _LEAST_WEIGHT), np.nan)


def nearest_labels(labels: sitk.Image, points_mm: FloatArray) -> npt.NDArray[np.int64]:
    """Read the label ``(n,)`` of the voxel that each patient point lies in; 0 beyond the image."""
    import SimpleITK as sitk

    grid = Grid.from_image(labels)
    index = np.rint(grid.index_from_patient(points_mm)).astype(np.int64)[:, ::-1]
    inside = np.all((index >= 0) & (index < np.array(grid.shape)), axis=1)
    found = np.zeros(len(index), dtype=np.int64)
    found[inside] = sitk.GetArrayViewFromImage(labels)[tuple(index[inside].T)]
    return found


def mapped_back(transform: Transform, points_mm: FloatArray) -> FloatArray:
    """Source points ``(n, 3)`` of target points."""
    return transform.solve_inverse(points_mm, tolerance=1e-3)

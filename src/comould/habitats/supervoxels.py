"""Supervoxels: small connected pieces of alike voxels, the first of two steps to habitats.

References
----------
Achanta et al., IEEE Trans Pattern Anal Mach Intell 2012, doi 10.1109/TPAMI.2012.120 (SLIC); within a mask after Irving
2016, arXiv:1606.09518.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.habitats.inputs import Aligned
from comould.habitats.voxels import CLIP, Voxels, to_unit
from comould.space import FloatArray

if TYPE_CHECKING:
    import pandas as pd

COMPACTNESS = 0.5
"""Weight of place against grey level, both in standard deviations: 0.5 follows borders and stays compact."""
LEAST = 10


def supervoxels(aligned: Aligned, scaled: FloatArray, size_mm: float) -> npt.NDArray[np.int64]:
    """Cut the voxels of a mask into supervoxels.

    Parameters
    ----------
    aligned
        Where the voxels are.
    scaled
        ``(n, d)`` features with unit variance.
    size_mm
        About the side of a supervoxel (cube of the same volume).

    Returns
    -------
    ndarray
        ``(n,)`` numbers 0 … m-1, in order of first appearance.

    Raises
    ------
    InputError
        If fewer than 10 supervoxels of that size fit into the mask, or they would be smaller than two voxels.
    """
    from skimage.segmentation import slic

    wanted = check_size(aligned, size_mm)
    inside = aligned.in_box(np.ones(len(aligned.mask_idx), dtype=bool))
    features = aligned.in_box(np.clip(scaled, -CLIP, CLIP)) / np.sqrt(scaled.shape[1])
    found = slic(
        features,
        n_segments=wanted,
        compactness=COMPACTNESS,
        mask=inside,
        spacing=np.asarray(aligned.grid.spacing_mm)[::-1] / size_mm,
        channel_axis=-1,
        start_label=1,
        convert2lab=False,
    )
    numbers = found[tuple((aligned.mask_idx - aligned.low_idx).T)]
    return _ordered(_filled(numbers, aligned))


def check_size(aligned: Aligned, size_mm: float) -> int:
    """Say how many supervoxels of a size a mask gives.

    Raises
    ------
    InputError
        As :func:`supervoxels`.
    """
    volume = size_mm**3 / (1000.0 * aligned.grid.voxel_ml)
    wanted = round(len(aligned.mask_idx) / volume)
    if wanted < LEAST or volume < 2.0:
        raise InputError(
            subject=f"supervoxel_mm {size_mm:g}",
            expected=f"at least {LEAST} supervoxels in the mask, of 2 voxels or more",
            found=f"{max(wanted, 1)} of {volume:.3g} voxels",
            remedy="Choose a smaller size" if wanted < LEAST else "Choose a larger size, or cluster voxels",
        )
    return wanted


def supervoxels_of(voxels: Voxels, scaled: FloatArray, radius_mm: float, size_mm: float) -> npt.NDArray[np.int64]:
    """Cut a case's voxels by their features smoothed by half the radius; see :func:`supervoxels`."""
    return supervoxels(voxels.aligned, to_unit(voxels.smoothed(scaled, radius_mm / 2.0)), size_mm)


def means(numbers: npt.NDArray[np.int64], values: FloatArray) -> FloatArray:
    """Mean of ``(n, d)`` values over every supervoxel ``(m, d)``."""
    counts = np.bincount(numbers).astype(np.float64)
    return np.stack([np.bincount(numbers, weights=column) / counts for column in values.T], axis=1)


def supervoxel_table(numbers: npt.NDArray[np.int64], aligned: Aligned, points_mm: FloatArray) -> pd.DataFrame:
    """Place and size of every supervoxel: ``x_mm``, ``y_mm``, ``z_mm`` (patient LPS), ``voxels``, ``volume_ml``."""
    import pandas as pd

    counts = np.bincount(numbers)
    table = pd.DataFrame(means(numbers, points_mm), columns=["x_mm", "y_mm", "z_mm"])
    table["voxels"], table["volume_ml"] = counts, counts * aligned.grid.voxel_ml
    table.index = pd.Index([f"S{n}" for n in range(1, len(table) + 1)], name="supervoxel")
    return table


def _filled(numbers: npt.NDArray, aligned: Aligned) -> npt.NDArray[np.int64]:
    """Give voxels that the cut left out to the nearest supervoxel."""
    from scipy.spatial import cKDTree

    left = numbers <= 0
    if left.any():
        place = aligned.mask_idx * np.asarray(aligned.grid.spacing_mm)[::-1]
        numbers = numbers.copy()
        numbers[left] = numbers[~left][cKDTree(place[~left]).query(place[left])[1]]
    return numbers.astype(np.int64)


def _ordered(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.ravel()].astype(np.int64)

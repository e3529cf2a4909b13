"""Numbers about a habitat map: how much, in how many pieces, and what lies beside what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.space import Grid

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk


def volume_fractions(labels: sitk.Image) -> pd.DataFrame:
    """Volume, share and connected pieces of every label.

    Parameters
    ----------
    labels
        Integer labels, 0 outside.

    Returns
    -------
    pandas.DataFrame
        Index ``label``; columns ``voxels``, ``volume_ml``, ``fraction``, ``components`` (face-connected pieces),
        ``largest_component_fraction`` (of the label's own volume).

    Raises
    ------
    InputError
        If nothing is labelled.
    """
    import pandas as pd
    from scipy.ndimage import label as connected

    array, grid = _labels(labels)
    found, counts = np.unique(array[array > 0], return_counts=True)
    pieces = [connected(array == value) for value in found]
    largest = [np.bincount(piece.ravel())[1:].max() for piece, _ in pieces]
    columns = {
        "voxels": counts,
        "volume_ml": counts * grid.voxel_ml,
        "fraction": counts / counts.sum(),
        "components": [number for _, number in pieces],
        "largest_component_fraction": np.array(largest) / counts,
    }
    return pd.DataFrame(columns, index=pd.Index(found.astype(int), name="label"))


def interaction(labels: sitk.Image) -> pd.DataFrame:
    """Area of the faces that voxels of two labels share: the spatial interaction matrix, in mm².

    Parameters
    ----------
    labels
        Integer labels, 0 outside.

    Returns
    -------
    pandas.DataFrame
        Symmetric; rows and columns are the labels, 0 (outside) first. The diagonal is the area between voxels of one
        label, each face once. The image's border adds nothing.

    Raises
    ------
    InputError
        If nothing is labelled.

    Notes
    -----
    With face areas in place of counts the matrix does not change when flat voxels are cut finer (its off-diagonal),
    unlike the counts of Wu et al., Radiology 2018, doi 10.1148/radiol.2018172462.
    """
    import pandas as pd

    array, grid = _labels(labels)
    values, flat = np.unique(array, return_inverse=True)
    index = flat.reshape(array.shape)
    if values[0] != 0:
        values, index = np.concatenate([[0], values]), index + 1
    size = len(values)
    area = np.zeros((size, size))
    spacing = np.asarray(grid.spacing_mm)[::-1]
    for axis in range(3):
        face = float(np.prod(spacing) / spacing[axis])
        first = np.moveaxis(index, axis, 0)[:-1].ravel()
        second = np.moveaxis(index, axis, 0)[1:].ravel()
        area += face * np.bincount(first * size + second, minlength=size * size).reshape(size, size)
    off = area + area.T
    np.fill_diagonal(off, np.diag(area))
    off[0, 0] = np.nan
    names = pd.Index(values.astype(int), name="label")
    return pd.DataFrame(off, index=names, columns=names)


def _labels(labels: sitk.Image) -> tuple[npt.NDArray[np.integer], Grid]:
    import SimpleITK as sitk

    grid = Grid.from_image(labels)
    array = sitk.GetArrayFromImage(labels)
    if not np.issubdtype(array.dtype, np.integer) or array.ndim != 3:
        raise InputError(subject="labels", expected="an integer label image", found=labels.GetPixelIDTypeAsString())
    if not (array > 0).any():
        raise InputError(subject="labels", expected="labels above 0", found="none")
    return array, grid

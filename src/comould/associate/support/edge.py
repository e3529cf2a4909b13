"""How deep in the specimen a spot lies: a covariate, since surface and middle differ in much besides the habitat."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from comould.associate.support.sample import positions_of, writable
from comould.associate.support.sampling import nearest
from comould.errors import ComouldWarning, InputError
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk
    from anndata import AnnData

_CANDIDATES = 4


def distance_to_edge(
    adata: AnnData, mask: sitk.Image, *, key_added: str = "edge_mm", positions: str = "spatial_patient"
) -> None:
    """Write each spot's signed distance to the specimen's surface, as a covariate.

    Parameters
    ----------
    adata
        Spots with patient positions; changed in place.
    mask
        Label image of the specimen: 0 outside, anything else inside. Voxels may be anisotropic.
    key_added
        Column of ``obs`` to write.
    positions
        Key of ``obsm`` with ``(n, 3)`` patient mm.

    Returns
    -------
    None
        Written: ``obs[key_added]``, mm, positive inside, negative outside, NaN beyond the grid or without a position;
        ``uns["comould"][key_added]``.

    Warns
    -----
    ComouldWarning
        If spots lie beyond the grid.

    Raises
    ------
    InputError
        If positions are missing, or the mask is empty or not a scalar volume.

    Notes
    -----
    The surface is the faces between voxels inside and outside, and the distance to them is exact on any grid, oblique
    or anisotropic: no interpolation between voxels enters. The mask's steps stand before a smooth surface, so that
    spots seem nearer to it, by half a voxel's diagonal at most (0.6 mm on average for a ball in voxels of
    0.8 × 0.8 × 2 mm). Where the mask is cut off by the grid's border the border counts as surface.
    """
    import SimpleITK as sitk

    writable(adata)
    points = positions_of(adata, positions)
    if mask.GetDimension() != 3 or mask.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            subject="mask",
            expected="a three-dimensional image with one value a voxel",
            found=f"{mask.GetDimension()} dimensions, {mask.GetNumberOfComponentsPerPixel()} values",
        )
    inside = sitk.GetArrayViewFromImage(mask) != 0
    if not inside.any():
        raise InputError(subject="mask", expected="voxels inside", found="none")
    grid = Grid.from_image(mask)
    known = grid.contains(np.nan_to_num(points)) & np.isfinite(points).all(axis=1)
    column = np.full(len(points), np.nan)
    sign = np.where(nearest(inside.astype(np.uint8), grid, points[known]) > 0, 1.0, -1.0)
    column[known] = sign * _to_surface(inside, grid, points[known])
    adata.obs[key_added] = column
    note = dict(adata.uns.get("comould", {}))
    note[key_added] = {"positions": positions, "unit": "mm", "n_outside": int((~known).sum())}
    adata.uns["comould"] = note
    if missing := int((~known).sum()):
        warnings.warn(
            f"{missing} of {adata.n_obs} spots lie beyond the mask's grid and get no {key_added}", ComouldWarning, 2
        )


def _to_surface(inside: npt.NDArray[np.bool_], grid: Grid, points: FloatArray) -> FloatArray:
    """Distance ``(n,)`` of points to the nearest face of the mask ``(z, y, x)``."""
    places = (grid.index_from_patient(points) * grid.spacing_mm, np.asarray(grid.spacing_mm))
    best = np.full(len(points), np.inf)
    padded = np.pad(inside, 1)
    for axis in range(3):
        steps = np.argwhere(np.diff(padded, axis=2 - axis))[:, ::-1].astype(np.float64) - 1
        steps[:, axis] += 0.5
        best = np.minimum(best, _to_faces(steps * places[1], np.delete(np.arange(3), axis), *places))
    return best


def _to_faces(centres: FloatArray, sides: npt.NDArray[np.intp], places: FloatArray, spacing: FloatArray) -> FloatArray:
    """Distance to the nearest of like faces, each cut into pieces about as long as wide, so that near is nearest."""
    if not len(centres):
        return np.full(len(places), np.inf)
    half = np.zeros(3)
    for side in sides:
        count = int(np.ceil(spacing[side] / spacing.min() - 1e-9))
        half[side] = spacing[side] / count / 2
        offsets = np.zeros((count, 3))
        offsets[:, side] = (np.arange(count) - (count - 1) / 2) * 2 * half[side]
        centres = (centres[:, None] + offsets).reshape(-1, 3)
    few = min(_CANDIDATES, len(centres))
    found = cKDTree(centres).query(places, few, workers=-1)[1].reshape(len(places), few)
    best = np.full(len(places), np.inf)
    for column in found.T:
        beyond = np.maximum(np.abs(places - centres[column]) - half, 0)
        best = np.minimum(best, np.linalg.norm(beyond, axis=1))
    return best

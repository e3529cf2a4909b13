"""Bring maps to spots: which habitat, and which value of a continuous map, each spot lies in."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.associate.support.kernel import Footprint, Kernel, kernel_of
from comould.associate.support.sampling import interpolate, nearest
from comould.errors import ComouldWarning, GeometryError, InputError
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk
    from anndata import AnnData


def sample(
    adata: AnnData,
    habitats: Any,
    *,
    positions: str = "spatial_patient",
    key_added: str = "habitat",
    blur: bool = False,
    footprint_um: Footprint = None,
    psf_mm: npt.ArrayLike | None = None,
) -> None:
    """Write each spot's habitat: the label of its voxel, and the probabilities interpolated between voxels.

    Parameters
    ----------
    adata
        Spots with patient positions; changed in place.
    habitats
        A result of :func:`comould.habitats.fit` (anything with ``labels`` and ``probabilities``), or a label image
        alone (0 outside, 1 to k): its indicators then serve as probabilities.
    positions
        Key of ``obsm`` with ``(n, 3)`` patient mm.
    key_added
        Name of what is written.
    blur
        Average the probabilities over each position's uncertainty, ``obsm[positions + "_sd"]`` (mm along x, y, z, taken
        as normal and independent). Labels are never averaged.
    footprint_um
        Average over the disc a spot covers, in the plane of its section (fitted to the section's spots): its diameter
        in µm, or ``"stated"`` for ``uns["comould"]["spot_diameter_um"]``. It is not guessed from the pitch.
    psf_mm
        Average over the imaging's point spread, Gaussian: its full width at half maximum in mm, one or three along the
        image's axes.

    Returns
    -------
    None
        Written: ``obs[key_added]``, ordered categorical ``"H1"`` … ``"Hk"``, missing outside;
        ``obsm[key_added + "_probability"]``, ``(n, k)``, rows sum to 1, NaN outside;
        ``uns["comould"][key_added]``, what was done and how many spots lie outside.

    Warns
    -----
    ComouldWarning
        If spots lie outside the mask or the grid, with their number: habitats say nothing about them.

    Raises
    ------
    InputError
        If positions are missing or of the wrong shape, or there is no label, or labels and probabilities disagree; if
        the uncertainty or the footprint asked for is not there.

    Notes
    -----
    The average is over 512 points a spot, for disc, point spread and uncertainty together. Against 100,000 random
    points, in habitats of blocks two or three voxels wide, probabilities were off by 0.005 at most for one of the three
    and by 0.015 (root mean square 0.005) for all together. Voxels outside the mask do not enter.
    """
    writable(adata)
    points = positions_of(adata, positions)
    labels, probabilities, grid = _arrays(habitats)
    codes = nearest(labels, grid, points)
    count = int(labels.max())
    inside = codes > 0
    kernel = kernel_of(adata, points, grid.axes, footprint_um, psf_mm, _spread(adata, positions, points, blur=blur))
    weights = np.full((len(points), count), np.nan)
    weights[inside] = interpolate(probabilities, grid, points[inside], kernel.taken(inside))
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1), np.nan)
    names = [f"H{number}" for number in range(1, count + 1)]
    column = pd.Categorical.from_codes((codes - 1).astype(np.intp), categories=pd.Index(names), ordered=True)
    adata.obs[key_added] = column
    adata.obsm[f"{key_added}_probability"] = weights
    record = {"positions": positions, "n_habitats": count, **_kernel_record(kernel, blur=blur, psf_mm=psf_mm)}
    _report(adata, key_added, record, int((~inside).sum()), "the habitat mask")


def sample_map(
    adata: AnnData,
    image: sitk.Image,
    *,
    key_added: str,
    positions: str = "spatial_patient",
    mask: Any = None,
    blur: bool = False,
    footprint_um: Footprint = None,
    psf_mm: npt.ArrayLike | None = None,
) -> None:
    """Write the value of a continuous map at each spot, interpolated linearly between voxels.

    Parameters
    ----------
    adata
        Spots with patient positions; changed in place.
    image
        Three-dimensional, one value a voxel. NaN voxels are taken as no value: a spot near one is interpolated from
        the others around it.
    key_added
        Column of ``obs`` to write, float64; NaN outside.
    positions
        Key of ``obsm`` with ``(n, 3)`` patient mm.
    mask
        Label image on the same grid; spots whose voxel is 0 get NaN, and voxels of 0 do not enter.
    blur, footprint_um, psf_mm
        Average over a spot's surroundings, as in :func:`sample`.

    Returns
    -------
    None
        Written: ``obs[key_added]`` and ``uns["comould"][key_added]``.

    Warns
    -----
    ComouldWarning
        If spots lie outside, with their number.

    Raises
    ------
    InputError
        If positions are missing, or the image is not a scalar volume, or mask and image differ in geometry; if the
        uncertainty or the footprint asked for is not there.
    """
    import SimpleITK as sitk

    writable(adata)
    points = positions_of(adata, positions)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            subject="map",
            expected="a three-dimensional image with one value a voxel",
            found=f"{image.GetDimension()} dimensions, {image.GetNumberOfComponentsPerPixel()} values",
        )
    grid = Grid.from_image(image)
    values = sitk.GetArrayFromImage(image).astype(np.float64)
    valid = np.isfinite(values)
    if mask is not None:
        _same_grid("mask", Grid.from_image(mask), grid)
        valid &= sitk.GetArrayViewFromImage(mask) > 0
    inside = nearest(valid.astype(np.uint8), grid, points) > 0
    stacked = np.stack([np.where(valid, values, 0.0), valid.astype(np.float64)], axis=-1)
    kernel = kernel_of(adata, points, grid.axes, footprint_um, psf_mm, _spread(adata, positions, points, blur=blur))
    sampled = interpolate(stacked, grid, points[inside], kernel.taken(inside))
    column = np.full(len(points), np.nan)
    column[inside] = sampled[:, 0] / sampled[:, 1]
    adata.obs[key_added] = column
    record = {"positions": positions, **_kernel_record(kernel, blur=blur, psf_mm=psf_mm)}
    _report(adata, key_added, record, int((~inside).sum()), "the map")


def positions_of(adata: AnnData, key: str, columns: tuple[int, ...] = (3,)) -> FloatArray:
    """Fetch positions ``(n, 3)`` patient mm; rows with NaN are spots without one.

    Raises
    ------
    InputError
        If they are absent or of another shape.
    """
    if key not in adata.obsm:
        raise InputError(
            subject=f'spot positions obsm["{key}"]',
            expected="patient positions (n, 3) in mm",
            found=f"only {', '.join(sorted(adata.obsm)) or 'none'}",
            remedy="Register the sections and run comould.register.map_spots first",
        )
    points = np.asarray(adata.obsm[key], dtype=np.float64)
    if points.ndim != 2 or points.shape[1] not in columns:
        raise InputError(
            subject=f'spot positions obsm["{key}"]',
            expected="three columns: patient x, y, z in mm",
            found=f"shape {points.shape}",
            remedy="Register the sections and run comould.register.map_spots first",
        )
    return points


def writable(adata: AnnData) -> None:
    """Refuse a view, whose changes would not reach the table it was taken from."""
    if adata.is_view:
        raise InputError(
            subject="spots", expected="a table of its own", found="a view of another", remedy="Give adata.copy()"
        )


def label_volume(habitats: Any) -> tuple[npt.NDArray[np.integer], Grid]:
    """Take the labels ``(z, y, x)`` of a result of :func:`comould.habitats.fit` or of a label image, and their grid.

    Raises
    ------
    InputError
        If it is neither, or labels are not whole numbers from 0 to 255 with at least one above 0.
    """
    import SimpleITK as sitk

    image = getattr(habitats, "labels", habitats)
    if not isinstance(image, sitk.Image) or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            subject="habitats", expected="a result of habitats.fit or a label image", found=type(image).__name__
        )
    grid = Grid.from_image(image)
    labels = sitk.GetArrayFromImage(image)
    if not np.issubdtype(labels.dtype, np.integer):
        rounded = np.nan_to_num(labels)
        if not np.array_equal(rounded, np.round(rounded)):
            raise InputError(
                subject="habitat labels",
                expected="whole numbers",
                found=f"{labels.dtype} values",
                remedy="Use sample_map for a continuous map",
            )
        labels = rounded.astype(np.int64)
    if labels.min() < 0 or labels.max() < 1 or labels.max() > 255:
        raise InputError(
            subject="habitat labels",
            expected="0 outside and 1 to k inside (k at most 255)",
            found=f"{labels.min()} to {labels.max()}",
        )
    return labels, grid


def _arrays(habitats: Any) -> tuple[npt.NDArray[np.integer], FloatArray, Grid]:
    import SimpleITK as sitk

    labels, grid = label_volume(habitats)
    count = int(labels.max())
    given = getattr(habitats, "probabilities", None)
    if given is None:
        return labels, (labels[..., None] == np.arange(1, count + 1)).astype(np.float64), grid
    _same_grid("habitat probabilities", Grid.from_image(given), grid)
    probabilities = sitk.GetArrayFromImage(given).astype(np.float64)
    probabilities = probabilities[..., None] if probabilities.ndim == 3 else probabilities
    if probabilities.shape[-1] != count:
        raise InputError(
            subject="habitat probabilities",
            expected=f"{count} components, one a label",
            found=f"{probabilities.shape[-1]}",
        )
    return labels, np.where(labels[..., None] > 0, np.nan_to_num(probabilities), 0.0), grid


def _same_grid(subject: str, found: Grid, expected: Grid) -> None:
    if difference := expected.difference(found):
        raise GeometryError(subject=subject, expected="the grid of the labels or map", found=difference)


def _spread(adata: AnnData, positions: str, points: FloatArray, *, blur: bool) -> FloatArray | None:
    if not blur:
        return None
    key = f"{positions}_sd"
    found = np.asarray(adata.obsm[key], dtype=np.float64) if key in adata.obsm else None
    if found is None or found.shape != points.shape or (found < 0).any():
        raise InputError(
            subject=f'position uncertainty obsm["{key}"]',
            expected="standard deviations (n, 3) in mm",
            found="none" if found is None else f"shape {found.shape} or negative values",
            remedy="Run comould.register.map_spots, or sample without blur",
        )
    return np.nan_to_num(found)


def _kernel_record(kernel: Kernel, *, blur: bool, psf_mm: npt.ArrayLike | None) -> dict[str, Any]:
    record: dict[str, Any] = {"blur": blur, "footprint_um": 2000.0 * kernel.radius_mm, "n_nodes": kernel.n_nodes}
    if psf_mm is not None:
        record["psf_mm"] = np.asarray(psf_mm, dtype=np.float64)
    return record


def _report(adata: AnnData, key: str, record: dict[str, Any], n_outside: int, of_what: str) -> None:
    note = dict(adata.uns.get("comould", {}))
    note[key] = {**record, "n_outside": n_outside, "n_spots": int(adata.n_obs)}
    adata.uns["comould"] = note
    if n_outside:
        warnings.warn(
            f"{n_outside} of {adata.n_obs} spots lie outside {of_what} and get no {key}", ComouldWarning, stacklevel=3
        )

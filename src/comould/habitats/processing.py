"""From image and mask to the region that is measured: interpolation, rounding, re-segmentation as IBSI defines them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.habitats.inputs import Aligned, align, mask_indices
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

PEAK_RADIUS_MM = 10.0 * (3.0 / (4.0 * math.pi)) ** (1.0 / 3.0)
"""Radius of a sphere of 1 cm³."""
PARTIAL_VOLUME = 0.5
"""A voxel of the new grid is in the mask from this share of it on."""
_HAIR = 1e-6


@dataclass(frozen=True)
class Processing:
    """How an image is brought to the state that is measured.

    Parameters
    ----------
    spacing_mm
        New voxel spacing: one for all axes, or one each for i, j, k (``None`` among them keeps that axis' own). Without
        it nothing is interpolated.
    interpolator
        Of intensities: ``"linear"``, ``"nearest"`` or ``"cubic"`` (B-spline). Masks are interpolated linearly.
    round_intensities
        Round to whole numbers after interpolation, as befits HU.
    intensity_range
        Re-segmentation (USB3): intensities outside ``(low, high)`` leave the intensity mask, not the morphological one.
        Either may be ``None``.
    outlier_sd
        Re-segmentation (7ACA): intensities further than so many standard deviations from the mean leave it too.

    Raises
    ------
    InputError
        For settings out of range.

    References
    ----------
    IBSI reference manual, arXiv:1612.07003, chapter 2.
    """

    spacing_mm: float | Sequence[float | None] | None = None
    interpolator: Literal["linear", "nearest", "cubic"] = "linear"
    round_intensities: bool = False
    intensity_range: tuple[float | None, float | None] | None = None
    outlier_sd: float | None = None

    def __post_init__(self) -> None:
        problems = []
        spacing = [s for s in _three(self.spacing_mm) if s is not None]
        if not all(np.isfinite(s) and s > 0 for s in spacing) or len(_three(self.spacing_mm)) != 3:
            problems.append(f"spacing_mm {self.spacing_mm} is not a positive length, or three")
        if self.interpolator not in {"linear", "nearest", "cubic"}:
            problems.append(f"interpolator {self.interpolator!r} is none of 'linear', 'nearest', 'cubic'")
        low, high = self.bounds
        if not low < high:
            problems.append(f"intensity_range {self.intensity_range} is empty")
        if self.outlier_sd is not None and not self.outlier_sd > 0:
            problems.append(f"outlier_sd {self.outlier_sd} is not positive")
        if problems:
            raise InputError.collect(subject="image processing", problems=problems)

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest intensity that is kept, infinite where free."""
        low, high = self.intensity_range or (None, None)
        return -math.inf if low is None else float(low), math.inf if high is None else float(high)

    @property
    def lowest(self) -> float | None:
        """The lower bound of re-segmentation, where fixed bins begin; ``None`` without one."""
        low = self.bounds[0]
        return low if math.isfinite(low) else None


@dataclass(frozen=True, eq=False)
class Region:
    """One image in one region, ready to be measured.

    Parameters
    ----------
    aligned
        The morphological mask's voxels and their intensities, under the name ``name``.
    name
        The image's name.
    kept
        ``(n,)`` bool: voxels of the intensity mask, by re-segmentation.
    around
        ``(k, j, i)`` intensities of the mask's box and what lies within the radius of a 1 cm³ sphere of it; NaN where
        there is no image.
    margin_idx
        ``(3,)`` voxels (k, j, i) by which ``around`` is larger than the box on its low side.
    """

    aligned: Aligned
    name: str
    kept: npt.NDArray[np.bool_]
    around: FloatArray
    margin_idx: npt.NDArray[np.int64]

    @property
    def intensities(self) -> FloatArray:
        """Intensities in the intensity mask."""
        return self.aligned.intensities[self.name][self.kept]

    @property
    def spacing_kji_mm(self) -> FloatArray:
        """Voxel spacing in array order."""
        return np.array(self.aligned.grid.spacing_mm[::-1])


def process(
    image: sitk.Image, mask: sitk.Image, processing: Processing, *, name: str = "image"
) -> tuple[sitk.Image, sitk.Image, sitk.Image]:
    """Interpolate, round and re-segment, for maps of what :func:`comould.habitats.region_features` would measure.

    Parameters
    ----------
    image
        Scalar 3-D image; on another grid than the mask's it is interpolated to it.
    mask
        One label.
    processing
        What is done.
    name
        The image's name, for messages.

    Returns
    -------
    tuple of SimpleITK.Image
        The image (float64), the morphological and the intensity mask (uint8), on the part of the grid around the mask
        when interpolated. Give the intensity mask to :func:`comould.habitats.feature_maps`.

    Raises
    ------
    InputError
        For what :func:`comould.habitats.inputs.align` refuses, and when processing leaves no voxel.
    """
    region, image = _measured(image, mask, processing, name)
    aligned = region.aligned
    masks = [aligned.image(inside.astype(np.uint8), 0) for inside in (np.ones_like(region.kept), region.kept)]
    if aligned.grid.difference(Grid.from_image(image)):
        image = _image_on(image, aligned.grid, processing.interpolator)
    import SimpleITK as sitk

    return sitk.Cast(image, sitk.sitkFloat64), masks[0], masks[1]


def region_of(image: sitk.Image, mask: sitk.Image, processing: Processing, *, name: str = "image") -> Region:
    """Interpolate, round and re-segment; parameters and errors are those of :func:`process`."""
    return _measured(image, mask, processing, name)[0]


def _measured(image: sitk.Image, mask: sitk.Image, processing: Processing, name: str) -> tuple[Region, sitk.Image]:
    if processing.spacing_mm is not None:
        grid = regrid(Grid.from_image(mask), processing.spacing_mm)
        mask = _mask_on(mask, grid)
        image = _image_on(image, Grid.from_image(mask), processing.interpolator)
    if processing.round_intensities:
        image = _rounded(image)
    aligned = align({name: image}, mask)
    kept = _kept(aligned.intensities[name], processing, name)
    around, margin = _around(image, aligned)
    return Region(aligned, name, kept, around, margin), image


def regrid(grid: Grid, spacing_mm: float | Sequence[float | None]) -> Grid:
    """Lay a grid of another spacing over the same field of view, both centred on one point.

    Raises
    ------
    InputError
        If the spacing is not positive.

    References
    ----------
    IBSI reference manual, chapter 2.4 ("align grid centres", 3WE3).
    """
    own = np.array(grid.spacing_mm)
    new = np.array([o if n is None else float(n) for n, o in zip(_three(spacing_mm), own, strict=True)])
    size = np.ceil(np.array(grid.size) * own / new - _HAIR).astype(int)
    shift_mm = 0.5 * ((np.array(grid.size) - 1) * own - (size - 1) * new)
    origin = grid.patient_from_index(shift_mm / own)[0]
    return Grid(tuple(size.tolist()), tuple(new.tolist()), tuple(origin.tolist()), grid.direction)


def _three(spacing_mm: float | Sequence[float | None] | None) -> list[float | None]:
    if spacing_mm is None or isinstance(spacing_mm, int | float):
        return [spacing_mm] * 3
    return list(spacing_mm)


def _mask_on(mask: sitk.Image, grid: Grid) -> sitk.Image:
    """Bring the mask to the part of a new grid around it."""
    import SimpleITK as sitk

    low, high = _box_on(mask, grid)
    part = Grid(
        tuple((high - low + 1).tolist()),
        grid.spacing_mm,
        tuple(grid.patient_from_index(low)[0].tolist()),
        grid.direction,
    )
    share = _resampled(sitk.Cast(mask != 0, sitk.sitkFloat64), part, sitk.sitkLinear)
    moved = share >= PARTIAL_VOLUME - _HAIR
    if not sitk.GetArrayViewFromImage(moved).any():
        found = f"none of the mask at {grid.spacing_mm} mm"
        raise InputError(
            subject="mask", expected="voxels left after interpolation", found=found, remedy="Use a finer one"
        )
    return moved


def _box_on(mask: sitk.Image, grid: Grid) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last voxel (i, j, k) of the new grid around the mask, with the margin that intensity peaks need."""
    inside = mask_indices(mask)[:, ::-1]
    corners = np.stack([inside.min(axis=0) - 1.0, inside.max(axis=0) + 1.0])
    placed = grid.index_from_patient(Grid.from_image(mask).patient_from_index(corners))
    margin = np.ceil(PEAK_RADIUS_MM / np.array(grid.spacing_mm)) + 1
    low = np.maximum(np.floor(placed.min(axis=0)) - margin, 0).astype(np.int64)
    high = np.minimum(np.ceil(placed.max(axis=0)) + margin, np.array(grid.size) - 1).astype(np.int64)
    return low, high


def _image_on(image: sitk.Image, grid: Grid, interpolator: str) -> sitk.Image:
    import SimpleITK as sitk

    kinds = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "cubic": sitk.sitkBSpline}
    return _resampled(sitk.Cast(image, sitk.sitkFloat64), grid, kinds[interpolator])


def _resampled(image: sitk.Image, grid: Grid, kind: int) -> sitk.Image:
    """Interpolate; beyond the outer voxel centres the nearest value goes on, for half a voxel of the new grid."""
    import SimpleITK as sitk

    resample = sitk.ResampleImageFilter()
    resample.SetReferenceImage(grid.to_image())
    resample.SetInterpolator(kind)
    resample.SetOutputPixelType(sitk.sitkFloat64)
    resample.UseNearestNeighborExtrapolatorOn()
    return resample.Execute(image)


def _rounded(image: sitk.Image) -> sitk.Image:
    import SimpleITK as sitk

    array = sitk.GetArrayViewFromImage(image).astype(np.float64)
    return Grid.from_image(image).to_image(np.floor(array + 0.5))


def _kept(values: FloatArray, processing: Processing, name: str) -> npt.NDArray[np.bool_]:
    low, high = processing.bounds
    kept = (values >= low) & (values <= high)
    if processing.outlier_sd is not None and kept.any():
        mean, sd = float(values[kept].mean()), float(values[kept].std())
        kept &= np.abs(values - mean) <= processing.outlier_sd * sd
    if not kept.any():
        raise InputError(
            subject=f"re-segmentation of image {name!r}",
            expected=f"intensities within {low:g} to {high:g}",
            found=f"{values.min():g} to {values.max():g}",
            remedy="Widen the range",
        )
    return kept


def _around(image: sitk.Image, aligned: Aligned) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Intensities of the mask's box and its surroundings, and the margin on the low side."""
    import SimpleITK as sitk

    grid = aligned.grid
    margin = np.floor(PEAK_RADIUS_MM / np.array(grid.spacing_mm[::-1]) + _HAIR).astype(np.int64)
    low, high = aligned.low_idx - margin, aligned.low_idx + np.array(aligned.box) - 1 + margin
    if not grid.difference(Grid.from_image(image)):
        array = sitk.GetArrayViewFromImage(image)
        low_in = np.maximum(low, 0)
        cut = array[tuple(slice(a, b + 1) for a, b in zip(low_in, high, strict=True))].astype(np.float64)
        return cut, aligned.low_idx - low_in
    size = tuple((high - low + 1)[::-1].tolist())
    part = Grid(size, grid.spacing_mm, tuple(grid.patient_from_index(low[::-1])[0].tolist()), grid.direction)
    moved = sitk.Resample(image, part.to_image(), sitk.Transform(), sitk.sitkLinear, float("nan"), sitk.sitkFloat64)
    return sitk.GetArrayFromImage(moved), margin

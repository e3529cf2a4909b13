"""Bring images and mask to one grid, and refuse what cannot be compared."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

LEAST_COVERED = 0.5
"""Least fraction of the mask that every image must cover."""


@dataclass(frozen=True, eq=False)
class Aligned:
    """Values of every image at the mask's voxels.

    Parameters
    ----------
    grid
        The mask's grid.
    mask_idx
        ``(n, 3)`` voxel indices (k, j, i) that every image covers, in array order.
    intensities
        Image name → ``(n,)`` float64.
    resampled
        Image name → how its grid differed; only images that were resampled.
    n_uncovered
        Voxels of the mask that some image does not cover, left out.
    """

    grid: Grid
    mask_idx: npt.NDArray[np.int64]
    intensities: dict[str, FloatArray]
    resampled: dict[str, str]
    n_uncovered: int = 0

    @property
    def low_idx(self) -> npt.NDArray[np.int64]:
        """First corner (k, j, i) of the mask's box."""
        return self.mask_idx.min(axis=0)

    @property
    def box(self) -> tuple[int, int, int]:
        """Shape (k, j, i) of the mask's box."""
        k, j, i = self.mask_idx.max(axis=0) - self.low_idx + 1
        return int(k), int(j), int(i)

    def in_box(self, values: npt.NDArray) -> npt.NDArray:
        """Put ``(n, …)`` values into the mask's box, zero outside the mask."""
        array = np.zeros((*self.box, *values.shape[1:]), dtype=values.dtype)
        array[tuple((self.mask_idx - self.low_idx).T)] = values
        return array

    def image(self, values: npt.NDArray, outside: float) -> sitk.Image:
        """Put ``(n,)`` or ``(n, c)`` values on the whole grid."""
        array = np.full((*self.grid.shape, *values.shape[1:]), outside, dtype=values.dtype)
        array[tuple(self.mask_idx.T)] = values
        return self.grid.to_image(array)


def align(
    images: Mapping[str, sitk.Image] | Sequence[sitk.Image], mask: sitk.Image, *, constant_ok: bool = False
) -> Aligned:
    """Read every image at the voxels of the mask, resampling (linear, once) those on another grid.

    Parameters
    ----------
    images
        Scalar 3-D images by name, or a sequence (named ``image1``, ``image2`` …).
    mask
        One label: non-zero is inside.
    constant_ok
        Accept images that do not vary within the mask.

    Raises
    ------
    InputError
        For empty or many-labelled masks, no images, vector or 4-D images, NaN or infinite or constant values in the
        mask, and images that cover less than half of the mask.

    Warns
    -----
    ComouldWarning
        When an image is resampled, or part of the mask is left out because an image does not cover it.

    Notes
    -----
    No low-pass filter is applied before resampling to a coarser grid.
    """
    named = named_images(images)
    grid = _grid(mask, "mask")
    inside_idx = mask_indices(mask)
    points_mm = grid.patient_from_index(inside_idx[:, ::-1])
    covered = np.ones(len(inside_idx), dtype=bool)
    found = {name: _values(name, image, grid, inside_idx, points_mm) for name, image in named.items()}
    for _, inside, _ in found.values():
        covered &= inside
    _check_covered(covered)
    resampled = {name: how for name, (_, _, how) in found.items() if how}
    values = {name: numbers[covered] for name, (numbers, _, _) in found.items()}
    _check_values(values, constant_ok=constant_ok)
    for name, how in resampled.items():
        warnings.warn(f"image {name!r} was resampled (linear) to the mask's grid: {how}", ComouldWarning, stacklevel=3)
    missing = int((~covered).sum())
    if missing:
        message = f"{missing} of {len(covered)} voxels of the mask are left out: not covered by every image"
        warnings.warn(message, ComouldWarning, stacklevel=3)
    return Aligned(grid, inside_idx[covered], values, resampled, missing)


def mask_indices(mask: sitk.Image) -> npt.NDArray[np.int64]:
    """Voxel indices ``(n, 3)``, (k, j, i), of a mask of one label.

    Raises
    ------
    InputError
        If the mask is empty, holds several labels or values that are not finite, or is no scalar 3-D image.
    """
    import SimpleITK as sitk

    _grid(mask, "mask")
    array = sitk.GetArrayViewFromImage(mask)
    inside = array != 0
    if not inside.any():
        raise InputError(subject="mask", expected="voxels inside", found="none", remedy="Choose the right label or ROI")
    labels = np.unique(array[inside])
    if len(labels) > 1:
        shown = ", ".join(f"{label:g}" for label in labels[:6].tolist()) + (" …" if len(labels) > 6 else "")
        raise InputError(
            subject="mask", expected="one label", found=f"labels {shown}", remedy="Choose one: mask == label"
        )
    return np.argwhere(inside).astype(np.int64)


def without_voxels(aligned: Aligned, keep: npt.NDArray[np.bool_]) -> Aligned:
    """Keep only some of the voxels."""
    values = {name: numbers[keep] for name, numbers in aligned.intensities.items()}
    return replace(aligned, mask_idx=aligned.mask_idx[keep], intensities=values)


def named_images(images: Mapping[str, sitk.Image] | Sequence[sitk.Image]) -> dict[str, sitk.Image]:
    """Give every image of a request a name (``image1``, ``image2`` … in a list).

    Raises
    ------
    InputError
        If there is none, or a name is empty or holds a slash.
    """
    if isinstance(images, Mapping):
        named = {str(name): image for name, image in images.items()}
    elif isinstance(images, list | tuple):
        named = {f"image{n}": image for n, image in enumerate(images, start=1)}
    else:
        raise InputError(
            subject="images", expected="a mapping of names to images, or a list of images", found=type(images).__name__
        )
    if not named:
        raise InputError(subject="images", expected="at least one", found="none")
    bad = [name for name in named if "/" in name or not name.strip()]
    if bad:
        raise InputError(subject=f"image name {bad[0]!r}", expected="a name without '/'", found=repr(bad[0]))
    return named


def _grid(image: sitk.Image, subject: str) -> Grid:
    import SimpleITK as sitk

    if not isinstance(image, sitk.Image):
        raise InputError(
            subject=subject, expected="a SimpleITK image", found=type(image).__name__, remedy="comould.io.read_image"
        )
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            subject=subject,
            expected="one number per voxel",
            found=f"{image.GetNumberOfComponentsPerPixel()}",
            remedy="Take one component",
        )
    try:
        return Grid.from_image(image)
    except GeometryError as error:
        raise GeometryError(
            subject=f"{subject} ({error.subject})", expected=error.expected, found=error.found, remedy=error.remedy
        ) from error


def _values(
    name: str, image: sitk.Image, grid: Grid, inside_idx: npt.NDArray[np.int64], points_mm: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.bool_], str]:
    """Values at the mask's voxels, which of them the image covers, and how its grid differs."""
    import SimpleITK as sitk

    own = _grid(image, f"image {name!r}")
    how = grid.difference(own)
    if not how:
        array = sitk.GetArrayViewFromImage(image)
        return array[tuple(inside_idx.T)].astype(np.float64), np.ones(len(inside_idx), dtype=bool), ""
    covered = own.contains(points_mm)
    if covered.mean() < LEAST_COVERED:
        raise InputError(
            subject=f"image {name!r}",
            expected="it to cover the mask",
            found=f"{covered.mean():.0%} of the mask's voxels inside the image",
            remedy="Check that both are of the same patient and frame of reference, and register them first",
        )
    low, high = inside_idx.min(axis=0), inside_idx.max(axis=0)
    box = Grid(
        tuple((high - low + 1)[::-1].tolist()),
        grid.spacing_mm,
        tuple(grid.patient_from_index(low[::-1])[0].tolist()),
        grid.direction,
    )
    moved = sitk.Resample(image, box.to_image(), sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat64)
    return sitk.GetArrayViewFromImage(moved)[tuple((inside_idx - low).T)].astype(np.float64), covered, how


def _check_covered(covered: npt.NDArray[np.bool_]) -> None:
    if covered.mean() < LEAST_COVERED:
        raise InputError(
            subject="images",
            expected="a common part of the mask covered by all of them",
            found=f"{covered.mean():.0%} of its voxels",
            remedy="Leave out the image that covers least",
        )


def _check_values(values: dict[str, FloatArray], *, constant_ok: bool) -> None:
    for name, numbers in values.items():
        bad = int((~np.isfinite(numbers)).sum())
        if bad:
            raise InputError(
                subject=f"image {name!r}",
                expected="finite intensities in the mask",
                found=f"{bad} voxels with NaN or infinity",
                remedy="Repair the image or take these voxels out of the mask",
            )
        if len(numbers) > 1 and not constant_ok and numbers.min() == numbers.max():
            raise InputError(
                subject=f"image {name!r}",
                expected="intensities that vary within the mask",
                found=f"{numbers[0]:g} everywhere",
                remedy="Leave the image out",
            )

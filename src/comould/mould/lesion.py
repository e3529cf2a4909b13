"""From a label image to the one lesion a mould is built round: checks, specks, choice."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.mould.storage import aligned, canonical
from comould.space import FloatArray, Grid, anatomical_letter

if TYPE_CHECKING:
    import SimpleITK as sitk

BoolArray = npt.NDArray[np.bool_]

SPECK_FRACTION = 0.01
"""Parts below this share of the largest one are specks: drawing slips, not lesions."""

_SIDES = {"R": "right", "L": "left", "A": "anterior", "P": "posterior", "S": "superior", "I": "inferior"}
_FULL = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Lesion:
    """The mask of what will lie in the mould.

    Parameters
    ----------
    mask
        ``(z, y, x)`` bool on ``grid``.
    grid
        Where its voxels are; in one order of axes for every storage order, see :mod:`comould.mould.storage`.
    parts
        Connected parts kept.
    specks
        Connected parts dropped.
    stored
        The grid as stored (right-handed), whose k counts the image's slices; ``None`` when it is ``grid``.
    """

    mask: BoolArray
    grid: Grid
    parts: int
    specks: int
    stored: Grid | None = None

    @property
    def volume_ml(self) -> float:
        """Voxel count times voxel volume."""
        return float(self.mask.sum()) * self.grid.voxel_ml

    def crop(self, margin: tuple[int, int, int]) -> tuple[BoolArray, FloatArray]:
        """Cut the mask to its bounding box plus a margin of voxels (padded where the image ends).

        Parameters
        ----------
        margin
            Voxels to add on each side along i, j, k.

        Returns
        -------
        tuple
            The ``(z, y, x)`` mask and the ``(4, 4)`` matrix ``patient_from_index`` of the crop.
        """
        box = ndi.find_objects(self.mask.astype(np.uint8))[0]
        pad = tuple((m, m) for m in margin[::-1])
        low = np.array([part.start for part in box])[::-1] - np.array(margin)
        matrix = self.grid.matrix.copy()
        matrix[:3, 3] = self.grid.patient_from_index(low)[0]
        return np.pad(self.mask[box], pad), matrix

    def holds(self, points_mm: FloatArray) -> BoolArray:
        """Tell which patient points ``(n, 3)`` lie in a voxel of the mask."""
        index = np.rint(self.grid.index_from_patient(points_mm)).astype(np.intp)
        within = np.all((index >= 0) & (index < self.grid.size), axis=1)
        held = np.zeros(len(index), dtype=bool)
        held[within] = self.mask[tuple(index[within, ::-1].T)]
        return held

    def points_mm(self) -> FloatArray:
        """Patient positions ``(n, 3)`` of the voxel centres."""
        return self.grid.patient_from_index(np.argwhere(self.mask)[:, ::-1])


def select_lesion(mask: sitk.Image, lesion: str | int | None = None) -> sitk.Image:
    """Keep one lesion (or all) of a label image.

    Parameters
    ----------
    mask
        Label image with values 0 and one other.
    lesion
        ``"largest"``, ``"all"``, or a 1-based rank by size; ``None`` is right when there is only one.

    Returns
    -------
    sitk.Image
        uint8, 0/1, on the same grid (its right-handed reordering where it is left-handed).

    Raises
    ------
    InputError
        If the mask is empty or has several labels, if it holds two or more lesions and ``lesion`` does not say which,
        or if it names none of them.

    Warns
    -----
    ComouldWarning
        If specks (parts below 1 % of the largest) were dropped, or the image is stored left-handed.
    """
    chosen = find_lesion(mask, lesion)
    if chosen.stored is None:
        return chosen.grid.to_image(chosen.mask)
    return chosen.stored.to_image(canonical(chosen.stored).inverse.of_array(chosen.mask))


def find_lesion(mask: sitk.Image, lesion: str | int | None = None) -> Lesion:
    """Check a label image and choose the lesion; see :func:`select_lesion`."""
    import SimpleITK as sitk

    if mask.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            subject="segmentation", expected="one value per voxel", found=f"{mask.GetNumberOfComponentsPerPixel()}"
        )
    upright = _upright(mask)
    stored = Grid.from_image(upright)
    inside = _binary(sitk.GetArrayViewFromImage(upright))
    turn = canonical(stored)
    grid = stored
    if not turn.kept:
        grid, inside = turn.of_grid(stored), turn.of_array(inside)
    labels, count = ndi.label(inside, structure=_FULL)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    # By size, then by position of the first voxel: the rank does not depend on anything else.
    order = np.argsort(-sizes, kind="stable")
    real = [int(n) for n in order if sizes[n] >= SPECK_FRACTION * sizes[order[0]]]
    specks = count - len(real)
    if specks:
        dropped = float(sum(sizes) - sum(sizes[real])) * grid.voxel_ml
        warnings.warn(
            f"segmentation: {specks} speck{'s' if specks > 1 else ''} below {SPECK_FRACTION:.0%} of the largest part "
            f"dropped ({dropped:.3g} ml in all)",
            ComouldWarning,
            stacklevel=3,
        )
    keep = _choose(real, sizes.astype(np.float64) * grid.voxel_ml, lesion)
    kept = np.zeros(count + 1, dtype=bool)
    kept[np.array(keep) + 1] = True
    return Lesion(kept[labels], grid, len(keep), specks, None if turn.kept else stored)


def check_fits_image(lesion: Lesion, image: sitk.Image | None) -> None:
    """Refuse a lesion cut off by the image border, too thin to mould, or drawn on another grid than ``image``.

    Raises
    ------
    GeometryError
        With the sides, sizes or differences found.
    """
    if image is not None and (difference := _difference(image, lesion.stored or lesion.grid)):
        raise GeometryError(
            subject="segmentation and image",
            expected="the same grid",
            found=difference,
            remedy="Draw the segmentation on this image, or resample it to it (nearest neighbour)",
        )
    if sides := _sides_touched(lesion):
        larger = "Use an image with a larger field of view, or add empty slices if the drawing is complete"
        raise GeometryError(
            subject="segmentation",
            expected="background all round the lesion",
            found=f"it touches the image border at the {', '.join(sides)} side{'s' if len(sides) > 1 else ''}: "
            "the lesion may be cut off",
            remedy=larger
            if image is not None
            else f"Give the image it was drawn on (--image): a DICOM SEG may store drawn slices only. Else: {larger}",
        )
    box = ndi.find_objects(lesion.mask.astype(np.uint8))[0]
    extent = np.array([part.stop - part.start for part in box])[::-1]
    extent_mm = extent * np.array(lesion.grid.spacing_mm)
    if extent.min() < 2 or np.sort(extent)[1] < 3:
        raise GeometryError(
            subject="segmentation",
            expected="at least 2 voxels along every axis and 3 along two of them",
            found=f"{' × '.join(map(str, extent))} voxels ({' × '.join(f'{mm:.3g}' for mm in extent_mm)} mm)",
            remedy="A mould needs a body, not a sliver: check the drawing or its slice spacing",
        )


def _upright(mask: sitk.Image) -> sitk.Image:
    """Reorder a left-handed image in memory: SimpleITK states where each voxel lies, whatever its storage order."""
    from comould.io import right_handed

    upright = right_handed(mask)
    if upright is not mask:
        warnings.warn(
            "segmentation: stored left-handed (determinant −1); its rows were turned round together with their "
            "direction, which moves no voxel in the patient. A script that swapped axes leaves such a matrix too: "
            "check left and right on the mould's letters",
            ComouldWarning,
            stacklevel=4,
        )
    return upright


def _difference(image: sitk.Image, grid: Grid) -> str:
    """Say how an image's voxels lie elsewhere than a grid's; the order they are stored in does not count."""
    from comould.io import right_handed

    other = Grid.from_image(right_handed(image))
    return other.difference(grid) and aligned(other, grid).difference(grid)


def _binary(array: npt.NDArray[np.generic]) -> BoolArray:
    values = np.unique(array)
    if not np.isfinite(values.astype(np.float64)).all():
        raise InputError(subject="segmentation", expected="labels", found="NaN or infinite voxels")
    labels = values[values != 0]
    if labels.size == 0:
        raise InputError(
            subject="segmentation",
            expected="a drawn lesion",
            found="an empty mask",
            remedy="Choose the right structure with --roi",
        )
    if labels.size > 1:
        listed = ", ".join(f"{float(v):g}" for v in labels[:6]) + (", …" if labels.size > 6 else "")
        raise InputError(
            subject="segmentation",
            expected="one label besides 0",
            found=f"{labels.size} labels ({listed})",
            remedy="Read one of them: read_segmentation(path, roi=label) or --roi",
        )
    return np.asarray(array != 0)


def _choose(real: list[int], volumes_ml: FloatArray, lesion: str | int | None) -> list[int]:
    text = "" if lesion is None else str(lesion).strip().lower()
    if not text and len(real) == 1:
        return real
    listed = ", ".join(f"{rank}: {volumes_ml[n]:.3g} ml" for rank, n in enumerate(real[:8], 1))
    listed += ", …" if len(real) > 8 else ""
    if text == "all":
        return real
    if text == "largest":
        return real[:1]
    if text.isdecimal() and 1 <= int(text) <= len(real):
        return [real[int(text) - 1]]
    raise InputError(
        subject="segmentation" if not text else f"lesion {lesion!r}",
        expected="one lesion" if not text else f"'largest', 'all' or a rank from 1 to {len(real)}",
        found=f"{len(real)} lesion{'s' if len(real) > 1 else ''} ({listed})",
        remedy="Choose with lesion='largest', 'all' or the rank (--lesion)" if not text else "",
    )


def _sides_touched(lesion: Lesion) -> list[str]:
    sides = []
    for axis in range(3):
        along = np.moveaxis(lesion.mask, 2 - axis, 0)
        for plane, sign in ((along[0], -1.0), (along[-1], 1.0)):
            if plane.any():
                sides.append(_SIDES[anatomical_letter(sign * lesion.grid.axes[:, axis])])
    return sides

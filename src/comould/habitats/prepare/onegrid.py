"""Several images on one grid: each resampled at most once, and told where it has nothing to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from comould.errors import InputError
from comould.habitats.inputs import _grid, mask_indices, named_images
from comould.habitats.prepare._inside import checked
from comould.space import Grid

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

Interpolator = Literal["linear", "nearest", "cubic"]


@dataclass(frozen=True, eq=False)
class OneGrid:
    """Images on one grid.

    Parameters
    ----------
    images
        Name → float64 image; NaN where the original has no voxel.
    coverage
        uint8: how many of the images cover each voxel.
    table
        One row per image: ``resampled``, ``difference`` (how its grid differed, in words), ``interpolator``,
        ``covered_fraction`` of the grid, and ``coarsening``: the largest ratio of the new voxel's side to the old
        one's, above 1 where detail is lost (no low-pass filter is applied).
    """

    images: dict[str, sitk.Image]
    coverage: sitk.Image
    table: pd.DataFrame

    def covered(self, mask: sitk.Image) -> sitk.Image:
        """Take what some image does not cover out of a mask on this grid.

        Raises
        ------
        InputError
            If the mask is on another grid, or nothing of it is left.
        """
        import SimpleITK as sitk

        grid = Grid.from_image(self.coverage)
        found = grid.difference(_grid(mask, "mask"))
        if found:
            raise InputError(subject="mask", expected="the grid of the images", found=found)
        idx = mask_indices(mask)
        whole = sitk.GetArrayFromImage(self.coverage) == len(self.images)
        kept = np.zeros(grid.shape, dtype=np.uint8)
        kept[tuple(idx.T)] = whole[tuple(idx.T)]
        if not kept.any():
            raise InputError(
                subject="mask",
                expected="a part that every image covers",
                found="none",
                remedy="Leave out the image that covers least",
            )
        return grid.to_image(kept)


def on_one_grid(
    images: Mapping[str, sitk.Image] | Sequence[sitk.Image],
    onto: sitk.Image,
    *,
    interpolator: Interpolator = "linear",
) -> OneGrid:
    """Bring images to the grid of one of them, or of a mask.

    Parameters
    ----------
    images
        Scalar 3-D images by name, or a list, in one patient frame (registered).
    onto
        Image or mask whose grid is wanted.
    interpolator
        ``"linear"``, ``"nearest"`` or ``"cubic"`` (B-spline, overshoots at edges).

    Returns
    -------
    OneGrid

    Raises
    ------
    InputError
        If an image does not overlap the grid, is 4-D or a vector image, or the interpolator is unknown.
    """
    import pandas as pd
    import SimpleITK as sitk

    kinds = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "cubic": sitk.sitkBSpline}
    if interpolator not in kinds:
        raise InputError(subject="interpolator", expected=f"one of {', '.join(kinds)}", found=repr(interpolator))
    named = named_images(images)
    grid = _grid(onto, "grid to resample onto")
    coverage = np.zeros(grid.shape, dtype=np.uint8)
    made: dict[str, sitk.Image] = {}
    rows = []
    for name, image in named.items():
        own, array = checked(image, f"image {name!r}")
        how = grid.difference(own)
        covered = np.ones(grid.shape, dtype=bool)
        if how:
            ones = own.to_image(np.ones(own.shape, dtype=np.uint8))
            inside = sitk.Resample(ones, grid.to_image(), sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
            covered = sitk.GetArrayFromImage(inside) > 0
            _check_overlap(name, own, grid, int(covered.sum()))
            moved = sitk.Resample(
                own.to_image(array), grid.to_image(), sitk.Transform(), kinds[interpolator], np.nan, sitk.sitkFloat64
            )
            array = np.where(covered, sitk.GetArrayFromImage(moved), np.nan)
        coverage += covered
        made[name] = grid.to_image(array)
        rows.append(
            {
                "resampled": bool(how),
                "difference": how,
                "interpolator": interpolator if how else "",
                "covered_fraction": float(covered.mean()),
                "coarsening": _coarsening(own, grid) if how else 1.0,
            }
        )
    table = pd.DataFrame(rows, index=pd.Index(list(made), name="image"))
    return OneGrid(made, grid.to_image(coverage), table)


def _check_overlap(name: str, own: Grid, grid: Grid, n_covered: int) -> None:
    if n_covered:
        return
    apart = float(np.linalg.norm(own.corners_mm().mean(axis=0) - grid.corners_mm().mean(axis=0)))
    raise InputError(
        subject=f"image {name!r}",
        expected="it to overlap the grid",
        found=f"no common voxel (centres {apart:.0f} mm apart)",
        remedy="Check that both are of the same patient and frame of reference, and register them first",
    )


def _coarsening(own: Grid, grid: Grid) -> float:
    """Length of each new voxel step in old voxels, along the old axis where it is largest."""
    steps = np.abs(own.axes.T @ (grid.axes * np.asarray(grid.spacing_mm))) / np.asarray(own.spacing_mm)[:, None]
    return float(steps.max())

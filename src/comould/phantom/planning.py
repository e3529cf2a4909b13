"""A plan for a phantom that no mould was made for: parallel cuts along the image's slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.space import CutPlane, Grid, SlicePlan

if TYPE_CHECKING:
    import SimpleITK as sitk


def plan_slices(mask: sitk.Image, spacing_mm: float = 5.0) -> SlicePlan:
    """Lay cutting planes through a mask, parallel to its image slices and evenly about its middle.

    Parameters
    ----------
    mask
        Non-zero inside the specimen; patient LPS mm.
    spacing_mm
        Distance between planes, 0.5 or more.

    Returns
    -------
    SlicePlan
        ``P01`` upwards along the slice normal; u and v run as the image's rows and columns do. As many planes as fit
        with half a spacing of tissue, or more, beyond the outermost; one at least.

    Raises
    ------
    InputError
        If the mask is empty or the spacing no such length.
    """
    import SimpleITK as sitk

    if isinstance(spacing_mm, bool) or not np.isfinite(spacing_mm) or spacing_mm < 0.5:
        raise InputError(subject="spacing_mm", expected="0.5 mm or more", found=f"{spacing_mm}")
    grid = Grid.from_image(mask)
    k, j, i = np.nonzero(sitk.GetArrayViewFromImage(mask))
    if not len(k):
        raise InputError(subject="mask", expected="a specimen", found="no voxel that is not zero")
    index = np.column_stack([i, j, k]).astype(np.float64)
    middle = (index.min(axis=0) + index.max(axis=0)) / 2.0
    thickness = grid.spacing_mm[2]
    extent = float(np.ptp(index[:, 2]) + 1.0) * thickness
    count = max(int(extent / spacing_mm + 1e-9), 1)
    planes = []
    for number in range(count):
        shift = (number - (count - 1) / 2.0) * spacing_mm
        at = middle + np.array([0.0, 0.0, shift / thickness])
        planes.append(
            CutPlane.from_normal(
                f"P{number + 1:02d}",
                grid.patient_from_index(at[None])[0],
                grid.axes[:, 2],
                u_hint=grid.axes[:, 0],
                image_index=float(at[2]),
            )
        )
    return SlicePlan(tuple(planes))


def spread_over(plan: SlicePlan, count: int) -> SlicePlan:
    """Choose some planes of a plan, spread evenly over it.

    Raises
    ------
    InputError
        If there are not as many.
    """
    if not 1 <= count <= len(plan):
        raise InputError(
            subject=f"{count} sections",
            expected=f"1 to {len(plan)}, the planes of the plan",
            found=str(count),
            remedy="Choose fewer sections or a smaller spacing",
        )
    chosen = (np.arange(count) + 0.5) * len(plan) / count
    planes = list(plan)
    return SlicePlan(tuple(planes[int(n)] for n in chosen))

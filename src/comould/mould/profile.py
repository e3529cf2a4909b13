"""How large the cross-sections of labels are along the cut normal, and where planes see most of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from comould.errors import InputError
from comould.mould.storage import spread
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.mould.lesion import Lesion

CORE_MM2 = 7.07
"""A habitat is seen on a plane when a core of 3 mm has room there."""

MAX_HABITATS = 64
"""More different values than this are an image, not habitats."""

EVEN_TIE = 0.01
AREA_TIE = 0.01
"""Sights and areas that differ by less than this share are equal."""


@dataclass(frozen=True, eq=False)
class Profile:
    """Cross-section against position along a normal.

    Parameters
    ----------
    along_mm
        ``(n,)`` sorted positions of voxel centres.
    sums_mm
        ``(n + 1,)`` their running sum.
    width_mm
        Width of a voxel along the normal.
    voxel_mm3
        Volume of a voxel.
    slices_mm
        Positions of the slices where the normal is one of the image's axes, else empty.
    """

    along_mm: FloatArray
    sums_mm: FloatArray
    width_mm: float
    voxel_mm3: float
    slices_mm: FloatArray

    @classmethod
    def of(cls, points_mm: FloatArray, grid: Grid, normal: FloatArray) -> Self:
        """Project the voxel centres ``(n, 3)`` of a label."""
        along = np.sort(points_mm @ normal)
        parallel = bool((np.abs(normal @ grid.axes) > 1.0 - 1e-9).any())
        ends = np.flatnonzero(np.diff(along) > 1e-3) if parallel else np.zeros(0, dtype=np.intp)
        slices = along[np.concatenate([[0], ends + 1])] if parallel else np.zeros(0)
        running = np.concatenate([[0.0], np.cumsum(along - along[0])])
        return cls(along, running, spread(grid, normal), grid.voxel_ml * 1000.0, slices)

    @property
    def volume_mm3(self) -> float:
        """Voxel count times voxel volume."""
        return len(self.along_mm) * self.voxel_mm3

    def area_mm2(self, at_mm: FloatArray) -> FloatArray:
        """Area of the cross-sections at positions ``(m,)``: linear between the slices, continuous in every input."""
        first = self.along_mm[0]
        low, mid, high = (
            np.searchsorted(self.along_mm, at_mm + shift) for shift in (-self.width_mm, 0.0, self.width_mm)
        )
        at = (at_mm - first) / self.width_mm
        sums = self.sums_mm / self.width_mm
        left = (mid - low) * (1.0 - at) + sums[mid] - sums[low]
        right = (high - mid) * (1.0 + at) - (sums[high] - sums[mid])
        return np.asarray((left + right) * self.voxel_mm3 / self.width_mm)

    def largest_mm(self, middle_mm: float) -> float:
        """Middle of the stretch of largest cross-section; of several as large, of the one nearest a middle."""
        low, high = self.along_mm[0], self.along_mm[-1]
        at = self.slices_mm
        if not len(at):
            at = np.linspace(low, high, max(int(np.ceil(8 * (high - low) / self.width_mm)) + 1, 2))
        area = self.area_mm2(at)
        large = np.flatnonzero(area >= (1.0 - AREA_TIE) * area.max())
        runs = np.split(large, np.flatnonzero(np.diff(large) > 1) + 1)
        centres = np.array([at[run[(len(run) - 1) // 2]] for run in runs])
        away = np.abs(centres - middle_mm)
        return float(centres[away <= away.min() + 1e-3][0])


def feature_profile(feature: sitk.Image, lesion: Lesion, normal: FloatArray) -> Profile:
    """Profile of a feature mask (any grid) inside the specimen.

    Raises
    ------
    InputError
        If nothing of it lies in the specimen.
    """
    return next(iter(_profiles(feature, lesion, normal, "feature mask", merge=True).values()))


def habitat_profiles(habitats: sitk.Image | None, lesion: Lesion, normal: FloatArray) -> dict[int, Profile]:
    """Profile of each habitat label (any grid) inside the specimen.

    Raises
    ------
    InputError
        If there is no label image, it holds no labels, or none in the specimen.
    """
    if habitats is None:
        raise InputError(
            subject="centre_on most_habitats",
            expected="a habitat label image",
            found="none",
            remedy="Give one (habitats=), or centre on extent or largest_section",
        )
    return _profiles(habitats, lesion, normal, "habitat labels", merge=False)


def _profiles(
    image: sitk.Image, lesion: Lesion, normal: FloatArray, subject: str, *, merge: bool
) -> dict[int, Profile]:
    import SimpleITK as sitk

    from comould.io import right_handed

    upright = right_handed(image)
    grid = Grid.from_image(upright)
    array = sitk.GetArrayViewFromImage(upright)
    if array.ndim != 3:
        raise InputError(subject=subject, expected="one value per voxel", found=f"{array.shape[-1]}")
    index = np.argwhere(array != 0)
    points = grid.patient_from_index(index[:, ::-1])
    inside = lesion.holds(points)
    if not inside.any():
        raise InputError(
            subject=subject,
            expected="labels inside the specimen",
            found="an empty image" if not len(index) else f"{len(index)} voxels, none of them in it",
            remedy="Give the labels drawn or computed on this patient's images",
        )
    points, values = points[inside], array[tuple(index[inside].T)]
    if merge:
        return {1: Profile.of(points, grid, normal)}
    labels = np.unique(values)
    if len(labels) > MAX_HABITATS or not np.isfinite(labels).all() or (labels != np.round(labels)).any():
        raise InputError(
            subject=subject,
            expected=f"whole-numbered labels, at most {MAX_HABITATS}",
            found=f"{len(labels)} values from {labels.min():g} to {labels.max():g}",
            remedy="Give the label image, not a feature map",
        )
    return {int(label): Profile.of(points[values == label], grid, normal) for label in labels}


@dataclass(frozen=True)
class Sight:
    """What a set of planes sees of the habitats.

    Parameters
    ----------
    seen
        Labels with room for a core on at least one plane.
    evenness
        Area seen of the worst-off habitat, over what its volume would give on average.
    """

    seen: tuple[int, ...]
    evenness: float


def sight(at_mm: FloatArray, profiles: dict[int, Profile], spacing_mm: float) -> Sight:
    """Judge planes at positions ``(m,)``, ``spacing_mm`` apart on average."""
    areas = {label: profile.area_mm2(at_mm) for label, profile in profiles.items()}
    seen = tuple(label for label, area in areas.items() if area.max() >= CORE_MM2)
    shares = [areas[label].sum() * spacing_mm / profile.volume_mm3 for label, profile in profiles.items()]
    return Sight(seen, float(min(shares)))

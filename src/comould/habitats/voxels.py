"""The voxels of a case as rows of features, brought to one scale: what every kind of grouping starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.habitats.features import FeatureMaps, _plan, maps_of
from comould.habitats.inputs import Aligned, align, without_voxels
from comould.habitats.smoothing import Smoother
from comould.space import FloatArray

if TYPE_CHECKING:
    import SimpleITK as sitk

CLIP = 3.0
VOTE = 0.75
"""σ of the neighbours' vote, in radii."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """Centre and spread ``(d,)`` of every feature."""

    centre: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, values: FloatArray, names: Sequence[str]) -> Scaling:
        """Measure median and interquartile range, so that a normal distribution gets unit variance.

        Raises
        ------
        InputError
            If a feature has one value.
        """
        low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
        spread = (high - low) / 1.349
        # Half of the voxels share one value: fall back on the standard deviation.
        spread = np.where(spread > 0, spread, values.std(axis=0))
        flat = [name for name, width in zip(names, spread, strict=True) if width == 0]
        if flat:
            raise InputError(
                subject=f"feature {flat[0]!r}", expected="values that vary", found="one value", remedy="Leave it out"
            )
        return cls(middle, spread)

    def __call__(self, values: FloatArray) -> FloatArray:
        """Scale ``(n, d)`` values."""
        return (values - self.centre) / self.spread


@dataclass(frozen=True, eq=False)
class Voxels:
    """Voxels of a mask with all their features.

    Parameters
    ----------
    aligned
        Voxels with defined features only.
    maps
        The feature maps, of all voxels.
    names
        Columns that are grouped.
    values
        ``(n, d)``, unscaled.
    """

    aligned: Aligned
    maps: FeatureMaps
    names: tuple[str, ...]
    values: FloatArray

    @property
    def points_mm(self) -> FloatArray:
        """Patient positions ``(n, 3)``."""
        return self.aligned.grid.patient_from_index(self.aligned.mask_idx[:, ::-1])

    @property
    def n_left_out(self) -> int:
        """Voxels of the mask without features."""
        return len(self.maps.mask_idx) - len(self.aligned.mask_idx) + self.aligned.n_uncovered

    def neighbours(self, radius_mm: float, weight: float) -> Smoother | None:
        """Mean of a voxel's neighbours; nothing when they have no weight."""
        return Smoother(self.aligned, VOTE * radius_mm, centre=False) if weight else None

    def smoothed(self, scaled: FloatArray, sigma_mm: float) -> FloatArray:
        """Scaled features, clipped and smoothed."""
        smoother = Smoother(self.aligned, sigma_mm)
        # Clipped first: an outlier must not light up its surroundings.
        return np.stack([smoother(np.clip(column, -CLIP, CLIP)) for column in scaled.T], axis=1)


def to_unit(data: FloatArray) -> FloatArray:
    """Bring ``(n, d)`` columns to unit standard deviation."""
    return data / np.maximum(data.std(axis=0), 1e-12)


def voxels_of(
    images: Mapping[str, sitk.Image] | Sequence[sitk.Image],
    mask: sitk.Image,
    *,
    features: str | Sequence[str],
    radius_mm: float,
    bins: int = 32,
    without: Sequence[str] = (),
    only: Sequence[str] | None = None,
) -> Voxels:
    """Compute the features of a mask's voxels and leave out voxels where one is undefined.

    Parameters
    ----------
    images, mask, features, radius_mm, bins
        As in :func:`comould.habitats.fit`.
    without
        Maps to leave out, as ``"image/family.feature"``.
    only
        The maps to keep, in this order; all but those left out when ``None``.

    Raises
    ------
    InputError
        For a map to leave out that is none, or when none is left; and as :func:`comould.habitats.feature_maps`.
    """
    plan = _plan(features, radius_mm, None, bins, None, {})
    aligned = align(images, mask)
    maps = maps_of(aligned, plan)
    columns = _columns(maps.names, without, only)
    names = tuple(maps.names[n] for n in columns)
    values = np.asarray(maps.values)[:, columns]
    keep = np.asarray(np.isfinite(values).all(axis=1))
    return Voxels(without_voxels(aligned, keep), maps, names, values[keep])


def _columns(names: Sequence[str], without: Sequence[str], only: Sequence[str] | None) -> list[int]:
    unknown = [name for name in (*without, *(only or ())) if name not in names]
    if unknown:
        raise InputError(
            subject=f"feature map {unknown[0]!r}", expected=f"one of {', '.join(names)}", found="none of that name"
        )
    kept = [name for name in (names if only is None else only) if name not in set(without)]
    if not kept:
        raise InputError(
            subject="feature maps", expected="at least one to group by", found=f"all {len(names)} left out"
        )
    return [list(names).index(name) for name in kept]

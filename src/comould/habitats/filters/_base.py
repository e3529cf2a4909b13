"""Filter: an image in, its response map on the same grid out."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, InputError
from comould.habitats.filters._boundary import IBSI_CODES, Boundary
from comould.habitats.inputs import _grid, mask_indices
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

Pooling = Literal["max", "min", "mean"]
UNEQUAL = 1.2
"""Ratio of a voxel's sides above which filters counted in voxels are told to be unequal."""
_POOL = {"max": np.maximum, "min": np.minimum, "mean": np.add}


@dataclass(frozen=True, kw_only=True)
class Filter(ABC):
    """A convolutional filter of the IBSI standard; call it with an image.

    Parameters
    ----------
    boundary
        What lies beyond the image: ``"mirror"`` (its mirror image, the border voxel twice), ``"nearest"`` (the border
        voxel again), ``"periodic"`` (the other side of the image) or ``"zero"``.
    dimension
        3, or 2: every i-j plane of the image by itself.

    Notes
    -----
    Filters see the whole image, also beyond a mask, as the standard asks. Where a setting is in mm it holds along
    every axis of voxels of any shape; where it is in voxels, voxels of unequal sides make the filter unequal.

    References
    ----------
    Whybra et al., Radiology 2024, doi 10.1148/radiol.231319; IBSI reference manual 2, arXiv:2006.05470.
    """

    ibsi_code: ClassVar[str] = ""
    in_voxels: ClassVar[bool] = True
    """Whether the filter's size is counted in voxels."""
    boundary: Boundary = "mirror"
    dimension: int = 3

    def __post_init__(self) -> None:
        problems = self.problems()
        if self.boundary not in get_args(Boundary):
            problems.append(f"boundary {self.boundary!r} is none of {', '.join(get_args(Boundary))}")
        if self.dimension not in {2, 3}:
            problems.append(f"dimension {self.dimension} is neither 2 nor 3")
        if problems:
            raise InputError.collect(subject=f"filter {type(self).__name__}", problems=problems)

    @property
    @abstractmethod
    def name(self) -> str:
        """What its map is called: ``log_3mm``."""

    @abstractmethod
    def problems(self) -> list[str]:
        """Say what is wrong with the settings."""

    @abstractmethod
    def response(self, array: FloatArray, spacing_mm: FloatArray) -> FloatArray:
        """Filter ``(k, j, i)`` values with voxel spacing along k, j, i."""

    @abstractmethod
    def reach(self, spacing_mm: FloatArray) -> npt.NDArray[np.int64] | None:
        """How many voxels along k, j, i the filter looks; ``None``: at all of them."""

    @property
    def axes(self) -> tuple[int, ...]:
        """Array axes the filter works along."""
        return (0, 1, 2) if self.dimension == 3 else (1, 2)

    def __call__(self, image: sitk.Image, mask: sitk.Image | None = None) -> sitk.Image:
        """Filter an image.

        Parameters
        ----------
        image
            Scalar, 3-D.
        mask
            One label, on any grid: the response is wanted there only, which saves time. It does not change the
            response, which sees the image on both sides of the mask's edge.

        Returns
        -------
        SimpleITK.Image
            float64, on the image's grid; NaN away from the mask.

        Raises
        ------
        InputError
            If the image is no scalar 3-D image, or a voxel the filter sees is NaN or infinite, or the mask lies
            outside the image.

        Warns
        -----
        ComouldWarning
            When a filter that is counted in voxels meets voxels of unequal sides.
        """
        import SimpleITK as sitk

        grid = _grid(image, "image to be filtered")
        spacing = np.asarray(grid.spacing_mm)[::-1]
        wanted = _whole(grid) if mask is None else _box(mask, grid)
        seen = self._seen(wanted, grid, spacing)
        sides = spacing[list(self.axes)]
        if self.in_voxels and sides.max() > UNEQUAL * sides.min():
            shown = " × ".join(f"{s:g}" for s in grid.spacing_mm)
            message = f"filter {self.name} is counted in voxels, and these are {shown} mm: it is longer along one axis"
            warnings.warn(f"{message} (resample, or use dimension=2)", ComouldWarning, stacklevel=2)
        array = sitk.GetArrayViewFromImage(image)[seen].astype(np.float64)
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise InputError(
                subject=f"image to be filtered ({self.name})",
                expected="finite intensities wherever the filter looks",
                found=f"{bad} voxels with NaN or infinity",
                remedy="Fill them first: a filter spreads them to their neighbours",
            )
        part = self.response(array, spacing)
        result = np.full(grid.shape, np.nan)
        inner = tuple(slice(w.start - s.start, w.stop - s.start) for w, s in zip(wanted, seen, strict=True))
        result[wanted] = part[inner]
        return grid.to_image(result)

    def said(self) -> dict[str, Any]:
        """Say the settings, for provenance; JSON-able."""
        settings = {f.name: getattr(self, f.name) for f in fields(self)}
        told = {k: v.said() if isinstance(v, Filter) else v for k, v in settings.items()}
        return {
            "filter": type(self).__name__,
            "name": self.name,
            "ibsi_code": self.ibsi_code,
            "ibsi_boundary_code": IBSI_CODES[self.boundary],
        } | told

    def _seen(self, wanted: tuple[slice, ...], grid: Grid, spacing: FloatArray) -> tuple[slice, ...]:
        reach = self.reach(spacing)
        if reach is None or self.boundary == "periodic":
            whole = _whole(grid)
            return whole if self.dimension == 3 else (wanted[0], *whole[1:])
        return tuple(
            slice(max(0, w.start - int(r)), min(n, w.stop + int(r)))
            for w, r, n in zip(wanted, reach, grid.shape, strict=True)
        )


class Pool:
    """Responses put together voxel by voxel as they come."""

    def __init__(self, method: Pooling) -> None:
        self.method = method
        self.count = 0
        self.total: FloatArray | None = None

    def add(self, response: FloatArray) -> None:
        """Take one more."""
        self.count += 1
        if self.total is None:
            self.total = response
        else:
            _POOL[self.method](self.total, response, out=self.total)

    @property
    def result(self) -> FloatArray:
        """The maximum, minimum or mean of all."""
        if self.total is None:
            return np.zeros(0)
        return self.total / self.count if self.method == "mean" else self.total


def pooling_problems(pooling: str | None) -> list[str]:
    """Say what is wrong with a pooling."""
    known = get_args(Pooling)
    return [] if pooling is None or pooling in known else [f"pooling {pooling!r} is none of {', '.join(known)}"]


def length_problem(name: str, value: float) -> list[str]:
    """Say what is wrong with a setting that must be positive and finite."""
    return [] if np.isfinite(value) and value > 0 else [f"{name} {value} is not positive"]


def _whole(grid: Grid) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in grid.shape)


def _box(mask: sitk.Image, grid: Grid) -> tuple[slice, ...]:
    """Find the image's voxels (k, j, i) that an interpolation at the mask's voxels needs."""
    inside_mm = Grid.from_image(mask).patient_from_index(mask_indices(mask)[:, ::-1])
    index = grid.index_from_patient(inside_mm)[:, ::-1]
    size = np.asarray(grid.shape)
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, size)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, 0, size)
    if (low >= high).any():
        raise InputError(
            subject="mask",
            expected="to overlap the image to be filtered",
            found="no common voxel",
            remedy="Check that both are of the same patient and frame of reference",
        )
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

"""Feature maps: a number per voxel and feature, from the voxels of the mask around it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, InputError
from comould.habitats import catalogue
from comould.habitats.discretise import discretise
from comould.habitats.inputs import Aligned, align
from comould.habitats.neighbourhood import Neighbourhood, Shape, directions
from comould.habitats.smoothing import Smoother
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

DEFAULT_FEATURES = (
    "firstorder.mean",
    "firstorder.variance",
    "firstorder.entropy",
    "glcm.joint_entropy",
    "glcm.contrast",
    "glcm.inverse_difference_moment",
    "glcm.correlation",
)
_BLOCKS = 64
_LOG_TABLE = 1 << 14
PerImage = float | Mapping[str, float] | None


class MapSettings(TypedDict, total=False):
    """Finer settings of :func:`feature_maps`, given by keyword."""

    shape: Shape
    dimension: int
    aggregation: Literal["merged", "averaged"]
    distance: int
    lower_bound: PerImage
    threads: int | None


@dataclass(frozen=True)
class _Plan:
    """A request, checked."""

    features: dict[str, list[str]]
    radius_mm: float | None
    radius_voxels: int | Sequence[int] | None
    bins: int
    bin_width: PerImage
    lower_bound: PerImage = None
    shape: Shape = "ball"
    dimension: int = 3
    aggregation: Literal["merged", "averaged"] = "merged"
    distance: int = 1
    threads: int | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.aggregation not in {"merged", "averaged"}:
            problems.append(f"aggregation {self.aggregation!r} is neither 'merged' nor 'averaged'")
        if self.distance < 1 or int(self.distance) != self.distance:
            problems.append(f"distance {self.distance} is not a positive count of voxels")
        if self.threads is not None and self.threads < 1:
            problems.append(f"threads {self.threads} is not positive")
        if self.dimension not in {2, 3}:
            problems.append(f"dimension {self.dimension} is neither 2 nor 3")
        if problems:
            raise InputError.collect(subject="feature map settings", problems=problems)

    @property
    def groups(self) -> list[npt.NDArray[np.int64]]:
        """Directions whose co-occurrences share one matrix."""
        all_ = directions(self.dimension, self.distance)
        return [all_] if self.aggregation == "merged" else [one[None] for one in all_]

    def said(self) -> dict[str, Any]:
        """Say the settings, for provenance."""
        wanted = [f"{family}.{feature}" for family, found in self.features.items() for feature in found]
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in {"features", "threads"}}
        return {"features": wanted} | told


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """Features of every voxel of a mask.

    Parameters
    ----------
    names
        ``"image/family.feature"``, one per column.
    values
        ``(n_voxels, n_features)`` float64 in mask order (array order of the mask's voxels); NaN where undefined.
    grid
        The mask's grid.
    mask_idx
        ``(n_voxels, 3)`` voxel indices (k, j, i).
    coverage
        ``(n_voxels,)`` fraction of the kernel that lay in the mask.
    parameters
        What made the maps; JSON-able.
    """

    names: tuple[str, ...]
    values: FloatArray
    grid: Grid
    mask_idx: npt.NDArray[np.int64]
    coverage: FloatArray
    parameters: dict[str, Any] = field(default_factory=dict)

    def column(self, name: str) -> FloatArray:
        """One feature at every voxel ``(n_voxels,)``; ``"coverage"`` gives the kernel's coverage.

        Raises
        ------
        InputError
            If there is no such map.
        """
        if name == "coverage":
            return self.coverage
        if name not in self.names:
            raise InputError(
                subject=f"feature map {name!r}", expected=f"one of {', '.join(self.names)}, coverage", found="none"
            )
        return self.values[:, self.names.index(name)]

    def image(self, name: str) -> sitk.Image:
        """One feature as a float64 image on the mask's grid, NaN outside the mask."""
        array = np.full(self.grid.shape, np.nan)
        array[tuple(self.mask_idx.T)] = self.column(name)
        return self.grid.to_image(array)


def feature_maps(
    images: Mapping[str, sitk.Image] | Sequence[sitk.Image],
    mask: sitk.Image,
    *,
    features: str | Sequence[str] = DEFAULT_FEATURES,
    radius_mm: float | None = None,
    radius_voxels: int | Sequence[int] | None = None,
    bins: int = 32,
    bin_width: PerImage = None,
    **settings: Unpack[MapSettings],
) -> FeatureMaps:
    """Compute first-order and co-occurrence features around every voxel of a mask.

    Only voxels of the mask enter a neighbourhood. Grey levels are made once from the whole mask, so that neighbouring
    voxels are measured on one scale.

    Parameters
    ----------
    images
        Scalar 3-D images by name; those on another grid than the mask's are resampled to it (linear), with a warning.
    mask
        One label.
    features
        Names such as ``"glcm.joint_entropy"``, or families (``"firstorder"``, ``"glcm"``, ``"intensity"``);
        see :func:`comould.habitats.feature_names`.
    radius_mm, radius_voxels
        Exactly one. Millimetres make the kernel isotropic in the patient whatever the voxels' shape; with flat voxels
        it may reach no neighbouring slice (``parameters["kernel_voxels"]`` tells).
    bins
        Fixed bin number over the mask.
    bin_width
        Fixed bin size instead, for all images or by image name (the others keep ``bins``).
    **settings
        ``shape`` (``"ball"``, ``"box"``), ``dimension`` (3, or 2: kernels and directions within image planes),
        ``aggregation`` of directions (``"merged"`` into one matrix, or features ``"averaged"``), ``distance`` of pairs
        in voxels, ``lower_bound`` of the first bin for ``bin_width``, ``threads`` (never changes a bit of the result).

    Returns
    -------
    FeatureMaps

    Raises
    ------
    InputError
        For unknown features, settings out of range, a mask of a single voxel, and all that
        :func:`comould.habitats.inputs.align` refuses.

    Warns
    -----
    ComouldWarning
        When the kernel covers the whole mask from every voxel, or some voxels have no neighbour (their maps hold NaN);
        and when images are resampled.

    Notes
    -----
    Definitions are IBSI's: symmetric co-occurrence matrices at Chebyshev distance, percentiles by linear interpolation,
    ``intensity.gaussian`` is a normalised convolution with σ = half the radius, cut at 3 σ. Conventions where a formula
    is 0/0: correlation 1 and information correlations 0 in a neighbourhood of one grey level; ratios with a zero
    denominator NaN. Neighbouring kernels overlap, so maps are smooth by construction over a kernel's diameter.

    References
    ----------
    Zwanenburg et al., Radiology 2020, doi 10.1148/radiol.2020191145; arXiv:1612.07003.
    """
    plan = _plan(features, radius_mm, radius_voxels, bins, bin_width, settings)
    return maps_of(align(images, mask), plan)


def _plan(
    features: str | Sequence[str],
    radius_mm: float | None,
    radius_voxels: int | Sequence[int] | None,
    bins: int,
    bin_width: PerImage,
    settings: MapSettings,
) -> _Plan:
    known = set(MapSettings.__annotations__)
    unknown = sorted(set(settings) - known)
    if unknown:
        raise InputError(
            subject=f"setting {unknown[0]!r}", expected=f"one of {', '.join(sorted(known))}", found="an unknown one"
        )
    return _Plan(catalogue.resolve(features), radius_mm, radius_voxels, bins, bin_width, **settings)


def maps_of(aligned: Aligned, plan: _Plan) -> FeatureMaps:
    """Make the maps of a checked request from aligned values."""
    _check_size(aligned)
    kernel = Neighbourhood.around(
        aligned.grid.spacing_mm,
        radius_mm=plan.radius_mm,
        radius_voxels=plan.radius_voxels,
        shape=plan.shape,
        dimension=plan.dimension,
    )
    reachable = kernel.within(aligned.box)
    names, values, inside = _all_images(aligned, plan, reachable, np.arange(len(aligned.mask_idx)))
    _tell(values, inside, len(aligned.mask_idx))
    parameters = plan.said() | {
        "kernel_voxels": list(kernel.extent_voxels),
        "kernel_size": len(kernel.offsets),
        "n_voxels": len(values),
        "n_voxels_not_covered_by_all_images": aligned.n_uncovered,
        "resampled": aligned.resampled,
        "mean_coverage": float(inside.mean() / len(kernel.offsets)),
    }
    return FeatureMaps(names, values, aligned.grid, aligned.mask_idx, inside / len(kernel.offsets), parameters)


def _check_size(aligned: Aligned) -> None:
    if len(aligned.mask_idx) < 2:
        raise InputError(subject="mask", expected="at least two voxels", found="one: it has no neighbourhood")


def _tell(values: FloatArray, inside: npt.NDArray[np.int64], n_voxels: int) -> None:
    if inside.min() == n_voxels:
        message = "the kernel covers the whole mask from every voxel: each map is one number (use a smaller radius)"
        warnings.warn(message, ComouldWarning, stacklevel=4)
    undefined = int(np.isnan(values).any(axis=1).sum())
    if undefined:
        message = (
            f"{undefined} of {n_voxels} voxels have an undefined feature (no neighbour, or a ratio to zero): NaN there"
        )
        warnings.warn(message, ComouldWarning, stacklevel=4)


class _Lattice:
    """The mask's box, padded so that no kernel leaves the memory, and the runs of centres in it."""

    def __init__(self, aligned: Aligned, kernel: Neighbourhood, centres: npt.NDArray[np.int64]) -> None:
        self.aligned = aligned
        pad = np.maximum(np.abs(kernel.offsets).max(axis=0), 1) if len(centres) > 1 else np.ones(3, dtype=np.int64)
        self.pad = [(int(p), int(p)) for p in pad]
        shape = np.asarray(aligned.box) + 2 * pad
        self.strides = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
        flat = self.flat(aligned.mask_idx[centres] - aligned.low_idx + pad)
        breaks = np.flatnonzero(np.diff(flat) != 1) + 1
        self.rows = np.concatenate([[0], breaks]).astype(np.int64)
        self.lengths = np.diff(np.append(self.rows, len(flat)))
        self.starts = flat[self.rows]
        self.centres = flat

    def flat(self, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Flat memory offsets of (k, j, i) offsets."""
        return offsets @ self.strides

    def padded(self, values: npt.NDArray) -> npt.NDArray:
        """Values in the padded box, flat, zero outside the mask."""
        return np.pad(self.aligned.in_box(values), self.pad).ravel()

    def count(self, kernel: Neighbourhood) -> npt.NDArray[np.int64]:
        """Voxels of the kernel in the mask ``(n,)``, at every centre; without compiled code."""
        mask = self.padded(np.ones(len(self.aligned.mask_idx), dtype=np.uint8))
        total = np.zeros(len(self.centres), dtype=np.int64)
        for offset in self.flat(kernel.offsets):
            total += mask[self.centres + offset]
        return total

    def blocks(self) -> list[slice]:
        """Cut the runs into slices of about equal work."""
        ends = np.cumsum(self.lengths)
        cuts = np.unique(np.searchsorted(ends, np.linspace(0, ends[-1], _BLOCKS + 1)[1:-1], side="right"))
        edges = [0, *[int(c) for c in cuts if 0 < c < len(ends)], len(ends)]
        return [slice(a, b) for a, b in pairwise(edges)]

    def run(self, work: Any, threads: int | None) -> None:
        """Call ``work(runs)`` for every block of runs ``(r, 3)`` (start, length, row), on several threads."""
        runs = np.stack([self.starts, self.lengths, self.rows], axis=1)
        parts = [runs[block] for block in self.blocks()]
        workers = min(threads or _cores(), len(parts))
        if workers <= 1:
            for part in parts:
                work(part)
            return
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, parts))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _all_images(
    aligned: Aligned, plan: _Plan, kernel: Neighbourhood, centres: npt.NDArray[np.int64]
) -> tuple[tuple[str, ...], FloatArray, npt.NDArray[np.int64]]:
    """Names, values ``(n, f)`` and kernel voxels in the mask ``(n,)`` at some of the mask's voxels."""
    lattice = _Lattice(aligned, kernel, centres)
    pairs = _flat_pairs(lattice, kernel, plan) if "glcm" in plan.features else None
    names: list[str] = []
    parts: list[FloatArray] = []
    inside = np.zeros(len(centres), dtype=np.int64)
    for name, values in aligned.intensities.items():
        levels, n_levels = np.ones(len(values), dtype=np.uint16), 1
        if "glcm" in plan.features or {"entropy", "uniformity"} & set(plan.features.get("firstorder", [])):
            width, bound = _of(plan.bin_width, name), _of(plan.lower_bound, name)
            levels, n_levels = discretise(values, bins=plan.bins, bin_width=width, lower_bound=bound, name=name)
        padded = lattice.padded(levels)
        for family, wanted in plan.features.items():
            names.extend(f"{name}/{family}.{feature}" for feature in wanted)
            if family == "firstorder":
                parts.append(_first_order(lattice, kernel, (values, padded, n_levels), plan, inside))
            elif family == "glcm" and pairs is not None:
                parts.append(_glcm(lattice, pairs, (padded, n_levels), plan, len(centres)))
            else:
                parts.append(_intensity(aligned, values, plan))
    if "firstorder" not in plan.features:
        inside = lattice.count(kernel)
    return tuple(names), np.concatenate(parts, axis=1), inside


def _first_order(
    lattice: _Lattice,
    kernel: Neighbourhood,
    grey: tuple[FloatArray, npt.NDArray, int],
    plan: _Plan,
    inside: npt.NDArray[np.int64],
) -> FloatArray:
    from comould.habitats import _kernels

    values, levels, n_levels = grey
    order = list(catalogue.FIRST_ORDER)
    columns = np.array([order.index(f) for f in plan.features.get("firstorder", [])], dtype=np.int64)
    out = np.empty((len(inside), len(columns)))
    image, offsets = lattice.padded(values), lattice.flat(kernel.offsets)

    def work(runs: npt.NDArray) -> None:
        _kernels.first_order_runs((image, levels), runs, offsets, n_levels, columns, out, inside)

    lattice.run(work, plan.threads)
    return out


def _glcm(
    lattice: _Lattice,
    pairs: tuple[npt.NDArray, npt.NDArray, npt.NDArray],
    grey: tuple[npt.NDArray, int],
    plan: _Plan,
    n_rows: int,
) -> FloatArray:
    from comould.habitats import _kernels

    levels, n_levels = grey
    order = list(catalogue.GLCM)
    columns = np.array([order.index(f) for f in plan.features["glcm"]], dtype=np.int64)
    out = np.zeros((n_rows, len(columns)))
    counts = np.arange(_LOG_TABLE, dtype=np.float64)
    table = counts * np.log2(np.maximum(counts, 1.0))

    def work(runs: npt.NDArray) -> None:
        _kernels.glcm_runs(levels, runs, pairs, n_levels, table, columns, out)

    lattice.run(work, plan.threads)
    return out


def _flat_pairs(
    lattice: _Lattice, kernel: Neighbourhood, plan: _Plan
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Flat offsets of both voxels of all, lost and gained pairs of every group, and where each begins and ends."""
    first: list[npt.NDArray] = []
    second: list[npt.NDArray] = []
    bounds = np.zeros((len(plan.groups), 6), dtype=np.int64)
    at = 0
    for g, group in enumerate(plan.groups):
        found = [kernel.pairs(direction) for direction in group]
        for kind in range(3):
            bounds[g, 2 * kind] = at
            for direction, three in zip(group, found, strict=True):
                first.append(lattice.flat(three[kind]))
                second.append(lattice.flat(three[kind] + direction))
                at += len(three[kind])
            bounds[g, 2 * kind + 1] = at
    return np.concatenate(first), np.concatenate(second), bounds


def _intensity(aligned: Aligned, values: FloatArray, plan: _Plan) -> FloatArray:
    columns = [
        values if feature == "voxel" else Smoother(aligned, _sigma_mm(plan, aligned))(values)
        for feature in plan.features["intensity"]
    ]
    return np.stack(columns, axis=1)


def _sigma_mm(plan: _Plan, aligned: Aligned) -> float:
    if plan.radius_mm is not None:
        return plan.radius_mm / 2.0
    return float(np.max(np.asarray(plan.radius_voxels, dtype=np.float64))) * float(min(aligned.grid.spacing_mm)) / 2.0


def _of(setting: PerImage, name: str) -> float | None:
    return setting.get(name) if isinstance(setting, Mapping) else setting

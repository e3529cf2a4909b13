"""What :func:`comould.habitats.feature_maps` computes: one family after another, into one array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from comould.habitats.discretise import discretise
from comould.habitats.inputs import Aligned
from comould.habitats.lattice import Lattice
from comould.habitats.neighbourhood import IntArray, Neighbourhood, directions, neighbours
from comould.habitats.plan import Plan
from comould.habitats.smoothing import Smoother
from comould.space import FloatArray

_LOG_TABLE = 1 << 14
_LEVELLED = ("glcm", "glrlm", "glszm", "ngtdm", "ngldm")


Work = Callable[[npt.NDArray[np.int64]], None]


def all_images(
    aligned: Aligned, plan: Plan, kernel: Neighbourhood
) -> tuple[tuple[str, ...], FloatArray, npt.NDArray[np.int64]]:
    """Compute every map of a request.

    Parameters
    ----------
    aligned
        Intensities at the mask's ``n`` voxels.
    plan
        What is asked for.
    kernel
        What is around each voxel.

    Returns
    -------
    tuple
        Names; values ``(n, f)``; voxels of the mask in the kernel ``(n,)``.
    """
    lattice = Lattice(aligned, kernel)
    names = [name for image in aligned.intensities for name in plan.names(image)]
    out = np.zeros((len(aligned.mask_idx), len(names)))
    inside = np.zeros(len(out), dtype=np.int64)
    tables = _Tables(lattice, kernel, plan)
    for n, (name, values) in enumerate(aligned.intensities.items()):
        first = n * len(plan.names(name))
        levels, n_levels = _levels(values, plan, name)
        grey = lattice.padded(levels), n_levels
        for family in plan.features:
            columns = plan.columns(family, first)
            if family == "intensity":
                _intensity(aligned, values, plan, columns, out)
                continue
            if family == "firstorder":
                work = _first_order(lattice, kernel, (lattice.padded(values), *grey), columns, (out, inside))
            else:
                work = tables.work(family, grey, columns, out)
            lattice.run(work, plan.threads)
    if "firstorder" not in plan.features:
        inside = lattice.count(kernel)
    return tuple(names), out, inside


def _levels(values: FloatArray, plan: Plan, name: str) -> tuple[npt.NDArray[np.uint16], int]:
    if {*_LEVELLED} & {*plan.features} or {"entropy", "uniformity"} & {*plan.features.get("firstorder", [])}:
        width, bound = plan.of("bin_width", name), plan.of("lower_bound", name)
        return discretise(values, bins=plan.bins, bin_width=width, lower_bound=bound, name=name)
    return np.ones(len(values), dtype=np.uint16), 1


def _first_order(
    lattice: Lattice,
    kernel: Neighbourhood,
    grey: tuple[npt.NDArray, npt.NDArray, int],
    columns: IntArray,
    results: tuple[FloatArray, npt.NDArray[np.int64]],
) -> Work:
    from comould.habitats import _kernels

    image, levels, n_levels = grey
    offsets = lattice.flat(kernel.offsets)
    out, inside = results
    return lambda runs: _kernels.first_order_runs((image, levels), runs, offsets, n_levels, columns, out, inside)


class _Tables:
    """The texture matrices of one request: what is the same for all images is worked out once."""

    def __init__(self, lattice: Lattice, kernel: Neighbourhood, plan: Plan) -> None:
        self.plan = plan
        self.pairs = _flat_pairs(lattice, kernel, plan) if "glcm" in plan.features else None
        pad = max(plan.distance, 1)
        low = kernel.offsets.min(axis=0) - pad
        shape = kernel.offsets.max(axis=0) + pad - low + 1
        self.strides = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
        self.kernel = (lattice.flat(kernel.offsets), (kernel.offsets - low) @ self.strides), int(shape.prod())

    def steps(self, family: str) -> Any:
        """Give the steps within a window that a family's matrix looks along."""
        plan = self.plan
        if family == "glrlm":
            along = directions(plan.dimension) @ self.strides
            return along[None] if plan.aggregation == "merged" else along[:, None]
        near = neighbours(plan.dimension, 1 if family == "glszm" else plan.distance) @ self.strides
        return (near, plan.coarseness) if family == "ngldm" else near

    def work(self, family: str, grey: tuple[npt.NDArray, int], columns: IntArray, out: FloatArray) -> Work:
        """Give the function that fills the rows of some runs."""
        from comould.habitats import _kernels, _windows

        levels, n_levels = grey
        if family == "glcm":
            counts = np.arange(_LOG_TABLE, dtype=np.float64)
            logs = counts * np.log2(np.maximum(counts, 1.0))
            return lambda runs: _kernels.glcm_runs(levels, runs, self.pairs, n_levels, logs, columns, out)
        maps = {
            "glrlm": _windows.run_length_maps,
            "glszm": _windows.zone_maps,
            "ngtdm": _windows.tone_maps,
            "ngldm": _windows.dependence_maps,
        }[family]
        steps = self.steps(family)
        return lambda runs: maps(levels, runs, self.kernel, n_levels, steps, columns, out)


def _flat_pairs(
    lattice: Lattice, kernel: Neighbourhood, plan: Plan
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


def _intensity(aligned: Aligned, values: FloatArray, plan: Plan, columns: IntArray, out: FloatArray) -> None:
    for (_, at), feature in zip(columns, plan.features["intensity"], strict=True):
        out[:, at] = values if feature == "voxel" else Smoother(aligned, _sigma_mm(plan, aligned))(values)


def _sigma_mm(plan: Plan, aligned: Aligned) -> float:
    if plan.radius_mm is not None:
        return plan.radius_mm / 2.0
    return float(np.max(np.asarray(plan.radius_voxels, dtype=np.float64))) * float(min(aligned.grid.spacing_mm)) / 2.0

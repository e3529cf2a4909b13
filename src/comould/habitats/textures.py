"""Texture matrices of a whole region, aggregated over slices and directions as IBSI defines it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.habitats import catalogue
from comould.habitats.neighbourhood import IntArray, directions, neighbours
from comould.space import FloatArray

Group = list[tuple[IntArray, IntArray]]
"""What shares one matrix: (places, direction or neighbours) of every slice and direction in it."""


@dataclass(frozen=True, eq=False)
class LevelBox:
    """Grey levels of a region in its padded box.

    Parameters
    ----------
    levels
        ``(k, j, i)`` uint16, 0 outside the region; at least ``distance`` voxels of zeros on every side.
    outline
        ``(k, j, i)`` bool: the morphological mask, which may hold more voxels than have levels.
    n_levels
        Grey levels there can be.
    distance
        Chebyshev distance of co-occurrences, grey tone differences and dependences.
    coarseness
        Levels that neighbours may differ by and still depend on each other.
    """

    levels: npt.NDArray[np.uint16]
    outline: npt.NDArray[np.bool_]
    n_levels: int
    distance: int = 1
    coarseness: int = 0

    @classmethod
    def around(
        cls, levels: npt.NDArray[np.uint16], outline: npt.NDArray[np.bool_], n_levels: int, pad: int = 1
    ) -> LevelBox:
        """Pad a box."""
        return cls(np.pad(levels, pad), np.pad(outline, pad), n_levels)

    def flat(self, offsets: IntArray) -> IntArray:
        """Give memory offsets of (k, j, i) offsets."""
        _, rows, columns = self.levels.shape
        return offsets @ np.array([rows * columns, columns, 1], dtype=np.int64)

    def planes(self) -> list[IntArray]:
        """List flat places of the region's voxels, slice by slice."""
        size = self.levels[0].size
        found = [np.flatnonzero(plane.ravel()) + k * size for k, plane in enumerate(self.levels)]
        return [places for places in found if len(places)]

    def depth(self, dimension: int) -> npt.NDArray[np.int64]:
        """Count the steps across faces from every voxel to the outside of the outline, in 3-D or within slices."""
        from scipy import ndimage

        if dimension == 3:
            return ndimage.distance_transform_cdt(self.outline, metric="taxicab").astype(np.int64)
        slices = [ndimage.distance_transform_cdt(plane, metric="taxicab") for plane in self.outline]
        return np.stack(slices).astype(np.int64)


def texture(box: LevelBox, family: str, aggregation: str) -> FloatArray:
    """Work out all features of one family under one aggregation.

    Parameters
    ----------
    box
        The region.
    family
        ``"glcm"``, ``"glrlm"``, ``"glszm"``, ``"gldzm"``, ``"ngtdm"`` or ``"ngldm"``.
    aggregation
        One of ``catalogue.AGGREGATIONS`` that the family knows.

    Returns
    -------
    ndarray
        One value per feature in the catalogue's order: the mean over the matrices that hold anything, NaN without one.
    """
    n_features = len(catalogue.FAMILIES[family])
    rows = [
        row[:n_features] for group in groups(box, family, aggregation) if (row := _row(box, family, group)) is not None
    ]
    return np.mean(rows, axis=0) if rows else np.full(n_features, np.nan)


def groups(box: LevelBox, family: str, aggregation: str) -> list[Group]:
    """Say which slices and directions share a matrix."""
    dimension = 3 if aggregation.startswith("3D") else 2
    planes = box.planes() if dimension == 2 else [np.concatenate(box.planes())]
    if family in catalogue.BY_VOLUME:
        distance = box.distance if family in {"ngtdm", "ngldm"} else 1
        steps = box.flat(neighbours(dimension, distance))
        merged = [[(places, steps)] for places in planes]
        return merged if aggregation != "2.5D" else [[part for group in merged for part in group]]
    steps = box.flat(directions(dimension, box.distance if family == "glcm" else 1))
    each = [[(places, steps[s : s + 1]) for s in range(len(steps))] for places in planes]
    if aggregation in {"2D, averaged", "3D, averaged"}:
        return [[one] for parts in each for one in parts]
    if aggregation == "2D, slice-merged":
        return each
    if aggregation == "2.5D, direction-merged":
        return [list(parts) for parts in zip(*each, strict=True)]
    return [[one for parts in each for one in parts]]


def _row(box: LevelBox, family: str, group: Group) -> FloatArray | None:
    if family == "glcm":
        return _cooccurrence_row(box, group)
    if family == "ngtdm":
        return _tone_row(box, group)
    return _size_row(box, family, group)


def _cooccurrence_row(box: LevelBox, group: Group) -> FloatArray | None:
    from comould.habitats import _kernels

    n = box.n_levels
    counted = np.zeros(n * (n + 1) // 2, dtype=np.int32), np.zeros(n + 1, dtype=np.int64)
    levels = box.levels.ravel()
    pairs = 0
    for places, step in group:
        pairs += _kernels.count_pairs(levels, 0, (places, places + step[0]), (0, len(places)), 1, counted)
    if not pairs:
        return None
    row = np.zeros(_kernels.N_GLCM)
    spread = tuple(np.zeros(length, dtype=np.int64) for length in (2 * n + 1, n + 1, n + 1))
    _kernels.cooccurrence_row(counted, n, pairs, np.zeros(1), spread, row)
    return row


def _tone_row(box: LevelBox, group: Group) -> FloatArray | None:
    from comould.habitats import _sizes

    numbers, differences = np.zeros(box.n_levels + 1, dtype=np.int64), np.zeros(box.n_levels + 1)
    levels = box.levels.ravel()
    for places, steps in group:
        _sizes.count_tones(levels, places, steps, numbers, differences)
    row = np.zeros(_sizes.N_TONE)
    return row if _sizes.tone_row(numbers, differences, np.zeros_like(numbers), row) else None


def _size_row(box: LevelBox, family: str, group: Group) -> FloatArray | None:
    from comould.habitats import _sizes

    n_voxels = sum(len(places) for places, _ in group)
    levels, sizes, counts = _distinct(list(_found(box, family, group)))
    if not len(counts):
        return None
    row = np.zeros(_sizes.N_SIZE)
    margin = np.zeros(int(max(levels.max(), sizes.max())) + 1, dtype=np.int64)
    _sizes.size_row((levels, sizes, counts), len(counts), n_voxels, margin, row)
    return row


def _distinct(found: list[list[IntArray]]) -> tuple[IntArray, IntArray, IntArray]:
    """List distinct pairs of level and size, and how often each was found."""
    base = max((int(sizes.max()) for _, sizes in found if len(sizes)), default=0) + 1
    keys, counts = np.unique(np.concatenate([levels * base + sizes for levels, sizes in found]), return_counts=True)
    return keys // base, keys % base, counts.astype(np.int64)


def _found(box: LevelBox, family: str, group: Sequence[tuple[IntArray, IntArray]]) -> Iterator[list[IntArray]]:
    """Levels and sizes of every run, zone or voxel of a group, slice by slice."""
    from comould.habitats import _sizes

    levels = box.levels.ravel()
    if family in {"glszm", "gldzm"}:
        whole = len(group) == 1 and len(group[0][1]) == len(neighbours(3))
        mark = np.zeros(levels.size, dtype=np.uint8)
        depth = box.depth(3 if whole else 2).ravel() if family == "gldzm" else np.zeros(levels.size, dtype=np.int64)
    for places, steps in group:
        out = [np.zeros(len(places), dtype=np.int64) for _ in range(3)]
        if family == "glrlm":
            n = _sizes.count_runs(levels, places, steps[0], (out[0], out[1]), 0)
        elif family == "ngldm":
            n = _sizes.count_dependences(levels, places, steps, box.coarseness, (out[0], out[1]))
        else:
            n = _sizes.count_zones(levels, places, steps, (mark, np.zeros_like(places), depth), tuple(out))
            out[1] = out[2] if family == "gldzm" else out[1]
        yield [out[0][:n], out[1][:n]]

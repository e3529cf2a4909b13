"""Label maps: NIfTI, NRRD (also 3D Slicer's named and overlapping segments), MetaImage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from comould.errors import GeometryError, InputError
from comould.io.image import load
from comould.io.roi import Roi, choose
from comould.io.volume import Array, Handed, Volume, oriented, place
from comould.space import Grid

MAX_LABELS = 256
"""More different values than this are an image, not a label map."""


@dataclass(frozen=True)
class _Segment:
    roi: Roi
    value: int
    layer: int
    voxels: int


def read_labelmap(
    path: Path, *, grid: Grid | None, roi: int | str | None, left_handed: Handed | None
) -> tuple[Grid, Array]:
    """Read one label as a mask.

    Parameters
    ----------
    path
        The file.
    grid
        Grid of the image it belongs to; axis order and direction may differ, voxel centres may not.
    roi
        Label value or segment name.
    left_handed
        As in :func:`comould.io.read_image`.

    Returns
    -------
    tuple
        Grid and boolean array.

    Raises
    ------
    InputError
        If there is no label, several without a choice, or values that are no labels.
    GeometryError
        If it does not lie on the image's grid.
    """
    volume = load(path)
    segments = _segments(volume, path)
    details = {s.roi.number: f"{s.voxels} voxels" for s in segments}
    chosen = choose([s.roi for s in segments], roi, subject=str(path), details=details)
    segment = next(s for s in segments if s.roi == chosen)
    if segment.voxels == 0:
        raise InputError(
            subject=f"region {chosen.number} of {path}",
            expected="at least one voxel",
            found="none",
            remedy="Draw it, or choose another with roi= (--roi)",
        )
    layer = volume.array if volume.array.ndim == 3 else volume.array[..., segment.layer]
    mask = Volume(layer == segment.value, volume.matrix, left_handed=volume.left_handed)
    own, array = oriented(mask, subject=str(path), left_handed=left_handed)
    if grid is None:
        return own, array
    placed = place(array, own.matrix, grid, whole=True)
    if placed is None:
        raise GeometryError(
            subject=f"segmentation {path}",
            expected="the image's grid",
            found=grid.difference(own) or "other voxel centres",
            remedy="Give the image it was drawn on, or resample the segmentation (nearest neighbour) to this one",
        )
    return grid, placed


def labelmap_rois(path: Path) -> list[Roi]:
    """List the labels of a label map, with Slicer's segment names where there are any."""
    return sorted(segment.roi for segment in _segments(load(path), path))


def _segments(volume: Volume, path: Path) -> list[_Segment]:
    layers = [volume.array] if volume.array.ndim == 3 else list(np.moveaxis(volume.array, -1, 0))
    named = _slicer_segments(volume.facts)
    if len(layers) > 1 and not named:
        raise InputError(
            subject=str(path),
            expected="one label a voxel, or 3D Slicer segments",
            found=f"{len(layers)} values a voxel without segment names",
            remedy="Save each layer as a label map of its own",
        )
    counts = [_counts(layer, path) for layer in layers]
    several = len(layers) > 1
    segments = [
        _Segment(Roi(n + 1 if several else value, name), value, layer, counts[layer].get(value, 0))
        for n, (name, value, layer) in enumerate(named)
        if layer < len(layers)
    ]
    known = {(s.layer, s.value) for s in segments}
    if not several:
        segments += [
            _Segment(Roi(value, f"label {value}"), value, 0, voxels)
            for value, voxels in counts[0].items()
            if (0, value) not in known
        ]
    return segments


def _slicer_segments(facts: dict[str, str]) -> list[tuple[str, int, int]]:
    """Name, label value and layer of each segment that 3D Slicer wrote into the header."""
    found = []
    numbers = sorted(int(m[1]) for m in (re.fullmatch(r"Segment(\d+)_LabelValue", key) for key in facts) if m)
    for n in numbers:
        value, layer = facts[f"Segment{n}_LabelValue"], facts.get(f"Segment{n}_Layer", "0")
        if value.isdecimal() and layer.isdecimal():
            found.append((facts.get(f"Segment{n}_Name", f"label {value}"), int(value), int(layer)))
    return found


def _counts(array: Array, path: Path) -> dict[int, int]:
    """Voxels of each label but 0."""
    if array.dtype.kind == "f":
        finite = np.isfinite(array).all()
        if not finite or (array != np.round(array)).any():
            low, high = (f"{x:.3g}" for x in (np.nanmin(array), np.nanmax(array))) if finite else ("NaN", "NaN")
            raise InputError(
                subject=str(path),
                expected="whole-numbered labels",
                found=f"values from {low} to {high} (a probability map or an image)" if finite else "NaN voxels",
                remedy="Threshold it to a label map first",
            )
    values, voxels = _tally(array)
    if len(values) > MAX_LABELS or values.min() < 0:
        raise InputError(
            subject=str(path),
            expected="a label map",
            found=f"{len(values)} different values from {values.min():g} to {values.max():g}: an image",
            remedy="Give the segmentation, not the picture",
        )
    return {int(v): int(n) for v, n in zip(values, voxels, strict=True) if v != 0}


def _tally(array: Array) -> tuple[Array, Array]:
    """Different values and their counts; slice by slice where values are small, so that big maps need no sorting."""
    if array.dtype.kind == "f" or array.min() < 0 or array.max() >= 1 << 16:
        return np.unique(array, return_counts=True)
    bins = np.zeros(int(array.max()) + 1, np.int64)
    for plane in array:
        bins += np.bincount(plane.ravel(), minlength=len(bins))
    return np.flatnonzero(bins), bins[bins > 0]

"""DICOM SEG: binary, overlapping, fractional and label-map segments; sparse frames."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.io.dicom import check_parallel
from comould.io.frames import HEADER_TAGS, Plane, frame_plane, functional_group, numbers, read_tags, value
from comould.io.pixels import stored_pixels
from comould.io.roi import Roi, choose
from comould.io.volume import Array, place
from comould.space import FloatArray, Grid

_TAGS = [*HEADER_TAGS, "SegmentSequence", "SegmentationType", "MaximumFractionalValue", "TotalPixelMatrixRows"]


def read_seg(path: Path, *, grid: Grid | None, roi: int | str | None) -> tuple[Grid, Array]:
    """Read one segment as a mask.

    Empty frames may be left out of a SEG, so slices without a frame are empty. Without an image the grid spans the
    frames of all segments of the file; its slice distance is that of the frames, or what the file says where that
    divides it (label maps with left-out frames).

    Parameters
    ----------
    path
        The DICOM file.
    grid
        Grid of the image to place it on, plane by plane, by position.
    roi
        Segment number or label.

    Returns
    -------
    tuple
        Grid and boolean array.

    Raises
    ------
    InputError
        If the segment is absent, ambiguous or empty.
    GeometryError
        If frames do not lie on the grid, or make none.

    References
    ----------
    DICOM PS3.3 A.51 (Segmentation IOD), C.8.20 (Segmentation modules).
    """
    dataset = read_tags(path, _TAGS)
    rois = _rois(dataset)
    chosen = choose(rois, roi, subject=str(path))
    if "TotalPixelMatrixRows" in dataset:
        raise InputError(
            subject=str(path),
            expected="a segmentation of a volume",
            found="one of a slide (tiled)",
            remedy="Give the segmentation of the CT or MR",
        )
    frames = max(int(value(dataset, "NumberOfFrames", 1) or 1), 1)
    planes = _planes(dataset, frames, path)
    pitch = _pitch(dataset, planes, grid, path)
    own, first = _own_matrix(planes, pitch)
    slots = np.array([(plane.position - first) @ planes[0].normal for plane in planes]) / pitch
    if np.abs(slots - slots.round()).max() > 0.1:
        raise _off_grid(path, "frames between the slices", grid)
    array = _stacked(dataset, path, chosen.number, slots.round().astype(int))
    if not array.any():
        raise InputError(
            subject=f"segment {chosen.number} of {path}",
            expected="at least one voxel",
            found="none",
            remedy="Choose another with roi= (--roi)",
        )
    if grid is None:
        size = (array.shape[2], array.shape[1], array.shape[0])
        spacing = np.linalg.norm(own[:3, :3], axis=0)
        return Grid(size, tuple(spacing.tolist()), tuple(own[:3, 3].tolist()), own[:3, :3] / spacing), array
    placed = place(array, own, grid)
    if placed is None:
        raise _off_grid(path, "frames of another lattice, or outside the image", grid)
    return grid, placed


def seg_rois(path: Path) -> list[Roi]:
    """List the segments of a DICOM SEG."""
    return _rois(read_tags(path, _TAGS))


def _rois(dataset: Any) -> list[Roi]:
    """Give the segments; number 0 of a label map is its background."""
    rois = []
    for item in value(dataset, "SegmentSequence", []):
        number = int(value(item, "SegmentNumber", 0))
        if number > 0:
            rois.append(Roi(number, str(value(item, "SegmentLabel", f"segment {number}"))))
    return sorted(rois)


def _off_grid(path: Path, found: str, grid: Grid | None) -> GeometryError:
    return GeometryError(
        subject=f"segmentation {path}",
        expected="frames on one even lattice" if grid is None else "frames on the image's slices and pixels",
        found=found,
        remedy="Give the image it was drawn on" + (" with image= (--image)" if grid is None else ""),
    )


def _planes(dataset: Any, frames: int, path: Path) -> list[Plane]:
    planes = [frame_plane(dataset, n) for n in range(frames)]
    problems = [f"frame {n + 1}: {plane}" for n, plane in enumerate(planes) if isinstance(plane, str)]
    if problems:
        raise GeometryError.collect(subject=str(path), problems=problems[:6])
    good = [plane for plane in planes if isinstance(plane, Plane)]
    check_parallel(good, [f"frame {n + 1}" for n in range(frames)], str(path))
    return good


def _pitch(dataset: Any, planes: Sequence[Plane], grid: Grid | None, path: Path) -> float:
    """Distance between slices, mm: the image's; else that of the frames, or the stated one where it divides it."""
    normal = planes[0].normal
    if grid is not None:
        return grid.spacing_mm[int(np.abs(normal @ grid.axes).argmax())]
    depth = np.unique(np.round([plane.position @ normal for plane in planes], 3))
    measures = functional_group(dataset, 0, "PixelMeasuresSequence")
    stated = numbers(measures, "SpacingBetweenSlices", 1) if measures is not None else None
    steps = np.diff(depth)
    steps = steps[steps > 0.01]
    if stated is not None and stated[0] > 0:
        pitch = float(stated[0])
        counts = np.round(steps / pitch)
        if not len(steps) or (counts.min() >= 1 and np.abs(steps / pitch - counts).max() < 0.05):
            return pitch
    if not len(steps):
        raise GeometryError(
            subject=f"segmentation {path}",
            expected="frames on several slices: their distance gives the spacing",
            found="one",
            remedy="Give the image it was drawn on with image= (--image)",
        )
    return float(np.median(steps[steps < 1.5 * steps.min()]))


def _own_matrix(planes: Sequence[Plane], pitch: float) -> tuple[FloatArray, FloatArray]:
    normal = planes[0].normal
    first = min(planes, key=lambda plane: float(plane.position @ normal)).position
    matrix = planes[0].matrix(pitch)
    matrix[:3, 3] = first
    return matrix, first


def _stacked(dataset: Any, path: Path, number: int, slots: Array) -> Array:
    """Collect the frames of one segment into a ``(z, y, x)`` mask."""
    pixels = stored_pixels(path)
    kind = str(value(dataset, "SegmentationType", "BINARY"))
    mask = np.zeros((int(slots.max()) + 1, *pixels.shape[1:]), bool)
    threshold = 1.0
    if kind == "FRACTIONAL":
        threshold = 0.5 * float(value(dataset, "MaximumFractionalValue", 255))
        warnings.warn(
            f"{path}: fractional segment {number} was cut at one half to make a mask", ComouldWarning, stacklevel=4
        )
    for n, slot in enumerate(slots.tolist()):
        if kind == "LABELMAP":
            mask[slot] |= pixels[n] == number
        elif _segment_of(dataset, n) == number:
            mask[slot] |= pixels[n] >= threshold
    return mask


def _segment_of(dataset: Any, frame: int) -> int:
    item = functional_group(dataset, frame, "SegmentIdentificationSequence")
    return int(value(item, "ReferencedSegmentNumber", 0)) if item is not None else 0

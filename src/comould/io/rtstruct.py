"""RTSTRUCT: planar contours → mask, on the image's grid or on one made from the contours."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.io.frames import read_tags, value
from comould.io.polygon import fill
from comould.io.roi import Roi, choose
from comould.io.volume import Array
from comould.space import FloatArray, Grid

_TAGS = ["Modality", "StructureSetROISequence", "ROIContourSequence"]
_CLOSED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "INTERPOLATED_PLANAR"}
SAME_PLANE = 0.1
"""Contours within this fraction of the slice distance lie in one plane; a plane within it of a slice is on it."""
IN_PLANE_MM = (0.25, 1.0)
"""Bounds of the pixel size of a grid made from contours."""
MARGIN = 3
"""Empty voxels around the contours in such a grid, on every side."""
MAX_PIXELS = 1024


def read_rtstruct(path: Path, *, grid: Grid | None, roi: int | str | None) -> tuple[Grid, Array]:
    """Turn one ROI's contours into a mask.

    A voxel is inside when its centre is (even-odd over all contours of a plane, so holes and keyholes come out right).

    Parameters
    ----------
    path
        The DICOM file.
    grid
        Grid of the image whose slices the contours were drawn on. ``None``: a grid is made from the contours, with a
        warning that says how.
    roi
        ROI name or number.

    Returns
    -------
    tuple
        Grid and boolean array.

    Raises
    ------
    InputError
        If the ROI is absent, ambiguous or has no closed contour.
    GeometryError
        If the contours are not parallel to the slices, lie outside the image, or make no grid.

    References
    ----------
    DICOM PS3.3 C.8.8.6 (ROI Contour Module).
    """
    dataset = read_tags(path, _TAGS)
    chosen, contours = _contours(dataset, roi, path)
    subject = f"ROI {chosen.number} of {path}"
    if grid is None:
        grid = grid_from_contours(contours, subject)
        spacing = " × ".join(f"{s:.3g}" for s in grid.spacing_mm)
        warnings.warn(
            f"{subject}: no image was given, so a grid of {spacing} mm was made from the contours "
            "(slices: their planes; pixels: the distance of their points)",
            ComouldWarning,
            stacklevel=3,
        )
    array = rasterise(contours, grid, subject)
    if not array.any():
        raise InputError(
            subject=subject,
            expected="at least one voxel",
            found="contours smaller than a voxel",
            remedy="Give the image it was drawn on",
        )
    return grid, array


def rtstruct_rois(path: Path) -> list[Roi]:
    """List the ROIs of an RTSTRUCT, also those without contours."""
    return _rois(read_tags(path, _TAGS))


def _rois(dataset: Any) -> list[Roi]:
    items = value(dataset, "StructureSetROISequence", [])
    return sorted(
        Roi(int(item.ROINumber), str(value(item, "ROIName", "") or f"ROI {item.ROINumber}")) for item in items
    )


def _contours(dataset: Any, roi: int | str | None, path: Path) -> tuple[Roi, list[FloatArray]]:
    """Choose the ROI and read its closed contours, each ``(n, 3)`` patient mm."""
    by_number: dict[int, list[Any]] = defaultdict(list)
    for item in value(dataset, "ROIContourSequence", []):
        by_number[int(item.ReferencedROINumber)] += list(value(item, "ContourSequence", []))
    rois = _rois(dataset)
    # A name chosen among all, but no choice needed when only one was drawn.
    drawn = [one for one in rois if by_number[one.number]]
    details = {one.number: f"{len(by_number[one.number])} contours" for one in rois}
    chosen = choose(drawn if roi is None and drawn else rois, roi, subject=str(path), details=details)
    contours, problems, other = [], [], 0
    for n, item in enumerate(by_number[chosen.number]):
        if str(value(item, "ContourGeometricType", "")) not in _CLOSED:
            other += 1
            continue
        data = np.array(value(item, "ContourData", []), dtype=np.float64)
        if data.size < 9 or data.size % 3 or not np.isfinite(data).all():
            problems.append(f"contour {n + 1} has {data.size} numbers, not 3 or more points")
            continue
        contours.append(data.reshape(-1, 3))
    _report(f"ROI {chosen.number} of {path}", contours, problems, other)
    return chosen, contours


def _report(subject: str, contours: Sequence[FloatArray], problems: Sequence[str], other: int) -> None:
    if not contours:
        raise InputError(
            subject=subject,
            expected="closed planar contours",
            found=f"{other} of other types" if other else "; ".join(problems[:6]) or "none",
            remedy="Choose another with roi= (--roi)",
        )
    dropped = [f"{other} points or open contours"] * bool(other) + list(problems)
    if dropped:
        warnings.warn(f"{subject}: dropped {'; '.join(dropped[:6])}", ComouldWarning, stacklevel=5)


def rasterise(contours: Sequence[FloatArray], grid: Grid, subject: str) -> Array:
    """Fill contours on the slices of a grid.

    Parameters
    ----------
    contours
        Each ``(n, 3)`` patient mm.
    grid
        The grid; contours must be parallel to its i–j planes.
    subject
        Subject of messages.

    Returns
    -------
    ndarray
        Boolean ``(z, y, x)``.

    Raises
    ------
    GeometryError
        If a contour is not parallel to the slices, or more than half a slice outside.
    """
    indices = [grid.index_from_patient(points) for points in contours]
    depth = np.array([points[:, 2].mean() for points in indices])
    tilt = max(float(np.abs(points[:, 2] - mean).max()) for points, mean in zip(indices, depth, strict=True))
    if tilt > 0.25:
        raise GeometryError(
            subject=subject,
            expected="contours parallel to the image's slices",
            found=f"points up to {tilt:.2g} slices off their plane",
            remedy="Give the image series it was drawn on, or none",
        )
    slices = _slices_of(depth, grid, subject)
    array = np.zeros(grid.shape, bool)
    for k in np.unique(slices[slices >= 0]).tolist():
        array[k] = fill([indices[n][:, :2] for n in np.flatnonzero(slices == k)], grid.shape[1:])
    _warn_clipped(indices, grid, subject)
    return array


def _slices_of(depth: FloatArray, grid: Grid, subject: str) -> Array:
    """Slice number of each contour, −1 for one whose slice has a nearer plane of contours."""
    nearest = np.floor(depth + 0.5).astype(int)
    outside = (depth < -0.5) | (depth > grid.size[2] - 0.5)
    if outside.any():
        raise GeometryError(
            subject=subject,
            expected=f"contours on the image's {grid.size[2]} slices",
            found=f"{np.count_nonzero(outside)} of {len(depth)} contours outside it",
            remedy="Give the image series it was drawn on, or none",
        )
    nearest = np.clip(nearest, 0, grid.size[2] - 1)
    distance = np.abs(depth - nearest)
    dropped = np.zeros(len(depth), bool)
    for k in np.unique(nearest):
        here = nearest == k
        best = depth[here][distance[here].argmin()]
        dropped |= here & (np.abs(depth - best) > SAME_PLANE)
    result = np.where(dropped, -1, nearest)
    _warn_planes(distance[~dropped], dropped, np.unique(nearest), grid.spacing_mm[2], subject)
    return result


def _warn_planes(distance: FloatArray, dropped: Array, filled: Array, slice_mm: float, subject: str) -> None:
    notes = []
    if distance.max() > SAME_PLANE:
        notes.append(
            f"contours lie up to {distance.max() * slice_mm:.2f} mm off the slices; each was put on the nearest"
        )
    if dropped.any():
        notes.append(f"{np.count_nonzero(dropped)} contours on planes between slices were left out")
    missing = sorted(set(range(int(filled.min()), int(filled.max()) + 1)) - set(filled.tolist()))
    if missing:
        shown = ", ".join(map(str, missing[:8])) + (", …" if len(missing) > 8 else "")
        notes.append(f"{len(missing)} slices between drawn ones have no contour and stay empty (index {shown})")
    if notes:
        warnings.warn(f"{subject}: {'; '.join(notes)}", ComouldWarning, stacklevel=5)


def _warn_clipped(indices: Sequence[FloatArray], grid: Grid, subject: str) -> None:
    high = np.array(grid.size[:2]) - 0.5
    over = sum(bool(((points[:, :2] < -0.5) | (points[:, :2] > high)).any()) for points in indices)
    if over == len(indices) and all(
        ((points[:, :2] < -0.5).all(axis=0) | (points[:, :2] > high).all(axis=0)).any() for points in indices
    ):
        raise GeometryError(
            subject=subject,
            expected="contours within the image",
            found="all of them beside it",
            remedy="Give the image series it was drawn on, or none",
        )
    if over:
        warnings.warn(
            f"{subject}: {over} contours reach beyond the image and were cut at its border",
            ComouldWarning,
            stacklevel=4,
        )


def grid_from_contours(contours: Sequence[FloatArray], subject: str) -> Grid:
    """Make a grid whose slices are the contours' planes.

    The slice distance is that of neighbouring planes; the pixel size the median distance of neighbouring contour
    points, within :data:`IN_PLANE_MM`. The in-plane axes are the patient axes nearest to the planes.

    Parameters
    ----------
    contours
        Each ``(n, 3)`` patient mm, parallel, at any angle to the patient.
    subject
        Subject of messages.

    Raises
    ------
    GeometryError
        If the contours are not parallel planes, all in one plane, or unevenly spaced.
    """
    normal = _common_normal(contours, subject)
    depth = np.array([float((points @ normal).mean()) for points in contours])
    pitch = _plane_distance(np.sort(depth), subject)
    axes = _axes(normal)
    points = np.vstack(contours) @ axes
    edges = np.concatenate([np.linalg.norm(np.diff(c, axis=0, append=c[:1]), axis=1) for c in contours])
    extent = float(np.ptp(points[:, :2], axis=0).max())
    pixel = float(np.clip(np.median(edges[edges > 1e-6]), *IN_PLANE_MM))
    pixel = max(min(pixel, pitch), extent / MAX_PIXELS)
    low = np.append(np.floor(points[:, :2].min(axis=0) / pixel) * pixel, depth.min())
    high = np.append(points[:, :2].max(axis=0), depth.max())
    spacing = np.array([pixel, pixel, pitch])
    size = np.ceil((high - low) / spacing - 1e-6).astype(int) + 1 + 2 * MARGIN
    origin = axes @ (low - MARGIN * spacing)
    return Grid(tuple(size.tolist()), tuple(spacing.tolist()), tuple(origin.tolist()), axes)


def _common_normal(contours: Sequence[FloatArray], subject: str) -> FloatArray:
    """Find the mean normal (Newell), positive in its largest component; check that all contours share it."""
    areas = np.array([_area_vector(points) for points in contours])
    largest = areas[np.linalg.norm(areas, axis=1).argmax()]
    length = float(np.linalg.norm(largest))
    if length < 1e-6:
        raise GeometryError(subject=subject, expected="contours that enclose an area", found="lines or points only")
    total = (areas * np.sign(areas @ largest)[:, None]).sum(axis=0)
    normal = total / np.linalg.norm(total)
    normal = normal * np.sign(normal[np.abs(normal).argmax()])
    if np.abs(normal).max() > 1 - 1e-6:
        normal = np.round(normal)
    tilt = max(float(np.ptp(points @ normal)) for points in contours)
    if tilt > 0.1:
        raise GeometryError(
            subject=subject,
            expected="parallel planar contours",
            found=f"points up to {tilt:.2f} mm off a common plane",
            remedy="Give the image it was drawn on with image= (--image)",
        )
    return normal


def _area_vector(points: FloatArray) -> FloatArray:
    local = points - points.mean(axis=0)
    return np.cross(local, np.roll(local, -1, axis=0)).sum(axis=0) / 2.0


def _plane_distance(depth: FloatArray, subject: str) -> float:
    """Distance between neighbouring planes, mm; planes may be missing in between."""
    # Points carry three decimals as a rule: contours nearer than this lie in one plane.
    plane = np.concatenate([[0], np.cumsum(np.diff(depth) > 0.05)])
    steps = np.diff(np.bincount(plane, weights=depth) / np.bincount(plane))
    if not len(steps):
        raise GeometryError(
            subject=subject,
            expected="contours on several planes: their distance gives the slice spacing",
            found="one plane",
            remedy="Give the image it was drawn on with image= (--image)",
        )
    pitch = float(np.median(steps[steps < 1.5 * steps.min()]))
    counts = np.round(steps / pitch)
    if np.abs(steps / pitch - counts).max() > SAME_PLANE:
        shown = ", ".join(f"{step:.2f}" for step in np.unique(steps.round(2))[:6])
        raise GeometryError(
            subject=subject,
            expected="evenly spaced contour planes",
            found=f"distances of {shown} mm",
            remedy="Give the image it was drawn on with image= (--image)",
        )
    return float(steps.sum() / counts.sum())


def _axes(normal: FloatArray) -> FloatArray:
    """Right-handed in-plane axes and the normal, as columns: i along the patient's left (sagittal: posterior)."""
    towards = np.eye(3)[1 if np.abs(normal).argmax() == 0 else 0]
    along_i = towards - normal * (towards @ normal)
    along_i /= np.linalg.norm(along_i)
    return np.column_stack([along_i, np.cross(normal, along_i), normal])

"""Where the knife goes: cutting planes through a lesion, on image slices when they are parallel to them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.space import CutPlane, FloatArray, Grid, SlicePlan

PARALLEL_DEG = 0.5
"""Planes nearer than this to an image axis are taken to be the image's own slices."""

UNIFORM_TOLERANCE = 0.2
"""Largest relative change of spacing that keeps the planes equally spaced on slices."""

_NAMED: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "axial": ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
    "coronal": ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    "sagittal": ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
}


@dataclass(frozen=True, eq=False)
class View:
    """Directions of the cut: patient unit vectors with u × v = normal.

    Parameters
    ----------
    normal, u, v
        As in :class:`~comould.space.CutPlane`: looking along the normal, u is right and v down.
    axis
        Image axis (0 i, 1 j, 2 k) the normal is parallel to and whose voxel centres the planes snap to, or ``None``.
    """

    normal: FloatArray
    u: FloatArray
    v: FloatArray
    axis: int | None


def resolve_view(plane: str | Sequence[float], grid: Grid) -> View:
    """Turn ``"axial"``, ``"coronal"``, ``"sagittal"``, ``"image"`` or a normal vector into directions.

    Parameters
    ----------
    plane
        Axial looks towards the head (u to the patient's left, v posterior), coronal looks posterior (u left, v
        inferior), sagittal looks to the patient's right (u posterior, v inferior), ``"image"`` looks along the image's
        k axis (u = i, v = j): what a viewer shows. A vector of 3 (patient LPS) is the normal itself.
    grid
        The image's grid; a normal within 0.5° of its slices' normal is replaced by it exactly.

    Raises
    ------
    InputError
        For an unknown name or a vector that is no direction.
    """
    if isinstance(plane, str) and "," in plane:
        plane = _parse(plane)
    if isinstance(plane, str):
        name = plane.strip().lower()
        if name == "image":
            normal, u = grid.axes[:, 2], grid.axes[:, 0]
        elif name in _NAMED:
            normal, u = (np.array(part) for part in _NAMED[name])
        else:
            raise InputError(
                subject=f"plane {plane!r}",
                expected="axial, coronal, sagittal, image or a normal vector such as 0,0.3,1",
                found="none of these",
            )
    else:
        normal = np.asarray(plane, dtype=np.float64)
        length = float(np.linalg.norm(normal)) if normal.shape == (3,) else 0.0
        if not np.isfinite(length) or length < 1e-6:
            raise InputError(subject="plane", expected="a finite normal vector of 3", found=f"{list(plane)}")
        normal = normal / length
        u = np.array(_NAMED["sagittal"][1] if np.argmax(np.abs(normal)) == 0 else _NAMED["axial"][1])
    axis = _parallel_axis(normal, grid)
    if axis is not None:
        normal = grid.axes[:, axis] * np.sign(grid.axes[:, axis] @ normal)
    # Header directions are orthonormal only to float32: make the triple exact.
    normal = normal / np.linalg.norm(normal)
    u = u - normal * (u @ normal)
    u = u / np.linalg.norm(u)
    return View(normal, u, np.cross(normal, u), axis)


def plan_cuts(
    points_mm: FloatArray,
    view: View,
    grid: Grid,
    *,
    spacing_mm: float,
    slot_mm: float,
    min_rib_mm: float,
    min_end_slab_mm: float,
) -> SlicePlan:
    """Place the cutting planes through the lesion, centred on it.

    Parameters
    ----------
    points_mm
        ``(n, 3)`` patient positions of the lesion's voxel centres.
    view, grid
        Directions of the cut, and the image's grid.
    spacing_mm
        Distance asked for between neighbouring planes.
    slot_mm
        Slot width: booked as the planes' kerf.
    min_rib_mm
        Thinnest wall allowed between two slots.
    min_end_slab_mm
        Thinnest tissue allowed beyond the first and the last plane.

    Returns
    -------
    SlicePlan
        Planes ``P01``, ``P02``, … along the normal; ``image_index`` is filled when they lie on slices.

    Raises
    ------
    InputError
        If the spacing leaves ribs thinner than allowed.

    Warns
    -----
    ComouldWarning
        If the spacing changed because planes snapped to slices, or if even one plane leaves thin end slabs.
    """
    if spacing_mm - slot_mm < min_rib_mm - 1e-9:
        raise InputError(
            subject=f"spacing {spacing_mm:g} mm",
            expected=f"at least {slot_mm + min_rib_mm:g} mm (slot {slot_mm:g} + rib {min_rib_mm:g})",
            found=f"ribs of {spacing_mm - slot_mm:.3g} mm",
            remedy="Give a larger spacing, or a narrower slot_mm",
        )
    along = points_mm @ view.normal
    # The outer voxels reach half their own extent beyond their centres.
    half = 0.5 * float(np.abs(view.normal @ grid.axes) @ np.array(grid.spacing_mm))
    low, high = float(along.min()) - half, float(along.max()) + half
    if view.axis is None:
        at = _centred(low, high, spacing_mm, _count(low, high, spacing_mm, min_end_slab_mm))
    else:
        at = _snapped(low, high, view, grid, (spacing_mm, slot_mm + min_rib_mm, min_end_slab_mm))
    if min(at[0] - low, high - at[-1]) < min_end_slab_mm - 1e-6:
        warnings.warn(
            f"cutting planes: end slabs of {at[0] - low:.2f} and {high - at[-1]:.2f} mm are thinner than the "
            f"{min_end_slab_mm:g} mm asked for: the lesion is only {high - low:.1f} mm long",
            ComouldWarning,
            stacklevel=3,
        )
    middle = 0.5 * (points_mm.min(axis=0) + points_mm.max(axis=0))
    middle = middle - view.normal * (middle @ view.normal)
    planes = []
    for n, position in enumerate(at, 1):
        origin = middle + view.normal * position
        index = float(grid.index_from_patient(origin)[0, 2]) if view.axis == 2 else None
        planes.append(
            CutPlane(
                f"P{n:02d}",
                tuple(origin),
                tuple(view.normal),
                tuple(view.u),
                tuple(view.v),
                image_index=None if index is None else round(index, 6) + 0.0,
                kerf_mm=slot_mm,
            )
        )
    return SlicePlan(tuple(planes))


def _parse(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(
            subject=f"plane {text!r}", expected="three numbers such as 0,0.3,1", found="something else"
        ) from error


def _parallel_axis(normal: FloatArray, grid: Grid) -> int | None:
    """Image axis whose voxel centres are slices for this normal: the k axis, or the thickest one however stored."""
    cosines = np.abs(normal @ grid.axes)
    axis = int(np.argmax(cosines))
    thickest = grid.spacing_mm[axis] >= 0.99 * max(grid.spacing_mm)
    if cosines[axis] < np.cos(np.radians(PARALLEL_DEG)) or not (axis == 2 or thickest):
        return None
    return axis


def _count(low: float, high: float, spacing: float, end: float) -> int:
    return max(int(np.floor((high - low - 2 * end) / spacing + 1e-9)) + 1, 1)


def _centred(low: float, high: float, spacing: float, count: int) -> FloatArray:
    return np.asarray(0.5 * (low + high) + spacing * (np.arange(count) - 0.5 * (count - 1)), dtype=np.float64)


def _snapped(low: float, high: float, view: View, grid: Grid, rules: tuple[float, float, float]) -> FloatArray:
    """Snap to voxel centres along ``view.axis``; ``rules`` are spacing, least gap and least end slab in mm."""
    spacing, least_gap, end = rules
    axis = view.axis if view.axis is not None else 2
    step = grid.spacing_mm[axis]
    phase = float(np.asarray(grid.origin_mm) @ view.normal)
    per = max(1, round(spacing / step), int(np.ceil(least_gap / step - 1e-9)))
    # Snapped one by one, neighbours may lie as close as the whole slices in a spacing: unless ribs get too thin.
    too_close = max(1, int(spacing / step + 1e-9)) * step < least_gap - 1e-9
    uniform = abs(per * step - spacing) <= UNIFORM_TOLERANCE * spacing or too_close
    apart = per * step if uniform else spacing
    # Snapping moves planes by up to half a slice: with one plane fewer the end slabs are thick enough again.
    for count in range(_count(low, high, apart, end), 0, -1):
        at = _centred(low, high, apart, count)
        at = _on_slices(at[:1], step, phase) + apart * np.arange(count) if uniform else _on_slices(at, step, phase)
        if min(at[0] - low, high - at[-1]) >= end - 1e-6:
            break
    if len(at) > 1 and not (uniform and abs(apart - spacing) <= 0.005 * spacing):
        gaps = " or ".join(f"{gap:.3g}" for gap in np.unique(np.diff(at).round(2)))
        warnings.warn(
            f"cutting planes: snapped to the centres of the image's {step:.3g} mm slices, so they lie {gaps} mm apart "
            f"instead of {spacing:g} mm",
            ComouldWarning,
            stacklevel=4,
        )
    return at


def _on_slices(at: FloatArray, step: float, phase: float) -> FloatArray:
    # Halves go down, so that a plane midway between two slices does not depend on rounding noise.
    return np.unique(np.ceil((at - phase) / step - 0.5 - 1e-6)) * step + phase


def check_direction(view: View, direction: FloatArray, subject: str) -> FloatArray:
    """Lay a patient direction into the cutting planes.

    Raises
    ------
    GeometryError
        If it runs nearly along the planes' normal, so that it does not say which way is up.
    """
    inside = direction - view.normal * (direction @ view.normal)
    length = float(np.linalg.norm(inside))
    if length < np.sin(np.radians(20.0)):
        raise GeometryError(
            subject=subject,
            expected="a direction within the cutting planes",
            found="one along their normal",
            remedy="The mould opens across the cuts: choose a direction that lies in the cutting planes",
        )
    return inside / length

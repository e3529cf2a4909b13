"""Where the knife goes: cutting planes through a lesion, on image slices when they are parallel to them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.mould.lattice import TOLERANCE_MM, Room
from comould.mould.parameters import Parameters
from comould.mould.profile import EVEN_TIE, Profile, feature_profile, habitat_profiles, sight
from comould.mould.storage import NAMED, canonical, slice_axis, spread
from comould.space import CutPlane, FloatArray, Grid, SlicePlan

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.mould.lesion import Lesion

PARALLEL_DEG = 0.5
"""Planes nearer than this to an image axis are taken to be the image's own slices."""

OBLIQUE_DEG = 45.0
"""Slices nearer than this to a named view go by its name, although they are not its planes."""

SHIFTS = 20
"""Places within one spacing that are tried for the planes that see most habitats, where they do not snap."""


@dataclass(frozen=True, eq=False)
class View:
    """Directions of the cut: patient unit vectors with u × v = normal.

    Parameters
    ----------
    normal, u, v
        As in :class:`~comould.space.CutPlane`: looking along the normal, u is right and v down.
    axis
        Image axis (0 i, 1 j, 2 k) the normal is parallel to and whose voxel centres the planes snap to, or ``None``.
    name
        ``axial``, ``coronal``, ``sagittal`` or ``image``; empty for a normal vector.
    """

    normal: FloatArray
    u: FloatArray
    v: FloatArray
    axis: int | None
    name: str = ""


def resolve_view(plane: str | Sequence[float], grid: Grid) -> View:
    """Turn ``"axial"``, ``"coronal"``, ``"sagittal"``, ``"image"`` or a normal vector into directions.

    Parameters
    ----------
    plane
        Axial looks towards the head (u to the patient's left, v posterior), coronal looks posterior (u left, v
        inferior), sagittal looks to the patient's right (u posterior, v inferior). ``"image"`` takes the acquisition's
        own slices, oblique or not, turned as the nearest of these views, whatever the storage order. A vector of 3
        (patient LPS) is the normal itself.
    grid
        The image's grid; a normal within 0.5° of its slices' normal is replaced by it exactly.

    Raises
    ------
    InputError
        For an unknown name or a vector that is no direction.
    """
    name = ""
    if isinstance(plane, str) and "," in plane:
        plane = _parse(plane)
    if isinstance(plane, str):
        name = plane.strip().lower()
        if name == "image":
            upright = canonical(grid).of_grid(grid)
            normal, u = upright.axes[:, 2], upright.axes[:, 0]
        elif name in NAMED:
            normal, u = (np.array(part) for part in NAMED[name])
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
        u = np.array(NAMED["sagittal"][1] if np.argmax(np.abs(normal)) == 0 else NAMED["axial"][1])
    axis = _parallel_axis(normal, grid)
    if axis is not None:
        normal = grid.axes[:, axis] * np.sign(grid.axes[:, axis] @ normal)
    # Header directions are orthonormal only to float32: make the triple exact.
    normal = normal / np.linalg.norm(normal)
    u = u - normal * (u @ normal)
    u = u / np.linalg.norm(u)
    return View(normal, u, np.cross(normal, u), axis, name)


def plan_for(
    lesion: Lesion,
    view: View,
    size: Parameters,
    *,
    habitats: sitk.Image | None = None,
    feature: sitk.Image | None = None,
) -> SlicePlan:
    """Place the cutting planes of a specimen as its settings say.

    Parameters
    ----------
    lesion
        The specimen.
    view
        Directions of the cut.
    size
        ``positions_mm`` lists the cuts, else they lie ``spacing_mm`` apart, centred as ``centre_on`` says; ``snap``,
        ``face``, ``min_end_slab_mm``, ``slot_mm`` and ``min_rib_mm`` hold for both.
    habitats
        Label image for ``centre_on="most_habitats"``: of all places of the planes, the one where most habitats have
        room for a core of 3 mm on some plane; then the one with most planes; then the one where the worst-off habitat
        is seen most.
    feature
        Mask whose largest cross-section ``centre_on="largest_section"`` takes, instead of the specimen's.

    Returns
    -------
    SlicePlan
        Planes ``P01``, ``P02``, … along the normal; ``kerf_mm`` is the slot's width, ``image_index`` is filled where
        planes are parallel to the slices as stored.

    Raises
    ------
    InputError
        If spacing or positions leave ribs or end slabs thinner than allowed, or the labels to centre on are missing.

    Warns
    -----
    ComouldWarning
        If planes moved onto slices, if end slabs are thin, if habitats are not seen, or if a named view runs oblique to
        the image's own slices.
    """
    _tell_oblique(view, lesion.grid)
    points = lesion.points_mm()
    room = _room(points, view, lesion.grid, size)
    if size.positions_mm:
        at = room.listed(size.positions_mm)
        _tell_moved(at, np.sort(size.positions_mm))
    else:
        at = _placed(room, lesion, view, size, (habitats, feature))
        _tell_spacing(at, room)
        _tell_ends(at, room)
    stored = lesion.grid if lesion.stored is None else lesion.stored
    return _planes(points, view, stored, size, at)


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
    """Place equally spaced planes, centred and snapped, through the voxel centres ``(n, 3)`` of a specimen.

    See :func:`plan_for`, which takes all settings.
    """
    size = Parameters.model_validate(
        {
            "spacing_mm": spacing_mm,
            "slot_mm": slot_mm,
            "min_rib_mm": min_rib_mm,
            "min_end_slab_mm": min_end_slab_mm,
        }
    )
    room = _room(points_mm, view, grid, size)
    at = room.centred()
    _tell_spacing(at, room)
    _tell_ends(at, room)
    return _planes(points_mm, view, grid, size, at)


def _room(points_mm: FloatArray, view: View, grid: Grid, size: Parameters) -> Room:
    least = size.slot_mm + size.min_rib_mm
    if not size.positions_mm and size.spacing_mm < least - 1e-9:
        raise InputError(
            subject=f"spacing {size.spacing_mm:g} mm",
            expected=f"at least {least:g} mm (slot {size.slot_mm:g} + rib {size.min_rib_mm:g})",
            found=f"ribs of {size.spacing_mm - size.slot_mm:.3g} mm",
            remedy="Give a larger spacing, or a narrower slot_mm",
        )
    along = points_mm @ view.normal
    # The outer voxels reach half their own extent beyond their centres.
    half = 0.5 * spread(grid, view.normal)
    return Room(
        float(along.min()) - half,
        float(along.max()) + half,
        size.spacing_mm,
        least,
        size.min_end_slab_mm,
        grid.spacing_mm[view.axis] if size.snap and view.axis is not None else None,
        float(np.asarray(grid.origin_mm) @ view.normal),
    )


def _placed(
    room: Room, lesion: Lesion, view: View, size: Parameters, labels: tuple[sitk.Image | None, sitk.Image | None]
) -> FloatArray:
    """Equally spaced planes, centred as asked."""
    habitats, feature = labels
    if size.centre_on == "largest_section":
        profile = (
            Profile.of(lesion.points_mm(), lesion.grid, view.normal)
            if feature is None
            else feature_profile(feature, lesion, view.normal)
        )
        return room.through(profile.largest_mm(0.5 * (room.low + room.high)))
    if size.centre_on == "most_habitats":
        return _seeing_most(room, habitat_profiles(habitats, lesion, view.normal))
    return room.centred()


def _seeing_most(room: Room, profiles: dict[int, Profile]) -> FloatArray:
    """Try every place of the planes within one spacing.

    Most habitats seen, then most planes, then evenness decide; among equals the planes nearest the centred ones win.
    """
    start = room.centred()
    step = room.apart / SHIFTS if room.step is None else room.step
    count = max(1, round(room.apart / step))
    shifts = sorted((n - (count - 1) // 2 for n in range(count)), key=lambda n: (abs(n), n))
    tried = [start, *(room.through(float(start[len(start) // 2]) + n * step) for n in shifts if n)]
    seen = [sight(at, profiles, room.apart) for at in tried]
    merit = [(len(one.seen), len(at)) for one, at in zip(seen, tried, strict=True)]
    best = [n for n, one in enumerate(merit) if one == max(merit)]
    evenest = max(seen[n].evenness for n in best)
    chosen = next(n for n in best if seen[n].evenness >= evenest * (1.0 - EVEN_TIE))
    if missed := sorted(set(profiles) - set(seen[chosen].seen)):
        many = "s" if len(missed) > 1 else ""
        warnings.warn(
            f"cutting planes: habitat{many} {', '.join(map(str, missed))} not seen with room for a 3 mm core on any "
            "plane; a smaller spacing may show more",
            ComouldWarning,
            stacklevel=4,
        )
    return tried[chosen]


def _planes(points_mm: FloatArray, view: View, stored: Grid, size: Parameters, at: FloatArray) -> SlicePlan:
    middle = 0.5 * (points_mm.min(axis=0) + points_mm.max(axis=0))
    middle = middle - view.normal * (middle @ view.normal)
    # A slice number is one of the stored k axis: along another axis it would name no image.
    numbered = view.axis is not None and abs(float(view.normal @ stored.axes[:, 2])) > 1.0 - 1e-6
    planes = []
    for n, position in enumerate(at, 1):
        origin = middle + view.normal * position
        index = round(float(stored.index_from_patient(origin)[0, 2]), 6) + 0.0 if numbered else None
        planes.append(
            CutPlane(
                f"P{n:02d}",
                tuple(origin),
                tuple(view.normal),
                tuple(view.u),
                tuple(view.v),
                image_index=index,
                kerf_mm=size.slot_mm,
                face=size.face,
            )
        )
    return SlicePlan(tuple(planes))


def _tell_oblique(view: View, grid: Grid) -> None:
    """Say when the patient's axial planes are asked for and the image's "axial" slices are others."""
    off = float(np.degrees(np.arccos(min(1.0, abs(float(view.normal @ grid.axes[:, slice_axis(grid)]))))))
    if view.name in NAMED and view.axis is None and off < OBLIQUE_DEG:
        warnings.warn(
            f"cutting planes: the patient's {view.name} planes run {off:.1f}° off the image's own slices, so pictures "
            "of them are interpolated; plane='image' (--plane image) cuts along the slices",
            ComouldWarning,
            stacklevel=3,
        )


def _tell_ends(at: FloatArray, room: Room) -> None:
    if room.thinnest_end(at) < room.end - TOLERANCE_MM:
        warnings.warn(
            f"cutting planes: end slabs of {at[0] - room.low:.2f} and {room.high - at[-1]:.2f} mm are thinner than the "
            f"{room.end:g} mm asked for: the lesion is only {room.high - room.low:.1f} mm long",
            ComouldWarning,
            stacklevel=3,
        )


def _tell_spacing(at: FloatArray, room: Room) -> None:
    if room.step is None or len(at) < 2 or (room.uniform and abs(room.apart - room.spacing) <= 0.005 * room.spacing):
        return
    gaps = " or ".join(f"{gap:.3g}" for gap in np.unique(np.diff(at).round(2)))
    even = "" if room.uniform else f"spacing_mm={room.whole:.4g} gives even slabs on slices, "
    warnings.warn(
        f"cutting planes: snapped to the centres of the image's {room.step:.3g} mm slices, so they lie {gaps} mm apart "
        f"instead of {room.spacing:g} mm ({even}snap=false keeps {room.spacing:g} mm, up to {0.5 * room.step:.2g} mm "
        "off a slice's centre)",
        ComouldWarning,
        stacklevel=3,
    )


def _tell_moved(at: FloatArray, asked: FloatArray) -> None:
    moved = float(np.abs(at - asked).max())
    if moved > 5 * TOLERANCE_MM:
        warnings.warn(
            f"cutting planes: moved by up to {moved:.2g} mm onto the centres of the image's slices (snap=false keeps "
            "positions_mm as given)",
            ComouldWarning,
            stacklevel=3,
        )


def _parse(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(
            subject=f"plane {text!r}", expected="three numbers such as 0,0.3,1", found="something else"
        ) from error


def _parallel_axis(normal: FloatArray, grid: Grid) -> int | None:
    """Image axis whose voxel centres are slices for this normal: the slices' own, or one as thick, however stored."""
    cosines = np.abs(normal @ grid.axes)
    axis = int(np.argmax(cosines))
    thickest = grid.spacing_mm[axis] >= 0.99 * max(grid.spacing_mm)
    if cosines[axis] < np.cos(np.radians(PARALLEL_DEG)) or not (axis == slice_axis(grid) or thickest):
        return None
    return axis


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

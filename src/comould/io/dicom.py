"""DICOM series: slices sorted by position alone, checked to be one evenly spaced stack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from comould.errors import GeometryError, InputError
from comould.io.frames import HEADER_TAGS, Plane, frame_plane, functional_group, numbers, plane_of, read_tags, value
from comould.io.pixels import stored_pixels
from comould.io.volume import Array, Volume
from comould.space import FloatArray

UNIFORM_TOLERANCE = 0.02
"""Slices are evenly spaced when every step is within this fraction of the median step, and in line when none is off
the common normal by more than this fraction of a pixel; 0.01 mm of rounding is granted to steps and pixels ≥ 0.2 mm."""

SEGMENTATION_MODALITIES = frozenset({"SEG", "RTSTRUCT"})
_LISTED = 6


@dataclass(frozen=True)
class Header:
    """What comould keeps of one DICOM file: no name, no identifier of a person, no free text."""

    path: Path
    modality: str
    series_uid: str
    series_number: int
    frames: int
    dataset: Any

    @property
    def is_image(self) -> bool:
        """Has pixels and is not a segmentation."""
        return bool(value(self.dataset, "Rows", 0)) and self.modality not in SEGMENTATION_MODALITIES


@dataclass(frozen=True)
class Slice:
    """One slice: its file and frame, its plane and its rescaling."""

    path: Path
    frame: int
    name: str
    plane: Plane
    slope: float
    intercept: float


def scan(folder: Path) -> list[Header]:
    """Read the headers of every DICOM file under a folder; other files are passed over."""
    headers = []
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
            continue
        with path.open("rb") as stream:
            if stream.read(132)[128:] != b"DICM":
                continue
        headers.append(read_header(path))
    return headers


def read_header(path: Path) -> Header:
    """Read one DICOM file's header.

    Raises
    ------
    InputError
        If it cannot be parsed.
    """
    dataset = read_tags(path, HEADER_TAGS)
    if "SOPClassUID" not in dataset and "Modality" not in dataset:
        raise InputError(
            subject=str(path),
            expected="a DICOM file",
            found="one that names neither its class nor its modality",
            remedy="It may be damaged: export or copy it again",
        )
    return Header(
        path,
        str(value(dataset, "Modality", "?"))[:16],
        str(value(dataset, "SeriesInstanceUID", "")),
        int(value(dataset, "SeriesNumber", 0) or 0),
        int(value(dataset, "NumberOfFrames", 0) or 0),
        dataset,
    )


def read_series(path: Path, *, series_uid: str | None = None) -> Volume:
    """Read one DICOM image series as a volume.

    Parameters
    ----------
    path
        A folder, searched with its subfolders; an enhanced multi-frame file; or one slice, which stands for its
        series in its own folder.
    series_uid
        Which series, when there are several.

    Returns
    -------
    Volume
        Array ``(z, y, x)`` sorted along the normal; right-handed matrix. Integers where no rescaling but whole
        numbers applies, else float32.

    Raises
    ------
    InputError
        If there is no image, or several series and none was chosen.
    GeometryError
        If slices lack a position, are duplicated, unevenly spaced, of different size or orientation, or only one.

    References
    ----------
    DICOM PS3.3 C.7.6.2 (Image Plane Module) and C.7.6.16 (Multi-frame Functional Groups).
    """
    headers, subject = _choose_files(path, series_uid)
    slices = _slices(headers, subject)
    order, matrix = stack([s.plane for s in slices], [s.name for s in slices], subject)
    return Volume(_pixels([slices[n] for n in order]), matrix)


def _choose_files(path: Path, series_uid: str | None) -> tuple[list[Header], str]:
    if path.is_file():
        header = read_header(path)
        if not header.is_image:
            raise InputError(
                subject=str(path),
                expected="a DICOM image",
                found=f"modality {header.modality}",
                remedy="Segmentations are read with read_segmentation"
                if header.modality in SEGMENTATION_MODALITIES
                else "",
            )
        if header.frames > 1:
            return [header], str(path)
        siblings = [read_header(file) for file in sorted(path.parent.iterdir()) if _is_dicom(file)]
        return _one_series(siblings, header.series_uid, path.parent)
    return _one_series(scan(path), series_uid, path)


def _is_dicom(path: Path) -> bool:
    if not path.is_file() or path.name.upper() == "DICOMDIR":
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _one_series(headers: list[Header], series_uid: str | None, folder: Path) -> tuple[list[Header], str]:
    series: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        if header.is_image:
            series[header.series_uid].append(header)
    if not series:
        found = f"{len(headers)} DICOM files without an image" if headers else "no DICOM file"
        raise InputError(
            subject=f"folder {folder}",
            expected="a DICOM image series",
            found=found,
            remedy="Check the path; segmentations are read with read_segmentation" if headers else "Check the path",
        )
    if series_uid is not None and series_uid in series:
        return series[series_uid], f"DICOM series in {folder}"
    if series_uid is None and len(series) == 1:
        return next(iter(series.values())), f"DICOM series in {folder}"
    listing = "; ".join(
        f"number {files[0].series_number}, {files[0].modality}, {sum(max(f.frames, 1) for f in files)} images, "
        f"UID {uid or '(none)'}"
        for uid, files in sorted(series.items(), key=lambda item: (item[1][0].series_number, item[0]))
    )
    raise InputError(
        subject=f"folder {folder}",
        expected="one DICOM series" if series_uid is None else f"series {series_uid}",
        found=f"{len(series)}: {listing}",
        remedy="Choose one with series_uid=, or give a folder that holds only that one",
    )


def _slices(headers: Sequence[Header], subject: str) -> list[Slice]:
    slices: list[Slice] = []
    problems: list[str] = []
    for header in headers:
        instance = value(header.dataset, "InstanceNumber", "?")
        if value(header.dataset, "SamplesPerPixel", 1) != 1:
            problems.append(f"instance {instance}: colour pixels")
            continue
        multi = value(header.dataset, "PerFrameFunctionalGroupsSequence") is not None
        for frame in range(max(header.frames, 1)):
            name = f"frame {frame + 1}" if header.frames > 1 else f"instance {instance}"
            plane = (
                frame_plane(header.dataset, frame)
                if multi
                else plane_of(header.dataset, header.dataset, header.dataset)
            )
            if isinstance(plane, str):
                problems.append(f"{name}: {plane}")
                continue
            rescaling = _rescaling(header.dataset, frame if multi else None)
            if rescaling is None:
                problems.append(f"{name}: an unreadable RescaleSlope or RescaleIntercept")
                continue
            slices.append(Slice(header.path, frame, name, plane, *rescaling))
    if problems:
        raise GeometryError(
            subject=subject,
            expected="position, orientation and pixel spacing of every slice",
            found=_some(problems),
            remedy="Give the original image series, not screen captures or derived pictures",
        )
    sizes = {(int(h.dataset.Rows), int(h.dataset.Columns)) for h in headers}
    if len(sizes) > 1:
        raise GeometryError(
            subject=subject,
            expected="slices of one size",
            found=", ".join(f"{rows} × {columns}" for rows, columns in sorted(sizes)),
        )
    return slices


def _rescaling(dataset: Any, frame: int | None) -> tuple[float, float] | None:
    """Slope and intercept of a slice or frame; 1 and 0 where none are stated, ``None`` where they cannot be read."""
    source = dataset
    if frame is not None:
        group = functional_group(dataset, frame, "PixelValueTransformationSequence")
        source = dataset if group is None else group
    found = []
    for name, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        stated = numbers(source, name, 1) if name in source else np.array([default])
        if stated is None:
            return None
        found.append(float(stated[0]))
    return found[0], found[1]


def _some(items: Sequence[str]) -> str:
    more = f"; and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return "; ".join(items[:_LISTED]) + more


def stack(planes: Sequence[Plane], names: Sequence[str], subject: str) -> tuple[list[int], FloatArray]:
    """Sort parallel planes along their normal and place them as one volume.

    Parameters
    ----------
    planes, names
        The planes, and what to call each in a message (``instance 12``).
    subject
        Subject of the message.

    Returns
    -------
    tuple
        Order of the planes along the normal, and ``(4, 4)`` patient_from_index, right-handed.

    Raises
    ------
    GeometryError
        If the planes are not parallel, not in line, duplicated, unevenly spaced or a single one.
    """
    if len(planes) == 1:
        raise GeometryError(
            subject=subject,
            expected="several slices: their distance gives the spacing",
            found="one",
            remedy="Give the whole series",
        )
    check_parallel(planes, names, subject)
    first = planes[0]
    positions = np.array([plane.position for plane in planes])
    depth = positions @ first.normal
    order = np.argsort(depth, kind="stable")
    _check_even(depth[order], [names[n] for n in order], min(first.spacing), subject)
    spacing = float(depth[order[-1]] - depth[order[0]]) / (len(planes) - 1)
    matrix = first.matrix(spacing)
    matrix[:3, 3] = positions[order[0]]
    return order.tolist(), matrix


def check_parallel(planes: Sequence[Plane], names: Sequence[str], subject: str) -> None:
    """Refuse planes of several orientations or pixel spacings, or that drift off their common normal."""
    first = planes[0]
    odd = [
        name
        for plane, name in zip(planes, names, strict=True)
        if np.abs(plane.along_i - first.along_i).max() > 1e-3
        or np.abs(plane.along_j - first.along_j).max() > 1e-3
        or not np.allclose(plane.spacing, first.spacing, rtol=1e-3)
    ]
    if odd:
        raise GeometryError(
            subject=subject,
            expected="slices of one orientation and pixel spacing",
            found=f"{len(odd)} that differ from {names[0]}: {_some(odd)}",
            remedy="Split localisers and re-angled blocks into series of their own",
        )
    run = np.array([plane.position for plane in planes]) - first.position
    drift = float(np.linalg.norm(run - np.outer(run @ first.normal, first.normal), axis=1).max())
    if drift > _tolerance(min(first.spacing)):
        raise GeometryError(
            subject=subject,
            expected="slices stacked along their normal",
            found=f"a sideways drift of {drift:.2f} mm (tilted gantry, or several blocks)",
            remedy="Resample it to an orthogonal grid first",
        )


def _tolerance(length_mm: float) -> float:
    return max(UNIFORM_TOLERANCE * length_mm, min(0.01, 0.05 * length_mm))


def _check_even(depth: FloatArray, names: Sequence[str], pixel_mm: float, subject: str) -> None:
    steps = np.diff(depth)
    twins = np.flatnonzero(steps < _tolerance(pixel_mm))
    if len(twins):
        pairs = [f"{names[n]} and {names[n + 1]} at {depth[n]:.2f} mm" for n in twins.tolist()]
        raise GeometryError(
            subject=subject,
            expected="one slice at each position",
            found=f"{len(twins)} duplicates: {_some(pairs)}",
            remedy="Split the series by time point, echo or b-value, or remove the copies",
        )
    step = float(np.median(steps))
    uneven = np.flatnonzero(np.abs(steps - step) > _tolerance(step))
    if len(uneven):
        gaps = [
            f"{steps[n]:.2f} mm between {names[n]} and {names[n + 1]} (at {depth[n]:.2f} mm)" for n in uneven.tolist()
        ]
        raise GeometryError(
            subject=subject,
            expected=f"slices {step:.2f} mm apart (within {100 * UNIFORM_TOLERANCE:g} %)",
            found=_some(gaps),
            remedy="Slices are missing, or were acquired unevenly: get the whole series, or resample it first",
        )


def _pixels(slices: Sequence[Slice]) -> Array:
    """Stack the rescaled pixels; each file is decoded once."""
    whole = all(s.slope == 1.0 and s.intercept == round(s.intercept) for s in slices)
    wanted: dict[Path, list[int]] = defaultdict(list)
    for n, item in enumerate(slices):
        wanted[item.path].append(n)
    planes: list[Array] = [np.empty(0)] * len(slices)
    for path, rows in wanted.items():
        stored = stored_pixels(path)
        if whole and stored.dtype.kind == "f":
            whole = False
        for n in rows:
            planes[n] = stored[slices[n].frame]
    if not whole:
        rescaled = (plane * s.slope + s.intercept for plane, s in zip(planes, slices, strict=True))
        return np.stack([plane.astype(np.float32) for plane in rescaled])
    exact = [plane.astype(np.int64) + round(s.intercept) for plane, s in zip(planes, slices, strict=True)]
    low, high = min(int(plane.min()) for plane in exact), max(int(plane.max()) for plane in exact)
    kind = np.int16 if low >= -(2**15) and high < 2**15 else np.int32
    return np.stack([plane.astype(kind) for plane in exact])

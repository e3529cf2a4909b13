"""Landmarks: named points on a section's picture or in the patient, from the programs people place them with."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from comould.errors import ComouldWarning, InputError
from comould.io import _geojson
from comould.space import FloatArray, Frame

Space = Literal["section_px", "patient"]

_NAMES = ("name", "label", "landmark", "id", "point", "")
_AXES = ("axis-0", "axis-1", "axis-2")


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Points that can be found again on another picture.

    Parameters
    ----------
    names
        One for each point; empty for a point without a name. A name occurs once.
    points
        ``(n, 2)`` x, y in full-resolution px (frame ``section_px``, pixel centres on integers), or ``(n, 3)`` x, y, z
        in mm (frame ``patient``, LPS).
    frame
        Which of the two.

    Raises
    ------
    InputError
        Listing every problem: wrong shape or frame, positions that are not numbers, names used twice.
    """

    names: tuple[str, ...]
    points: FloatArray
    frame: Frame

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=np.float64)
        points.setflags(write=False)
        names = tuple(str(name).strip() for name in self.names)
        for field, value in (("points", points), ("names", names), ("frame", Frame(self.frame))):
            object.__setattr__(self, field, value)
        problems = _problems(self)
        if problems:
            raise InputError.collect(subject="landmarks", problems=problems)

    def __len__(self) -> int:
        return len(self.names)


def _problems(landmarks: Landmarks) -> list[str]:
    width = {Frame.SECTION_PX: 2, Frame.PATIENT: 3}.get(landmarks.frame)
    points, names = landmarks.points, landmarks.names
    if width is None:
        return [f"frame {landmarks.frame!s}, not section_px or patient"]
    if points.shape != (len(names), width):
        return [f"points of shape {points.shape} for {len(names)} names in {landmarks.frame!s}, not (n, {width})"]
    problems = [
        f"row {row + 1} ({names[row] or 'unnamed'}) has a coordinate that is no finite number"
        for row in np.flatnonzero(~np.isfinite(points).all(axis=1))[:5]
    ]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        problems.append(f"names used more than once: {', '.join(twice[:5])}")
    return problems


def read_landmarks(
    path: str | Path,
    *,
    space: Space = "section_px",
    pixel_size_um: float | None = None,
    downsample: float = 1.0,
) -> Landmarks:
    """Read landmarks from CSV (plain, BIRL, napari) or GeoJSON (QuPath).

    Parameters
    ----------
    path
        CSV or TSV with columns name, x, y and for the patient z, in any order with a header or in this one without
        (the name may be absent); BIRL's ``,X,Y``; napari's ``index, axis-0, axis-1[, axis-2]``, whose last axis is x;
        GeoJSON with Point or MultiPoint features.
    space
        ``section_px``: x, y on a section's picture. ``patient``: x, y, z in mm, LPS.
    pixel_size_um
        Size of a full-resolution pixel: give it when the file's coordinates are µm, and only then.
    downsample
        Full-resolution pixels per pixel of the picture the points were placed on; 1 for the slide itself (QuPath always
        writes full-resolution pixels).

    Returns
    -------
    Landmarks
        In the order of the file. Points of one named MultiPoint are ``name-1``, ``name-2`` …; napari numbers its points
        but does not name them, so they stay unnamed.

    Raises
    ------
    InputError
        If the file cannot be read, holds no landmark, a coordinate is not a number (the row is named), the number of
        coordinates does not fit the space, or a name occurs twice.

    Notes
    -----
    QuPath counts pixels from the outer corner of the first pixel and comould from its centre: half a pixel is
    subtracted. Tables are taken as they are, the centre of the first pixel being (0, 0).
    """
    path = Path(path)
    subject = f"landmarks {path.name}"
    if space not in {"section_px", "patient"}:
        raise InputError(subject=subject, expected="space 'section_px' or 'patient'", found=repr(space))
    if space == "patient" and (pixel_size_um is not None or downsample != 1.0):
        raise InputError(
            subject=subject, expected="no pixel_size_um or downsample for mm in the patient", found="one of them"
        )
    for name, value in (("pixel_size_um", pixel_size_um), ("downsample", downsample)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(subject=f"{name} of {subject}", expected="a positive number", found=f"{value}")
    if pixel_size_um is not None and downsample != 1.0:
        raise InputError(subject=subject, expected="pixel_size_um (for µm) or downsample (for pixels)", found="both")
    width = 2 if space == "section_px" else 3
    geojson = path.suffix.lower() in {".geojson", ".json"}
    names, points = _from_geojson(path, width) if geojson else _from_table(path, width)
    if not names:
        raise InputError(subject=subject, expected="at least one landmark", found="none")
    if space == "section_px":
        corner = _geojson.CORNER_TO_CENTRE_PX
        if pixel_size_um is not None:
            points = points / pixel_size_um
        elif downsample != 1.0:
            points = points * downsample if geojson else (points + corner) * downsample - corner
        points = points - corner if geojson else points
    try:
        return Landmarks(names, points, Frame(space))
    except InputError as error:
        raise InputError(subject=subject, found=error.found) from error


def _from_geojson(path: Path, width: int) -> tuple[tuple[str, ...], FloatArray]:
    features = [one for one in _geojson.read_features(path) if one.kind in {"Point", "MultiPoint"}]
    groups = [one.group for one in features]
    names: list[str] = []
    points: list[Any] = []
    for feature in features:
        # A class is a name only where it singles its feature out.
        name = feature.name or (feature.group if groups.count(feature.group) == 1 else "")
        here = [feature.coordinates] if feature.kind == "Point" else list(feature.coordinates)
        points += here
        names += [name] if len(here) == 1 else [f"{name}-{n + 1}" if name else "" for n in range(len(here))]
    return tuple(names), _numbers(points, names, width, path)


def _numbers(points: Sequence[Any], names: Sequence[str], width: int, path: Path) -> FloatArray:
    rows = []
    for number, (point, name) in enumerate(zip(points, names, strict=True)):
        try:
            rows.append([float("nan") if value is None else float(value) for value in point])
            fits = len(rows[-1]) == width
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise InputError(
                subject=f"landmarks {path.name}",
                expected=f"{width} coordinates for each point",
                found=f"{point!r} at point {number + 1} ({name or 'unnamed'})",
            )
    return np.array(rows, dtype=np.float64).reshape(-1, width)


def _from_table(path: Path, width: int) -> tuple[tuple[str, ...], FloatArray]:
    from comould.io._spots_positions import is_number, read_table

    raw = read_table(path, header=None, dtype=str, keep_default_na=False, skipinitialspace=True)
    raw = raw.apply(lambda column: column.str.strip())
    first = [str(cell) for cell in raw.iloc[0]]
    if any(is_number(cell) for cell in first[-width:]):
        return _without_header(raw, width, path)
    table = raw.iloc[1:].set_axis([cell.lower() for cell in first], axis=1)
    axes = [axis for axis in _AXES if axis in table]
    columns = axes[::-1] if axes else [axis for axis in ("x", "y", "z") if axis in table]
    if len(columns) != width or len(set(table.columns)) < table.shape[1]:
        wanted = "x, y" if width == 2 else "x, y, z"
        raise InputError(
            subject=f"landmarks {path.name}",
            expected=f"columns {wanted} (or napari's axis-0 …), each once",
            found=", ".join(first) or "an empty line",
            remedy="Read points of the patient with space='patient'" if len(columns) == 3 else "Name the columns so",
        )
    named = next((name for name in _NAMES if name in table.columns), None)
    return _rows(table, columns, named, path)


def _without_header(raw: pd.DataFrame, width: int, path: Path) -> tuple[tuple[str, ...], FloatArray]:
    if raw.shape[1] not in {width, width + 1}:
        wanted = "x, y" if width == 2 else "x, y, z"
        raise InputError(
            subject=f"landmarks {path.name}",
            expected=f"{wanted}, with or without a name before, in a table without header",
            found=f"{raw.shape[1]} columns",
            remedy="Read points of the patient with space='patient'" if raw.shape[1] == 4 else "Add a header line",
        )
    columns = ["x", "y", "z"][:width]
    named = raw.shape[1] > width
    raw.columns = pd.Index((["name"] if named else []) + columns)
    return _rows(raw, columns, "name" if named else None, path)


def _rows(table: pd.DataFrame, columns: list[str], named: str | None, path: Path) -> tuple[tuple[str, ...], FloatArray]:
    # Not pandas' own conversion, which is quick and may be wrong in the last bit.
    values = np.array([[_number(cell) for cell in row] for row in table[columns].to_numpy()], dtype=np.float64)
    values = values.reshape(-1, len(columns))
    names = [""] * len(table) if named is None else [str(name) for name in table[named]]
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        row = int(bad[0])
        raise InputError(
            subject=f"landmarks {path.name}",
            expected="finite coordinates in every row",
            found=f"{len(bad)} rows without, first data row {row + 1} ({names[row] or 'unnamed'}: "
            f"{', '.join(repr(cell) for cell in table[columns].iloc[row])})",
        )
    return tuple(names), values


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def pair_landmarks(a: Landmarks, b: Landmarks) -> tuple[Landmarks, Landmarks]:
    """Bring two sets to the landmarks they share, in the order of the first.

    Parameters
    ----------
    a, b
        For instance of a section's picture and of its neighbour, or of a picture and the patient.

    Returns
    -------
    Landmarks, Landmarks
        Of equal length; row *i* of both is the same landmark. Named ones first, then unnamed ones by order.

    Raises
    ------
    InputError
        If there is no pair, or the sets have different numbers of unnamed landmarks.

    Warns
    -----
    ComouldWarning
        Telling names on one side only, and that unnamed landmarks were paired by order.
    """
    shared = [name for name in a.names if name and name in set(b.names)]
    for one, other, where in ((a, b, "first"), (b, a, "second")):
        lonely = [name for name in one.names if name and name not in set(other.names)]
        if lonely:
            told = ", ".join(lonely[:8]) + (" …" if len(lonely) > 8 else "")
            _warn(f"{len(lonely)} landmarks are only in the {where} set and are left out: {told}")
    pairs = [(a.names.index(name), b.names.index(name)) for name in shared]
    unnamed = [[row for row, name in enumerate(one.names) if not name] for one in (a, b)]
    if len(unnamed[0]) != len(unnamed[1]):
        raise InputError(
            subject="pairing of landmarks",
            expected="as many unnamed landmarks on both sides, to pair them by order",
            found=f"{len(unnamed[0])} and {len(unnamed[1])}",
            remedy="Name the landmarks on both sides",
        )
    if unnamed[0]:
        _warn(f"{len(unnamed[0])} landmarks have no name and are paired by order")
        pairs += list(zip(*unnamed, strict=True))
    if not pairs:
        raise InputError(
            subject="pairing of landmarks",
            expected="at least one landmark on both sides",
            found=f"none in common ({_some(a)} against {_some(b)})",
            remedy="Give the same landmark the same name on both sides",
        )
    rows = [list(side) for side in zip(*pairs, strict=True)]
    return _take(a, rows[0]), _take(b, rows[1])


def _some(landmarks: Landmarks) -> str:
    names = [name for name in landmarks.names if name][:3]
    return ", ".join(names) + " …" if names else "unnamed"


def _take(landmarks: Landmarks, rows: list[int]) -> Landmarks:
    return Landmarks(tuple(landmarks.names[row] for row in rows), landmarks.points[rows], landmarks.frame)


def _warn(text: str) -> None:
    warnings.warn(text, ComouldWarning, stacklevel=3)

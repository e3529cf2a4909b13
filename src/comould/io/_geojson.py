"""GeoJSON as QuPath writes it: features with geometry, a name and a class; coordinates in pixels from a corner."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comould.errors import InputError

CORNER_TO_CENTRE_PX = 0.5
"""QuPath counts from the outer corner of the first pixel, comould from its centre: subtract this."""


@dataclass(frozen=True)
class Feature:
    """One annotation.

    Parameters
    ----------
    kind
        GeoJSON's geometry type.
    coordinates
        As nested lists, in the file's units.
    name
        Its own name, empty when it has none.
    group
        Its class (QuPath's classification), empty when it has none.
    """

    kind: str
    coordinates: Any
    name: str
    group: str


def read_features(path: Path) -> list[Feature]:
    """Read a FeatureCollection, a list of features, one feature or one bare geometry; collections are taken apart.

    Raises
    ------
    InputError
        If the file is missing, no JSON, or holds no geometry.
    """
    if not path.is_file():
        raise InputError(subject=str(path), expected="a GeoJSON file", found="a folder" if path.is_dir() else "no file")
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(
            subject=str(path),
            expected="GeoJSON",
            found=str(error).splitlines()[0],
            remedy="Export the annotations again (QuPath: File → Export objects as GeoJSON)",
        ) from error
    found = [feature for item in _items(data) for feature in _features(item)]
    if not found:
        raise InputError(subject=str(path), expected="GeoJSON with annotations", found="no geometry in it")
    return found


def _items(data: Any) -> list[Any]:
    if isinstance(data, dict) and isinstance(data.get("features"), list):
        return list(data["features"])
    return data if isinstance(data, list) else [data]


def _features(item: Any) -> list[Feature]:
    if not isinstance(item, dict):
        return []
    geometry = item.get("geometry") if item.get("type") == "Feature" else item
    if not isinstance(geometry, dict):
        return []
    stated = item.get("properties")
    properties = stated if isinstance(stated, dict) else {}
    if geometry.get("type") == "GeometryCollection":
        parts = geometry.get("geometries") or []
        return [one for part in parts for one in _features({**item, "type": "Feature", "geometry": part})]
    if "coordinates" not in geometry:
        return []
    group = properties.get("classification")
    group = group.get("name") if isinstance(group, dict) else group
    return [Feature(str(geometry.get("type")), geometry["coordinates"], _text(properties.get("name")), _text(group))]


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()

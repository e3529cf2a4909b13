"""What may be typed after ``comould mould``, read into what the Python API takes; each mistake is one line."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from comould.errors import InputError
from comould.mould.structure_files import INLAY_COLOURS, StructureAsked

if TYPE_CHECKING:
    from comould.mould import CoreOptions

_STRUCTURE = re.compile(r"([^=]+)=(.+?)(?::(window|inlay)(?::(#[0-9A-Fa-f]{6}))?)?")
_BLOCK = re.compile(r"(\d+(?:\.\d+)?)[xX×](\d+(?:\.\d+)?)")
_STRUCTURE_FORM = "NAME=PATH, NAME=PATH:window or NAME=PATH:inlay:#rrggbb"


class NamedPlane(StrEnum):
    """Cutting directions by name."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"
    IMAGE = "image"


def parse_structures(items: list[str]) -> list[StructureAsked]:
    """Split ``NAME=PATH[:window|inlay[:#rrggbb]]``."""
    found: list[StructureAsked] = []
    for item in items:
        match = _STRUCTURE.fullmatch(item.strip())
        if match is None or (match[3] == "window" and match[4]):
            raise InputError(subject=f"--structure {item}", expected=_STRUCTURE_FORM, found=repr(item))
        colour = match[4] or INLAY_COLOURS[len(found) % len(INLAY_COLOURS)]
        found.append(StructureAsked(match[1].strip(), match[2].strip(), match[3] or "inlay", colour))
    return found


def core_options(cores: int | None, core_mm: float | None, *, habitats: bool) -> CoreOptions | None:
    """Check ``--cores`` and ``--core-mm``."""
    if cores is None and core_mm is None:
        return None
    if cores is None:
        raise InputError(subject="--core-mm", expected="--cores N beside it", found="none")
    if not habitats:
        raise InputError(
            subject="--cores", expected="--habitats LABELS beside it", found="none", remedy="Cores sample habitats"
        )
    if not 1 <= cores <= 50:
        raise InputError(subject="--cores", expected="1 to 50 per habitat and slab", found=str(cores))
    from comould.mould import CoreOptions

    return CoreOptions(per_habitat=cores) if core_mm is None else CoreOptions(per_habitat=cores, diameter_mm=core_mm)


def parse_blocks(text: str | None) -> str | tuple[float, float] | None:
    """Read cassette, mega or a size such as 30x24 in mm."""
    if text is None or text in {"cassette", "mega"}:
        return text
    match = _BLOCK.fullmatch(text.strip())
    if match is None:
        raise InputError(subject="--blocks", expected="cassette, mega or WxH in mm such as 30x24", found=repr(text))
    return float(match[1]), float(match[2])


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Split ``key=value`` items; the template's own model converts and checks the values."""
    overrides: dict[str, Any] = {}
    for item in settings:
        key, found, value = item.partition("=")
        if not found or not key.strip() or not value.strip():
            raise InputError(subject=f"--set {item}", expected="key=value, as in --set slot_mm=1.2", found=repr(item))
        overrides[key.strip().replace("-", "_")] = value.strip()
    return overrides


def with_options(overrides: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Add options that have a name of their own, and refuse what would not reach the template."""
    from comould.mould.parameters import Parameters

    known = [*Parameters.model_fields, "design", "up"]
    if taken := sorted(set(overrides) & {"seg", "template", "plane", "image", "lesion", "companions", "progress"}):
        raise InputError(
            subject=f"--set {taken[0]}", expected=f"one of {', '.join(known)}", found="something that is no setting"
        )
    given = {key: value for key, value in options.items() if value is not None}
    if twice := sorted(set(given) & set(overrides)):
        key = twice[0]
        raise InputError(
            subject=key.removesuffix("_mm"),
            expected=f"--{key.replace('_', '-')} or --set {key}",
            found="both",
            remedy="Give one of them",
        )
    return overrides | given


def parse_up(text: str | None) -> str | float | None:
    """Numbers are in-plane angles in degrees, anything else a patient direction."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text.strip()


def parse_plane(text: str) -> str | tuple[float, ...]:
    """Read a plane's name or a normal vector of 3."""
    name = text.strip().lower()
    if name in set(NamedPlane):
        return name
    try:
        normal = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        normal = ()
    if len(normal) != 3:
        names = ", ".join(NamedPlane)
        raise InputError(subject="--plane", expected=f"{names} or a normal such as 0,0.2,1", found=repr(text))
    return normal


def parse_roi(text: str | None) -> str | int | None:
    """Numbers name a label or ROI number, anything else a structure."""
    from comould.io.roi import number_or_name

    return None if text is None else number_or_name(text)


def parse_lesion(text: str | None) -> str | int | None:
    """Read largest, all, each or a rank from 1."""
    if text is None or text in {"largest", "all", "each"}:
        return text
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise InputError(subject="--lesion", expected="largest, all, each or a number from 1", found=repr(text))

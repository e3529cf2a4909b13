"""What may be typed after ``comould mould``, read into what the Python API takes; each mistake is one line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.mould import Structure

INLAY_COLOURS = ("#d1495b", "#2e86ab", "#edae49", "#3f8f5f", "#8e5ea2", "#6b705c")
"""Given in turn to inlays that name none."""

_STRUCTURE = re.compile(r"([^=]+)=(.+?)(?::(window|inlay)(?::(#[0-9A-Fa-f]{6}))?)?")
_BLOCK = re.compile(r"(\d+(?:\.\d+)?)[xX×](\d+(?:\.\d+)?)")
_STRUCTURE_FORM = "NAME=PATH, NAME=PATH:window or NAME=PATH:inlay:#rrggbb"


class NamedPlane(StrEnum):
    """Cutting directions by name."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"
    IMAGE = "image"


@dataclass(frozen=True)
class StructureAsked:
    """A landmark structure as it was typed.

    Parameters
    ----------
    name
        What it is called in the mould.
    source
        A file, or a region of the segmentation.
    role
        ``"window"`` or ``"inlay"``.
    colour
        Of an inlay.
    """

    name: str
    source: str
    role: str
    colour: str

    def read(self, segmentation: Path, image: sitk.Image | None) -> Structure:
        """Read its mask: from a label map of its own, or as a region of the segmentation's file."""
        from comould.io import list_rois, read_segmentation
        from comould.mould import Structure

        path = Path(self.source)
        # A file need not have the image's grid: it is placed by its own geometry.
        if path.exists():
            if len(regions := list_rois(path)) > 1 and path.resolve() != segmentation.resolve():
                raise InputError(
                    subject=f"structure {self.name!r}",
                    expected="a file with one label",
                    found=", ".join(str(one.number) for one in regions),
                    remedy="Save that label as a file of its own",
                )
            mask = read_segmentation(path)
        else:
            regions = list_rois(segmentation)
            if self.source.casefold() not in {str(key).casefold() for one in regions for key in (one.number, one.name)}:
                raise InputError(
                    subject=f"structure {self.name!r}",
                    expected=f"a file, or one of {', '.join(one.name for one in regions)}",
                    found=repr(self.source),
                    remedy=f"Give it as {_STRUCTURE_FORM}, where PATH may be a region of the segmentation",
                )
            mask = read_segmentation(segmentation, image=image, roi=parse_roi(self.source))
        return Structure(self.name, mask, self.role, self.colour)  # type: ignore[arg-type]


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
    return int(text) if text is not None and text.strip().isdecimal() else text


def parse_lesion(text: str | None) -> str | int | None:
    """Read largest, all, each or a rank from 1."""
    if text is None or text in {"largest", "all", "each"}:
        return text
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise InputError(subject="--lesion", expected="largest, all, each or a number from 1", found=repr(text))

"""What may be asked of cores and sampling plates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from comould.errors import InputError
from comould.mould.marks import least_height

_CORE_RANGES = {
    "diameter_mm": (0.5, 30.0),
    "min_border_mm": (0.0, 20.0),
    "min_edge_mm": (0.0, 20.0),
    "min_apart_mm": (0.0, 50.0),
    "min_purity": (0.0, 1.0),
}
_PLATE_RANGES = {
    "thickness_mm": (2.0, 10.0),
    "hole_clearance_mm": (0.0, 2.0),
    "clearance_mm": (0.0, 5.0),
    "rim_mm": (1.0, 20.0),
    "rim_wall_mm": (1.2, 10.0),
    "letter_mm": (5.0, 20.0),
    "digit_mm": (4.0, 12.0),
    "stroke_mm": (0.8, 2.0),
    "engrave_mm": (0.4, 1.5),
    "key_mm": (5.0, 20.0),
}


@dataclass(frozen=True)
class CoreOptions:
    """What cores to take.

    Parameters
    ----------
    diameter_mm
        Of the punch; disposable ones come in 2, 3, 4, 5, 6 and 8 mm. 4 mm leaves room in habitats about 6 mm wide; 6 mm
        is the largest that the 6.5 mm capture area of Visium holds whole.
    per_habitat
        Cores wanted per habitat and slab: one number for all, or by label.
    min_border_mm
        Least distance between a core's circumference and the habitat's border on the face.
    min_edge_mm
        Least distance between a core's circumference and the specimen's edge on the face.
    min_apart_mm
        Least tissue between two cores.
    min_purity
        Cores of which at least this share, through their whole depth, is tissue of their habitat are preferred; others
        are taken only where there are none.
    depth_mm
        How deep cores go; through the slab by default.
    unphotographed
        Take cores also from slabs without a photographed face, on their only cut face.
    seed
        0 or more.

    Raises
    ------
    InputError
        If a number is out of its range; all problems together.
    """

    diameter_mm: float = 4.0
    per_habitat: int | Mapping[int, int] = 2
    min_border_mm: float = 0.5
    min_edge_mm: float = 1.0
    min_apart_mm: float = 2.0
    min_purity: float = 0.8
    depth_mm: float | None = None
    unphotographed: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        problems = _out_of_range(self, _CORE_RANGES)
        counts = self.per_habitat.values() if isinstance(self.per_habitat, Mapping) else [self.per_habitat]
        if any(not isinstance(n, int | np.integer) or isinstance(n, bool) or not 0 <= n <= 50 for n in counts):
            problems.append(f"per_habitat {self.per_habitat} is not a number from 0 to 50")
        if self.depth_mm is not None and not 0.5 <= self.depth_mm <= 100.0:
            problems.append(f"depth_mm {self.depth_mm} is not from 0.5 to 100")
        if not isinstance(self.seed, int | np.integer) or isinstance(self.seed, bool) or self.seed < 0:
            problems.append(f"seed {self.seed!r} is not a whole number, 0 or more")
        if problems:
            raise InputError.collect(subject="core options", problems=problems)

    def wanted(self, label: int) -> int:
        """Cores wanted of one habitat in one slab."""
        return int(self.per_habitat.get(label, 0) if isinstance(self.per_habitat, Mapping) else self.per_habitat)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class PlateOptions:
    """What a sampling plate is like, mm.

    Parameters
    ----------
    thickness_mm
        Of the plate, the punch's guide.
    hole_clearance_mm
        Diameter of a hole beyond the core's.
    clearance_mm
        Gap between the slab's outline and the rim.
    rim_mm
        Height of the rim; never more than the slab is thick, less 1 mm, so that the plate lies on the face.
    rim_wall_mm
        Thickness of the rim.
    stop
        What the rim follows: ``"rim"`` all tissue as deep as the rim reaches, so that the slab's edge touches it;
        ``"slab"`` all tissue of the slab, wider where a slab widens below its face.
    letter_mm, digit_mm, stroke_mm, engrave_mm
        Height of orientation letters and names, height of core numbers, stroke width and depth.
    key_mm
        Leg of the one corner cut off: upper right as the plate is read.

    Raises
    ------
    InputError
        If a number is out of its range; all problems together.
    """

    thickness_mm: float = 3.0
    hole_clearance_mm: float = 0.3
    clearance_mm: float = 0.4
    rim_mm: float = 4.0
    rim_wall_mm: float = 2.0
    stop: Literal["rim", "slab"] = "rim"
    letter_mm: float = 6.0
    digit_mm: float = 4.0
    stroke_mm: float = 0.8
    engrave_mm: float = 0.8
    key_mm: float = 8.0

    def __post_init__(self) -> None:
        problems = _out_of_range(self, _PLATE_RANGES)
        if self.stop not in {"rim", "slab"}:
            problems.append(f"stop {self.stop!r} is not 'rim' or 'slab'")
        if not problems and self.digit_mm < (least := least_height(self.stroke_mm)) - 1e-9:
            problems.append(
                f"digit_mm {self.digit_mm} is too small for strokes of {self.stroke_mm} mm (at least {least:g})"
            )
        if not problems and self.engrave_mm > self.thickness_mm - 1.0:
            problems.append(f"engrave_mm {self.engrave_mm} leaves less than 1 mm of a {self.thickness_mm} mm plate")
        if problems:
            raise InputError.collect(subject="plate options", problems=problems)


def _out_of_range(options: Any, ranges: Mapping[str, tuple[float, float]]) -> list[str]:
    """Say which numbers are not within their ranges (ends included)."""
    problems = []
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if not isinstance(value, int | float | np.number) or not low <= value <= high:
            problems.append(f"{name} {value} is not from {low:g} to {high:g}")
    return problems

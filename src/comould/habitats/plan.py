"""A request for feature maps, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.habitats import catalogue
from comould.habitats.neighbourhood import Shape, directions

PerImage = float | Mapping[str, float] | None


class MapSettings(TypedDict, total=False):
    """Finer settings of :func:`feature_maps`, given by keyword."""

    shape: Shape
    dimension: int
    aggregation: Literal["merged", "averaged"]
    distance: int
    coarseness: int
    lower_bound: PerImage
    threads: int | None


@dataclass(frozen=True)
class Plan:
    """A request, checked."""

    features: dict[str, list[str]]
    radius_mm: float | None
    radius_voxels: int | Sequence[int] | None
    bins: int
    bin_width: PerImage
    lower_bound: PerImage = None
    shape: Shape = "ball"
    dimension: int = 3
    aggregation: Literal["merged", "averaged"] = "merged"
    distance: int = 1
    coarseness: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.aggregation not in {"merged", "averaged"}:
            problems.append(f"aggregation {self.aggregation!r} is neither 'merged' nor 'averaged'")
        if self.distance < 1 or int(self.distance) != self.distance:
            problems.append(f"distance {self.distance} is not a positive count of voxels")
        if self.coarseness < 0 or int(self.coarseness) != self.coarseness:
            problems.append(f"coarseness {self.coarseness} is not a count of grey levels")
        if self.threads is not None and self.threads < 1:
            problems.append(f"threads {self.threads} is not positive")
        if self.dimension not in {2, 3}:
            problems.append(f"dimension {self.dimension} is neither 2 nor 3")
        if problems:
            raise InputError.collect(subject="feature map settings", problems=problems)

    @property
    def groups(self) -> list[npt.NDArray[np.int64]]:
        """Directions whose co-occurrences share one matrix."""
        all_ = directions(self.dimension, self.distance)
        return [all_] if self.aggregation == "merged" else [one[None] for one in all_]

    def of(self, setting: str, name: str) -> float | None:
        """Give a setting of one image."""
        value = getattr(self, setting)
        return value.get(name) if isinstance(value, Mapping) else value

    def names(self, image: str) -> list[str]:
        """Name the maps of one image, in order."""
        return [f"{image}/{family}.{feature}" for family, found in self.features.items() for feature in found]

    def columns(self, family: str, first: int) -> npt.NDArray[np.int64]:
        """Say which feature of a family's row goes to which column ``(c, 2)``; an image's maps begin at ``first``."""
        at = first
        for one, found in self.features.items():
            if one == family:
                order = list(catalogue.FAMILIES[family])
                pairs = [(order.index(feature), at + n) for n, feature in enumerate(found)]
                return np.array(pairs, dtype=np.int64).reshape(-1, 2)
            at += len(found)
        return np.zeros((0, 2), dtype=np.int64)

    def said(self) -> dict[str, Any]:
        """Say the settings, for provenance."""
        wanted = [f"{family}.{feature}" for family, found in self.features.items() for feature in found]
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in {"features", "threads"}}
        return {"features": wanted} | told

"""What is asked of a clustering, checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict

import numpy as np

from comould.errors import InputError
from comould.habitats._mixture import MixtureSettings
from comould.habitats._settings import refuse_unknown

Method = Literal["gmm", "kmeans", "fcm"]
Rule = Literal["excess", "silhouette", "calinski_harabasz", "davies_bouldin", "gap", "bic", "stability"]

METHODS: tuple[str, ...] = ("gmm", "kmeans", "fcm")
RULES: dict[str, str] = {
    "excess": "largest excess of the silhouette over that of a Gaussian cloud of the same covariance, ties to the "
    "smaller",
    "silhouette": "largest silhouette",
    "calinski_harabasz": "largest Calinski-Harabasz index",
    "davies_bouldin": "smallest Davies-Bouldin index",
    "gap": "smallest number whose gap is not more than one standard error below the next one's",
    "bic": "smallest BIC of a Gaussian mixture",
    "stability": "largest number whose stability is at least 0.8, else the most stable",
}
"""Rules that choose the number of habitats, in words."""


class FitSettings(TypedDict, total=False):
    """Finer settings of :func:`comould.habitats.fit`, given by keyword."""

    max_habitats: int
    rule: Rule
    supervoxel_mm: float | None
    spatial_weight: float
    outlier_fraction: float
    bins: int
    without: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """A request, checked.

    Raises
    ------
    InputError
        For settings out of range, all of them named.
    """

    n_habitats: int | None
    method: Method
    radius_mm: float
    seed: int
    max_habitats: int = 6
    rule: Rule = "excess"
    supervoxel_mm: float | None = None
    spatial_weight: float = 8.0
    outlier_fraction: float = 0.05
    bins: int = 32
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if self.method not in METHODS:
            problems.append(f"method {self.method!r} is none of {', '.join(METHODS)}")
        if self.rule not in RULES:
            problems.append(f"rule {self.rule!r} is none of {', '.join(RULES)}")
        if self.n_habitats is not None and not 2 <= self.n_habitats <= 20:
            problems.append(f"n_habitats {self.n_habitats} is not between 2 and 20")
        if not 2 <= self.max_habitats <= 20:
            problems.append(f"max_habitats {self.max_habitats} is not between 2 and 20")
        if not np.isfinite(self.spatial_weight) or self.spatial_weight < 0:
            problems.append(f"spatial_weight {self.spatial_weight} is not 0 or more")
        if not 0 <= self.outlier_fraction < 0.5:
            problems.append(f"outlier_fraction {self.outlier_fraction} is not between 0 and 0.5")
        for name, length in (("radius_mm", self.radius_mm), ("supervoxel_mm", self.supervoxel_mm)):
            if length is not None and (not np.isfinite(length) or length <= 0):
                problems.append(f"{name} {length} is not a positive length")
        if self.seed < 0:
            problems.append(f"seed {self.seed} is below 0")
        if problems:
            raise InputError.collect(subject="habitat settings", problems=problems)

    @classmethod
    def of(cls, n_habitats: int | None, method: Method, radius_mm: float, seed: int, settings: FitSettings) -> Request:
        """Make a request of a function's arguments.

        Raises
        ------
        InputError
            For a setting that is none.
        """
        refuse_unknown(settings, FitSettings, "habitat setting")
        return cls(n_habitats, method, radius_mm, seed, **settings)

    @property
    def numbers(self) -> range:
        """Numbers of habitats to try."""
        if self.n_habitats is not None:
            return range(self.n_habitats, self.n_habitats + 1)
        return range(2, self.max_habitats + 1)

    @property
    def mixture(self) -> MixtureSettings:
        """How each of them is fitted; supervoxels have no neighbours' vote."""
        weight = 0.0 if self.supervoxel_mm else self.spatial_weight
        return MixtureSettings(weight, self.outlier_fraction, spherical=self.method == "kmeans")

    def said(self) -> dict[str, Any]:
        """Say the settings, for provenance."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

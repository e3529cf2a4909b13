"""What can be chosen about a specimen: a frozen record, checked when made, and the checks all records share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from comould.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

HABITAT_NAMES = ("immune-hot", "hypoxic", "stromal", "proliferative")
"""The habitats a phantom can have, in label order (1, 2, …)."""


@dataclass(frozen=True)
class SpecimenOptions:
    """Everything that shapes a specimen beside its seed; lengths in mm, patient LPS.

    Parameters
    ----------
    volume_ml
        Volume of the tumour, met exactly by the analytic shape.
    extent_ratio
        Relative diameters of the underlying ellipsoid along (nearly) patient x, y, z.
    centre_mm
        Patient position the shape is built around.
    spacing_mm
        Voxel size along the image's i, j, k axes (in-plane, in-plane, between slices).
    acquisition_deg
        Rotation of the image grid about patient x, then y, then z: non-zero for an oblique acquisition.
    margin_mm
        Surrounding anatomy imaged around the tumour on every side.
    subsamples
        Samples averaged through each slice (partial volume).
    habitats
        Three or four of :data:`HABITAT_NAMES`; label 1 is the first.
    min_fraction
        Smallest share of the tumour that any habitat may take (habitats aim at equal shares, give or take).
    correlation_mm
        Length ℓ of all smooth fields, habitats and genes alike: covariance ``exp(-r² / 2ℓ²)``.
    t2_snr
        Mean tumour signal over the noise's standard deviation (Rician) in T2.
    adc_noise
        Standard deviation of ADC noise, 1e-6 mm²/s.
    bias
        Receive-field variation of T2, ± this share over the field of view.
    cysts, vessels, necroses, septa
        How many of each fine structure.
    n_genes
        Size of the panel, at least 300.
    """

    volume_ml: float = 60.0
    extent_ratio: tuple[float, float, float] = (50.0, 45.0, 40.0)
    centre_mm: tuple[float, float, float] = (-35.0, 12.0, -140.0)
    spacing_mm: tuple[float, float, float] = (0.6, 0.6, 3.0)
    acquisition_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    margin_mm: float = 14.0
    subsamples: int = 5
    habitats: tuple[str, ...] = HABITAT_NAMES
    min_fraction: float = 0.15
    correlation_mm: float = 6.0
    t2_snr: float = 30.0
    adc_noise: float = 60.0
    bias: float = 0.12
    cysts: int = 14
    vessels: int = 7
    necroses: int = 6
    septa: int = 3
    n_genes: int = 400

    def __post_init__(self) -> None:
        for name in ("extent_ratio", "centre_mm", "spacing_mm", "acquisition_deg", "habitats"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        problems = out_of_range(self, _SPECIMEN_RANGES)
        names = self.habitats
        if (
            not 3 <= len(names) <= len(HABITAT_NAMES)
            or len(set(names)) != len(names)
            or set(names) - set(HABITAT_NAMES)
        ):
            problems.append(f"habitats {names} are not three or four different ones of {', '.join(HABITAT_NAMES)}")
        elif np.isfinite(self.min_fraction) and self.min_fraction > 0.8 / len(names):
            problems.append(f"min_fraction {self.min_fraction} leaves no room for {len(names)} habitats")
        if problems:
            raise InputError.collect(subject="phantom options", problems=problems)


_SPECIMEN_RANGES: dict[str, tuple[float, float]] = {
    "volume_ml": (2, 2000),
    "extent_ratio": (1, 1000),
    "centre_mm": (-5000, 5000),
    "spacing_mm": (0.2, 10),
    "acquisition_deg": (-180, 180),
    "margin_mm": (3, 100),
    "subsamples": (1, 25),
    "min_fraction": (0.0, 0.27),
    "correlation_mm": (1.5, 50),
    "t2_snr": (2, 1e6),
    "adc_noise": (0, 1000),
    "bias": (0, 0.5),
    "cysts": (0, 200),
    "vessels": (0, 200),
    "necroses": (0, 200),
    "septa": (0, 50),
    "n_genes": (300, 5000),
}


def out_of_range(options: Any, ranges: Mapping[str, tuple[float, float]]) -> list[str]:
    """Say which fields are no number, or outside their range; whole numbers where the default is one."""
    problems = []
    for field in fields(options):
        if field.name not in ranges:
            continue
        low, high = ranges[field.name]
        value = getattr(options, field.name)
        whole = isinstance(field.default, int)
        length = len(field.default) if isinstance(field.default, tuple) else 1
        numbers = value if isinstance(value, tuple) else (value,)
        kinds = (int, np.integer) if whole else (int, float, np.number)
        if len(numbers) != length or any(isinstance(n, bool) or not isinstance(n, kinds) for n in numbers):
            word = "a whole number" if whole else "a number" if length == 1 else f"{length} numbers"
            problems.append(f"{field.name} {value!r} is not {word}")
        elif not all(low <= n <= high for n in numbers):
            problems.append(f"{field.name} {value} is outside {low:g} to {high:g}")
    return problems


Options = TypeVar("Options", bound="DataclassInstance")


def make(kind: type[Options], given: Mapping[str, Any], subject: str) -> Options:
    """Make an options record from keywords, naming the unknown ones and what there is instead."""
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(
            subject=subject,
            expected=f"options among {', '.join(known)}",
            found=", ".join(unknown),
            remedy="Correct the name",
        )
    return kind(**given)


def checked_seed(seed: object) -> int:
    """Return the seed as a plain int, or say what is wrong with it."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or int(seed) < 0:
        raise InputError(subject="phantom seed", expected="a whole number of 0 or more", found=repr(seed))
    return int(seed)

"""What can be chosen about a phantom and about cutting it: two frozen records, checked when made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from comould.errors import InputError

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
        problems = _out_of_range(self, _SPECIMEN_RANGES)
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


@dataclass(frozen=True)
class CutOptions:
    """How the specimen is cut, processed, photographed and measured.

    Parameters
    ----------
    shrinkage
        Share of its length the tissue loses between imaging and slide (0.06: the slide shows 94 %).
    anisotropy
        Standard deviation of the further stretch along a random direction, and of shear (0.015: 1.5 %).
    bending_mm
        Root-mean-square smooth in-plane displacement over the tissue beyond its affine part; less, in proportion,
        for sections of under 15 mm mean radius.
    rotate
        Lay each section down at any angle of the full circle; otherwise as the plane's u and v run.
    flip
        Let chance decide which face is up, and tell nobody (``Section.face`` is ``None``); otherwise the plane's face.
    offset_sd_mm, tilt_sd_deg
        Cutting error: standard deviation of the true cut's distance from its plane, and of its tilt about u and v.
        The section is not told.
    spot_pitch_um
        Distance between neighbouring spot centres. 800 covers the section as several capture areas would, thinned;
        100 with ``capture_mm=6.5`` gives one Visium area.
    capture_mm
        Side of the square capture area laid on the middle of the tissue; ``None`` covers the section.
    pixel_size_um
        Full-resolution pixel, the unit of ``obsm["spatial"]``.
    image_pixel_um
        Pixel of the working image; at least the full-resolution pixel.
    margin_mm
        Bare glass around the tissue.
    """

    shrinkage: float = 0.06
    anisotropy: float = 0.015
    bending_mm: float = 1.0
    rotate: bool = True
    flip: bool = True
    offset_sd_mm: float = 0.0
    tilt_sd_deg: float = 0.0
    spot_pitch_um: float = 800.0
    capture_mm: float | None = None
    pixel_size_um: float = 10.0
    image_pixel_um: float = 50.0
    margin_mm: float = 4.0

    def __post_init__(self) -> None:
        problems = _out_of_range(self, _CUT_RANGES)
        if self.capture_mm is not None and not (np.isfinite(self.capture_mm) and self.capture_mm > 0):
            problems.append(f"capture_mm {self.capture_mm} is not a positive length")
        if not problems and self.image_pixel_um < self.pixel_size_um:
            problems.append(f"image_pixel_um {self.image_pixel_um} is finer than pixel_size_um {self.pixel_size_um}")
        if problems:
            raise InputError.collect(subject="cutting options", problems=problems)


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

_CUT_RANGES: dict[str, tuple[float, float]] = {
    "shrinkage": (-0.2, 0.5),
    "anisotropy": (0, 0.1),
    "bending_mm": (0, 20),
    "offset_sd_mm": (0, 10),
    "tilt_sd_deg": (0, 20),
    "spot_pitch_um": (20, 20000),
    "pixel_size_um": (0.1, 1000),
    "image_pixel_um": (5, 1000),
    "margin_mm": (0.5, 50),
}


def _out_of_range(options: Any, ranges: Mapping[str, tuple[float, float]]) -> list[str]:
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


Options = TypeVar("Options", SpecimenOptions, CutOptions)


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

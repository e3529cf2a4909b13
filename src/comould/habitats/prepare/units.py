"""Intensities that have a unit: Hounsfield units of CT, and apparent diffusion coefficients."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from comould.errors import ComouldWarning, InputError
from comould.habitats.prepare._inside import checked, finite, inside
from comould.space import FloatArray

if TYPE_CHECKING:
    import SimpleITK as sitk

WINDOWS_HU: dict[str, tuple[float, float]] = {
    "soft_tissue": (-160.0, 240.0),
    "liver": (-20.0, 180.0),
    "lung": (-1350.0, 150.0),
    "brain": (0.0, 80.0),
    "bone": (-450.0, 1050.0),
    "fat": (-200.0, 0.0),
}
"""Usual windows, lowest and highest HU."""
AdcUnit = Literal["1e-6 mm2/s", "1e-3 mm2/s", "mm2/s"]
ADC_FACTOR: dict[str, float] = {"1e-6 mm2/s": 1.0, "1e-3 mm2/s": 1e3, "mm2/s": 1e6}
"""What turns a unit into 10⁻⁶ mm²/s."""
ADC_RANGE = (100.0, 3500.0)
"""Median ADC a tissue can have, 10⁻⁶ mm²/s: free water at body temperature has 3,000."""
_LEAST_HU, _MOST_HU = -1100.0, 32767.0
_AIR_HU = -50.0


def window(
    image: sitk.Image,
    limits: str | Sequence[float] = "soft_tissue",
    *,
    modality: str,
    mask: sitk.Image | None = None,
) -> sitk.Image:
    """Clip a CT image to a window of Hounsfield units.

    Parameters
    ----------
    image
        CT in HU, 3-D.
    limits
        A name of :data:`WINDOWS_HU`, or lowest and highest HU.
    modality
        As DICOM says it: must be ``"CT"``. No other modality has HU, and a file does not always tell.
    mask
        With it, clipping of more than half of its voxels is told.

    Returns
    -------
    SimpleITK.Image
        float64, HU.

    Raises
    ------
    InputError
        For another modality, unknown or empty windows, and images that cannot be in HU: values below −1,100, or none
        below −50 (raw numbers without their rescaling, or no CT).

    Warns
    -----
    ComouldWarning
        When the window leaves less than half of the mask as it is.
    """
    if str(modality).upper() != "CT":
        raise InputError(
            subject=f"window {limits!r}",
            expected="a CT image: only CT has Hounsfield units",
            found=f"modality {modality!r}",
            remedy="Use zscore or an intensity standard for MR",
        )
    low, high = _limits(limits)
    grid, array = checked(image, "CT image")
    finite(array, "CT image")
    if array.min() < _LEAST_HU or array.max() > _MOST_HU or array.min() > _AIR_HU:
        raise InputError(
            subject="CT image",
            expected="Hounsfield units, with air or fat somewhere",
            found=f"values from {array.min():g} to {array.max():g}",
            remedy="Apply RescaleSlope and RescaleIntercept (comould.io.read_image does); fill padding with −1000",
        )
    if mask is not None:
        values = array[inside(mask, grid, "mask")]
        outside = float(((values < low) | (values > high)).mean())
        if outside > 0.5:
            message = f"the window of {low:g} to {high:g} HU clips {outside:.0%} of the mask's voxels"
            warnings.warn(message, ComouldWarning, stacklevel=2)
    return grid.to_image(np.clip(array, low, high))


def adc(image: sitk.Image, mask: sitk.Image, *, unit: AdcUnit | None = None) -> sitk.Image:
    """Bring an ADC map to 10⁻⁶ mm²/s.

    Parameters
    ----------
    image
        ADC map, 3-D.
    mask
        Living tissue on any grid; its median tells the unit.
    unit
        The map's unit, ``"1e-6 mm2/s"``, ``"1e-3 mm2/s"`` or ``"mm2/s"``. Without it the only one that is possible
        for tissue is taken, and told.

    Returns
    -------
    SimpleITK.Image
        float64, 10⁻⁶ mm²/s.

    Raises
    ------
    InputError
        If the unit is unknown, contradicts the values, or no unit makes them those of tissue (100 to 3,500).

    Warns
    -----
    ComouldWarning
        When the unit was inferred, or more than 1 % of the mask has an ADC of zero or less (failed fits).
    """
    if unit is not None and unit not in ADC_FACTOR:
        raise InputError(subject="ADC unit", expected=f"one of {', '.join(get_args(AdcUnit))}", found=repr(unit))
    grid, array = checked(image, "ADC map")
    values = finite(array[inside(mask, grid, "mask of the ADC map")], "ADC map")
    chosen = _unit(values, unit)
    if unit is None:
        message = f"the ADC map is taken to be in {chosen}: its median in the mask is {np.median(values):.4g}"
        warnings.warn(message, ComouldWarning, stacklevel=2)
    failed = float((values <= 0).mean())
    if failed > 0.01:
        message = f"{failed:.0%} of the mask's voxels have an ADC of zero or less: fits that failed"
        warnings.warn(message, ComouldWarning, stacklevel=2)
    return grid.to_image(array * ADC_FACTOR[chosen])


def _unit(values: FloatArray, unit: str | None) -> str:
    median = float(np.median(values))
    possible = [name for name, f in ADC_FACTOR.items() if ADC_RANGE[0] <= median * f <= ADC_RANGE[1]]
    if unit in possible or (unit is None and len(possible) == 1):
        return unit or possible[0]
    raise InputError(
        subject="ADC map",
        expected=f"a median of tissue ({ADC_RANGE[0]:g} to {ADC_RANGE[1]:g} × 10⁻⁶ mm²/s)"
        + (f" in {unit}" if unit else ""),
        found=f"{median:.4g}" + (f", which would fit {possible[0]}" if possible else " in whatever unit"),
        remedy="Give the unit the map was written in, or check that it is an ADC map and the mask lies in tissue",
    )


def _limits(limits: str | Sequence[float]) -> tuple[float, float]:
    if isinstance(limits, str):
        if limits not in WINDOWS_HU:
            raise InputError(subject=f"window {limits!r}", expected=f"one of {', '.join(WINDOWS_HU)}", found="none")
        return WINDOWS_HU[limits]
    both = np.asarray(limits, dtype=np.float64)
    if both.shape != (2,) or not np.isfinite(both).all() or both[0] >= both[1]:
        raise InputError(subject="window", expected="a lowest and a higher highest HU", found=f"{limits!r}")
    return float(both[0]), float(both[1])

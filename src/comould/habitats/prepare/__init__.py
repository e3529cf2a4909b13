"""What is done to images before they are measured: shading, scale, window, unit, grid."""

from comould.habitats.prepare.normalise import BiasCorrected, bias_corrected, zscore
from comould.habitats.prepare.nyul import IntensityStandard
from comould.habitats.prepare.onegrid import OneGrid, on_one_grid
from comould.habitats.prepare.units import ADC_RANGE, WINDOWS_HU, adc, window

__all__ = [
    "ADC_RANGE",
    "WINDOWS_HU",
    "BiasCorrected",
    "IntensityStandard",
    "OneGrid",
    "adc",
    "bias_corrected",
    "on_one_grid",
    "window",
    "zscore",
]

"""Filters of the IBSI standard: response maps that enter feature maps and habitats beside the images.

>>> from comould.habitats import filters
>>> filters.LaplacianOfGaussian(3.0).name
'log_3mm'
"""

from comould.habitats.filters._apply import filtered, parse
from comould.habitats.filters._base import Filter, Pooling
from comould.habitats.filters._boundary import Boundary
from comould.habitats.filters.fourier import Riesz, Simoncelli
from comould.habitats.filters.gabor import Gabor
from comould.habitats.filters.separable import LaplacianOfGaussian, Laws, Mean, Wavelet

__all__ = [
    "Boundary",
    "Filter",
    "Gabor",
    "LaplacianOfGaussian",
    "Laws",
    "Mean",
    "Pooling",
    "Riesz",
    "Simoncelli",
    "Wavelet",
    "filtered",
    "parse",
]

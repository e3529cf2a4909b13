"""One-dimensional kernels: Laws' and orthogonal wavelets'."""

from __future__ import annotations

from functools import lru_cache
from math import comb, sqrt

import numpy as np

from comould.space import FloatArray

LAWS: dict[str, tuple[float, ...]] = {
    "L5": (1, 4, 6, 4, 1),
    "E5": (-1, -2, 0, 2, 1),
    "S5": (-1, 0, 2, 0, -1),
    "W5": (-1, 2, 0, -2, 1),
    "R5": (1, -4, 6, -4, 1),
    "L3": (1, 2, 1),
    "E3": (-1, 0, 1),
    "S3": (-1, 2, -1),
}
"""Level, edge, spot, wave and ripple; not yet of unit length."""

MOST_MOMENTS = 10
"""Longest Daubechies wavelet offered: beyond, the roots of its polynomial lose digits."""

_COIF1 = tuple(
    (a + b * sqrt(7.0)) / (16.0 * sqrt(2.0)) for a, b in ((1, -1), (5, 1), (14, 2), (14, -2), (1, -1), (-3, 1))
)
# Daubechies, Ten Lectures on Wavelets, table 8.1.
_COIF2 = (
    0.01638733646320364,
    -0.04146493678687178,
    -0.0673725547237256,
    0.3861100668227629,
    0.8127236354494135,
    0.4170051844232391,
    -0.07648859907828076,
    -0.05943441864643109,
    0.02368017194684777,
    0.005611434819368834,
    -0.0018232088709110323,
    -0.000720549445520347,
)


def laws_kernel(name: str) -> FloatArray:
    """Laws kernel of unit length."""
    kernel = np.array(LAWS[name], dtype=np.float64)
    return kernel / np.linalg.norm(kernel)


def known_wavelets() -> tuple[str, ...]:
    """Names of the wavelets."""
    return ("haar", *(f"db{n}" for n in range(1, MOST_MOMENTS + 1)), "coif1", "coif2")


@lru_cache(maxsize=32)
def wavelet_kernels(family: str) -> tuple[FloatArray, FloatArray]:
    """Low-pass and high-pass decomposition kernels, for convolution."""
    if family.startswith("coif"):
        scaling = np.array(_COIF1 if family == "coif1" else _COIF2)
    else:
        scaling = _daubechies(1 if family == "haar" else int(family.removeprefix("db")))
    low = scaling[::-1]
    high = scaling * np.where(np.arange(len(scaling)) % 2, 1.0, -1.0)
    return low, high


def _daubechies(moments: int) -> FloatArray:
    """Scaling filter of extremal phase, by spectral factorisation.

    |H(z)|² = ((1 + cos)/2)^N P((1 − cos)/2); of each pair of roots of P in z the one inside the unit circle is kept.
    """
    taps = np.ones(1)
    polynomial = [float(comb(moments - 1 + k, k)) for k in range(moments)][::-1]
    for root in np.roots(polynomial):
        # y = (2 − z − 1/z) / 4
        pair = np.roots([1.0, 4.0 * root - 2.0, 1.0])
        taps = np.convolve(taps, [1.0, -pair[np.argmin(np.abs(pair))]])
    for _ in range(moments):
        taps = np.convolve(taps, [1.0, 1.0])
    real = np.real(taps)
    return real * (sqrt(2.0) / real.sum())

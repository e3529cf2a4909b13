"""Many one-dimensional roots at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from comould.space import FloatArray

_STEPS = 80
_TOLERANCE = 4 * np.finfo(np.float64).eps


def find_roots(function: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray) -> FloatArray:
    """Find a root of each of many functions inside a bracket.

    Parameters
    ----------
    function
        From ``(m,)`` places to ``(m,)`` values, the i-th value depending on the i-th place alone.
    low, high
        ``(m,)`` brackets, at whose ends the signs differ; where they do not, the end nearer to zero is given.

    Returns
    -------
    ndarray
        ``(m,)`` roots, to machine precision.

    References
    ----------
    Chandrupatla, T. R. (1997). A new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear
    function without using derivatives. doi:10.1016/s0965-9978(96)00051-8
    """
    a, b = np.array(high, dtype=np.float64), np.array(low, dtype=np.float64)
    fa, fb = function(a), function(b)
    c, fc = a.copy(), fa.copy()
    crossed = np.signbit(fa) != np.signbit(fb)
    step = np.full(a.shape, 0.5)
    for _ in range(_STEPS):
        best = np.where(np.abs(fa) < np.abs(fb), a, b)
        width = np.abs(b - a)
        limit = 0.5 * _TOLERANCE * np.abs(best) / np.where(width > 0, width, 1)
        done = ~crossed | (width <= _TOLERANCE * np.abs(best)) | (fa == 0) | (fb == 0)
        if done.all():
            break
        place = np.where(done, a, a + np.clip(step, limit, 1 - limit) * (b - a))
        value = function(place)
        same = np.signbit(value) == np.signbit(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(done | same, b, a), np.where(done | same, fb, fa)
        a, fa = np.where(done, a, place), np.where(done, fa, value)
        step = _next_step(a, b, c, fa, fb, fc)
    return np.where(np.abs(fa) < np.abs(fb), a, b)


def _next_step(
    a: FloatArray, b: FloatArray, c: FloatArray, fa: FloatArray, fb: FloatArray, fc: FloatArray
) -> FloatArray:
    """Inverse quadratic interpolation where it is safe, else the middle."""
    with np.errstate(all="ignore"):
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        safe = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
        step = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
    return np.where(safe & np.isfinite(step), step, 0.5)

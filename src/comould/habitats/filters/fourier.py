"""Filters that are defined by their frequencies: Simoncelli's wavelet and the Riesz transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial, prod, sqrt
from typing import ClassVar, Literal, get_args

import numpy as np

from comould.habitats.filters._base import Filter
from comould.habitats.filters._boundary import cropped, padded
from comould.space import FloatArray

Gain = Callable[[list[FloatArray]], FloatArray]
"""Real, even gain at frequencies along the axes (cycles per voxel, broadcastable)."""
Sampling = Literal["exact", "ibsi"]


@dataclass(frozen=True)
class Simoncelli(Filter):
    """Simoncelli's wavelet: details of one size, whatever their direction.

    Parameters
    ----------
    level
        1 passes the band from a quarter of the highest frequency (half a cycle per voxel) to all of it; each level
        more halves both ends.
    sampling
        ``"exact"``: at the frequencies of the discrete Fourier transform. ``"ibsi"``: as the standard's reference
        maps were made, at n frequencies from −½ to ½ with both ends; then none is zero, and a map of n voxels is off
        by up to 1/n of a period (8 % of the range at level 3 in 64 voxels) and changes when the image is turned round.
    """

    level: int = 1
    sampling: Sampling = "exact"
    ibsi_code: ClassVar[str] = "PRT7"

    @property
    def name(self) -> str:
        """``simoncelli_1``."""
        return f"simoncelli_{self.level}"

    def problems(self) -> list[str]:
        """Say what is wrong with the settings."""
        found = []
        if self.level < 1 or self.level != int(self.level):
            found.append(f"level {self.level} is not a positive count")
        if self.sampling not in get_args(Sampling):
            found.append(f"sampling {self.sampling!r} is none of {', '.join(get_args(Sampling))}")
        return found

    def reach(self, spacing_mm: FloatArray) -> None:
        """Look at the whole image."""

    def response(self, array: FloatArray, spacing_mm: FloatArray) -> FloatArray:
        """Band of ``(k, j, i)`` values."""
        if self.sampling == "ibsi":
            width = [self._margin if a in self.axes and self.boundary != "periodic" else 0 for a in range(3)]
            laid_out = padded(array, width, self.boundary)
            return cropped(_as_reference(laid_out, self._gain, self.axes), width, array.shape)
        return transformed(array, self._gain, (0,) * self.dimension, self, self._margin)

    @property
    def _margin(self) -> int:
        return 8 * 2**self.level

    def _gain(self, frequencies: list[FloatArray]) -> FloatArray:
        top = 0.5 / 2 ** (self.level - 1)
        radius = np.sqrt(sum((f**2 for f in frequencies), start=np.zeros(())))
        band = (radius > top / 4.0) & (radius <= top)
        within = np.where(band, radius, top / 2.0)
        return np.where(band, np.cos(np.pi / 2.0 * np.log2(2.0 * within / top)), 0.0)


@dataclass(frozen=True)
class Riesz(Filter):
    """Riesz transform: derivatives by direction that leave the strength of every frequency as it is.

    Parameters
    ----------
    order
        Order of the derivative along i, j and k, such as ``(1, 0, 0)``; two numbers for ``dimension=2``.
    of
        Filter whose response is transformed: :class:`LaplacianOfGaussian` or :class:`Simoncelli` in the standard.
        It must have the same boundary and dimension.

    Notes
    -----
    Directions are those of the image's axes, true in mm also for voxels of unequal sides.
    """

    order: tuple[int, ...]
    of: Filter | None = None
    ibsi_code: ClassVar[str] = "AYRS"
    in_voxels: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """``riesz_100_log_3mm``."""
        return f"riesz_{''.join(str(o) for o in self.order)}" + (f"_{self.of.name}" if self.of else "")

    def problems(self) -> list[str]:
        """Say what is wrong with the settings."""
        found = []
        if len(self.order) != self.dimension or any(o < 0 or o != int(o) for o in self.order) or not any(self.order):
            found.append(f"order {self.order} is not {self.dimension} counts, one of them positive")
        if self.of is not None and (self.of.boundary, self.of.dimension) != (self.boundary, self.dimension):
            found.append(f"the filter {self.of.name} has another boundary or dimension")
        return found

    def reach(self, spacing_mm: FloatArray) -> None:
        """Look at the whole image."""

    def response(self, array: FloatArray, spacing_mm: FloatArray) -> FloatArray:
        """Transform of ``(k, j, i)`` values."""
        if self.of is not None:
            array = self.of.response(array, spacing_mm)
        sides = spacing_mm[list(self.axes)]
        total = sum(self.order)
        strength = sqrt(factorial(total) / prod(factorial(o) for o in self.order))

        def gain(frequencies: list[FloatArray]) -> FloatArray:
            per_mm = [f / side for f, side in zip(frequencies, sides, strict=True)]
            radius = np.sqrt(sum((f**2 for f in per_mm), start=np.zeros(())))
            parts = [f**o for f, o in zip(per_mm, self.order[::-1], strict=True) if o]
            return strength * prod(parts, start=np.ones(())) / np.where(radius > 0, radius, 1.0) ** total

        return transformed(array, gain, self.order[::-1], self, 32)


def transformed(array: FloatArray, gain: Gain, order: Sequence[int], of: Filter, margin: int) -> FloatArray:
    """Multiply the frequencies of ``(k, j, i)`` values along the filter's axes.

    The gain of a frequency is ``gain(|f|)`` times (−i sign f) to the power of ``order`` along each axis. A mirrored
    image holds cosines only, of which odd orders make sines: so it is never laid out twice as large. Zero and nearest
    boundaries are laid out ``margin`` voxels wide.
    """
    if of.boundary == "mirror":
        return _mirrored(array, gain, order, of.axes)
    if of.boundary == "periodic":
        return _periodic(array, gain, order, of.axes)
    width = [margin if axis in of.axes else 0 for axis in range(3)]
    return cropped(_periodic(padded(array, width, of.boundary), gain, order, of.axes), width, array.shape)


def _periodic(array: FloatArray, gain: Gain, order: Sequence[int], axes: tuple[int, ...]) -> FloatArray:
    from scipy import fft

    shape = [array.shape[axis] for axis in axes]
    signed = [fft.fftfreq(n) for n in shape[:-1]] + [fft.rfftfreq(shape[-1])]
    signed = [_along(f, axis) for f, axis in zip(signed, axes, strict=True)]
    factor = gain([np.abs(f) for f in signed]).astype(np.complex128)
    for f, o, n in zip(signed, order, shape, strict=True):
        # At the highest frequency of an even length both signs are one: odd orders cancel there.
        sign = np.where((np.abs(f) == 0.5) & (n % 2 == 0), 0.0, np.sign(f)) if o % 2 else np.ones(())
        factor = factor * sign * (-1j) ** o
    return fft.irfftn(fft.rfftn(array, axes=axes) * factor, s=shape, axes=axes)


def _as_reference(array: FloatArray, gain: Gain, axes: tuple[int, ...]) -> FloatArray:
    """Multiply frequencies that are taken from −½ to ½ with both ends; the real part of the response."""
    from scipy import fft

    shape = [array.shape[axis] for axis in axes]
    there = [fft.ifftshift(np.linspace(-0.5, 0.5, n)) for n in shape]
    # The opposite frequency has another gain: the mean of both gives the real part.
    back = [np.roll(f[::-1], 1) for f in there]
    halves = [[f[: n // 2 + 1] if f is fs[-1] else f for f, n in zip(fs, shape, strict=True)] for fs in (there, back)]
    gains = [gain([_along(f, axis) for f, axis in zip(fs, axes, strict=True)]) for fs in halves]
    return fft.irfftn(fft.rfftn(array, axes=axes) * (0.5 * (gains[0] + gains[1])), s=shape, axes=axes)


def _mirrored(array: FloatArray, gain: Gain, order: Sequence[int], axes: tuple[int, ...]) -> FloatArray:
    from scipy import fft

    shape = [array.shape[axis] for axis in axes]
    frequencies = [_along(np.arange(n) / (2.0 * n), axis) for n, axis in zip(shape, axes, strict=True)]
    waves = fft.dctn(array, type=2, norm="ortho", axes=axes) * gain(frequencies)
    for axis, o in zip(axes, order, strict=True):
        if o % 2:
            # Sines are counted from the first frequency above zero.
            waves = np.roll(waves, -1, axis=axis)
            waves[(slice(None),) * axis + (-1,)] = 0.0
            waves = (-1.0) ** ((o - 1) // 2) * fft.idst(waves, type=2, norm="ortho", axis=axis)
        else:
            waves = (-1.0) ** (o // 2) * fft.idct(waves, type=2, norm="ortho", axis=axis)
    return waves


def _along(values: FloatArray, axis: int) -> FloatArray:
    return values.reshape([-1 if a == axis else 1 for a in range(3)])

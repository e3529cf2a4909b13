"""Gabor filters: stripes of one width, in a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from comould.habitats.filters._base import Filter, Pool, Pooling, length_problem, pooling_problems
from comould.habitats.filters._boundary import padded
from comould.space import FloatArray

Part = Literal["modulus", "real", "imaginary"]
_CHUNK = 1 << 22
"""Complex numbers held at once."""


@dataclass(frozen=True)
class Gabor(Filter):
    """A wave under a Gaussian envelope, within planes.

    Parameters
    ----------
    sigma_mm
        Standard deviation of the envelope along the wave.
    wavelength_mm
        Wavelength λ.
    gamma
        Aspect ratio: across the wave the envelope's standard deviation is σ/γ.
    theta_deg
        Direction of the wave, clockwise from the image's i axis in the i-j plane.
    theta_step_deg
        With a step, responses in all directions from ``theta_deg`` in such steps over the full turn are pooled.
    pooling
        How directions are pooled (with a step), and with ``dimension=3`` the i-j, i-k and j-k planes too. Without it,
        planes are i-j.
    part
        ``"modulus"``, ``"real"`` or ``"imaginary"`` part of the complex response.
    truncate
        Cut of the kernel in standard deviations of the envelope.

    Notes
    -----
    As in the standard the kernel is not normalised: its sum over the envelope grows with the number of voxels in it.
    Planes of other voxels are weighted so that a wave in any of them gives the same response.
    """

    sigma_mm: float
    wavelength_mm: float
    gamma: float = 1.0
    theta_deg: float = 0.0
    theta_step_deg: float | None = None
    pooling: Pooling | None = None
    part: Part = "modulus"
    truncate: float = 4.0
    ibsi_code: ClassVar[str] = "Q88H"
    in_voxels: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """``gabor_5mm_2mm_mean``."""
        turned = f"_{self.theta_deg:g}deg" if self.theta_step_deg is None else f"_{self.pooling}"
        part = "" if self.part == "modulus" else f"_{self.part}"
        return f"gabor_{self.sigma_mm:g}mm_{self.wavelength_mm:g}mm{turned}{part}"

    def problems(self) -> list[str]:
        """Say what is wrong with the settings."""
        found = pooling_problems(self.pooling)
        for name in ("sigma_mm", "wavelength_mm", "gamma", "truncate"):
            found += length_problem(name, getattr(self, name))
        if not np.isfinite(self.theta_deg):
            found.append(f"theta_deg {self.theta_deg} is not an angle")
        step = self.theta_step_deg
        if step is not None and (not 0 < step <= 180 or abs(360 / step - round(360 / step)) > 1e-9):
            found.append(f"theta_step_deg {step} does not divide the full turn")
        if step is not None and self.pooling is None:
            found.append("theta_step_deg needs a pooling of its directions")
        if self.part not in get_args(Part):
            found.append(f"part {self.part!r} is none of {', '.join(get_args(Part))}")
        return found

    @property
    def angles_rad(self) -> FloatArray:
        """Directions of the wave; opposite ones have the same modulus and real part and are left out."""
        if self.theta_step_deg is None:
            return np.deg2rad([self.theta_deg])
        count = round(360 / self.theta_step_deg)
        if count % 2 == 0 and self.part != "imaginary":
            count //= 2
        return np.deg2rad(self.theta_deg + self.theta_step_deg * np.arange(count))

    @property
    def planes(self) -> tuple[tuple[int, int, int], ...]:
        """Array axes: across the plane, its rows, its columns."""
        return ((0, 1, 2),) if self.dimension == 2 or self.pooling is None else ((0, 1, 2), (1, 0, 2), (2, 0, 1))

    def reach(self, spacing_mm: FloatArray) -> npt.NDArray[np.int64]:
        """So many σ within the planes."""
        reach = np.zeros(3, dtype=np.int64)
        for _, row, column in self.planes:
            half = self._half(spacing_mm[[row, column]])
            reach[[row, column]] = np.maximum(reach[[row, column]], half)
        return reach

    def response(self, array: FloatArray, spacing_mm: FloatArray) -> FloatArray:
        """Responses to ``(k, j, i)`` values, pooled."""
        pool = Pool(self.pooling or "max")
        for across, row, column in self.planes:
            stack = np.moveaxis(array, across, 0)
            mine = spacing_mm[[row, column]]
            total = spacing_mm if len(self.planes) > 1 else mine
            weight = float(np.prod(mine)) / float(np.prod(total)) ** (2.0 / len(total))
            pool.add(np.moveaxis(self._planes(stack, mine, weight), 0, across))
        return pool.result

    def _half(self, spacing_mm: FloatArray) -> npt.NDArray[np.int64]:
        return np.ceil(self.truncate * self.sigma_mm * max(1.0, 1.0 / self.gamma) / spacing_mm).astype(np.int64)

    def _kernel(self, angle_rad: float, spacing_mm: FloatArray) -> npt.NDArray[np.complex128]:
        half = self._half(spacing_mm)
        y, x = (np.arange(-h, h + 1) * s for h, s in zip(half, spacing_mm, strict=True))
        along = x[None, :] * np.cos(angle_rad) + y[:, None] * np.sin(angle_rad)
        across = -x[None, :] * np.sin(angle_rad) + y[:, None] * np.cos(angle_rad)
        envelope = np.exp(-(along**2 + (self.gamma * across) ** 2) / (2.0 * self.sigma_mm**2))
        return envelope * np.exp(2j * np.pi * along / self.wavelength_mm)

    def _planes(self, stack: FloatArray, spacing_mm: FloatArray, weight: float) -> FloatArray:
        """Pooled response of each plane ``(n, rows, columns)``."""
        from scipy import fft

        half = self._half(spacing_mm)
        size = tuple(fft.next_fast_len(int(n + 4 * h)) for n, h in zip(stack.shape[1:], half, strict=True))
        spectra = [fft.fft2(weight * self._kernel(angle, spacing_mm), size) for angle in self.angles_rad]
        result = np.empty(stack.shape)
        step = max(1, _CHUNK // (size[0] * size[1]))
        inner = tuple(slice(2 * h, 2 * h + n) for h, n in zip(half, stack.shape[1:], strict=True))
        for start in range(0, len(stack), step):
            some = padded(stack[start : start + step], (0, *half.tolist()), self.boundary)
            spectrum = fft.fft2(some, size)
            pool = Pool(self.pooling or "max")
            for kernel in spectra:
                pool.add(self._real(fft.ifft2(spectrum * kernel)[:, inner[0], inner[1]]))
            result[start : start + step] = pool.result
        return result

    def _real(self, response: npt.NDArray[np.complex128]) -> FloatArray:
        if self.part == "modulus":
            return np.abs(response)
        return response.real.copy() if self.part == "real" else response.imag.copy()

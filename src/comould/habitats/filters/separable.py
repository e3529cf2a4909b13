"""Filters that are products of one-dimensional kernels: mean, Laplacian of Gaussian, Laws, wavelets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from comould.habitats.filters._base import Filter, Pool, Pooling, length_problem, pooling_problems
from comould.habitats.filters._boundary import SCIPY_MODES
from comould.habitats.filters._coefficients import LAWS, known_wavelets, laws_kernel, wavelet_kernels
from comould.space import FloatArray

Kernels = tuple[FloatArray, ...]


@dataclass(frozen=True)
class Mean(Filter):
    """Mean over a cube (or square) of voxels.

    Parameters
    ----------
    support
        Odd number of voxels along a side.
    """

    support: int
    ibsi_code: ClassVar[str] = "S60F"

    @property
    def name(self) -> str:
        """``mean_5``."""
        return f"mean_{self.support}"

    def problems(self) -> list[str]:
        """Say what is wrong with the settings."""
        good = self.support == int(self.support) and self.support >= 1 and self.support % 2 == 1
        return [] if good else [f"support {self.support} is not an odd count of voxels"]

    def reach(self, spacing_mm: FloatArray) -> npt.NDArray[np.int64]:
        """Half the support."""
        return _along(self, int(self.support) // 2)

    def response(self, array: FloatArray, spacing_mm: FloatArray) -> FloatArray:
        """Mean of ``(k, j, i)`` values."""
        kernel = np.full(int(self.support), 1.0 / self.support)
        return convolved(array, (kernel,) * self.dimension, self)


@dataclass(frozen=True)
class LaplacianOfGaussian(Filter):
    """Blobs and edges of one size: the Laplacian of a Gaussian.

    Parameters
    ----------
    sigma_mm
        Standard deviation of the Gaussian, the same along every patient direction.
    truncate
        Cut of the kernel in σ.

    Notes
    -----
    Of the response, a length² has to be chosen in which the second derivatives are counted: as in the standard the
    voxel's side, the geometric mean of its sides where they differ. Divide by its square for derivatives per mm².
    """

    sigma_mm: float
    truncate: float = 4.0
    ibsi_code: ClassVar[str] = "L6PA"
    in_voxels: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """``log_3mm``."""
        return f"log_{self.sigma_mm:g}mm"

    def problems(self) -> list[str]:
        """Say what is wrong with the settings."""
        return length_problem("sigma_mm", self.sigma_mm) + length_problem("truncate", self.truncate)

    def reach(self, spacing_mm: FloatArray) -> npt.NDArray[np.int64]:
        """So many σ."""
        return np.array([self._half(s) if axis in self.axes else 0 for axis, s in enumerate(spacing_mm)])

    def response(self, array: FloatArray, spacing_mm: FloatArray) -> FloatArray:
        """Sum of the second derivatives of ``(k, j, i)`` values."""
        mine = spacing_mm[list(self.axes)]
        side2 = float(np.prod(mine)) ** (2.0 / len(mine))
        gauss, second = zip(*(self._kernels(s, side2) for s in mine[::-1]), strict=True)
        total = np.zeros_like(array)
        for axis in range(self.dimension):
            total += convolved(array, (*gauss[:axis], second[axis], *gauss[axis + 1 :]), self)
        return total

    def _half(self, spacing_mm: float) -> int:
        return int(np.floor(self.truncate * self.sigma_mm / spacing_mm + 0.5))

    def _kernels(self, spacing_mm: float, side2: float) -> tuple[FloatArray, FloatArray]:
        half = self._half(spacing_mm)
        z = np.arange(-half, half + 1) * spacing_mm / self.sigma_mm
        gauss = np.exp(-(z**2) / 2.0) * spacing_mm / (np.sqrt(2.0 * np.pi) * self.sigma_mm)
        return gauss, gauss * (z**2 - 1.0) * side2 / self.sigma_mm**2


@dataclass(frozen=True)
class Laws(Filter):
    """Laws' texture kernels, one along each axis, and their energy.

    Parameters
    ----------
    kernels
        Names along i, j and k, such as ``"E5L5S5"``; two for ``dimension=2``. L level, E edge, S spot, W wave,
        R ripple; 3 or 5 voxels long, of unit length.
    energy_delta
        Half-width in voxels of the mean of absolute responses around each voxel; ``None`` gives the responses.
    pooling
        Over the 24 (in 2-D: 4) right-angled rotations of the kernels, so that the image's orientation does not
        matter; ``None`` for the one orientation.
    """

    kernels: str
    energy_delta: int | None = None
    pooling: Pooling | None = None
    ibsi_code: ClassVar[str] = "JTXT"

    @property
    def name(self) -> str:
        """``laws_E5L5S5_energy7_max``."""
        energy = "" if self.energy_delta is None else f"_energy{self.energy_delta}"
        return f"laws_{self.kernels}{energy}" + (f"_{self.pooling}" if self.pooling else "")

    @property
    def parts(self) -> list[str]:
        """Kernel names along i, j, k."""
        return [self.kernels[at : at + 2].upper() for at in range(0, len(self.kernels), 2)]

    def problems(self) -> list[str]:
        """Say what is wrong with the settings."""
        found = pooling_problems(self.pooling)
        if len(self.parts) != self.dimension or not set(self.parts) <= set(LAWS):
            found.append(f"kernels {self.kernels!r} are not {self.dimension} of {', '.join(LAWS)}")
        if self.energy_delta is not None and (self.energy_delta < 1 or self.energy_delta != int(self.energy_delta)):
            found.append(f"energy_delta {self.energy_delta} is not a positive count of voxels")
        return found

    def reach(self, spacing_mm: FloatArray) -> npt.NDArray[np.int64]:
        """Half a kernel and the energy's half-width."""
        return _along(self, max(len(LAWS[part]) for part in self.parts) // 2 + (self.energy_delta or 0))

    def response(self, array: FloatArray, spacing_mm: FloatArray) -> FloatArray:
        """Responses to ``(k, j, i)`` values, pooled, and their energy."""
        found = _pooled(array, tuple(laws_kernel(part) for part in self.parts), self, self.pooling)
        if self.energy_delta is None:
            return found
        support = 2 * self.energy_delta + 1
        return convolved(np.abs(found), (np.full(support, 1.0 / support),) * self.dimension, self)


@dataclass(frozen=True)
class Wavelet(Filter):
    """One subband of an undecimated separable wavelet decomposition.

    Parameters
    ----------
    family
        ``"haar"``, ``"db1"`` … ``"db10"`` (Daubechies, so many vanishing moments), ``"coif1"`` or ``"coif2"``.
    subband
        ``L`` or ``H`` along i, j and k, such as ``"LHL"``; two letters for ``dimension=2``.
    level
        Level of the decomposition; the levels before it are low-pass along every axis. Kernels are widened by holes
        (à trous), the image keeps its size.
    pooling
        As for :class:`Laws`.
    """

    family: str
    subband: str
    level: int = 1
    pooling: Pooling | None = None
    ibsi_code: ClassVar[str] = "25BO"

    @property
    def name(self) -> str:
        """``db3_LLH_2_mean``."""
        return f"{self.family}_{self.subband.upper()}_{self.level}" + (f"_{self.pooling}" if self.pooling else "")

    def problems(self) -> list[str]:
        """Say what is wrong with the settings."""
        found = pooling_problems(self.pooling)
        if self.family not in known_wavelets():
            found.append(f"family {self.family!r} is none of {', '.join(known_wavelets())}")
        if len(self.subband) != self.dimension or not set(self.subband.upper()) <= {"L", "H"}:
            found.append(f"subband {self.subband!r} is not {self.dimension} letters L or H")
        if self.level < 1 or self.level != int(self.level):
            found.append(f"level {self.level} is not a positive count")
        return found

    def reach(self, spacing_mm: FloatArray) -> npt.NDArray[np.int64]:
        """Half of all kernels that follow one another."""
        half = len(_odd(wavelet_kernels(self.family)[0])) // 2
        return _along(self, half * (2**self.level - 1))

    def response(self, array: FloatArray, spacing_mm: FloatArray) -> FloatArray:
        """Subband of ``(k, j, i)`` values, pooled."""
        low, high = (_odd(kernel) for kernel in wavelet_kernels(self.family))
        chosen = tuple(low if letter == "L" else high for letter in self.subband.upper())
        if self.level == 1:
            return _pooled(array, chosen, self, self.pooling)
        turns = list(turned((low,) * self.dimension, chosen)) if self.pooling else [((low,) * self.dimension, chosen)]
        pool = Pool(self.pooling or "max")
        for before, last in turns:
            found = array
            for level in range(self.level):
                kernels = last if level == self.level - 1 else before
                found = convolved(found, tuple(_with_holes(kernel, level) for kernel in kernels), self)
            pool.add(found)
        return pool.result


def convolved(array: FloatArray, kernels: Sequence[FloatArray], of: Filter) -> FloatArray:
    """Convolve ``(k, j, i)`` values with one odd kernel along each of i, j (and k)."""
    from scipy.ndimage import convolve1d

    for axis, kernel in zip((2, 1, 0), kernels, strict=False):
        array = convolve1d(array, kernel, axis=axis, mode=SCIPY_MODES[of.boundary])
    return array


def turned(*sets: Kernels) -> Iterator[tuple[Kernels, ...]]:
    """Turn sets of kernels along the axes by all right-angled rotations; equal results once."""
    seen = set()
    dimension = len(sets[0])
    for order in permutations(range(dimension)):
        for signs in product((1, -1), repeat=dimension):
            if _parity(order) * int(np.prod(signs)) < 0:
                continue
            found = tuple(tuple(kernels[a][::sign] for a, sign in zip(order, signs, strict=True)) for kernels in sets)
            key = tuple(kernel.tobytes() for kernels in found for kernel in kernels)
            if key not in seen:
                seen.add(key)
                yield found


def _pooled(array: FloatArray, kernels: Kernels, of: Filter, pooling: Pooling | None) -> FloatArray:
    if pooling is None:
        return convolved(array, kernels, of)
    pool = Pool(pooling)
    for (turn,) in turned(kernels):
        pool.add(convolved(array, turn, of))
    return pool.result


def _parity(order: Sequence[int]) -> int:
    return round(float(np.linalg.det(np.eye(len(order))[list(order)])))


def _along(of: Filter, count: int) -> npt.NDArray[np.int64]:
    return np.array([count if axis in of.axes else 0 for axis in range(3)], dtype=np.int64)


def _odd(kernel: FloatArray) -> FloatArray:
    """Give a kernel of even length a centre: a zero at its end."""
    return kernel if len(kernel) % 2 else np.append(kernel, 0.0)


def _with_holes(kernel: FloatArray, level: int) -> FloatArray:
    step = 2**level
    wide = np.zeros((len(kernel) - 1) * step + 1)
    wide[::step] = kernel
    return wide

"""Smooth Gaussian random fields, evaluated exactly at any patient point (random Fourier features)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from comould.space import FloatArray

N_FREQUENCIES = 384
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class RandomFields:
    """Independent stationary Gaussian random fields with one spectrum.

    A field is ``Σ a cos(k·p) + b sin(k·p)`` over the frequencies k, with normal a and b. Given the frequencies, fields
    with independent weights are independent Gaussian processes of *identical* covariance,
    ``mean(cos(k·(p - q)))``, which approaches ``exp(-|p - q|² / 2ℓ²)`` (Rahimi & Recht, NeurIPS 2007). That is what
    makes a gene exactly as smooth as a habitat without following it.

    Parameters
    ----------
    frequencies
        ``(f, 3)``, rad/mm.
    weights
        ``(2 f, n)``: cosine weights above sine weights; one column a field.
    """

    frequencies: FloatArray
    weights: FloatArray

    @classmethod
    def draw(
        cls, rng: np.random.Generator, n: int, correlation_mm: float, n_frequencies: int = N_FREQUENCIES
    ) -> RandomFields:
        """Draw ``n`` fields of mean 0, variance 1 and correlation length ``correlation_mm``."""
        frequencies = rng.standard_normal((n_frequencies, 3)) / correlation_mm
        return cls(frequencies, np.zeros((2 * n_frequencies, 0))).siblings(rng, n)

    def siblings(self, rng: np.random.Generator, n: int) -> RandomFields:
        """Draw ``n`` further fields of the same covariance, independent of these."""
        count = len(self.frequencies)
        return replace(self, weights=rng.standard_normal((2 * count, n)) / np.sqrt(count))

    def __len__(self) -> int:
        return self.weights.shape[1]

    def at(self, points_mm: FloatArray) -> FloatArray:
        """Evaluate at patient points ``(m, 3)``; returns ``(m, n)``."""
        values = np.empty((len(points_mm), len(self)))
        for start in range(0, len(points_mm), _CHUNK):
            phase = points_mm[start : start + _CHUNK] @ self.frequencies.T
            values[start : start + _CHUNK] = np.hstack([np.cos(phase), np.sin(phase)]) @ self.weights
        return values

    def on_lattice(
        self,
        origin_mm: FloatArray,
        steps_mm: FloatArray,
        shape: tuple[int, int, int],
        dtype: type[np.float32] | type[np.float64] = np.float32,
    ) -> FloatArray:
        """Evaluate on a lattice, exactly and quickly: the waves are products of one-dimensional ones.

        Parameters
        ----------
        origin_mm
            Patient position of node (0, 0, 0).
        steps_mm
            ``(3, 3)``; columns are the patient vectors from a node to its neighbour along i, j, k.
        shape
            Nodes along k, j, i.
        dtype
            Of the sums: single precision (good to 1e-5) is enough for pictures and twice as quick.

        Returns
        -------
        ndarray
            ``(n, k, j, i)``.
        """
        n_k, n_j, n_i = shape
        turns = self.frequencies @ steps_mm
        wave_i = np.exp(1j * np.outer(np.arange(n_i), turns[:, 0]))
        wave_j = np.exp(1j * np.outer(np.arange(n_j), turns[:, 1]))
        wave_k = np.exp(1j * (np.outer(np.arange(n_k), turns[:, 2]) + self.frequencies @ origin_mm))
        right = np.hstack([wave_i.real, wave_i.imag]).T.astype(dtype)
        cosine, sine = np.split(self.weights.T, 2, axis=1)
        complex_type = np.result_type(dtype, np.complex64)
        amplitudes = (cosine - 1j * sine).astype(complex_type)
        wave_j, wave_k = wave_j.astype(complex_type), wave_k.astype(complex_type)
        values: Any = np.empty((len(self), n_k, n_j, n_i), dtype)
        for k in range(n_k):
            left = (amplitudes * wave_k[k])[:, None, :] * wave_j
            flat = np.concatenate([left.real, -left.imag], axis=2).reshape(-1, 2 * len(turns))
            values[:, k] = (flat @ right).reshape(len(self), n_j, n_i)
        return values

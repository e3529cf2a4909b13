"""Sums over patients as curves in τ²: values on a Chebyshev grid, from which they can be had at every τ².

With ``x = τ² / (τ² + c)`` all τ² from 0 to infinity lie in 0 … 1, and each patient's part of the sums is a simple
rational function of x that a polynomial follows to as many digits as the grid has points for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from comould.associate.cohort.sums import At
from comould.space import FloatArray

PARTS = ("weight", "sum", "square", "log")
"""``Σ (τ²+c) / (v+τ²)``, the same with y and y² above the line, and ``Σ log((v+τ²) / (τ²+c))``."""
_WANTED = 1e-13
_FEWEST, _MOST = 12, 160


def nodes(count: int) -> FloatArray:
    """Chebyshev points of the second kind on 0 … 1, both ends among them."""
    return 0.5 - 0.5 * np.cos(np.pi * np.arange(count) / (count - 1))


def enough_nodes(least: float, most: float) -> int:
    """Points that carry the curves to 13 digits, for variances between two bounds and c their geometric mean.

    The nearest pole of a curve lies at ``sqrt(least / most)`` from the interval, which fixes how fast Chebyshev
    interpolation converges (Trefethen 2019, Approximation Theory and Approximation Practice, chapter 8).
    """
    gap = 1 + 2 * np.sqrt(least / most)
    rate = gap + np.sqrt(gap**2 - 1)
    return int(np.clip(np.ceil(-np.log(_WANTED) / np.log(rate)) + 4, _FEWEST, _MOST))


def curves(effects: FloatArray, variances: FloatArray, scale: float, count: int) -> FloatArray:
    """Sum patients on the grid.

    Parameters
    ----------
    effects, variances
        ``(n_patients, n_rows)``, NaN where a patient lacks a row.
    scale
        c.
    count
        Points of the grid.

    Returns
    -------
    ndarray
        ``(4, count, n_rows)`` in the order of :data:`PARTS`. At the last point they are the number of patients, Σ y,
        Σ y² and 0.
    """
    x = nodes(count)[:, None]
    total = np.zeros((4, count, effects.shape[1]))
    for y, v in zip(effects, variances, strict=True):
        there = np.isfinite(y)
        between = np.where(there, v, scale) * (1 - x) + scale * x
        share = np.where(there, scale / between, 0.0)
        value = np.where(there, y, 0.0)
        total += np.stack([share, share * value, share * value**2, np.log(between / scale)])
    return total


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves of one centre.

    Parameters
    ----------
    on_grid
        ``(4, n_nodes, n_rows)``; all 0 for a row the centre does not have.
    scale
        c.
    """

    on_grid: FloatArray
    scale: float

    def at(self, tau2: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Values and slopes in x of the curves at one τ² a row: ``(4, n_rows)`` and ``(3, n_rows)`` (log left out)."""
        count = self.on_grid.shape[1]
        x = tau2 / (tau2 + self.scale)
        grid, signs = nodes(count), _barycentric(count)
        away = x - grid[:, None]
        hit = away == 0
        terms = np.where(hit, 0.0, signs[:, None] / np.where(hit, 1.0, away))
        on = hit.any(axis=0)
        terms[:, on] = hit[:, on]
        terms /= terms.sum(axis=0)
        values = np.einsum("pnr,nr->pr", self.on_grid, terms)
        slopes = np.einsum("pnr,nr->pr", self.slopes, terms)
        return values, slopes

    @cached_property
    def slopes(self) -> FloatArray:
        """Slopes in x at the grid, ``(3, n_nodes, n_rows)``."""
        matrix = _differentiation(self.on_grid.shape[1])
        return np.asarray(np.einsum("mn,pnr->pmr", matrix, self.on_grid[:3]), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class CurveSums:
    """The :class:`~comould.associate.cohort.sums.Sums` of several centres, from their curves alone."""

    centres: Sequence[Curves]

    @property
    def count(self) -> FloatArray:
        """Patients of each row: what the first curve comes to as τ² grows."""
        return np.round(sum(np.asarray(centre.on_grid[0, -1]) for centre in self.centres))

    @property
    def scale(self) -> FloatArray:
        """The centres' typical variance."""
        mean = np.exp(np.mean([np.log(centre.scale) for centre in self.centres]))
        return np.full(self.centres[0].on_grid.shape[2], float(mean))

    def at(self, tau2: FloatArray) -> At:
        """Put the centres' sums together at one τ² a row."""
        n = len(tau2)
        first, second, log = np.zeros((3, n)), np.zeros((3, n)), np.zeros(n)
        for centre in self.centres:
            values, slopes = centre.at(tau2)
            whole = tau2 + centre.scale
            first += values[:3] / whole
            # (1 - x) = c / (τ² + c); see the slope of a patient's share.
            second += (values[:3] - centre.scale / whole * slopes) / whole**2
            log += values[3] + np.round(centre.on_grid[0, -1]) * np.log(whole)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = first[1] / first[0]
        return At(
            weight=first[0],
            weight2=second[0],
            mean=mean,
            spread=np.maximum(first[2] - mean * first[1], 0.0),
            spread2=np.maximum(second[2] - 2 * mean * second[1] + mean**2 * second[0], 0.0),
            log=log,
        )

    def some(self, features: np.ndarray) -> CurveSums:
        """Keep some rows."""
        return CurveSums([Curves(centre.on_grid[:, :, features], centre.scale) for centre in self.centres])


def _barycentric(count: int) -> FloatArray:
    signs = (-1.0) ** np.arange(count)
    signs[[0, -1]] /= 2
    return np.asarray(signs)


def _differentiation(count: int) -> FloatArray:
    """Matrix from values at the nodes to slopes there (Berrut & Trefethen 2004, doi:10.1137/S0036144502417715)."""
    x, signs = nodes(count), _barycentric(count)
    away = x[:, None] - x + np.eye(count)
    matrix = signs / signs[:, None] / away
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return np.asarray(matrix)

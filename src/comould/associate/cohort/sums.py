"""Everything a random-effects answer needs of the patients: a handful of sums, as functions of their heterogeneity.

The solver in :mod:`~comould.associate.cohort.meta` sees sums only, so that patients at hand and the sums other
centres sent are one code path with one answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from comould.space import FloatArray


@dataclass(frozen=True, eq=False)
class At:
    """Sums at one heterogeneity τ² a feature, each ``(n_features,)``, with weights ``w = 1 / (v + τ²)``.

    Parameters
    ----------
    weight, weight2
        ``Σ w`` and ``Σ w²``.
    mean
        ``Σ w y / Σ w``.
    spread, spread2
        ``Σ w (y - mean)²``, Cochran's Q, and ``Σ w² (y - mean)²``, its slope with the sign changed.
    log
        ``Σ log(v + τ²)``.
    """

    weight: FloatArray
    weight2: FloatArray
    mean: FloatArray
    spread: FloatArray
    spread2: FloatArray
    log: FloatArray

    @property
    def likelihood(self) -> FloatArray:
        """Restricted log-likelihood but for a constant."""
        return -0.5 * (self.log + np.log(self.weight) + self.spread)

    @property
    def score(self) -> FloatArray:
        """Slope of the restricted log-likelihood in τ²."""
        return -0.5 * (self.weight - self.weight2 / self.weight - self.spread2)


class Sums(Protocol):
    """Patients of many features, seen only through their sums."""

    @property
    def count(self) -> FloatArray:
        """Patients of each feature ``(n_features,)``."""

    @property
    def scale(self) -> FloatArray:
        """A typical variance of each feature ``(n_features,)``, above 0: where to look for τ²."""

    def at(self, tau2: FloatArray) -> At:
        """Take the sums at one τ² ``(n_features,)`` each."""

    def some(self, features: np.ndarray) -> Sums:
        """Keep some features: a boolean mask or indices."""


@dataclass(frozen=True, eq=False)
class PatientSums:
    """The sums of patients at hand.

    Parameters
    ----------
    effects, variances
        ``(n_patients, n_features)``; both NaN where a patient lacks a feature.
    """

    effects: FloatArray
    variances: FloatArray

    @property
    def count(self) -> FloatArray:
        """Patients of each feature."""
        return np.isfinite(self.effects).sum(axis=0).astype(np.float64)

    @property
    def scale(self) -> FloatArray:
        """Geometric mean of the variances."""
        there = np.isfinite(self.variances)
        logs = np.where(there, np.log(np.where(there, self.variances, 1.0)), 0.0)
        return np.exp(logs.sum(axis=0) / np.maximum(there.sum(axis=0), 1))

    def at(self, tau2: FloatArray) -> At:
        """Take the sums at one τ² a feature."""
        there = np.isfinite(self.effects)
        total = np.where(there, self.variances, 1.0) + tau2
        weights = np.where(there, 1 / total, 0.0)
        values = np.where(there, self.effects, 0.0)
        weight = weights.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (weights * values).sum(axis=0) / weight
        squares = weights * np.where(there, (values - mean) ** 2, 0.0)
        return At(
            weight=weight,
            weight2=(weights**2).sum(axis=0),
            mean=mean,
            spread=squares.sum(axis=0),
            spread2=(weights * squares).sum(axis=0),
            log=np.where(there, np.log(total), 0.0).sum(axis=0),
        )

    def some(self, features: np.ndarray) -> PatientSums:
        """Keep some features."""
        return PatientSums(self.effects[:, features], self.variances[:, features])

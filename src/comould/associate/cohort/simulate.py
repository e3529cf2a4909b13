"""One patient in silico: sections of spots, a smooth habitat, a gene that follows it, places known with an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from comould.associate.cohort.effects import fisher_z
from comould.associate.nulls.fields import gaussian_fields
from comould.associate.nulls.places import branch
from comould.associate.nulls.variogram import FieldModel
from comould.errors import InputError
from comould.space import FloatArray

_TO_RANGE = float(np.sqrt(2 * np.log(20)))
"""A Gaussian correlation falls to 0.05 at this many lengths."""
_COMMON_SHARE = 0.5
_LEAST_EFFECTIVE = 4.0
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Scenario:
    """What is assumed of specimens, habitats, genes and counts.

    Parameters
    ----------
    section_mm
        Width and height of the tissue on a section.
    pitch_mm
        Distance of neighbouring spots (hexagonal grid).
    gap_mm
        Distance of neighbouring sections.
    range_mm
        Distance at which the habitat field's correlation falls to 0.05: the size of habitats.
    fraction
        Share of the tumour that is habitat, 0.02 to 0.98.
    gene_range_mm, gene_sd
        Range of the gene's own smooth variation, and its standard deviation in log2.
    mean_counts, dispersion
        Mean counts of the gene in a spot, and the negative binomial's dispersion (variance ``m + dispersion m²``).
    between_sd
        Standard deviation between patients of the true log2 fold change.
    min_spots
        A patient with fewer spots in or outside the habitat cannot be tested.
    alpha
        Two-sided level of the cohort's test.
    """

    section_mm: float = 6.5
    pitch_mm: float = 0.3
    gap_mm: float = 5.0
    range_mm: float = 4.0
    fraction: float = 0.35
    gene_range_mm: float = 4.0
    gene_sd: float = 0.6
    mean_counts: float = 2.0
    dispersion: float = 0.3
    between_sd: float = 0.3
    min_spots: int = 20
    alpha: float = 0.05

    def __post_init__(self) -> None:
        problems = [
            f"{name} {getattr(self, name):g} is not above 0"
            for name in ("section_mm", "pitch_mm", "gap_mm", "range_mm", "gene_range_mm", "mean_counts")
            if not getattr(self, name) > 0
        ]
        problems += [
            f"{name} {getattr(self, name):g} is below 0"
            for name in ("gene_sd", "dispersion", "between_sd")
            if not getattr(self, name) >= 0
        ]
        if not 0.02 <= self.fraction <= 0.98:
            problems.append(f"fraction {self.fraction:g} is not 0.02 to 0.98")
        if not 0 < self.alpha < 1:
            problems.append(f"alpha {self.alpha:g} is not between 0 and 1")
        if self.min_spots < 2:
            problems.append(f"min_spots {self.min_spots} is below 2")
        if not problems and not 4 <= self.section_mm / self.pitch_mm <= 200:
            problems.append(f"{self.section_mm / self.pitch_mm:.0f} spots across a section is not 4 to 200")
        if problems:
            raise InputError.collect(subject="scenario", problems=problems)

    @classmethod
    def make(cls, given: Mapping[str, float]) -> Scenario:
        """Make a record from numbers by name; unknown ones are named with what there is instead."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            raise InputError(subject="scenario", expected=f"some of {', '.join(known)}", found=", ".join(unknown))
        values: dict[str, Any] = {**given}
        if "min_spots" in values:
            values["min_spots"] = int(values["min_spots"])
        return cls(**values)

    def sections(self, count: int) -> tuple[FloatArray, IntArray]:
        """Make positions ``(n, 3)`` mm and section codes ``(n,)`` of so many parallel sections."""
        rows = np.arange(0, self.section_mm, self.pitch_mm * np.sqrt(3) / 2)
        columns = np.arange(0, self.section_mm, self.pitch_mm)
        x = columns[None, :] + np.where(np.arange(len(rows)) % 2, self.pitch_mm / 2, 0.0)[:, None]
        flat = np.column_stack([x.ravel(), np.repeat(rows, len(columns))])
        positions = np.concatenate([np.column_stack([flat, np.full(len(flat), k * self.gap_mm)]) for k in range(count)])
        return positions, np.repeat(np.arange(count), len(flat))


@dataclass(frozen=True, eq=False)
class Bench:
    """A support with what does not change from patient to patient.

    Parameters
    ----------
    scenario
        What is assumed.
    positions, sections
        ``(n_spots, 3)`` where spots are thought to be, mm, and ``(n_spots,)`` codes.
    surrogates
        ``(n_surrogates, n_spots)`` habitats unrelated to any gene, centred within sections, length 1.
    """

    scenario: Scenario
    positions: FloatArray
    sections: IntArray
    surrogates: npt.NDArray[np.float32]

    @classmethod
    def make(cls, scenario: Scenario, positions: FloatArray, sections: IntArray, n: int, seed: Any) -> Bench:
        """Draw the surrogates from the habitat's own law, which a study has to estimate."""
        rng = np.random.default_rng(seed)
        maps = np.empty((n, len(positions)), dtype=np.float32)
        gaussian_fields(FieldModel(np.inf, scenario.range_mm / _TO_RANGE, 0.0), positions, rng, maps)
        inside = (maps > _threshold(scenario.fraction)).astype(np.float64)
        centred = np.stack([_centred(row, sections) for row in inside])
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        kept = length[:, 0] > 0
        return cls(scenario, positions, sections, (centred[kept] / length[kept]).astype(np.float32))

    def patient(self, effects: FloatArray, error_mm: float, seed: np.random.SeedSequence) -> FloatArray:
        """Simulate one patient, with a gene of every effect, and test it.

        Parameters
        ----------
        effects
            ``(e,)`` mean log2 fold changes inside the habitat.
        error_mm
            Standard deviation, on each axis, of where spots are thought to be about where they are: half of the
            variance common to a section, half each spot's own.
        seed
            The patient is the same whatever the effects are.

        Returns
        -------
        ndarray
            ``(e, 2)`` Fisher's z and its variance, NaN where it could not be tested.
        """
        s, n = self.scenario, len(self.positions)
        rng = np.random.default_rng(seed)
        common = rng.standard_normal((int(self.sections.max()) + 1, 3))[self.sections]
        own = rng.standard_normal((n, 3))
        true = self.positions + error_mm * (np.sqrt(_COMMON_SHARE) * common + np.sqrt(1 - _COMMON_SHARE) * own)
        gene, habitat = np.empty((1, n), dtype=np.float32), np.empty((1, 2 * n), dtype=np.float32)
        strength = s.between_sd * rng.standard_normal()
        noise = rng.gamma(1 / s.dispersion, s.dispersion, n) if s.dispersion > 0 else 1.0
        gaussian_fields(FieldModel(np.inf, s.gene_range_mm / _TO_RANGE, 0.0), self.positions, rng, gene)
        both = np.vstack([self.positions, true])
        gaussian_fields(FieldModel(np.inf, s.range_mm / _TO_RANGE, 0.0), both, rng, habitat)
        inside = habitat[0] > _threshold(s.fraction)
        found = np.empty((len(effects), 2))
        for row, effect in zip(found, effects, strict=True):
            level = (effect + strength) * inside[n:] + s.gene_sd * gene[0].astype(np.float64)
            # The same stream for every effect.
            counting = np.random.default_rng(branch(seed, 1))
            counts = counting.poisson(s.mean_counts * 2.0**level * noise)
            row[:] = self._tested(inside[:n].astype(np.float64), np.log1p(counts))
        return found

    def _tested(self, inside: FloatArray, expression: FloatArray) -> tuple[float, float]:
        n_in = int(inside.sum())
        if min(n_in, len(inside) - n_in) < self.scenario.min_spots:
            return np.nan, np.nan
        x, y = _centred(inside, self.sections), _centred(expression, self.sections)
        lengths = np.linalg.norm(x), np.linalg.norm(y)
        if min(lengths) <= 1e-9:
            return np.nan, np.nan
        chance = self.surrogates @ (y / lengths[1]).astype(np.float32)
        effective = min(1 + 1 / float(np.mean(chance.astype(np.float64) ** 2)), len(inside))
        if effective <= _LEAST_EFFECTIVE:
            return np.nan, np.nan
        return float(fisher_z(x @ y / (lengths[0] * lengths[1]))), 1 / (effective - 3)


def _threshold(fraction: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(1 - fraction))


def _centred(values: FloatArray, sections: IntArray) -> FloatArray:
    means = np.bincount(sections, values) / np.bincount(sections)
    return np.asarray(values - means[sections])

"""What can be chosen about the tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from comould.associate.claims.correlation import STATISTICS, Statistic
from comould.errors import InputError


@dataclass(frozen=True)
class ClaimOptions:
    """What can be chosen about :func:`~comould.associate.test`, given to it by keyword.

    Parameters
    ----------
    section_key
        Column of ``obs`` that tells sections apart; without that column all spots are one section.
    positions
        Key of ``obsm``: ``(n, 3)`` patient mm, or ``(n, 2)`` within each section (sections are then unrelated).
    layer
        Layer with the raw counts; ``""`` takes ``X``.
    statistic
        ``"pearson"`` with log expression, ``"spearman"`` (for habitats the Mann–Whitney test's) or ``"lee"`` (Lee's L:
        both averaged over neighbours).
    covariates
        Columns of ``obs`` whose linear part is taken off map and genes within sections, and whose part of the map the
        surrogates keep (Freedman & Lane 1983, doi:10.2307/1391660): cellularity, distance to the edge, … Text and
        categories count one column a level. ``"log_counts"`` is the logarithm of each spot's total counts.
    within_sections
        Centre map and expression within each section, so that a section's own level (staining, permeabilisation,
        depth) is no evidence.
    min_spots
        Fewest spots inside, and outside, a habitat.
    min_detected
        Fewest spots with a count of the gene.
    min_effective
        Fewest effective samples of a row.
    min_coverage
        Smallest share of a gene set that must be measured.
    chunk
        Genes taken out of the sparse matrix at a time; memory against speed, the result is the same to the bit.
    """

    section_key: str = "section"
    positions: str = "spatial_patient"
    layer: str = ""
    statistic: Statistic = "pearson"
    covariates: tuple[str, ...] = ()
    within_sections: bool = True
    min_spots: int = 20
    min_detected: int = 10
    min_effective: float = 20.0
    min_coverage: float = 0.5
    chunk: int = 512

    def __post_init__(self) -> None:
        problems = [
            f"{name} {getattr(self, name)} is below {least}"
            for name, least in (("min_spots", 2), ("min_detected", 1), ("min_effective", 3), ("chunk", 1))
            if getattr(self, name) < least
        ]
        if not 0 < self.min_coverage <= 1:
            problems.append(f"min_coverage {self.min_coverage} is not above 0 and at most 1")
        if self.statistic not in STATISTICS:
            problems.append(f"statistic {self.statistic!r} is not one of {', '.join(STATISTICS)}")
        if isinstance(self.covariates, str):
            problems.append(f"covariates {self.covariates!r} is a text, not a list of columns")
        if problems:
            raise InputError.collect(subject="options of the test", problems=problems)

    @classmethod
    def make(cls, given: Mapping[str, Any]) -> ClaimOptions:
        """Make a record from keywords; unknown ones are named with what there is instead."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            raise InputError(
                subject="options of the test", expected=f"some of {', '.join(known)}", found=", ".join(unknown)
            )
        return cls(**given)

"""The door of the tests: what an AnnData must hold to be tested, and the arrays taken from it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.associate.normalise import LogExpression, raw_counts
from comould.associate.statistics import Blocks
from comould.associate.support import positions_of
from comould.errors import ComouldWarning, InputError
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

_ENSEMBL = re.compile(r"^ENS[A-Z]*G\d{6,}")


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


@dataclass(frozen=True, eq=False)
class Spots:
    """The spots that can be tested: those with a habitat (or map value), a position and counts.

    Parameters
    ----------
    used
        ``(n_obs,)`` which spots of the table these are; all other arrays hold only those.
    maps
        ``(n, n_maps)``: 0/1 for each habitat, or one column of a continuous map.
    inside
        ``(n, n_maps)`` 0/1: the habitat, or the half with the higher values.
    names
        Of the maps.
    positions
        ``(n, 3)`` or ``(n, 2)``.
    sections
        ``(n,)`` codes.
    expression
        Counts and library sizes.
    genes
        Names of the genes.
    """

    used: npt.NDArray[np.bool_]
    maps: FloatArray
    inside: FloatArray
    names: tuple[str, ...]
    positions: FloatArray
    sections: npt.NDArray[np.intp]
    expression: LogExpression
    genes: pd.Index

    @classmethod
    def of(cls, adata: AnnData, key: str, options: ClaimOptions) -> Spots:
        """Take and check everything the tests need.

        Raises
        ------
        InputError
            For missing positions or habitats, one habitat only, duplicated genes, counts that are not raw, too few
            spots.
        """
        _check_genes(adata)
        points = positions_of(adata, options.positions, (2, 3))
        column = _column(adata, key)
        counts = raw_counts(_matrix(adata, options.layer), f"counts in {options.layer or 'X'}")
        library = np.asarray(counts.sum(axis=1)).ravel()
        known = np.asarray(column.notna()) & np.isfinite(points).all(axis=1)
        used = known & (library > 0)
        if dropped := int((known & ~used).sum()):
            warnings.warn(f"{dropped} spots without any count are left out of the test", ComouldWarning, stacklevel=5)
        if int(used.sum()) < 2 * options.min_spots:
            raise InputError(
                subject="spots to test",
                expected=f"at least {2 * options.min_spots} with {key}, position and counts",
                found=f"{int(used.sum())} of {adata.n_obs}",
                remedy="Check that the sections are registered to the volume the habitats were made from",
            )
        maps, inside, names = _maps(column[used], key)
        sections = _sections(adata, options.section_key)[used]
        expression = LogExpression(counts[used], library[used])
        return cls(used, maps, inside, names, points[used], sections, expression, adata.var_names)

    def problem(self, number: int, options: ClaimOptions) -> str:
        """Say why one map cannot be tested at all; empty when it can."""
        n_in = int(self.inside[:, number].sum())
        n_out = len(self.inside) - n_in
        if n_in < options.min_spots:
            return f"{n_in} spots in the habitat, {options.min_spots} needed"
        if n_out < options.min_spots:
            return f"{n_out} spots outside the habitat, {options.min_spots} needed"
        if options.within_sections:
            level = Blocks(self.sections).centre(self.maps[:, number])
            if np.abs(level).max() <= 1e-9 * np.abs(self.maps[:, number]).max():
                return "no section holds spots both in and outside the habitat"
        return ""

    def hint(self, missing: tuple[str, ...]) -> str:
        """Say why genes of a set may be missing altogether."""
        if sum(bool(_ENSEMBL.match(str(gene))) for gene in self.genes[:100]) > min(len(self.genes), 100) / 2:
            return " (genes here are named by Ensembl id: use symbols)"
        lower = {str(gene).lower() for gene in self.genes}
        if any(gene.lower() in lower for gene in missing):
            return " (they are there in another letter case: another species?)"
        return ""


def _check_genes(adata: AnnData) -> None:
    if not adata.var_names.is_unique:
        twice = adata.var_names[adata.var_names.duplicated()].unique()
        raise InputError(
            subject="gene names",
            expected="each once",
            found=f"{len(twice)} more than once, such as {', '.join(map(str, twice[:3]))}",
            remedy="Sum their counts or call adata.var_names_make_unique()",
        )


def _matrix(adata: AnnData, layer: str) -> Any:
    if layer and layer not in adata.layers:
        raise InputError(
            subject=f"layer {layer!r}",
            expected=f"one of {', '.join(name for name in adata.layers if name) or 'none'}",
            found="none of that name",
        )
    matrix = adata.layers[layer] if layer else adata.X
    if matrix is None or adata.isbacked:
        raise InputError(
            subject="counts", expected="a matrix in memory", found="none", remedy="Load it with adata.to_memory()"
        )
    return matrix


def _column(adata: AnnData, key: str) -> pd.Series:
    if key not in adata.obs:
        raise InputError(
            subject=f'habitats obs["{key}"]',
            expected="a column of habitats or of map values",
            found=f"only {', '.join(map(str, adata.obs.columns)) or 'none'}",
            remedy="Run comould.associate.sample first",
        )
    return adata.obs[key]


def _maps(column: pd.Series, key: str) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(dtype=np.float64)
        if not np.isfinite(values).all() or np.ptp(values) == 0:
            raise InputError(subject=f'map obs["{key}"]', expected="finite values that vary", found="others")
        return values[:, None], (values > np.median(values)).astype(np.float64)[:, None], (key,)
    labels = column.astype("category") if not isinstance(column.dtype, pd.CategoricalDtype) else column
    codes, names = labels.cat.codes.to_numpy(), tuple(map(str, labels.cat.categories))
    present = np.unique(codes)
    if len(present) < 2:
        raise InputError(
            subject=f'habitats obs["{key}"]',
            expected="at least two among the spots",
            found=f"{names[present[0]]} only",
            remedy="Sections through other parts of the tumour are needed",
        )
    maps = (codes[:, None] == np.arange(len(names))).astype(np.float64)
    return maps, maps, names


def _sections(adata: AnnData, key: str) -> npt.NDArray[np.intp]:
    if key not in adata.obs:
        if key != ClaimOptions.section_key:
            raise InputError(
                subject=f"section key {key!r}",
                expected=f"one of {', '.join(map(str, adata.obs.columns)) or 'none'}",
                found="none of that name",
            )
        return np.zeros(adata.n_obs, dtype=np.intp)
    if adata.obs[key].isna().any():
        raise InputError(
            subject=f'sections obs["{key}"]',
            expected="a section for every spot",
            found=f"{int(adata.obs[key].isna().sum())} spots without",
        )
    return np.unique(adata.obs[key].astype(str), return_inverse=True)[1]

"""The door of the tests: what an AnnData must hold to be tested, and the arrays taken from it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from comould.associate.claims.blocks import Blocks
from comould.associate.claims.correlation import Correlation
from comould.associate.claims.covariates import covariate_columns
from comould.associate.claims.normalise import LogExpression, raw_counts
from comould.associate.claims.options import ClaimOptions
from comould.associate.measures import neighbour_weights
from comould.associate.sets.symbols import check_symbols
from comould.associate.support.kernel import sections_of
from comould.associate.support.sample import positions_of
from comould.errors import ComouldWarning, InputError
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

_RING = 6
"""Neighbours of a spot in a hexagonal array."""


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
    covariates
        ``(n, c)``.
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
    covariates: FloatArray
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
        covariates = covariate_columns(adata, options.covariates, library)
        known = np.asarray(column.notna()) & np.isfinite(points).all(axis=1)
        if lacking := int((known & ~np.isfinite(covariates).all(axis=1)).sum()):
            warnings.warn(
                f"{lacking} spots without {', '.join(options.covariates)} are left out", ComouldWarning, stacklevel=5
            )
        known &= np.isfinite(covariates).all(axis=1)
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
        return cls(used, maps, inside, names, points[used], sections, covariates[used], expression, adata.var_names)

    def blocks(self, options: ClaimOptions) -> Blocks:
        """Make what is no evidence: sections, unless they are not to count, and covariates."""
        groups = self.sections if options.within_sections else np.zeros_like(self.sections)
        return Blocks(groups, self.covariates)

    def correlation(self, options: ClaimOptions) -> Correlation:
        """Make the statistic asked for."""
        if options.statistic != "lee":
            return Correlation(options.statistic)
        # Lee's L counts a spot among its own neighbours.
        ring = neighbour_weights(self.positions, self.sections, k=_RING)
        return Correlation("lee", sp.csr_array((_RING * ring + sp.eye_array(len(self.maps))) / (_RING + 1)))

    def problem(self, number: int, options: ClaimOptions) -> str:
        """Say why one map cannot be tested at all; empty when it can."""
        n_in = int(self.inside[:, number].sum())
        n_out = len(self.inside) - n_in
        if n_in < options.min_spots:
            return f"{n_in} spots in the habitat, {options.min_spots} needed"
        if n_out < options.min_spots:
            return f"{n_out} spots outside the habitat, {options.min_spots} needed"
        values = self.maps[:, number]
        for blocks, reason in (
            (
                Blocks(self.sections) if options.within_sections else None,
                "no section holds spots both in and outside the habitat",
            ),
            (self.blocks(options) if options.covariates else None, "the covariates say all of the habitat"),
        ):
            if blocks is not None and np.abs(blocks.centre(values)).max() <= 1e-9 * np.abs(values).max():
                return reason
        return ""


def _check_genes(adata: AnnData) -> None:
    found = check_symbols(adata.var_names)
    if found.repeated:
        raise InputError(
            subject="gene names",
            expected="each once",
            found=f"{len(found.repeated)} more than once, such as {', '.join(found.repeated[:3])}",
            remedy="Sum their counts or call adata.var_names_make_unique()",
        )
    if found.kind == "mixed species":
        raise InputError(
            subject="gene names",
            expected="genes of one species",
            found=f"those of {', '.join(found.genomes)}",
            remedy="Keep one species' genes and take the genome's name off",
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
    if key not in adata.obs and key != ClaimOptions.section_key:
        raise InputError(
            subject=f"section key {key!r}",
            expected=f"one of {', '.join(map(str, adata.obs.columns)) or 'none'}",
            found="none of that name",
        )
    return sections_of(adata, key)

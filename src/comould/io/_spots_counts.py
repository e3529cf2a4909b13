"""Count matrices of spots: 10x h5 and mtx, CSV and TSV; checked to be counts, sparse, each gene and spot once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from comould.errors import ComouldWarning, InputError
from comould.io._spots_positions import read_table

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Counts:
    """``matrix`` CSR float32 ``(spots, genes)`` with its names; ``genes`` carries what the file says of each gene."""

    matrix: Any
    spots: pd.Index
    genes: pd.DataFrame


def read_10x(path: Path, expected_kinds: frozenset[str] = frozenset()) -> Counts:
    """Read a 10x feature matrix as ``.h5`` or folder of mtx; genes only, symbols made unique.

    Parameters
    ----------
    path
        The file or folder. Of a matrix of probes (``raw_probe_bc_matrix.h5``) the probes Space Ranger counts are added
        up to their genes.
    expected_kinds
        Kinds of other features that are left out without a word, such as a platform's controls.

    Raises
    ------
    InputError
        If the file cannot be read or holds no gene.
    """
    import scanpy as sc

    try:
        if path.is_dir():
            data = sc.read_10x_mtx(path, make_unique=False, gex_only=False)
        else:
            data = sc.read_10x_h5(path, gex_only=False)
    except Exception as error:
        # h5py, pandas and scipy raise many kinds on damaged files.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(subject=str(path), expected="a 10x feature-barcode matrix", found=reason) from error
    genes = data.var.astype(dict.fromkeys(data.var.columns, str))
    return only_genes(Counts(data.X, pd.Index(data.obs_names.astype(str)), genes), path, expected_kinds)


def only_genes(counts: Counts, path: Path, expected_kinds: frozenset[str] = frozenset()) -> Counts:
    """Leave out what is no gene (column ``feature_types``), add probes up to genes, make symbols unique, and check.

    Raises
    ------
    InputError
        If no gene or no spot is left, or the values are no counts.
    """
    genes, matrix = counts.genes, counts.matrix
    if "feature_types" in genes:
        expressed = (genes["feature_types"] == "Gene Expression").to_numpy()
        strange = ~expressed & ~genes["feature_types"].isin(expected_kinds).to_numpy()
        if strange.any():
            _warn(f"{int(strange.sum())} features that are not gene expression are left out")
        genes, matrix = genes[expressed], matrix[:, np.flatnonzero(expressed)]
    if "probe_ids" in genes:
        genes, matrix = _sum_probes(genes, matrix)
    if 0 in matrix.shape:
        raise InputError(
            subject=str(path), expected="spots and genes", found=f"{matrix.shape[0]} spots, {matrix.shape[1]} genes"
        )
    genes = genes.set_axis(unique_genes(genes.index), axis=0)
    return check(Counts(matrix, counts.spots, genes), path)


def _sum_probes(genes: pd.DataFrame, matrix: Any) -> tuple[pd.DataFrame, Any]:
    """Add probes up to genes; probes Space Ranger filters out of its own gene counts do not enter."""
    from scipy import sparse

    if "filtered_probes" in genes:
        counted = (genes["filtered_probes"] == "True").to_numpy()
        genes, matrix = genes[counted], matrix[:, np.flatnonzero(counted)]
    which, ids = pd.factorize(genes["gene_ids"])
    adder = sparse.csr_matrix((np.ones(len(which)), (np.arange(len(which)), which)), shape=(len(which), len(ids)))
    first = genes[~genes["gene_ids"].duplicated().to_numpy()]
    kept = [column for column in ("gene_ids", "feature_types", "genome") if column in first]
    _warn(f"{len(which)} probes are added up to {len(ids)} genes")
    return first[kept], sparse.csr_matrix(matrix) @ adder


def read_matrix_table(path: Path, names: pd.Index | None) -> Counts:
    """Read a CSV or TSV of counts, spots in rows; turned when only its columns bear the names of positioned spots.

    Raises
    ------
    InputError
        If a cell is not a count, or a spot or gene occurs twice.
    """
    head = read_table(path, header=None, nrows=1, dtype=str, keep_default_na=False)
    try:
        body = read_table(path, header=None, skiprows=1, index_col=0, low_memory=False)
    except InputError as error:
        raise InputError(
            subject=str(path), expected="a table of counts, spots in rows", found=error.found or "only one line"
        ) from error
    columns = [str(cell).strip() for cell in head.iloc[0]]
    # R writes one name fewer than there are columns; pandas names the column of spots or leaves it empty.
    columns = columns if len(columns) == body.shape[1] else columns[1:]
    if len(columns) != body.shape[1] or not columns:
        raise InputError(
            subject=str(path),
            expected=f"{body.shape[1]} names of genes in the first line",
            found=f"{len(columns)}",
        )
    rows = pd.Index([str(name).strip() for name in body.index])
    genes = pd.Index(columns)
    values = _matrix(body, path)
    if names is not None and not rows.isin(names).any() and genes.isin(names).any():
        rows, genes, values = genes, rows, values.T
    twice = genes[genes.duplicated()].unique()
    if len(twice):
        raise InputError(
            subject=str(path),
            expected="every gene once",
            found=f"{len(twice)} names more than once, first {twice[0]!r}",
            remedy="Add up or rename the columns of one gene",
        )
    from scipy import sparse

    return check(Counts(sparse.csr_matrix(values), rows, pd.DataFrame(index=genes)), path)


def _matrix(body: pd.DataFrame, path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    try:
        return body.to_numpy(dtype=np.float32)
    except (ValueError, TypeError) as error:
        bad = body.apply(pd.to_numeric, errors="coerce").isna().to_numpy() & body.notna().to_numpy()
        row, column = (int(n) for n in np.argwhere(bad)[0]) if bad.any() else (0, 0)
        raise InputError(
            subject=str(path),
            expected="counts",
            found=f"{body.iloc[row, column]!r} in data row {row + 1}, column {column + 2}",
        ) from error


def check(counts: Counts, path: Path) -> Counts:
    """Make the matrix CSR float32 and refuse what is no table of counts.

    Raises
    ------
    InputError
        Listing every problem: NaN, negative or fractional values, spots named twice.
    """
    from scipy import sparse

    matrix = sparse.csr_matrix(counts.matrix, dtype=np.float32)
    problems = value_problems(matrix.data)
    twice = counts.spots[counts.spots.duplicated()].unique()
    if len(twice):
        problems.append(f"{len(twice)} spots named more than once, first {twice[0]!r}")
    if problems:
        raise InputError.collect(
            subject=str(path), problems=problems, remedy="Give the raw counts, one row for each spot"
        )
    matrix.sort_indices()
    return Counts(matrix, counts.spots, counts.genes)


def value_problems(values: np.ndarray[Any, Any]) -> list[str]:
    """Say in words why values are not counts; empty when they are."""
    finite = np.isfinite(values)
    problems = [f"{int((~finite).sum())} values that are not numbers"] if not finite.all() else []
    good = values[finite]
    if (good < 0).any():
        problems.append(f"{int((good < 0).sum())} negative values")
    if (good != np.rint(good)).any():
        problems.append(f"{int((good != np.rint(good)).sum())} values that are not whole numbers")
    return problems


def unique_genes(names: pd.Index) -> pd.Index:
    """Make gene symbols unique by numbering repeats (``-1``, ``-2`` …) as scanpy does, and say so."""
    from anndata.utils import make_index_unique

    names = pd.Index(names.astype(str), dtype=str)
    repeated = int(names.duplicated().sum())
    if not repeated:
        return names
    _warn(f"{repeated} gene symbols occur more than once: the repeats are numbered (-1, -2, …)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return pd.Index(make_index_unique(names).astype(str))


def pair(counts: Counts, positions: pd.DataFrame, subject: str) -> tuple[Counts, pd.DataFrame]:
    """Keep the spots that have both counts and a position, in the order of the counts.

    Raises
    ------
    InputError
        If there is none.

    Warns
    -----
    ComouldWarning
        Counting the spots left out on either side; positions off the tissue are expected to have no counts.
    """
    rows = np.flatnonzero(counts.spots.isin(positions.index))
    if not len(rows):
        raise InputError(
            subject=subject,
            expected="spots of the same names in counts and positions",
            found=f"none in common (counts {counts.spots[0]!r} …, positions {positions.index[0]!r} …)",
            remedy="Check that both are of the same section",
        )
    if len(rows) < len(counts.spots):
        _warn(f"{len(counts.spots) - len(rows)} of {len(counts.spots)} spots with counts have no position: left out")
    idle = ~positions.index.isin(counts.spots)
    if "in_tissue" in positions:
        idle &= positions["in_tissue"].to_numpy() == 1
    if idle.any():
        _warn(f"{int(idle.sum())} positions on tissue have no counts: left out")
    kept = Counts(counts.matrix[rows], counts.spots[rows], counts.genes)
    return kept, positions.loc[kept.spots]


def assemble(counts: Counts, positions: pd.DataFrame) -> AnnData:
    """Build the AnnData: sparse X, array facts in obs, ``obsm["spatial"]``."""
    from anndata import AnnData

    obs = pd.DataFrame(index=pd.Index(counts.spots, dtype=str))
    for name in ("in_tissue", "array_row", "array_col"):
        if name in positions:
            values = positions[name].to_numpy()
            whole = np.array_equal(values, np.rint(values))
            obs[name] = values.astype(np.int64) if whole else values
    data = AnnData(counts.matrix, obs=obs, var=counts.genes)
    data.obsm["spatial"] = np.ascontiguousarray(positions[["x_px", "y_px"]].to_numpy(dtype=np.float64))
    return data


def _warn(text: str) -> None:
    warnings.warn(text, ComouldWarning, stacklevel=5)

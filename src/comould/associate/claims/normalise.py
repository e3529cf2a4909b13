"""Raw counts → log-normalised expression, a few genes at a time: sparse counts are never made dense as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from comould.errors import InputError
from comould.space import FloatArray

TARGET_COUNTS = 1e4
TILE = 128
"""Genes handled by one matrix product. Fixed, so that the bits of a result do not depend on the chunk asked for."""


def raw_counts(matrix: Any, subject: str = "counts") -> sp.csc_array:
    """Check that a matrix holds raw counts and hand it back column by column.

    Parameters
    ----------
    matrix
        ``(n_spots, n_genes)``, sparse or dense.
    subject
        Names the matrix in an error.

    Raises
    ------
    InputError
        If values are missing, negative or not whole: the matrix was normalised, logged or scaled.
    """
    columns = sp.csc_array(matrix, dtype=np.float64) if not sp.issparse(matrix) else sp.csc_array(matrix.tocsc())
    data = columns.data
    wrong = "NaN or infinite values" if not np.isfinite(data).all() else ""
    wrong = wrong or (f"negative values (lowest {data.min():.3g})" if data.size and data.min() < 0 else "")
    if not wrong and data.size and (fractional := data != np.round(data)).any():
        wrong = f"fractional values (such as {data[fractional][0]:.4g})"
    if wrong:
        raise InputError(
            subject=subject,
            expected="raw counts: whole numbers from 0",
            found=wrong,
            remedy='Give the raw counts, e.g. layer="counts"; they are normalised here',
        )
    if (data == 0).any() or not columns.has_canonical_format:
        columns = columns.copy()
        columns.sum_duplicates()
        columns.eliminate_zeros()
    return columns


class LogExpression:
    """``log(1 + counts per 10,000)`` by tiles of genes, natural logarithm.

    Parameters
    ----------
    counts
        ``(n_spots, n_genes)`` raw counts, sparse or dense, as :func:`raw_counts` accepts.
    library
        ``(n_spots,)`` total counts of each spot, where the matrix holds only some of the genes; else its row sums.

    Raises
    ------
    InputError
        If the counts are not raw, or a spot has none.
    """

    def __init__(self, counts: Any, library: npt.ArrayLike | None = None) -> None:
        self.counts = raw_counts(counts)
        totals = self.counts.sum(axis=1) if library is None else np.asarray(library, dtype=np.float64)
        self.library: FloatArray = np.asarray(totals, dtype=np.float64).ravel()
        if empty := int((self.library <= 0).sum()):
            raise InputError(
                subject="counts",
                expected="at least one count in every spot",
                found=f"{empty} spots without any",
                remedy="Leave those spots out",
            )

    @property
    def n_spots(self) -> int:
        """Rows."""
        return int(self.counts.shape[0])

    @property
    def n_genes(self) -> int:
        """Columns."""
        return int(self.counts.shape[1])

    def tile(self, start: int, stop: int) -> tuple[sp.csc_array, sp.csc_array]:
        """Sparse raw counts and log expression ``(n_spots, stop - start)`` of some genes."""
        raw = self.counts[:, start:stop]
        log = np.log1p(raw.data * (TARGET_COUNTS / self.library)[raw.indices])
        return raw, sp.csc_array((log, raw.indices, raw.indptr), shape=raw.shape)

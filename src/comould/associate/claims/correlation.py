"""Which correlation of map and gene is tested: all are products of a map with a column made from the gene's counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.stats import rankdata

from comould.errors import InputError
from comould.space import FloatArray

Statistic = Literal["pearson", "spearman", "lee"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)


@dataclass(frozen=True, eq=False)
class Correlation:
    """A statistic of map and gene.

    Parameters
    ----------
    kind
        ``"pearson"``: correlation with log expression. ``"spearman"``: with its ranks; for a habitat (0/1) that is
        the Mann–Whitney test's, 2 AUC - 1 up to a factor, so the AUC has the same p-value. ``"lee"``: Lee's L, of
        both averaged over neighbours.
    neighbours
        ``(n_spots, n_spots)`` row-standardised weights, of Lee's L only.

    References
    ----------
    Lee, S.-I. (2001). Developing a bivariate spatial association measure. doi:10.1007/s101090100064
    """

    kind: Statistic = "pearson"
    neighbours: sp.csr_array | None = None

    def __post_init__(self) -> None:
        if self.kind not in STATISTICS:
            raise InputError(subject="statistic", expected=f"one of {', '.join(STATISTICS)}", found=repr(self.kind))
        if self.kind == "lee" and self.neighbours is None:
            raise InputError(subject="statistic lee", expected="weights of neighbours", found="none")

    def columns(self, log: sp.csc_array) -> sp.csc_array:
        """Make what is correlated of log expression ``(n_spots, c)``, up to a constant a column."""
        return _ranked(log) if self.kind == "spearman" else log

    def map_values(self, values: FloatArray) -> FloatArray:
        """Make what is correlated of a map ``(n_spots,)``."""
        return rankdata(values) if self.kind == "spearman" else values

    def weighed(self, maps: FloatArray) -> FloatArray:
        """Average maps ``(n_spots, m)`` over neighbours on both sides: WᵀW maps · n / Σ(W1)², for Lee's L."""
        if self.neighbours is None:
            return maps
        weights = self.neighbours
        total = float((np.asarray(weights.sum(axis=1)) ** 2).sum())
        return np.asarray(weights.T @ (weights @ maps)) * (len(maps) / total)


def _ranked(log: sp.csc_array) -> sp.csc_array:
    """Replace values by average ranks less the rank of the zeros, which stay the empty cells."""
    data: npt.NDArray[np.float64] = np.empty(len(log.data))
    for column in range(log.shape[1]):
        rows = slice(log.indptr[column], log.indptr[column + 1])
        n_zero = log.shape[0] - (rows.stop - rows.start)
        # Zeros hold ranks 1 to n_zero, (n_zero + 1) / 2 each; others are larger, and tie but for rounding.
        data[rows] = rankdata(np.round(log.data[rows], 9)) + n_zero - (n_zero + 1) / 2
    return sp.csc_array((data, log.indices, log.indptr), shape=log.shape)

"""What is no evidence: a section's own level and what covariates explain, taken off maps, genes and surrogates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comould.space import FloatArray

Float32Array = npt.NDArray[np.float32]

FLAT = 1e-12
"""Relative length below which a column is constant but for rounding."""
_ROWS_AT_ONCE = 64


class Blocks:
    """The nuisance side of a linear model: groups of spots (sections) and covariates.

    Parameters
    ----------
    codes
        ``(n_spots,)`` whole numbers from 0: values are centred within each group.
    covariates
        ``(n_spots, c)`` whose linear part is taken off as well; columns that say nothing beyond the groups and one
        another are dropped.
    """

    def __init__(self, codes: npt.NDArray[np.intp], covariates: FloatArray | None = None) -> None:
        self.codes = codes
        self.order = np.argsort(codes, kind="stable")
        self.sizes = np.bincount(codes)
        self.present = self.sizes > 0
        self.starts = np.concatenate([[0], np.cumsum(self.sizes[self.present])[:-1]])
        self.rank = np.cumsum(self.present) - 1
        self.basis = np.zeros((len(codes), 0))
        if covariates is not None and covariates.shape[1]:
            self.basis = _basis(np.asarray(unit(covariates, self), dtype=np.float64))

    @property
    def freedom(self) -> int:
        """Degrees of freedom taken by groups and covariates."""
        return len(self.starts) + self.basis.shape[1]

    def centre(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Residuals of ``(n_spots, …)`` after groups and covariates."""
        sums = np.add.reduceat(values[self.order], self.starts, axis=0)
        sizes = self.sizes[self.present].astype(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
        left = values - (sums / sizes)[self.rank[self.codes]]
        if self.basis.shape[1]:
            left = left - self.basis @ (self.basis.T @ left)
        return np.asarray(left)

    def explained(self, values: FloatArray) -> FloatArray:
        """Part of ``(n_spots,)`` that the covariates explain within groups; 0 without covariates."""
        return np.asarray(self.basis @ (self.basis.T @ values))

    def centre_rows(self, rows: Float32Array) -> FloatArray:
        """Replace rows ``(r, n_spots)`` by their residuals, in place; returns their lengths ``(r,)``, 0 when flat."""
        member = (self.rank[self.codes][:, None] == np.arange(len(self.starts))).astype(np.float32)
        basis = self.basis.astype(np.float32)
        lengths = np.empty(len(rows))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            # One constant off a row first: float32 sums are then exact enough for maps far from zero.
            part -= part.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
            before = np.einsum("ij,ij->i", part, part, dtype=np.float64)
            means = (part @ member) / self.sizes[self.present].astype(np.float32)
            part -= means[:, self.rank[self.codes]]
            if basis.shape[1]:
                part -= (part @ basis) @ basis.T
            squares = np.einsum("ij,ij->i", part, part, dtype=np.float64)
            lengths[start : start + len(part)] = np.where(squares <= 1e-6 * before, 0.0, np.sqrt(squares))
        return lengths


def _basis(columns: FloatArray) -> FloatArray:
    """Orthonormal columns that span those given."""
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    return np.ascontiguousarray(left[:, size > 1e-6 * max(size[0], 1e-300)])


def unit(values: npt.NDArray[np.floating], blocks: Blocks) -> npt.NDArray[np.floating]:
    """Residuals of ``(n_spots, c)`` scaled to columns of length 1; constant columns become 0."""
    left = blocks.centre(values)
    length = np.linalg.norm(left, axis=0)
    scale = np.maximum(np.abs(values).max(axis=0, initial=0), 1e-300)
    flat = length <= FLAT * scale * np.sqrt(len(values))
    return np.asarray(np.where(flat, 0, left / np.where(flat, 1, length)), dtype=values.dtype)

"""What the data say about map ~ gene, and how often chance says as much: matrix products over tiles of genes.

No AnnData here, and no null: maps, expression and surrogates come in as arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy import stats

from comould.associate.normalise import TILE, LogExpression
from comould.associate.nulls.variogram import Pairs
from comould.space import FloatArray

Float32Array = npt.NDArray[np.float32]

ANCHOR = 20
"""Surrogate exceedances below which a p-value leans on the tail of a t distribution; see :func:`chance`."""
_PRIOR_COUNT = 0.5
_FLAT = 1e-12


class Blocks:
    """Groups of spots (sections) whose own level is no evidence: values are centred within each.

    Parameters
    ----------
    codes
        ``(n_spots,)`` whole numbers from 0.
    """

    def __init__(self, codes: npt.NDArray[np.intp]) -> None:
        self.codes = codes
        self.order = np.argsort(codes, kind="stable")
        self.sizes = np.bincount(codes)
        self.present = self.sizes > 0
        self.starts = np.concatenate([[0], np.cumsum(self.sizes[self.present])[:-1]])
        self.rank = np.cumsum(self.present) - 1

    def centre(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Subtract each block's mean from ``(n_spots, …)``."""
        sums = np.add.reduceat(values[self.order], self.starts, axis=0)
        sizes = self.sizes[self.present].astype(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
        return values - (sums / sizes)[self.rank[self.codes]]

    def lengths(self, rows: Float32Array) -> Float32Array:
        """Lengths ``(r,)`` of rows ``(r, n_spots)`` once centred, without centring them."""
        member = (self.rank[self.codes][:, None] == np.arange(len(self.starts))).astype(np.float32)
        sums = (rows @ member).astype(np.float64)
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        centred = np.maximum(squares - (sums**2 / self.sizes[self.present]).sum(axis=1), 0)
        flat = centred <= 1e-6 * squares
        return np.sqrt(np.where(flat, np.inf, centred)).astype(np.float32)


def unit(values: npt.NDArray[np.floating], blocks: Blocks) -> npt.NDArray[np.floating]:
    """Centre within blocks and scale each column of ``(n_spots, c)`` to length 1; constant columns become 0."""
    centred = blocks.centre(values)
    length = np.linalg.norm(centred, axis=0)
    scale = np.maximum(np.abs(values).max(axis=0, initial=0), 1e-300)
    flat = length <= _FLAT * scale * np.sqrt(len(values))
    return np.where(flat, 0, centred / np.where(flat, 1, length)).astype(values.dtype)


@dataclass(frozen=True, eq=False)
class Effects:
    """Every map against every feature, each ``(n_maps, n_features)``.

    Parameters
    ----------
    statistic
        Correlation of map and log expression, both centred within sections.
    log2_fold_change
        Pooled counts per library size inside against outside the map's inside (pseudobulk), prior count 0.5.
    p_naive
        Welch's t-test, spots taken as independent.
    p_spatial
        See :func:`chance`; NaN where surrogates or feature do not vary.
    n_effective
        ``1 + 1 / mean(r²)`` over surrogates: independent spots that would spread the correlation as widely.
    """

    statistic: FloatArray
    log2_fold_change: FloatArray
    p_naive: FloatArray
    p_spatial: FloatArray
    n_effective: FloatArray

    @classmethod
    def joined(cls, parts: Sequence[Effects]) -> Effects:
        """Put features side by side."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts], axis=1) for f in fields(cls)))


@dataclass(frozen=True, eq=False)
class Design:
    """The side of the maps, prepared once.

    Parameters
    ----------
    maps
        ``(n_spots, n_maps)`` centred within sections, length 1.
    inside
        ``(n_spots, n_maps)`` 0/1: whom the fold change and the naive test compare.
    surrogates
        One ``(n_surrogates, n_spots)`` float32 a map; ``None`` for a map that is not tested. Not centred within
        sections, which the features are: it would change no product.
    lengths
        ``(n_surrogates,)`` for each of them: what its rows' length would be after centring within sections.
    blocks
        The sections.
    """

    maps: FloatArray
    inside: FloatArray
    surrogates: tuple[Float32Array | None, ...]
    lengths: tuple[Float32Array | None, ...]
    blocks: Blocks

    @classmethod
    def make(
        cls,
        maps: FloatArray,
        surrogates: Sequence[Float32Array | None],
        blocks: Blocks,
        inside: FloatArray | None = None,
    ) -> Design:
        """Prepare maps ``(n_spots, n_maps)`` and their surrogates."""
        # One constant off all rows keeps float32 products exact enough for maps far from zero.
        ready = tuple(
            None if rows is None else rows - np.float32(maps[:, number].mean())
            for number, rows in enumerate(surrogates)
        )
        lengths = tuple(None if rows is None else blocks.lengths(rows) for rows in ready)
        scaled = np.asarray(unit(maps, blocks), dtype=np.float64)
        return cls(scaled, maps if inside is None else inside, ready, lengths, blocks)

    def random(self, number: int, features: Float32Array) -> Float32Array | None:
        """Correlations ``(n_surrogates, c)`` of one map's surrogates with features of :func:`unit`."""
        rows, lengths = self.surrogates[number], self.lengths[number]
        return None if rows is None or lengths is None else (rows @ features) / lengths[:, None]


def gene_effects(
    expression: LogExpression,
    design: Design,
    *,
    chunk: int = 512,
    weights: FloatArray | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[Effects, FloatArray, FloatArray]:
    """Compare every map with every gene.

    Parameters
    ----------
    expression
        Raw counts behind ``log1p`` of counts per 10,000.
    design
        The maps and their surrogates.
    chunk
        Genes taken out of the sparse matrix at a time: memory against speed. Does not change one bit of the result.
    weights
        ``(n_genes, n_sets)`` of gene sets: their scores ``Σ weight · z(log expression)`` come back too.
    progress
        Called with the fraction done.

    Returns
    -------
    tuple
        Effects; spots in which each gene was detected ``(n_genes,)``; set scores ``(n_spots, n_sets)``.
    """
    n_genes = expression.n_genes
    sets = np.zeros((n_genes, 0)) if weights is None else weights
    scores = np.zeros((expression.n_spots, sets.shape[1]))
    parts, detected = [], np.zeros(n_genes)
    step = max(1, -(-chunk // TILE)) * TILE
    for start in range(0, n_genes, step):
        stop = min(start + step, n_genes)
        block = expression.raw(start, stop)
        for low in range(start, stop, TILE):
            high = min(low + TILE, n_genes)
            raw = np.ascontiguousarray(block[:, low - start : high - start])
            log = expression.log(raw)
            detected[low:high] = (raw > 0).sum(axis=0)
            scores += z_scores(log) @ sets[low:high]
            part = _effects(log, design)
            part.log2_fold_change[:] = fold_change(raw, expression.library, design.inside)
            parts.append(part)
        if progress is not None:
            progress(stop / n_genes)
    return Effects.joined(parts), detected, scores


def feature_effects(features: FloatArray, design: Design) -> Effects:
    """Compare every map with every column of ``(n_spots, c)``, e.g. gene-set scores; fold changes are NaN."""
    parts = [_effects(features[:, low : low + TILE], design) for low in range(0, features.shape[1], TILE)]
    empty = np.empty((design.maps.shape[1], 0))
    return Effects.joined(parts) if parts else Effects(empty, empty, empty, empty, empty)


def _effects(features: FloatArray, design: Design) -> Effects:
    count = features.shape[1]
    padded = np.zeros((len(features), TILE))
    padded[:, :count] = unit(features, design.blocks)
    statistic = np.clip((design.maps.T @ padded)[:, :count], -1.0, 1.0)
    single = padded.astype(np.float32)
    p_spatial, n_effective = np.full(statistic.shape, np.nan), np.full(statistic.shape, np.nan)
    for row in range(len(statistic)):
        random = design.random(row, single)
        if random is not None:
            p_spatial[row], n_effective[row] = chance(statistic[row], random[:, :count], len(features))
    return Effects(statistic, np.full(statistic.shape, np.nan), welch(features, design.inside), p_spatial, n_effective)


def chance(statistic: FloatArray, random: npt.NDArray[np.floating], n_spots: int) -> tuple[FloatArray, FloatArray]:
    """Two-sided p-value of correlations against surrogate ones, with a tail beyond the surrogates' number.

    Parameters
    ----------
    statistic
        ``(c,)`` observed correlations.
    random
        ``(n_surrogates, c)`` correlations of the surrogate maps with the same features.
    n_spots
        Upper bound of the effective sample size.

    Returns
    -------
    tuple of ndarray
        p ``(c,)`` and effective sample size ``(c,)``; NaN where no surrogate correlates at all (a constant feature).

    Notes
    -----
    Where at least 20 surrogates reach the observed |r|, p = (1 + their number) / (n + 1) (Phipson & Smyth 2010,
    doi:10.2202/1544-6115.1585). Beyond, the p-value of the 20th largest surrogate is carried outwards along the tail
    of the correlation's t distribution with the effective sample size (Clifford, Richardson & Hémon 1989,
    doi:10.2307/2532039): rank-exact where ranks can tell, and fine enough for thousands of tests where they cannot.
    For noisy genes that tail is wider than the true one, so the smallest p-values err to the cautious side.
    """
    size = np.ascontiguousarray(np.abs(random).T)
    count = size.shape[1]
    spread = np.mean(size.astype(np.float64) ** 2, axis=1)
    none = spread <= _FLAT**2
    effective = np.minimum(1 + 1 / np.where(none, 1, spread), n_spots)
    observed = np.abs(statistic)
    reached = (size >= observed[:, None]).sum(axis=1)
    p = (1 + reached) / (count + 1)
    anchor = min(ANCHOR, max(count // 5, 1))
    edge = np.partition(size, count - anchor, axis=1)[:, count - anchor].astype(np.float64)
    tail = np.exp(_log_t(observed, effective) - _log_t(edge, effective))
    carried = np.clip((1 + anchor) / (count + 1) * np.minimum(tail, 1), np.finfo(np.float64).tiny, 1)
    p = np.where(reached < anchor, carried, p)
    return np.where(none, np.nan, p), np.where(none, np.nan, effective)


def _log_t(correlation: FloatArray, effective: FloatArray) -> FloatArray:
    freedom = np.maximum(effective - 2, 0.5)
    squared = np.minimum(correlation**2, 1 - 1e-12)
    return np.asarray(stats.t.logsf(np.sqrt(freedom * squared / (1 - squared)), freedom), dtype=np.float64)


def analytic_effective(values: FloatArray, features: FloatArray, pairs: Pairs) -> FloatArray:
    """Effective sample size ``(c,)`` of a map ``(n,)`` and features ``(n, c)`` from their correlograms alone.

    A quick second opinion that needs no surrogates; ``benchmarks/false_positive_rate.py`` shows how far it holds.

    References
    ----------
    Dutilleul, P. (1993). Modifying the t test for assessing the correlation between two spatial processes.
    doi:10.2307/2532625
    """
    count = len(values)
    both = z_scores(np.column_stack([values, features]))
    products = both[pairs.first] * both[pairs.second]
    sums = np.stack([np.bincount(pairs.lag, column, len(pairs.counts)) for column in products.T])
    correlogram = sums / np.maximum(pairs.counts, 1)
    shared = (correlogram[0] * correlogram[1:] * pairs.share).sum(axis=1)
    variance = (1 + (count - 1) * shared) / count
    return np.asarray(np.clip(1 + 1 / np.maximum(variance, 1e-12), 3, count))


def t_test(correlation: FloatArray, effective: FloatArray) -> FloatArray:
    """Two-sided p-value of a correlation with a given effective sample size."""
    return np.exp(_log_t(np.abs(correlation), effective)) * 2


def fold_change(raw: FloatArray, library: FloatArray, inside: FloatArray) -> FloatArray:
    """Pseudobulk log2 fold change ``(n_maps, c)``: pooled counts over pooled library sizes, inside against outside."""
    counts, totals = inside.T @ raw, inside.T @ library
    rest, rest_total = raw.sum(axis=0) - counts, library.sum() - totals
    one = (counts + _PRIOR_COUNT) / (totals + 2 * _PRIOR_COUNT)[:, None]
    other = (rest + _PRIOR_COUNT) / (rest_total + 2 * _PRIOR_COUNT)[:, None]
    return np.asarray(np.log2(one / other))


def welch(features: FloatArray, inside: FloatArray) -> FloatArray:
    """Welch's t-test ``(n_maps, c)``, two-sided, spots taken as independent: what spatial data are *not*."""
    middle = features - features.mean(axis=0)
    n_in = inside.sum(axis=0)[:, None]
    n_out = len(features) - n_in
    sum_in, square_in = inside.T @ middle, inside.T @ middle**2
    sum_out, square_out = middle.sum(axis=0) - sum_in, (middle**2).sum(axis=0) - square_in
    with np.errstate(divide="ignore", invalid="ignore"):
        error_in = np.maximum(square_in - sum_in**2 / n_in, 0) / (n_in - 1) / n_in
        error_out = np.maximum(square_out - sum_out**2 / n_out, 0) / (n_out - 1) / n_out
        error = error_in + error_out
        freedom = error**2 / (error_in**2 / (n_in - 1) + error_out**2 / (n_out - 1))
        t = (sum_in / n_in - sum_out / n_out) / np.sqrt(error)
        return np.asarray(2 * stats.t.sf(np.abs(t), freedom))


def z_scores(features: FloatArray) -> FloatArray:
    """Centre and scale each column of ``(n_spots, c)`` to standard deviation 1; constant columns become 0."""
    spread = features.std(axis=0)
    flat = spread <= _FLAT * np.maximum(np.abs(features).max(axis=0), 1e-300)
    return np.where(flat, 0, (features - features.mean(axis=0)) / np.where(flat, 1, spread))


def benjamini_hochberg(p: npt.ArrayLike) -> FloatArray:
    """Benjamini–Hochberg q-values of ``(n,)`` p-values; NaN stays NaN and does not count as a test.

    References
    ----------
    Benjamini, Y. & Hochberg, Y. (1995). doi:10.1111/j.2517-6161.1995.tb02031.x
    """
    values = np.asarray(p, dtype=np.float64)
    q = np.full(values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(values))
    if len(tested):
        order = tested[np.argsort(values[tested], kind="stable")]
        steps = values[order] * len(order) / np.arange(1, len(order) + 1)
        q[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return q

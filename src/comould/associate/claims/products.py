"""Every map against every gene, and every surrogate too: sparse sums for what is seen, matrix products for chance.

Genes are never centred and never made dense as a whole: maps and surrogates have no component along what is no evidence
(:class:`~comould.associate.claims.blocks.Blocks`), so their products with a gene need only the gene's residual length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from comould.associate.claims.blocks import FLAT, Blocks, Float32Array, unit
from comould.associate.claims.chance import anchor_of, p_values, raise_maxima, summary, t_test
from comould.associate.claims.correlation import Correlation
from comould.associate.claims.normalise import TILE, LogExpression
from comould.associate.claims.statistics import analytic_effective, fold_change, welch, z_scores
from comould.associate.nulls import Surrogates
from comould.associate.nulls.variogram import Pairs
from comould.space import FloatArray

Progress = Callable[[float], None]
Counted = Callable[[slice, FloatArray], npt.NDArray[np.bool_]]
"""Tells which features of a slice, given their effective samples, take part in the maxima."""


@dataclass(frozen=True, eq=False)
class Design:
    """The side of the maps.

    Parameters
    ----------
    maps
        ``(n_spots, n_maps)`` residuals of length 1.
    inside
        ``(n_spots, n_maps)`` 0/1: whom the fold change and the naive test compare.
    blocks
        What is no evidence.
    correlation
        The statistic.
    """

    maps: FloatArray
    inside: FloatArray
    blocks: Blocks
    correlation: Correlation = field(default_factory=Correlation)

    @classmethod
    def make(
        cls, maps: FloatArray, blocks: Blocks, inside: FloatArray | None = None, correlation: Correlation | None = None
    ) -> Design:
        """Prepare maps ``(n_spots, n_maps)``."""
        scaled = np.asarray(unit(maps, blocks), dtype=np.float64)
        return cls(scaled, maps if inside is None else inside, blocks, correlation or Correlation())

    def meeting(self, maps: FloatArray) -> FloatArray:
        """Bring residual maps ``(n_spots, m)`` to where their product with a gene is the statistic."""
        if self.correlation.neighbours is None:
            return maps
        return np.asarray(self.blocks.centre(self.correlation.weighed(maps)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the data say of every map and gene.

    Parameters
    ----------
    statistic
        ``(n_maps, n_genes)``.
    log2_fold_change
        ``(n_maps, n_genes)`` pooled counts per library size inside against outside (pseudobulk), prior count 0.5.
    p_naive
        ``(n_maps, n_genes)`` Welch's t-test, spots taken as independent.
    detected
        ``(n_genes,)`` spots with a count.
    lengths
        ``(n_genes,)`` residual lengths; 0 for a gene that does not vary.
    scores
        ``(n_spots, n_sets)`` sums of weighted z-scores of log expression.
    contrasts
        ``(n_spots, n_sets)`` mean of the sets' genes, residuals of length 1, less that of all other genes.
    """

    statistic: FloatArray
    log2_fold_change: FloatArray
    p_naive: FloatArray
    detected: npt.NDArray[np.int64]
    lengths: FloatArray
    scores: FloatArray
    contrasts: FloatArray


@dataclass(frozen=True, eq=False)
class Chance:
    """What surrogates of one map say, per feature.

    Parameters
    ----------
    p_spatial, n_effective
        ``(c,)``, see :func:`~comould.associate.claims.chance.chance`; NaN where surrogates or feature do not vary.
    spread
        ``(c,)`` root mean square of the surrogates' statistic.
    """

    p_spatial: FloatArray
    n_effective: FloatArray
    spread: FloatArray


def see(
    expression: LogExpression,
    design: Design,
    *,
    members: npt.NDArray[np.bool_] | None = None,
    chunk: int = 512,
    progress: Progress | None = None,
) -> Seen:
    """Compare every map with every gene, without any surrogate.

    Parameters
    ----------
    expression
        Raw counts behind ``log1p`` of counts per 10,000.
    design
        The maps.
    members
        ``(n_genes, n_sets)`` which genes gene sets hold.
    chunk
        Genes looked at between two calls of ``progress``. Does not change one bit of the result.
    progress
        Called with the fraction done.
    """
    n_genes, n_maps = expression.n_genes, design.maps.shape[1]
    sets = np.zeros((n_genes, 0), dtype=bool) if members is None else members
    statistic, change, naive = (np.empty((n_maps, n_genes)) for _ in range(3))
    detected, lengths = np.zeros(n_genes, dtype=np.int64), np.zeros(n_genes)
    scores, raised, rest = (np.zeros((expression.n_spots, sets.shape[1])) for _ in range(3))
    meeting = design.meeting(design.maps)
    for start, stop in _steps(n_genes, chunk, progress):
        raw, log = expression.tile(start, stop)
        columns = design.correlation.columns(log)
        mine, here = sets[start:stop], slice(start, stop)
        detected[here] = np.diff(raw.indptr)
        lengths[here] = residual_lengths(columns, design.blocks)
        statistic[:, here] = (columns.T @ meeting).T / np.where(lengths[here] > 0, lengths[here], np.inf)
        change[:, here] = fold_change(raw, expression.library, design.inside)
        naive[:, here] = welch(log, design.inside)
        scores += _z_sums(log, mine)
        per_length = np.where(lengths[here] > 0, 1 / np.where(lengths[here] > 0, lengths[here], 1), 0)[:, None]
        raised += columns @ (mine * per_length)
        rest += columns @ (~mine * per_length)
    sizes = sets.sum(axis=0)
    contrasts = raised / np.maximum(sizes, 1) - rest / np.maximum(n_genes - sizes, 1)
    statistic = np.clip(statistic, -1.0, 1.0)
    return Seen(statistic, change, naive, detected, lengths, scores / np.maximum(sizes, 1), contrasts)


def against_genes(
    expression: LogExpression,
    design: Design,
    seen: Seen,
    number: int,
    surrogates: Prepared,
    *,
    chunk: int = 512,
    counted: Counted | None = None,
    progress: Progress | None = None,
) -> tuple[Chance, FloatArray]:
    """Hold one map's statistics against those of its surrogates.

    Parameters
    ----------
    expression, design, seen
        As before.
    number
        Of the map.
    surrogates
        Of :meth:`Prepared.of`.
    chunk, progress
        As in :func:`see`.
    counted
        Given genes (a slice) and their effective samples, tells which of them take part in the maxima.

    Returns
    -------
    tuple
        What chance says, per gene; and ``(n_surrogates,)`` the largest |statistic| / spread over the genes that count.
    """
    found = _Collected.empty(expression.n_genes, len(surrogates.rows))
    dense = np.zeros((TILE, expression.n_spots), dtype=np.float32)
    for start, stop in _steps(expression.n_genes, chunk, progress):
        columns = design.correlation.columns(expression.tile(start, stop)[1])
        here = slice(start, stop)
        if surrogates.analytic is not None:
            found.put_analytic(here, seen.statistic[number, here], surrogates.effective(columns.toarray(), design))
            continue
        dense[:] = 0
        _scatter(columns, dense)
        lengths = seen.lengths[here]
        random = (surrogates.rows @ dense.T)[:, : stop - start]
        random /= np.where(lengths > 0, lengths, np.inf).astype(np.float32)
        found.put(here, seen.statistic[number, here], random, expression.n_spots, counted)
    return found.chance, found.maxima


def against_features(
    features: FloatArray, design: Design, number: int, surrogates: Prepared, counted: Counted | None = None
) -> tuple[Chance, FloatArray]:
    """Hold one map against dense columns ``(n_spots, c)``, e.g. gene-set scores; returns as :func:`against_genes`."""
    count = features.shape[1]
    found = _Collected.empty(count, len(surrogates.rows))
    if count:
        columns = unit(features, design.blocks)
        statistic = design.meeting(design.maps[:, [number]])[:, 0] @ columns
        if surrogates.analytic is not None:
            found.put_analytic(slice(0, count), statistic, surrogates.effective(features, design))
        else:
            random = surrogates.rows @ columns.astype(np.float32)
            found.put(slice(0, count), statistic, random, len(features), counted)
    return found.chance, found.maxima


def feature_statistics(features: FloatArray, design: Design) -> FloatArray:
    """Statistics ``(n_maps, c)`` of every map and dense columns ``(n_spots, c)``."""
    return np.asarray(np.clip(design.meeting(design.maps).T @ unit(features, design.blocks), -1, 1))


@dataclass(frozen=True, eq=False)
class Prepared:
    """Surrogates brought to where a product with a gene is a statistic but for the gene's length.

    Parameters
    ----------
    rows
        ``(n_surrogates, n_spots)`` float32.
    analytic
        The map's residual values and the support's pairs, of a null without surrogates.
    """

    rows: Float32Array
    analytic: tuple[FloatArray, Pairs] | None = None

    @classmethod
    def of(cls, made: Surrogates, design: Design, number: int, *, in_place: bool = False) -> Prepared:
        """Take off what is no evidence and scale; ``in_place`` uses the surrogates' own memory."""
        if made.pairs is not None and not len(made.maps):
            return cls(made.maps, (design.maps[:, number], made.pairs))
        rows = made.maps if in_place else made.maps.copy()
        lengths = design.blocks.centre_rows(rows)
        scale = lengths if made.scale is None else made.scale
        rows /= np.where(lengths > 0, scale, np.inf).astype(np.float32)[:, None]
        if design.correlation.neighbours is not None:
            for start in range(0, len(rows), TILE):
                part = rows[start : start + TILE]
                part[:] = design.meeting(part.T.astype(np.float64)).T
        return cls(rows)

    def effective(self, features: FloatArray, design: Design) -> FloatArray:
        """Effective sample sizes ``(c,)`` of an analytic null."""
        if self.analytic is None:
            return np.full(features.shape[1], np.nan)
        values, pairs = self.analytic
        return analytic_effective(values, np.asarray(design.blocks.centre(features), dtype=np.float64), pairs)


@dataclass(frozen=True, eq=False)
class _Collected:
    chance: Chance
    maxima: FloatArray

    @classmethod
    def empty(cls, n_features: int, n_surrogates: int) -> _Collected:
        return cls(Chance(*(np.full(n_features, np.nan) for _ in range(3))), np.zeros(n_surrogates))

    def put(
        self,
        here: slice,
        statistic: FloatArray,
        random: Float32Array,
        n_spots: int,
        counted: Counted | None,
    ) -> None:
        """Fill in features of a slice from their surrogates' statistics ``(n_surrogates, c)``."""
        observed, random = np.abs(statistic), np.ascontiguousarray(random)
        reached, square, edge = summary(random, observed, anchor_of(len(random)))
        p, effective = p_values(observed, reached, square, edge, count=len(random), n_spots=n_spots)
        spread = np.sqrt(square)
        self.chance.p_spatial[here], self.chance.n_effective[here], self.chance.spread[here] = p, effective, spread
        if counted is not None:
            use = counted(here, effective) & (spread > FLAT)
            raise_maxima(self.maxima, random, np.where(use, 1 / np.where(use, spread, 1), 0))

    def put_analytic(self, here: slice, statistic: FloatArray, effective: FloatArray) -> None:
        """Fill in features of a slice from their effective samples alone."""
        known = np.where(statistic != 0, effective, np.nan)
        self.chance.p_spatial[here], self.chance.n_effective[here] = t_test(statistic, known), known
        self.chance.spread[here] = 1 / np.sqrt(np.maximum(known - 1, 1))


def residual_lengths(columns: sp.csc_array, blocks: Blocks) -> FloatArray:
    """Residual lengths ``(c,)`` of sparse columns, found without making them dense; 0 for one that is flat."""
    member = sp.csr_array((np.ones(len(blocks.codes)), (np.arange(len(blocks.codes)), blocks.rank[blocks.codes])))
    squares = np.asarray(columns.power(2).sum(axis=0)).ravel()
    means = np.asarray((member.T @ columns).todense()) / blocks.sizes[blocks.present][:, None]
    within = squares - (means**2 * blocks.sizes[blocks.present][:, None]).sum(axis=0)
    if blocks.basis.shape[1]:
        within = within - ((blocks.basis.T @ columns) ** 2).sum(axis=0)
    # What rounding leaves of a constant: far below this share of the sum of squares.
    return np.sqrt(np.where(within <= 1e-10 * squares, 0.0, within))


def _steps(n_genes: int, chunk: int, progress: Progress | None) -> Iterator[tuple[int, int]]:
    told = 0
    for start in range(0, n_genes, TILE):
        stop = min(start + TILE, n_genes)
        yield start, stop
        if progress is not None and (stop - told >= chunk or stop == n_genes):
            progress(stop / n_genes)
            told = stop


def _scatter(columns: sp.csc_array, dense: Float32Array) -> None:
    owner = np.repeat(np.arange(columns.shape[1]), np.diff(columns.indptr))
    dense[owner, columns.indices] = columns.data


def _z_sums(log: sp.csc_array, members: npt.NDArray[np.bool_]) -> FloatArray:
    """Sum z-scores of members, ``(n_spots, n_sets)``; genes that do not vary count 0."""
    used = np.flatnonzero(members.any(axis=1))
    if not len(used):
        return np.zeros((log.shape[0], members.shape[1]))
    return np.asarray(z_scores(log[:, used].toarray()) @ members[used].astype(np.float64))

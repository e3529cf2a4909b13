"""Does the map look like one of its own surrogates? Where it does not, say in what, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from comould.associate.nulls.places import Places
from comould.space import FloatArray

N_REFERENCE = 120
"""Surrogates a map is compared with; the most extreme sets the limit, which one stationary map in a hundred passes."""
_SLIGHT = 0.02
"""Difference in a property that is no finding however little surrogates differ among themselves."""
_ALL = 0.9
"""Share of variance from which a map follows a covariate altogether."""
_MOST_ANCHORS = 4000
_FEWEST_SPOTS = 60
_SPLITS = 3
_NEIGHBOURS = 4

Measure = Callable[[npt.NDArray[np.floating]], FloatArray]


@dataclass(frozen=True)
class Check:
    """One property of a map: how to measure it, and the doubt when surrogates do not have it."""

    measure: Measure
    doubt: str


def doubts_about(
    values: FloatArray, reference: npt.NDArray[np.floating], places: Places, seed: np.random.SeedSequence
) -> tuple[str, ...]:
    """Compare a map with surrogates in trend, distance to the edge and evenness; return a doubt a finding.

    Parameters
    ----------
    values
        ``(n_spots,)`` the map.
    reference
        ``(m, n_spots)`` surrogates, NaN where one says nothing; at most 120 are looked at.
    places
        Of the spots.
    seed
        Chooses the spots that are looked at on supports of more than 4,000.

    Notes
    -----
    All properties share one limit, the largest that any surrogate reaches in any of them (each property in standard
    deviations of the surrogates', after a transformation that makes it about normal), so that the number of
    properties does not multiply false alarms. No doubt is no proof: the checks see coarse departures only.
    """
    rows = reference[:N_REFERENCE]
    if len(values) < _FEWEST_SPOTS or len(rows) < N_REFERENCE // 2:
        return ()
    checks = _checks(places, np.random.default_rng(seed))
    usual = np.stack([check.measure(rows) for check in checks], axis=1)
    own = np.concatenate([check.measure(values[None]) for check in checks])
    middle, spread = usual.mean(axis=0), np.maximum(usual.std(axis=0), _SLIGHT)
    limit = ((usual - middle) / spread).max()
    return tuple(check.doubt for check, far in zip(checks, (own - middle) / spread, strict=True) if far > limit)


def _checks(places: Places, rng: np.random.Generator) -> list[Check]:
    count = len(places.positions)
    anchors = np.sort(rng.permutation(count)[:_MOST_ANCHORS])
    checks = [
        Check(
            _trend(places.apart[anchors], anchors),
            "the map follows a trend across the whole support more than any surrogate does: take position (its square "
            "too) as a covariate",
        ),
        Check(
            _unevenness(places, anchors),
            "the map is much rougher in some parts of the support than in others, which surrogates are not: test the "
            "parts one by one",
        ),
    ]
    edge = places.edge_distance()[anchors] if places.planar else np.zeros(len(anchors))
    if np.ptp(edge) > 0:
        checks.append(
            Check(
                _explained(edge[:, None], anchors),
                "the map follows the distance to the edge more than any stationary map of its smoothness does: take "
                "edge distance as a covariate",
            )
        )
    return checks


def _trend(points: FloatArray, anchors: npt.NDArray[np.intp]) -> Measure:
    """Share of variance on a quadratic surface, on the scale on which correlations are about normal."""
    scaled = (points - points.mean(axis=0)) / np.maximum(np.ptp(points, axis=0), 1e-12)
    first, second = np.triu_indices(scaled.shape[1])
    return _explained(np.column_stack([scaled, scaled[:, first] * scaled[:, second]]), anchors)


def _explained(columns: FloatArray, anchors: npt.NDArray[np.intp]) -> Measure:
    """Multiple correlation of rows with columns ``(a, p)``, over the spots a row knows, as Fisher's z."""
    count = columns.shape[1]
    i, j = np.triu_indices(count)
    products = columns[:, i] * columns[:, j]

    def measure(rows: npt.NDArray[np.floating]) -> FloatArray:
        """Measure rows ``(m, n_spots)``."""
        part = rows[:, anchors].astype(np.float64)
        known = np.isfinite(part)
        part = np.where(known, part, 0.0)
        weight = known.astype(np.float64)
        total = np.maximum(weight.sum(axis=1), 1)
        sums, mean = weight @ columns, part.sum(axis=1) / total
        along = part @ columns - sums * mean[:, None]
        squares = np.empty((len(rows), count, count))
        squares[:, i, j] = squares[:, j, i] = weight @ products
        squares -= sums[:, :, None] * sums[:, None, :] / total[:, None, None]
        inverse = np.linalg.pinv(squares, rcond=1e-9, hermitian=True)
        size = np.maximum((part**2).sum(axis=1) - total * mean**2, 1e-300)
        share = np.einsum("ri,rij,rj->r", along, inverse, along) / size
        return np.arctanh(np.sqrt(np.clip(share, 0, _ALL)))

    return measure


def _unevenness(places: Places, anchors: npt.NDArray[np.intp]) -> Measure:
    """Spread over blocks of the support of the root-mean-square step to a near neighbour, over its mean."""
    points = places.apart
    near = cKDTree(points).query(points[anchors], _NEIGHBOURS + 1)[1][:, 1:]
    block = _blocks(points[anchors], _SPLITS if len(anchors) >= 400 else _SPLITS - 1)
    member = (block[:, None] == np.arange(block.max() + 1)).astype(np.float64)

    def measure(rows: npt.NDArray[np.floating]) -> FloatArray:
        """Measure rows ``(m, n_spots)``."""
        total, known = np.zeros((len(rows), len(anchors))), np.zeros((len(rows), len(anchors)))
        for neighbour in near.T:
            squares = (rows[:, neighbour] - rows[:, anchors]) ** 2
            there = np.isfinite(squares)
            total += np.where(there, squares, 0)
            known += there
        rough = np.sqrt(total @ member / np.maximum(known @ member, 1))
        mean = np.maximum(rough.mean(axis=1), 1e-12)
        return np.log(rough.std(axis=1) / mean + 0.05)

    return measure


def _blocks(points: FloatArray, splits: int) -> npt.NDArray[np.intp]:
    """Halve the points along their longest side, and the halves again: ``2 ** splits`` blocks of like size."""
    block = np.zeros(len(points), dtype=np.intp)
    for _ in range(splits):
        parts = [np.flatnonzero(block == code) for code in range(block.max() + 1)]
        for part in parts:
            along = points[part][:, np.ptp(points[part], axis=0).argmax()]
            block[part] *= 2
            block[part[np.argsort(along, kind="stable")[len(part) // 2 :]]] += 1
    return block

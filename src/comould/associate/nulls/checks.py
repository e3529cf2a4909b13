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
"""Surrogates a map is compared with: the most extreme two of them set the limit, about one stationary map in sixty."""
_ALLOWED_BEYOND = 1
_MOST_ANCHORS = 4000
_FEWEST_SPOTS = 60
_SPLITS = 3
_NEIGHBOURS = 4


@dataclass(frozen=True)
class Check:
    """One property of a map: how to measure it, and the doubt when surrogates do not have it."""

    measure: Callable[[npt.NDArray[np.floating]], float]
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
    All properties share one limit, the second largest of what any surrogate reaches in any of them (each property in
    standard deviations of the surrogates', after a transformation that makes it about normal), so that the number of
    properties does not multiply false alarms. No doubt is no proof: the checks see coarse departures only.
    """
    rows = reference[:N_REFERENCE]
    if len(values) < _FEWEST_SPOTS or len(rows) < N_REFERENCE // 2:
        return ()
    checks = _checks(places, np.random.default_rng(seed))
    measured = np.array([[check.measure(row) for check in checks] for row in (values, *rows)])
    middle, spread = measured[1:].mean(axis=0), measured[1:].std(axis=0)
    beyond = (measured - middle) / np.where(spread > 1e-9, spread, np.inf)
    limit = np.sort(beyond[1:].max(axis=1))[-1 - _ALLOWED_BEYOND]
    return tuple(check.doubt for check, own in zip(checks, beyond[0], strict=True) if own > limit)


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
                _along(edge, anchors),
                "the map follows the distance to the edge more than any stationary map of its smoothness does: take "
                "edge distance as a covariate",
            )
        )
    return checks


def _trend(points: FloatArray, anchors: npt.NDArray[np.intp]) -> Callable[[npt.NDArray[np.floating]], float]:
    """Share of variance on a quadratic surface, on the scale on which correlations are about normal."""
    scaled = (points - points.mean(axis=0)) / np.maximum(np.ptp(points, axis=0), 1e-12)
    first, second = np.triu_indices(scaled.shape[1])
    surface = np.column_stack([scaled, scaled[:, first] * scaled[:, second]])

    def measure(row: npt.NDArray[np.floating]) -> float:
        known, y = _known(row[anchors])
        fit = surface[known] - surface[known].mean(axis=0)
        along = fit.T @ y
        share = along @ np.linalg.pinv(fit.T @ fit, rcond=1e-9, hermitian=True) @ along / max(y @ y, 1e-300)
        return float(np.arctanh(np.sqrt(min(share, 1 - 1e-9))))

    return measure


def _along(covariate: FloatArray, anchors: npt.NDArray[np.intp]) -> Callable[[npt.NDArray[np.floating]], float]:
    def measure(row: npt.NDArray[np.floating]) -> float:
        known, y = _known(row[anchors])
        x = covariate[known] - covariate[known].mean()
        r = (x @ y) / max(np.linalg.norm(x) * np.linalg.norm(y), 1e-300)
        return float(np.abs(np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9))))

    return measure


def _unevenness(places: Places, anchors: npt.NDArray[np.intp]) -> Callable[[npt.NDArray[np.floating]], float]:
    """Spread over blocks of the support of the root-mean-square step to a near neighbour, over its mean."""
    points = places.apart
    near = cKDTree(points).query(points[anchors], _NEIGHBOURS + 1)[1][:, 1:]
    block = _blocks(points[anchors], _SPLITS if len(anchors) >= 400 else _SPLITS - 1)

    def measure(row: npt.NDArray[np.floating]) -> float:
        squares = (row[near] - row[anchors, None]) ** 2
        known = np.isfinite(squares)
        share = np.bincount(block, known.sum(axis=1))
        rough = np.sqrt(np.bincount(block, np.where(known, squares, 0).sum(axis=1)) / np.maximum(share, 1))
        rough = rough[share > 0]
        return float(np.log(rough.std() + 0.05 * rough.mean() + 1e-12) - np.log(rough.mean() + 1e-12))

    return measure


def _known(part: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    known = np.isfinite(part)
    y = part[known].astype(np.float64)
    return known, y - y.mean()


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

"""The table a user gets: a row a feature and habitat, with what cannot be tested marked so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.associate.claims.options import ClaimOptions
from comould.associate.claims.spots import Spots
from comould.associate.claims.statistics import benjamini_hochberg
from comould.space import FloatArray

COLUMNS = (
    "feature",
    "kind",
    "habitat",
    "log2_fold_change",
    "statistic",
    "n_spots",
    "n_effective",
    "p_naive",
    "q_naive",
    "p_spatial",
    "q_spatial",
    "p_max_t",
    "p_competitive",
    "q_competitive",
    "testable",
    "reason",
)
NO_VARIATION = "does not vary within sections"


@dataclass(frozen=True, eq=False)
class Found:
    """What was found for features of one kind, all ``(n_maps, n_features)`` but the first two.

    Parameters
    ----------
    kind
        ``gene`` or ``geneset``.
    features
        Names.
    reasons
        Why a feature cannot be tested, one each; empty where it can.
    log2_fold_change, statistic, n_effective, p_naive, p_spatial
        As in the table.
    standing
        |statistic| over the root mean square of its surrogates': what maxima are taken of.
    p_competitive
        Of gene sets; NaN for genes.
    maxima
        ``(n_surrogates,)`` largest standing of a surrogate over all features and maps; empty for an analytic null.
    """

    kind: str
    features: Sequence[str]
    reasons: Sequence[str]
    log2_fold_change: FloatArray
    statistic: FloatArray
    n_effective: FloatArray
    p_naive: FloatArray
    p_spatial: FloatArray
    standing: FloatArray
    p_competitive: FloatArray
    maxima: FloatArray


def rows_of(found: Found, spots: Spots, problems: Sequence[str], options: ClaimOptions) -> pd.DataFrame:
    """Lay out one kind's rows; ``problems`` say why a map cannot be tested."""
    n_maps, n_features = found.statistic.shape
    reason = np.array([[map_ or own for own in found.reasons] for map_ in problems], dtype=object)
    reason = reason.reshape(n_maps, n_features)
    _note(reason, np.isnan(found.p_spatial), NO_VARIATION)
    with np.errstate(invalid="ignore"):
        few = found.n_effective < options.min_effective
    for row, column in zip(*np.nonzero(few & (reason == "")), strict=True):
        count = found.n_effective[row, column]
        reason[row, column] = f"{count:.1f} effective samples, {options.min_effective:g} needed: too smooth to tell"
    testable = reason == ""
    p_naive = found.p_naive.copy()
    p_naive[[bool(problem) for problem in problems]] = np.nan
    p_spatial, p_competitive = (np.where(testable, p, np.nan) for p in (found.p_spatial, found.p_competitive))
    return pd.DataFrame(
        {
            "feature": np.tile(np.array([str(name) for name in found.features], dtype=object), n_maps),
            "kind": found.kind,
            "habitat": np.repeat(np.array(spots.names, dtype=object), n_features),
            "log2_fold_change": found.log2_fold_change.ravel(),
            "statistic": found.statistic.ravel(),
            "n_spots": np.repeat(spots.inside.sum(axis=0).astype(int), n_features),
            "n_effective": found.n_effective.ravel(),
            "p_naive": p_naive.ravel(),
            "q_naive": benjamini_hochberg(p_naive.ravel()),
            "p_spatial": p_spatial.ravel(),
            "q_spatial": benjamini_hochberg(p_spatial.ravel()),
            "p_max_t": np.where(testable, _max_t(found.standing, found.maxima), np.nan).ravel(),
            "p_competitive": p_competitive.ravel(),
            "q_competitive": benjamini_hochberg(p_competitive.ravel()),
            "testable": testable.ravel(),
            "reason": reason.ravel(),
        },
        columns=list(COLUMNS),
    )


def _max_t(standing: FloatArray, maxima: FloatArray) -> FloatArray:
    if not len(maxima):
        return np.full(standing.shape, np.nan)
    order = np.sort(maxima)
    reached = len(order) - np.searchsorted(order, standing)
    return (1 + reached) / (len(order) + 1)


def _note(reason: npt.NDArray[np.object_], where: npt.NDArray[np.bool_], text: str) -> None:
    reason[where & (reason == "")] = text

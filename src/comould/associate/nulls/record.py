"""What every null hands back: maps, what they were made from, and how far they can be trusted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from comould.associate.nulls.variogram import Pairs
from comould.space import FloatArray

Kind = Literal["variogram", "shift", "rotate", "rotate_reflect", "moran", "dutilleul", "shuffle"]
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NullFit:
    """What a null was made from, and how well it imitates the map.

    Parameters
    ----------
    kind
        One of the kinds of :func:`~comould.associate.make_null`.
    n_surrogates
        Maps made; 0 for an analytic null.
    range_mm
        Distance at which the fitted smooth part's correlation falls to 0.05 (0 for ``shuffle``).
    smoothness, nugget
        Of the fitted latent field; see :class:`~comould.associate.nulls.variogram.FieldModel`.
    variogram_distance
        Root-mean-square relative difference between the map's variogram and the surrogates' mean one, over the lags
        that were fitted: 0 is perfect; the map itself is one draw, so 0.1 to 0.2 is usual for a smooth map.
    n_effective
        Number of independent spots that would give unrelated maps of this smoothness the same chance correlation.
    lags_mm, observed, imitated
        The two variograms, each divided by its mean over all pairs.
    refusal
        Why nothing can be tested with this null; empty when it can.
    doubts
        What makes its p-values doubtful, a clause each.
    """

    kind: Kind
    n_surrogates: int
    range_mm: float
    smoothness: float
    nugget: float
    variogram_distance: float
    n_effective: float
    lags_mm: FloatArray
    observed: FloatArray
    imitated: FloatArray
    refusal: str = ""
    doubts: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain record; an infinite smoothness reads ``"gaussian"``."""
        record = asdict(self)
        record["smoothness"] = "gaussian" if np.isinf(self.smoothness) else self.smoothness
        return record


@dataclass(frozen=True, eq=False)
class Surrogates:
    """Surrogate maps and the record of how they were made.

    Parameters
    ----------
    maps
        ``(n_surrogates, n_spots)`` float32. No rows for a null that is analytic.
    fit
        The record.
    scale
        ``(n_surrogates,)`` what a row's product with a feature of length 1 is divided by to be held against the map's
        own correlation; ``None`` takes the row's own length. For rows that cover a part of the spots only (moved
        maps): they are 0 where they say nothing, and centred where they say something.
    pairs
        Pairs of the support, for the analytic null alone.
    """

    maps: Float32Array
    fit: NullFit
    scale: FloatArray | None = None
    pairs: Pairs | None = None

    def __len__(self) -> int:
        return len(self.maps)

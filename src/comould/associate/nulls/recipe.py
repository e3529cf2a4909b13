"""What a kind of null is given and what it gives back: the seam between :func:`make_null` and the kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from comould.associate.nulls.places import Places
from comould.associate.nulls.record import Float32Array
from comould.associate.nulls.variogram import FieldModel, Pairs
from comould.space import FloatArray


@dataclass(frozen=True, eq=False)
class Job:
    """One map to be imitated.

    Parameters
    ----------
    values
        ``(n_spots,)`` finite, not all equal.
    places
        Where the spots are.
    pairs
        Their pairs by distance.
    n
        Surrogates wanted.
    seed
        Of the drawing.
    """

    values: FloatArray
    places: Places
    pairs: Pairs
    n: int
    seed: np.random.SeedSequence


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a kind made.

    Parameters
    ----------
    maps
        ``(n, n_spots)``, or no rows.
    model
        Field fitted to the map, whether drawn from or not.
    scale
        As in :class:`~comould.associate.nulls.record.Surrogates`.
    seen
        ``(m, n_spots)`` some of the maps before centring, NaN where they say nothing; ``None`` when ``maps`` themselves
        are whole.
    reference
        ``(m, n_spots)`` maps of the same values that the map is checked against, NaN where one says nothing; ``None``
        checks it against stationary fields of its smoothness.
    refusal, doubts
        What the kind itself has to say.
    """

    maps: Float32Array
    model: FieldModel
    scale: FloatArray | None = None
    seen: Float32Array | None = None
    reference: Float32Array | None = None
    refusal: str = ""
    doubts: tuple[str, ...] = ()


Recipe = Callable[[Job], Drawn]

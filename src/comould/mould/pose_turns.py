"""Would the specimen also seat turned by 180°: overlap with itself, and room in the cavity, after each half turn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from comould.mould.pose_score import Lie, crossings, occupied
from comould.mould.surface import Field
from comould.space import FloatArray

HALF_TURNS = {"x": (0, 1), "y": (0, 2), "z": (1, 2)}
"""Array axes ``(z, y, x)`` that a half turn about each mould axis reverses."""

REACH = 3.0
"""Shifts are looked for up to this many samples of the thinned field: about a quarter of the specimen's size."""


def turned_dice(lie: Lie, about: str) -> float:
    """Lay the specimen on itself after half a turn about a mould axis, and shift it until it overlaps best.

    Parameters
    ----------
    lie
        The specimen; its centroid is in the middle, so that a half turn reverses two axes and moves nothing else.
    about
        ``"x"``, ``"y"`` or ``"z"`` of the mould.

    Returns
    -------
    float
        Dice of the shares of each voxel inside, on every second sample.
    """
    values, step = _thinned(lie)
    tissue, turned = occupied(values, step), np.flip(values, HALF_TURNS[about])
    total = float(tissue.sum(dtype=np.float64))

    def dice(moved: Field) -> float:
        share = occupied(moved, step)
        return 2.0 * float(np.minimum(tissue, share).sum(dtype=np.float64)) / (total + float(share.sum()))

    return _best(dice, turned, np.zeros(3), (0, 1, 2))


def turned_room(lie: Lie, about: str) -> float:
    """Put the specimen into the open cavity after half a turn, as deep as it would lie rightly.

    Parameters
    ----------
    lie, about
        As for :func:`turned_dice`.

    Returns
    -------
    float
        Greatest share of the turned specimen the cavity has room for, over small sideways shifts, without clearance.
    """
    values, step = _thinned(lie)
    cavity = occupied(np.minimum.accumulate(values, axis=0), step)
    turned = np.flip(values, HALF_TURNS[about])

    def room(moved: Field) -> float:
        share = occupied(moved, step)
        return float(np.minimum(cavity, share).sum(dtype=np.float64)) / float(share.sum(dtype=np.float64))

    deep = np.zeros(3)
    if 0 in HALF_TURNS[about]:
        low, high = crossings(values.min(axis=(1, 2)))
        deep[0] = len(values) - 1 - low - high
    return _best(room, turned, deep, (1, 2))


def _best(score: Callable[[Field], float], field: Field, start: FloatArray, axes: tuple[int, ...]) -> float:
    """Climb from a shift along some axes, in ever smaller strides, to the best score of the shifted field."""
    pad = int(np.ceil(np.abs(start).max() + REACH)) + 1
    padded = np.pad(field, pad, mode="edge")
    shift, best = start, score(_shifted(padded, start + pad, field.shape))
    for stride in (1.0, 0.5, 0.25):
        improves = True
        while improves:
            improves = False
            for axis, sign in product(axes, (-1.0, 1.0)):
                trial = shift.copy()
                trial[axis] += sign * stride
                if np.abs(trial - start).max() > REACH:
                    continue
                found = score(_shifted(padded, trial + pad, field.shape))
                if found > best + 1e-4:
                    shift, best, improves = trial, found, True
    return best


def _thinned(lie: Lie) -> tuple[Field, float]:
    """Every second sample about the middle one, as far as there is tissue."""
    keep = []
    inside = occupied(lie.values, lie.step_mm) > 0
    for axis, count in enumerate(inside.shape):
        used = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        middle = count // 2
        reach = max(middle - int(used[0]), int(used[-1]) - middle)
        reach = min(2 * ((reach + 1) // 2) + 2, 2 * (middle // 2))
        keep.append(slice(middle - reach, middle + reach + 1, 2))
    return np.ascontiguousarray(lie.values[tuple(keep)]), 2.0 * lie.step_mm


def _shifted(padded: Field, start: FloatArray, shape: tuple[int, ...]) -> Field:
    """Take ``shape`` samples from a fractional position on."""
    whole = np.floor(start).astype(int)
    # One sample more than asked for on every axis: the interpolation below uses it up.
    block = padded[tuple(slice(s, s + n + 1) for s, n in zip(whole, shape, strict=True))]
    for axis, share in enumerate((start - whole).astype(np.float32)):
        first = np.moveaxis(block, axis, 0)
        mixed = first[:-1] if share == 0 else first[:-1] * (1 - share) + first[1:] * share
        block = np.moveaxis(mixed, 0, axis)
    return block

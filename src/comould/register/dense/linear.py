"""Rigid, similarity and affine maps by matching everywhere and fitting robustly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from comould.register.dense.describe import describe
from comould.register.dense.shared import with_shared
from comould.register.dense.volume import Level, cost_volume, smooth_field
from comould.register.dense.warp import lay, onto
from comould.register.raster import BoolArray, Raster
from comould.space import FloatArray

Kind = Literal["rigid", "similarity", "affine"]

FAR = Level(1, 12, 2, 3, 1.5, 3.0)
NEAR = Level(1, 8, 1, 3, 1.5, 3.0)
CLOSE = Level(1, 6, 1, 3, 1.0, 2.0)
OUTLINE_WEIGHT = 0.2
LEAST_TISSUE = 0.3
"""Nodes with less than this share of the fullest node's tissue do not vote."""

Holes = Sequence[tuple[float, float, float]]
"""Squares left out: corner u, v and side, mm in the plane."""


@dataclass(frozen=True, eq=False)
class Votes:
    """Where points want to go: ``(n, 2)`` to ``(n, 2)``, with weights ``(n,)``."""

    source: FloatArray
    target: FloatArray
    weight: FloatArray

    def __add__(self, other: Votes) -> Votes:
        return Votes(
            np.vstack([self.source, other.source]),
            np.vstack([self.target, other.target]),
            np.concatenate([self.weight, other.weight]),
        )


def match_linear(
    section: Raster,
    plane: Raster,
    start: FloatArray,
    rounds: Sequence[tuple[Level, Kind]],
    *,
    scale_bounds: tuple[float, float] = (0.0, np.inf),
    holes_mm: Holes = (),
    landmarks: Votes | None = None,
    shared_weight: float = 0.0,
) -> FloatArray:
    """Improve a linear map by rounds of matching.

    Parameters
    ----------
    section, plane
        Pictures of normal scores (see :func:`ranked`), at the pixel size that is to be matched at.
    start
        ``(3, 3)``: section mm to plane mm.
    rounds
        What is tried in turn, and what kind of map may change then.
    scale_bounds
        Of the mean scale of a rigid or similarity map, plane mm per slide mm.
    holes_mm
        Squares of the plane whose tissue is not looked at.
    landmarks
        Points in section mm and plane mm that vote along, each as much as a node of tissue times its weight.
    shared_weight
        Of the canonical variates of both sides' channels beside the self-similarity.

    Returns
    -------
    array
        ``(3, 3)``.
    """
    linear = start
    for level, kind in rounds:
        laid = lay(section, plane, linear, 2.0 * plane.spacing_mm)
        votes = _votes(laid, onto(plane, laid), level, holes_mm, shared_weight)
        if landmarks is not None:
            here = landmarks.source @ linear[:2, :2].T + linear[:2, 2]
            votes = votes + Votes(here, landmarks.target, landmarks.weight)
        linear = fit_linear(votes, kind) @ linear
        if kind != "affine":
            linear = _bounded(linear, scale_bounds, section.centroid_mm)
    return linear


def fit_linear(votes: Votes, kind: Kind, rounds: int = 8) -> FloatArray:
    """Fit a map ``(3, 3)`` to votes; those far from what the others say lose their weight (Geman-McClure)."""
    weight = votes.weight
    matrix = np.eye(3)
    for _ in range(max(1, rounds)):
        matrix = _least_squares(votes, weight, kind)
        apart = np.linalg.norm(votes.source @ matrix[:2, :2].T + matrix[:2, 2] - votes.target, axis=1)
        held = np.minimum(apart, 3.0 * np.median(apart))
        usual = np.sqrt(np.average(held**2, weights=votes.weight)) + 1e-6
        weight = votes.weight / (1.0 + (apart / usual) ** 2) ** 2
    return matrix


def _least_squares(votes: Votes, weight: FloatArray, kind: Kind) -> FloatArray:
    middle, goal = (np.average(points, axis=0, weights=weight) for points in (votes.source, votes.target))
    a, b = votes.source - middle, votes.target - goal
    moment = (a * weight[:, None]).T @ a
    cross = (a * weight[:, None]).T @ b
    if kind == "affine":
        part = np.linalg.solve(moment + 1e-9 * np.trace(moment) * np.eye(2), cross).T
    else:
        along, across = cross[0, 0] + cross[1, 1], cross[0, 1] - cross[1, 0]
        size = np.hypot(along, across) if kind == "rigid" else np.trace(moment)
        along, across = along / max(size, 1e-12), across / max(size, 1e-12)
        part = np.array([[along, -across], [across, along]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = part, goal - part @ middle
    return matrix


def _bounded(linear: FloatArray, bounds: tuple[float, float], centre: FloatArray) -> FloatArray:
    scale = float(np.sqrt(abs(np.linalg.det(linear[:2, :2]))))
    factor = float(np.clip(scale, *bounds)) / scale
    if factor == 1.0:
        return linear
    fixed = linear[:2, :2] @ centre + linear[:2, 2]
    result = linear.copy()
    result[:2, :2] *= factor
    result[:2, 2] = fixed - result[:2, :2] @ centre
    return result


def left_out(grid: Raster, holes_mm: Holes) -> BoolArray | None:
    """Mark the pixels ``(h, w)`` of squares that are left out; ``None`` if there are none."""
    if not holes_mm:
        return None
    rows, columns = np.indices(grid.mask.shape)
    u, v = columns * grid.spacing_mm + grid.origin_mm[0], rows * grid.spacing_mm + grid.origin_mm[1]
    out = np.zeros(grid.mask.shape, dtype=bool)
    for left, top, side in holes_mm:
        out |= (u >= left) & (u < left + side) & (v >= top) & (v < top + side)
    return out


def _votes(laid: Raster, plane: Raster, level: Level, holes_mm: Holes, shared_weight: float) -> Votes:
    fixed, moving = describe(laid, left_out(laid, holes_mm)), describe(plane)
    if shared_weight:
        fixed, moving = with_shared(fixed, moving, laid, plane, shared_weight)
    volume = cost_volume(fixed, moving, level, OUTLINE_WEIGHT)
    field = smooth_field(volume, level)
    rows, columns = np.indices(volume.tissue.shape) * level.stride + 0.5 * (level.stride - 1)
    source = np.column_stack([columns.ravel(), rows.ravel()]) * laid.spacing_mm + np.array(laid.origin_mm)
    weight = volume.tissue.ravel().astype(np.float64)
    heard = weight > LEAST_TISSUE * max(float(weight.max()), 1e-9)
    if not heard.any():
        return Votes(laid.points_mm(laid.mask), laid.points_mm(laid.mask), np.ones(int(laid.mask.sum())))
    target = source + field.reshape(2, -1).T * laid.spacing_mm
    return Votes(source[heard], target[heard], weight[heard])

"""Laying one set of outlines on another: rotation, shift and, when asked for, one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from comould.mould import outline
from comould.space import FloatArray

ALL_ROUND = tuple(float(angle) for angle in range(0, 360, 20))
"""Starting angles when nothing is known of the orientation."""

TRUE_SIZE = (1.0, 1.0)
"""Range of scales that allows none but 1."""

_COARSE_POINTS, _FINE_POINTS = 72, 240
_COARSE_ROUNDS, _FINE_ROUNDS = 6, 15
_KEPT = 3
_DENSE_MM = 0.1


@dataclass(frozen=True, eq=False)
class Laid:
    """How one set of outlines lies best on another: ``target = scale · R(angle) · source + shift``.

    Parameters
    ----------
    angle_deg
        From u towards v: clockwise as seen along the normal.
    shift_mm
        ``(2,)``.
    scale
        1 when it was not fitted.
    mean_mm, hd95_mm
        Mean and 95th percentile (the larger of both directions) of the distances between the outlines.
    dice
        Overlap.
    """

    angle_deg: float
    shift_mm: FloatArray
    scale: float
    mean_mm: float
    hd95_mm: float
    dice: float

    def apply(self, outlines: Sequence[FloatArray]) -> list[FloatArray]:
        """Bring source outlines onto the target."""
        turn = self.scale * _rotation(np.radians(self.angle_deg))
        return [line @ turn.T + self.shift_mm for line in outlines]


@dataclass(frozen=True, eq=False)
class Shape:
    """Outlines made ready for comparison: points with normals, few and many, and where the nearest one is."""

    outlines: list[FloatArray]
    few: FloatArray
    many: FloatArray
    dense: FloatArray
    normals: FloatArray
    middle: FloatArray

    @classmethod
    def of(cls, outlines: Sequence[FloatArray]) -> Shape:
        """Sample outlines ``(k, 2)``, mm."""
        lines = list(outlines)
        length = sum(float(np.hypot(*np.diff(line, axis=0).T).sum()) for line in lines)
        dense, normals = _with_normals(lines, min(_DENSE_MM, length / _FINE_POINTS))
        few, many = (outline.along(lines, length / count) for count in (_COARSE_POINTS, _FINE_POINTS))
        return cls(lines, few, many, dense, normals, _centroid(lines))

    @property
    def area_mm2(self) -> float:
        """Area within the outlines."""
        return outline.area_mm2(self.outlines)


def lay(
    source: Shape,
    target: Shape,
    *,
    starts_deg: Sequence[float] = ALL_ROUND,
    scales: tuple[float, float] = TRUE_SIZE,
) -> list[Laid]:
    """Find how the source lies best on the target, from several starting angles.

    Parameters
    ----------
    source, target
        Outlines.
    starts_deg
        Angles to start from; centroids are laid on each other.
    scales
        Smallest and largest scale allowed; one is fitted unless they are equal.

    Returns
    -------
    list of Laid
        The best first; others are local optima at other angles.

    Notes
    -----
    Iterated closest points with the distance taken across the outline (point to line), both ways, each point weighted
    down when it lies farther off than most: a tear or a flap does not turn the slab.
    """
    scale = np.clip(np.sqrt(target.area_mm2 / source.area_mm2), *scales)
    angles = np.radians(np.asarray(starts_deg, dtype=np.float64))
    state = _State(angles, np.full(len(angles), np.log(scale)), np.tile(target.middle, (len(angles), 1)))
    state, cost = _iterate(source, target, state, scales, fine=len(angles) == 1)
    if len(angles) > 1:
        best = _distinct(state, cost)
        state, cost = _iterate(source, target, state.take(best), scales, fine=True)
    order = np.argsort(cost, kind="stable").tolist()
    kept = [n for rank, n in enumerate(order) if rank == 0 or _apart(state, n, order[:rank])]
    return sorted((_laid(source, target, state, n) for n in kept), key=lambda laid: laid.mean_mm)


def held(source: Shape, target: Shape, angle_deg: float, *, scales: tuple[float, float] = TRUE_SIZE) -> Laid:
    """Lay the source on the target at a given angle, centroid on centroid."""
    scale = np.clip(np.sqrt(target.area_mm2 / source.area_mm2), *scales)
    state = _State(np.radians([angle_deg]), np.log([scale]), target.middle[None])
    return _laid(source, target, state, 0)


def closeness(source: Shape, target: Shape, start_deg: float, scales: tuple[float, float] = TRUE_SIZE) -> float:
    """Mean distance (mm) after a short search from one angle: quick and rough, to compare many targets."""
    scale = np.clip(np.sqrt(target.area_mm2 / source.area_mm2), *scales)
    state = _State(np.radians([start_deg]), np.log([scale]), target.middle[None])
    _, cost = _iterate(source, target, state, scales, fine=False)
    return float(cost[0])


@dataclass(frozen=True, eq=False)
class _State:
    """Angles ``(s,)``, logarithms of scale ``(s,)`` and where the source's centroid lands ``(s, 2)``."""

    angle: FloatArray
    log_scale: FloatArray
    landed: FloatArray

    def take(self, which: Sequence[int]) -> _State:
        rows = list(which)
        return _State(self.angle[rows], self.log_scale[rows], self.landed[rows])

    @property
    def matrices(self) -> FloatArray:
        """Scaled rotations ``(s, 2, 2)``."""
        c, s = np.exp(self.log_scale) * np.cos(self.angle), np.exp(self.log_scale) * np.sin(self.angle)
        return np.stack([np.stack([c, -s], axis=-1), np.stack([s, c], axis=-1)], axis=-2)


def _iterate(
    source: Shape, target: Shape, state: _State, scales: tuple[float, float], *, fine: bool
) -> tuple[_State, FloatArray]:
    from scipy.spatial import cKDTree

    low, high = np.log(scales)
    there, here = (source.many, target.many) if fine else (source.few, target.few)
    there = there - source.middle
    target_tree, source_tree = cKDTree(target.dense), cKDTree(source.dense - source.middle)
    cost = np.full(len(state.angle), np.inf)
    for _ in range(_FINE_ROUNDS if fine else _COARSE_ROUNDS):
        matrices = state.matrices
        moved = np.einsum("sij,nj->sni", matrices, there) + state.landed[:, None]
        at = target_tree.query(moved)[1]
        onto = (moved - target.dense[at]), target.normals[at], moved - state.landed[:, None]
        inverse = np.linalg.inv(matrices)
        back = np.einsum("sij,snj->sni", inverse, here - state.landed[:, None])
        at = source_tree.query(back)[1]
        met = np.einsum("sij,snj->sni", matrices, source.dense[at] - source.middle)
        turned = np.einsum("sij,snj->sni", matrices / np.exp(state.log_scale)[:, None, None], source.normals[at])
        from_ = met + state.landed[:, None] - here, turned, met
        offset, normal, arm = (np.concatenate(pair, axis=1) for pair in zip(onto, from_, strict=True))
        residual = np.einsum("sni,sni->sn", offset, normal)
        cost = np.hypot(offset[..., 0], offset[..., 1]).mean(axis=1)
        step = _solve(residual, normal, arm, free=high > low)
        state = _State(
            state.angle + np.clip(step[:, 0], -0.4, 0.4),
            np.clip(state.log_scale + step[:, 3], low, high),
            state.landed + step[:, 1:3],
        )
        if np.abs(step).max() < 3e-4:
            break
    return state, cost


def _solve(residual: FloatArray, normal: FloatArray, arm: FloatArray, *, free: bool) -> FloatArray:
    """Give the weighted least-squares step ``(s, 4)``: angle, shift u, shift v, log scale."""
    typical = 1.5 * np.median(np.abs(residual), axis=1, keepdims=True) + 1e-6
    weight = np.minimum(1.0, typical / np.maximum(np.abs(residual), 1e-9))
    turn = normal[..., 1] * arm[..., 0] - normal[..., 0] * arm[..., 1]
    grow = np.einsum("sni,sni->sn", normal, arm)
    slope = np.stack([turn, normal[..., 0], normal[..., 1], grow if free else np.zeros_like(grow)], axis=-1)
    weighted = slope * weight[..., None]
    square = np.einsum("sni,snj->sij", weighted, slope)
    # A round outline does not say how it is turned: a little damping keeps the step finite, and small there.
    size = np.maximum(np.einsum("sii->si", square).max(axis=1), 1e-9)
    square += (1e-6 * size)[:, None, None] * np.eye(4)
    return -np.linalg.solve(square, np.einsum("sni,sn->si", weighted, residual)[..., None])[..., 0]


def _distinct(state: _State, cost: FloatArray) -> list[int]:
    """Choose the best few states that are not turned alike."""
    kept: list[int] = []
    for n in np.argsort(cost, kind="stable").tolist():
        if not kept or _apart(state, n, kept):
            kept.append(n)
        if len(kept) == _KEPT:
            break
    return kept


def _apart(state: _State, one: int, others: Sequence[int]) -> bool:
    turned = state.angle[list(others)] - state.angle[one]
    return bool((np.abs(np.angle(np.exp(1j * turned))) > np.radians(8.0)).all())


def _laid(source: Shape, target: Shape, state: _State, n: int) -> Laid:
    from scipy.spatial import cKDTree

    matrix = state.matrices[n]
    shift = state.landed[n] - matrix @ source.middle
    moved = source.dense @ matrix.T + shift
    distances = cKDTree(target.dense).query(moved)[0], cKDTree(moved).query(target.dense)[0]
    degrees = float((np.degrees(state.angle[n]) + 180.0) % 360.0 - 180.0)
    return Laid(
        degrees,
        shift,
        float(np.exp(state.log_scale[n])),
        float(np.mean([d.mean() for d in distances])),
        max(float(np.percentile(d, 95)) for d in distances),
        outline.dice([line @ matrix.T + shift for line in source.outlines], target.outlines),
    )


def _with_normals(lines: list[FloatArray], step_mm: float) -> tuple[FloatArray, FloatArray]:
    """Dense points and the unit normals of the smoothed outline there (pixel steps have none)."""
    points, normals = [], []
    for line in lines:
        placed = outline.along([line], step_mm)
        reach = max(1, min(round(0.5 / step_mm), len(placed) // 8))
        ahead = np.roll(placed, -reach, axis=0) - np.roll(placed, reach, axis=0)
        length = np.maximum(np.hypot(*ahead.T), 1e-9)
        points.append(placed)
        normals.append(np.column_stack([ahead[:, 1], -ahead[:, 0]]) / length[:, None])
    return np.concatenate(points), np.concatenate(normals)


def _centroid(lines: list[FloatArray]) -> FloatArray:
    total, moment = 0.0, np.zeros(2)
    for line in lines:
        a, b = line[:-1], line[1:]
        cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
        total += 0.5 * float(cross.sum())
        moment += ((a + b) * cross[:, None]).sum(axis=0) / 6.0
    return np.asarray(moment / total)


def _rotation(angle: float) -> FloatArray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

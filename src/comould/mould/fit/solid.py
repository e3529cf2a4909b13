"""Laying one surface on another: rotation, shift and, when allowed, one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product
from typing import Any

import numpy as np
import numpy.typing as npt

from comould.mould.fit.rigid import TRUE_SIZE
from comould.space import FloatArray

_FEW, _MANY, _DENSE = 120, 800, 20_000
_COARSE_ROUNDS, _FINE_ROUNDS = 10, 20
_KEPT = 4
DISTINCT_DEG = 12.0
"""Two ways of lying that differ by a smaller rotation are one."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A surface ready for comparison: points spread evenly by area, with normals.

    Parameters
    ----------
    vertices, faces
        ``(n, 3)`` mm and ``(m, 3)``.
    points, normals
        ``(p, 3)`` samples in random order: the first few are a coarse sample.
    """

    vertices: FloatArray
    faces: npt.NDArray[np.int64]
    points: FloatArray
    normals: FloatArray

    @classmethod
    def of(cls, vertices: FloatArray, faces: npt.NDArray[np.int64], seed: int = 0) -> Surface:
        """Sample a surface; the same surface gives the same samples."""
        corners = vertices[faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(cross, axis=1)
        chance = np.random.default_rng(np.random.SeedSequence(seed))
        total = np.cumsum(area)
        which = np.minimum(np.searchsorted(total, chance.random(_DENSE) * total[-1]), len(faces) - 1)
        a, b = chance.random((2, _DENSE, 1))
        a, b = np.where(a + b > 1, 1 - a, a), np.where(a + b > 1, 1 - b, b)
        origin, first, second = (corners[which, corner] for corner in range(3))
        points = origin + a * (first - origin) + b * (second - origin)
        return cls(vertices, faces, points, cross[which] / np.maximum(area[which, None], 1e-12))

    @cached_property
    def middle(self) -> FloatArray:
        """Centroid of the surface."""
        return np.asarray(self.points.mean(axis=0))

    @cached_property
    def tree(self) -> Any:
        """Nearest samples."""
        from scipy.spatial import cKDTree

        return cKDTree(self.points - self.middle)

    @cached_property
    def axes(self) -> FloatArray:
        """Principal axes as columns, right-handed."""
        axes = np.linalg.svd(self.points - self.middle, full_matrices=False)[2].T
        axes[:, 2] *= np.sign(np.linalg.det(axes))
        return axes

    def mirrored(self) -> Surface:
        """Its mirror image."""
        flip = np.array([-1.0, 1.0, 1.0])
        return Surface(self.vertices * flip, self.faces[:, ::-1], self.points * flip, self.normals * flip)


@dataclass(frozen=True, eq=False)
class Placed:
    """How one surface lies best on another: ``target = scale · rotation · source + shift``.

    Parameters
    ----------
    rotation
        ``(3, 3)``.
    scale
        1 when none was allowed.
    shift_mm
        ``(3,)``.
    mean_mm, hd95_mm
        Mean and 95th percentile (the larger of both directions compared) of the distances.
    """

    rotation: FloatArray
    scale: float
    shift_mm: FloatArray
    mean_mm: float
    hd95_mm: float

    def apply(self, points: FloatArray) -> FloatArray:
        """Bring source points ``(n, 3)`` to the target."""
        return np.asarray(self.scale * points @ self.rotation.T + self.shift_mm)


def place(
    source: Surface,
    target: Surface,
    starts: FloatArray,
    *,
    scales: tuple[float, float] = TRUE_SIZE,
    both_ways: bool = True,
) -> list[Placed]:
    """Find how the source lies best on the target from several starting rotations ``(s, 3, 3)``.

    Parameters
    ----------
    source, target
        Surfaces.
    starts
        Rotations; centroids are laid on each other.
    scales
        Smallest and largest scale allowed; one is fitted unless they are equal.
    both_ways
        Also ask that the target is covered by the source: not for a scan of a part.

    Returns
    -------
    list of Placed
        The best first; others are local optima with other rotations.

    Notes
    -----
    Iterated closest points, point to plane, each point weighted down when it lies farther off than most.
    """
    scale = np.clip(_spread(target) / _spread(source), *scales) if both_ways else 1.0
    state = _State(starts, np.full(len(starts), np.log(scale)), np.tile(target.middle, (len(starts), 1)))
    search = _Search(source, target, (float(np.log(scales[0])), float(np.log(scales[1]))), both_ways)
    if len(starts) > 1:
        state, cost = search.run(state, _FEW, _COARSE_ROUNDS)
        state = state.take(_distinct(state, cost)[:_KEPT])
    state, cost = search.run(state, _MANY, _FINE_ROUNDS)
    found = [search.placed(state, n) for n in _distinct(state, cost)]
    return sorted(found, key=lambda one: one.mean_mm)


def principal_starts(source: Surface, target: Surface) -> FloatArray:
    """Give the 24 rotations that lay principal axes on principal axes."""
    turns = []
    for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
        turn = np.eye(3)[list(order)] * np.array(signs)
        if np.linalg.det(turn) > 0:
            turns.append(target.axes @ turn @ source.axes.T)
    return np.array(turns)


def upright_starts(count: int = 12) -> FloatArray:
    """Give turns about z, evenly all round."""
    angle = 2.0 * np.pi * np.arange(count) / count
    starts = np.tile(np.eye(3), (count, 1, 1))
    starts[:, 0, 0] = starts[:, 1, 1] = np.cos(angle)
    starts[:, 0, 1], starts[:, 1, 0] = -np.sin(angle), np.sin(angle)
    return starts


def angle_between(one: FloatArray, other: FloatArray) -> float:
    """Angle (degrees) of the rotation from one rotation to another."""
    cosine = 0.5 * (np.trace(one.T @ other) - 1.0)
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


@dataclass(frozen=True, eq=False)
class _State:
    """Rotations ``(s, 3, 3)``, logarithms of scale ``(s,)`` and where the source's centroid lands ``(s, 3)``."""

    rotation: FloatArray
    log_scale: FloatArray
    landed: FloatArray

    def take(self, which: Sequence[int]) -> _State:
        rows = list(which)
        return _State(self.rotation[rows], self.log_scale[rows], self.landed[rows])


@dataclass(frozen=True, eq=False)
class _Search:
    source: Surface
    target: Surface
    log_scales: tuple[float, float]
    both_ways: bool

    def run(self, state: _State, count: int, rounds: int) -> tuple[_State, FloatArray]:
        """Improve every state; returns them with their mean distances."""
        cost = np.full(len(state.rotation), np.inf)
        for _ in range(rounds):
            offset, normal, arm = self._pairs(state, count)
            residual = np.einsum("sni,sni->sn", offset, normal)
            cost = np.abs(residual).mean(axis=1)
            step = _solve(residual, normal, arm, free=self.log_scales[1] > self.log_scales[0])
            turned = np.array([_turn(part) for part in step[:, :3]])
            log_scale = np.clip(state.log_scale + np.clip(step[:, 6], -0.1, 0.1), *self.log_scales)
            state = _State(turned @ state.rotation, log_scale, state.landed + step[:, 3:6])
            if np.abs(step).max() < 2e-4:
                break
        return state, cost

    def _pairs(self, state: _State, count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Offsets from the target, its normals, and arms from the source's centroid: ``(s, n, 3)`` each."""
        scaled = np.exp(state.log_scale)[:, None, None] * state.rotation
        arm = np.einsum("sij,nj->sni", scaled, self.source.points[:count] - self.source.middle)
        moved = arm + state.landed[:, None]
        at = self.target.tree.query(moved - self.target.middle)[1]
        parts = [(moved - self.target.points[at], self.target.normals[at], arm)]
        if self.both_ways:
            here = self.target.points[:count]
            back = np.einsum("sij,snj->sni", np.linalg.inv(scaled), here - state.landed[:, None])
            at = self.source.tree.query(back)[1]
            arm = np.einsum("sij,snj->sni", scaled, self.source.points[at] - self.source.middle)
            normal = np.einsum("sij,snj->sni", state.rotation, self.source.normals[at])
            parts.append((arm + state.landed[:, None] - here, normal, arm))
        offset, normal, arm = (np.concatenate(group, axis=1) for group in zip(*parts, strict=True))
        return offset, normal, arm

    def placed(self, state: _State, n: int) -> Placed:
        """Measure one state on many points."""
        rotation, scale = state.rotation[n], float(np.exp(state.log_scale[n]))
        shift = state.landed[n] - scale * rotation @ self.source.middle
        count = 8 * _MANY
        moved = scale * self.source.points[:count] @ rotation.T + shift
        away = [_distances(moved, self.target)]
        if self.both_ways:
            back = ((self.target.points[:count] - shift) @ rotation) / scale
            away.append(scale * _distances(back, self.source))
        mean = float(np.mean([part.mean() for part in away]))
        return Placed(rotation, scale, shift, mean, max(float(np.percentile(part, 95)) for part in away))


def _distances(points: FloatArray, surface: Surface) -> FloatArray:
    """Distance to a surface: to the planes of the nearest samples, as far as these are flat."""
    local = points - surface.middle
    distance, at = surface.tree.query(local)
    offset = local - (surface.points[at] - surface.middle)
    along = np.abs(np.einsum("ij,ij->i", offset, surface.normals[at]))
    spacing = np.sqrt(_area(surface) / len(surface.points))
    sideways = np.sqrt(np.maximum(distance**2 - along**2, 0.0))
    return np.asarray(np.hypot(along, np.maximum(sideways - 2.0 * spacing, 0.0)))


def _area(surface: Surface) -> float:
    corners = surface.vertices[surface.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return 0.5 * float(np.linalg.norm(cross, axis=1).sum())


def _spread(surface: Surface) -> float:
    """Root mean square distance of the surface from its centroid."""
    return float(np.sqrt(((surface.points - surface.middle) ** 2).sum(axis=1).mean()))


def _solve(residual: FloatArray, normal: FloatArray, arm: FloatArray, *, free: bool) -> FloatArray:
    """Give the weighted least-squares step ``(s, 7)``: rotation vector, shift, log scale."""
    typical = 1.5 * np.median(np.abs(residual), axis=1, keepdims=True) + 1e-6
    weight = np.minimum(1.0, typical / np.maximum(np.abs(residual), 1e-9))
    grow = np.einsum("sni,sni->sn", normal, arm)[..., None]
    slope = np.concatenate([np.cross(arm, normal), normal, grow if free else np.zeros_like(grow)], axis=-1)
    weighted = slope * weight[..., None]
    square = np.matmul(weighted.transpose(0, 2, 1), slope)
    # A round surface does not say how it is turned: damping keeps the step small there.
    square += (1e-6 * np.einsum("sii->si", square).max(axis=1))[:, None, None] * np.eye(7) + 1e-12 * np.eye(7)
    step = -np.linalg.solve(square, np.matmul(weighted.transpose(0, 2, 1), residual[..., None]))[..., 0]
    length = np.linalg.norm(step[:, :3], axis=1, keepdims=True)
    step[:, :3] *= np.minimum(1.0, 0.4 / np.maximum(length, 1e-12))
    return np.asarray(step)


def _turn(vector: FloatArray) -> FloatArray:
    """Rotation matrix of a rotation vector (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross)


def _distinct(state: _State, cost: FloatArray) -> list[int]:
    """Order states by distance, without those turned like a better one."""
    kept: list[int] = []
    for n in np.argsort(cost, kind="stable").tolist():
        if all(angle_between(state.rotation[n], state.rotation[m]) > DISTINCT_DEG for m in kept):
            kept.append(n)
    return kept

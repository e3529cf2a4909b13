"""Sections that tore or lost a part: what each piece holds of the tissue, and where it came to lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comould.errors import InputError
from comould.phantom.cut_options import CutOptions
from comould.phantom.shape import rotation
from comould.space import FloatArray, Frame, Transform

APART_MM = 1.0
"""Least glass between two torn-off parts."""

TRIES = 40


@dataclass(frozen=True, eq=False)
class Edge:
    """A ragged line across the flat section.

    Parameters
    ----------
    origin_mm
        ``(2,)``.
    normal
        ``(2,)`` unit vector to the part that came off.
    waves
        ``(m, 3)`` amplitude in mm, wave number in rad/mm, phase.
    """

    origin_mm: FloatArray
    normal: FloatArray
    waves: FloatArray

    def beyond_mm(self, flat: FloatArray) -> FloatArray:
        """How far points ``(n, 2)`` lie beyond the line, measured along its normal."""
        offset = flat - self.origin_mm
        along = offset @ np.array([-self.normal[1], self.normal[0]])
        amplitude, number, phase = self.waves.T
        return np.asarray(offset @ self.normal - np.sin(np.outer(along, number) + phase) @ amplitude)


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of a section: on one side of some edges, moved rigidly on the slide.

    Parameters
    ----------
    edges
        Pairs of an edge and +1 for beyond it, −1 for this side of it.
    box_mm
        ``(2, 2)`` bounds of the whole flat tissue; without edges there is no need of them.
    moved
        ``(4, 4)``: where the flat tissue was, to where it lies.
    """

    edges: tuple[tuple[Edge, float], ...] = ()
    box_mm: FloatArray | None = None
    moved: FloatArray | None = None

    def depth_mm(self, flat: FloatArray) -> FloatArray:
        """How deep points ``(n, 2)`` of the flat tissue (before it moved) lie in the part; negative outside."""
        depth = np.full(len(flat), np.inf)
        for edge, side in self.edges:
            depth = np.minimum(depth, side * edge.beyond_mm(flat))
        if self.box_mm is not None:
            for bound, sign in zip(self.box_mm, (1.0, -1.0), strict=True):
                depth = np.minimum(depth, (sign * (flat - bound)).min(axis=1))
        return depth

    def settle(self, flat: FloatArray) -> FloatArray:
        """Move points ``(n, 2)`` of the flat tissue to where they lie on the slide."""
        return flat if self.moved is None else flat @ self.moved[:2, :2].T + self.moved[:2, 3]

    @property
    def unmoved(self) -> Transform | None:
        """From where the tissue lies to where it was; ``None`` when it did not move."""
        if self.moved is None:
            return None
        return Transform.from_matrix(Frame.PLANE, Frame.PLANE, np.linalg.inv(self.moved))


@dataclass(frozen=True, eq=False)
class Wedge:
    """A sector of the cut that was lost.

    Parameters
    ----------
    apex_mm
        ``(2,)`` u, v of its tip.
    middle_rad, half_rad
        Direction of its middle, and half its opening.
    """

    apex_mm: FloatArray
    middle_rad: float
    half_rad: float

    def depth_mm(self, uv: FloatArray) -> FloatArray:
        """How far points ``(n, 2)`` lie from it, along the arc; negative in the lost sector."""
        offset = uv - self.apex_mm
        return np.asarray((_off(offset, self.middle_rad) - self.half_rad) * np.hypot(*offset.T))


def lose(tissue_uv: FloatArray, options: CutOptions, rng: np.random.Generator) -> Wedge | None:
    """Draw the wedge that holds the asked share of the tissue."""
    middle = float(rng.uniform(-np.pi, np.pi))
    centre = tissue_uv.mean(axis=0)
    apex = centre + rng.uniform(0.0, 0.4) * (tissue_uv[rng.integers(len(tissue_uv))] - centre)
    if options.missing == 0.0:
        return None
    return Wedge(apex, middle, float(np.quantile(_off(tissue_uv - apex, middle), options.missing)))


def _off(offset: FloatArray, middle_rad: float) -> FloatArray:
    angle = np.arctan2(offset[:, 1], offset[:, 0]) - middle_rad
    return np.abs((angle + np.pi) % (2.0 * np.pi) - np.pi)


def tear(flat: FloatArray, options: CutOptions, rng: np.random.Generator) -> tuple[Part, ...]:
    """Tear the flat tissue, given as points ``(n, 2)``; the first part is the one that stayed.

    Raises
    ------
    InputError
        If no way is found to lay that many parts side by side.
    """
    # The half first: torn-off parts find room around what is left, a half does not find it around them.
    wanted = [options.piece_gap_mm] * (options.pieces - 1) + [options.tear_mm] * options.tears
    tearing, parting = rng.spawn(2)
    box = np.array([flat.min(axis=0) - APART_MM, flat.max(axis=0) + APART_MM])
    edges: list[Edge] = []
    parts: list[Part] = []
    settled: list[FloatArray] = []
    stayed = flat
    for number, gap in enumerate(wanted):
        piece = number < options.pieces - 1
        chance, shares, turn_deg = (parting, (0.3, 0.45), 20.0) if piece else (tearing, (0.06, 0.22), 4.0)
        for _ in range(TRIES):
            edge = _edge(stayed, chance.uniform(*shares), chance)
            turn = float(chance.uniform(-turn_deg, turn_deg))
            came_off = edge.beyond_mm(stayed) > 0.0
            if came_off.all() or not came_off.any():
                continue
            moved = _motion(stayed[came_off], stayed[~came_off], edge.normal, turn, gap)
            part = Part(((edge, 1.0), *((other, -1.0) for other in edges)), box, moved)
            here = part.settle(stayed[came_off])
            if all(_gap_mm(here, other) > APART_MM for other in settled):
                break
        else:
            raise InputError(
                subject=f"tears {options.tears}, pieces {options.pieces}",
                expected="parts that can lie side by side",
                found=f"none in {TRIES} draws",
                remedy="Ask for fewer tears or a smaller tear_mm",
            )
        edges.append(edge)
        parts.append(part)
        settled.append(here)
        stayed = stayed[~came_off]
    return (Part(tuple((edge, -1.0) for edge in edges), box if edges else None), *parts)


def _edge(points: FloatArray, share: float, rng: np.random.Generator) -> Edge:
    """Draw a line with the given share of the points beyond it, but for its raggedness."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    normal = np.array([np.cos(angle), np.sin(angle)])
    height = float(np.quantile(points @ normal, 1.0 - share))
    lengths_mm = rng.uniform((8.0, 3.0, 1.0), (16.0, 5.0, 2.0))
    waves = np.column_stack([(0.5, 0.2, 0.07), 2.0 * np.pi / lengths_mm, rng.uniform(0.0, 2.0 * np.pi, 3)])
    return Edge(height * normal, normal, waves)


def _motion(part: FloatArray, rest: FloatArray, normal: FloatArray, turn_deg: float, gap_mm: float) -> FloatArray:
    """Turn a part about its middle and push it off until a strip of glass as wide as the gap lies between."""
    centre = part.mean(axis=0)
    turn = rotation(np.array([0.0, 0.0, turn_deg]))[:2, :2]
    turned = (part - centre) @ turn.T + centre
    push = gap_mm + float((rest @ normal).max() - (turned @ normal).min())
    matrix = np.eye(4)
    matrix[:2, :2] = turn
    matrix[:2, 3] = centre - turn @ centre + max(push, 0.0) * normal
    return matrix


def _gap_mm(one: FloatArray, other: FloatArray) -> float:
    from scipy import spatial

    return float(spatial.cKDTree(one).query(other)[0].min())

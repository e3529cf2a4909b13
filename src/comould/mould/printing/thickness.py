"""Walls measured on the mesh: how thick, where, and how thick the ribs between slots are.

A wall is a stretch of material between two facets that face away from each other. Rays along the three axes find
every one (a wall in any direction meets some axis at less than 55°); the length along the ray times the cosine to the
normal midway between both facets is its thickness. An edge is thin as well, however thick the part: a stretch only
counts as a wall of the thickness that its surroundings have too, so the tip of a wedge, a chamfer or the rim of an
engraved letter is not one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.mould.printing.columns import Columns, IntArray, cast
from comould.space import FloatArray

STEP_MM = 1.0
"""Distance between rays."""

EDGE_MM = 3.0
"""What stands out less than this from thicker material is an edge, not a wall."""

FACING_COS = float(np.cos(np.deg2rad(15.0)))
"""Two facets bound a wall when they face away from each other within this angle; beyond it they form a wedge."""

RIB_STEP_MM = 0.5
"""Slots are further apart than this."""

SEEN_COS = 0.5
"""A wall is measured along the axes within 60° of its normal."""

RIB_GAP_MM = 6.0
"""A gap wider than this between two plane faces is no knife slot."""

_SAMPLE = 6000


@dataclass(frozen=True)
class Walls:
    """Thickness of a mesh's walls.

    Parameters
    ----------
    minimum_mm
        Thinnest wall; ``None`` when there is no wall at all.
    percentile_1_mm
        A hundredth of all wall area is thinner than this.
    place_mm
        Middle of the thinnest wall, x, y, z.
    limit_mm
        Least wall the printer makes.
    thin_area_cm2
        Wall area (one side) below the limit.
    rib_mm
        Thinnest rib between two slots, along x (or y, whichever has more); ``None`` without slots.
    slots
        Slots seen along that axis.
    """

    minimum_mm: float | None
    percentile_1_mm: float | None
    place_mm: tuple[float, float, float] | None
    limit_mm: float
    thin_area_cm2: float
    rib_mm: float | None
    slots: int


@dataclass(frozen=True, eq=False)
class _Stretches:
    """Candidate walls of one direction."""

    columns: Columns
    run: IntArray
    thick: FloatArray
    middle: FloatArray
    area: FloatArray

    def lasting(self, pick: npt.NDArray[np.bool_] | IntArray) -> FloatArray:
        """Thickness of picked stretches, or of what they stand out of within the reach of an edge."""
        columns, run = self.columns, self.run[pick]
        reach = max(EDGE_MM, columns.step_mm) / columns.step_mm
        shares = self.middle[pick]
        slope = -shares[:, list(columns.others)] / shares[:, [columns.axis]]
        along = np.abs(shares[:, columns.axis])
        depth = 0.5 * (columns.enter[run] + columns.leave[run])
        first, second = np.divmod(columns.column[run], columns.shape[1])
        lasting = self.thick[pick].copy()
        for turn in range(8):
            angle = np.deg2rad(45.0 * turn)
            du, dv = int(np.rint(reach * np.cos(angle))), int(np.rint(reach * np.sin(angle)))
            i, j = first + du, second + dv
            known = (i >= 0) & (i < columns.shape[0]) & (j >= 0) & (j < columns.shape[1])
            there = depth + columns.step_mm * (du * slope[:, 0] + dv * slope[:, 1])
            near = columns.run_at(np.where(known, i * columns.shape[1] + j, -1), there)
            beside = np.where(near >= 0, (columns.leave[near] - columns.enter[near]) * along, 0.0)
            np.maximum(lasting, beside, out=lasting)
        return lasting


def walls(
    triangles: FloatArray, limit_mm: float, *, step_mm: float = STEP_MM, columns: Sequence[Columns] = ()
) -> Walls:
    """Measure the walls of a closed mesh.

    Parameters
    ----------
    triangles
        ``(m, 3, 3)``, mm, outward.
    limit_mm
        Least wall the printer makes.
    step_mm
        Distance between rays: a wall that is narrower than twice this in both directions can be missed.
    columns
        Rays already cast; the other directions are cast here.

    Returns
    -------
    Walls
        Exact for plates in any direction and close for curved walls; see the module's text for edges.
    """
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    known = {part.axis: part for part in columns}
    cast_all = [known.get(axis) or cast(triangles, axis, step_mm) for axis in range(3)]
    found = [_stretches(part, normal) for part in cast_all]
    thin_area = 0.0
    best, place = np.inf, np.full(3, np.nan)
    values, weights = [], []
    for part in found:
        value, at, area = _thinnest(part, limit_mm)
        thin_area += area
        if value < best:
            best, place = value, at
        every = np.arange(0, len(part.run), max(1, len(part.run) // _SAMPLE))
        values.append(part.lasting(every))
        weights.append(part.area[every] * (len(part.run) / max(len(every), 1)))
    rib, slots = _ribs(found[:2], normal)
    some = bool(np.isfinite(best))
    return Walls(
        best if some else None,
        _percentile(np.concatenate(values), np.concatenate(weights), 0.01) if some else None,
        (float(place[0]), float(place[1]), float(place[2])) if some else None,
        limit_mm,
        thin_area / 100.0,
        rib,
        slots,
    )


def _stretches(columns: Columns, normal: FloatArray) -> _Stretches:
    entering, leaving = normal[columns.enter_facet], normal[columns.leave_facet]
    middle = leaving - entering
    middle /= np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-30)
    cosine = middle[:, columns.axis]
    length = columns.leave - columns.enter
    facing = -np.einsum("ij,ij->i", entering, leaving) >= FACING_COS
    wall = np.flatnonzero(facing & (cosine >= SEEN_COS) & (length > 1e-4))
    # Each axis sees step² / cos of a wall; shared out by cos² among the axes that see it, they count it once.
    seen = np.where(np.abs(middle[wall]) >= SEEN_COS, middle[wall] ** 2, 0.0).sum(axis=1)
    area = columns.step_mm**2 * cosine[wall] / np.maximum(seen, 1e-9)
    return _Stretches(columns, wall, length[wall] * cosine[wall], middle[wall], area)


def _thinnest(part: _Stretches, limit_mm: float) -> tuple[float, FloatArray, float]:
    """Thinnest wall of one direction, its place, and the area below the limit."""
    if not len(part.run):
        return np.inf, np.full(3, np.nan), 0.0
    order = np.argsort(part.thick, kind="stable")
    best, where, thin_area, done = np.inf, int(order[0]), 0.0, 0
    while done < len(order):
        thickness = part.thick[order[done:]]
        if thickness[0] >= max(best, limit_mm):
            break
        block = order[done : done + max(_SAMPLE, int(np.searchsorted(thickness, limit_mm)))]
        lasting = part.lasting(block)
        thin_area += float(part.area[block][lasting < limit_mm].sum())
        if lasting.min() < best:
            best, where = float(lasting.min()), int(block[np.argmin(lasting)])
        done += len(block)
    run = part.run[[where]]
    depth = 0.5 * (part.columns.enter[run] + part.columns.leave[run])
    return best, part.columns.points(run, depth)[0], thin_area


def _ribs(found: list[_Stretches], normal: FloatArray) -> tuple[float | None, int]:
    """Thinnest rib and number of slots along the axis that has more of them."""
    best: tuple[float | None, int] = (None, 0)
    for part in found:
        columns = part.columns
        plane = np.abs(normal[:, columns.axis]) > 0.999
        run = part.run
        inner = run[(run > 0) & (run < len(columns.column) - 1)]
        gap_before = columns.enter[inner] - columns.leave[inner - 1]
        gap_after = columns.enter[inner + 1] - columns.leave[inner]
        rib = (columns.column[inner - 1] == columns.column[inner]) & (
            columns.column[inner + 1] == columns.column[inner]
        )
        rib &= (gap_before <= RIB_GAP_MM) & (gap_after <= RIB_GAP_MM)
        rib &= plane[columns.leave_facet[inner - 1]] & plane[columns.enter_facet[inner]]
        rib &= plane[columns.leave_facet[inner]] & plane[columns.enter_facet[inner + 1]]
        ribs = np.isin(run, inner[rib])
        if not ribs.any():
            continue
        lasting = part.lasting(ribs)
        # A gap that is narrow for the length of an edge only, such as engraved text, is no slot.
        real = lasting <= part.thick[ribs] + 1e-3
        slots = _distinct(columns, run[ribs][real])
        if slots > best[1]:
            best = (float(lasting[real].min()), slots)
    return best


def _distinct(columns: Columns, ribs: IntArray) -> int:
    """Count the gaps beside ribs that lie at different places along the axis."""
    if not len(ribs):
        return 0
    middles = [
        0.5 * (columns.leave[ribs - 1] + columns.enter[ribs]),
        0.5 * (columns.leave[ribs] + columns.enter[ribs + 1]),
    ]
    return 1 + int((np.diff(np.sort(np.concatenate(middles))) > 0.5 * RIB_STEP_MM).sum())


def _percentile(values: FloatArray, weights: FloatArray, share: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, share * total[-1])])

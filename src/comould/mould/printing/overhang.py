"""Overhangs: what a printer would have to build on air, printing from z low to z high.

Sloping undersides up to 45° carry themselves. A flat ceiling is a bridge when strands can be drawn over it between two
supports: per point the shortest such strand in four directions counts. A ceiling with support on one side only juts
out; like the arches of engraved letters it holds by itself for a little way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.mould.printing.columns import Columns
from comould.space import FloatArray

BoolArray = npt.NDArray[np.bool_]

BRIDGE_MM = 10.0
"""Widest bridge that prints without support."""

STEEPEST_DEG = 45.0
"""An underside leaning out further than this from the vertical is an overhang."""

ROUNDING_DEG = 0.5
"""A slope drawn at the limit is not beyond it."""

GRACE_DEG = 5.0
"""A slope that leans out this little further still prints: it counts as area, but asks for no support."""

JUT_MM = 1.5
"""An underside that juts out no further than this from a wall holds by itself."""

SUPPORT_CM2 = 0.25
"""Overhang beyond what bridges and juts allow that calls for support."""

_BED_MM = 0.05
_FLAT = 0.999
_LEVEL_MM = 0.25


@dataclass(frozen=True)
class Overhang:
    """Overhangs of a part printed along +z.

    Parameters
    ----------
    steepest_deg
        Lean from the vertical beyond which an underside counts; ``None`` where powder carries everything.
    area_cm2
        Undersides that lean further, without the face on the bed.
    bridge_mm
        Widest flat ceiling that strands can bridge; 0 without any.
    jutting_cm2
        Flat ceilings that jut out further than they hold.
    sloping_cm2
        Other undersides, leaning at least 5° too far, that jut out further than they hold.
    support
        Whether it should be printed with support.
    """

    steepest_deg: float | None
    area_cm2: float
    bridge_mm: float
    jutting_cm2: float
    sloping_cm2: float
    support: bool


def overhang(
    triangles: FloatArray,
    columns: Columns,
    *,
    steepest_deg: float | None = STEEPEST_DEG,
    bridge_mm: float | None = BRIDGE_MM,
) -> Overhang:
    """Measure overhangs.

    Parameters
    ----------
    triangles
        ``(m, 3, 3)``, mm, outward, z up.
    columns
        Rays along z through them.
    steepest_deg
        Lean the printer makes without support, from the vertical; ``None``: any.
    bridge_mm
        Widest bridge it makes; ``None``: any.

    Returns
    -------
    Overhang
        Areas of facets are exact; spans are good to the distance between rays.
    """
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    double = np.linalg.norm(normal, axis=1)
    down = -normal[:, 2] / np.maximum(double, 1e-30)
    bed = float(triangles[:, :, 2].min())
    off_bed = triangles[:, :, 2].max(axis=1) > bed + _BED_MM
    lean = STEEPEST_DEG if steepest_deg is None else steepest_deg
    steep = (down > np.sin(np.deg2rad(lean + ROUNDING_DEG))) & off_bed
    hanging = (down > np.sin(np.deg2rad(min(lean + GRACE_DEG, 89.0)))) & off_bed
    flat = (down > _FLAT) & off_bed
    area = float(double[steep].sum()) / 200.0
    span, jutting = _ceilings(columns, flat)
    sloping = _sloping(columns, hanging & ~flat, steep, down)
    wide = bridge_mm is not None and span > bridge_mm + columns.step_mm
    support = steepest_deg is not None and (wide or jutting + sloping >= SUPPORT_CM2)
    return Overhang(steepest_deg, area, span, jutting, sloping, bool(support))


def _sloping(columns: Columns, slope: BoolArray, steep: BoolArray, down: FloatArray) -> float:
    """Area (cm²) of sloping undersides further from the nearest upright wall than they hold."""
    run = np.flatnonzero(slope[columns.enter_facet])
    first, second = np.divmod(columns.column[run], columns.shape[1])
    depth = columns.enter[run] - 1e-3
    holds = np.zeros(len(run), dtype=bool)
    reach = int(np.ceil(JUT_MM / columns.step_mm))
    for di, dj in ((1, 0), (0, 1), (-1, 0), (0, -1)):
        for count in range(1, reach + 1):
            i, j = first + di * count, second + dj * count
            known = (i >= 0) & (i < columns.shape[0]) & (j >= 0) & (j < columns.shape[1])
            near = columns.run_at(np.where(known, i * columns.shape[1] + j, -1), depth)
            # Material beside it that does not belong to the same slope: a wall, from below.
            wall = (near >= 0) & (~steep[columns.enter_facet[near]] | (columns.enter[near] < depth - 2 * JUT_MM))
            holds |= wall
    # A ray sees the slope's shadow: its area is larger by the slope.
    return float((columns.step_mm**2 / down[columns.enter_facet[run[~holds]]]).sum()) / 100.0


def _ceilings(columns: Columns, flat: BoolArray) -> tuple[float, float]:
    """Widest bridge (mm) over all flat ceilings, and the area (cm²) that juts out too far."""
    run = np.flatnonzero(flat[columns.enter_facet])
    if not len(run):
        return 0.0, 0.0
    level = np.round(columns.enter[run] / _LEVEL_MM).astype(np.intp)
    widest, jutting = 0.0, 0
    for value in np.unique(level):
        here = run[level == value]
        span, juts = _one_level(columns, here, float(np.median(columns.enter[here])))
        widest, jutting = max(widest, span), jutting + juts
    return widest, jutting * columns.step_mm**2 / 100.0


def _one_level(columns: Columns, here: npt.NDArray[np.intp], height: float) -> tuple[float, int]:
    rows, cols = columns.shape
    ceiling = np.zeros(rows * cols, dtype=bool)
    ceiling[columns.column[here]] = True
    under = height - _LEVEL_MM
    held = np.zeros(rows * cols, dtype=bool)
    held[columns.column[(columns.enter <= under) & (columns.leave >= under)]] = True
    ceiling &= ~held
    shape = (rows, cols)
    box = _box(ceiling.reshape(shape))
    part, support = ceiling.reshape(shape)[box], held.reshape(shape)[box]
    shortest = np.full(part.shape, np.inf)
    nearest = np.full(part.shape, np.inf)
    for di, dj in ((1, 0), (0, 1), (1, 1), (1, -1)):
        length = float(np.hypot(di, dj)) * columns.step_mm
        ahead, behind = _reach(part, support, di, dj), _reach(part, support, -di, -dj)
        # n cells of ceiling between two supports are n steps wide.
        shortest = np.minimum(shortest, (ahead + behind - 1.0) * length)
        nearest = np.minimum(nearest, np.minimum(ahead, behind) * length)
    bridged = part & np.isfinite(shortest)
    juts = part & ~bridged & (nearest > JUT_MM + 0.5 * columns.step_mm)
    # A bridge wider than allowed still holds as far as a jut does.
    return float(shortest[bridged].max(initial=0.0)), int(juts.sum())


def _box(mask: BoolArray) -> tuple[slice, slice]:
    """Bounds of a mask, one cell wider where there is room."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(max(int(rows[0]) - 1, 0), int(rows[-1]) + 2), slice(max(int(cols[0]) - 1, 0), int(cols[-1]) + 2)


def _reach(part: BoolArray, support: BoolArray, di: int, dj: int) -> FloatArray:
    """Count steps from each ceiling cell to the first support in a direction; infinite where air comes first."""
    steps = np.full(part.shape, np.inf)
    alive = part.copy()
    for count in range(1, max(part.shape) + 1):
        if not alive.any():
            break
        arrived = alive & _shifted(support, di * count, dj * count)
        steps[arrived] = count
        alive &= _shifted(part, di * count, dj * count)
    return steps


def _shifted(mask: BoolArray, di: int, dj: int) -> BoolArray:
    """Value of the cell (di, dj) away; false beyond the border."""
    out = np.zeros_like(mask)
    rows, cols = mask.shape
    target = (slice(max(-di, 0), min(rows - di, rows)), slice(max(-dj, 0), min(cols - dj, cols)))
    source = (slice(max(di, 0), min(rows + di, rows)), slice(max(dj, 0), min(cols + dj, cols)))
    if abs(di) < rows and abs(dj) < cols:
        out[target] = mask[source]
    return out

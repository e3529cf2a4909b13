"""Does the specimen go in and out, and how much room has it: both as heights over a lattice of columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from comould.mould import _cast
from comould.mould.design.layout import Layout
from comould.mould.lesion import BoolArray
from comould.mould.parameters import Parameters
from comould.mould.surface import bounds
from comould.mould.verify import Check, Meant
from comould.space import FloatArray

LIFT_TOLERANCE_MM = 0.05
GAP_TOLERANCE_MM = 0.2
MAX_TOO_WIDE = 0.02


@dataclass(frozen=True, eq=False)
class Sides:
    """What lies below the specimen and what is put on from above: triangles ``(m, 3, 3)``, mould frame.

    Parameters
    ----------
    below
        Of the bodies the specimen is lifted out of upwards.
    above
        Of the bodies that are lifted off it upwards; may be empty.
    specimen
        Of the specimen.
    """

    below: FloatArray
    above: FloatArray
    specimen: FloatArray

    def views(self) -> list[tuple[FloatArray, FloatArray]]:
        """Mould and specimen as seen down the opening: as they lie, and turned over when something is put on."""
        over = np.array([1.0, 1.0, -1.0])
        pairs = [(self.below, self.specimen), (self.above * over, self.specimen * over)]
        return [(mould, specimen) for mould, specimen in pairs if len(mould)]


def lift_check(sides: Sides, pitch_mm: float = 0.6) -> Check:
    """Look along the opening, column by column: nothing of the mould is in the way."""
    gap = min(_least_gap(mould, specimen, pitch_mm) for mould, specimen in sides.views())
    return Check("specimen lifts straight out", gap >= -LIFT_TOLERANCE_MM, gap, "no mould in its way in any column")


def _least_gap(mould: FloatArray, specimen: FloatArray, pitch_mm: float) -> float:
    """Least height between the mould's top and the specimen's underside over all columns that have both.

    Where walls are upright and there is no clearance, wall and specimen share a column: it only counts as obstructed if
    it is so, too, with the mould moved sideways by the tolerance, in each of four directions.
    """
    gaps = np.full(1, -np.inf)
    for shift in ((0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
        highest, lowest, _ = _columns(mould + LIFT_TOLERANCE_MM * np.array([*shift, 0.0]), specimen, pitch_mm, 0.0)
        apart = np.full(lowest.shape, np.inf)
        under = np.isfinite(lowest) & np.isfinite(highest)
        apart[under] = (lowest - highest)[under]
        gaps = np.maximum(gaps, apart)
        if gaps.min() >= -LIFT_TOLERANCE_MM:
            break
    return float(gaps.min())


def clearance_check(sides: Sides, meant: Meant, layout: Layout, size: Parameters, pitch_mm: float = 0.4) -> Check:
    """Compare the cavity with the specimen grown by the clearance: both as heights over a lattice of columns.

    The specimen's underside is grown by a ball, which shares nothing with the distance field the cavity was made from.
    Columns in slots, windows and other openings made on purpose do not count.
    """
    apart, wrong, total = [], 0, 0
    for side, (mould, specimen) in enumerate(sides.views()):
        flip = np.array([1.0, 1.0, -1.0]) if side else np.ones(3)
        reach = size.clearance_mm + 3 * pitch_mm
        found, lowest, at = _columns(mould, specimen, pitch_mm, reach)
        expected = _grown(lowest, size.clearance_mm / pitch_mm, pitch_mm)
        if meant.parting_z is not None:
            expected = np.where(expected < meant.parting_z * flip[2], expected, np.inf)
        free = _opened(at, meant.taken * flip, expected, layout, size)
        steep = np.hypot(*np.gradient(np.where(np.isfinite(expected), expected, np.nan), pitch_mm))
        both = np.isfinite(expected) & np.isfinite(found) & np.isfinite(steep) & ~free
        apart.append((np.abs(found - expected) / np.sqrt(1.0 + steep**2))[both])
        # A step at the silhouette is a column wide; farther from it wall and cavity must be where they should be.
        wanted = np.isfinite(expected)
        near = ndi.binary_dilation(np.isfinite(lowest), iterations=int(reach / pitch_mm))
        outside = near & ~ndi.binary_dilation(wanted, iterations=2) & ~free
        top = layout.lowest_top if meant.parting_z is None else meant.parting_z * float(flip[2])
        wrong += int((outside & (found < top - size.engrave_mm - 0.1)).sum())
        total += int(np.isfinite(expected).sum())
    far = float(np.percentile(np.concatenate(apart), 95)) if total else np.inf
    share = wrong / max(total, 1)
    limit = max(GAP_TOLERANCE_MM, 0.5 * size.clearance_mm)
    return Check(
        "clearance as asked",
        far <= limit and share <= MAX_TOO_WIDE,
        {"p95_mm": far, "too_wide_share": share},
        f"95 % of the cavity within {limit:g} mm, too wide over at most {MAX_TOO_WIDE:.0%} of the columns",
    )


def _grown(lowest: FloatArray, radius: float, pitch_mm: float) -> FloatArray:
    """Lower a height map by a ball of ``radius`` columns: what a body grown by it reaches down to."""
    reach = int(np.ceil(radius))
    if radius <= 0:
        return lowest
    offset = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    ball = np.where(offset <= radius, -np.sqrt(np.maximum(radius**2 - offset**2, 0.0)), np.inf) * pitch_mm
    grown = np.full_like(lowest, np.inf)
    padded = np.pad(lowest, reach, constant_values=np.inf)
    for (i, j), drop in np.ndenumerate(ball):
        if np.isfinite(drop):
            np.minimum(grown, padded[i : i + lowest.shape[0], j : j + lowest.shape[1]] + drop, out=grown)
    return grown


def _opened(
    at: tuple[FloatArray, FloatArray], taken: FloatArray, expected: FloatArray, layout: Layout, size: Parameters
) -> BoolArray:
    """Tell the columns in or beside a slot, or where something else was taken out above the cavity's floor."""
    x, y = at
    in_slot = np.abs(x[:, None] - layout.slots_x).min(axis=1) < 0.5 * size.slot_mm + 0.3
    free = np.repeat(in_slot[:, None], len(y), axis=1)
    if len(taken):
        pitch = x[1] - x[0]
        columns = (taken - np.array([x[0], y[0], 0.0])) / np.array([pitch, pitch, 1.0])
        i, j, z, _ = _cast.hits(columns, (len(x), len(y)))
        above = z > np.where(np.isfinite(expected), expected, -np.inf)[i, j] - 0.5
        free[i[above], j[above]] = True
        free |= ndi.binary_dilation(free, iterations=1)
    return free


def _columns(
    mould: FloatArray, specimen: FloatArray, pitch_mm: float, margin_mm: float
) -> tuple[FloatArray, FloatArray, tuple[FloatArray, FloatArray]]:
    """Highest mould and lowest specimen over a lattice ``(x, y)`` round the specimen, and the lattice."""
    low, high = bounds(specimen.reshape(-1, 3))
    low = low - margin_mm
    shape = tuple(int(n) for n in np.ceil((high - low + margin_mm)[:2] / pitch_mm) + 1)
    scale = np.array([1 / pitch_mm, 1 / pitch_mm, 1.0])
    origin = np.array([low[0], low[1], 0.0])
    highest = np.full(shape, -np.inf)
    lowest = np.full(shape, np.inf)
    x, y, z, _ = _cast.hits((mould - origin) * scale, (shape[0], shape[1]))
    np.maximum.at(highest, (x, y), z)
    x, y, z, _ = _cast.hits((specimen - origin) * scale, (shape[0], shape[1]))
    np.minimum.at(lowest, (x, y), z)
    return highest, lowest, (low[0] + pitch_mm * np.arange(shape[0]), low[1] + pitch_mm * np.arange(shape[1]))

"""How far two outlines lie apart, all round and on the worst side."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from comould.register.maps import PlanarMap
from comould.register.raster import BoolArray, Raster
from comould.space import FloatArray

SECTORS = 12


def border_points_mm(raster: Raster) -> FloatArray:
    """Positions ``(n, 2)`` of the mask's outermost pixels."""
    padded = np.pad(raster.mask, 1)
    border: BoolArray = np.asarray((padded & ~ndimage.binary_erosion(padded))[1:-1, 1:-1])
    return raster.points_mm(border)


def sector_gap_mm(section: Raster, plane: Raster, planar: PlanarMap) -> float:
    """Mean gap between the outlines, both ways, in the worst of twelve sectors around the target's centre, mm.

    A whole-outline measure hides a side that does not fit; this one shows it.
    """
    mine, theirs = planar.apply(border_points_mm(section)), border_points_mm(plane)
    worst = 0.0
    for points, others in ((mine, theirs), (theirs, mine)):
        gap = cKDTree(others).query(points)[0]
        around = points - plane.centroid_mm
        turn = np.arctan2(around[:, 1], around[:, 0])
        sector = np.floor((turn + np.pi) / (2 * np.pi) * SECTORS).astype(np.intp) % SECTORS
        counts = np.bincount(sector, minlength=SECTORS)
        means = np.bincount(sector, gap, SECTORS) / np.maximum(counts, 1)
        worst = max(worst, float(means[counts >= 3].max(initial=0.0)))
    return worst

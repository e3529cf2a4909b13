"""A section's tissue as its registration lays it into a view: outline, lattice, linear part, deviations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from comould.io.section import Section
from comould.pl.view import View
from comould.space import FloatArray, Transform

BoolArray = npt.NDArray[np.bool_]

CELLS = 64
"""Cells of the lattice along the longer side of the tissue's box."""
OUTLINE_POINTS = 600
"""Points of one outline, at most."""
SMALLEST_PIECE = 0.002
"""Outlines that enclose less than this share of the picture are not drawn."""


def outlines(section: Section, tissue: BoolArray, patient_from_section_px: Transform, view: View) -> list[FloatArray]:
    """Map the outlines of a section's tissue into a view.

    Parameters
    ----------
    section
        The slide.
    tissue
        ``(h, w)`` on its working picture.
    patient_from_section_px
        Full-resolution px to patient mm.
    view
        Where to.

    Returns
    -------
    list of ndarray
        ``(n, 2)`` closed lines, view mm.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.measure import find_contours

    # A border of nothing closes the outline of tissue that reaches the picture's edge.
    smooth = gaussian_filter(np.pad(tissue, 3).astype(np.float32), 1.0)
    found = []
    for line in find_contours(smooth, 0.5):
        x, y = line[:, 1] - 3.0, line[:, 0] - 3.0
        area = 0.5 * abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])))
        if area < SMALLEST_PIECE * tissue.size:
            continue
        step = max(1, len(x) // OUTLINE_POINTS)
        working = np.column_stack([x, y])[::step]
        closed = np.vstack([working, working[:1]])
        found.append(view.from_patient(patient_from_section_px.apply(full_px(section, closed))))
    return found


def full_px(section: Section, working_px: FloatArray) -> FloatArray:
    """Give full-resolution pixels of positions on the working picture, centres on integers in both."""
    return np.asarray((working_px + 0.5) * section.downsample - 0.5)


@dataclass(frozen=True, eq=False)
class MappedLattice:
    """A lattice over a section's tissue, and where its corners come to lie in a view.

    Parameters
    ----------
    corners_px
        ``(rows + 1, columns + 1, 2)`` full-resolution px.
    corners_mm
        The same corners in the view, mm.
    linear_mm
        Where the linear part of the map (least squares over the tissue) takes them.
    inside
        ``(rows, columns)``: cells whose middle lies on tissue.
    """

    corners_px: FloatArray
    corners_mm: FloatArray
    linear_mm: FloatArray
    inside: BoolArray

    @classmethod
    def of(cls, section: Section, tissue: BoolArray, patient_from_section_px: Transform, view: View) -> Self:
        """Lay a lattice over the tissue's box and map it."""
        rows, columns = (np.flatnonzero(tissue.any(axis=axis)) for axis in (1, 0))
        low = np.array([columns[0], rows[0]]) - 0.5
        high = np.array([columns[-1], rows[-1]]) + 0.5
        step = float((high - low).max()) / CELLS
        count = np.maximum(1, np.ceil((high - low) / step).astype(int))
        x, y = (np.linspace(low[axis], high[axis], count[axis] + 1) for axis in (0, 1))
        working = np.stack(np.meshgrid(x, y), axis=-1)
        middle = _middles(working)
        at = np.clip(np.rint(middle).astype(int), 0, np.array(tissue.shape)[::-1] - 1)
        inside = tissue[at[..., 1], at[..., 0]]
        px = full_px(section, working)
        flat = view.from_patient(patient_from_section_px.apply(px.reshape(-1, 2))).reshape(px.shape)
        return cls(px, flat, _linear_part(px, flat, inside), inside)

    @property
    def bending_mm(self) -> FloatArray:
        """How far beyond the linear part each cell's middle is moved ``(rows, columns, 2)``."""
        return _middles(self.corners_mm - self.linear_mm)

    @property
    def middles_mm(self) -> FloatArray:
        """Middles of the cells where the linear part takes them ``(rows, columns, 2)``."""
        return _middles(self.linear_mm)

    @property
    def area_change(self) -> FloatArray:
        """Determinant of the map over that of its linear part, cell by cell; ≤ 0 where it folds."""
        return _areas(self.corners_mm) / _areas(self.linear_mm)

    def over_cells(self, measure: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Measure something at the cells' middles (full-resolution px) on tissue; NaN elsewhere."""
        values = np.full(self.inside.shape, np.nan)
        values[self.inside] = measure(_middles(self.corners_px)[self.inside])
        return values


def _middles(corners: FloatArray) -> FloatArray:
    return np.asarray(0.25 * (corners[:-1, :-1] + corners[1:, :-1] + corners[:-1, 1:] + corners[1:, 1:]))


def _linear_part(px: FloatArray, flat: FloatArray, inside: BoolArray) -> FloatArray:
    ones = np.ones((*px.shape[:2], 1))
    source = np.concatenate([px, ones], axis=-1)
    used = inside if inside.sum() >= 3 else np.ones_like(inside)
    solution = np.linalg.lstsq(_middles(source)[used], _middles(flat)[used], rcond=None)[0]
    return np.asarray(source @ solution)


def _areas(corners: FloatArray) -> FloatArray:
    """Signed area of quadrilaterals from their diagonals."""
    a = corners[1:, 1:] - corners[:-1, :-1]
    b = corners[1:, :-1] - corners[:-1, 1:]
    return np.asarray(0.5 * (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]))

"""The smooth field that brings a laid section onto its plane: coarse to fine, by displacement volumes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from comould.register.dense.describe import BAND_PX, Description, describe
from comould.register.dense.linear import Holes, left_out
from comould.register.dense.shared import with_shared
from comould.register.dense.splines import fit_spline
from comould.register.dense.volume import Level, cost_volume, smooth_field
from comould.register.dense.warp import from_nodes, joined, lay, onto, resampled, warp, warped
from comould.register.maps import Spline
from comould.register.raster import Raster
from comould.space import FloatArray

LEVELS = (
    Level(2, 8, 1, 2, 1.5, 2.0),
    Level(2, 4, 1, 2, 1.25, 1.5),
    Level(1, 5, 1, 4, 1.0, 2.0),
    Level(1, 3, 1, 3, 1.0, 1.5),
)
FINAL_SMOOTH_PX = 1.5
MARGIN_PX = 6.0


@dataclass(frozen=True, eq=False)
class Field:
    """Displacements of a laid section.

    Parameters
    ----------
    grid
        The laid section.
    displacement_mm
        ``(2, h, w)``: x, y.
    """

    grid: Raster
    displacement_mm: FloatArray

    def spline(
        self, grid_mm: float, bending: float, landmarks: tuple[FloatArray, FloatArray, float] | None = None
    ) -> Spline:
        """Fit a B-spline to the field.

        Parameters
        ----------
        grid_mm
            Spacing of the coefficients.
        bending
            See :func:`fit_spline`.
        landmarks
            Points ``(n, 2)`` mm in the laid frame, where they belong, and what all of them together weigh beside the
            tissue.
        """
        shape = self.grid.mask.shape
        rows, columns = (axis.ravel()[::2] for axis in np.indices(shape))
        points = np.column_stack([columns, rows]) * self.grid.spacing_mm + np.array(self.grid.origin_mm)
        moved = self.displacement_mm[:, rows, columns].T
        # Beyond the tissue the field is a continuation; it only keeps the spline's border quiet.
        weight = np.where(ndimage.binary_dilation(self.grid.mask, iterations=3)[rows, columns], 1.0, 0.1)
        bounds = points.min(axis=0), points.max(axis=0)
        if landmarks is not None:
            source, target, share = landmarks
            each = share * weight.sum() / len(source)
            points, moved = np.vstack([points, source]), np.vstack([moved, target - source])
            weight = np.concatenate([weight, np.full(len(source), each)])
            bounds = np.minimum(bounds[0], source.min(axis=0)), np.maximum(bounds[1], source.max(axis=0))
        return fit_spline(points, moved, weight, bounds_mm=bounds, grid_mm=grid_mm, bending=bending)


def match_field(
    section: Raster,
    plane: Raster,
    linear: FloatArray,
    *,
    outline_weight: float,
    shared_weight: float,
    holes_mm: Holes = (),
    first_guess: Spline | None = None,
) -> Field:
    """Find the smooth field of displacements after a linear map.

    Parameters
    ----------
    section, plane
        Pictures of normal scores at the working pixel size of the plane.
    linear
        ``(3, 3)``: section mm to plane mm.
    outline_weight
        Of the outline beside the features.
    shared_weight
        Of the canonical variates of both sides' channels beside the self-similarity.
    holes_mm
        Squares of the plane whose tissue is not looked at.
    first_guess
        Displacements to start from.
    """
    base = lay(section, plane, linear, MARGIN_PX * plane.spacing_mm)
    guess = np.zeros((2, base.mask.size)) if first_guess is None else first_guess.displacement(base.points_mm()).T
    field = Field(base, guess.reshape(2, *base.mask.shape))
    for level in LEVELS:
        laid = base.coarser(level.coarse * plane.spacing_mm)
        target = onto(plane.coarser(level.coarse * plane.spacing_mm), laid)
        field = _improved(field, laid, target, level, (outline_weight, shared_weight), holes_mm)
    smooth = [ndimage.gaussian_filter(side, FINAL_SMOOTH_PX, mode="nearest") for side in field.displacement_mm]
    return replace(field, displacement_mm=np.array(smooth))


def _improved(
    before: Field, laid: Raster, target: Raster, level: Level, weights: tuple[float, float], holes_mm: Holes
) -> Field:
    now_px = resampled(before.displacement_mm, before.grid, laid) / laid.spacing_mm
    band_px = BAND_PX * 2.0 / level.coarse
    fixed, moving = describe(laid, left_out(laid, holes_mm), band_px), describe(target, None, band_px)
    moving = Description(warp(moving.features, now_px), warp(moving.weight, now_px), warp(moving.outline, now_px))
    if weights[1]:
        fixed, moving = with_shared(fixed, moving, laid, warped(target, now_px), weights[1])
    nodes = smooth_field(cost_volume(fixed, moving, level, weights[0]), level)
    step_px = from_nodes(nodes, laid.mask.shape, level.stride)
    return Field(laid, joined(step_px, now_px) * laid.spacing_mm)

"""A section laid on the plane's pixels, and fields of displacements on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.register.dense.describe import spread
from comould.register.raster import Raster, smooth_inside
from comould.space import FloatArray


def lay(section: Raster, plane: Raster, linear: FloatArray, margin_mm: float) -> Raster:
    """Resample a section through a linear map onto the plane's axes and pixel size."""
    corners = section.points_mm(section.mask) @ linear[:2, :2].T + linear[:2, 2]
    low, high = corners.min(axis=0) - margin_mm, corners.max(axis=0) + margin_mm
    size = np.ceil((high - low) / plane.spacing_mm).astype(int) + 1
    empty = np.ones((size[1], size[0]), dtype=bool)
    laid = Raster(np.zeros((1, size[1], size[0]), np.float32), empty, plane.spacing_mm, (float(low[0]), float(low[1])))
    back = np.linalg.inv(linear)
    points = laid.points_mm() @ back[:2, :2].T + back[:2, 2]
    mask = (section.sample(section.signed_distance_mm(), points, outside=-1e3) > 0).reshape(empty.shape)
    sigma = 0.4 * plane.spacing_mm / section.spacing_mm
    channels = [
        section.sample(smooth_inside(channel, section.mask, sigma), points).reshape(empty.shape)
        for channel in section.channels
    ]
    return replace(laid, channels=np.array(channels, dtype=np.float32), mask=mask)


def onto(plane: Raster, grid: Raster) -> Raster:
    """Resample a plane onto another raster's pixels."""
    points, shape = grid.points_mm(), grid.mask.shape
    mask = (plane.sample(plane.mask, points) > 0.5).reshape(shape)
    index = plane.index(points)
    channels = [
        ndimage.map_coordinates(spread(channel, plane.mask), index, order=1, mode="nearest").reshape(shape)
        for channel in plane.channels
    ]
    return replace(grid, channels=np.array(channels, dtype=np.float32), mask=mask)


def warp(images: npt.NDArray[Any], field_px: FloatArray) -> npt.NDArray[np.float32]:
    """Sample pictures ``(…, h, w)`` at each pixel's place plus the field ``(2, h, w)`` (x, y), held at the border."""
    rows, columns = np.indices(field_px.shape[1:], dtype=np.float64)
    at = [rows + field_px[1], columns + field_px[0]]
    flat = images.reshape(-1, *images.shape[-2:])
    moved = [ndimage.map_coordinates(image, at, order=1, mode="nearest", output=np.float32) for image in flat]
    return np.array(moved).reshape(images.shape)


def warped(raster: Raster, field_px: FloatArray) -> Raster:
    """Warp a raster's channels and mask."""
    return replace(
        raster,
        channels=warp(raster.channels, field_px),
        mask=warp(raster.mask.astype(np.float32), field_px) > 0.5,
    )


def joined(step_px: FloatArray, before_px: FloatArray) -> FloatArray:
    """Join two fields ``(2, h, w)``: first ``step``, then what ``before`` does there."""
    rows, columns = np.indices(step_px.shape[1:], dtype=np.float64)
    at = [rows + step_px[1], columns + step_px[0]]
    return step_px + np.array([ndimage.map_coordinates(side, at, order=1, mode="nearest") for side in before_px])


def from_nodes(nodes: FloatArray, shape: tuple[int, ...], stride: int) -> FloatArray:
    """Interpolate a field of nodes ``(2, ny, nx)`` to all pixels."""
    middle = 0.5 * (stride - 1)
    rows, columns = np.indices(shape, dtype=np.float64)
    at = [(rows - middle) / stride, (columns - middle) / stride]
    return np.array([ndimage.map_coordinates(side, at, order=1, mode="nearest") for side in nodes])


def resampled(field_mm: FloatArray, old: Raster, new: Raster) -> FloatArray:
    """Carry a field in mm from one grid to another, held at the border."""
    index = old.index(new.points_mm())
    moved = [ndimage.map_coordinates(side, index, order=1, mode="nearest") for side in field_mm]
    return np.array(moved).reshape(2, *new.mask.shape)

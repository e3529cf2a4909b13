"""Raster: a two-dimensional multi-channel picture with its place in millimetres and its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.space import FloatArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Raster:
    """A picture of a section or of a plane.

    Parameters
    ----------
    channels
        ``(c, h, w)`` float32, finite; meaningful inside the mask.
    mask
        ``(h, w)``: where the tissue (the specimen) is; at least one pixel.
    spacing_mm
        Size of the square pixels.
    origin_mm
        x, y of the centre of pixel (0, 0), in the picture's own frame.
    """

    channels: npt.NDArray[np.float32]
    mask: BoolArray
    spacing_mm: float
    origin_mm: tuple[float, float]

    @property
    def area_mm2(self) -> float:
        """Area of the mask."""
        return float(self.mask.sum()) * self.spacing_mm**2

    @property
    def centroid_mm(self) -> FloatArray:
        """Centre of mass of the mask, ``(2,)``."""
        rows, columns = np.nonzero(self.mask)
        return np.array([columns.mean(), rows.mean()]) * self.spacing_mm + np.array(self.origin_mm)

    @property
    def radius_mm(self) -> float:
        """Largest distance of the mask from its centroid."""
        return float(np.linalg.norm(self.points_mm(self.mask) - self.centroid_mm, axis=1).max())

    def points_mm(self, where: BoolArray | None = None) -> FloatArray:
        """Positions ``(n, 2)`` of the pixel centres, of those set in ``where`` only when it is given."""
        shape = self.mask.shape
        rows, columns = np.nonzero(np.ones(shape, dtype=bool) if where is None else where)
        return np.column_stack([columns, rows]) * self.spacing_mm + np.array(self.origin_mm)

    def index(self, points_mm: FloatArray) -> FloatArray:
        """Continuous row, column ``(2, n)`` of points ``(n, 2)``."""
        return ((points_mm - np.array(self.origin_mm)) / self.spacing_mm).T[::-1]

    def sample(self, image: npt.NDArray[np.generic], points_mm: FloatArray, outside: float = 0.0) -> FloatArray:
        """Sample a picture ``(h, w)`` on this raster's grid at points ``(n, 2)``, bilinearly."""
        index = self.index(points_mm)
        return ndimage.map_coordinates(
            np.asarray(image, dtype=np.float64), index, order=1, mode="constant", cval=outside
        )

    def signed_distance_mm(self) -> FloatArray:
        """Distance to the mask's border ``(h, w)``, positive inside."""
        padded = np.pad(self.mask, 1)
        inside = ndimage.distance_transform_edt(padded) - 0.5
        outside = ndimage.distance_transform_edt(~padded) - 0.5
        return (np.where(padded, inside, -outside) * self.spacing_mm)[1:-1, 1:-1]

    def coarser(self, spacing_mm: float) -> Raster:
        """Average down to about a pixel size (never up): channels over the tissue only, the mask by majority."""
        factor = int(spacing_mm / self.spacing_mm + 1e-6)
        if factor <= 1:
            return self
        weight = block_mean(self.mask.astype(np.float32), factor)
        values = [block_mean(np.where(self.mask, c, 0), factor) / np.maximum(weight, 1e-6) for c in self.channels]
        shift = 0.5 * (factor - 1) * self.spacing_mm
        origin = (self.origin_mm[0] + shift, self.origin_mm[1] + shift)
        mask = weight >= 0.5
        if not mask.any():
            return self
        return Raster(np.array(values, dtype=np.float32), mask, self.spacing_mm * factor, origin)


def block_mean(image: npt.NDArray[np.generic], factor: int) -> npt.NDArray[np.float32]:
    """Mean of ``factor`` × ``factor`` blocks of ``(h, w)`` or ``(h, w, c)``; the ragged edge is repeated to a block."""
    if factor <= 1:
        return np.asarray(image, dtype=np.float32)
    height, width = image.shape[:2]
    pad = [(0, -height % factor), (0, -width % factor)] + [(0, 0)] * (image.ndim - 2)
    padded = np.pad(image, pad, mode="edge")
    rows = np.add.reduceat(padded, np.arange(0, padded.shape[0], factor), axis=0, dtype=np.float32)
    both = np.add.reduceat(rows, np.arange(0, padded.shape[1], factor), axis=1, dtype=np.float32)
    return np.asarray(both / factor**2, dtype=np.float32)


def smooth_inside(image: npt.NDArray[np.generic], mask: BoolArray, sigma_px: float) -> FloatArray:
    """Gaussian smoothing that knows nothing outside the mask (normalised convolution); outside, the smooth spread."""
    weight = ndimage.gaussian_filter(mask.astype(np.float64), sigma_px)
    value = ndimage.gaussian_filter(np.where(mask, image, 0.0).astype(np.float64), sigma_px)
    return value / np.maximum(weight, 1e-6)

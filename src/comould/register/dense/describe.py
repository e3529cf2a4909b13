"""What a place looks like beside its own neighbourhood: comparable between stain and imaging."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.register.raster import BoolArray, Raster, smooth_inside
from comould.space import FloatArray

Picture = npt.NDArray[np.float32]

SIDES = (((-1, 0), (0, 1)), ((0, 1), (1, 0)), ((1, 0), (0, -1)), ((0, -1), (-1, 0)))
PAIRS = (*SIDES, *(((0, 0), side[0]) for side in SIDES))
"""Pairs of places around a pixel (row, column) whose patches are compared."""

DISTANCES_PX = (1, 2)
PATCH_PX = 1.0
NOISE_PX = 0.5
RANK_LIMIT = 2.5
BAND_PX = 4.0
"""Depth on either side of the outline within which the distance to it counts."""


@dataclass(frozen=True, eq=False)
class Description:
    """A picture as its matcher sees it, all ``(…, h, w)`` on one grid.

    Parameters
    ----------
    features
        ``(c, h, w)``: self-similarity, 0 to 1.
    weight
        ``(h, w)``: 1 where the features may be believed.
    outline
        ``(h, w)``: signed distance to the mask's border, -1 outside to 1 inside.
    """

    features: Picture
    weight: Picture
    outline: Picture


def ranked(raster: Raster) -> Raster:
    """Replace each channel by its normal scores over the mask: outliers and the contrast's curve lose their say."""
    from scipy import special, stats

    channels = np.zeros_like(raster.channels)
    for into, channel in zip(channels, raster.channels, strict=True):
        ranks = (stats.rankdata(channel[raster.mask]) - 0.5) / raster.mask.sum()
        into[raster.mask] = np.clip(special.ndtri(ranks), -RANK_LIMIT, RANK_LIMIT)
    return replace(raster, channels=channels)


def spread(image: npt.NDArray[Any], mask: BoolArray) -> npt.NDArray[Any]:
    """Continue a picture ``(h, w)`` beyond its mask with the nearest value inside."""
    if mask.all():
        return image
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(nearest)])


def describe(raster: Raster, left_out: BoolArray | None = None, band_px: float = BAND_PX) -> Description:
    """Describe a raster of normal scores (see :func:`ranked`) at its own pixel size.

    Parameters
    ----------
    raster
        The picture.
    left_out
        ``(h, w)``: tissue that is not to be looked at.
    band_px
        Depth on either side of the outline within which the distance to it counts.
    """
    mask = raster.mask
    filled = np.array([spread(smooth_inside(c, mask, NOISE_PX), mask) for c in raster.channels], dtype=np.float32)
    features = [self_similarity(filled, mask, distance) for distance in DISTANCES_PX]
    weight = mask if left_out is None else mask & ~left_out
    outline = np.clip(raster.signed_distance_mm() / (band_px * raster.spacing_mm), -1.0, 1.0)
    return Description(np.concatenate(features), weight.astype(np.float32), outline.astype(np.float32))


def self_similarity(picture: Picture, mask: BoolArray, distance_px: int) -> Picture:
    """Compare patches around each pixel with each other.

    Parameters
    ----------
    picture
        ``(k, h, w)``: channels, compared together.
    mask
        ``(h, w)``: sets the noise level.
    distance_px
        How far the patches lie from the pixel.

    Returns
    -------
    array
        ``(8, h, w)`` float32, 1 for the most alike pair at a pixel, falling to 0.

    Notes
    -----
    Two-dimensional, and with the centre's own patch beside the context's.

    References
    ----------
    M. Heinrich et al., Medical Image Analysis 16 (2012), doi:10.1016/j.media.2012.05.008; MICCAI 2013,
    doi:10.1007/978-3-642-40811-3_24.
    """
    height, width = picture.shape[1:]
    reach = distance_px
    padded = np.pad(picture, ((0, 0), (reach, reach), (reach, reach)), mode="edge")

    def at(place: tuple[int, int]) -> Picture:
        """Shift the picture."""
        row, column = reach * (1 + place[0]), reach * (1 + place[1])
        return padded[:, row : row + height, column : column + width]

    apart = np.array(
        [
            ndimage.gaussian_filter(((at(a) - at(b)) ** 2).sum(axis=0), PATCH_PX, mode="nearest", truncate=3.0)
            for a, b in PAIRS
        ],
        dtype=np.float32,
    )
    apart -= apart.min(axis=0)
    noise = apart.mean(axis=0)
    usual = float(np.median(noise[mask])) if mask.any() else 1.0
    return np.asarray(np.exp(-apart / np.clip(noise, 1e-2 * usual + 1e-9, 1e2 * usual + 1e-9)), dtype=np.float32)


def likeness(a: Picture, b: Picture, weight: FloatArray) -> float:
    """How much two pictures' features agree where weighted: 1 if equal, about 0 if they have nothing in common.

    References
    ----------
    L. Lin, Biometrics 45 (1989), doi:10.2307/2532051: the concordance correlation, here over all features together.
    """
    where = weight > 0
    if where.sum() < 2:
        return 0.0
    w = weight[where] / weight[where].sum()
    x, y = a[:, where].astype(np.float64), b[:, where].astype(np.float64)
    mean_x, mean_y = (x * w).sum(axis=1), (y * w).sum(axis=1)
    spread_ = ((x**2 + y**2) * w).sum() - 2.0 * mean_x @ mean_y
    return float(1.0 - (((x - y) ** 2) * w).sum() / max(spread_, 1e-12))

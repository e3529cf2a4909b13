"""Find the targets of a marker plate on a photograph, each with its number and its centre to a fraction of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.register.photo.plate import BITS, DOT, RING, WHITE, decode
from comould.register.raster import block_mean
from comould.space import FloatArray

LOOK_PX = 2000
"""Longest side of the picture in which dots are looked for; centres are then measured in the full one."""

LEAST_CONTRAST = 0.12
_PER_SECTOR = 6


@dataclass(frozen=True)
class Seen:
    """A target on the photograph.

    Parameters
    ----------
    number
        Which one.
    x_px, y_px
        Centre of its dot, centres of pixels on integers.
    mirrored
        Whether its code is that of the mirror image.
    """

    number: int
    x_px: float
    y_px: float
    mirrored: bool


def grey_of(photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Luminance 0 … 1 (weights of Rec. 601)."""
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255.0
    return np.asarray(photo.astype(np.float32) @ weights, dtype=np.float32)


def find_targets(grey: npt.NDArray[np.float32]) -> list[Seen]:
    """Find every readable target; one number is given once, to the one seen with the best contrast.

    Parameters
    ----------
    grey
        ``(h, w)``, 0 … 1.
    """
    factor = max(1, round(max(grey.shape) / LOOK_PX))
    small = block_mean(grey, factor)
    best: dict[tuple[int, bool], tuple[float, Seen]] = {}
    for centre, spread in _dots(small):
        reading = _read(small, centre, spread)
        if reading is None:
            continue
        bits, contrast = reading
        number, mirrored = decode(bits)
        if number is None:
            continue
        place = (np.array(centre) + 0.5) * factor - 0.5
        x, y = _measure(grey, place, spread * factor**2)
        if contrast > best.get((number, mirrored), (0.0, None))[0]:
            best[number, mirrored] = (contrast, Seen(number, x, y, mirrored))
    return [seen for _, seen in sorted(best.values(), key=lambda item: item[1].number)]


def _dots(small: npt.NDArray[np.float32]) -> list[tuple[tuple[float, float], FloatArray]]:
    """Dark blobs that fill the ellipse of their own moments: centre x, y and covariance ``(2, 2)``."""
    side = max(small.shape)
    found: list[tuple[tuple[float, float], FloatArray]] = []
    # Two widths: a small one where shadows or tissue are near, a wide one for large targets.
    for width in (side // 30, side // 10):
        dark = small < 0.8 * ndimage.uniform_filter(ndimage.uniform_filter(small, width), width)
        labels, count = ndimage.label(dark)
        flat = labels.ravel()
        on = np.flatnonzero(flat)
        which, rows, columns = flat[on], on // small.shape[1], on % small.shape[1]
        area = np.bincount(which, minlength=count + 1).astype(np.float64)
        safe = np.maximum(area, 1.0)
        x, y = (np.bincount(which, v, count + 1) / safe for v in (columns, rows))
        dx, dy = columns - x[which], rows - y[which]
        xx, yy, xy = (np.bincount(which, v, count + 1) / safe for v in (dx * dx, dy * dy, dx * dy))
        root = np.sqrt(np.maximum(xx * yy - xy**2, 1e-9))
        longest = np.sqrt(np.maximum(0.5 * (xx + yy) + np.hypot(0.5 * (xx - yy), xy), 1e-9))
        good = (area >= 12) & (area < (side / 12) ** 2) & (np.abs(area / (4 * np.pi * root) - 1) < 0.15)
        good &= longest < 1.9 * np.sqrt(root)
        good[0] = False
        found += [
            ((float(x[k]), float(y[k])), np.array([[xx[k], xy[k]], [xy[k], yy[k]]])) for k in np.flatnonzero(good)
        ]
    return found


def _shape(spread: FloatArray) -> FloatArray:
    """Matrix that lays the target's unit circle on the picture, up to a turn, from its dot's covariance."""
    values, vectors = np.linalg.eigh(spread)
    return np.asarray(vectors @ np.diag(2.0 * np.sqrt(np.maximum(values, 1e-6))) @ vectors.T / DOT)


def _ring(small: npt.NDArray[np.float32], centre: tuple[float, float], A: FloatArray, radius: float) -> FloatArray:
    turn = (np.arange(BITS * _PER_SECTOR) + 0.5) * 2 * np.pi / (BITS * _PER_SECTOR)
    x, y = np.array(centre)[:, None] + A @ (radius * np.vstack([np.cos(turn), np.sin(turn)]))
    return np.asarray(ndimage.map_coordinates(small, [y, x], order=1, mode="constant", cval=-1.0))


def _read(
    small: npt.NDArray[np.float32], centre: tuple[float, float], spread: FloatArray
) -> tuple[npt.NDArray[np.bool_], float] | None:
    """Read the code ring round a dot; ``None`` when what surrounds it is no target."""
    A = _shape(spread)
    white = _ring(small, centre, A, 0.5 * (DOT + WHITE))
    black = float(np.median(_ring(small, centre, A, 0.4 * DOT)))
    high = float(np.median(white))
    contrast = high - black
    if white.min() < black + 0.45 * contrast or contrast < LEAST_CONTRAST or white.min() < 0:
        return None
    if np.mean(_ring(small, centre, A, 1.17 * RING) > black + 0.5 * contrast) < 0.85:
        return None
    radii = WHITE + (RING - WHITE) * np.array([0.35, 0.5, 0.65])
    ring = np.mean([_ring(small, centre, A, r) for r in radii], axis=0)
    level = np.clip((ring - black) / contrast, 0.0, 1.0)
    phases = np.array([np.roll(level, -k).reshape(BITS, _PER_SECTOR)[:, 1:-1].mean(axis=1) for k in range(_PER_SECTOR)])
    clear = np.abs(phases - 0.5).min(axis=1)
    best = int(np.argmax(clear + 0.5 * np.abs(phases - 0.5).mean(axis=1)))
    if clear[best] < 0.1:
        return None
    return phases[best] < 0.5, contrast


def _measure(grey: npt.NDArray[np.float32], place: FloatArray, spread: FloatArray) -> tuple[float, float]:
    """Centre of mass of the dot's blackness in the full picture, out to the middle of the white ring."""
    A = _shape(spread) * (0.5 * (DOT + WHITE))
    inverse = np.linalg.inv(A)
    reach = np.ceil(np.linalg.norm(A, axis=1)).astype(int) + 2
    centre = np.asarray(place, dtype=np.float64)
    for _ in range(3):
        x0, y0 = np.floor(centre - reach).astype(int)
        x1, y1 = np.ceil(centre + reach).astype(int) + 1
        x0, y0 = max(x0, 0), max(y0, 0)
        part = grey[y0:y1, x0:x1]
        y, x = np.indices(part.shape, dtype=np.float64)
        x, y = x + x0, y + y0
        away = np.hypot(*np.tensordot(inverse, np.stack([x - centre[0], y - centre[1]]), axes=1))
        edge = (away > 0.85) & (away < 1.0)
        terms = np.stack([np.ones_like(x), x - centre[0], y - centre[1]], axis=-1)
        # Uneven light: the white is a plane through the ring.
        plane, *_rest = np.linalg.lstsq(terms[edge], part[edge].astype(np.float64), rcond=None)
        soft = np.clip((1.0 - away) / 0.15, 0.0, 1.0)
        weight = np.clip(terms @ plane - part, 0.0, None) * soft
        moved = np.array([(weight * x).sum(), (weight * y).sum()]) / max(weight.sum(), 1e-12)
        done = np.abs(moved - centre).max() < 1e-3
        centre = moved
        if done:
            break
    return float(centre[0]), float(centre[1])

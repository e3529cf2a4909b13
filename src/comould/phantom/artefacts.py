"""What does not belong on a slide, painted over the picture: dust, strokes of a pen, bands of folded tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.phantom.cut_options import CutOptions
from comould.phantom.deform import Placement
from comould.space import FloatArray

FOLD_DENSITY = 1.1
"""Further stain in a fold, as a share: about two layers."""

PEN_COLOURS = np.array([[25.0, 45.0, 140.0], [20.0, 105.0, 60.0], [30.0, 30.0, 34.0]])
"""Blue, green and black ink; red, green, blue, 0 to 255."""

Picture = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Artefacts:
    """Curves and specks in working pixels.

    Parameters
    ----------
    folds, strokes
        ``(n, 2)`` x, y of each curve, and its half width in pixels.
    inks
        One colour a stroke.
    specks
        ``(n, 4)`` x, y, radius in pixels, darkness 0 to 1.
    """

    folds: list[tuple[FloatArray, float]]
    strokes: list[tuple[FloatArray, float]]
    inks: FloatArray
    specks: FloatArray

    @classmethod
    def draw(cls, placement: Placement, options: CutOptions, seeds: np.random.SeedSequence) -> Artefacts:
        """Draw each kind from a stream of its own."""
        folding, writing, dusting = (np.random.default_rng(s) for s in seeds.spawn(3))
        size = np.array(placement.size_px, dtype=float)
        pixel_mm = options.image_pixel_um / 1000.0
        middle, reach = size / 2.0, size / 2.0 - options.margin_mm / pixel_mm
        folds = [_fold(folding, middle, reach, pixel_mm) for _ in range(options.folds)]
        strokes = [_stroke(writing, middle, reach, pixel_mm) for _ in range(options.pen)]
        inks = PEN_COLOURS[writing.integers(0, len(PEN_COLOURS), options.pen)]
        specks = np.column_stack(
            [
                dusting.uniform(0.0, 1.0, (options.dust, 2)) * size,
                np.exp(dusting.normal(np.log(0.05), 0.5, options.dust)) / pixel_mm,
                dusting.uniform(0.5, 1.0, options.dust),
            ]
        )
        return cls(folds, strokes, inks, specks)

    def thicken(self, strength: Picture, size_px: tuple[int, int]) -> None:
        """Raise the stain ``(2, h * w)`` in place where tissue is folded."""
        for curve, half in self.folds:
            strength *= 1.0 + FOLD_DENSITY * _near(curve, half, size_px).reshape(1, -1)

    def cover(self, picture: Picture) -> None:
        """Lay ink and dust over the picture ``(h, w, 3)`` in place."""
        height, width = picture.shape[:2]
        for (curve, half), ink in zip(self.strokes, self.inks, strict=True):
            share = 0.85 * _near(curve, half, (width, height))[..., None]
            picture += share * (ink.astype(np.float32) - picture)
        for x, y, radius, darkness in self.specks:
            reach = int(np.ceil(radius)) + 2
            rows = slice(max(int(y) - reach, 0), int(y) + reach + 1)
            columns = slice(max(int(x) - reach, 0), int(x) + reach + 1)
            patch = picture[rows, columns]
            there = np.ogrid[rows.start : rows.start + patch.shape[0], columns.start : columns.start + patch.shape[1]]
            share = darkness * np.clip(0.5 + radius - np.hypot(there[1] - x, there[0] - y), 0.0, 1.0)
            patch *= (1.0 - 0.9 * share[..., None]).astype(np.float32)


def _fold(rng: np.random.Generator, middle: FloatArray, reach: FloatArray, pixel_mm: float) -> tuple[FloatArray, float]:
    """Draw a gently bent line right across the tissue, 0.3 to 0.8 mm wide."""
    angle, aside, bow = rng.uniform(0.0, np.pi), rng.uniform(-0.5, 0.5), rng.uniform(-0.15, 0.15)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    t = np.linspace(-1.3, 1.3, 400)[:, None]
    radius = float(reach.mean())
    return middle + radius * (t * along + (aside + bow * t**2) * across), float(rng.uniform(0.15, 0.4)) / pixel_mm


def _stroke(
    rng: np.random.Generator, middle: FloatArray, reach: FloatArray, pixel_mm: float
) -> tuple[FloatArray, float]:
    """Draw an arc along the tissue's rim, as pathologists mark a region, 0.8 to 1.6 mm wide."""
    start, length = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.6, 2.2)
    angle = np.linspace(start, start + length, 400)
    radius = rng.uniform(0.85, 1.08) + 0.03 * np.sin(5.0 * angle + rng.uniform(0.0, 6.0))
    points = middle + np.column_stack([np.cos(angle), np.sin(angle)]) * radius[:, None] * reach
    return points, float(rng.uniform(0.4, 0.8)) / pixel_mm


def _near(curve: FloatArray, half_px: float, size_px: tuple[int, int]) -> Picture:
    """Share ``(h, w)`` of each pixel under a band around a curve."""
    from scipy import ndimage

    width, height = size_px
    steps = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
    dense = np.linspace(0.0, steps[-1], int(2.0 * steps[-1]) + 2)
    x, y = (np.round(np.interp(dense, steps, curve[:, n])).astype(int) for n in (0, 1))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    if not inside.any():
        return np.zeros((height, width), dtype=np.float32)
    free = np.ones((height, width), dtype=bool)
    free[y[inside], x[inside]] = False
    return np.clip(0.5 + half_px - ndimage.distance_transform_edt(free), 0.0, 1.0).astype(np.float32)

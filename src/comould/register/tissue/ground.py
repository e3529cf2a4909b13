"""What kind of picture it is, what its empty ground looks like everywhere, and how far each pixel is from that."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.register.raster import BoolArray
from comould.space import FloatArray

Kind = Literal["auto", "brightfield", "fluorescence", "photo"]
Floats = npt.NDArray[np.float32]

DARK, BRIGHT, PALE = 0.22, 0.62, 0.22
"""Ground darker than the first is a fluorescence-like one; brighter than the second with a smaller spread of red, green
and blue than the third is a lit slide; anything else is a photograph."""

UNEVEN = 0.8
"""A lit slide's ground is as bright everywhere, or nearly: grey below this share of its brightest part is a bench."""

ROUNDS = 3
_LIGHTNESS_WEIGHT = 0.5
"""Share at which lightness counts beside colour on photographs: a shadow changes little else."""


def border(shape: tuple[int, int], share: float = 0.02) -> BoolArray:
    """Mark the outer rim of a picture, ``share`` of its shorter side wide."""
    edge = max(1, round(share * min(shape)))
    rim = np.ones(shape, dtype=bool)
    rim[edge : shape[0] - edge, edge : shape[1] - edge] = False
    return rim


def kind_of(small: Floats) -> Literal["brightfield", "fluorescence", "photo"]:
    """Tell by the rim: black, nearly white, or something else.

    Parameters
    ----------
    small
        ``(h, w, 3)``, 0 … 1.
    """
    rim = small[border(small.shape[:2])]
    middle = np.median(rim, axis=0)
    if float(middle.max()) < DARK and float(np.ptp(middle)) < 0.06:
        return "fluorescence"
    bright = rim[rim.mean(axis=1) >= np.quantile(rim.mean(axis=1), 0.75)]
    top = np.median(bright, axis=0)
    # A quarter of the rim suffices on a slide, where tissue may run over most of the border.
    if float(top.mean()) > BRIGHT and float(np.ptp(top)) < PALE:
        dim = (rim.mean(axis=1) < UNEVEN * float(top.mean())) & (np.ptp(rim, axis=1) < 0.5 * PALE)
        return "photo" if float(dim.mean()) > 0.25 else "brightfield"
    return "photo"


def coordinates(shape: tuple[int, int], degree: int) -> FloatArray:
    """Give the terms of a polynomial of the position, ``(h, w, terms)``, each within ±1."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    return np.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=-1)


def smooth_ground(values: Floats, usable: BoolArray, degree: int = 2) -> Floats:
    """Fit a polynomial of the position to the usable pixels of each channel, leaving outliers out.

    Parameters
    ----------
    values
        ``(h, w, c)``.
    usable
        ``(h, w)``: pixels believed to be empty ground.
    degree
        Of the polynomial; a lower one is taken when the ground is seen on a small part of the picture only.

    Returns
    -------
    ndarray
        ``(h, w, c)``: the ground as it would be seen everywhere, kept within the range of what was seen.
    """
    step = max(1, round(max(usable.shape) / 150))
    seen, sub = usable[::step, ::step], values[::step, ::step]
    share = float(seen.mean())
    degree = degree if share > 0.25 else 1 if share > 0.08 else 0
    terms = coordinates(seen.shape, degree)
    A, b = terms[seen].astype(np.float64), sub[seen].astype(np.float64)
    if len(A) < 10 * A.shape[1]:
        return np.broadcast_to(np.median(b, axis=0) if len(b) else 0.0, values.shape).astype(np.float32)
    good = np.ones(len(A), dtype=bool)
    for _ in range(3):
        factors, *_rest = np.linalg.lstsq(A[good], b[good], rcond=None)
        away = np.linalg.norm(b - A @ factors, axis=1)
        good = away <= max(3.0 * 1.4826 * float(np.median(away)), 1e-6)
    low, high = np.quantile(b, 0.01, axis=0), np.quantile(b, 0.99, axis=0)
    full = coordinates(usable.shape, degree).astype(np.float32) @ factors.astype(np.float32)
    return np.clip(full, low - 0.02, high + 0.02).astype(np.float32)


def features(small: Floats, kind: str) -> Floats:
    """Give the numbers in which the ground is compared: density, root of brightness, or L*a*b* over 100."""
    if kind == "brightfield":
        return np.asarray(-np.log((small * 255.0 + 4.0) / 259.0), dtype=np.float32)
    if kind == "fluorescence":
        return np.sqrt(small)
    from skimage.color import rgb2lab

    lab = rgb2lab(small) / 100.0 * (_LIGHTNESS_WEIGHT, 1.0, 1.0)
    return np.asarray(lab, dtype=np.float32)


def distance(values: Floats, ground: Floats, kind: str) -> Floats:
    """Measure how much more than ground a pixel is: denser, brighter, or of another colour; square root, ``(h, w)``."""
    more = values - ground
    if kind != "photo":
        more = np.maximum(more, 0.0)
    return np.sqrt(np.sqrt((more**2).sum(axis=2)))


def first_ground(values: Floats, kind: str, ignored: BoolArray) -> Floats:
    """Guess the ground's colour from the rim, one for the whole picture."""
    rim = border(values.shape[:2]) & ~ignored
    if not rim.any():
        rim = border(values.shape[:2])
    seen = values[rim]
    if kind == "brightfield":
        total = seen.sum(axis=1)
        seen = seen[total <= np.quantile(total, 0.5)]
    elif kind == "fluorescence":
        total = seen.sum(axis=1)
        seen = seen[total <= np.quantile(total, 0.7)]
    return np.broadcast_to(np.median(seen, axis=0), values.shape).astype(np.float32)


def noise_of(away: Floats, empty: BoolArray) -> tuple[float, float]:
    """Middle and robust spread of the distance over the empty ground."""
    if not empty.any():
        return 0.0, 0.0
    seen = away[empty]
    middle = float(np.median(seen))
    return middle, 1.4826 * float(np.median(np.abs(seen - middle)))


def otsu(values: npt.NDArray[np.generic]) -> float:
    """Find the threshold that parts two classes best.

    References
    ----------
    N. Otsu, IEEE Trans. SMC 9 (1979), doi:10.1109/TSMC.1979.4310076.
    """
    counts, edges = np.histogram(values, bins=256)
    centres = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)
    mass = np.cumsum(counts * centres)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return float(centres[int(np.nanargmax(np.where(above > 0, between, -1.0)))])


def blurred(values: Floats, sigma: float) -> Floats:
    """Smooth each channel."""
    return np.asarray(ndimage.gaussian_filter(values, (sigma, sigma, 0)[: values.ndim]), dtype=np.float32)

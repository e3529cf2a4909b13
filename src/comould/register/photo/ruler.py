"""Scale by a ruler in the picture: points at known distances, or its millimetre ticks read along a line."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.errors import ComouldWarning, InputError
from comould.register.photo.scale import PhotoScale
from comould.register.photo.targets import grey_of
from comould.space import FloatArray

POINT_SD_PX = 1.0
"""How well somebody places a point."""

UNSEEN_TILT = 0.015
"""Relative error of lengths that a tilt of 10° leaves, which one line cannot show."""

UNEVEN = 0.02
"""Scales along a ruler that differ by more than this tell of a tilted camera."""

FEWEST_TICKS = 8


@dataclass(frozen=True)
class RulerPoints:
    """Points on a ruler beside the slab.

    Parameters
    ----------
    points_px
        x, y of two points or more on the photograph as shown upright, centres of pixels on integers.
    distances_mm
        From each point to the next: one fewer than points.
    """

    points_px: tuple[tuple[float, float], ...]
    distances_mm: tuple[float, ...]

    def __post_init__(self) -> None:
        points = np.asarray(self.points_px, dtype=np.float64)
        distances = np.asarray(self.distances_mm, dtype=np.float64)
        problems = []
        if points.ndim != 2 or points.shape[1:] != (2,) or len(points) < 2 or not np.isfinite(points).all():
            problems.append("points_px are not two or more finite pairs x, y")
        if distances.shape != (max(len(points) - 1, 1),) or not np.isfinite(distances).all() or (distances <= 0).any():
            problems.append("distances_mm are not one positive length from each point to the next")
        if not problems and np.linalg.norm(np.diff(points, axis=0), axis=1).min() < 10:
            problems.append("two points lie less than 10 pixels apart")
        if problems:
            raise InputError.collect(subject="ruler points", problems=problems)

    def measure(self) -> tuple[float, PhotoScale]:
        """Give mm per pixel and how far it may be off.

        Warns
        -----
        ComouldWarning
            When parts of the ruler have different scales: the camera was tilted.
        """
        lengths = np.linalg.norm(np.diff(np.asarray(self.points_px, float), axis=0), axis=1)
        distances = np.asarray(self.distances_mm, dtype=np.float64)
        mm_per_px = float((lengths @ distances) / (lengths @ lengths))
        parts = distances / lengths
        noise = np.sqrt(2) * POINT_SD_PX / lengths
        placed = float(np.sqrt(2) * POINT_SD_PX / np.sqrt(lengths @ lengths))
        uneven = float(np.ptp(parts) / mm_per_px)
        notes = ["scale from a ruler: a tilt of the camera is not corrected"]
        if uneven > max(UNEVEN, 3.0 * float(np.hypot(noise.max(), noise.min()))):
            notes.append(_tilted(uneven))
        residual = float(np.sqrt(np.mean((distances - lengths * mm_per_px) ** 2))) if len(parts) > 1 else None
        sd = float(np.sqrt(placed**2 + UNSEEN_TILT**2 + (0.5 * uneven) ** 2 * (len(parts) > 1)))
        return mm_per_px, PhotoScale("ruler points", sd, residual, None, len(self.points_px), notes=tuple(notes))


@dataclass(frozen=True)
class RulerTicks:
    """A line along a ruler's ticks on the photograph.

    Parameters
    ----------
    start_px, end_px
        x, y of the line's ends; it crosses every tick, near the ruler's edge where all of them reach.
    tick_mm
        Distance between neighbouring ticks.
    """

    start_px: tuple[float, float]
    end_px: tuple[float, float]
    tick_mm: float = 1.0

    def __post_init__(self) -> None:
        ends = np.array([self.start_px, self.end_px], dtype=np.float64)
        problems = []
        if ends.shape != (2, 2) or not np.isfinite(ends).all():
            problems.append("start_px and end_px are not pairs of finite numbers")
        elif np.linalg.norm(ends[1] - ends[0]) < 40:
            problems.append("the line is shorter than 40 pixels")
        if not np.isfinite(self.tick_mm) or self.tick_mm <= 0:
            problems.append(f"tick_mm {self.tick_mm} is not a positive length")
        if problems:
            raise InputError.collect(subject="ruler line", problems=problems)

    def measure(self, photo: npt.NDArray[np.uint8]) -> tuple[float, PhotoScale]:
        """Read the ticks: mm per pixel and how far it may be off.

        Parameters
        ----------
        photo
            ``(h, w, 3)`` uint8.

        Raises
        ------
        InputError
            If the line leaves the picture or crosses no evenly spaced ticks.

        Warns
        -----
        ComouldWarning
            When the ticks lie closer at one end than at the other: the camera was tilted.

        Notes
        -----
        The period is where the autocorrelation of the brightness along the line first peaks; the phase of that
        period, followed along the line (complex demodulation), then gives it to a small fraction of a pixel, and its
        curvature shows the perspective.
        """
        profile = self._profile(grey_of(photo))
        period, clear = _period(profile)
        length = len(profile) - 1
        if clear < 0.25 or length / period < FEWEST_TICKS:
            raise InputError(
                subject="ruler line",
                expected=f"{FEWEST_TICKS} or more evenly spaced ticks along it",
                found=f"none that repeat (likeness {max(clear, 0.0):.2f}, about {length / period:.0f} ticks)",
                remedy="Draw the line across the shortest ticks, straight along the ruler's edge",
            )
        rate, sd, uneven = _demodulated(profile, period)
        mm_per_px = float(self.tick_mm * rate)
        notes = ["scale from a ruler: a tilt of the camera across it is not corrected"]
        if abs(uneven) > max(UNEVEN, 3.0 * sd):
            notes.append(_tilted(abs(uneven)))
        total = float(np.sqrt(sd**2 + UNSEEN_TILT**2 + (0.5 * uneven) ** 2))
        return mm_per_px, PhotoScale("ruler ticks", total, None, None, round(length * rate) + 1, notes=tuple(notes))

    def _profile(self, grey: npt.NDArray[np.float32]) -> FloatArray:
        ends = np.array([self.start_px, self.end_px], dtype=np.float64)
        size = np.array(grey.shape[::-1])
        if (ends < 0).any() or (ends > size - 1).any():
            raise InputError(
                subject="ruler line",
                expected=f"a line within the picture of {size[0]} × {size[1]} pixels",
                found="one that leaves it",
            )
        run = ends[1] - ends[0]
        length = float(np.linalg.norm(run))
        along, across = run / length, np.array([-run[1], run[0]]) / length
        steps = np.arange(int(length) + 1)
        lines = []
        for shift in (-2.0, -1.0, 0.0, 1.0, 2.0):
            x, y = (ends[0] + shift * across)[:, None] + along[:, None] * steps
            lines.append(ndimage.map_coordinates(grey, [y, x], order=1, mode="nearest"))
        return np.asarray(np.mean(lines, axis=0), dtype=np.float64)


def _tilted(uneven: float) -> str:
    text = f"the ruler's scale differs by {uneven:.1%} along it: the camera was tilted, use a marker plate"
    warnings.warn(text, ComouldWarning, stacklevel=3)
    return text


def _period(profile: FloatArray) -> tuple[float, float]:
    """First peak of the autocorrelation that is nearly as high as any: lag in pixels, and its height."""
    n = len(profile)
    flat = profile - ndimage.gaussian_filter1d(profile, max(4.0, n / 25))
    spectrum = np.fft.rfft(flat * np.hanning(n), 2 * n)
    likeness = np.fft.irfft(np.abs(spectrum) ** 2)[:n]
    likeness = likeness / max(likeness[0], 1e-12)
    last = max(4, n // 3)
    lags = np.arange(1, last - 1)
    peaks = lags[(likeness[lags] > likeness[lags - 1]) & (likeness[lags] >= likeness[lags + 1]) & (lags >= 3)]
    if not len(peaks):
        return float(n), 0.0
    # Taper lowers far peaks; ticks of 5 and 10 mm raise theirs a little.
    first = int(peaks[likeness[peaks] >= 0.55 * likeness[peaks].max()][0])
    low, middle, high = likeness[first - 1 : first + 2]
    bend = low - 2 * middle + high
    return float(first + (0.5 * (low - high) / bend if bend < 0 else 0.0)), float(middle)


def _demodulated(profile: FloatArray, period: float) -> tuple[float, float, float]:
    """Ticks per pixel at the line's middle, its relative standard deviation, and its relative change along the line."""
    n = len(profile)
    x = np.arange(n) - 0.5 * (n - 1)
    flat = profile - ndimage.gaussian_filter1d(profile, period)
    rate = 1.0 / period
    change = 0.0
    for _ in range(3):
        turn = 2 * np.pi * (rate * x + 0.5 * change * rate / n * x**2)
        wave = flat * np.exp(-1j * turn)
        smooth = ndimage.gaussian_filter1d(wave.real, period) + 1j * ndimage.gaussian_filter1d(wave.imag, period)
        inner = slice(int(period), n - int(period))
        phase = np.unwrap(np.angle(smooth[inner])) / (2 * np.pi)
        weight = np.sqrt(np.abs(smooth[inner]))
        c2, c1, _ = np.polyfit(x[inner], phase, 2, w=weight)
        rate, change = rate + c1, change + 2 * c2 * n / rate
    rest = phase - np.polyval(np.polyfit(x[inner], phase, 2, w=weight), x[inner])
    ticks = max(n / period, 4.0)
    sd = float(np.std(rest) * np.sqrt(12.0 / ticks) / (ticks))
    return float(rate), max(sd, 1e-4), float(change)

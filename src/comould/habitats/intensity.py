"""Features of a region's intensities: statistics, histogram, intensity-volume histogram, local peaks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.habitats import catalogue
from comould.habitats.boxes import ball_means
from comould.habitats.processing import PEAK_RADIUS_MM, Processing, Region
from comould.space import FloatArray

MOST_STEPS = 1_000_000
"""Steps of an intensity-volume histogram."""
IVH_BINS = 1000
"""Bins of the intensity-volume histogram of intensities without unit, as IBSI recommends."""


def statistics(values: FloatArray, levels: npt.NDArray[np.uint16]) -> FloatArray:
    """Work out the first-order features of a region (order of ``catalogue.FIRST_ORDER``)."""
    from comould.habitats import _kernels

    row = np.zeros(_kernels.N_FIRST_ORDER)
    _kernels._first_order_row(np.sort(values), len(values), row)
    row[18], row[19] = _entropy_uniformity(np.bincount(levels))
    return row


def histogram(levels: npt.NDArray[np.uint16], n_levels: int) -> FloatArray:
    """Work out the features of the histogram of grey levels (order of ``catalogue.HISTOGRAM``).

    The bins are 1 to ``n_levels``, empty ones among them. Where several are the highest, the mode is the one nearest
    the mean, the lower of two.
    """
    counts = np.bincount(levels, minlength=n_levels + 1)[1:].astype(np.float64)
    basic = dict(zip(catalogue.FIRST_ORDER, statistics(levels.astype(np.float64), levels), strict=True))
    highest = np.flatnonzero(counts == counts.max()) + 1
    basic["mode"] = float(highest[np.argmin(np.abs(highest - basic["mean"]))])
    slope = np.gradient(counts) if len(counts) > 1 else np.zeros(1)
    basic |= {"maximum_gradient": slope.max(), "maximum_gradient_intensity": slope.argmax() + 1.0}
    basic |= {"minimum_gradient": slope.min(), "minimum_gradient_intensity": slope.argmin() + 1.0}
    return np.array([basic[name] for name in catalogue.HISTOGRAM])


def _entropy_uniformity(counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum()), float((share * share).sum())


def intensity_volume(
    values: FloatArray, processing: Processing, *, bin_width: float | None, bins: int | None
) -> FloatArray:
    """Work out the features of the intensity-volume histogram (order of ``catalogue.INTENSITY_VOLUME``).

    Parameters
    ----------
    values
        ``(n,)`` intensities of the intensity mask.
    processing
        Its intensity range bounds the histogram.
    bin_width
        Of calibrated continuous intensities (PET, interpolated CT): bin centres replace the intensities.
    bins
        Of intensities without unit (MR): bin numbers replace the intensities. Without either: steps of 1 when all
        intensities are whole numbers, 1000 bins otherwise.

    Raises
    ------
    InputError
        If a setting is not positive, or there would be over a million steps.
    """
    if bin_width is None and bins is None and not np.array_equal(values, np.round(values)):
        bins = IVH_BINS
    values, low, high, step = _ivh_values(values, processing, bin_width, bins)
    n_steps = round((high - low) / step) + 1
    if n_steps > MOST_STEPS:
        raise InputError(
            subject="intensity-volume histogram",
            expected=f"at most {MOST_STEPS} steps",
            found=f"{n_steps}",
            remedy="Give ivh_bin_width or ivh_bins",
        )
    at = low + step * np.arange(n_steps)
    volume = 1.0 - np.searchsorted(np.sort(values), at - 1e-6 * step) / len(values)
    fraction = np.linspace(0.0, 1.0, n_steps)

    def volume_at(share: float) -> float:
        return float(volume[min(int(np.searchsorted(fraction, share - 1e-12)), n_steps - 1)])

    def intensity_at(share: float) -> float:
        return float(low + step * int(np.count_nonzero(volume > share)))

    v10, v90, i10, i90 = volume_at(0.1), volume_at(0.9), intensity_at(0.1), intensity_at(0.9)
    area = float(np.trapezoid(volume, fraction)) if n_steps > 1 else 1.0
    return np.array([v10, v90, i10, i90, v10 - v90, i10 - i90, area])


def _ivh_values(
    values: FloatArray, processing: Processing, bin_width: float | None, bins: int | None
) -> tuple[FloatArray, float, float, float]:
    """Discretised intensities, the lowest and highest they can be, and the step between them."""
    low, high = processing.bounds
    low = float(values.min()) if not np.isfinite(low) else low
    high = float(values.max()) if not np.isfinite(high) else high
    if bin_width is not None:
        if not bin_width > 0:
            raise InputError(subject="ivh_bin_width", expected="a positive width", found=f"{bin_width}")
        centres = low + (np.floor((values - low) / bin_width) + 0.5) * bin_width
        return centres, low + 0.5 * bin_width, max(high - 0.5 * bin_width, low + 0.5 * bin_width), bin_width
    if bins is not None:
        if bins < 2:
            raise InputError(subject="ivh_bins", expected="at least two", found=f"{bins}")
        low, high = float(values.min()), float(values.max())
        width = (high - low) / bins or 1.0
        return np.minimum(np.floor((values - low) / width) + 1.0, bins), 1.0, float(bins), 1.0
    return values, low, high, 1.0


def local_peaks(region: Region) -> FloatArray:
    """Take the mean intensity in 1 cm³ around the brightest voxel (the highest of several), and the highest of all.

    What lies outside the mask counts too; what lies outside the image does not.
    """
    place = region.aligned.mask_idx[region.kept] - region.aligned.low_idx + region.margin_idx
    means = ball_means(region.around, place, PEAK_RADIUS_MM, region.spacing_kji_mm)
    brightest = region.intensities == region.intensities.max()
    return np.array([means[brightest].max(), means.max()])

"""Grey levels for texture: fixed bin number or fixed bin size, as IBSI defines them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.space import FloatArray

MOST_LEVELS = 512
"""More levels make a co-occurrence table that a neighbourhood cannot fill."""


def discretise(
    values: FloatArray,
    *,
    bins: int = 32,
    bin_width: float | None = None,
    lower_bound: float | None = None,
    name: str = "",
) -> tuple[npt.NDArray[np.uint16], int]:
    """Turn the intensities of a region into grey levels 1…N.

    Parameters
    ----------
    values
        ``(n,)`` intensities of the whole region.
    bins
        Fixed bin number (FBN, K15C) between the region's extremes; used when no ``bin_width`` is given.
    bin_width
        Fixed bin size (FBS, Q3RU) in the image's unit.
    lower_bound
        Where the first bin of FBS begins; the region's minimum when ``None``. IBSI asks for one fixed value in all
        cases.
    name
        The image's name, for messages.

    Returns
    -------
    levels : ndarray
        ``(n,)`` uint16, from 1.
    n_levels : int
        N: ``bins`` for FBN, the highest level met for FBS.

    Raises
    ------
    InputError
        If a setting is out of range, an intensity lies below ``lower_bound``, or FBS gives more than 512 levels.

    References
    ----------
    IBSI reference manual, arXiv:1612.07003, chapter 2.7.
    """
    subject = f"grey levels of image {name!r}" if name else "grey levels"
    low, high = float(values.min()), float(values.max())
    if bin_width is None:
        if not 2 <= bins <= MOST_LEVELS or int(bins) != bins:
            raise InputError(subject=subject, expected=f"2 to {MOST_LEVELS} bins", found=f"{bins}")
        if low == high:
            return np.ones(len(values), dtype=np.uint16), int(bins)
        scaled = np.floor(bins * (values - low) / (high - low)) + 1
        return np.minimum(scaled, bins).astype(np.uint16), int(bins)
    if not np.isfinite(bin_width) or bin_width <= 0:
        raise InputError(subject=subject, expected="a positive bin width", found=f"{bin_width}")
    start = low if lower_bound is None else float(lower_bound)
    if low < start:
        raise InputError(
            subject=subject,
            expected=f"no intensity below the lower bound {start:g}",
            found=f"{int((values < start).sum())} voxels, down to {low:g}",
            remedy="Take them out of the mask (re-segmentation) or lower the bound",
        )
    levels = np.floor((values - start) / bin_width) + 1
    if levels.max() > MOST_LEVELS:
        raise InputError(
            subject=subject,
            expected=f"at most {MOST_LEVELS} levels",
            found=f"{int(levels.max())} of width {bin_width:g}",
            remedy="Give a larger bin width",
        )
    return levels.astype(np.uint16), int(levels.max())

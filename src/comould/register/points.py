"""Pixel positions as they come: numbers, finite, and inside the picture they were measured in."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, InputError

Extent = tuple[float, float]
"""Width and height of a picture in full-resolution px; pixel centres lie on integers."""


def pixel_positions(given: npt.ArrayLike, subject: str, what: str = "points") -> npt.NDArray[Any]:
    """Check ``(n, 2)`` pixel positions; numbers of any kind stay of their kind.

    Raises
    ------
    InputError
        If they have another shape, are no numbers, or some are not finite.
    """
    points = np.asarray(given)
    if points.dtype.kind not in "fiu":
        try:
            points = points.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(subject=subject, expected="numbers", found=f"{points.dtype}") from error
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(subject=subject, expected="shape (n, 2): x, y", found=f"{points.shape}")
    bad = int(np.count_nonzero(~np.isfinite(points).all(axis=1)))
    if bad:
        raise InputError(
            subject=subject, expected="finite positions", found=f"{bad} {what} without", remedy="Drop them first"
        )
    return points


def count_outside(points_px: npt.NDArray[Any], extent_px: Extent | None) -> int:
    """How many positions ``(n, 2)`` lie off the picture (none, if its extent is not known)."""
    if extent_px is None:
        return 0
    low, high = np.full(2, -0.5), np.array(extent_px) - 0.5
    return int(np.count_nonzero(~((points_px >= low) & (points_px <= high)).all(axis=1)))


def tell_outside(outside: int, total: int, extent_px: Extent | None, subject: str) -> None:
    """Warn the caller's caller of positions off the picture.

    Raises
    ------
    InputError
        If all of them are.
    """
    if extent_px is None or not outside:
        return
    size = f"{extent_px[0]:g} × {extent_px[1]:g} px"
    if outside == total:
        raise InputError(
            subject=subject,
            expected=f"positions inside the section's picture of {size}",
            found=f"all {total} outside",
            remedy="Are they full-resolution pixels of this section, x before y?",
        )
    warnings.warn(
        f"{subject}: {outside} of {total} positions lie outside the section's picture of {size}; "
        "they are mapped as if the slide went on",
        ComouldWarning,
        stacklevel=3,
    )

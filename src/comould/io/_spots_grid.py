"""The size of a pixel from the pitch of the spot array: the one ruler every array slide carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comould.errors import InputError
from comould.space.frames import FloatArray

STRETCH_TOLERANCE = 0.03
"""Largest relative difference between the scales of the fit along its two main directions."""

RESIDUAL_TOLERANCE = 0.35
"""Largest median distance of spots from the fitted array, in pitches; beyond half a pitch spots would be confused."""


FIT_SPOTS = 20_000
"""Positions that a fit uses at most: the millions of a binned array measure its scale no better."""


@dataclass(frozen=True)
class ArrayFit:
    """How array positions lie in the picture.

    Parameters
    ----------
    px_per_unit
        Picture pixels per unit of the array coordinates given (the geometric mean of both directions).
    stretch
        Relative difference between the two main scales.
    residual_px
        Median distance of spots from the fit.
    mirrored
        Whether the array is seen as in a mirror.
    """

    px_per_unit: float
    stretch: float
    residual_px: float
    mirrored: bool


def hexagonal(array_xy: FloatArray) -> FloatArray:
    """Lay Visium's doubled coordinates (column, row) out in pitches: half a pitch a column, √3/2 a row."""
    return array_xy * np.array([0.5, np.sqrt(3.0) / 2.0])


def is_doubled(array_xy: FloatArray) -> bool:
    """Tell whether integer array coordinates are those of a hexagonal array (column + row even for every spot)."""
    rounded = np.rint(array_xy)
    return bool(len(array_xy) >= 6 and np.array_equal(rounded, array_xy) and not (rounded.sum(axis=1) % 2).any())


def fit_array(units: FloatArray, px: FloatArray, subject: str) -> ArrayFit:
    """Fit an affine map from array positions to pixels, little moved by stray spots, at any rotation.

    Parameters
    ----------
    units
        ``(n, 2)`` array positions in pitches.
    px
        ``(n, 2)`` x, y in full-resolution pixels.
    subject
        What the message of an error is about.

    Returns
    -------
    ArrayFit
        With ``px_per_unit`` the pixels per pitch.

    Raises
    ------
    InputError
        If the positions do not span the plane, or do not lie on such an array.

    Notes
    -----
    Iteratively reweighted least squares with Huber weights at twice the scaled median residual; of more than
    :data:`FIT_SPOTS` positions a random part is used, always the same.
    """
    if len(units) > FIT_SPOTS:
        some = np.random.default_rng(np.random.SeedSequence(0)).choice(len(units), FIT_SPOTS, replace=False)
        units, px = units[some], px[some]
    design = np.column_stack([units, np.ones(len(units))])
    if len(units) < 3 or np.linalg.matrix_rank(design - design.mean(axis=0) * [1, 1, 0], tol=1e-6) < 3:
        raise InputError(
            subject=subject,
            expected="array positions that span the plane",
            found=f"{len(units)} in a line or at one place",
            remedy="Give pixel_size_um=",
        )
    weights = np.ones(len(units))
    for _ in range(30):
        root = np.sqrt(weights)[:, None]
        solution = np.linalg.lstsq(design * root, px * root, rcond=None)[0]
        distance = np.linalg.norm(px - design @ solution, axis=1)
        scale = 2.0 * 1.4826 * float(np.median(distance)) + 1e-9
        weights = 1.0 / np.maximum(1.0, distance / scale)
    linear = solution[:2].T
    scales = np.linalg.svd(linear, compute_uv=False)
    stretch = float(scales[0] / max(scales[1], 1e-12) - 1.0)
    size = float(np.sqrt(scales[0] * scales[1]))
    residual = float(np.median(distance))
    if stretch > STRETCH_TOLERANCE or residual > RESIDUAL_TOLERANCE * size or size < 1e-9:
        raise InputError(
            subject=subject,
            expected="pixel positions that follow the array",
            found=f"a fit stretched by {100 * min(stretch, 99.0):.1f} % with a median residual of "
            f"{residual / max(size, 1e-12):.2g} pitches",
            remedy="Check that rows and columns, x and y are not exchanged, and that the array is square or hexagonal "
            "as its platform says",
        )
    return ArrayFit(size, stretch, residual, bool(np.linalg.det(linear) < 0))


def nearest_neighbour_px(px: FloatArray) -> float:
    """Give the median distance from a spot to its nearest neighbour, pixels; 0 for a single spot."""
    from scipy.spatial import cKDTree

    if len(px) < 2:
        return 0.0
    return float(np.median(cKDTree(px).query(px, k=2)[0][:, 1]))

"""Frames, axis order and units: stated here and nowhere else.

World
    Patient **LPS** (x towards the patient's Left, y Posterior, z Superior), millimetres, float64: the DICOM and ITK
    world. Points are ``(n, 3)`` arrays in x, y, z order; image arrays are ``(z, y, x)``.

Frames
    ========== =================================================================================================
    patient    LPS mm, as above
    mould      printer mm: z up from the print bed, proper rotation of the patient frame (never a mirror)
    plane      mm in one cutting plane: x along its u, y along its v, z along its normal from its origin
    section_mm mm on one section's slide: x right, y down as the image is seen, z = 0
    section_px continuous full-resolution pixels of a section's image, pixel centres on integers, z = 0
    ========== =================================================================================================

    All transforms are three-dimensional; points of the two section frames carry z = 0.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Frame(StrEnum):
    """A coordinate frame; see the module's text for axes and units."""

    PATIENT = "patient"
    MOULD = "mould"
    PLANE = "plane"
    SECTION_MM = "section_mm"
    SECTION_PX = "section_px"


_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))

DIRECTIONS: dict[str, tuple[float, float, float]] = {
    "left": (1.0, 0.0, 0.0),
    "right": (-1.0, 0.0, 0.0),
    "posterior": (0.0, 1.0, 0.0),
    "anterior": (0.0, -1.0, 0.0),
    "superior": (0.0, 0.0, 1.0),
    "inferior": (0.0, 0.0, -1.0),
}
"""Unit vectors of the anatomical directions in patient LPS."""


def anatomical_letter(direction: npt.ArrayLike) -> str:
    """Name the anatomical direction a patient vector points to.

    Parameters
    ----------
    direction
        Vector of 3, patient LPS; any length but zero.

    Returns
    -------
    str
        One of ``R L A P S I``: the axis with the largest component, with its sign.

    Raises
    ------
    ValueError
        If the vector is zero or not finite.
    """
    vector = np.asarray(direction, dtype=np.float64)
    if vector.shape != (3,) or not np.isfinite(vector).all() or not vector.any():
        msg = f"a direction is a finite, non-zero vector of 3, found {vector!r}"
        raise ValueError(msg)
    axis = int(np.argmax(np.abs(vector)))
    return _LETTERS[axis][0 if vector[axis] > 0 else 1]


def as_points(points: npt.ArrayLike) -> FloatArray:
    """Turn anything point-like into a C-contiguous ``(n, 3)`` float64 array.

    Parameters
    ----------
    points
        ``(n, 3)`` or ``(3,)``; ``(n, 2)`` or ``(2,)`` gets z = 0.

    Returns
    -------
    ndarray
        ``(n, 3)``, float64.

    Raises
    ------
    ValueError
        For any other shape.
    """
    array = np.atleast_2d(np.asarray(points, dtype=np.float64))
    if array.ndim != 2 or array.shape[1] not in {2, 3}:
        msg = f"points are (n, 3) or (n, 2), found shape {array.shape}"
        raise ValueError(msg)
    if array.shape[1] == 2:
        array = np.column_stack([array, np.zeros(len(array))])
    return np.ascontiguousarray(array)

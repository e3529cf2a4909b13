"""Fewer facets for the eye: a surface simplified within a stated tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from comould.errors import PrintabilityError
from comould.mould.form import solid_of
from comould.mould.inspect import surface_of
from comould.space import FloatArray

TOLERANCES_MM = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Tried in turn until the surface is light enough; the last one bounds what is lost."""


def lighten(
    vertices: npt.ArrayLike, faces: npt.ArrayLike, most_faces: int
) -> tuple[FloatArray, npt.NDArray[np.int64], float]:
    """Simplify a closed surface for display, never for printing.

    Parameters
    ----------
    vertices
        ``(n, 3)`` mm, any frame.
    faces
        ``(m, 3)`` indices, wound outwards.
    most_faces
        Facets wanted at most.

    Returns
    -------
    tuple
        Vertices ``(k, 3)`` mm in the same frame, faces ``(l, 3)``, and the tolerance used in mm: no point of the
        surface was moved further. More than ``most_faces`` are left when 0.4 mm does not suffice. A surface that is
        light enough, or not closed, comes back as it is, with a tolerance of 0.
    """
    corners = np.asarray(vertices, dtype=np.float64)
    triangles = np.asarray(faces, dtype=np.int64)
    if len(triangles) <= most_faces:
        return corners, triangles, 0.0
    # Single precision near the origin: patient positions may lie a metre away.
    middle = 0.5 * (corners.min(axis=0) + corners.max(axis=0))
    try:
        solid: Any = solid_of((corners - middle, triangles), "surface to show")
    except PrintabilityError:
        return corners, triangles, 0.0
    for tolerance in TOLERANCES_MM:
        found, kept = surface_of(solid.simplify(tolerance))
        if len(kept) <= most_faces:
            break
    return found + middle, kept, tolerance

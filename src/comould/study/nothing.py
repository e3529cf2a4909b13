"""What not registering would give: the baseline every error is shown beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.io.section import Section
from comould.space import CutPlane, FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk


def nothing_done(section: Section, points_px: npt.ArrayLike, plane: CutPlane, mask: sitk.Image) -> FloatArray:
    """Lay a section on its plane as it lies on the slide, centre on centre.

    Parameters
    ----------
    section
        The slide.
    points_px
        ``(n, 2)`` full-resolution px; their mean comes to the specimen's middle in the plane.
    plane
        Where the section was cut.
    mask
        The specimen.

    Returns
    -------
    ndarray
        ``(n, 3)`` patient LPS mm.
    """
    import SimpleITK as sitk

    grid = Grid.from_image(mask)
    inside = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)[:, ::-1]
    points = grid.patient_from_index(inside)
    near = np.abs(plane.distance_mm(points)) <= max(grid.spacing_mm)
    centre = plane.plane_from_patient.apply(points[near] if near.any() else points).mean(axis=0)
    flat = section.section_mm_from_section_px.apply(points_px)
    return plane.patient_from_plane.apply(flat - flat.mean(axis=0) + [centre[0], centre[1], 0.0])

"""The solid bodies to be turned: mould, inlays and specimen, light enough for a page, in patient mm."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from comould.pl.mould_figure import body_colours
from comould.pl.style import SPECIMEN
from comould.report.case import CaseReport
from comould.report.explore.pack import packed_mesh
from comould.space import FloatArray, Grid

MOST_FACES = 60_000
"""Facets of one body, at most."""
GLASS = 0.35
"""How solid a mould's bodies are at first."""


def bodies(case: CaseReport) -> list[dict[str, Any]]:
    """Pack every body in patient mm: the printed ones first, the specimen last; none without mould and mask."""
    if case.mould is not None:
        home = case.mould.mould_from_patient.inverse()
        colours = body_colours(case.mould)
        meshes = {**case.mould.bodies, **getattr(case.mould, "inlays", {})}
        made = [
            _body(name, home.apply(np.asarray(mesh.vertices)), mesh.faces, colours[name], GLASS)
            for name, mesh in meshes.items()
        ]
        inside = case.mould.specimen
        return [*made, _body("specimen", home.apply(np.asarray(inside.vertices)), inside.faces, SPECIMEN, 1.0)]
    if case.mask is None:
        return []
    vertices, faces = mask_surface(case.mask)
    return [_body("specimen", vertices, faces, SPECIMEN, GLASS)]


def up(case: CaseReport) -> FloatArray:
    """Rotation whose rows are the right, the back and the up of the view at first: the mould's, else the patient's."""
    if case.mould is not None:
        return np.asarray(case.mould.mould_from_patient.matrix[:3, :3], dtype=np.float64)
    return np.eye(3)


def mask_surface(mask: Any) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Extract the surface of a mask for the eye: half a voxel of blur takes the steps off.

    Parameters
    ----------
    mask
        SimpleITK image, not 0 inside.

    Returns
    -------
    tuple
        Vertices ``(n, 3)`` patient mm and faces ``(m, 3)``, wound outwards.
    """
    import warnings

    import SimpleITK as sitk
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes

    inside = np.pad(sitk.GetArrayViewFromImage(mask) != 0, 2).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # scikit-image's own, with NumPy 2.5
        vertices, faces, _, _ = marching_cubes(gaussian_filter(inside, 0.7), 0.4999, allow_degenerate=False)
    points = Grid.from_image(mask).patient_from_index(vertices[:, ::-1].astype(np.float64) - 2.0)
    corners = points[faces]
    volume = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum()
    return points, np.ascontiguousarray(faces if volume > 0 else faces[:, ::-1]).astype(np.int64)


def _body(
    name: str, vertices: FloatArray, faces: npt.ArrayLike, colour: tuple[float, float, float], opacity: float
) -> dict[str, Any]:
    from comould.mould.lighten import lighten

    corners, triangles, tolerance = lighten(vertices, faces, MOST_FACES)
    return {
        "name": name, "colour": [round(c, 3) for c in colour], "opacity": opacity, "tolerance_mm": tolerance,
        **packed_mesh(corners, triangles),
    }  # fmt: skip

"""Where the knife really went: the plan's plane, but for the cutting error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comould.phantom.cut_options import CutOptions
from comould.phantom.shape import Body
from comould.space import CutPlane, FloatArray, Transform

LATTICE_MM = 0.6


@dataclass(frozen=True, eq=False)
class TrueCut:
    """A cut as it was made.

    Parameters
    ----------
    plane
        The true plane; its id, kerf and face are the plan's.
    offset_mm
        Its distance from the plan's plane along that one's normal, at the middle of the specimen in the plane.
    tilt_deg
        Rotation about the plan's u and about its v through that middle, as a rotation vector: its length is the angle
        between the two normals.
    """

    plane: CutPlane
    offset_mm: float
    tilt_deg: tuple[float, float]

    @property
    def patient_from_cut(self) -> Transform:
        """The cut's own u, v and distance to patient mm."""
        return self.plane.patient_from_plane


def true_cut(plane: CutPlane, body: Body, options: CutOptions, rng: np.random.Generator) -> TrueCut:
    """Displace and tilt a plane by the cutting error.

    The tilt is about the middle of the specimen in the plane, wherever the plane's origin lies: an origin far from the
    specimen would make every tilt an offset.
    """
    spread = rng.normal(0.0, 1.0, 2) * options.tilt_sd_deg
    offset = rng.normal() * options.offset_sd_mm
    # Drawn whether or not they are used, so that one option does not change what chance gives the others.
    side, axis = rng.random(), rng.uniform(0.0, 2.0 * np.pi)
    offset += options.offset_mm if side < 0.5 else 0.0 - options.offset_mm
    tilt = spread + options.tilt_deg * np.array([np.cos(axis), np.sin(axis)])
    turn = plane.rotation @ _about(tilt)
    origin = np.array(plane.origin_mm)
    if tilt.any():
        outline = specimen_in_cut(body, plane.patient_from_plane)
        pivot = np.zeros(3)
        if len(outline):
            pivot[:2] = (outline.min(axis=0) + outline.max(axis=0)) / 2.0
        origin = origin + plane.rotation @ pivot - turn @ pivot
    origin = origin + offset * np.array(plane.normal)
    u, v, normal = (tuple(column.tolist()) for column in turn.T)
    moved = offset != 0.0 or bool(tilt.any())
    made = CutPlane(
        plane.id,
        tuple(origin.tolist()),
        normal,
        u,
        v,
        image_index=None if moved else plane.image_index,
        kerf_mm=plane.kerf_mm,
        face=plane.face,
    )
    return TrueCut(made, float(offset), (float(tilt[0]), float(tilt[1])))


def _about(tilt_deg: FloatArray) -> FloatArray:
    """Rotation matrix of an in-plane rotation vector, in degrees (Rodrigues)."""
    x, y = np.deg2rad(tilt_deg)
    angle = float(np.hypot(x, y))
    cross = np.array([[0.0, 0.0, y], [0.0, 0.0, -x], [-y, x, 0.0]])
    matrix: FloatArray = np.eye(3) + np.sinc(angle / np.pi) * cross
    half = np.sinc(angle / (2.0 * np.pi))
    return matrix + 0.5 * half**2 * (cross @ cross)


def specimen_in_cut(body: Body, patient_from_cut: Transform) -> FloatArray:
    """Points ``(n, 2)`` of the cut's u, v, 0.6 mm apart, that lie in the specimen; none when the cut misses it."""
    surface = patient_from_cut.inverse().apply(body.surface_mm(2000))
    if surface[:, 2].min() > 0.0 or surface[:, 2].max() < 0.0:
        return np.empty((0, 2))
    low, high = surface.min(axis=0), surface.max(axis=0)
    u, v = np.meshgrid(*(np.arange(low[n], high[n] + LATTICE_MM, LATTICE_MM) for n in (0, 1)))
    points = np.column_stack([u.ravel(), v.ravel()])
    return points[body.level_mm(patient_from_cut.apply(points)) <= 0.0]

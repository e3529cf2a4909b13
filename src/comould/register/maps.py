"""PlanarMap: slide mm to plane mm in two dimensions, and its exact three-dimensional form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from comould.space import FloatArray, Frame, Transform, as_points
from comould.space.bspline import CubicBSpline

SPLINE_HALF_DEPTH_MM = 1000.0
"""Half the thickness of the slab in which an embedded B-spline acts; section points lie at its middle, z = 0."""


@dataclass(frozen=True, eq=False)
class Spline:
    """A cubic B-spline displacement on a regular grid, as ITK and elastix define it.

    Parameters
    ----------
    coefficients
        ``(2, ny, nx)``: x and y displacement in mm.
    spacing_mm, origin_mm
        Of the coefficient grid, x and y.
    """

    coefficients: FloatArray
    spacing_mm: tuple[float, float]
    origin_mm: tuple[float, float]

    def displacement(self, points: FloatArray) -> FloatArray:
        """Displacement ``(n, 2)`` at points ``(n, 2)``; zero outside the grid's inner cells, as in ITK."""
        moved = as_points(points)
        CubicBSpline.planar(self.coefficients, self.spacing_mm, self.origin_mm).move(moved)
        return moved[:, :2] - points


@dataclass(frozen=True, eq=False)
class PlanarMap:
    """Maps slide mm ``(n, 2)`` to plane mm ``(n, 2)``: linear first, then an optional B-spline.

    Parameters
    ----------
    linear
        ``(3, 3)`` homogeneous.
    spline
        Acts on the linearly mapped points: ``p = q + d(q)``, ``q = linear(x)``.
    """

    linear: FloatArray
    spline: Spline | None = None

    def apply(self, points: FloatArray) -> FloatArray:
        """Map points."""
        mapped = points @ self.linear[:2, :2].T + self.linear[:2, 2]
        return mapped if self.spline is None else mapped + self.spline.displacement(mapped)

    def jacobians(self, points: FloatArray, step_mm: float = 0.02) -> FloatArray:
        """Jacobian matrices ``(n, 2, 2)`` at points, by central differences (exact for the linear part)."""
        if self.spline is None:
            return np.broadcast_to(self.linear[:2, :2], (len(points), 2, 2))
        columns = [
            (self.apply(points + step_mm * axis) - self.apply(points - step_mm * axis)) / (2 * step_mm)
            for axis in np.eye(2)
        ]
        return np.stack(columns, axis=-1)

    def after(self, first: FloatArray) -> PlanarMap:
        """Join with a linear map ``(3, 3)`` that acts before this one."""
        return replace(self, linear=self.linear @ first)

    @property
    def flipped(self) -> bool:
        """Whether the slide shows the plane's mirror image."""
        return bool(np.linalg.det(self.linear[:2, :2]) < 0)

    @property
    def angle_deg(self) -> float:
        """Turn of the (already mirrored) slide towards the plane, 0 to 360."""
        left, _, right = np.linalg.svd(self.linear[:2, :2] @ np.diag([-1.0 if self.flipped else 1.0, 1.0]))
        rotation = left @ right
        return float(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0])) % 360.0)

    @property
    def scale(self) -> float:
        """Mean linear scale of the linear part, plane mm per slide mm."""
        return float(np.sqrt(abs(np.linalg.det(self.linear[:2, :2]))))

    def to_transform(self, offset_mm: float = 0.0) -> Transform:
        """Embed in three dimensions, exactly, for points of the slide (z = 0).

        A mirrored section becomes a section turned over: z changes sign with the flip, so the linear part stays a
        proper map. The B-spline gets one cell of constant coefficients along z; cubic B-splines sum to one, so the
        displacement is that of the plane.

        Parameters
        ----------
        offset_mm
            Distance of the section from the plane along its normal.
        """
        linear = self._embedded_linear(Frame.PLANE)
        depth = np.eye(4)
        depth[2, 3] = offset_mm
        lift = Transform.from_matrix(Frame.PLANE, Frame.PLANE, depth)
        if self.spline is None:
            return lift @ linear
        return lift @ (_embedded(self.spline, Frame.PLANE) @ linear)

    def to_section(self) -> Transform:
        """Embed in three dimensions between two pictures: slide mm to the other's slide mm."""
        linear = self._embedded_linear(Frame.SECTION_MM)
        return linear if self.spline is None else _embedded(self.spline, Frame.SECTION_MM) @ linear

    def _embedded_linear(self, target: Frame) -> Transform:
        matrix = np.eye(4)
        matrix[:2, :2], matrix[:2, 3] = self.linear[:2, :2], self.linear[:2, 2]
        matrix[2, 2] = -1.0 if self.flipped else 1.0
        return Transform.from_matrix(Frame.SECTION_MM, target, matrix)


def _embedded(spline: Spline, frame: Frame) -> Transform:
    import SimpleITK as sitk

    cell = 2 * SPLINE_HALF_DEPTH_MM
    zero = np.zeros_like(spline.coefficients[0])
    images = []
    for component in (*spline.coefficients, zero):
        image = sitk.GetImageFromArray(np.ascontiguousarray(np.broadcast_to(component, (4, *component.shape))))
        image.SetSpacing((*spline.spacing_mm, cell))
        image.SetOrigin((*spline.origin_mm, -1.5 * cell))
        images.append(image)
    return Transform(frame, frame, sitk.BSplineTransform(images, 3))


def similarity(
    angle_deg: float, scale: float, *, flipped: bool, centre_from: FloatArray, centre_to: FloatArray
) -> FloatArray:
    """Make the ``(3, 3)`` map that mirrors x (when flipped), turns, scales, and takes one centre to the other."""
    t = np.deg2rad(angle_deg)
    matrix = np.eye(3)
    rotation = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    matrix[:2, :2] = scale * rotation @ np.diag([-1.0 if flipped else 1.0, 1.0])
    matrix[:2, 2] = centre_to - matrix[:2, :2] @ centre_from
    return matrix

"""Plane to picture: homography by direct linear transform, robust refinement, lens distortion, camera pose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from comould.register.raster import BoolArray
from comould.space import FloatArray

POINTS_FOR_DISTORTION = 8
"""Fewer targets than this leave the lens's distortion at zero."""


@dataclass(frozen=True, eq=False)
class PlaneCamera:
    """How a plane in millimetres is seen on a photograph.

    Parameters
    ----------
    px_from_mm
        ``(3, 3)`` homography to undistorted pixels.
    centre_px
        Centre of the distortion (the picture's middle).
    scale_px
        Length in which the distortion is counted (half the picture's diagonal).
    k1
        Radial distortion: a point at distance r (in ``scale_px``) of the centre is seen at ``r (1 + k1 r²)``.
    """

    px_from_mm: FloatArray
    centre_px: tuple[float, float]
    scale_px: float
    k1: float = 0.0

    def project(self, points_mm: FloatArray) -> FloatArray:
        """Pixels ``(n, 2)`` at which points ``(n, 2)`` of the plane are seen."""
        flat = apply(self.px_from_mm, points_mm)
        if self.k1 == 0.0:
            return flat
        away = (flat - self.centre_px) / self.scale_px
        return np.asarray(
            self.centre_px + away * (1.0 + self.k1 * (away**2).sum(axis=1, keepdims=True)) * self.scale_px
        )

    def mm_per_px(self, points_mm: FloatArray) -> FloatArray:
        """Side of a pixel on the plane ``(n,)`` near points ``(n, 2)``: the root of the area."""
        step = 0.05
        base = self.project(points_mm)
        dx, dy = (self.project(points_mm + step * np.eye(2)[k]) - base for k in (0, 1))
        area = np.abs(dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]) / step**2
        return np.asarray(1.0 / np.sqrt(np.maximum(area, 1e-12)))

    def raised(self, height_mm: float, focal_px: float) -> PlaneCamera:
        """Give the same camera's view of the plane ``height_mm`` nearer to it."""
        if height_mm == 0.0:
            return self
        K = calibration(focal_px, self.centre_px)
        M, r1, r2 = _pose(self.px_from_mm, K)
        # x × y points away from a camera that sees the sheet unmirrored with y down.
        nearer = -np.cross(r1, r2)
        return replace(self, px_from_mm=K @ np.column_stack([M[:, 0], M[:, 1], M[:, 2] + height_mm * nearer]))


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted :class:`PlaneCamera`, residuals ``(n, 2)`` in mm, and which points were used."""

    camera: PlaneCamera
    residual_mm: FloatArray
    used: BoolArray


def apply(H: FloatArray, points: FloatArray) -> FloatArray:
    """Map points ``(n, 2)`` by a homography."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ H.T
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def direct(points: FloatArray, seen: FloatArray) -> FloatArray:
    """Homography by the normalised direct linear transform; four points or more, no three of four on a line.

    References
    ----------
    R. Hartley, A. Zisserman, *Multiple View Geometry in Computer Vision*, 2nd ed., 4.4, doi:10.1017/CBO9780511811685.
    """
    T, U = _normaliser(points), _normaliser(seen)
    p, q = apply(T, points), apply(U, seen)
    ones, zero = np.ones(len(p)), np.zeros((len(p), 3))
    h = np.column_stack([p, ones])
    rows = np.vstack(
        [np.hstack([h, zero, -q[:, :1] * h]), np.hstack([zero, h, -q[:, 1:] * h])],
    )
    H = np.linalg.inv(U) @ np.linalg.svd(rows)[2][-1].reshape(3, 3) @ T
    return np.asarray(H / H[2, 2])


def _normaliser(points: FloatArray) -> FloatArray:
    middle = points.mean(axis=0)
    size = np.sqrt(2.0) / max(float(np.linalg.norm(points - middle, axis=1).mean()), 1e-12)
    return np.array([[size, 0.0, -size * middle[0]], [0.0, size, -size * middle[1]], [0.0, 0.0, 1.0]])


def fit(points_mm: FloatArray, seen_px: FloatArray, shape: tuple[int, int], *, radius_mm: float = 0.0) -> Fit:
    """Fit homography and, with eight points or more and only if it helps, the lens's distortion.

    Parameters
    ----------
    points_mm, seen_px
        ``(n, 2)``, n at least 4.
    shape
        Height and width of the photograph.
    radius_mm
        Radius of the dots whose centres of mass were measured: seen at an angle, a circle's centre of mass is not the
        image of its centre, and the difference is taken off.
    """
    centre = (0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1))
    start = PlaneCamera(direct(points_mm, seen_px), centre, 0.5 * float(np.hypot(*shape)))
    used = np.ones(len(points_mm), dtype=bool)
    camera = start
    for _ in range(4):
        bias = _circle_bias(camera, points_mm, radius_mm)
        camera = _refined(start, points_mm[used], (seen_px - bias)[used])
        away = np.linalg.norm(_residual_mm(camera, points_mm, seen_px - bias), axis=1)
        spread = max(float(np.median(away[used])), 0.01)
        keep = away <= 5.0 * spread
        if (keep == used).all() or keep.sum() < max(4, 0.6 * len(used)):
            break
        used = keep
        start = replace(start, px_from_mm=direct(points_mm[used], seen_px[used]))
    bias = _circle_bias(camera, points_mm, radius_mm)
    return Fit(camera, _residual_mm(camera, points_mm, seen_px - bias), used)


def _residual_mm(camera: PlaneCamera, points_mm: FloatArray, seen_px: FloatArray) -> FloatArray:
    return np.asarray((seen_px - camera.project(points_mm)) * camera.mm_per_px(points_mm)[:, None])


def _circle_bias(camera: PlaneCamera, points_mm: FloatArray, radius_mm: float) -> FloatArray:
    """Centre of mass of a projected disc minus the projection of its centre ``(n, 2)``."""
    turn = np.arange(12) * 2 * np.pi / 12
    ring = np.column_stack([np.cos(turn), np.sin(turn)])
    # Two rings that share the disc's area stand for it; each place counts by the area it is seen with.
    offsets = radius_mm * np.vstack([np.sqrt(0.25) * ring, np.sqrt(0.75) * ring])
    at = (points_mm[:, None, :] + offsets).reshape(-1, 2)
    area = (1.0 / camera.mm_per_px(at) ** 2).reshape(len(points_mm), -1, 1)
    seen = camera.project(at).reshape(len(points_mm), -1, 2)
    return np.asarray((seen * area).sum(axis=1) / area.sum(axis=1) - camera.project(points_mm))


def _refined(start: PlaneCamera, points_mm: FloatArray, seen_px: FloatArray) -> PlaneCamera:
    """Least squares with a soft loss on millimetres; distortion is kept only if it explains significantly more."""
    from scipy.optimize import least_squares

    T, U = _normaliser(points_mm), _normaliser(seen_px)
    scale = 1.0 / (start.mm_per_px(points_mm)[:, None])

    def camera(x: FloatArray) -> PlaneCamera:
        H = np.linalg.inv(U) @ np.append(x[:8], 1.0).reshape(3, 3) @ T
        return replace(start, px_from_mm=H, k1=float(x[8]) if len(x) > 8 else 0.0)

    def away(x: FloatArray) -> FloatArray:
        return np.asarray(((seen_px - camera(x).project(points_mm)) / scale).ravel())

    H = U @ start.px_from_mm @ np.linalg.inv(T)
    x0 = (H / H[2, 2]).ravel()[:8]
    plain = least_squares(away, x0, loss="soft_l1", f_scale=0.1)
    if len(points_mm) < POINTS_FOR_DISTORTION:
        return camera(plain.x)
    bent = least_squares(away, np.append(plain.x, 0.0), loss="soft_l1", f_scale=0.1)
    free = 2 * len(points_mm) - 9
    # F of one more parameter, at about the 1 % level for few degrees of freedom.
    better = (plain.cost - bent.cost) / max(bent.cost / free, 1e-15) > 10.0
    return camera(bent.x) if better and abs(bent.x[8]) < 0.5 else camera(plain.x)


def calibration(focal_px: float, centre_px: tuple[float, float]) -> FloatArray:
    """Give the camera matrix of square pixels and a central axis."""
    return np.array([[focal_px, 0.0, centre_px[0]], [0.0, focal_px, centre_px[1]], [0.0, 0.0, 1.0]])


def _pose(H: FloatArray, K: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the plane's axes and origin in the camera's frame as columns (mm), and the axes made orthonormal."""
    M = np.linalg.inv(K) @ H
    size = np.sqrt(np.linalg.norm(M[:, 0]) * np.linalg.norm(M[:, 1]))
    M = M / (size if M[2, 2] > 0 else -size)
    u, _, v = np.linalg.svd(M[:, :2], full_matrices=False)
    r = u @ v
    return M, r[:, 0], r[:, 1]


def tilt_and_height(camera: PlaneCamera, focal_px: float, point_mm: FloatArray) -> tuple[float, float]:
    """Give the tilt (degrees from straight above) of the sight of a point of the plane, and the camera's height, mm."""
    M, r1, r2 = _pose(camera.px_from_mm, calibration(focal_px, camera.centre_px))
    at = M[:, 2] + point_mm[0] * r1 + point_mm[1] * r2
    height = float(abs(np.cross(r1, r2) @ at))
    return float(np.degrees(np.arccos(np.clip(height / np.linalg.norm(at), -1.0, 1.0)))), height


def focal_from(fitted: Fit, points_mm: FloatArray, first_px: float) -> tuple[float, float] | None:
    """Find the focal length from the perspective itself.

    Parameters
    ----------
    fitted
        The plane as seen.
    points_mm
        The targets that were used ``(n, 2)``.
    first_px
        Where to begin.

    Returns
    -------
    tuple of float or None
        Focal length in pixels and its relative standard deviation, or ``None`` when the plane is seen too straight to
        tell. Square pixels and a lens centred on the picture are assumed: a cut-out picture tells wrong.

    References
    ----------
    Z. Zhang, IEEE PAMI 22 (2000), doi:10.1109/34.888718.
    """
    from scipy.optimize import least_squares
    from scipy.spatial.transform import Rotation

    plane = replace(fitted.camera, k1=0.0)
    seen, scale = plane.project(points_mm), 1.0 / plane.mm_per_px(points_mm)[:, None]
    M, r1, r2 = _pose(plane.px_from_mm, calibration(first_px, plane.centre_px))
    turn = Rotation.from_matrix(np.column_stack([r1, r2, np.cross(r1, r2)])).as_rotvec()

    def away(x: FloatArray) -> FloatArray:
        R = Rotation.from_rotvec(x[1:4]).as_matrix()
        H = calibration(first_px * np.exp(x[0]), plane.centre_px) @ np.column_stack([R[:, 0], R[:, 1], x[4:7]])
        return np.asarray(((seen - apply(H, points_mm)) / scale).ravel())

    found = least_squares(away, np.concatenate([[0.0], turn, M[:, 2]]), x_scale="jac", max_nfev=200)
    if not found.success or abs(found.x[0]) > 1.5:
        return None
    noise = max(float(np.sqrt((fitted.residual_mm[fitted.used] ** 2).mean())), 0.03)
    inverse = np.linalg.pinv(found.jac.T @ found.jac)
    return float(first_px * np.exp(found.x[0])), float(noise * np.sqrt(inverse[0, 0]))

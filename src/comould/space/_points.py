"""Vectorised point mapping through SimpleITK transforms (SimpleITK itself maps one point a call)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from comould.space.frames import FloatArray

if TYPE_CHECKING:
    import SimpleITK as sitk


def apply(transform: sitk.Transform, points: FloatArray) -> FloatArray:
    """Map ``(n, 3)`` points; linear parts as matrices, cubic B-splines vectorised, anything else point by point."""
    import SimpleITK as sitk

    transform = transform.Downcast()
    if isinstance(transform, sitk.CompositeTransform):
        # ITK applies the last transform of a composite first.
        for part in reversed(range(transform.GetNumberOfTransforms())):
            points = apply(transform.GetNthTransform(part), points)
        return points
    if transform.IsLinear():
        origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
        columns = [np.array(transform.TransformPoint(tuple(axis))) - origin for axis in np.eye(3)]
        return points @ np.array(columns) + origin
    if isinstance(transform, sitk.BSplineTransform) and transform.GetOrder() == 3:
        return points + bspline_displacement(transform, points)
    return np.array([transform.TransformPoint(point) for point in points.tolist()]).reshape(-1, 3)


def bspline_displacement(transform: sitk.BSplineTransform, points: FloatArray) -> FloatArray:
    """Evaluate a cubic B-spline's displacement ``(n, 3)``; zero outside its domain, as in ITK."""
    import SimpleITK as sitk

    images = transform.GetCoefficientImages()
    direction = np.array(images[0].GetDirection()).reshape(3, 3) * np.array(images[0].GetSpacing())
    index = (points - np.array(images[0].GetOrigin())) @ np.linalg.inv(direction).T
    size = np.array(images[0].GetSize())
    inside = np.all((index >= 1.0 - 1e-9) & (index <= size - 2.0 + 1e-9), axis=1)
    displacement = np.zeros_like(points)
    coefficients = np.stack([sitk.GetArrayViewFromImage(image) for image in images], axis=-1)
    displacement[inside] = _cubic(coefficients, np.clip(index[inside], 1.0, size - 2.0))
    return displacement


def _cubic(coefficients: FloatArray, index: FloatArray) -> FloatArray:
    """Sum the 4×4×4 tensor-product cubic B-spline; ``coefficients`` is ``(z, y, x, 3)``, ``index`` in x, y, z."""
    size = np.array(coefficients.shape[2::-1])
    start = np.minimum(np.floor(index).astype(np.intp), size - 3) - 1
    weights = _cubic_weights(index - start - 1)
    flat = coefficients.reshape(-1, 3)
    total = np.zeros((len(index), 3))
    for i, j, k in product(range(4), repeat=3):
        row = ((start[:, 2] + k) * size[1] + start[:, 1] + j) * size[0] + start[:, 0] + i
        total += (weights[i, :, 0] * weights[j, :, 1] * weights[k, :, 2])[:, None] * flat[row]
    return total


def _cubic_weights(t: FloatArray) -> FloatArray:
    """Four uniform cubic B-spline weights at fraction ``t`` of the cell, shape ``(4, *t.shape)``."""
    return np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6.0


def newton_inverse(
    transform: sitk.Transform, targets: FloatArray, tolerance: float, max_iterations: int
) -> tuple[FloatArray, float]:
    """Solve ``transform(x) = targets`` by damped Newton steps; returns points and the worst residual."""
    points = _linear_guess(transform, targets)
    residual = targets - apply(transform, points)
    for _ in range(max_iterations):
        worst = np.abs(residual).max(axis=1)
        active = worst > tolerance
        if not active.any():
            break
        step = np.linalg.solve(_jacobian(transform, points[active]), residual[active][..., None])[..., 0]
        best = points[active]
        error = worst[active]
        open_ = np.ones(len(best), dtype=bool)
        for damping in (1.0, 0.5, 0.25, 0.1, 0.02):
            trial = points[active][open_] + damping * step[open_]
            trial_error = np.abs(targets[active][open_] - apply(transform, trial)).max(axis=1)
            better = trial_error < error[open_]
            rows = np.flatnonzero(open_)[better]
            best[rows], error[rows] = trial[better], trial_error[better]
            open_[rows] = False
            if not open_.any():
                break
        points[active] = best
        residual = targets - apply(transform, points)
        if open_.all():
            break
    return points, float(np.abs(residual).max(initial=0.0))


def _linear_guess(transform: sitk.Transform, targets: FloatArray) -> FloatArray:
    """Undo the linear parts, ignoring deformations: a start for Newton."""
    import SimpleITK as sitk

    transform = transform.Downcast()
    parts = [transform]
    if isinstance(transform, sitk.CompositeTransform):
        parts = [transform.GetNthTransform(n) for n in range(transform.GetNumberOfTransforms())]
    points = targets.copy()
    for part in parts:
        if part.IsLinear():
            points = apply(part.GetInverse(), points)
    return points


def _jacobian(transform: sitk.Transform, points: FloatArray, step: float = 1e-4) -> FloatArray:
    jacobian = np.empty((len(points), 3, 3))
    for axis in range(3):
        shift = np.zeros(3)
        shift[axis] = step
        jacobian[:, :, axis] = (apply(transform, points + shift) - apply(transform, points - shift)) / (2 * step)
    return jacobian

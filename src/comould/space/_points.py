"""Points through SimpleITK transforms, millions at a time (SimpleITK itself maps one point a call)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.space import bspline
from comould.space.frames import FloatArray, as_points

if TYPE_CHECKING:
    import SimpleITK as sitk

_BLOCK = 8192
"""Points a step works on at a time: their 200 kB stay in a core's own cache."""

_WORTH_COMPILING = 30_000_000
"""Points times steps from which loading the compiled loops (1 to 2 s) is sooner done than going without."""


class PointMap:
    """What a SimpleITK transform does to points, read once: matrices, cubic B-splines, and anything else as it is.

    Linear parts that follow each other are one matrix.
    """

    def __init__(self, transform: sitk.Transform) -> None:
        self._steps: list[Any] = []
        self._read(transform)

    def _read(self, transform: sitk.Transform) -> None:
        import SimpleITK as sitk

        transform = transform.Downcast()
        if isinstance(transform, sitk.CompositeTransform):
            # ITK applies the last transform of a composite first.
            for part in reversed(range(transform.GetNumberOfTransforms())):
                self._read(transform.GetNthTransform(part))
        elif transform.IsLinear():
            matrix = linear_part(transform)
            if self._steps and isinstance(self._steps[-1], np.ndarray):
                matrix = matrix @ np.vstack([self._steps.pop(), (0.0, 0.0, 0.0, 1.0)])
            self._steps.append(np.ascontiguousarray(matrix))
        elif isinstance(transform, sitk.BSplineTransform) and transform.GetOrder() == 3:
            self._steps.append(bspline.CubicBSpline.from_itk(transform))
        else:
            self._steps.append(transform)

    def __len__(self) -> int:
        return len(self._steps)

    def move(self, points: FloatArray, *, fast: bool) -> None:
        """Map ``(n, 3)`` C-contiguous float64 points in place."""
        # Points that are not finite pass through as such, without numpy's remarks.
        with np.errstate(invalid="ignore", over="ignore"):
            for step in self._steps:
                if isinstance(step, np.ndarray):
                    bspline.map_linear(points, step, fast=fast)
                elif isinstance(step, bspline.CubicBSpline):
                    step.move(points, fast=fast)
                else:
                    points[:] = np.array([step.TransformPoint(point) for point in points.tolist()]).reshape(-1, 3)


def linear_part(transform: sitk.Transform) -> FloatArray:
    """Read the ``(3, 4)`` matrix of a linear SimpleITK transform."""
    import SimpleITK as sitk

    transform = transform.Downcast()
    if isinstance(transform, sitk.AffineTransform) and not any(transform.GetCenter()):
        return np.column_stack([np.reshape(transform.GetMatrix(), (3, 3)), transform.GetTranslation()])
    # Far out, so that a large offset takes nothing from the matrix; a power of two, so that the division is exact.
    reach = 2.0**20
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    columns = [(np.array(transform.TransformPoint(axis)) - origin) / reach for axis in (reach * np.eye(3)).tolist()]
    return np.column_stack([*columns, origin])


def apply(transform: sitk.Transform, points: npt.ArrayLike, *, threads: int | None = None) -> FloatArray:
    """Map ``(n, 3)`` or ``(n, 2)`` points; beyond the result only a few hundred kilobytes are used."""
    given = _array(points)
    found = np.empty((len(given), 3))
    step = PointMap(transform)
    fast = _prepared(len(given) * len(step))

    def work(rows: slice) -> None:
        _put(given[rows], found[rows])
        step.move(found[rows], fast=fast)

    _in_blocks(work, len(given), threads)
    return found


def apply_with_spread(
    transform: sitk.Transform, others: Sequence[sitk.Transform], points: npt.ArrayLike, *, threads: int | None = None
) -> tuple[FloatArray, FloatArray]:
    """Map points, and give the mean square deviation ``(n, 3)`` of other transforms' answers from it."""
    given = _array(points)
    found, spread = np.empty((len(given), 3)), np.zeros((len(given), 3))
    main, members = PointMap(transform), [PointMap(other) for other in others]
    fast = _prepared(len(given) * (len(main) + sum(map(len, members))))

    def work(rows: slice) -> None:
        """Send a block through the main transform and every other one."""
        start = np.empty_like(found[rows])
        _put(given[rows], start)
        found[rows] = start
        main.move(found[rows], fast=fast)
        for member in members:
            moved = start.copy()
            member.move(moved, fast=fast)
            moved -= found[rows]
            moved *= moved
            spread[rows] += moved
        spread[rows] /= max(len(members), 1)

    _in_blocks(work, len(given), threads)
    return found, spread


def _array(points: npt.ArrayLike) -> npt.NDArray[Any]:
    """Take numbers as they are, whatever their kind: they become float64 block by block."""
    given = np.asarray(points)
    numbers = given.dtype.kind in "fiub" and given.ndim == 2 and given.shape[1] in {2, 3}
    return given if numbers else as_points(points)


def _put(given: npt.NDArray[Any], out: FloatArray) -> None:
    out[:, : given.shape[1]] = given
    out[:, given.shape[1] :] = 0.0


def _prepared(work: int) -> bool:
    if work >= _WORTH_COMPILING:
        bspline.prepare()
    return bspline.is_compiled()


def _in_blocks(work: Callable[[slice], None], count: int, threads: int | None) -> None:
    """Call ``work`` for every block of rows; each row belongs to one call, so threads change nothing."""
    blocks = [slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
    # A pool is not worth its start for a few blocks.
    workers = min(threads or _cores(), len(blocks) if threads else len(blocks) // 4)
    if workers <= 1:
        for rows in blocks:
            work(rows)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, blocks):
            pass


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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

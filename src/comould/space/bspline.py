"""CubicBSpline: displacements on a grid of coefficients, as ITK and elastix define them, for millions of points.

The formulas stand here once. For few points numpy runs them on arrays; for many numba compiles the same functions for
one point at a time. Both do the same operations in the same order and nothing is fused or reordered, so a point's
image does not depend, in any bit, on how many others come with it or on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from comould.space.frames import FloatArray

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True, eq=False)
class CubicBSpline:
    """A cubic B-spline displacement field, zero outside the inner cells of its grid.

    Make one with :meth:`from_itk` or :meth:`planar`.

    Parameters
    ----------
    values
        ``(k, nz · ny · nx)`` coefficients in mm of the ``k`` axes that move at all; one layer if ``flat``.
    axes
        ``(k,)``: which of x, y, z they move.
    size
        Coefficients along x, y, z.
    origin
        Position of coefficient (0, 0, 0), mm.
    index_from_offset
        ``(3, 3)``: continuous index x, y, z from mm from the origin.
    limits
        ``(2, 3)``: lowest and highest continuous index of the domain.
    flat
        All layers along z are equal. Cubic B-splines sum to one, so the displacement does not depend on z: 16 terms
        instead of 64.
    """

    values: FloatArray
    axes: np.ndarray
    size: np.ndarray
    origin: FloatArray
    index_from_offset: FloatArray
    limits: FloatArray
    flat: bool

    @classmethod
    def from_itk(cls, transform: sitk.BSplineTransform) -> Self:
        """Read a three-dimensional cubic SimpleITK B-spline transform; layers that are all equal are seen exactly."""
        import SimpleITK as sitk

        images = transform.GetCoefficientImages()
        grid = sitk.Image(images[0])
        grid.SetOrigin((0.0, 0.0, 0.0))
        columns = [grid.TransformPhysicalPointToContinuousIndex(axis) for axis in np.eye(3).tolist()]
        layers = np.stack([sitk.GetArrayFromImage(image) for image in images]).astype(np.float64)
        size = np.array(images[0].GetSize(), dtype=np.intp)
        flat = bool((layers == layers[:, :1]).all())
        origin = np.array(images[0].GetOrigin())
        return cls._of(layers[:, :1] if flat else layers, size, origin, np.array(columns).T.copy(), flat=flat)

    @classmethod
    def planar(
        cls, coefficients: FloatArray, spacing_mm: tuple[float, float], origin_mm: tuple[float, float]
    ) -> CubicBSpline:
        """Make one that moves x and y and reaches to any z.

        Parameters
        ----------
        coefficients
            ``(2, ny, nx)``: x and y displacement in mm.
        spacing_mm, origin_mm
            Of the coefficient grid, x and y.
        """
        size = np.array([*coefficients.shape[:0:-1], 4], dtype=np.intp)
        scale = np.diag([1.0 / spacing_mm[0], 1.0 / spacing_mm[1], 0.0])
        layer = np.asarray(coefficients, dtype=np.float64)[:, None]
        one = cls._of(layer, size, np.array([*origin_mm, 0.0]), scale, flat=True)
        one.limits[:, 2] = -1.0, 1.0
        return one

    @classmethod
    def _of(
        cls, layers: FloatArray, size: np.ndarray, origin: FloatArray, index_from_offset: FloatArray, *, flat: bool
    ) -> Self:
        last = size - 2.0
        # ITK counts what lies up to four units in the last place beyond the far border as on it, and nothing before
        # the near one.
        limits = np.stack([np.ones(3), last + 4 * np.spacing(last)])
        axes = np.flatnonzero(layers.reshape(len(layers), -1).any(axis=1))
        values = np.ascontiguousarray(layers.reshape(len(layers), -1)[axes])
        return cls(values, axes, size, origin, index_from_offset, limits, flat)

    def move(self, points: FloatArray, *, fast: bool = False) -> None:
        """Add the displacement to ``(n, 3)`` C-contiguous float64 points, in place; ``fast`` uses compiled code."""
        (_compiled().displace if fast else _displace_arrays)(
            points, self.values, self.axes, self.size, self.origin, self.index_from_offset, self.limits, self.flat
        )


def map_linear(points: FloatArray, matrix: FloatArray, *, fast: bool = False) -> None:
    """Map ``(n, 3)`` C-contiguous float64 points by a ``(3, 4)`` matrix, in place."""
    if fast:
        _compiled().linear(points, matrix)
        return
    x, y, z = points.T.copy()
    for axis in range(3):
        points[:, axis] = _row(matrix[axis], x, y, z)


def is_compiled() -> bool:
    """Whether compiled code is at hand, so that its use costs nothing more."""
    return _compiled.cache_info().currsize > 0


def prepare() -> None:
    """Compile, or load what an earlier process compiled."""
    _compiled()


# The formulas: of numbers when compiled, of arrays in numpy. Plain products and sums only.


def _row(row: Any, x: Any, y: Any, z: Any) -> Any:
    return row[0] * x + row[1] * y + row[2] * z + row[3]


def _index(row: Any, x: Any, y: Any, z: Any) -> Any:
    return row[0] * x + row[1] * y + row[2] * z


def _weights(t: Any) -> Any:
    """Four uniform cubic B-spline weights at fraction ``t`` of the cell."""
    s = 1.0 - t
    return (
        s * s * s / 6.0,
        (t * t * (3.0 * t - 6.0) + 4.0) / 6.0,
        (s * s * (3.0 * s - 6.0) + 4.0) / 6.0,
        t * t * t / 6.0,
    )


def _line(values: Any, at: Any, a: Any) -> Any:
    return a[0] * values[at] + a[1] * values[at + 1] + a[2] * values[at + 2] + a[3] * values[at + 3]


def _sheet(values: Any, at: Any, row: Any, a: Any, b: Any) -> Any:
    return (
        b[0] * _line(values, at, a)
        + b[1] * _line(values, at + row, a)
        + b[2] * _line(values, at + 2 * row, a)
        + b[3] * _line(values, at + 3 * row, a)
    )


def _box(values: Any, at: Any, row: Any, sheet: Any, a: Any, b: Any, c: Any) -> Any:
    return (
        c[0] * _sheet(values, at, row, a, b)
        + c[1] * _sheet(values, at + sheet, row, a, b)
        + c[2] * _sheet(values, at + 2 * sheet, row, a, b)
        + c[3] * _sheet(values, at + 3 * sheet, row, a, b)
    )


def _displace_arrays(
    points: Any, values: Any, axes: Any, size: Any, origin: Any, index_from_offset: Any, limits: Any, flat: Any
) -> None:
    offset = points.T - origin[:, None]
    index = np.stack([_index(row, *offset) for row in index_from_offset])
    inside = np.flatnonzero(((index >= limits[0][:, None]) & (index <= limits[1][:, None])).all(axis=0))
    index = index[:, inside]
    first = np.minimum(np.floor(index), size[:, None] - 3.0)
    at = first.astype(np.intp) - 1
    a, b, c = (_weights(t) for t in index - first)
    start = at[1] * size[0] + at[0]
    if not flat:
        start += at[2] * (size[0] * size[1])
    for k, axis in enumerate(axes):
        if flat:
            points[inside, axis] += _sheet(values[k], start, size[0], a, b)
        else:
            points[inside, axis] += _box(values[k], start, size[0], size[0] * size[1], a, b, c)


def _displace_loop(
    points: Any, values: Any, axes: Any, size: Any, origin: Any, index_from_offset: Any, limits: Any, flat: Any
) -> None:
    row, sheet = size[0], size[0] * size[1]
    for n in range(len(points)):
        x, y, z = points[n, 0] - origin[0], points[n, 1] - origin[1], points[n, 2] - origin[2]
        u = _index(index_from_offset[0], x, y, z)
        v = _index(index_from_offset[1], x, y, z)
        w = _index(index_from_offset[2], x, y, z)
        if not (limits[0, 0] <= u <= limits[1, 0] and limits[0, 1] <= v <= limits[1, 1]):
            continue
        if not limits[0, 2] <= w <= limits[1, 2]:
            continue
        i, j = min(np.floor(u), size[0] - 3.0), min(np.floor(v), size[1] - 3.0)
        a, b = _weights(u - i), _weights(v - j)
        start = (np.intp(j) - 1) * row + np.intp(i) - 1
        if flat:
            for k in range(len(axes)):
                points[n, axes[k]] += _sheet(values[k], start, row, a, b)
        else:
            h = min(np.floor(w), size[2] - 3.0)
            c = _weights(w - h)
            start += (np.intp(h) - 1) * sheet
            for k in range(len(axes)):
                points[n, axes[k]] += _box(values[k], start, row, sheet, a, b, c)


def _linear_loop(points: Any, matrix: Any) -> None:
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        for axis in range(3):
            points[n, axis] = _row(matrix[axis], x, y, z)


@dataclass(frozen=True)
class _Compiled:
    linear: Callable[..., None]
    displace: Callable[..., None]


@cache
def _compiled() -> _Compiled:
    import numba
    from numba.extending import register_jitable

    for formula in (_row, _index, _weights, _line, _sheet, _box):
        register_jitable(formula)

    def build(loop: Callable[..., Any], signature: str) -> Callable[..., None]:
        try:
            return numba.njit(signature, cache=True, nogil=True)(loop)
        except RuntimeError:  # numba: "no locator available", no place for a cache on disk
            return numba.njit(signature, nogil=True)(loop)

    matrix, counts = "float64[:, ::1]", "intp[::1]"
    return _Compiled(
        build(_linear_loop, f"void({matrix}, {matrix})"),
        build(
            _displace_loop,
            f"void({matrix}, {matrix}, {counts}, {counts}, float64[::1], {matrix}, {matrix}, boolean)",
        ),
    )

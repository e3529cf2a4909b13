"""A B-spline through scattered displacements, kept from bending."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from comould.register.maps import Spline
from comould.space import FloatArray


def fit_spline(
    points: FloatArray,
    displacement: FloatArray,
    weight: FloatArray,
    *,
    bounds_mm: tuple[FloatArray, FloatArray],
    grid_mm: float,
    bending: float,
) -> Spline:
    """Fit the B-spline that minimises the weighted mean squared residual plus ``bending`` times its bending energy.

    Parameters
    ----------
    points, displacement
        ``(n, 2)`` mm.
    weight
        ``(n,)``, 0 or more.
    bounds_mm
        Lowest and highest x, y at which the spline must be defined.
    grid_mm
        Spacing of its coefficients.
    bending
        Weight, mm², of the mean over the coefficients of the squared second differences (in units of the grid's
        cell), so a value of 1 lets a residual of 1 mm weigh as much as a second difference of 1 mm.

    Returns
    -------
    Spline
        Its grid reaches one cell beyond the bounds.
    """
    low, high = bounds_mm
    size = np.ceil((high - low) / grid_mm).astype(int) + 4
    origin = low - grid_mm
    rows = _basis(points[:, 1], origin[1], grid_mm, size[1])
    columns = _basis(points[:, 0], origin[0], grid_mm, size[0])
    design = _products(rows, columns, (size[1], size[0]))
    total = max(float(weight.sum()), 1e-12)
    normal = design.T @ sparse.diags(weight / total) @ design
    count = size[0] * size[1]
    # The ridge only settles coefficients that nothing else reaches.
    system = normal + (bending / count) * _bending((size[1], size[0])) + 1e-9 * sparse.identity(count)
    right = design.T @ (displacement * (weight / total)[:, None])
    solved = sparse.linalg.splu(system.tocsc()).solve(np.asarray(right))
    coefficients = solved.T.reshape(2, size[1], size[0])
    return Spline(coefficients, (grid_mm, grid_mm), (float(origin[0]), float(origin[1])))


def _basis(values: FloatArray, origin: float, grid_mm: float, count: int) -> tuple[np.ndarray, FloatArray]:
    """First coefficient ``(n,)`` and the four weights ``(n, 4)`` of each value."""
    at = np.clip((values - origin) / grid_mm, 1.0, count - 2.0)
    cell = np.minimum(np.floor(at).astype(np.intp), count - 3)
    t = at - cell
    s = 1.0 - t
    weights = np.stack([s**3, 3 * t**3 - 6 * t**2 + 4, 3 * s**3 - 6 * s**2 + 4, t**3], axis=1) / 6.0
    return cell - 1, weights


def _products(
    rows: tuple[np.ndarray, FloatArray], columns: tuple[np.ndarray, FloatArray], size: tuple[int, int]
) -> sparse.csr_matrix:
    near = np.arange(4)
    index = (rows[0][:, None] + near)[:, :, None] * size[1] + (columns[0][:, None] + near)[:, None, :]
    values = rows[1][:, :, None] * columns[1][:, None, :]
    n = len(values)
    starts = np.arange(0, 16 * n + 1, 16)
    return sparse.csr_matrix((values.reshape(-1), index.reshape(-1), starts), shape=(n, size[0] * size[1]))


def _bending(size: tuple[int, int]) -> sparse.csr_matrix:
    """Sum of squared second differences (the mixed one counted twice) as a matrix."""

    def differences(n: int, order: int) -> sparse.csr_matrix:
        """First or second differences."""
        stencil = {1: [-1.0, 1.0], 2: [1.0, -2.0, 1.0]}[order]
        return sparse.diags(stencil, list(range(order + 1)), shape=(n - order, n)).tocsr()

    rows, columns = size
    parts = [
        (1.0, sparse.kron(differences(rows, 2), sparse.identity(columns))),
        (1.0, sparse.kron(sparse.identity(rows), differences(columns, 2))),
        (2.0, sparse.kron(differences(rows, 1), differences(columns, 1))),
    ]
    total = sparse.csr_matrix((rows * columns, rows * columns))
    for weight, part in parts:
        total = total + weight * (part.T @ part)
    return total

"""The box and the ellipsoid of least volume around points, and the surface of an ellipsoid."""

from __future__ import annotations

import numpy as np

from comould.space import FloatArray

Points = FloatArray
"""``(n, 3)`` positions, mm."""


def least_box(hull_mm: Points) -> FloatArray:
    """Find the edge lengths ``(3,)`` of the smallest box that lies flush with a face of the convex hull.

    Parameters
    ----------
    hull_mm
        Vertices of a convex body that is not flat.

    Notes
    -----
    The smallest box of all need not lie flush with a face; the difference is small for bodies with many faces.

    References
    ----------
    O'Rourke, Int J Comput Inf Sci 1985, doi 10.1007/BF00991005.
    """
    from scipy.spatial import ConvexHull

    normals = ConvexHull(hull_mm).equations[:, :3]
    normals = (
        normals * np.where(normals[np.arange(len(normals)), np.abs(normals).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]
    )
    best = np.ptp(hull_mm, axis=0)
    normals = np.unique(normals.round(6), axis=0)
    for normal in normals / np.linalg.norm(normals, axis=1, keepdims=True):
        first = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
        first /= np.linalg.norm(first)
        plane = hull_mm @ np.stack([first, np.cross(normal, first)], axis=1)
        edges = np.array([np.ptp(hull_mm @ normal), *_least_rectangle(plane)])
        if edges.prod() < best.prod():
            best = edges
    return best


def _least_rectangle(points: FloatArray) -> FloatArray:
    """Edge lengths of the smallest rectangle around points ``(n, 2)``: it lies flush with an edge of their hull."""
    from scipy.spatial import ConvexHull

    outline = points[ConvexHull(points).vertices]
    edges = np.diff(outline, axis=0, append=outline[:1])
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    lengths = np.stack([np.ptp(outline @ along.T, axis=0), np.ptp(outline @ across.T, axis=0)], axis=1)
    return lengths[lengths.prod(axis=1).argmin()]


def least_ellipsoid(hull_mm: Points, tolerance: float = 1e-3) -> FloatArray:
    """Find the semi-axes ``(3,)`` of the smallest ellipsoid around points, by Khachiyan's algorithm.

    Parameters
    ----------
    hull_mm
        Points that do not lie in one plane.
    tolerance
        Share by which the farthest point may stand out when the search ends.

    References
    ----------
    Khachiyan, Math Oper Res 1996, doi 10.1287/moor.21.2.307; Todd and Yıldırım, Discrete Appl Math 2007,
    doi 10.1016/j.dam.2007.02.013.
    """
    n, dimension = hull_mm.shape
    origin = hull_mm.mean(axis=0)
    lifted = np.vstack([(hull_mm - origin).T, np.ones(n)])
    weight = np.full(n, 1.0 / n)
    while True:
        spread = np.linalg.inv((lifted * weight) @ lifted.T)
        distance = np.einsum("in,ij,jn->n", lifted, spread, lifted)
        far = int(distance.argmax())
        if distance[far] <= (dimension + 1) * (1.0 + tolerance):
            break
        step = (distance[far] - dimension - 1.0) / ((dimension + 1.0) * (distance[far] - 1.0))
        weight *= 1.0 - step
        weight[far] += step
    points = hull_mm - origin
    centre = weight @ points
    shape = np.linalg.inv((points.T * weight) @ points - np.outer(centre, centre)) / dimension
    return np.sort(1.0 / np.sqrt(np.linalg.eigvalsh(shape)))[::-1]


def ellipsoid_area(semi_axes_mm: FloatArray, terms: int = 20) -> float:
    """Work out the surface of an ellipsoid by IBSI's series, mm².

    Parameters
    ----------
    semi_axes_mm
        Largest first.
    terms
        Last term of the series; IBSI asks for 20.

    Notes
    -----
    IBSI takes √(1 − c²/a²) for the second eccentricity, where the series of the true surface has √(1 − c²/b²). The
    result is 4 % too small for the ellipsoid of the digital phantom and 0.5 % too large for that of the CT phantom; the
    reference values follow the definition, and so does this function.

    References
    ----------
    IBSI reference manual, arXiv:1612.07003, "Area density (approximate enclosing ellipsoid)" (RDD2).
    """
    a, b, c = semi_axes_mm
    alpha2, beta2 = 1.0 - (b / a) ** 2, 1.0 - (c / a) ** 2
    # (αβ)^ν P_ν((α² + β²) / 2αβ) by the recurrence of Legendre polynomials: no division when two axes are equal.
    before, now = 1.0, (alpha2 + beta2) / 2.0
    total = before - now / 3.0
    for v in range(1, terms):
        before, now = now, ((2 * v + 1) * (alpha2 + beta2) / 2.0 * now - v * alpha2 * beta2 * before) / (v + 1)
        total += now / (1.0 - 4.0 * (v + 1) ** 2)
    return float(4.0 * np.pi * a * b * total)

"""Measures of how maps and features go together: arrays in, arrays out; no AnnData, no null, no chance.

Maps are ``(n_spots, n_maps)`` and features ``(n_spots, n_features)``; a single map or feature may be ``(n_spots,)``.
Results are ``(n_maps, n_features)`` float64, NaN where a map or feature does not vary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from comould.associate.claims.statistics import fold_change
from comould.errors import InputError
from comould.space import FloatArray

_FLAT = 1e-12
_BLOCK = 1024


class Kruskal(NamedTuple):
    """Kruskal and Wallis' test statistic of every feature.

    Parameters
    ----------
    h
        ``(n_features,)`` H, corrected for ties.
    epsilon_squared
        ``(n_features,)`` ``H / (n - 1)``: the share of the ranks' variance that lies between groups, 0 to 1.
    """

    h: FloatArray
    epsilon_squared: FloatArray


def pearson(maps: npt.ArrayLike, features: npt.ArrayLike) -> FloatArray:
    """Correlate every map with every feature: ``Σ (x - x̄)(y - ȳ) / √(Σ (x - x̄)² Σ (y - ȳ)²)``.

    Parameters
    ----------
    maps, features
        ``(n, m)`` and ``(n, f)``, finite.

    Returns
    -------
    ndarray
        ``(m, f)``, -1 to 1.

    Raises
    ------
    InputError
        If lengths differ or values are not finite. Every function here raises so.
    """
    x, y = _pair(maps, features)
    return np.clip(_unit(x).T @ _unit(y), -1.0, 1.0)


def spearman(maps: npt.ArrayLike, features: npt.ArrayLike) -> FloatArray:
    """Correlate the ranks of every map with those of every feature; equal values share their mean rank.

    Parameters and Returns as in :func:`pearson`.

    References
    ----------
    Spearman, C. (1904). doi:10.2307/1412159.
    """
    x, y = _pair(maps, features)
    return pearson(rankdata(x, axis=0), rankdata(y, axis=0))


def lees_l(maps: npt.ArrayLike, features: npt.ArrayLike, weights: Any) -> FloatArray:
    """Correlate every map with every feature after both were averaged over neighbours: Lee's L.

    ``L = n / Σᵢ (Σⱼ wᵢⱼ)² · Σᵢ (Σⱼ wᵢⱼ (xⱼ - x̄)) (Σⱼ wᵢⱼ (yⱼ - ȳ)) / √(Σ (x - x̄)² Σ (y - ȳ)²)``

    Parameters
    ----------
    maps, features
        ``(n, m)`` and ``(n, f)``, finite.
    weights
        ``(n, n)`` sparse, of :func:`neighbour_weights` or any other.

    Returns
    -------
    ndarray
        ``(m, f)``. Its size depends on the weights: compare it with chance, not with 1.

    Raises
    ------
    InputError
        If the weights are of another shape or all 0.

    References
    ----------
    Lee, S.-I. (2001). Developing a bivariate spatial association measure. doi:10.1007/s101090100064.
    """
    x, y = _pair(maps, features)
    matrix = sp.csr_array(weights)
    scale = float((np.asarray(matrix.sum(axis=1), dtype=np.float64) ** 2).sum())
    if matrix.shape != (len(x), len(x)) or scale == 0:
        raise InputError(
            subject="neighbour weights",
            expected=f"shape ({len(x)}, {len(x)}), not all 0",
            found=f"shape {matrix.shape}" if scale else "no neighbours",
        )
    return np.asarray(len(x) / scale * ((matrix @ _unit(x)).T @ (matrix @ _unit(y))))


def auc(inside: npt.ArrayLike, features: npt.ArrayLike) -> FloatArray:
    """Say how well a feature tells inside from outside: the chance that a spot inside has the higher value.

    ``(R - n₁ (n₁ + 1) / 2) / (n₁ n₀)`` with R the sum of the ranks inside; ties count half. Mann and Whitney's U over
    its largest value, the area under the ROC curve.

    Parameters
    ----------
    inside
        ``(n, m)`` 0/1.
    features
        ``(n, f)``.

    Returns
    -------
    ndarray
        ``(m, f)``, 0 to 1, 0.5 for chance; NaN for a map with all spots on one side.

    References
    ----------
    Hanley, J. A. & McNeil, B. J. (1982). doi:10.1148/radiology.143.1.7063747.
    """
    x, y = _pair(inside, features)
    if not np.isin(x, (0.0, 1.0)).all():
        raise InputError(subject="inside", expected="0 or 1", found="other values")
    n_in = x.sum(axis=0)[:, None]
    pairs = n_in * (len(x) - n_in)
    above = x.T @ rankdata(y, axis=0) - n_in * (n_in + 1) / 2
    return np.asarray(np.where(pairs > 0, above / np.where(pairs > 0, pairs, 1), np.nan))


def kruskal(labels: npt.ArrayLike, features: npt.ArrayLike) -> Kruskal:
    """Compare the ranks of every feature between all groups at once.

    Parameters
    ----------
    labels
        ``(n,)`` any values; each is a group.
    features
        ``(n, f)``.

    Returns
    -------
    Kruskal
        H and its effect size; NaN for a feature that does not vary.

    Raises
    ------
    InputError
        If there is one group only.

    References
    ----------
    Kruskal, W. H. & Wallis, W. A. (1952). doi:10.1080/01621459.1952.10483441. Tomczak, M. & Tomczak, E. (2014), The
    need to report effect size estimates revisited, Trends Sport Sci. 21 (ε²).
    """
    codes = _codes(labels)
    _, y = _pair(codes, features)
    groups = (codes[:, None] == np.arange(codes.max() + 1)).astype(np.float64)
    if groups.shape[1] < 2:
        raise InputError(subject="groups to compare", expected="two or more", found="one")
    ranks = rankdata(y, axis=0) - (len(y) + 1) / 2
    between = ((groups.T @ ranks) ** 2 / groups.sum(axis=0)[:, None]).sum(axis=0)
    total = (ranks**2).sum(axis=0)
    share = np.where(total > 0, between / np.where(total > 0, total, 1), np.nan)
    return Kruskal((len(y) - 1) * share, share)


def log2_fold_change(inside: npt.ArrayLike, counts: npt.ArrayLike, library: npt.ArrayLike) -> FloatArray:
    """Pool raw counts inside and outside and compare their shares of all counts, as log2 ratio; prior count 0.5.

    Parameters
    ----------
    inside
        ``(n, m)`` 0/1.
    counts
        ``(n, f)`` raw counts, dense.
    library
        ``(n,)`` total counts of each spot.

    Returns
    -------
    ndarray
        ``(m, f)``.
    """
    x, y = _pair(inside, counts)
    return fold_change(y, np.asarray(library, dtype=np.float64), x)


def adjusted_mutual_information(labels: npt.ArrayLike, annotation: npt.ArrayLike) -> float:
    """Say how much two labellings tell about each other, less what labels shuffled among spots would tell.

    ``(MI - E[MI]) / ((H₁ + H₂) / 2 - E[MI])``: 1 for the same partition under any names, 0 on average for spots drawn
    at random. Random *smooth* maps score above 0: hold it against surrogates.

    Parameters
    ----------
    labels, annotation
        ``(n,)`` any values, none missing.

    Returns
    -------
    float
        At most 1.

    References
    ----------
    Vinh, N. X., Epps, J. & Bailey, J. (2010). Information theoretic measures for clusterings comparison. J. Mach.
    Learn. Res. 11, 2837–2854.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    first, second = _codes(labels), _codes(annotation)
    if len(first) != len(second):
        raise InputError(subject="annotation", expected=f"{len(first)} labels", found=f"{len(second)}")
    return float(adjusted_mutual_info_score(first, second))


def rv_coefficient(X: npt.ArrayLike, Y: npt.ArrayLike) -> float:
    """Correlate two tables of the same spots as a whole: ``tr(S_xy S_yx) / √(tr(S_xx²) tr(S_yy²))``.

    Parameters
    ----------
    X, Y
        ``(n, p)`` and ``(n, q)``. Columns are centred, not scaled: scale them before if their units differ.

    Returns
    -------
    float
        0 to 1; 1 when one is the other rotated and scaled; the squared correlation when p and q are 1. Its mean under
        chance is above 0 and grows with p, q and smoothness. NaN when a table does not vary.

    References
    ----------
    Robert, P. & Escoufier, Y. (1976). A unifying tool for linear multivariate statistical methods: the RV-coefficient.
    doi:10.2307/2347233.
    """
    x, y = (table - table.mean(axis=0) for table in _pair(X, Y))
    own = np.sqrt(_squared(x, x) * _squared(y, y))
    return float(_squared(x, y) / own) if own > 0 else float("nan")


def distance_correlation(X: npt.ArrayLike, Y: npt.ArrayLike, *, block: int = _BLOCK) -> float:
    """Measure dependence of any form between two tables of the same spots: Székely's distance correlation.

    ``√(V²(x, y) / √(V²(x, x) V²(y, y)))`` with ``V²`` the mean product of the doubly centred Euclidean distances.

    Parameters
    ----------
    X, Y
        ``(n, p)`` and ``(n, q)``. Not scaled here.
    block
        Rows of distances held at a time: memory is about ``4 · block · n`` numbers. Does not change the result beyond
        rounding.

    Returns
    -------
    float
        0 to 1; 0 in the limit only when the two are independent, above 0 by chance; NaN when a table does not vary.

    References
    ----------
    Székely, G. J., Rizzo, M. L. & Bakirov, N. K. (2007). Measuring and testing dependence by correlation of distances.
    doi:10.1214/009053607000000505.
    """
    x, y = _pair(X, Y)
    n = len(x)
    sums, products = np.zeros((2, n)), np.zeros(3)
    for low in range(0, n, block):
        rows = slice(low, low + block)
        a, b = cdist(x[rows], x), cdist(y[rows], y)
        sums[:, rows] = a.sum(axis=1), b.sum(axis=1)
        products += np.vdot(a, b), np.vdot(a, a), np.vdot(b, b)
    rows_ab = np.array([sums[0] @ sums[1], sums[0] @ sums[0], sums[1] @ sums[1]])
    total_a, total_b = sums.sum(axis=1)
    totals = np.array([total_a * total_b, total_a**2, total_b**2])
    shared, own_a, own_b = np.maximum(products - 2 * rows_ab / n + totals / n**2, 0)
    flat = min(own_a / max(products[1], 1e-300), own_b / max(products[2], 1e-300)) <= _FLAT
    return float("nan") if flat else float(np.sqrt(min(shared / np.sqrt(own_a * own_b), 1.0)))


def neighbour_weights(
    positions: npt.ArrayLike,
    sections: npt.ArrayLike | None = None,
    *,
    k: int | None = None,
    radius: float | None = None,
) -> sp.csr_array:
    """Link spots to their neighbours of the same section, each row summing to 1.

    Parameters
    ----------
    positions
        ``(n, 2)`` or ``(n, 3)``, mm.
    sections
        ``(n,)`` labels; without them all spots are one section.
    k
        Number of nearest neighbours (fewer in a section of fewer spots).
    radius
        Or: all within this distance, mm. A spot without any has an empty row.

    Returns
    -------
    scipy.sparse.csr_array
        ``(n, n)`` float64; no spot is its own neighbour.

    Raises
    ------
    InputError
        If positions are not finite or not two- or three-dimensional, or not exactly one of ``k`` and ``radius`` is
        given and positive.
    """
    points = np.asarray(positions, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] not in {2, 3} or not np.isfinite(points).all():
        raise InputError(
            subject="positions of neighbours", expected="finite (n, 2 or 3) mm", found=f"shape {points.shape}"
        )
    if (k is None) == (radius is None) or not (k if radius is None else radius) > 0:  # type: ignore[operator]
        raise InputError(subject="neighbours", expected="one of k and radius, above 0", found=f"k={k}, radius={radius}")
    codes = np.zeros(len(points), dtype=np.intp) if sections is None else _codes(sections)
    rows, columns = [], []
    for code in range(int(codes.max(initial=-1)) + 1):
        spots = np.flatnonzero(codes == code)
        here, there = _links(points[spots], k, radius)
        rows.append(spots[here])
        columns.append(spots[there])
    here, there = (np.concatenate(each) if each else np.zeros(0, np.intp) for each in (rows, columns))
    count = np.bincount(here, minlength=len(points))
    return sp.csr_array((1 / count[here], (here, there)), shape=(len(points), len(points)))


def _links(points: FloatArray, k: int | None, radius: float | None) -> tuple[npt.NDArray[np.intp], ...]:
    tree = cKDTree(points)
    if radius is not None:
        pairs = tree.query_pairs(radius, output_type="ndarray")
        return np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]])
    nearest = min(int(k or 0), len(points) - 1)
    found = tree.query(points, nearest + 1)[1].reshape(len(points), nearest + 1)
    other = found != np.arange(len(points))[:, None]
    # Where several spots share a place, a spot may be missing among its own nearest: its farthest goes then.
    other[other.all(axis=1), -1] = False
    return np.repeat(np.arange(len(points)), nearest), found[other]


def _pair(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    x, y = (np.asarray(values, dtype=np.float64) for values in (first, second))
    x, y = (values[:, None] if values.ndim == 1 else values for values in (x, y))
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 2:
        raise InputError(
            subject="maps and features",
            expected="(n, m) and (n, f) of the same two or more spots",
            found=f"shapes {x.shape} and {y.shape}",
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(
            subject="maps and features", expected="finite values", found="others", remedy="Leave those spots out"
        )
    return x, y


def _unit(values: FloatArray) -> FloatArray:
    """Centre columns and scale them to length 1; NaN where they do not vary."""
    centred = values - values.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    flat = length <= _FLAT * np.maximum(np.abs(values).max(axis=0), 1e-300) * np.sqrt(len(values))
    return np.asarray(centred / np.where(flat, np.nan, length))


def _squared(x: FloatArray, y: FloatArray) -> float:
    """``tr(xᵀy yᵀx)`` by the smaller of the two ways."""
    if x.shape[1] * y.shape[1] <= len(x) ** 2:
        return float(((x.T @ y) ** 2).sum())
    return float(((x @ x.T) * (y @ y.T)).sum())


def _codes(labels: npt.ArrayLike) -> npt.NDArray[np.intp]:
    return np.unique(np.asarray(labels).ravel().astype(str), return_inverse=True)[1]

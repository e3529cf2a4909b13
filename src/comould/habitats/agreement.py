"""How well repeated measurements and repeated habitat maps agree: intraclass correlation, Dice, adjusted Rand index.

References
----------
Shrout & Fleiss, Psychol Bull 1979, doi 10.1037/0033-2909.86.2.420; McGraw & Wong, Psychol Methods 1996,
doi 10.1037/1082-989X.1.1.30 (intraclass correlation). Hubert & Arabie, J Classif 1985, doi 10.1007/BF01908075 (adjusted
Rand index). Kuhn, Nav Res Logist 1955, doi 10.1002/nav.3800020109 (assignment).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.space import FloatArray

IccKind = Literal["2,1", "3,1"]


@dataclass(frozen=True)
class Icc:
    """An intraclass correlation with its confidence limits; NaN where nothing varies."""

    value: float
    low: float
    high: float
    n_subjects: int
    n_raters: int


@dataclass(frozen=True)
class _Squares:
    """Mean squares of a two-way layout without replication."""

    subjects: float
    raters: float
    error: float
    n: int
    k: int


def icc(ratings: npt.ArrayLike, kind: IccKind = "2,1", *, confidence: float = 0.95) -> Icc:
    """Intraclass correlation of single ratings.

    Parameters
    ----------
    ratings
        ``(n, k)``: n subjects (voxels) measured k times.
    kind
        ``"2,1"``: absolute agreement, raters drawn at random; ``"3,1"``: consistency, a shift between raters does not
        count.
    confidence
        Of the limits, 0 to 1.

    Returns
    -------
    Icc

    Raises
    ------
    InputError
        For fewer than 2 subjects or raters, values that are not finite, an unknown kind or confidence.

    Notes
    -----
    The limits take subjects as independent. Voxels closer than a kernel are not: thin them first, as
    :func:`comould.habitats.feature_stability` does.

    References
    ----------
    Shrout & Fleiss 1979, doi 10.1037/0033-2909.86.2.420; limits of ICC(2,1) after McGraw & Wong 1996,
    doi 10.1037/1082-989X.1.1.30.
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise InputError(
            subject="ratings",
            expected="at least 2 subjects (rows) and 2 raters (columns)",
            found=f"shape {table.shape}",
        )
    if not np.isfinite(table).all():
        raise InputError(
            subject="ratings", expected="finite values", found=f"{int((~np.isfinite(table)).sum())} others"
        )
    if kind not in {"2,1", "3,1"} or not 0 < confidence < 1:
        raise InputError(
            subject="intraclass correlation",
            expected="kind '2,1' or '3,1' and a confidence between 0 and 1",
            found=f"{kind!r} and {confidence}",
        )
    squares = _squares(table)
    scale = max(float(np.abs(table).max()), 1e-300) ** 2
    if squares.subjects <= 1e-24 * scale:
        return Icc(np.nan, np.nan, np.nan, *table.shape)
    if squares.error <= 1e-24 * scale and (kind == "3,1" or squares.raters <= 1e-24 * scale):
        return Icc(1.0, 1.0, 1.0, *table.shape)
    value, low, high = (_agreement if kind == "2,1" else _consistency)(squares, 0.5 + confidence / 2.0)
    return Icc(value, low, high, *table.shape)


def _squares(table: FloatArray) -> _Squares:
    n, k = table.shape
    centred = table - table.mean()
    rows, columns = centred.mean(axis=1), centred.mean(axis=0)
    rest = centred - rows[:, None] - columns[None, :]
    subjects, raters = k * (rows @ rows) / (n - 1), n * (columns @ columns) / (k - 1)
    return _Squares(float(subjects), float(raters), float((rest**2).sum() / ((n - 1) * (k - 1))), n, k)


def _quantile(dfn: float, dfd: float, p: float) -> float:
    from scipy.special import fdtri

    return float(fdtri(dfn, dfd, p))


def _consistency(s: _Squares, p: float) -> tuple[float, float, float]:
    free, rest = s.n - 1, (s.n - 1) * (s.k - 1)
    ratio = s.subjects / s.error
    low, high = ratio / _quantile(free, rest, p), ratio * _quantile(rest, free, p)
    value, low, high = ((x - 1.0) / (x + s.k - 1.0) for x in (ratio, low, high))
    return value, low, high


def _agreement(s: _Squares, p: float) -> tuple[float, float, float]:
    n, k = s.n, s.k
    value = (s.subjects - s.error) / (s.subjects + (k - 1) * s.error + k * (s.raters - s.error) / n)
    error = max(s.error, 1e-12 * s.subjects)
    a = k * value * s.raters / error
    b = n * (1.0 + (k - 1) * value) - k * value
    free = (k - 1) * (n - 1) * (a + b) ** 2 / ((n - 1) * a**2 + b**2)
    between = k * s.raters + (k * n - k - n) * error
    upper, lower = _quantile(n - 1, free, p), _quantile(free, n - 1, p)
    low = n * (s.subjects - upper * error) / (upper * between + n * s.subjects)
    high = n * (lower * s.subjects - error) / (between + n * lower * s.subjects)
    return value, low, high


def dice(first: npt.ArrayLike, second: npt.ArrayLike) -> dict[int, float]:
    """Dice overlap of every label of the first map (0 is outside) with the same label of the second."""
    a, b = np.asarray(first).ravel(), np.asarray(second).ravel()
    found = {}
    for label in np.unique(a[a > 0]).tolist():
        mine, theirs = a == label, b == label
        found[int(label)] = float(2.0 * (mine & theirs).sum() / (mine.sum() + theirs.sum()))
    return found


def rand_index(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Measure the adjusted Rand index of two labellings of the same voxels: 1 identical, 0 as alike as by chance."""
    a = np.unique(np.asarray(first).ravel(), return_inverse=True)[1]
    b = np.unique(np.asarray(second).ravel(), return_inverse=True)[1]
    if a.shape != b.shape or not a.size:
        raise InputError(subject="labellings", expected="two of the same voxels", found=f"{a.size} and {b.size} voxels")
    width = int(b.max()) + 1
    table = np.bincount(a * width + b, minlength=(int(a.max()) + 1) * width).reshape(-1, width).astype(np.float64)

    def pairs(counts: FloatArray) -> float:
        return float((counts * (counts - 1.0) / 2.0).sum())

    together, of_a, of_b = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    total = a.size * (a.size - 1.0) / 2.0
    expected = of_a * of_b / total if total else 0.0
    most = 0.5 * (of_a + of_b)
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def assign(gain: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Pair rows with columns so that the total gain is largest (Hungarian method).

    Parameters
    ----------
    gain
        ``(r, c)``; every row gets its own column while there are any.

    Returns
    -------
    ndarray
        ``(r,)`` column of every row, -1 for rows that got none.
    """
    from scipy.optimize import linear_sum_assignment

    matrix = np.asarray(gain, dtype=np.float64)
    rows, columns = linear_sum_assignment(matrix, maximize=True)
    found = np.full(len(matrix), -1, dtype=np.int64)
    found[rows] = columns
    return found


def match_overlap(reference: npt.NDArray, labels: npt.NDArray) -> npt.NDArray[np.int64]:
    """Rename labels (0 outside) so that they overlap a reference map of the same voxels as much as they can.

    Returns
    -------
    ndarray
        Of the shape of ``labels``. Labels that no reference label is left for get numbers above the reference's.
    """
    ours, theirs = np.unique(labels[labels > 0]), np.unique(reference[reference > 0])
    overlap = np.array([[(reference[labels == a] == b).sum() for b in theirs] for a in ours]).reshape(
        len(ours), len(theirs)
    )
    place = assign(overlap)
    spare = iter(range(int(theirs.max(initial=0)) + 1, int(theirs.max(initial=0)) + 1 + len(ours)))
    named = np.zeros(int(ours.max(initial=0)) + 1, dtype=np.int64)
    for label, column in zip(ours.tolist(), place.tolist(), strict=True):
        named[label] = int(theirs[column]) if column >= 0 else next(spare)
    return named[labels]

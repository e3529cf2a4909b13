"""Do landmark pairs belong together at all? A similarity tells, before anything is fitted to them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.space import FloatArray

Rows = npt.NDArray[np.intp]

LARGEST_RESIDUAL = 0.35
"""Of the landmarks' own spread: tissue shrinks and bends by far less."""

LEAST_PAIRS = 4
"""Three pairs nearly always match up somehow."""

MOST_PROPOSALS = 1500


def similarity_of(source: FloatArray, target: FloatArray, *, flipped: bool) -> FloatArray:
    """Fit the similarity ``(3, 3)`` that takes points ``(n, 2)`` to points ``(n, 2)`` with least squares.

    References
    ----------
    S. Umeyama, IEEE Trans. PAMI 13 (1991), doi:10.1109/34.88573.
    """
    mirror = np.diag([-1.0 if flipped else 1.0, 1.0])
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    turned = a @ mirror
    left, sizes, right = np.linalg.svd(b.T @ turned / len(a))
    sign = np.array([1.0, np.sign(np.linalg.det(left @ right)) or 1.0])
    scale = float((sizes * sign).sum() / max(float(np.mean(np.sum(turned**2, axis=1))), 1e-12))
    matrix = np.eye(3)
    matrix[:2, :2] = scale * left @ np.diag(sign) @ right @ mirror
    matrix[:2, 2] = target.mean(axis=0) - matrix[:2, :2] @ source.mean(axis=0)
    return matrix


def misfits(source: FloatArray, target: FloatArray) -> Rows:
    """Tell which pairs do not go with the others.

    Parameters
    ----------
    source, target
        ``(n, 2)`` each, mm.

    Returns
    -------
    ndarray
        Row numbers, the worst first; none where fewer than :data:`LEAST_PAIRS` are given, or where no similarity brings
        more than half of the pairs near their partners.

    Notes
    -----
    Every two pairs, on either face, propose a similarity; the one with the least median distance is fitted anew to the
    pairs near it. A pair farther from its partner than :data:`LARGEST_RESIDUAL` of the landmarks' spread is a misfit.
    With many landmarks :data:`MOST_PROPOSALS` couples, spread evenly, propose.

    References
    ----------
    P. J. Rousseeuw, J. Am. Stat. Assoc. 79 (1984), doi:10.1080/01621459.1984.10477105 (least median of squares).
    """
    n = len(source)
    none = np.zeros(0, dtype=np.intp)
    if n < LEAST_PAIRS:
        return none
    couples = np.column_stack(np.triu_indices(n, 1))
    couples = couples[:: -(-len(couples) // MOST_PROPOSALS)]
    limit = LARGEST_RESIDUAL * _spread(target)
    rank = max(3, n // 2 + 1) - 1
    best, away = np.inf, np.zeros(n)
    for flipped in (False, True):
        for couple in couples:
            found = _away(source, target, couple, flipped=flipped)
            median = float(np.sort(found)[rank])
            if median < best:
                best = median
                near = np.flatnonzero(found <= max(limit, median))
                away = _away(source, target, near, flipped=flipped)
    wrong = np.flatnonzero(away > limit)
    if best > limit or 2 * len(wrong) >= n:
        return none
    return np.asarray(wrong[np.argsort(-away[wrong], kind="stable")])


def check_order(source: FloatArray, target: FloatArray, names: tuple[str, ...], subject: str) -> None:
    """Refuse landmarks that no turn, mirroring and scaling brings anywhere near their partners.

    Raises
    ------
    InputError
        If four pairs or more leave residuals beyond a third of their own spread: they are in the wrong order, or of
        another picture. Those that do not go with the others are named, or else the worst.
    """
    if len(source) < LEAST_PAIRS:
        return
    if _spread(target) < 1e-9 or np.ptp(source, axis=0).max() < 1e-9:
        raise InputError(subject=subject, expected="landmarks apart from one another", found="all at one place")
    every = np.arange(len(source))
    both = [_away(source, target, every, flipped=flipped) for flipped in (False, True)]
    away = min(both, key=lambda one: float(np.mean(one**2)))
    size = float(np.sqrt(np.mean(away**2)))
    if size > LARGEST_RESIDUAL * _spread(target):
        worst = int(np.argmax(away))
        odd = misfits(source, target)
        named = f"; {_listed(names, odd)} do not go with the others" if len(odd) else f", the most at {names[worst]!r}"
        raise InputError(
            subject=subject,
            expected="landmarks that match up by a turn and a scaling",
            found=f"{size:.1f} mm left on average{named}",
            remedy=_remedy(source, target, names, odd),
        )


def doubts(source: FloatArray, target: FloatArray, names: tuple[str, ...], subject: str) -> tuple[str, ...]:
    """Say in a sentence what :func:`check_order` would refuse, or which pairs do not go with the others.

    Parameters
    ----------
    source, target
        ``(n, 2)`` each, mm.
    names
        One for each pair.
    subject
        What to call them.
    """
    try:
        check_order(source, target, names, subject)
    except InputError as error:
        return (f"{subject} do not match up by a turn and a scaling: {error.found}",)
    odd = misfits(source, target)
    return (f"{subject} {_listed(names, odd)} do not go with the others",) if len(odd) else ()


def _remedy(source: FloatArray, target: FloatArray, names: tuple[str, ...], odd: Rows) -> str:
    if len(odd) == 2:
        exchanged = target.copy()
        exchanged[odd] = target[odd[::-1]]
        if not len(misfits(source, exchanged)):
            return f"{_listed(names, odd)} seem to be exchanged"
    return "Are both lists in the same order, and of these pictures?"


def _spread(points: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1))))


def _away(source: FloatArray, target: FloatArray, rows: Rows, *, flipped: bool) -> FloatArray:
    """Distances ``(n,)`` left by the similarity that fits some rows."""
    matrix = similarity_of(source[rows], target[rows], flipped=flipped)
    return np.linalg.norm(source @ matrix[:2, :2].T + matrix[:2, 2] - target, axis=1)


def _listed(names: tuple[str, ...], rows: Rows) -> str:
    said = [repr(names[row]) for row in sorted(rows)]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"

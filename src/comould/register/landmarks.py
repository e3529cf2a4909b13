"""Do landmark pairs belong together at all? A similarity tells, before anything is fitted to them."""

from __future__ import annotations

import numpy as np

from comould.errors import InputError
from comould.space import FloatArray

LARGEST_RESIDUAL = 0.35
"""Of the landmarks' own spread: tissue shrinks and bends by far less."""


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


def check_order(source: FloatArray, target: FloatArray, names: tuple[str, ...], subject: str) -> None:
    """Refuse landmarks that no turn, mirroring and scaling brings anywhere near their partners.

    Raises
    ------
    InputError
        If four pairs or more leave residuals beyond a third of their own spread: they are in the wrong order, or of
        another picture. The worst is named.
    """
    if len(source) < 4:
        return
    spread = float(np.sqrt(np.mean(np.sum((target - target.mean(axis=0)) ** 2, axis=1))))
    if spread < 1e-9 or np.ptp(source, axis=0).max() < 1e-9:
        raise InputError(subject=subject, expected="landmarks apart from one another", found="all at one place")
    away = []
    for flipped in (False, True):
        matrix = similarity_of(source, target, flipped=flipped)
        away.append(np.linalg.norm(source @ matrix[:2, :2].T + matrix[:2, 2] - target, axis=1))
    best = min(away, key=lambda one: float(np.mean(one**2)))
    size = float(np.sqrt(np.mean(best**2)))
    if size > LARGEST_RESIDUAL * spread:
        worst = int(np.argmax(best))
        raise InputError(
            subject=subject,
            expected="landmarks that match up by a turn and a scaling",
            found=f"{size:.1f} mm left on average, {best[worst]:.1f} mm at {names[worst]!r}",
            remedy="Are both lists in the same order, and of these pictures?",
        )

"""How a fit is judged: what was supposed, how well it fits, and when one supposition is clearly better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Answer = Literal["yes", "no", "cannot tell"]

CLEARLY = 0.7
"""Clearly better: the mean distance is below this share of the other one …"""

CLEARLY_MM = 0.2
"""… and smaller by at least this much."""

SCALES = (0.97, 1.14)
"""Size planned over size found that shrinkage explains: fresh kidneys measured up to 12 % less than imaged."""

TOLERANCE_MM = 3.0
"""HD95 up to which a specimen counts as lying as planned: soft tissue bends, and outlines are drawn by hand."""


@dataclass(frozen=True)
class Supposition:
    """One explanation of what was measured.

    Parameters
    ----------
    name
        Short name, such as ``"wrong face"``.
    mean_mm, hd95_mm
        Mean and 95th percentile of the distances left.
    scale
        Size planned over size found that gives them: above 1 the tissue shrank.
    answer
        Whether it holds.
    """

    name: str
    mean_mm: float
    hd95_mm: float
    scale: float
    answer: Answer = "cannot tell"


def clearly_better(one: Supposition, other: Supposition, margin_mm: float = CLEARLY_MM) -> bool:
    """Tell whether one explanation leaves clearly less distance than another."""
    return one.mean_mm < CLEARLY * other.mean_mm and other.mean_mm - one.mean_mm > margin_mm


def judge(
    planned: Supposition, others: Sequence[Supposition], margin_mm: float = CLEARLY_MM
) -> tuple[Supposition, list[Supposition]]:
    """Find the best explanation, and answer each of the others.

    Parameters
    ----------
    planned
        That all is as planned.
    others
        Everything else that might be.
    margin_mm
        Least difference that counts.

    Returns
    -------
    tuple
        The best explanation (``planned`` unless another is clearly better), and the others with their answers.
    """
    winners = [other for other in others if clearly_better(other, planned, margin_mm)]
    best = min(winners, key=lambda one: one.mean_mm, default=planned)
    answered = []
    for other in others:
        beaten = clearly_better(best, other, margin_mm)
        answer: Answer = "yes" if other is best else "no" if beaten else "cannot tell"
        answered.append(replace(other, answer=answer))
    return best, answered

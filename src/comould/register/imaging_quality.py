"""What is known of a registration of two volumes, without landmarks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from comould.register.imaging_frame import Working, mutual_information
from comould.space import FloatArray, Frame, Transform

Verdict = Literal["good", "doubtful", "refused"]
MEAN_MM, MOST_MM = 2.0, 5.0
"""TG-132: mean and largest error of a registration that may be used."""
MISPLACED_MM = 15.0
LEAST_INFORMATION = 0.15
"""Below it two volumes share so little that a maximum may lie anywhere (CT and T1 of a thigh 0.08 to 0.11)."""
LEAST_OVERLAP = 0.75


@dataclass(frozen=True)
class VolumeQuality:
    """What is known of the fit.

    Parameters
    ----------
    verdict
        ``"good"``; ``"doubtful"``: look at it; ``"refused"``.
    consistency_mean_mm, consistency_p95_mm
        How far points looked at are from themselves after going there by one registration and back by the other. Small
        values do not prove accuracy; large ones disprove it.
    information_before, information_after
        Mutual information over the mean entropy, 0 to 1, at the start and in the end.
    information_misplaced
        The most that 15 mm off along any axis gives: what is no better says nothing of the place.
    overlap
        Share of what is looked at in the fixed volume that lies in the moving one's.
    moved_mean_mm, rotation_deg
        Mean length of the displacement (patient coordinates), and the rotation of its best rigid part.
    volume_change_low, volume_change_high
        1st and 99th percentile of the local change of volume (1: none).
    folded
        Share of points where the transform folds.
    """

    verdict: Verdict
    consistency_mean_mm: float
    consistency_p95_mm: float
    information_before: float
    information_after: float
    information_misplaced: float
    overlap: float
    moved_mean_mm: float
    rotation_deg: float
    volume_change_low: float
    volume_change_high: float
    folded: float

    def sentence(self) -> str:
        """Say it in one line."""
        return (
            f"both ways apart by {self.consistency_mean_mm:.1f} mm on average ({self.consistency_p95_mm:.1f} mm at the "
            f"95th percentile), mutual information {self.information_before:.3f} before and "
            f"{self.information_after:.3f} after ({self.information_misplaced:.3f} when misplaced), "
            f"overlap {self.overlap:.0%}"
        )

    def said(self) -> dict[str, Any]:
        """Plain numbers, for provenance."""
        return asdict(self)


def judged(pair: tuple[Working, Working], start: Transform, there: Transform, back: Transform) -> VolumeQuality:
    """Judge a registration that was made both ways."""
    fixed, moving = pair
    points = fixed.points_mm()
    gone = there.apply(points)
    apart = np.linalg.norm(back.apply(gone) - points, axis=1)
    laid = [moving.laid_on(fixed, one) for one in (start, there)]
    common = [fixed.looked_at & one.looked_at for one in laid]
    # Both on the same voxels: fewer voxels have more mutual information.
    both = common[0] & common[1] if (common[0] & common[1]).sum() > 0.5 * common[1].sum() else common[1]
    before, after = (mutual_information(fixed.voxels[both], one.voxels[both]) for one in laid)
    misplaced = max(_misplaced(fixed, moving, there))
    overlap = float(common[1].sum() / fixed.looked_at.sum())
    volume = np.linalg.det(_jacobians(there, points))
    mean, p95 = float(apart.mean()), float(np.percentile(apart, 95))
    folded = float((volume <= 0).mean())
    verdict: Verdict = "good"
    shaky = folded > 0 or overlap < LEAST_OVERLAP or after < LEAST_INFORMATION
    if mean > MEAN_MM or p95 > MOST_MM or shaky:
        verdict = "doubtful"
    if mean > MOST_MM or after < before - 0.01 or after < misplaced + 0.005 or overlap < 0.2 or folded > 0.01:
        verdict = "refused"
    low, high = (float(v) for v in np.percentile(volume, [1, 99]))
    moved = float(np.linalg.norm(gone - points, axis=1).mean())
    turn = _rotation_deg(points, gone)
    return VolumeQuality(verdict, mean, p95, before, after, misplaced, overlap, moved, turn, low, high, folded)


def _misplaced(fixed: Working, moving: Working, there: Transform) -> list[float]:
    """Mutual information at six places where the volumes cannot match."""
    found = []
    for shift in [sign * row for row in MISPLACED_MM * np.eye(3) for sign in (1.0, -1.0)]:
        matrix = np.eye(4)
        matrix[:3, 3] = shift
        laid = moving.laid_on(fixed, there @ Transform.from_matrix(Frame.PATIENT, Frame.PATIENT, matrix))
        common = fixed.looked_at & laid.looked_at
        found.append(mutual_information(fixed.voxels[common], laid.voxels[common]))
    return found


def _jacobians(transform: Transform, points: FloatArray, step_mm: float = 0.5) -> FloatArray:
    """Central differences ``(n, 3, 3)``."""
    columns = [
        (transform.apply(points + step_mm * axis) - transform.apply(points - step_mm * axis)) / (2 * step_mm)
        for axis in np.eye(3)
    ]
    return np.stack(columns, axis=-1)


def _rotation_deg(points: FloatArray, gone: FloatArray) -> float:
    left, _, right = np.linalg.svd((gone - gone.mean(axis=0)).T @ (points - points.mean(axis=0)))
    turn = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0))))

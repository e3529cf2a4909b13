"""StageSettings: how the stages after the search run, and when they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from comould.errors import InputError


@dataclass(frozen=True)
class StageSettings:
    """How the stages run.

    Parameters
    ----------
    shrinkage
        Bounds of slide size over patient size; local stretches (but 5 % at either end)
        must stay within them, with ``local_slack``.
    local_slack
        How far beyond the bounds a local stretch may go, as a factor.
    grid_mm
        Spacing of the B-spline's grid, times ``grid_factor``; 0 takes a fourteenth of the specimen's radius (elastix:
        a quarter).
    grid_factor
        Scales the grid, also when its spacing is chosen by itself.
    engine
        ``"dense"``: self-similarity and displacement volumes; ``"elastix"``: mutual information by elastix;
        ``"both"``: the first, its B-spline averaged with that of the second.
    outline_weight
        Of the outline's mismatch beside the pictures.
    shared_weight
        Of the canonical variates of both sides' channels beside the self-similarity (dense).
    bending_weight
        Of the B-spline's second differences beside its residual (dense).
    landmark_weight
        What all landmarks together weigh beside the tissue.
    elastix_bending
        Of elastix' bending penalty.
    band_mm
        Depth on either side of the outline within which elastix sees the distance to it.
    smooth_mm
        elastix' pictures are smoothed by this much first.
    samples, affine_iterations, spline_iterations, resolutions, bins, metric
        elastix' own settings.
    holes_mm
        Squares (corner u, v and side, mm in the plane) whose tissue is not looked at.
    gain
        A stage is kept when the score rises by at least this.
    dice_slack
        And the overlap does not fall by more than this.

    Raises
    ------
    InputError
        For an unknown engine, or a negative weight or spacing.
    """

    shrinkage: tuple[float, float] = (0.8, 1.1)
    local_slack: float = 2.0
    grid_mm: float = 0.0
    grid_factor: float = 1.0
    engine: Literal["both", "dense", "elastix"] = "both"
    outline_weight: float = 0.3
    shared_weight: float = 0.02
    bending_weight: float = 1.0
    landmark_weight: float = 1.0
    elastix_bending: float = 20.0
    band_mm: float = 3.0
    smooth_mm: float = 0.2
    samples: int = 1500
    affine_iterations: int = 60
    spline_iterations: int = 60
    resolutions: int = 2
    bins: int = 32
    metric: str = "AdvancedMattesMutualInformation"
    holes_mm: tuple[tuple[float, float, float], ...] = ()
    gain: float = 0.002
    dice_slack: float = 0.05

    def __post_init__(self) -> None:
        if self.engine not in {"both", "dense", "elastix"}:
            raise InputError(subject="engine", expected="'both', 'dense' or 'elastix'", found=repr(self.engine))
        names = ("grid_mm", "outline_weight", "shared_weight", "bending_weight", "landmark_weight")
        wrong = [name for name in names if not getattr(self, name) >= 0.0]
        if wrong or not self.grid_factor > 0:
            raise InputError(
                subject="stage settings",
                expected="0 or more",
                found=", ".join(f"{name}={getattr(self, name)}" for name in wrong or ["grid_factor"]),
            )

    def spacing_mm(self, radius_mm: float) -> float:
        """Spacing of the B-spline's grid for a specimen of this radius."""
        chosen = self.grid_mm or radius_mm / (14.0 if self.engine != "elastix" else 4.0)
        return chosen * self.grid_factor

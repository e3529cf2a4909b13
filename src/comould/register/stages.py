"""The stages after the search: linear maps, then a B-spline, each kept only when it earns it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from comould.errors import InputError
from comould.register.dense.deform import Field, match_field
from comould.register.dense.linear import CLOSE, NEAR, Kind, Votes, match_linear
from comould.register.dense.warp import lay
from comould.register.elastix import ElastixStageError, ElastixWorker
from comould.register.elastix_stages import parameter_map, run_elastix
from comould.register.landmark_fit import fit_landmarks, residual_spline
from comould.register.maps import PlanarMap, Spline
from comould.register.measure import Fit, Judge
from comould.register.stage_settings import StageSettings
from comould.space import FloatArray

__all__ = [
    "Outcome",
    "Stage",
    "StageSettings",
    "fit_landmarks",
    "lay",
    "parameter_map",
    "refine",
]

STIFFNESS = (1.0, 10.0, 100.0, 1000.0)
"""A B-spline that folds or overstretches is tried again, kept this much more from bending."""

STRETCH_TAIL = 0.05
"""Share of the tissue at either end whose stretch need not be believable (a crack, a border), only not fold."""

ELASTIX_GRID_MM = 8.0
"""Spacing of elastix' B-spline when it gives a second opinion."""

LINEAR_NODES = 200.0
"""Votes that landmarks of full weight have beside the tissue's in a linear stage."""

Points = tuple[FloatArray, FloatArray]
"""Landmarks ``(n, 2)`` in section mm and in plane mm."""

LINEAR: tuple[Kind, ...] = ("rigid", "similarity", "affine")


@dataclass(frozen=True)
class Stage:
    """One stage's outcome: what was tried, what it measured, and whether it was kept."""

    name: str
    fit: Fit
    kept: bool
    reason: str = ""
    unbelievable: bool = False
    folding_fraction: float = 0.0
    jacobian_range: tuple[float, float] = (1.0, 1.0)
    stretch_range: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Outcome:
    """The map that won, and the stages that led to it."""

    planar: PlanarMap
    stages: tuple[Stage, ...] = field(default_factory=tuple)

    @property
    def fit(self) -> Fit:
        """Of the last stage that was kept."""
        return [stage.fit for stage in self.stages if stage.kept][-1]


def refine(
    judge: Judge,
    start: PlanarMap,
    worker: ElastixWorker,
    *,
    seed: int,
    settings: StageSettings,
    names: tuple[str, ...] = ("affine", "bspline"),
    landmarks: Points | None = None,
) -> Outcome:
    """Improve a start by stages; the best map that neither folds nor tears wins.

    Parameters
    ----------
    judge
        Holds the two pictures and measures.
    start
        From the search.
    worker
        Runs elastix, if that is the engine.
    seed
        elastix' random seed; the dense engine leaves nothing to chance.
    settings
        See :class:`StageSettings`.
    names
        The stages to try, in order, of "rigid", "similarity", "affine", "bspline". With "rigid" the start is first
        made rigid, and it may win.
    landmarks
        Points in section mm and plane mm that pull the map towards them (dense engine).

    Raises
    ------
    InputError
        For the name of a stage that there is not.
    RegistrationError
        If elastix crashes or hangs; a stage that elastix itself gives up on is only not kept.
    """
    unknown = [name for name in names if name not in {*LINEAR, "bspline"}]
    if unknown:
        raise InputError(subject="stages", expected="rigid, similarity, affine, bspline", found=", ".join(unknown))
    run = _Run(judge, worker, seed, settings, landmarks)
    if "rigid" in names:
        start, first = run.rigid(start), "rigid"
    else:
        first = "similarity"
    best, fit = start, judge.judge(start)
    stages = [_stage(judge, first, start, fit, None, settings)]
    for name in [name for name in names if name != "rigid"]:
        for found in run.attempts(name, best):
            if isinstance(found, str):
                stages.append(Stage(name, fit, kept=False, reason=found))
                break
            stages.append(_stage(judge, name, found, judge.judge(found), fit, settings))
            if stages[-1].kept:
                best, fit = found, stages[-1].fit
            if not stages[-1].unbelievable:
                break
    return Outcome(best, tuple(stages))


@dataclass(frozen=True, eq=False)
class _Run:
    """One section's stages."""

    judge: Judge
    worker: ElastixWorker
    seed: int
    settings: StageSettings
    landmarks: Points | None

    def attempts(self, name: str, start: PlanarMap) -> Iterator[PlanarMap | str]:
        """Try a stage, stiffer and stiffer; a reason in place of a map says why there is none."""
        if self.settings.engine == "elastix" and name in {"affine", "bspline"}:
            yield from self._by_elastix(name, start)
        elif name == "bspline":
            yield from self._by_field(start, self._second_opinion(start) if self.settings.engine == "both" else None)
        else:
            yield PlanarMap(self.linear(start.linear, "affine" if name == "affine" else "similarity"))

    def rigid(self, start: PlanarMap) -> PlanarMap:
        """Take the scale out of a start, and match again without it."""
        centre = self.judge.section.centroid_mm
        left, _, right = np.linalg.svd(start.linear[:2, :2])
        matrix = start.linear.copy()
        matrix[:2, :2] = left @ right
        matrix[:2, 2] = start.linear[:2, :2] @ centre + start.linear[:2, 2] - matrix[:2, :2] @ centre
        return PlanarMap(self.linear(matrix, "rigid"))

    def linear(self, start: FloatArray, kind: Kind) -> FloatArray:
        """Match by a linear map at twice the working pixel size."""
        section, plane = self.judge.seen
        spacing = 2.0 * plane.spacing_mm
        votes = None
        if self.landmarks is not None:
            source, target = self.landmarks
            each = LINEAR_NODES * self.settings.landmark_weight / len(source)
            votes = Votes(source, target, np.full(len(source), each))
        low, high = self.settings.shrinkage
        return match_linear(
            section.coarser(spacing),
            plane.coarser(spacing),
            start,
            [(NEAR, kind), (CLOSE, kind), (CLOSE, kind)],
            scale_bounds=(1.0, 1.0) if kind == "rigid" else (1.0 / high, 1.0 / low),
            holes_mm=self.settings.holes_mm,
            landmarks=votes,
            shared_weight=self.settings.shared_weight,
        )

    def _second_opinion(self, start: PlanarMap) -> Spline | None:
        """Elastix' B-spline by mutual information; ``None`` when it gives up."""
        varied = replace(self.settings, grid_mm=ELASTIX_GRID_MM)
        try:
            return run_elastix("bspline", self.judge, start, self.worker, self.seed, varied).spline
        except ElastixStageError:
            return None

    def _by_field(self, start: PlanarMap, second: Spline | None = None) -> Iterator[PlanarMap]:
        section, plane = self.judge.seen
        grid_mm, guess, points = self.settings.spacing_mm(self.judge.plane.radius_mm), None, None
        if self.landmarks is not None:
            source = start.apply(self.landmarks[0])
            points = (source, self.landmarks[1], self.settings.landmark_weight)
            guess = residual_spline(source, self.landmarks[1], self.judge.plane)
        found: Field = match_field(
            section,
            plane,
            start.linear,
            outline_weight=self.settings.outline_weight,
            shared_weight=self.settings.shared_weight,
            holes_mm=self.settings.holes_mm,
            first_guess=guess,
        )
        if second is not None:
            # The two err in different ways: self-similarity on smooth contrast, mutual information on fine structure.
            moved = second.displacement(found.grid.points_mm()).T.reshape(found.displacement_mm.shape)
            found = replace(found, displacement_mm=0.5 * (found.displacement_mm + moved))
        for stiffness in STIFFNESS:
            yield replace(start, spline=found.spline(grid_mm, self.settings.bending_weight * stiffness, points))

    def _by_elastix(self, name: str, start: PlanarMap) -> Iterator[PlanarMap | str]:
        for stiffness in STIFFNESS[:2] if name == "bspline" else STIFFNESS[:1]:
            varied = replace(self.settings, elastix_bending=self.settings.elastix_bending * stiffness)
            try:
                yield run_elastix(name, self.judge, start, self.worker, self.seed, varied)
            except ElastixStageError as error:
                yield error.found
                return


def _stage(judge: Judge, name: str, planar: PlanarMap, fit: Fit, before: Fit | None, settings: StageSettings) -> Stage:
    """Measure a stage and decide: it must fold nowhere, stretch believably, and improve what is held."""
    jacobians = planar.jacobians(judge.points)
    determinant = np.linalg.det(jacobians) * (-1.0 if planar.flipped else 1.0)
    folding = float(np.mean(determinant <= 0))
    stretch = np.linalg.svd(jacobians, compute_uv=False)
    low, high = 1.0 / settings.shrinkage[1] / settings.local_slack, settings.local_slack / settings.shrinkage[0]
    least, most = np.quantile(stretch, [STRETCH_TAIL, 1.0 - STRETCH_TAIL])
    unbelievable = bool(least < low or most > high)
    reason = ""
    if folding > 0:
        reason = f"it folds {folding:.2%} of the tissue"
    elif unbelievable:
        reason = f"it stretches by {least:.2f} to {most:.2f}, beyond {low:.2f} to {high:.2f}"
    elif before is not None and fit.score < before.score + settings.gain:
        reason = f"score {fit.score:.4f} after {before.score:.4f} is no gain"
    elif before is not None and fit.dice < before.dice - settings.dice_slack:
        reason = f"the overlap falls from {before.dice:.3f} to {fit.dice:.3f}"
    return Stage(
        name,
        fit,
        not reason or before is None,
        reason,
        folding > 0 or unbelievable,
        folding,
        (float(determinant.min()), float(determinant.max())),
        (float(stretch.min()), float(stretch.max())),
    )

"""One picture laid on another: search, stages, rivals, the way back, and the numbers that tell how well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from comould.register.elastix import ElastixWorker
from comould.register.initialise import Start, search
from comould.register.landmark_fit import LEAST_TO_TELL_FACES
from comould.register.maps import PlanarMap
from comould.register.measure import Judge, hd95_mm
from comould.register.outlines import sector_gap_mm
from comould.register.quality import RegistrationQuality, StageQuality
from comould.register.raster import Raster
from comould.register.settings import RIVAL_MARGIN, RegisterSettings
from comould.register.stages import Outcome, Stage, fit_landmarks, refine
from comould.space import FloatArray

MOST_POINTS = 2000
"""Tissue points at which spreads and round trips are measured."""

SIZE_SLACK = 1.08
"""How far beyond the bounds of shrinkage the size that was found may lie, as a factor, before it is told."""

INSIDE_LEAD = 1.15
"""An answer with so many times the information of the best by score is taken in its place."""

Points = tuple[FloatArray, FloatArray]
"""Landmarks in slide mm and in target mm, ``(n, 2)`` each."""


@dataclass(frozen=True)
class Known:
    """What is known of a placement beforehand.

    Parameters
    ----------
    flipped
        Whether the slide shows the mirror image; ``None`` when unknown.
    angle_deg
        Turn and its tolerance; ``None`` when unknown.
    landmarks
        Points that pull, or ``None``.
    landmarks_only
        Whether pictures are left out.
    names
        Of the landmarks.
    """

    flipped: bool | None = None
    angle_deg: tuple[float, float] | None = None
    landmarks: Points | None = None
    landmarks_only: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Match:
    """A section on its target.

    Parameters
    ----------
    judge
        Holds the two pictures.
    outcome
        The map that won, and its stages.
    ranked
        The answers of the search, best first.
    face_lead
        Relative lead of the face that was not named over the named one, in the search; ``None`` where none was named.
    """

    judge: Judge
    outcome: Outcome
    ranked: list[Start]
    face_lead: float | None = None

    @property
    def planar(self) -> PlanarMap:
        """The map that won."""
        return self.outcome.planar

    @property
    def some(self) -> FloatArray:
        """Tissue points, slide mm, thinned."""
        return self.judge.points[:: max(1, len(self.judge.points) // MOST_POINTS)]

    @property
    def bend_mm(self) -> float:
        """Root mean square displacement by the B-spline over the tissue; 0 without one."""
        if self.planar.spline is None:
            return 0.0
        moved = self.planar.spline.displacement(PlanarMap(self.planar.linear).apply(self.some))
        return float(np.sqrt(np.mean(np.sum(moved**2, axis=1))))

    def spread_mm(self, members: list[PlanarMap]) -> float:
        """Median over the tissue of the members' deviation from the map that won; NaN without members."""
        if not members:
            return float("nan")
        apart = np.stack([one.apply(self.some) for one in members]) - self.planar.apply(self.some)
        return float(np.median(np.sqrt(np.mean(np.sum(apart**2, axis=2), axis=0))))


def match(
    tissue: Raster, target: Raster, worker: ElastixWorker, *, seed: int, settings: RegisterSettings, known: Known
) -> Match:
    """Lay a section's tissue on a target from nothing.

    Every start that comes close to the best is refined, and the finer measure decides between them: a wrong turn can
    be bent into a good fit, so what counts is the mean of the scores before and after the stages. An outline is bent
    the more easily: an answer whose inside agrees clearly better wins over one whose outline does, and its lead is then
    negative, which calls for review.
    """
    judge = Judge(tissue, target)
    if known.landmarks_only and known.landmarks is not None:
        planar = fit_landmarks(*known.landmarks, shrinkage=settings.shrinkage)
        outcome = Outcome(planar, (measured_stage("landmarks", judge, planar),))
        return Match(judge, outcome, [Start(planar, outcome.fit)])
    starts = _starts(tissue, target, known, settings, judge)
    lead = _face_lead(tissue, target, known, settings, starts[0])
    rivals = [s for s in starts if s.score >= (1.0 - RIVAL_MARGIN) * starts[0].score]
    outcomes = [_refined(judge, s.planar, worker, seed, settings, known) for s in rivals]
    if len(rivals) == 1:
        return Match(judge, outcomes[0], starts, lead)
    scores = [0.5 * (outcome.stages[0].fit.score + outcome.fit.score) for outcome in outcomes]
    order = sorted(range(len(rivals)), key=lambda k: -scores[k])
    inside = max(order, key=lambda k: outcomes[k].fit.information)
    if outcomes[inside].fit.information > INSIDE_LEAD * outcomes[order[0]].fit.information:
        order.sort(key=lambda k: k != inside)
    ranked = [Start(rivals[k].planar, replace(outcomes[k].fit, score=scores[k])) for k in order]
    return Match(judge, outcomes[order[0]], ranked, lead)


def again(
    found: Match, target: Raster, worker: ElastixWorker, *, seed: int, settings: RegisterSettings, known: Known
) -> Match:
    """Refine a match on a target that has changed a little: the same plane, cut where the knife went."""
    judge = Judge(found.judge.section, target)
    start = PlanarMap(found.planar.linear)
    refined = _refined(judge, start, worker, seed, settings, known)
    return Match(judge, refined, found.ranked, found.face_lead)


def round_trip_mm(found: Match, worker: ElastixWorker, *, seed: int, settings: RegisterSettings) -> float:
    """Register the way back on its own, and say how far from itself tissue ends, slide mm (median)."""
    turned = settings.reversed()
    judge = Judge(found.judge.plane, found.judge.section)
    start = PlanarMap(np.asarray(np.linalg.inv(found.planar.linear), dtype=np.float64))
    back = refine(judge, start, worker, seed=seed, settings=turned.staged, names=turned.stage_names).planar
    away = back.apply(found.planar.apply(found.some)) - found.some
    return float(np.median(np.linalg.norm(away, axis=1)))


def measured_stage(name: str, judge: Judge, planar: PlanarMap) -> Stage:
    """Measure a map that no stage made."""
    jacobians = planar.jacobians(judge.points)
    determinant = np.linalg.det(jacobians) * (-1.0 if planar.flipped else 1.0)
    stretch = np.linalg.svd(jacobians, compute_uv=False)
    return Stage(
        name,
        judge.judge(planar),
        kept=True,
        folding_fraction=float(np.mean(determinant <= 0)),
        jacobian_range=(float(determinant.min()), float(determinant.max())),
        stretch_range=(float(stretch.min()), float(stretch.max())),
    )


def _starts(tissue: Raster, target: Raster, known: Known, settings: RegisterSettings, judge: Judge) -> list[Start]:
    """Search, or start from the landmarks where there are enough to tell turn and face."""
    if known.landmarks is not None and _tell_turn(known.landmarks):
        linear = fit_landmarks(*known.landmarks, shrinkage=settings.shrinkage, linear=True)
        return [Start(linear, judge.judge(linear))]
    return search(
        tissue,
        target,
        flipped=known.flipped,
        shrinkage=settings.shrinkage,
        angle_deg=known.angle_deg,
    )


def _tell_turn(landmarks: Points | None) -> bool:
    return landmarks is not None and len(landmarks[0]) >= LEAST_TO_TELL_FACES


def _face_lead(tissue: Raster, target: Raster, known: Known, settings: RegisterSettings, named: Start) -> float | None:
    """Search the face that was not named as well: a wrong name must not go unseen."""
    if known.flipped is None or _tell_turn(known.landmarks):
        return None
    other = search(tissue, target, flipped=not known.flipped, shrinkage=settings.shrinkage)
    return other[0].score / max(named.score, 1e-9) - 1.0


def _refined(
    judge: Judge, start: PlanarMap, worker: ElastixWorker, seed: int, settings: RegisterSettings, known: Known
) -> Outcome:
    names = settings.stage_names
    return refine(judge, start, worker, seed=seed, settings=settings.staged, names=names, landmarks=known.landmarks)


def quality_of(found: Match, members: list[PlanarMap], settings: RegisterSettings) -> RegistrationQuality:
    """Gather the numbers of a match; the verdict is still open (``review``)."""
    last = [stage for stage in found.outcome.stages if stage.kept][-1]
    judge, ranked, planar = found.judge, found.ranked, found.planar
    margin = 1.0 if len(ranked) < 2 else 1.0 - ranked[1].score / ranked[0].score
    return RegistrationQuality(
        verdict="review",
        reasons=(),
        dice=last.fit.dice,
        hd95_mm=hd95_mm(judge.section, judge.plane, planar),
        sector_gap_mm=sector_gap_mm(judge.section, judge.plane, planar),
        information=last.fit.information,
        flipped=planar.flipped,
        angle_deg=planar.angle_deg,
        scale=planar.scale,
        margin=margin,
        ambiguous=margin < settings.thresholds.review_margin,
        second_best={} if len(ranked) < 2 else _placement(ranked[1]),
        stage=last.name,
        stages=tuple(_stage_quality(stage) for stage in found.outcome.stages),
        folding_fraction=last.folding_fraction,
        jacobian_range=last.jacobian_range,
        spread_mm=found.spread_mm(members),
        area_ratio=judge.section.area_mm2 / judge.plane.area_mm2,
        radius_mm=judge.plane.radius_mm,
        face_lead=found.face_lead,
        findings=_size_doubts(planar.scale, settings.shrinkage),
    )


def _size_doubts(scale: float, shrinkage: tuple[float, float]) -> tuple[str, ...]:
    """Ask after the pixel size where an affine left the bounds of the search by a lot."""
    low, high = shrinkage
    if low / SIZE_SLACK <= 1.0 / scale <= high * SIZE_SLACK:
        return ()
    return (f"tissue of {1.0 / scale:.2f} times its size is beyond {low:.2f} to {high:.2f}; is the pixel size right?",)


def _placement(start: Start) -> dict[str, Any]:
    return {"flipped": start.planar.flipped, "angle_deg": start.planar.angle_deg, "score": start.score}


def _stage_quality(stage: Stage) -> StageQuality:
    return StageQuality(
        name=stage.name,
        kept=stage.kept,
        reason=stage.reason,
        dice=stage.fit.dice,
        information=stage.fit.information,
        score=stage.fit.score,
        folding_fraction=stage.folding_fraction,
        jacobian_range=stage.jacobian_range,
        stretch_range=stage.stretch_range,
    )

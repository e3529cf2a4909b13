"""Registering sections: search, affine, B-spline, ensemble, verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError
from comould.io.section import Section
from comould.register.elastix import ElastixWorker
from comould.register.ensemble import floor, member
from comould.register.initialise import Start, search
from comould.register.maps import PlanarMap
from comould.register.measure import Judge, hd95_mm
from comould.register.plane import plane_raster
from comould.register.quality import RegistrationQuality, StageQuality, Thresholds, verdict
from comould.register.result import SectionRegistration
from comould.register.stages import Outcome, Stage, StageSettings, refine
from comould.register.tissue import section_raster
from comould.space import CutPlane, Grid, SlicePlan, Transform

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.register.plane import Images

DEFAULT_SAMPLES = 4

RIVAL_MARGIN = 0.08
"""Answers of the search within this relative distance of the best are all carried through to the finer measure."""


@dataclass(frozen=True)
class RegisterSettings:
    """What shapes a registration beside its inputs.

    Parameters
    ----------
    shrinkage
        Bounds of slide size over patient size.
    deformable
        Whether the B-spline is tried.
    stages
        elastix' settings and the rules of acceptance; its own ``shrinkage`` is replaced by the one here.
    thresholds
        When a result is rejected or should be looked at.
    """

    shrinkage: tuple[float, float] = (0.8, 1.1)
    deformable: bool = True
    stages: StageSettings = field(default_factory=StageSettings)
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        low, high = self.shrinkage
        if not 0.2 <= low < high <= 5.0:
            raise InputError(
                subject="shrinkage",
                expected="two rising ratios of slide size to patient size, such as (0.8, 1.1)",
                found=f"{self.shrinkage}",
            )

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The elastix stages tried, in order."""
        return ("affine", "bspline") if self.deformable else ("affine",)

    @property
    def elastix(self) -> StageSettings:
        """The stages' settings with the shrinkage bounds."""
        return replace(self.stages, shrinkage=self.shrinkage)


def section(
    section: Section,
    *,
    plan: SlicePlan,
    image: Images,
    mask: sitk.Image,
    seed: int = 0,
    n_samples: int = DEFAULT_SAMPLES,
    worker: ElastixWorker | None = None,
    settings: RegisterSettings | None = None,
) -> SectionRegistration:
    """Bring a section to its cutting plane, and so to the patient.

    The tissue is found on the slide; every turn and both faces are searched (one face when the section names it). An
    affine and a B-spline stage by elastix follow, each kept only when it helps, folds nowhere, and stretches
    believably.
    The registration is then repeated ``n_samples`` times from other starts on parts of the tissue.

    Parameters
    ----------
    section
        With its ``plane_id``: planes are found by id, never by order.
    plan
        The cutting planes the mould was made with.
    image
        The volume, or several by name (T2, ADC, …), in the plan's patient space.
    mask
        The specimen in that space, > 0 inside.
    seed
        Same seed, same bits, with any number of workers.
    n_samples
        Members of the ensemble; 0 for none (the standard deviations are then only the floor).
    worker
        An :class:`ElastixWorker` to use, best started early; by default one is shared by the process.
    settings
        See :class:`RegisterSettings`.

    Returns
    -------
    SectionRegistration
        Also when its verdict is ``reject``: :func:`map_spots` refuses it then.

    Raises
    ------
    InputError
        If the section names no plane or one that is not in the plan, or a volume does not cover the plane.
    RegistrationError
        If the slide is blank, the plane misses the specimen, or elastix crashed.

    Notes
    -----
    Overlap and mutual information guide the registration and judge it; they find failures but do not prove accuracy
    inside the tissue, which only landmarks do. Gene expression is never looked at.
    """
    settings = settings or RegisterSettings()
    plane = _plane_of(section, plan)
    if n_samples < 0:
        raise InputError(subject="n_samples", expected="0 or more", found=f"{n_samples}")
    worker = (worker or _shared_worker()).start()
    pictured = plane_raster(plane, image, mask, offset_mm=section.offset_mm)
    tissue = section_raster(section, pictured.spacing_mm)
    judge = Judge(tissue, pictured)
    starts = search(
        tissue,
        pictured,
        flipped=None if section.face is None else section.face == "+",
        shrinkage=settings.shrinkage,
    )
    seeds = np.random.SeedSequence(seed).spawn(n_samples + 1)
    main_seed = int(seeds[0].generate_state(1)[0] % (2**31 - 2)) + 1
    outcome, ranked = _best(judge, starts, worker, main_seed, settings)
    start, last = PlanarMap(outcome.planar.linear), settings.stage_names[-1:]
    members = [member(judge, start, worker, seed=s, settings=settings.elastix, names=last) for s in seeds[1:]]
    return SectionRegistration(
        section_id=section.id,
        plane_id=plane.id,
        patient_from_section_px=_to_patient(outcome.planar, plane, section),
        samples=tuple(_to_patient(planar, plane, section) for planar in members),
        quality=_quality(judge, outcome, ranked, members, settings),
        uncertainty=floor(plane, tissue, pictured, Grid.from_image(mask)),
        seed=seed,
    )


def sections(
    sections: Sequence[Section],
    *,
    plan: SlicePlan,
    image: Images,
    mask: sitk.Image,
    seed: int = 0,
    n_samples: int = DEFAULT_SAMPLES,
    workers: int | Iterable[ElastixWorker] = 1,
    progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> dict[str, SectionRegistration]:
    """Register many sections; the result does not depend on the number of workers, nor on the order.

    Parameters
    ----------
    sections
        With unique ids; each is paired with its plane by ``plane_id`` alone, so a missing section shifts nobody.
    plan, image, mask, seed, n_samples
        As for :func:`section`; each section draws its chance from the seed and its own id.
    workers
        How many elastix processes to run, or workers already started.
    progress
        Called as ``progress(section_id, done, total)`` after each section.
    **options
        Further keywords of :func:`section`.

    Returns
    -------
    dict
        Section id to registration, in the order given.

    Raises
    ------
    InputError
        Before any work, naming every section without a plane of the plan and every id used twice.
    RegistrationError
        If a section cannot be registered.
    """
    listed = list(sections)
    _check_all(listed, plan)
    with ExitStack() as stack:
        if isinstance(workers, int):
            count = max(1, min(workers, len(listed)))
            pool = [_shared_worker(), *(stack.enter_context(ElastixWorker()) for _ in range(count - 1))]
        else:
            pool = list(workers)
        for one in pool:
            one.start()

        def run(share: int) -> None:
            """Register every n-th section on one worker."""
            for item in listed[share :: len(pool)]:
                if stopped.is_set():
                    return
                found[item.id] = section(
                    item,
                    plan=plan,
                    image=image,
                    mask=mask,
                    seed=_own_seed(seed, item.id),
                    n_samples=n_samples,
                    worker=pool[share],
                    **options,
                )
                if progress is not None:
                    progress(item.id, len(found), len(listed))

        found: dict[str, SectionRegistration] = {}
        stopped = Event()
        with ThreadPoolExecutor(len(pool)) as threads:
            try:
                for future in as_completed([threads.submit(run, share) for share in range(len(pool))]):
                    future.result()
            except BaseException:
                # An error, or Ctrl-C: nobody waits for what the others are at.
                stopped.set()
                for one in pool:
                    one.abort()
                raise
    return {item.id: found[item.id] for item in listed}


@lru_cache(maxsize=1)
def _shared_worker() -> ElastixWorker:
    return ElastixWorker()


def _own_seed(seed: int, section_id: str) -> int:
    return int(np.random.SeedSequence([seed, *section_id.encode()]).generate_state(1)[0])


def _plane_of(section: Section, plan: SlicePlan) -> CutPlane:
    if section.plane_id is None:
        known = ", ".join(plane.id for plane in plan)
        raise InputError(
            subject=f"section {section.id!r}",
            expected="the id of its cutting plane",
            found="none",
            remedy=f"Give plane_id, one of {known}",
        )
    return plan[section.plane_id]


def _check_all(sections: list[Section], plan: SlicePlan) -> None:
    known = {plane.id for plane in plan}
    ids = [item.id for item in sections]
    problems = [f"id {i!r} is used twice" for i in sorted({i for i in ids if ids.count(i) > 1})]
    problems += [
        f"section {item.id!r} has plane_id {item.plane_id!r}" for item in sections if item.plane_id not in known
    ]
    if problems:
        remedy = f"Give each section one of the plan's plane ids: {', '.join(sorted(known))}"
        raise InputError.collect(subject="sections", problems=problems, remedy=remedy)


def _best(
    judge: Judge, starts: list[Start], worker: ElastixWorker, seed: int, settings: RegisterSettings
) -> tuple[Outcome, list[Start]]:
    """Refine the best start, and every rival that comes close; the finer measure then decides between them.

    A wrong turn can be bent into a good fit, so what counts is the mean of the scores before and after the stages.
    Returns the winner, and the starts with those scores.
    """
    rivals = [s for s in starts if s.score >= (1.0 - RIVAL_MARGIN) * starts[0].score]
    outcomes = [
        refine(judge, s.planar, worker, seed=seed, settings=settings.elastix, names=settings.stage_names)
        for s in rivals
    ]
    if len(rivals) == 1:
        return outcomes[0], starts
    scores = [0.5 * (outcome.stages[0].fit.score + outcome.fit.score) for outcome in outcomes]
    order = sorted(range(len(rivals)), key=lambda k: -scores[k])
    ranked = [Start(rivals[k].planar, replace(outcomes[k].fit, score=scores[k])) for k in order]
    return outcomes[order[0]], ranked


def _to_patient(planar: PlanarMap, plane: CutPlane, section: Section) -> Transform:
    plane_from_section_mm = planar.to_transform(section.offset_mm)
    return plane.patient_from_plane @ plane_from_section_mm @ section.section_mm_from_section_px


def _quality(
    judge: Judge, outcome: Outcome, ranked: list[Start], members: list[PlanarMap], settings: RegisterSettings
) -> RegistrationQuality:
    last = [stage for stage in outcome.stages if stage.kept][-1]
    spread = _spread_mm(judge, outcome.planar, members)
    margin = 1.0 if len(ranked) < 2 else 1.0 - ranked[1].score / ranked[0].score
    second = {} if len(ranked) < 2 else _placement(ranked[1])
    far = hd95_mm(judge.section, judge.plane, outcome.planar)
    fullest = judge.section.area_mm2 / settings.shrinkage[0] ** 2
    word, reasons = verdict(
        settings.thresholds,
        dice=last.fit.dice,
        hd95_mm=far,
        radius_mm=judge.plane.radius_mm,
        information=last.fit.information,
        margin=margin,
        area_ratio=fullest / judge.plane.area_mm2,
        spread_mm=spread,
    )
    return RegistrationQuality(
        verdict=word,
        reasons=reasons,
        dice=last.fit.dice,
        hd95_mm=far,
        information=last.fit.information,
        flipped=outcome.planar.flipped,
        angle_deg=outcome.planar.angle_deg,
        scale=outcome.planar.scale,
        margin=margin,
        ambiguous=margin < settings.thresholds.review_margin,
        second_best=second,
        stage=last.name,
        stages=tuple(_stage_quality(stage) for stage in outcome.stages),
        folding_fraction=last.folding_fraction,
        jacobian_range=last.jacobian_range,
        spread_mm=spread,
    )


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


def _spread_mm(judge: Judge, planar: PlanarMap, members: list[PlanarMap]) -> float:
    if not members:
        return float("nan")
    some = judge.points[:: max(1, len(judge.points) // 2000)]
    apart = np.stack([one.apply(some) for one in members]) - planar.apply(some)
    return float(np.median(np.sqrt(np.mean(np.sum(apart**2, axis=2), axis=0))))

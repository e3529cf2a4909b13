"""Registering one section to its cutting plane: match, plane, ensemble, verdict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.io.section import Section
from comould.register.elastix import ElastixWorker, shared_worker
from comould.register.ensemble import floor, members_of
from comould.register.findings import with_findings
from comould.register.landmarks import check_order, doubts
from comould.register.maps import PlanarMap
from comould.register.match import Known, Match, Points, again, match, quality_of, round_trip_mm
from comould.register.plane import named_volumes, plane_raster
from comould.register.pose import PlanePose, fit_pose
from comould.register.quality import LandmarkErrors
from comould.register.result import SectionRegistration
from comould.register.settings import DEFAULT_SAMPLES, Clues, LandmarkPairs, RegisterSettings
from comould.register.thresholds import judged
from comould.register.tissue import section_raster
from comould.register.volume import Volume
from comould.space import CutPlane, Grid, SlicePlan, Transform

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.register.plane import Images

WORTH_CUTTING_MM = 0.3
"""The plane is cut anew, and the section matched again, when the fitted pose moves the tissue's rim by this much."""

ABSURD_RATIO = (0.02, 20.0)
"""Tissue area over the specimen's beyond which a section cannot be of its plane, or its pixels not of their size."""

OUTLINE_SLACK = 0.03
"""A pose at which the overlap of the outlines falls by more than this is reported and not applied."""


@dataclass(frozen=True, eq=False)
class Imaging:
    """What sections of one specimen are registered to; what is costly is made once.

    Parameters
    ----------
    plan
        The cutting planes.
    images
        The volume, or several by name.
    mask
        The specimen.
    """

    plan: SlicePlan
    images: Images
    mask: sitk.Image

    @cached_property
    def volumes(self) -> tuple[Volume, ...]:
        """The imaging, to be read anywhere."""
        return tuple(Volume.of(image) for image in named_volumes(self.images).values())

    @cached_property
    def specimen(self) -> Volume:
        """Signed distance to the specimen's surface."""
        return Volume.inside_distance(self.mask)

    def plane_of(self, section: Section) -> CutPlane:
        """Find the section's plane by its id.

        Raises
        ------
        InputError
            If it names none, or one that is not in the plan.
        """
        if section.plane_id is None:
            known = ", ".join(plane.id for plane in self.plan)
            raise InputError(
                subject=f"section {section.id!r}",
                expected="the id of its cutting plane",
                found="none",
                remedy=f"Give plane_id, one of {known}",
            )
        return self.plan[section.plane_id]


@dataclass(frozen=True, eq=False)
class Task:
    """How one section is to be registered."""

    seed: int = 0
    n_samples: int = DEFAULT_SAMPLES
    settings: RegisterSettings = field(default_factory=RegisterSettings)
    clues: Clues = field(default_factory=Clues)

    def __post_init__(self) -> None:
        if self.n_samples < 0:
            raise InputError(subject="n_samples", expected="0 or more", found=f"{self.n_samples}")

    def seeds(self) -> tuple[int, list[np.random.SeedSequence]]:
        """Elastix' seed of the main registration, and one of each member's."""
        spawned = np.random.SeedSequence(self.seed).spawn(self.n_samples + 1)
        return int(spawned[0].generate_state(1)[0] % (2**31 - 2)) + 1, spawned[1:]


def section(
    section: Section,
    *,
    plan: SlicePlan,
    image: Images,
    mask: sitk.Image,
    clues: Clues | None = None,
    seed: int = 0,
    n_samples: int = DEFAULT_SAMPLES,
    settings: RegisterSettings | None = None,
) -> SectionRegistration:
    """Bring a section to its cutting plane, and so to the patient.

    The tissue is found on the slide; every turn and both faces are searched (one face when the section names it). An
    affine and a B-spline follow, each kept only when it helps, folds nowhere, and stretches believably. Then the
    cut's true offset and tilt are searched around the plan. The registration is repeated ``n_samples`` times from
    other starts on parts of the tissue and of poses the pictures allow as well.

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
    clues
        Landmarks, pictures on the way, what is known of the turn: see :class:`Clues`.
    seed
        Same seed, same bits, with any number of workers.
    n_samples
        Members of the ensemble; 0 for none (the standard deviations are then only the floor).
    settings
        See :class:`RegisterSettings`.

    Returns
    -------
    SectionRegistration
        Also when its verdict is ``reject``: :func:`map_spots` refuses it then.

    Raises
    ------
    InputError
        If the section names no plane or one that is not in the plan, a volume does not cover the plane, or the tissue's
        size is absurd (a wrong pixel size).
    RegistrationError
        If the slide is blank, the plane misses the specimen, or elastix crashed.

    Notes
    -----
    Overlap and mutual information guide the registration and judge it; they find failures but do not prove accuracy
    inside the tissue, which only landmarks do. Gene expression is never looked at.

    One section alone is not compared with other planes: on the plane beside its own it may fit well enough to be
    accepted. :func:`~comould.register.stack` compares, and tells.
    """
    task = Task(seed, n_samples, settings or RegisterSettings(), clues or Clues())
    return to_plane(section, Imaging(plan, image, mask), task, shared_worker())


def to_plane(section: Section, imaging: Imaging, task: Task, worker: ElastixWorker) -> SectionRegistration:
    """Register a section as :func:`section` does, with a worker of the caller's."""
    if task.clues.via:
        from comould.register.hops import by_hops

        return by_hops(section, imaging, task, worker)
    settings, clues = task.settings, task.clues
    plane = imaging.plane_of(section)
    pictured = plane_raster(plane, imaging.images, imaging.mask, offset_mm=section.offset_mm)
    tissue = section_raster(section, pictured.spacing_mm)
    _check_size(tissue.area_mm2 / pictured.area_mm2, section, plane)
    elastix_seed, seeds = task.seeds()
    known = Known(
        flipped=None if section.face is None else section.face == "+",
        angle_deg=clues.angle_deg,
        landmarks=None if clues.landmarks is None else _in_plane(clues.landmarks, section, plane),
        landmarks_only=clues.landmarks_only,
        names=() if clues.landmarks is None else clues.landmarks.names,
    )
    found = match(tissue, pictured, worker, seed=elastix_seed, settings=settings, known=known)
    pose = None
    if settings.plane != "plan" and not clues.landmarks_only:
        found, pose = _posed(found, section, plane, imaging, task, (worker, elastix_seed, known))
    members = members_of(found, worker, seeds=seeds, settings=settings)
    path = _Path(section, plane, pose)
    patient_from_px = path.patient_from_px(found.planar)
    quality = replace(
        with_findings(quality_of(found, members, settings), section, known, _held_out_doubts(clues, section, plane)),
        round_trip_mm=_round_trip(found, worker, elastix_seed, task),
        pose=pose,
        fitted=_errors(clues.landmarks, patient_from_px, held_out=False),
        held_out=_errors(clues.held_out, patient_from_px, held_out=True),
    )
    return SectionRegistration(
        section_id=section.id,
        plane_id=plane.id,
        patient_from_section_px=patient_from_px,
        samples=path.samples(members, seeds),
        quality=judged(quality, settings.thresholds),
        uncertainty=floor(plane, found, Grid.from_image(imaging.mask), pose),
        seed=task.seed,
        extent_px=section.extent_px,
    )


def _check_size(ratio: float, section: Section, plane: CutPlane) -> None:
    """Refuse what no shrinkage explains, before anything is searched."""
    if not ABSURD_RATIO[0] < ratio < ABSURD_RATIO[1]:
        raise InputError(
            subject=f"section {section.id!r}",
            expected=f"tissue about as large as the specimen at {plane.id}",
            found=f"{ratio:.2g} times its area",
            remedy=f"Is the pixel size of {section.pixel_size_um:g} µm right?"
            + ("" if section.tissue is None else " And the tissue mask?"),
        )


def _posed(
    found: Match,
    section: Section,
    plane: CutPlane,
    imaging: Imaging,
    task: Task,
    how: tuple[ElastixWorker, int, Known],
) -> tuple[Match, PlanePose | None]:
    """Fit the cut's pose; where it matters, cut the imaging there, match once more, and fit again."""
    settings = task.settings

    def fitted(one: Match) -> PlanePose | None:
        """Fit the pose with a match's map held."""
        pose = fit_pose(
            one.judge.section,
            one.planar,
            plane,
            imaging.volumes,
            imaging.specimen,
            base_offset_mm=section.offset_mm,
            settings=settings.pose,
        )
        return pose if pose is None or settings.plane == "fit" else replace(pose, applied=False)

    pose = fitted(found)
    if pose is None or not pose.applied or pose.moves_mm(found.judge.plane.radius_mm) < WORTH_CUTTING_MM:
        return found, pose
    target = plane_raster(pose.plane(plane), imaging.images, imaging.mask)
    worker, seed, known = how
    better = again(found, target, worker, seed=seed, settings=settings, known=known)
    if better.outcome.fit.dice < found.outcome.fit.dice - OUTLINE_SLACK:
        # What the inside says, the outline denies: the plan stays, the pose is told.
        return found, replace(pose, applied=False)
    return better, fitted(better)


@dataclass(frozen=True, eq=False)
class _Path:
    """From a section's pixels by a planar map to the patient, on the planned plane or where the cut was found."""

    section: Section
    plane: CutPlane
    pose: PlanePose | None

    def patient_from_px(self, planar: PlanarMap, pose: PlanePose | None = None) -> Transform:
        """Join planar map and plane."""
        pose = pose or self.pose
        if pose is None or not pose.applied:
            lifted = self.plane.patient_from_plane @ planar.to_transform(self.section.offset_mm)
        else:
            lifted = pose.plane(self.plane).patient_from_plane @ planar.to_transform()
        return lifted @ self.section.section_mm_from_section_px

    def samples(self, members: list[PlanarMap], seeds: list[np.random.SeedSequence]) -> tuple[Transform, ...]:
        """Join every member with a pose that the pictures allow as well."""
        made = []
        for planar, seed in zip(members, seeds, strict=True):
            rng = np.random.default_rng([*seed.generate_state(4).tolist(), 1])
            made.append(self.patient_from_px(planar, None if self.pose is None else self.pose.draw(rng)))
        return tuple(made)


def _in_plane(pairs: LandmarkPairs, section: Section, plane: CutPlane) -> Points:
    if pairs.target.shape[1] != 3:
        raise InputError(
            subject=f"landmarks of {section.id!r}",
            expected="targets in patient mm (n, 3)",
            found=f"{pairs.target.shape}",
        )
    mine, theirs = _both_mm(pairs, section, plane)
    check_order(mine, theirs, pairs.names, f"landmarks of section {section.id!r}")
    return mine, theirs


def _both_mm(pairs: LandmarkPairs, section: Section, plane: CutPlane) -> Points:
    mine = section.section_mm_from_section_px.apply(pairs.section_px)[:, :2]
    return mine, plane.plane_from_patient.apply(pairs.target)[:, :2]


def _held_out_doubts(clues: Clues, section: Section, plane: CutPlane) -> tuple[str, ...]:
    held = clues.held_out
    return () if held is None else doubts(*_both_mm(held, section, plane), held.names, "held-out landmarks")


def _errors(pairs: LandmarkPairs | None, patient_from_px: Transform, *, held_out: bool) -> LandmarkErrors | None:
    if pairs is None:
        return None
    return LandmarkErrors.of(pairs.names, patient_from_px.apply(pairs.section_px), pairs.target, held_out=held_out)


def _round_trip(found: Match, worker: ElastixWorker, seed: int, task: Task) -> float:
    if not task.settings.round_trip or task.clues.landmarks_only:
        return float("nan")
    return round_trip_mm(found, worker, seed=seed, settings=task.settings)

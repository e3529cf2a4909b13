"""Picture to picture, and the way home over several pictures: section → adjacent H&E → photo → imaging plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from comould.errors import InputError
from comould.io.section import Section
from comould.register.elastix import ElastixWorker, shared_worker
from comould.register.ensemble import METHOD_FLOOR_MM, flat_floor_mm, members_of
from comould.register.findings import with_findings
from comould.register.landmarks import check_order
from comould.register.maps import PlanarMap
from comould.register.match import Known, Points, match, quality_of, round_trip_mm
from comould.register.quality import LandmarkErrors, RegistrationQuality
from comould.register.result import SectionRegistration
from comould.register.settings import DEFAULT_SAMPLES, Clues, LandmarkPairs, RegisterSettings
from comould.register.thresholds import judged
from comould.register.tissue import section_raster
from comould.space import FloatArray, Transform

if TYPE_CHECKING:
    from comould.register.align import Imaging, Task

_MAIN, _SAMPLE = "target_px_from_source_px.h5", "sample_{:02d}.h5"

NEIGHBOUR_SHRINKAGE = (0.85, 1.18)
"""Bounds of one picture's size over another's of the same slab."""


@dataclass(frozen=True, eq=False)
class Hop:
    """One picture registered to another.

    Parameters
    ----------
    source_id, target_id
        The pictures' ids.
    target_px_from_source_px
        Full-resolution px to full-resolution px.
    samples
        Other plausible transforms.
    quality
        What this hop achieved, with its own verdict.
    in_plane_mm
        Standard deviation per axis that its samples cannot show.
    """

    source_id: str
    target_id: str
    target_px_from_source_px: Transform
    samples: tuple[Transform, ...]
    quality: RegistrationQuality
    in_plane_mm: float = METHOD_FLOOR_MM

    def apply(self, points_px: FloatArray) -> FloatArray:
        """Map source px ``(n, 2)`` to target px ``(n, 2)``."""
        return self.target_px_from_source_px.apply(points_px)[:, :2]

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the transforms to a folder; returns the other facts as plain data, for :meth:`load`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.target_px_from_source_px.save(folder / _MAIN)
        for number, sample in enumerate(self.samples):
            sample.save(folder / _SAMPLE.format(number))
        return {
            "source_id": self.source_id,
            "target_id": self.target_id,
            "n_samples": len(self.samples),
            "quality": self.quality.to_dict(),
            "in_plane_mm": self.in_plane_mm,
        }

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> Self:
        """Read what :meth:`save` wrote and gave.

        Raises
        ------
        KeyError, TypeError, InputError
            If facts or files are not those of a hop.
        """
        return cls(
            facts["source_id"],
            facts["target_id"],
            Transform.load(folder / _MAIN),
            tuple(Transform.load(folder / _SAMPLE.format(n)) for n in range(int(facts["n_samples"]))),
            RegistrationQuality.from_dict(facts["quality"]),
            float(facts["in_plane_mm"]),
        )


def pair(
    source: Section,
    target: Section,
    *,
    clues: Clues | None = None,
    seed: int = 0,
    n_samples: int = DEFAULT_SAMPLES,
    settings: RegisterSettings | None = None,
) -> Hop:
    """Register one picture to another: serial sections, an ST section to its H&E, a slide to the slab's photo.

    Parameters
    ----------
    source, target
        Pictures with known pixel sizes. When both name the face they show, only turns that agree are searched.
    clues
        Landmarks in px on both sides, what is known of the turn; ``via`` is not looked at.
    seed, n_samples
        As for :func:`~comould.register.section`.
    settings
        By default with bounds of 0.85 to 1.18 on the sizes' ratio, and no plane to search.

    Returns
    -------
    Hop

    Raises
    ------
    InputError
        If landmarks are not in pixels on both sides.
    RegistrationError
        If a picture is blank, or elastix crashed.
    """
    chosen = settings or RegisterSettings(shrinkage=NEIGHBOUR_SHRINKAGE)
    return hop(source, target, clues or Clues(), (seed, n_samples), chosen, shared_worker())


def hop(
    source: Section,
    target: Section,
    clues: Clues,
    chance: tuple[int, int],
    settings: RegisterSettings,
    worker: ElastixWorker,
) -> Hop:
    """Register a pair as :func:`pair` does; ``chance`` is (seed, number of samples)."""
    from comould.register.align import Task

    task = Task(*chance, settings, clues)
    spacing = max(source.image_pixel_mm, target.image_pixel_mm)
    pictured = section_raster(target, max(spacing, _extent_mm(target) / LONGEST_SIDE))
    tissue = section_raster(source, pictured.spacing_mm)
    elastix_seed, seeds = task.seeds()
    known = Known(
        flipped=None if source.face is None or target.face is None else source.face != target.face,
        angle_deg=clues.angle_deg,
        landmarks=None if clues.landmarks is None else _in_mm(clues.landmarks, source, target),
        landmarks_only=clues.landmarks_only,
        names=() if clues.landmarks is None else clues.landmarks.names,
    )
    found = match(tissue, pictured, worker, seed=elastix_seed, settings=settings, known=known)
    members = members_of(found, worker, seeds=seeds, settings=settings)
    back = target.section_mm_from_section_px.inverse()
    quality = replace(
        with_findings(quality_of(found, members, settings), source, known),
        fitted=_errors(clues.landmarks, source, target, found.planar, held_out=False),
        held_out=_errors(clues.held_out, source, target, found.planar, held_out=True),
    )
    if settings.round_trip and not clues.landmarks_only:
        away = round_trip_mm(found, worker, seed=elastix_seed, settings=settings)
        quality = replace(quality, round_trip_mm=away)

    def to_px(planar: PlanarMap) -> Transform:
        """Slide px to target px."""
        return back @ planar.to_section() @ source.section_mm_from_section_px

    return Hop(
        source.id,
        target.id,
        to_px(found.planar),
        tuple(to_px(planar) for planar in members),
        judged(quality, settings.thresholds),
        flat_floor_mm(found),
    )


LONGEST_SIDE = 480
"""Pixels along the longer side of a target picture, at most."""


def _extent_mm(section: Section) -> float:
    return max(section.image.shape[:2]) * section.image_pixel_mm


def by_hops(section: Section, imaging: Imaging, task: Task, worker: ElastixWorker) -> SectionRegistration:
    """Bring a section home over the pictures of ``task.clues.via``.

    Each picture is registered to the next, the last to the imaging plane; transforms are joined, members member by
    member, floors in quadrature. The verdict is the gravest of all hops, each reason with its hop.
    """
    from comould.register.align import Task, to_plane

    via = task.clues.via
    chain = (section, *via)
    _check_chain(chain)
    last = replace_plane(via[-1], section)
    inner = replace(task.settings, shrinkage=NEIGHBOUR_SHRINKAGE)
    chance = (task.seed, task.n_samples)
    hops = [hop(a, b, Clues(), chance, inner, worker) for a, b in pairwise(chain)]
    home = to_plane(last, imaging, Task(*chance, task.settings, Clues(angle_deg=task.clues.angle_deg)), worker)
    joined, samples = home.patient_from_section_px, list(home.samples)
    for one in reversed(hops):
        joined = joined @ one.target_px_from_source_px
        samples = [outer @ inner_ for outer, inner_ in zip(samples, one.samples, strict=False)]
    floor = replace(
        home.uncertainty,
        in_plane_mm=float(np.sqrt(home.uncertainty.in_plane_mm**2 + sum(one.in_plane_mm**2 for one in hops))),
    )
    quality = _joined_quality(home, hops, task, section, joined)
    return SectionRegistration(
        section_id=section.id,
        plane_id=home.plane_id,
        patient_from_section_px=joined,
        samples=tuple(samples),
        quality=quality,
        uncertainty=floor,
        seed=task.seed,
        extent_px=section.extent_px,
        hops=(*hops,),
    )


def replace_plane(last: Section, section: Section) -> Section:
    """Let the last picture stand for the section on its plane: it takes the plane's id where it names none.

    Raises
    ------
    InputError
        If the two name different planes.
    """
    if last.plane_id is not None and section.plane_id is not None and last.plane_id != section.plane_id:
        raise InputError(
            subject=f"pictures on the way of section {section.id!r}",
            expected=f"a last picture of plane {section.plane_id}",
            found=f"{last.id!r} of plane {last.plane_id}",
        )
    return replace(last, plane_id=last.plane_id or section.plane_id)


def _check_chain(chain: tuple[Section, ...]) -> None:
    ids = [one.id for one in chain]
    if len(set(ids)) < len(ids):
        raise InputError(
            subject=f"pictures on the way of section {ids[0]!r}", expected="different ids", found=", ".join(ids)
        )


_GRAVITY = {"accept": 0, "review": 1, "reject": 2}


def _joined_quality(
    home: SectionRegistration, hops: list[Hop], task: Task, section: Section, joined: Transform
) -> RegistrationQuality:
    """Numbers of the last hop, verdict of the gravest, reasons of all, landmarks of the whole way."""
    named = [(f"{one.source_id} → {one.target_id}", one.quality) for one in hops]
    named.append((f"{hops[-1].target_id} → {home.plane_id}", home.quality))
    verdict = max((quality.verdict for _, quality in named), key=lambda word: _GRAVITY[word])
    reasons = tuple(f"{name}: {reason}" for name, quality in named for reason in quality.reasons)
    held = task.clues.held_out
    errors = None
    if held is not None:
        errors = LandmarkErrors.of(held.names, joined.apply(held.section_px), held.target, held_out=True)
    flipped = home.quality.flipped ^ bool(sum(one.quality.flipped for one in hops) % 2)
    return replace(home.quality, verdict=verdict, reasons=reasons, held_out=errors, flipped=flipped)


def _in_mm(pairs: LandmarkPairs, source: Section, target: Section) -> Points:
    if pairs.target.shape[1] != 2:
        raise InputError(
            subject=f"landmarks of {source.id!r} and {target.id!r}",
            expected="targets in pixels (n, 2)",
            found=f"{pairs.target.shape}",
        )
    here = source.section_mm_from_section_px.apply(pairs.section_px)[:, :2]
    there = target.section_mm_from_section_px.apply(pairs.target)[:, :2]
    check_order(here, there, pairs.names, f"landmarks of {source.id!r} and {target.id!r}")
    return here, there


def _errors(
    pairs: LandmarkPairs | None, source: Section, target: Section, planar: PlanarMap, *, held_out: bool
) -> LandmarkErrors | None:
    if pairs is None:
        return None
    mine, theirs = _in_mm(pairs, source, target)
    return LandmarkErrors.of(pairs.names, planar.apply(mine), theirs, held_out=held_out)

"""RegisterSettings and Clues: what shapes a registration beside its pictures."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from comould.errors import InputError
from comould.io.landmarks import Landmarks, pair_landmarks
from comould.io.section import Section
from comould.register.pose import PoseSettings
from comould.register.stages import StageSettings
from comould.register.thresholds import Thresholds
from comould.space import FloatArray

DEFAULT_SAMPLES = 8

RIVAL_MARGIN = 0.15
"""Answers of the search within this relative distance of the best are all carried through to the finer measure."""

PlaneRule = Literal["fit", "test", "plan"]


@dataclass(frozen=True)
class RegisterSettings:
    """What shapes a registration beside its inputs.

    Parameters
    ----------
    shrinkage
        Bounds of slide size over patient size.
    deformable
        Whether the B-spline is tried.
    plane
        ``"fit"``: offset and tilt of the true cut are searched around the plan, reported with their likelihood, and
        positions follow them (within ``pose.reach_mm``); ``"test"``: searched and reported only; ``"plan"``: not
        searched. None of them ever moves a section to another plane of the plan.
    round_trip
        Whether the way back (target to section) is registered too, to measure how far there and back leads astray.
    stages
        The stages' settings and rules of acceptance; its own ``shrinkage`` is replaced by the one here.
    pose
        How the plane is searched.
    thresholds
        When a result is rejected or should be looked at.
    """

    shrinkage: tuple[float, float] = (0.75, 1.1)
    deformable: bool = True
    plane: PlaneRule = "fit"
    round_trip: bool = True
    stages: StageSettings = field(default_factory=StageSettings)
    pose: PoseSettings = field(default_factory=PoseSettings)
    thresholds: Thresholds = field(default_factory=Thresholds.load)

    def __post_init__(self) -> None:
        low, high = self.shrinkage
        if not 0.2 <= low < high <= 5.0:
            raise InputError(
                subject="shrinkage",
                expected="two rising ratios of slide size to patient size, such as (0.75, 1.1)",
                found=f"{self.shrinkage}",
            )
        if self.plane not in {"fit", "test", "plan"}:
            raise InputError(subject="plane rule", expected="'fit', 'test' or 'plan'", found=repr(self.plane))

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The stages tried after the search, in order."""
        return ("affine", "bspline") if self.deformable else ("affine",)

    @property
    def staged(self) -> StageSettings:
        """The stages' settings with the shrinkage bounds."""
        return replace(self.stages, shrinkage=self.shrinkage)

    def reversed(self) -> RegisterSettings:
        """Turn the bounds over, for the way back."""
        low, high = self.shrinkage
        return replace(self, shrinkage=(1.0 / high, 1.0 / low))


@dataclass(frozen=True, eq=False)
class LandmarkPairs:
    """The same places seen on both sides.

    Parameters
    ----------
    names
        One each.
    section_px
        ``(n, 2)`` full-resolution px of the section.
    target
        ``(n, 3)`` patient mm, or ``(n, 2)`` full-resolution px of the picture it is registered to.

    Raises
    ------
    InputError
        If numbers do not match or are not finite.
    """

    names: tuple[str, ...]
    section_px: FloatArray
    target: FloatArray

    def __post_init__(self) -> None:
        n = len(self.names)
        shapes = (self.section_px.shape, self.target.shape)
        if shapes[0] != (n, 2) or shapes[1] not in {(n, 2), (n, 3)} or n == 0:
            raise InputError(
                subject="landmark pairs",
                expected="(n, 2) pixels, (n, 3) patient mm or (n, 2) pixels, and n names, n ≥ 1",
                found=f"{shapes[0]}, {shapes[1]} and {n} names",
            )
        finite = np.isfinite(np.column_stack([self.section_px, self.target]))
        bad: np.ndarray = np.asarray(~finite.all(axis=1))
        if bad.any():
            named = ", ".join(name or f"number {row + 1}" for row, name in enumerate(self.names) if bad[row])
            raise InputError(subject="landmark pairs", expected="finite coordinates", found=f"none at {named}")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, section: Landmarks, target: Landmarks) -> LandmarkPairs:
        """Pair two sets by name (unnamed ones by order, with a warning)."""
        a, b = pair_landmarks(section, target)
        names = tuple(name or f"{row + 1}" for row, name in enumerate(a.names))
        return cls(names, a.points, b.points)

    def split(self, share: float = 0.5, seed: int = 0) -> tuple[LandmarkPairs, LandmarkPairs]:
        """Split into pairs to fit with and pairs to hold out, by chance.

        Raises
        ------
        InputError
            If either part would be empty.
        """
        order = np.random.default_rng(seed).permutation(len(self))
        count = round(share * len(self))
        if not 0 < count < len(self):
            raise InputError(subject="landmark pairs", expected="enough to split", found=f"{len(self)}")
        return self._take(np.sort(order[:-count])), self._take(np.sort(order[-count:]))

    def _take(self, rows: np.ndarray) -> LandmarkPairs:
        return LandmarkPairs(tuple(self.names[row] for row in rows), self.section_px[rows], self.target[rows])


@dataclass(frozen=True, eq=False)
class Clues:
    """What else is known about one section.

    Parameters
    ----------
    landmarks
        Pairs that pull the map towards them.
    landmarks_only
        Use nothing but the landmarks: pictures are not compared.
    held_out
        Pairs that are never fitted: the target registration error is measured on them.
    via
        Pictures on the way to the plane, in order: the adjacent H&E, the photo of the slab's face. Each is registered
        to the next, the last to the imaging plane.
    angle_deg
        Turn of the slide towards the plane (after the mirroring of x), as far as known, and how far it may be off.
    """

    landmarks: LandmarkPairs | None = None
    landmarks_only: bool = False
    held_out: LandmarkPairs | None = None
    via: tuple[Section, ...] = ()
    angle_deg: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "via", tuple(self.via))
        problems = []
        if self.landmarks_only and self.landmarks is None:
            problems.append("landmarks_only needs landmarks")
        if self.landmarks_only and self.landmarks is not None and len(self.landmarks) < 3:
            problems.append(f"landmarks_only needs 3 pairs or more, not {len(self.landmarks)}")
        if self.landmarks is not None and self.held_out is not None:
            shared = sorted(set(self.landmarks.names) & set(self.held_out.names))
            if shared:
                problems.append(f"landmarks both fitted and held out: {', '.join(shared)}")
        if self.angle_deg is not None and not (np.isfinite(self.angle_deg).all() and self.angle_deg[1] > 0):
            problems.append(f"angle_deg {self.angle_deg} is not (angle, tolerance > 0)")
        if problems:
            raise InputError.collect(subject="clues", problems=problems)

"""Other plausible transforms of the same section: what the data leave open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from comould.register.elastix import ElastixWorker
from comould.register.maps import PlanarMap
from comould.register.match import Match
from comould.register.measure import Judge
from comould.register.pose import PlanePose
from comould.register.raster import Raster
from comould.register.result import Uncertainty
from comould.register.settings import RegisterSettings
from comould.register.stages import StageSettings, refine
from comould.space import CutPlane, FloatArray, Grid

METHOD_FLOOR_MM = 0.1
"""Error per axis that repeating a registration cannot show where nothing is bent, as the phantom's truth shows it."""

BENT_IN_PLANE, BENT_ACROSS = 0.2, 0.25
"""What is added to it in the plane and along the normal, as shares of the bending (root mean square displacement of
the B-spline): a field that is smoothed misses a part of what it follows, every member the same part, and the plane's
pose is fitted with it. Set on 22 simulated sections bent by 1 mm and 8 bent by 3 mm, for 90 % intervals."""

USUAL_BEND_MM = 1.0
"""Bending taken where no B-spline was kept."""

BLOCK_MM = 4.0
HELD_OUT = 0.25
"""Share of the tissue, in blocks, that each member of an ensemble does not see."""


def member(
    judge: Judge,
    start: PlanarMap,
    worker: ElastixWorker,
    *,
    seed: np.random.SeedSequence,
    settings: StageSettings,
    names: tuple[str, ...],
) -> PlanarMap:
    """Register once more: from a jittered start, without a random quarter of the tissue, with other weights and grid.

    Parameters
    ----------
    judge
        The two pictures.
    start
        The linear part of the main registration.
    worker
        Runs elastix.
    seed
        Of this member only.
    settings
        Of the main registration.
    names
        The stages to run.
    """
    rng = np.random.default_rng(seed)
    jittered = PlanarMap(_jitter(judge.plane, rng) @ start.linear)
    weights = ("outline_weight", "shared_weight", "bending_weight")
    varied = replace(
        settings,
        grid_factor=settings.grid_factor * float(rng.uniform(0.8, 1.25)),
        holes_mm=_holes(judge, start, rng),
        **{name: getattr(settings, name) * float(np.exp(rng.normal(0.0, 0.5))) for name in weights},
    )
    return refine(judge, jittered, worker, seed=int(rng.integers(1, 2**31 - 1)), settings=varied, names=names).planar


def _jitter(plane: Raster, rng: np.random.Generator) -> FloatArray:
    """Make a small turn, stretch and shift about the specimen's centre."""
    turn, stretch = np.deg2rad(rng.normal(0.0, 1.0)), float(np.exp(rng.normal(0.0, 0.01)))
    rotation = stretch * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre, matrix = plane.centroid_mm, np.eye(3)
    matrix[:2, :2] = rotation
    matrix[:2, 2] = centre - rotation @ centre + rng.normal(0.0, 0.015 * plane.radius_mm, 2)
    return matrix


def _holes(judge: Judge, start: PlanarMap, rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """Choose square blocks (corner u, v and side, mm) over the tissue that a member leaves out."""
    mapped = start.apply(judge.points)
    low = mapped.min(axis=0) - rng.uniform(0.0, BLOCK_MM, 2)
    cells = np.unique(np.floor((mapped - low) / BLOCK_MM).astype(int), axis=0)
    left_out = cells[rng.random(len(cells)) < HELD_OUT]
    return tuple((float(u), float(v), BLOCK_MM) for u, v in left_out * BLOCK_MM + low)


def members_of(
    found: Match, worker: ElastixWorker, *, seeds: list[np.random.SeedSequence], settings: RegisterSettings
) -> list[PlanarMap]:
    """Repeat a match's last stage, once for every seed; a match by landmarks alone is not repeated."""
    if found.outcome.stages[0].name == "landmarks":
        return []
    start, last = PlanarMap(found.planar.linear), settings.stage_names[-1:]
    return [member(found.judge, start, worker, seed=s, settings=settings.staged, names=last) for s in seeds]


def method_floor_mm(found: Match, share: float = BENT_IN_PLANE) -> float:
    """Say how large an error no repetition shows of a section bent as this one (see :data:`BENT_IN_PLANE`)."""
    return float(np.hypot(METHOD_FLOOR_MM, share * (found.bend_mm or USUAL_BEND_MM)))


def flat_floor_mm(found: Match) -> float:
    """Join, per axis in the plane, what the method misses and half a pixel of either picture (as uniform errors)."""
    pixels = (found.judge.section.spacing_mm**2 + found.judge.plane.spacing_mm**2) / 12.0
    return float(np.hypot(method_floor_mm(found), np.sqrt(pixels)))


def floor(plane: CutPlane, found: Match, volume: Grid, pose: PlanePose | None = None) -> Uncertainty:
    """Say what stays uncertain even when every member agrees.

    In the plane: the method's floor and half a pixel of either picture (as uniform errors). Along the normal, where no
    pose was fitted: the knife may run anywhere in the kerf (uniform, kerf/√12), and imaging tells depth no better than
    a slice (slice/√12). Where one was, the members carry what it leaves open, and only the method's floor remains.
    """
    flat = flat_floor_mm(found)
    if pose is not None and pose.applied:
        return Uncertainty(flat, method_floor_mm(found, BENT_ACROSS), plane.normal)
    across = np.abs(np.array(plane.normal) @ volume.axes) @ np.array(volume.spacing_mm)
    normal = np.sqrt((plane.kerf_mm**2 + float(across) ** 2) / 12.0)
    return Uncertainty(flat, float(normal), plane.normal)

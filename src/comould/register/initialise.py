"""Where a section lies on its plane, from nothing: every turn, both faces, within the shrinkage that tissue has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from comould.register.dense.linear import CLOSE, FAR, NEAR, match_linear
from comould.register.dense.volume import Level
from comould.register.maps import PlanarMap, similarity
from comould.register.measure import Fit, Judge
from comould.register.raster import Raster
from comould.space import FloatArray

SHRINKAGE = (0.8, 1.1)
"""Size of the tissue on the slide relative to the patient, smallest and largest believed."""

STEP_DEG = 5.0
APART_DEG = 25.0
"""Two starts closer than this in turn are the same answer."""

SAME_PROPOSAL_DEG = 12.0
FULL_CIRCLE_DEG = 360.0
FIRST_ROUND, SECOND_ROUND, ANSWERS = 12, 5, 3
MATCH_PX = 40.0
"""Pixels along the specimen's radius when proposals are matched."""


@dataclass(frozen=True, eq=False)
class Start:
    """One refined answer of the search."""

    planar: PlanarMap
    fit: Fit

    @property
    def score(self) -> float:
        """What the answers are ranked by."""
        return self.fit.score


def search(
    section: Raster,
    plane: Raster,
    *,
    flipped: bool | None = None,
    shrinkage: tuple[float, float] = SHRINKAGE,
    angle_deg: tuple[float, float] | None = None,
) -> list[Start]:
    """Search the full circle and both faces for the similarity that lays a section on its plane.

    Outline and classes at a coarse scale propose; then every proposal is matched patch by patch, which forgives a
    wrong turn of some degrees, a shift, and tissue that is missing on either side, and is judged by what agrees.

    Parameters
    ----------
    section, plane
        Pictures in ``section_mm`` and ``plane``.
    flipped
        ``True`` or ``False`` when the face is known; ``None`` tries both.
    shrinkage
        Bounds of slide size over patient size.
    angle_deg
        Turn of the (already mirrored) slide towards the plane and its tolerance, when known.

    Returns
    -------
    list of Start
        Distinct answers (another face, or turned by 25° or more), best first; at least one.
    """
    bounds = (1.0 / shrinkage[1], 1.0 / shrinkage[0])
    coarse = _coarse_judge(section, plane)
    proposals = [
        PlanarMap(_matrix(coarse, item[1], item[2])) for item in _proposals(coarse, flipped, bounds, angle_deg)
    ]
    spacing = plane.radius_mm / MATCH_PX
    judge = Judge(section.coarser(spacing), plane.coarser(spacing), smooth_mm=0.8 * spacing)
    starts = _matched(judge, proposals, FAR, bounds)[:SECOND_ROUND]
    starts = _matched(judge, [start.planar for start in starts], NEAR, bounds)
    best = _distinct([start for start in starts if _is_allowed(start.planar, angle_deg)] or starts)[:ANSWERS]
    return _distinct(_matched(judge, [start.planar for start in best], CLOSE, bounds))


def _proposals(
    judge: Judge, flipped: bool | None, bounds: tuple[float, float], angle_deg: tuple[float, float] | None
) -> list[_Refined]:
    """Local best turns of either face by outline and classes, refined and at least 12° apart."""
    scale = float(np.clip(np.sqrt(judge.plane.area_mm2 / judge.section.area_mm2), *bounds))
    rough = []
    for face in (False, True) if flipped is None else (flipped,):
        angles = _angles(angle_deg)
        scores = [_rough(judge, angle, scale, face) for angle in angles]
        for k, score in enumerate(scores):
            before, after = scores[k - 1], scores[(k + 1) % len(scores)]
            if angle_deg is not None or (score >= before and score >= after):
                rough.append((score, angles[k], face))
    rough.sort(key=lambda item: -item[0])
    refined = [
        _refine(judge, (angle, 0.0, 0.0, np.log(scale)), face, bounds, 60) for _, angle, face in rough[:FIRST_ROUND]
    ]
    refined.sort(key=lambda item: -item[0])
    kept: list[_Refined] = []
    for item in refined:
        if all(item[2] != k[2] or _turn(item[1][0], k[1][0]) > SAME_PROPOSAL_DEG for k in kept):
            kept.append(item)
    return kept


def _angles(angle_deg: tuple[float, float] | None) -> list[float]:
    if angle_deg is None or angle_deg[1] >= FULL_CIRCLE_DEG / 2:
        return np.arange(0.0, FULL_CIRCLE_DEG, STEP_DEG).tolist()
    centre, tolerance = angle_deg
    count = 2 * max(1, int(np.ceil(tolerance / STEP_DEG))) + 1
    return np.linspace(centre - tolerance, centre + tolerance, count).tolist()


def _matched(judge: Judge, planars: list[PlanarMap], level: Level, bounds: tuple[float, float]) -> list[Start]:
    """Match each by one round, and sort by how well they fit then."""
    section, plane = judge.seen
    starts = []
    for planar in planars:
        matrix = match_linear(section, plane, planar.linear, [(level, "similarity")], scale_bounds=bounds)
        candidate = PlanarMap(matrix)
        starts.append(Start(candidate, judge.judge(candidate)))
    return sorted(starts, key=lambda start: -start.score)


def _is_allowed(planar: PlanarMap, angle_deg: tuple[float, float] | None) -> bool:
    return angle_deg is None or _turn(planar.angle_deg, angle_deg[0]) <= angle_deg[1] + STEP_DEG


def _turn(a: float, b: float) -> float:
    return abs((a - b + 180.0) % 360.0 - 180.0)


def _coarse_judge(section: Raster, plane: Raster) -> Judge:
    spacing = plane.radius_mm / 22.0
    return Judge(section.coarser(spacing), plane.coarser(spacing), smooth_mm=0.8 * spacing)


def _matrix(judge: Judge, parameters: FloatArray | tuple[float, ...], flipped: bool) -> FloatArray:
    angle, x, y, log_scale = parameters
    return similarity(
        angle,
        float(np.exp(log_scale)),
        flipped=flipped,
        centre_from=judge.section.centroid_mm,
        centre_to=judge.plane.centroid_mm + np.array([x, y]),
    )


def _score(judge: Judge, matrix: FloatArray) -> Fit:
    mapped = judge.points @ matrix[:2, :2].T + matrix[:2, 2]
    return judge.fit(mapped, abs(float(np.linalg.det(matrix[:2, :2]))))


def _rough(judge: Judge, angle: float, scale: float, flipped: bool) -> float:
    return _score(judge, _matrix(judge, (angle, 0.0, 0.0, np.log(scale)), flipped)).score


_Refined = tuple[float, FloatArray, bool]


def _refine(judge: Judge, start: object, flipped: bool, bounds: tuple[float, float], evaluations: int) -> _Refined:
    low, high = np.log(bounds)
    unit = np.array([4.0, 0.04 * judge.plane.radius_mm, 0.04 * judge.plane.radius_mm, 0.03])
    first = np.asarray(start, dtype=np.float64)

    def cost(step: FloatArray) -> float:
        parameters = first + step * unit
        beyond = max(0.0, low - parameters[3], parameters[3] - high)
        parameters[3] = np.clip(parameters[3], low, high)
        return -_score(judge, _matrix(judge, parameters, flipped)).score + 5.0 * beyond

    simplex = np.vstack([np.zeros(4), np.eye(4)])
    found = optimize.minimize(
        cost,
        np.zeros(4),
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": evaluations, "xatol": 1e-3, "fatol": 1e-6},
    )
    best = first + found.x * unit
    best[3] = np.clip(best[3], low, high)
    return -float(found.fun), best, flipped


def _distinct(starts: list[Start]) -> list[Start]:
    kept: list[Start] = []
    for start in starts:
        if all(
            start.planar.flipped != k.planar.flipped or _turn(start.planar.angle_deg, k.planar.angle_deg) > APART_DEG
            for k in kept
        ):
            kept.append(start)
    return kept

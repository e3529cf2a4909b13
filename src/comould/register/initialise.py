"""Where a section lies on its plane, from nothing: every turn, both faces, within the shrinkage that tissue has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from comould.register.maps import PlanarMap, similarity
from comould.register.measure import Fit, Judge
from comould.register.raster import Raster
from comould.space import FloatArray

SHRINKAGE = (0.8, 1.1)
"""Size of the tissue on the slide relative to the patient, smallest and largest believed."""

STEP_DEG = 5.0
APART_DEG = 25.0
"""Two starts closer than this in turn are the same answer."""


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
    section: Raster, plane: Raster, *, flipped: bool | None = None, shrinkage: tuple[float, float] = SHRINKAGE
) -> list[Start]:
    """Search the full circle and both faces for the similarity that lays a section on its plane.

    Outline and inside count together: an outline alone cannot turn a round section, and an inside alone drifts.

    Parameters
    ----------
    section, plane
        Pictures in ``section_mm`` and ``plane``.
    flipped
        ``True`` or ``False`` when the face is known; ``None`` tries both.
    shrinkage
        Bounds of slide size over patient size.

    Returns
    -------
    list of Start
        Distinct answers (another face, or turned by 25° or more), best first; at least one.
    """
    judge = _coarse_judge(section, plane)
    bounds = (1.0 / shrinkage[1], 1.0 / shrinkage[0])
    scale = float(np.clip(np.sqrt(plane.area_mm2 / section.area_mm2), *bounds))
    rough = []
    for face in (False, True) if flipped is None else (flipped,):
        scores = [_rough(judge, angle, scale, face) for angle in np.arange(0.0, 360.0, STEP_DEG)]
        for k, score in enumerate(scores):
            if score >= scores[k - 1] and score >= scores[(k + 1) % len(scores)]:
                rough.append((score, k * STEP_DEG, face))
    rough.sort(key=lambda item: -item[0])
    refined = [_refine(judge, (angle, 0.0, 0.0, np.log(scale)), face, bounds, 60) for _, angle, face in rough[:12]]
    refined.sort(key=lambda item: -item[0])
    starts = [_polish(judge, item, bounds) for item in _distinct(refined)[:3]]
    return sorted(starts, key=lambda start: -start.score)


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


def _polish(judge: Judge, item: _Refined, bounds: tuple[float, float]) -> Start:
    _, parameters, flipped = _refine(judge, item[1], item[2], bounds, 150)
    matrix = _matrix(judge, parameters, flipped)
    return Start(PlanarMap(matrix), _score(judge, matrix))


def _distinct(refined: list[_Refined]) -> list[_Refined]:
    kept: list[_Refined] = []
    for item in refined:
        if all(item[2] != k[2] or abs((item[1][0] - k[1][0] + 180) % 360 - 180) > APART_DEG for k in kept):
            kept.append(item)
    return kept

"""The elastix stages after the search: affine, then B-spline, each kept only when it earns it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.register.canonical import canonical_pictures
from comould.register.elastix import ElastixStageError, ElastixWorker
from comould.register.maps import PlanarMap, Spline
from comould.register.measure import Fit, Judge
from comould.register.raster import Raster, smooth_inside
from comould.space import FloatArray

STIFFER = 10.0
"""How much more a second B-spline attempt is kept from bending."""


@dataclass(frozen=True)
class StageSettings:
    """How the elastix stages run.

    Parameters
    ----------
    shrinkage
        Bounds of slide size over patient size; every local stretch must stay within them, with ``local_slack``.
    local_slack
        How far beyond the bounds a local stretch may go, as a factor.
    grid_mm
        Final spacing of the B-spline grid.
    outline_weight, bending_weight
        Of the outline's squared distance (in units of ``band_mm``) and the bending penalty beside mutual information.
    band_mm
        Depth on either side of the outline within which the distance to it counts.
    smooth_mm
        The pictures are smoothed by this much first.
    samples, affine_iterations, spline_iterations, resolutions, bins
        elastix' own settings.
    metric
        elastix' metric between the pictures.
    holes_mm
        Squares (corner u, v and side, mm in the plane) whose tissue elastix is not shown.
    gain
        A stage is kept when the score rises by at least this.
    dice_slack
        And the overlap does not fall by more than this.
    """

    shrinkage: tuple[float, float] = (0.8, 1.1)
    local_slack: float = 1.4
    grid_mm: float = 8.0
    outline_weight: float = 0.5
    bending_weight: float = 20.0
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
    dice_slack: float = 0.01


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
) -> Outcome:
    """Improve a start by an affine and a B-spline stage; the best map that neither folds nor tears wins.

    Parameters
    ----------
    judge
        Holds the two pictures and measures.
    start
        From the search.
    worker
        Runs elastix.
    seed
        elastix' random seed.
    settings
        See :class:`StageSettings`.
    names
        The stages to try, in order.

    Raises
    ------
    RegistrationError
        If elastix crashes or hangs; a stage that elastix itself gives up on is only not kept.
    """
    best, fit = start, judge.judge(start)
    stages = [_stage(judge, "similarity", start, fit, None, settings)]
    for name in names:
        for attempt in _attempts(name, settings):
            found, stage = _try(name, judge, (best, fit), worker, seed, attempt)
            stages.append(stage)
            if stage.kept:
                best, fit = found, stage.fit
            if not stage.unbelievable:
                break
    return Outcome(best, tuple(stages))


def _attempts(name: str, settings: StageSettings) -> list[StageSettings]:
    """Give a B-spline that folds or overstretches a second chance, stiffer."""
    stiffer = replace(settings, bending_weight=settings.bending_weight * STIFFER)
    return [settings, stiffer] if name == "bspline" else [settings]


def _try(
    name: str,
    judge: Judge,
    before: tuple[PlanarMap, Fit],
    worker: ElastixWorker,
    seed: int,
    settings: StageSettings,
) -> tuple[PlanarMap, Stage]:
    start, fit = before
    try:
        found = _run(name, judge, start, worker, seed, settings)
    except ElastixStageError as error:
        return start, Stage(name, fit, kept=False, reason=error.found)
    return found, _stage(judge, name, found, judge.judge(found), fit, settings)


def _stage(judge: Judge, name: str, planar: PlanarMap, fit: Fit, before: Fit | None, settings: StageSettings) -> Stage:
    """Measure a stage and decide: it must fold nowhere, stretch believably, and improve what is held."""
    jacobians = planar.jacobians(judge.points)
    determinant = np.linalg.det(jacobians) * (-1.0 if planar.flipped else 1.0)
    folding = float(np.mean(determinant <= 0))
    stretch = np.linalg.svd(jacobians, compute_uv=False)
    low, high = 1.0 / settings.shrinkage[1] / settings.local_slack, settings.local_slack / settings.shrinkage[0]
    unbelievable = bool(stretch.min() < low or stretch.max() > high)
    reason = ""
    if folding > 0:
        reason = f"it folds {folding:.2%} of the tissue"
    elif unbelievable:
        reason = f"it stretches by {stretch.min():.2f} to {stretch.max():.2f}, beyond {low:.2f} to {high:.2f}"
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


def _run(
    name: str, judge: Judge, start: PlanarMap, worker: ElastixWorker, seed: int, settings: StageSettings
) -> PlanarMap:
    """Run one stage from a linear start; the section is laid on the plane's axes first: elastix starts at identity."""
    head, arrays = _job(name, judge, start, seed, settings)
    found = worker.run(head, arrays)
    if name == "affine":
        return PlanarMap(_affine(found) @ start.linear)
    return replace(start, spline=_spline(found))


def _job(
    name: str, judge: Judge, start: PlanarMap, seed: int, settings: StageSettings
) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.generic]]]:
    laid = lay(judge.section, judge.plane, start.linear, settings.band_mm + 1.0)
    mine, theirs, _ = canonical_pictures(laid, judge.plane, settings.smooth_mm)
    fixed, moving = [*mine, _outline(laid, settings.band_mm)], [*theirs, _outline(judge.plane, settings.band_mm)]
    if name == "bspline":
        # elastix wants one picture per metric; the bending penalty looks at none.
        fixed, moving = [*fixed, fixed[0]], [*moving, moving[0]]
    head = {
        "parameters": parameter_map(name, len(mine), seed, settings),
        "fixed": {"spacing": laid.spacing_mm, "origin": list(laid.origin_mm)},
        "moving": {"spacing": judge.plane.spacing_mm, "origin": list(judge.plane.origin_mm)},
    }
    near = laid.signed_distance_mm() > -0.6 * settings.band_mm
    rows, columns = np.indices(near.shape)
    u, v = columns * laid.spacing_mm + laid.origin_mm[0], rows * laid.spacing_mm + laid.origin_mm[1]
    for left, top, side in settings.holes_mm:
        near &= (u < left) | (u >= left + side) | (v < top) | (v >= top + side)
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "fixed": np.array(fixed, dtype=np.float32),
        "moving": np.array(moving, dtype=np.float32),
        "fixed_mask": near.astype(np.uint8),
    }
    return head, arrays


def lay(section: Raster, plane: Raster, linear: FloatArray, margin_mm: float) -> Raster:
    """Resample a section through a linear map onto the plane's axes and pixel size."""
    corners = section.points_mm(section.mask) @ linear[:2, :2].T + linear[:2, 2]
    low, high = corners.min(axis=0) - margin_mm, corners.max(axis=0) + margin_mm
    size = np.ceil((high - low) / plane.spacing_mm).astype(int) + 1
    empty = np.ones((size[1], size[0]), dtype=bool)
    laid = Raster(np.zeros((1, size[1], size[0]), np.float32), empty, plane.spacing_mm, (float(low[0]), float(low[1])))
    back = np.linalg.inv(linear)
    points = laid.points_mm() @ back[:2, :2].T + back[:2, 2]
    mask = (section.sample(section.signed_distance_mm(), points, outside=-1e3) > 0).reshape(empty.shape)
    sigma = 0.4 * plane.spacing_mm / section.spacing_mm
    channels = [
        section.sample(smooth_inside(channel, section.mask, sigma), points).reshape(empty.shape)
        for channel in section.channels
    ]
    return replace(laid, channels=np.array(channels, dtype=np.float32), mask=mask)


def _outline(raster: Raster, band_mm: float) -> FloatArray:
    return ndimage.gaussian_filter(np.clip(raster.signed_distance_mm() / band_mm, -1.0, 1.0), 1.0)


def parameter_map(name: str, n_pictures: int, seed: int, settings: StageSettings) -> dict[str, list[Any]]:
    """Write elastix' parameter map of a stage ('affine' or 'bspline')."""
    spline = name == "bspline"
    metrics = [settings.metric] * n_pictures + ["AdvancedMeanSquares"]
    weights = [1.0 / n_pictures] * n_pictures + [settings.outline_weight]
    if spline:
        metrics, weights = [*metrics, "TransformBendingEnergyPenalty"], [*weights, settings.bending_weight]
    n, levels = len(metrics), settings.resolutions
    return {
        "Registration": ["MultiMetricMultiResolutionRegistration"],
        "Metric": metrics,
        **{f"Metric{k}Weight": [weight] for k, weight in enumerate(weights)},
        "FixedImagePyramid": ["FixedSmoothingImagePyramid"] * n,
        "MovingImagePyramid": ["MovingSmoothingImagePyramid"] * n,
        "Interpolator": ["LinearInterpolator"] * n,
        "ImageSampler": ["RandomCoordinate"] * n,
        "Optimizer": ["AdaptiveStochasticGradientDescent"],
        "Transform": ["BSplineTransform" if spline else "AffineTransform"],
        "ResampleInterpolator": ["FinalBSplineInterpolator"],
        "Resampler": ["DefaultResampler"],
        "HowToCombineTransforms": ["Compose"],
        "NumberOfResolutions": [levels],
        "ImagePyramidSchedule": [2 ** (levels - 1 - level) for level in range(levels) for _ in range(2)],
        "FinalGridSpacingInPhysicalUnits": [settings.grid_mm],
        "GridSpacingSchedule": [float(2 ** (levels - 1 - level)) for level in range(levels)],
        "MaximumNumberOfIterations": [settings.spline_iterations if spline else settings.affine_iterations],
        "NumberOfSpatialSamples": [settings.samples],
        "NewSamplesEveryIteration": ["true"],
        "RandomSeed": [seed],
        "NumberOfHistogramBins": [settings.bins],
        "AutomaticParameterEstimation": ["true"],
        "AutomaticScalesEstimation": ["true"],
        "AutomaticTransformInitialization": ["false"],
        "UseMultiThreadingForMetrics": ["false"],
        "RequiredRatioOfValidSamples": [0.05],
        "ErodeMask": ["false"],
        "ErodeFixedMask": ["false"],
        "ErodeMovingMask": ["false"],
        "WriteResultImage": ["false"],
    }


def _affine(found: dict[str, list[str]]) -> FloatArray:
    """Read elastix' affine map (about its centre of rotation) as ``(3, 3)``."""
    values = np.array(found["TransformParameters"], dtype=np.float64)
    centre = np.array(found["CenterOfRotationPoint"], dtype=np.float64)
    matrix = np.eye(3)
    matrix[:2, :2] = values[:4].reshape(2, 2)
    matrix[:2, 2] = values[4:] + centre - matrix[:2, :2] @ centre
    return matrix


def _spline(found: dict[str, list[str]]) -> Spline:
    columns, rows = (int(n) for n in found["GridSize"])
    spacing, origin = (tuple(float(x) for x in found[key]) for key in ("GridSpacing", "GridOrigin"))
    coefficients = np.array(found["TransformParameters"], dtype=np.float64).reshape(2, rows, columns)
    return Spline(coefficients, (spacing[0], spacing[1]), (origin[0], origin[1]))

"""elastix' stages: mutual information, outline and bending, from a laid section to its plane."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.register.canonical import canonical_pictures
from comould.register.dense.linear import left_out
from comould.register.dense.warp import lay
from comould.register.elastix import ElastixWorker
from comould.register.elastix_parameters import usual_parameters
from comould.register.maps import PlanarMap, Spline
from comould.register.raster import Raster
from comould.register.stage_settings import StageSettings
from comould.space import FloatArray

if TYPE_CHECKING:
    from comould.register.measure import Judge


def run_elastix(
    name: str, judge: Judge, start: PlanarMap, worker: ElastixWorker, seed: int, settings: StageSettings
) -> PlanarMap:
    """Run one stage from a linear start; the section is laid on the plane's axes first: elastix starts at identity.

    Raises
    ------
    ElastixStageError
        If elastix gives up.
    RegistrationError
        If it crashes or hangs.
    """
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
        "parameters": parameter_map(name, len(mine), seed, settings, judge.plane.radius_mm),
        "fixed": {"spacing": laid.spacing_mm, "origin": list(laid.origin_mm)},
        "moving": {"spacing": judge.plane.spacing_mm, "origin": list(judge.plane.origin_mm)},
    }
    near = laid.signed_distance_mm() > -0.6 * settings.band_mm
    hidden = left_out(laid, settings.holes_mm)
    if hidden is not None:
        near &= ~hidden
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "fixed": np.array(fixed, dtype=np.float32),
        "moving": np.array(moving, dtype=np.float32),
        "fixed_mask": near.astype(np.uint8),
    }
    return head, arrays


def _outline(raster: Raster, band_mm: float) -> FloatArray:
    return ndimage.gaussian_filter(np.clip(raster.signed_distance_mm() / band_mm, -1.0, 1.0), 1.0)


def parameter_map(
    name: str, n_pictures: int, seed: int, settings: StageSettings, radius_mm: float = 32.0
) -> dict[str, list[Any]]:
    """Write elastix' parameter map of a stage ('affine' or 'bspline')."""
    spline = name == "bspline"
    metrics = [settings.metric] * n_pictures + ["AdvancedMeanSquares"]
    weights = [1.0 / n_pictures] * n_pictures + [2.5 * settings.outline_weight]
    if spline:
        metrics, weights = [*metrics, "TransformBendingEnergyPenalty"], [*weights, settings.bending_weight]
    return {
        "Registration": ["MultiMetricMultiResolutionRegistration"],
        "Metric": metrics,
        **{f"Metric{k}Weight": [weight] for k, weight in enumerate(weights)},
        "Transform": ["BSplineTransform" if spline else "AffineTransform"],
        "FinalGridSpacingInPhysicalUnits": [settings.spacing_mm(radius_mm)],
        **usual_parameters(
            len(metrics),
            2,
            settings.resolutions,
            iterations=settings.spline_iterations if spline else settings.affine_iterations,
            samples=settings.samples,
            bins=settings.bins,
            seed=seed,
        ),
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

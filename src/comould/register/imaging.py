"""Two imaging volumes of one patient: rigid, and where wanted deformable, with what is known of the fit."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from comould.errors import InputError, RegistrationError
from comould.register.elastix import ElastixWorker, shared_worker
from comould.register.elastix_parameters import usual_parameters
from comould.register.imaging_frame import Stage, Working, best_start, working_pair
from comould.register.imaging_quality import VolumeQuality, judged
from comould.space import Transform

if TYPE_CHECKING:
    import SimpleITK as sitk

Kind = Literal["rigid", "deformable"]


@dataclass(frozen=True)
class VolumeSettings:
    """How two volumes are registered.

    Parameters
    ----------
    kind
        ``"rigid"``; ``"deformable"`` adds a B-spline, which may also take for motion what is growth.
    voxel_mm
        Side of the voxels that are compared; 0 takes the largest spacing of both, at least 1.5 mm and at most 3 mm.
    grid_mm
        Spacing of the B-spline's grid.
    bending_weight
        Of the B-spline's bending energy beside mutual information.
    samples, iterations, resolutions, bins
        elastix' own settings.
    seed
        Of elastix' samples.

    Raises
    ------
    InputError
        For settings out of range.
    """

    kind: Kind = "rigid"
    voxel_mm: float = 0.0
    grid_mm: float = 20.0
    bending_weight: float = 200.0
    samples: int = 4000
    iterations: int = 250
    resolutions: int = 3
    bins: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.kind not in {"rigid", "deformable"}:
            problems.append(f"kind {self.kind!r} is neither 'rigid' nor 'deformable'")
        for names, positive in (
            (("voxel_mm", "bending_weight", "seed"), False),
            (("grid_mm", "samples", "iterations", "resolutions", "bins"), True),
        ):
            values = {name: float(getattr(self, name)) for name in names}
            bad = [n for n, v in values.items() if not np.isfinite(v) or v < 0 or (positive and v == 0)]
            problems += [f"{name} {values[name]:g} is not {'positive' if positive else '0 or more'}" for name in bad]
        if problems:
            raise InputError.collect(subject="volume registration settings", problems=problems)


@dataclass(frozen=True, eq=False)
class VolumeRegistration:
    """Where the points of one volume lie in the other.

    Parameters
    ----------
    moving_from_fixed
        Patient to patient: points of the fixed volume's patient space to the moving one's.
    fixed_from_moving
        The same the other way round, registered by itself, not inverted.
    quality
        What is known of the fit.
    parameters
        Settings; JSON-able.
    """

    moving_from_fixed: Transform
    fixed_from_moving: Transform
    quality: VolumeQuality
    parameters: dict[str, Any]


def register_volumes(
    fixed: sitk.Image,
    moving: sitk.Image,
    *,
    fixed_mask: sitk.Image | None = None,
    moving_mask: sitk.Image | None = None,
    settings: VolumeSettings | None = None,
    worker: ElastixWorker | None = None,
) -> VolumeRegistration:
    """Register two volumes of one patient, taken at different times or with different contrast.

    Parameters
    ----------
    fixed, moving
        Scalar 3-D images, the patient in about the same posture.
    fixed_mask, moving_mask
        Where tissue is looked at, each on its image's grid: the organ or the body around the tumour, not the tumour
        alone, whose change would be taken for motion. The whole image without it.
    settings
        See :class:`VolumeSettings`.
    worker
        The elastix process; a shared one without it.

    Returns
    -------
    VolumeRegistration

    Raises
    ------
    InputError
        If an image is not scalar and 3-D, not finite or constant, or a mask is empty or on another grid.
    RegistrationError
        If elastix fails, or the fit is worse than where it began, or both ways contradict each other by more than
        5 mm on average.

    Notes
    -----
    Mutual information (Mattes) and adaptive stochastic gradient descent of elastix, from the best of three starts:
    the patient coordinates as they are, the images' middles, and their centres of gravity laid on each other. The
    B-spline is penalised by its bending energy. Deterministic for a seed.

    References
    ----------
    Klein et al., IEEE Trans Med Imaging 2010, doi 10.1109/TMI.2009.2035616; thresholds after Brock et al., AAPM TG-132,
    Med Phys 2017, doi 10.1002/mp.12256.
    """
    settings = settings or VolumeSettings()
    process = worker or shared_worker().start()
    pair = working_pair(fixed, moving, (fixed_mask, moving_mask), settings.voxel_mm)
    start = best_start(pair)
    there = _registered(pair, start, settings, process)
    back = _registered(pair[::-1], start.inverse(), settings, process)
    quality = judged(pair, start, there, back)
    said = {f.name: getattr(settings, f.name) for f in fields(settings)} | {"voxel_mm": pair[0].voxel_mm}
    result = VolumeRegistration(there, back, quality, said)
    if quality.verdict == "refused":
        raise RegistrationError(
            subject="registration of two volumes",
            expected="a fit that both ways agree on and that is better than none",
            found=quality.sentence(),
            remedy="Give masks of the same organ, check that both show the same part of the patient",
        )
    return result


def _registered(
    pair: tuple[Working, Working], start: Transform, settings: VolumeSettings, worker: ElastixWorker
) -> Transform:
    """Register one way: patient to patient."""
    fixed, moving = pair
    found = start
    for stage in ("rigid", "bspline") if settings.kind == "deformable" else ("rigid",):
        # The moving volume is laid where it was found to be: elastix always starts at identity.
        laid = moving.laid_on(fixed, found)
        answer = worker.run(_head(stage, fixed, settings), _arrays(stage, fixed, laid))
        found = found @ fixed.patient_transform(Stage.read(answer))
    return found


def _arrays(stage: str, fixed: Working, laid: Working) -> dict[str, npt.NDArray[np.generic]]:
    if stage == "rigid":
        return {
            "fixed": fixed.voxels[None],
            "moving": laid.voxels[None],
            "fixed_mask": fixed.looked_at.astype(np.uint8),
            "moving_mask": laid.looked_at.astype(np.uint8),
        }
    from scipy import ndimage

    # The outline must be seen from both sides, and a moving mask that samples can leave makes volumes shrink. elastix
    # wants one picture per metric; the bending penalty looks at none.
    wide = ndimage.binary_dilation(fixed.looked_at, iterations=2)
    return {
        "fixed": np.stack([fixed.voxels] * 2),
        "moving": np.stack([laid.voxels] * 2),
        "fixed_mask": wide.astype(np.uint8),
    }


def _head(stage: str, fixed: Working, settings: VolumeSettings) -> dict[str, Any]:
    place = {"spacing": fixed.voxel_mm, "origin": [0.0, 0.0, 0.0]}
    return {"parameters": parameter_map(stage, settings), "fixed": place, "moving": place}


def parameter_map(stage: str, settings: VolumeSettings) -> dict[str, list[Any]]:
    """Write elastix' parameter map of a stage ('rigid' or 'bspline')."""
    spline = stage == "bspline"
    metrics = ["AdvancedMattesMutualInformation"] + (["TransformBendingEnergyPenalty"] if spline else [])
    return {
        "Registration": ["MultiMetricMultiResolutionRegistration" if spline else "MultiResolutionRegistration"],
        "Metric": metrics,
        "Metric0Weight": [1.0],
        "Metric1Weight": [settings.bending_weight],
        "Transform": ["BSplineTransform" if spline else "EulerTransform"],
        "FinalGridSpacingInPhysicalUnits": [settings.grid_mm] * 3,
        **usual_parameters(
            len(metrics),
            3,
            settings.resolutions,
            iterations=settings.iterations,
            samples=settings.samples,
            bins=settings.bins,
            seed=settings.seed,
        ),
    }

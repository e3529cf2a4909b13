"""Baseline and follow-up of one patient: registered, then compared voxel by voxel."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from comould.errors import ComouldWarning, InputError
from comould.habitats.delta import DeltaMaps, delta_maps, outline_of
from comould.habitats.inputs import mask_indices
from comould.register.imaging import VolumeRegistration, VolumeSettings, register_volumes
from comould.space import Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.register.elastix import ElastixWorker

SURROUNDINGS_MM = 40.0
LEAST_ERROR_MM = 1.0
"""No registration is taken to be better than this: agreement both ways does not show what both have in common."""


@dataclass(frozen=True, eq=False)
class TimePoint:
    """Images of one visit.

    Parameters
    ----------
    images
        By name, on one intensity scale with the other visit's.
    tumour
        One label on any grid; may be left out of the follow-up.
    organ
        Where the registration looks, on the grid of the image that is registered. Without it, at the baseline:
        what lies within 40 mm of the tumour, but not the tumour, which changes; at the follow-up: everywhere.
    """

    images: Mapping[str, sitk.Image]
    tumour: sitk.Image | None = None
    organ: sitk.Image | None = None


@dataclass(frozen=True, eq=False)
class FollowUp:
    """What changed between two visits.

    Parameters
    ----------
    registration
        With its quality.
    delta
        Maps on the baseline's voxels; ``delta.parameters["registration"]`` tells the quality.
    """

    registration: VolumeRegistration
    delta: DeltaMaps


def follow_up(
    baseline: TimePoint,
    later: TimePoint,
    *,
    register_by: str | None = None,
    settings: VolumeSettings | None = None,
    worker: ElastixWorker | None = None,
    **features: Any,
) -> FollowUp:
    """Register two visits and compute how every voxel's features changed.

    Parameters
    ----------
    baseline, later
        The visits, with the same images.
    register_by
        Name of the image that is registered; the first without it.
    settings, worker
        Of :func:`comould.register.register_volumes`.
    **features
        ``features``, ``radius_mm``, ``bins``, … of :func:`comould.habitats.delta.delta_maps`. ``error_mm`` is that of
        the registration (the mean disagreement of both ways, at least 1 mm) unless given.

    Returns
    -------
    FollowUp

    Raises
    ------
    InputError
        If the baseline has no tumour, the image to register by is missing, and all that the two steps refuse.
    RegistrationError
        If the visits cannot be registered.

    Warns
    -----
    ComouldWarning
        When the registration is doubtful, and when the follow-up's tumour is the baseline's outline.
    """
    if baseline.tumour is None:
        raise InputError(subject="baseline", expected="a tumour mask", found="none")
    name = register_by or next(iter(baseline.images), "")
    missing = [when for when, point in (("baseline", baseline), ("follow-up", later)) if name not in point.images]
    if missing:
        raise InputError(
            subject=f"image {name!r} to register by", expected="it at both visits", found=f"none at {missing[0]}"
        )
    registration = register_volumes(
        baseline.images[name],
        later.images[name],
        fixed_mask=baseline.organ or _surroundings(baseline.tumour, baseline.images[name]),
        moving_mask=later.organ,
        settings=settings,
        worker=worker,
    )
    quality = registration.quality
    if quality.verdict != "good":
        warnings.warn(
            f"the registration of the two visits is {quality.verdict}: {quality.sentence()}",
            ComouldWarning,
            stacklevel=2,
        )
    tumour = later.tumour
    if tumour is None:
        tumour = outline_of(baseline.tumour, later.images[name], registration.moving_from_fixed)
        message = "the follow-up's tumour is not outlined: the baseline's outline is taken, so growth is not seen"
        warnings.warn(message, ComouldWarning, stacklevel=2)
    error_mm = features.pop("error_mm", max(LEAST_ERROR_MM, quality.consistency_mean_mm))
    delta = delta_maps(
        baseline.images,
        later.images,
        baseline.tumour,
        tumour,
        registration.moving_from_fixed,
        error_mm=error_mm,
        **features,
    )
    delta.parameters["registration"] = {"by": name, "quality": quality.said(), "settings": registration.parameters}
    return FollowUp(registration, delta)


def _surroundings(tumour: sitk.Image, image: sitk.Image) -> sitk.Image:
    """Voxels of the image within 40 mm of the tumour, without it."""
    import SimpleITK as sitk

    grid = Grid.from_image(image)
    inside = mask_indices(tumour)
    on_grid = sitk.Resample(tumour, grid.to_image(), sitk.Transform(), sitk.sitkNearestNeighbor, 0.0, sitk.sitkUInt8)
    if not sitk.GetArrayViewFromImage(on_grid).any():
        raise InputError(
            subject="baseline tumour",
            expected="to overlap the image to register by",
            found=f"none of its {len(inside)} voxels",
            remedy="Check that both are of the same patient and frame of reference",
        )
    depth = sitk.SignedMaurerDistanceMap(
        on_grid != 0, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    return sitk.And(depth > 0.0, depth <= SURROUNDINGS_MM)

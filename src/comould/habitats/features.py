"""Feature maps: a number per voxel and feature, from the voxels of the mask around it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, InputError
from comould.habitats import catalogue
from comould.habitats._settings import refuse_unknown
from comould.habitats.inputs import Aligned, align
from comould.habitats.mapping import all_images
from comould.habitats.neighbourhood import Neighbourhood
from comould.habitats.plan import MapSettings, PerImage, Plan
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

DEFAULT_FEATURES = (
    "firstorder.mean",
    "firstorder.variance",
    "firstorder.entropy",
    "glcm.joint_entropy",
    "glcm.contrast",
    "glcm.inverse_difference_moment",
    "glcm.correlation",
)


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """Features of every voxel of a mask.

    Parameters
    ----------
    names
        ``"image/family.feature"``, one per column.
    values
        ``(n_voxels, n_features)`` float64 in mask order (array order of the mask's voxels); NaN where undefined.
    grid
        The mask's grid.
    mask_idx
        ``(n_voxels, 3)`` voxel indices (k, j, i).
    coverage
        ``(n_voxels,)`` fraction of the kernel that lay in the mask.
    parameters
        What made the maps; JSON-able.
    """

    names: tuple[str, ...]
    values: FloatArray
    grid: Grid
    mask_idx: npt.NDArray[np.int64]
    coverage: FloatArray
    parameters: dict[str, Any] = field(default_factory=dict)

    def column(self, name: str) -> FloatArray:
        """One feature at every voxel ``(n_voxels,)``; ``"coverage"`` gives the kernel's coverage.

        Raises
        ------
        InputError
            If there is no such map.
        """
        if name == "coverage":
            return self.coverage
        if name not in self.names:
            raise InputError(
                subject=f"feature map {name!r}", expected=f"one of {', '.join(self.names)}, coverage", found="none"
            )
        return self.values[:, self.names.index(name)]

    def image(self, name: str) -> sitk.Image:
        """One feature as a float64 image on the mask's grid, NaN outside the mask."""
        array = np.full(self.grid.shape, np.nan)
        array[tuple(self.mask_idx.T)] = self.column(name)
        return self.grid.to_image(array)


def feature_maps(
    images: Mapping[str, sitk.Image] | Sequence[sitk.Image],
    mask: sitk.Image,
    *,
    features: str | Sequence[str] = DEFAULT_FEATURES,
    radius_mm: float | None = None,
    radius_voxels: int | Sequence[int] | None = None,
    bins: int = 32,
    bin_width: PerImage = None,
    **settings: Unpack[MapSettings],
) -> FeatureMaps:
    """Compute first-order and texture features around every voxel of a mask.

    Only voxels of the mask enter a neighbourhood. Grey levels are made once from the whole mask, so that neighbouring
    voxels are measured on one scale.

    Parameters
    ----------
    images
        Scalar 3-D images by name; those on another grid than the mask's are resampled to it (linear), with a warning.
    mask
        One label.
    features
        Names such as ``"glcm.joint_entropy"``, or families: ``"firstorder"``, ``"glcm"``, ``"glrlm"``, ``"glszm"``,
        ``"ngtdm"``, ``"ngldm"``, ``"intensity"``; see :func:`comould.habitats.feature_names`.
    radius_mm, radius_voxels
        Exactly one. Millimetres make the kernel isotropic in the patient whatever the voxels' shape; with flat voxels
        it may reach no neighbouring slice (``parameters["kernel_voxels"]`` tells).
    bins
        Fixed bin number over the mask.
    bin_width
        Fixed bin size instead, for all images or by image name (the others keep ``bins``).
    **settings
        ``shape`` (``"ball"``, ``"box"``), ``dimension`` (3, or 2: kernels and directions within image planes),
        ``aggregation`` of directions (``"merged"`` into one matrix, or features ``"averaged"``), ``distance`` of pairs
        and neighbours in voxels, ``coarseness`` of dependences in grey levels, ``lower_bound`` of the first bin for
        ``bin_width``, ``threads`` (never changes a bit of the result).

    Returns
    -------
    FeatureMaps

    Raises
    ------
    InputError
        For unknown features, settings out of range, a mask of a single voxel, and all that
        :func:`comould.habitats.inputs.align` refuses.

    Warns
    -----
    ComouldWarning
        When the kernel covers the whole mask from every voxel, or some voxels have no neighbour (their maps hold NaN);
        and when images are resampled.

    Notes
    -----
    Definitions are IBSI's: symmetric co-occurrence matrices at Chebyshev distance, percentiles by linear interpolation,
    ``intensity.gaussian`` is a normalised convolution with σ = half the radius, cut at 3 σ. Runs, zones and dependences
    end where the kernel ends. Conventions where a formula is 0/0: correlation 1, information correlations 0 and
    coarseness 10⁶ in a neighbourhood of one grey level; ratios with a zero denominator NaN. Neighbouring kernels
    overlap, so maps are smooth by construction over a kernel's diameter.

    References
    ----------
    Zwanenburg et al., Radiology 2020, doi 10.1148/radiol.2020191145; arXiv:1612.07003.
    """
    plan = _plan(features, radius_mm, radius_voxels, bins, bin_width, settings)
    return maps_of(align(images, mask), plan)


def _plan(
    features: str | Sequence[str],
    radius_mm: float | None,
    radius_voxels: int | Sequence[int] | None,
    bins: int,
    bin_width: PerImage,
    settings: MapSettings,
) -> Plan:
    refuse_unknown(settings, MapSettings)
    return Plan(catalogue.resolve(features), radius_mm, radius_voxels, bins, bin_width, **settings)


def maps_of(aligned: Aligned, plan: Plan) -> FeatureMaps:
    """Make the maps of a checked request from aligned values."""
    _check_size(aligned)
    kernel = Neighbourhood.around(
        aligned.grid.spacing_mm,
        radius_mm=plan.radius_mm,
        radius_voxels=plan.radius_voxels,
        shape=plan.shape,
        dimension=plan.dimension,
    )
    reachable = kernel.within(aligned.box)
    names, values, inside = all_images(aligned, plan, reachable)
    _tell(values, inside, len(aligned.mask_idx))
    parameters = plan.said() | {
        "kernel_voxels": list(kernel.extent_voxels),
        "kernel_size": len(kernel.offsets),
        "n_voxels": len(values),
        "n_voxels_not_covered_by_all_images": aligned.n_uncovered,
        "resampled": aligned.resampled,
        "mean_coverage": float(inside.mean() / len(kernel.offsets)),
    }
    return FeatureMaps(names, values, aligned.grid, aligned.mask_idx, inside / len(kernel.offsets), parameters)


def _check_size(aligned: Aligned) -> None:
    if len(aligned.mask_idx) < 2:
        raise InputError(subject="mask", expected="at least two voxels", found="one: it has no neighbourhood")


def _tell(values: FloatArray, inside: npt.NDArray[np.int64], n_voxels: int) -> None:
    if inside.min() == n_voxels:
        message = "the kernel covers the whole mask from every voxel: each map is one number (use a smaller radius)"
        warnings.warn(message, ComouldWarning, stacklevel=4)
    undefined = int(np.isnan(values).any(axis=1).sum())
    if undefined:
        message = (
            f"{undefined} of {n_voxels} voxels have an undefined feature (no neighbour, or a ratio to zero): NaN there"
        )
        warnings.warn(message, ComouldWarning, stacklevel=4)

"""Habitats: voxels of a tumour grouped by what the images show, with probabilities and a stated choice of number."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, InputError
from comould.habitats._mixture import Mixture
from comould.habitats.model import HabitatModel, ModelSettings, assemble, group
from comould.habitats.request import RULES, FitSettings, Method, Request
from comould.habitats.result import Habitats
from comould.habitats.selection import Sample, curve, kmeans, nothing_chosen
from comould.habitats.supervoxels import means, supervoxels
from comould.habitats.voxels import Scaling, Voxels, to_unit, voxels_of
from comould.space import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

__all__ = ["Habitats", "fit"]

DEFAULT_FEATURES = ("intensity.voxel",)
DEFAULT_RADIUS_MM = 2.0
LEAST_VOXELS_PER_HABITAT = 30
LEAST_SUPERVOXELS_PER_HABITAT = 5
LEAST_EXCESS = 0.02


def fit(
    images: Mapping[str, sitk.Image] | Sequence[sitk.Image],
    mask: sitk.Image,
    *,
    n_habitats: int | None = None,
    method: Method = "gmm",
    features: str | Sequence[str] = DEFAULT_FEATURES,
    radius_mm: float = DEFAULT_RADIUS_MM,
    seed: int = 0,
    **settings: Unpack[FitSettings],
) -> Habitats:
    """Group the voxels of a mask into habitats.

    Parameters
    ----------
    images
        Scalar 3-D images by name (the order matters: labels are ordered by the first), or a list.
    mask
        One label.
    n_habitats
        How many; chosen among 2 to ``max_habitats`` when ``None``.
    method
        ``"gmm"``: Gaussian mixture; ``"kmeans"``: k-means. Both with a spatial prior and room for outliers.
        ``"fcm"``: fuzzy c-means whose memberships listen to their neighbours.
    features
        What is clustered, of every image: names as in :func:`comould.habitats.feature_maps`; the voxel's intensity
        itself by default, since the spatial prior already averages over neighbours and textures blur borders.
    radius_mm
        Reach of the neighbourhood: the kernel of texture features, and 4/3 σ of the neighbours' vote. Habitats
        thinner than about this are smoothed away.
    seed
        Same seed, same labels, on any number of threads.
    **settings
        ``max_habitats`` (6), ``rule`` that chooses their number (``"excess"``; see
        :data:`comould.habitats.request.RULES`), ``supervoxel_mm`` (group the means of supervoxels of this size in place
        of voxels: two steps, no spatial prior), ``spatial_weight`` (8; 0 switches the spatial prior off),
        ``outlier_fraction`` (0.05), ``bins`` (32, of texture features), ``without`` (maps to leave out, as
        ``"T2/glcm.contrast"``: those :func:`comould.habitats.feature_stability` found unstable).

    Returns
    -------
    Habitats

    Raises
    ------
    InputError
        For settings out of range, fewer than 30 voxels (5 supervoxels) per habitat, and all that
        :func:`comould.habitats.feature_maps` refuses.

    Warns
    -----
    ComouldWarning
        When the voxels group no better than a cloud without groups, the chosen number is the largest tried, a habitat
        is empty in the end, or voxels are left out.

    Notes
    -----
    Features are scaled by median and interquartile range over the mask. k-means (10 starts, on features clipped at 3
    and smoothed by half the radius) gives the starting labels. Then expectation and maximisation alternate: a voxel's
    log-odds are its log density (never below that of a uniform outlier distribution) plus ``spatial_weight`` times the
    Gaussian-weighted mean of its neighbours' probabilities, taken inside the mask only, in mm. For k-means the
    distributions keep the cluster centres and one common variance. In fuzzy c-means a membership is multiplied by the
    neighbours' mean membership.

    The number is chosen beforehand, on the smoothed features of up to 3,000 voxels: by default the one whose k-means
    silhouette exceeds most that of a Gaussian cloud of the same covariance, which has no groups. All other criteria are
    told beside it; see :func:`comould.habitats.selection.curve`.

    Probabilities say how well a voxel and its neighbours fit a habitat among the others; they do not say that habitats
    exist, and as in every Markov random field they are too sure of themselves (on the phantom 0.96 on average, with
    0.85 of the voxels right).
    """
    request = Request.of(n_habitats, method, radius_mm, seed, settings)
    voxels = voxels_of(images, mask, features=features, radius_mm=radius_mm, bins=request.bins, without=request.without)
    check_enough(len(voxels.values), request, LEAST_VOXELS_PER_HABITAT, "voxels with features")
    return fit_voxels(voxels, request, features)


def fit_voxels(voxels: Voxels, request: Request, features: str | Sequence[str], *, with_curve: bool = True) -> Habitats:
    """Group voxels whose features are there already; see :func:`fit`. A number that is given needs no curve."""
    scaling = Scaling.of(voxels.values, voxels.names)
    scaled = scaling(voxels.values)
    with one_thread():
        items = _items(voxels, scaled, request)
        selection = _selection(items, request) if with_curve else nothing_chosen(request.numbers[-1])
        chosen = int(selection.loc[selection["chosen"], "n_habitats"].iloc[0])
        settings = model_settings(voxels, request, features)
        neighbours = voxels.neighbours(request.radius_mm, settings.mixture.weight)
        start = kmeans(items.start, chosen, request.seed)(items.start)
        mixture = group(items.data, start, neighbours, settings)
    probabilities = mixture.probabilities if items.numbers is None else mixture.probabilities[items.numbers]
    order = _order(probabilities, voxels)
    _tell(mixture, selection, request, len(order))
    model = HabitatModel(settings, scaling, mixture.means[order], mixture.covariances[order], mixture.floor)
    kept = probabilities[:, order]
    found = {
        "n_habitats_found": len(order),
        "scaling": "median and interquartile range over the mask",
        "selection_rule": RULES[request.rule],
        "iterations": mixture.iterations,
        "scaled_means": mixture.means[order].tolist(),
    }
    return assemble(
        voxels, kept / kept.sum(axis=1, keepdims=True), model,
        selection=selection, parameters=request.said() | found, numbers=items.numbers,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Items:
    """What is grouped: voxels or supervoxels; where they are, and where grouping starts."""

    data: FloatArray
    start: FloatArray
    points_mm: FloatArray
    independent: float
    numbers: npt.NDArray[np.int64] | None = None


def _selection(items: _Items, request: Request) -> pd.DataFrame:
    sample = Sample.draw(
        items.start, items.points_mm, request.radius_mm, independent=items.independent, seed=request.seed
    )
    return curve(sample, request.numbers, request.seed, request.rule)


def _items(voxels: Voxels, scaled: FloatArray, request: Request) -> _Items:
    smooth = to_unit(voxels.smoothed(scaled, request.radius_mm / 2.0))
    if request.supervoxel_mm is None:
        ball = 4.0 / 3.0 * np.pi * request.radius_mm**3
        balls = len(scaled) * 1000.0 * voxels.aligned.grid.voxel_ml / ball
        return _Items(scaled, smooth, voxels.points_mm, balls)
    numbers = supervoxels(voxels.aligned, smooth, request.supervoxel_mm)
    count = int(numbers.max()) + 1
    check_enough(count, request, LEAST_SUPERVOXELS_PER_HABITAT, "supervoxels")
    data = means(numbers, scaled)
    return _Items(data, means(numbers, smooth), means(numbers, voxels.points_mm), count, numbers)


def one_thread() -> Any:
    """Limit the numeric libraries to one thread: more are slower here, and would part the last bits."""
    # Loaded first: the limit reaches only the thread pools that exist when the block begins.
    import sklearn.cluster
    import sklearn.metrics  # noqa: F401
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def model_settings(voxels: Voxels, request: Request, features: str | Sequence[str]) -> ModelSettings:
    """Say what must be the same again for other cases."""
    return ModelSettings(
        images=tuple(voxels.aligned.intensities),
        features=(features,) if isinstance(features, str) else tuple(features),
        columns=voxels.names,
        radius_mm=request.radius_mm,
        bins=request.bins,
        spatial_weight=request.spatial_weight,
        outlier_fraction=request.outlier_fraction,
        supervoxel_mm=request.supervoxel_mm,
        method=request.method,
    )


def check_enough(count: int, request: Request, each: int, what: str) -> None:
    """Refuse a mask that holds too little for the habitats asked for.

    Raises
    ------
    InputError
        If ``count`` is below ``each`` for every habitat.
    """
    needed = each * request.numbers[-1]
    if count < needed:
        raise InputError(
            subject="mask",
            expected=f"at least {needed} {what} for up to {request.numbers[-1]} habitats",
            found=f"{count}",
            remedy="Ask for fewer habitats" + (" or smaller supervoxels" if what == "supervoxels" else ""),
        )


def _order(probabilities: FloatArray, voxels: Voxels) -> list[int]:
    """Habitats that hold a voxel, by the mean of the first image."""
    first = next(iter(voxels.aligned.intensities.values()))
    labels = probabilities.argmax(axis=1)
    present = [c for c in range(probabilities.shape[1]) if (labels == c).any()]
    return sorted(present, key=lambda c: float(first[labels == c].mean()))


def _tell(mixture: Mixture, selection: pd.DataFrame, request: Request, n_present: int) -> None:
    lost = len(mixture.means) - n_present
    if lost:
        message = f"{lost} of {len(mixture.means)} habitats held no voxel in the end and were dropped"
        warnings.warn(message, ComouldWarning, stacklevel=4)
    if request.n_habitats is None and len(mixture.means) == request.max_habitats:
        message = (
            f"the largest number of habitats tried, {request.max_habitats}, was chosen: max_habitats may be too small"
        )
        warnings.warn(message, ComouldWarning, stacklevel=4)
    if "excess" in selection and float(selection.loc[selection["chosen"], "excess"].iloc[0]) < LEAST_EXCESS:
        message = "the voxels group hardly better than a cloud without groups would: habitats may be arbitrary cuts"
        warnings.warn(message, ComouldWarning, stacklevel=4)

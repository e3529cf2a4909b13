"""Two time points: how every voxel's features changed, and which habitat became which."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, InputError
from comould.habitats.features import FeatureMaps, feature_maps
from comould.habitats.inputs import align, mask_indices, named_images
from comould.habitats.transport import mapped_back, nearest_labels, sampled
from comould.space import FloatArray, Frame, Grid, Transform

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

    from comould.habitats.result import Habitats

What = Literal["delta", "baseline", "follow_up", "spread"]
DEFAULT_FEATURES = ("intensity.gaussian", "firstorder.variance", "glcm.joint_entropy")
_OTHER_SCALE = 3.0
"""Ratio of interquartile ranges from which two time points are told to be on different scales."""


@dataclass(frozen=True, eq=False)
class DeltaMaps:
    """Features of both time points at the baseline's voxels.

    Parameters
    ----------
    names
        ``"image/family.feature"``, one per column.
    baseline, follow_up
        ``(n_voxels, n_features)``; ``follow_up`` is NaN where the voxel has left the follow-up's mask.
    spread
        ``(n_voxels, n_features)``: the change that a misregistration of ``error_mm`` alone would make there.
    grid
        The baseline mask's grid.
    mask_idx
        ``(n_voxels, 3)`` voxel indices (k, j, i).
    parameters
        Settings, volumes in ml, and what is known of the registration; JSON-able.
    """

    names: tuple[str, ...]
    baseline: FloatArray
    follow_up: FloatArray
    spread: FloatArray
    grid: Grid
    mask_idx: npt.NDArray[np.int64]
    parameters: dict[str, Any]

    @property
    def delta(self) -> FloatArray:
        """Follow-up minus baseline ``(n_voxels, n_features)``; NaN where there is no follow-up."""
        return self.follow_up - self.baseline

    @property
    def stayed(self) -> npt.NDArray[np.bool_]:
        """Voxels ``(n_voxels,)`` that have every feature at both times."""
        return np.asarray(np.isfinite(self.delta).all(axis=1))

    def image(self, name: str, what: What = "delta") -> sitk.Image:
        """One feature as a float64 image on the baseline's grid, NaN where it has no value.

        Raises
        ------
        InputError
            If there is no such feature.
        """
        if name not in self.names or what not in get_args(What):
            expected = f"one of {', '.join(self.names)}, and {', '.join(get_args(What))}"
            raise InputError(subject="delta map", expected=expected, found=f"{name!r}, {what!r}")
        values = getattr(self, what)[:, self.names.index(name)]
        array = np.full(self.grid.shape, np.nan)
        array[tuple(self.mask_idx.T)] = values
        return self.grid.to_image(array)

    def mask(self) -> sitk.Image:
        """Give the voxels that stayed, uint8."""
        array = np.zeros(self.grid.shape, dtype=np.uint8)
        array[tuple(self.mask_idx[self.stayed].T)] = 1
        return self.grid.to_image(array)

    def table(self) -> pd.DataFrame:
        """One row per feature, over the voxels that stayed.

        ``baseline_mean``, ``follow_up_mean``, ``delta_mean``, ``delta_sd``, ``spread_median``, and
        ``beyond_spread``: the share of voxels that changed by more than twice what a misregistration could make.
        """
        import pandas as pd

        kept = self.stayed
        delta, spread = self.delta[kept], self.spread[kept]
        data = {
            "baseline_mean": self.baseline[kept].mean(axis=0),
            "follow_up_mean": self.follow_up[kept].mean(axis=0),
            "delta_mean": delta.mean(axis=0),
            "delta_sd": delta.std(axis=0),
            "spread_median": np.median(spread, axis=0),
            "beyond_spread": (np.abs(delta) > 2.0 * spread).mean(axis=0),
        }
        return pd.DataFrame(data, index=pd.Index(list(self.names), name="feature"))


def delta_maps(
    baseline: Mapping[str, sitk.Image] | Sequence[sitk.Image],
    follow_up: Mapping[str, sitk.Image] | Sequence[sitk.Image],
    mask: sitk.Image,
    follow_up_mask: sitk.Image,
    follow_up_from_baseline: Transform,
    *,
    features: str | Sequence[str] = DEFAULT_FEATURES,
    radius_mm: float = 3.0,
    bins: int = 32,
    error_mm: float = 0.0,
    **settings: Any,
) -> DeltaMaps:
    """Compute how features changed between two time points.

    Features are measured at each time on its own voxels, with one set of grey levels for both, and only then brought
    to the baseline's voxels: intensities that are interpolated first are smoother at one time than at the other, and
    texture would show that.

    Parameters
    ----------
    baseline, follow_up
        The same images by name at both times, on one intensity scale (see :mod:`comould.habitats.prepare`).
    mask, follow_up_mask
        The tumour at each time, one label.
    follow_up_from_baseline
        Registration of the two times, patient to patient (:func:`comould.study.visits.follow_up` makes it).
    features, radius_mm, bins, **settings
        As for :func:`comould.habitats.feature_maps`; bins span the intensities of both times.
    error_mm
        How far off the registration may be (root mean square): the change this would make is given as ``spread``.

    Returns
    -------
    DeltaMaps

    Raises
    ------
    InputError
        If the times have other images, the transform does not map patient to patient, the tumours do not meet, or
        for all that :func:`comould.habitats.feature_maps` refuses.

    Warns
    -----
    ComouldWarning
        When intensities of the two times are on different scales, or less than half of the baseline's voxels have a
        follow-up.
    """
    before, after = named_images(baseline), named_images(follow_up)
    _check(before, after, follow_up_from_baseline, error_mm)
    levels = _levels(before, after, (mask, follow_up_mask), bins, settings)
    first = feature_maps(before, mask, features=features, radius_mm=radius_mm, bins=bins, **levels)
    second = feature_maps(after, follow_up_mask, features=features, radius_mm=radius_mm, bins=bins, **levels)
    points = first.grid.patient_from_index(first.mask_idx[:, ::-1])
    found = sampled(second, follow_up_from_baseline.apply(points))
    met = np.isfinite(found).any(axis=1)
    if not met.any():
        raise InputError(
            subject="follow-up mask",
            expected="to meet the registered baseline mask",
            found="no common voxel",
            remedy="Check the registration, and that both masks are of the same tumour",
        )
    if met.mean() < 0.5:
        message = f"only {met.mean():.0%} of the baseline's voxels lie in the follow-up's mask"
        warnings.warn(message, ComouldWarning, stacklevel=2)
    spread = _spread(second, follow_up_from_baseline, points, error_mm)
    said = first.parameters | {
        "error_mm": error_mm,
        "baseline_ml": len(points) * first.grid.voxel_ml,
        "follow_up_ml": len(second.values) * second.grid.voxel_ml,
        "baseline_ml_with_follow_up": float(met.sum()) * first.grid.voxel_ml,
        "bin_width": {k: float(v) for k, v in levels["bin_width"].items()},
    }
    return DeltaMaps(first.names, first.values, found, spread, first.grid, first.mask_idx, said)


def delta_habitats(delta: DeltaMaps, *, names: Sequence[str] | None = None, **settings: Any) -> Habitats:
    """Group voxels by how they changed.

    Parameters
    ----------
    delta
        Delta maps.
    names
        Features to use; all without it.
    **settings
        As for :func:`comould.habitats.fit`.

    Returns
    -------
    Habitats
        On the baseline's grid, over the voxels that stayed; ordered by the mean change of the first feature.

    Raises
    ------
    InputError
        If a feature is unknown, and all that :func:`comould.habitats.fit` refuses.
    """
    from comould.habitats.cluster import fit

    chosen = list(delta.names if names is None else names)
    images = {name.replace("/", "."): delta.image(name) for name in chosen}
    return fit(images, delta.mask(), **settings)


def transitions(baseline: sitk.Image, follow_up: sitk.Image, follow_up_from_baseline: Transform) -> pd.DataFrame:
    """Tell which habitat became which.

    Parameters
    ----------
    baseline, follow_up
        Habitat labels at both times, 0 outside; of one population, so that the same number means the same habitat.
    follow_up_from_baseline
        Registration, patient to patient.

    Returns
    -------
    DataFrame
        Volumes in ml. Rows: label at baseline (0: outside the tumour then); columns: label at follow-up (0: outside
        the tumour now). Rows above 0 count the baseline's voxels, row 0 the follow-up's that come from outside.
        ``attrs``: ``stayed_ml`` (same label), ``changed_ml``, ``lost_ml`` and ``new_ml``.

    Raises
    ------
    InputError
        If labels are not integers or there are none, or the transform does not map patient to patient.
    """
    import pandas as pd

    _check_frames(follow_up_from_baseline)
    grids = [Grid.from_image(image) for image in (baseline, follow_up)]
    idx = [_label_voxels(image, when) for image, when in ((baseline, "baseline"), (follow_up, "follow-up"))]
    points = grids[0].patient_from_index(idx[0][:, ::-1])
    was = nearest_labels(baseline, points)
    became = nearest_labels(follow_up, follow_up_from_baseline.apply(points))
    now_points = grids[1].patient_from_index(idx[1][:, ::-1])
    now = nearest_labels(follow_up, now_points)
    from_outside = now[nearest_labels(baseline, mapped_back(follow_up_from_baseline, now_points)) == 0]
    labels = sorted({0, *was.tolist(), *became.tolist(), *now.tolist()})
    table = pd.DataFrame(0.0, index=pd.Index(labels, name="baseline"), columns=pd.Index(labels, name="follow_up"))
    for label in labels[1:]:
        mine = became[was == label]
        table.loc[label] = [float((mine == other).sum()) * grids[0].voxel_ml for other in labels]
    table.loc[0] = [float((from_outside == other).sum()) * grids[1].voxel_ml for other in labels]
    inner = table.loc[labels[1:], labels[1:]].to_numpy()
    table.attrs = {
        "stayed_ml": float(np.trace(inner)),
        "changed_ml": float(inner.sum() - np.trace(inner)),
        "lost_ml": float(table.loc[labels[1:], [0]].to_numpy().sum()),
        "new_ml": float(table.loc[[0]].to_numpy().sum()),
    }
    return table


def _label_voxels(labels: sitk.Image, when: str) -> npt.NDArray[np.int64]:
    import SimpleITK as sitk

    array = sitk.GetArrayViewFromImage(labels)
    if array.dtype.kind not in "iu" or not (array > 0).any():
        found = labels.GetPixelIDTypeAsString() if array.dtype.kind not in "iu" else "none"
        raise InputError(subject=f"{when} habitats", expected="integer labels, some above 0", found=found)
    return np.argwhere(array > 0)


def _check(
    before: Mapping[str, sitk.Image], after: Mapping[str, sitk.Image], transform: Transform, error_mm: float
) -> None:
    if list(before) != list(after):
        raise InputError(
            subject="images of the two times",
            expected="the same names in the same order",
            found=f"{', '.join(before)} and {', '.join(after)}",
        )
    if not np.isfinite(error_mm) or error_mm < 0:
        raise InputError(subject="error_mm", expected="a length of 0 mm or more", found=f"{error_mm}")
    _check_frames(transform)


def _check_frames(transform: Transform) -> None:
    if (transform.source, transform.target) != (Frame.PATIENT, Frame.PATIENT):
        raise InputError(
            subject="registration of the two times",
            expected="a transform from patient to patient",
            found=transform.name,
        )


def _levels(
    before: Mapping[str, sitk.Image],
    after: Mapping[str, sitk.Image],
    masks: tuple[sitk.Image, sitk.Image],
    bins: int,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Add one bin width and lowest intensity for both times to the settings; tell when their scales differ."""
    taken = sorted({"bin_width", "lower_bound", "radius_voxels"} & set(settings))
    if taken:
        raise InputError(subject=f"setting {taken[0]!r}", expected="bins over both times", found="a setting of its own")
    with warnings.catch_warnings():
        # Whatever is to be said about coverage is said when the features are made.
        warnings.simplefilter("ignore", ComouldWarning)
        values = [align(images, mask).intensities for images, mask in zip((before, after), masks, strict=True)]
    widths, lows = {}, {}
    for name in before:
        low = min(float(v[name].min()) for v in values)
        high = max(float(v[name].max()) for v in values)
        # The highest intensity belongs to the last bin, not to one of its own.
        widths[name], lows[name] = (high - low) * (1.0 + 1e-9) / bins, low
        spans = [float(np.subtract(*np.percentile(v[name], [75, 25]))) for v in values]
        if min(spans) <= 0 or max(spans) / min(spans) > _OTHER_SCALE:
            message = f"image {name!r} has interquartile ranges of {spans[0]:.4g} and {spans[1]:.4g} at the two times"
            warnings.warn(f"{message}: bring both to one scale first", ComouldWarning, stacklevel=3)
    return {**settings, "bin_width": widths, "lower_bound": lows}


def _spread(maps: FeatureMaps, transform: Transform, points: FloatArray, error_mm: float) -> FloatArray:
    """Root sum over the axes of half the difference between both sides of every point."""
    if error_mm == 0:
        return np.zeros((len(points), len(maps.names)))
    centre = transform.apply(points)
    square = np.zeros((len(points), len(maps.names)))
    middle = sampled(maps, centre)
    for axis in np.eye(3) * error_mm / np.sqrt(3.0):
        sides = [sampled(maps, centre + sign * axis) for sign in (1.0, -1.0)]
        # At the edge there is one side only.
        ahead, behind = (np.where(np.isfinite(side), side, middle) for side in sides)
        reach = np.isfinite(sides[0]).astype(float) + np.isfinite(sides[1])
        square += ((ahead - behind) / np.maximum(reach, 1.0)) ** 2
    return np.sqrt(square)


def outline_of(baseline_mask: sitk.Image, follow_up: sitk.Image, follow_up_from_baseline: Transform) -> sitk.Image:
    """Lay the baseline's mask on the follow-up's grid, where the tumour has not been outlined again.

    What has grown or shrunk since then is not seen: volumes and rims of such a mask say nothing about growth.

    Parameters
    ----------
    baseline_mask
        One label.
    follow_up
        Image whose grid is wanted.
    follow_up_from_baseline
        Registration, patient to patient.

    Returns
    -------
    SimpleITK.Image
        uint8 on the follow-up's grid.

    Raises
    ------
    InputError
        If nothing of the mask falls on the grid.
    """
    _check_frames(follow_up_from_baseline)
    idx = mask_indices(baseline_mask)
    own, grid = Grid.from_image(baseline_mask), Grid.from_image(follow_up)
    there = grid.index_from_patient(follow_up_from_baseline.apply(own.patient_from_index(idx[:, ::-1])))[:, ::-1]
    room = 2.0 + max(own.spacing_mm) / min(grid.spacing_mm)
    low = np.clip(np.floor(there.min(axis=0) - room).astype(int), 0, grid.shape)
    high = np.clip(np.ceil(there.max(axis=0) + room).astype(int) + 1, 0, grid.shape)
    array = np.zeros(grid.shape, dtype=np.uint8)
    if (low < high).all():
        box = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1).reshape(-1, 3)
        back = mapped_back(follow_up_from_baseline, grid.patient_from_index(box[:, ::-1]))
        array[tuple(box.T)] = nearest_labels(baseline_mask, back) != 0
    if not array.any():
        raise InputError(
            subject="baseline mask",
            expected="to fall on the follow-up's image once registered",
            found="no common voxel",
            remedy="Check the registration",
        )
    return grid.to_image(array)

"""Habitats by thresholds: tissue classes that somebody can name, or levels that Otsu's method parts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, InputError
from comould.habitats.model import assemble
from comould.habitats.result import Habitats
from comould.habitats.selection import nothing_chosen
from comould.habitats.voxels import voxels_of
from comould.space import FloatArray

if TYPE_CHECKING:
    import SimpleITK as sitk

Range = tuple[float | None, float | None]
"""From (inclusive) and to (exclusive); ``None`` is no limit."""

CT_TISSUE: dict[str, dict[str, Range]] = {
    "fat": {"CT": (-190.0, -30.0)},
    "soft tissue": {"CT": (-30.0, 150.0)},
    "calcified": {"CT": (150.0, None)},
}
"""Classes in HU: fat and lean tissue after Mourtzakis et al., Appl Physiol Nutr Metab 2008, doi 10.1139/H08-075."""

REST = "rest"


def classify(
    images: Mapping[str, sitk.Image], mask: sitk.Image, classes: Mapping[str, Mapping[str, Range]]
) -> Habitats:
    """Divide a mask into classes by thresholds on one or several images.

    Parameters
    ----------
    images
        Scalar 3-D images by name.
    mask
        One label.
    classes
        Class name → image name → range in the image's unit (from, to); a voxel must be within all of a class's ranges.
        The first class that fits wins. See :data:`CT_TISSUE`.

    Returns
    -------
    Habitats
        Labels in the order given, voxels of no class as ``rest`` at the end. Probabilities are 0 and 1; no model.

    Raises
    ------
    InputError
        For no classes, unknown images, empty ranges, and what :func:`comould.habitats.feature_maps` refuses.

    Warns
    -----
    ComouldWarning
        When voxels fit several classes, or a class has none.
    """
    _check(classes, images)
    voxels = voxels_of(images, mask, features="intensity.voxel", radius_mm=1.0)
    values = {name.split("/")[0]: column for name, column in zip(voxels.names, voxels.values.T, strict=True)}
    fits = np.stack([_within(values, ranges) for ranges in classes.values()], axis=1)
    several = int((fits.sum(axis=1) > 1).sum())
    if several:
        message = f"{several} of {len(fits)} voxels fit several classes and went to the first"
        warnings.warn(message, ComouldWarning, stacklevel=2)
    names = list(classes)
    none = ~fits.any(axis=1)
    chosen = np.where(none, len(names), fits.argmax(axis=1))
    empty = [name for n, name in enumerate(names) if not (chosen == n).any()]
    if empty:
        warnings.warn(f"no voxel is {', '.join(empty)}", ComouldWarning, stacklevel=2)
    names += [REST] if none.any() else []
    said = {name: {image: list(limits) for image, limits in ranges.items()} for name, ranges in classes.items()}
    return assemble(
        voxels, np.eye(len(names))[chosen], None,
        selection=nothing_chosen(len(names)), parameters={"classes": said, "seed": None}, names=names,
    )  # fmt: skip


def otsu_thresholds(values: npt.ArrayLike, n_classes: int) -> FloatArray:
    """Thresholds between classes that make the variance within them least.

    Parameters
    ----------
    values
        Any number of values.
    n_classes
        2 to 5.

    Returns
    -------
    ndarray
        ``(n_classes - 1,)``, ascending.

    Raises
    ------
    InputError
        For a number out of range or fewer different values than classes.

    References
    ----------
    Otsu, IEEE Trans Syst Man Cybern 1979, doi 10.1109/TSMC.1979.4310076; Liao, Chen & Chung, J Inf Sci Eng 2001.
    """
    from skimage.filters import threshold_multiotsu

    data = np.asarray(values, dtype=np.float64).ravel()
    if not 2 <= n_classes <= 5:
        raise InputError(subject="n_classes", expected="2 to 5", found=str(n_classes))
    different = len(np.unique(data))
    if different < n_classes or not np.isfinite(data).all():
        raise InputError(
            subject="values for thresholds",
            expected=f"finite ones, at least {n_classes} different",
            found=f"{different} different, {int((~np.isfinite(data)).sum())} not finite",
        )
    cuts = threshold_multiotsu(data, classes=n_classes, nbins=256)
    # The criterion is flat between two values: the middle holds best for other data.
    return np.array([(data[data <= cut].max() + data[data > cut].min()) / 2.0 for cut in cuts.tolist()])


def levels(image: sitk.Image, mask: sitk.Image, n_classes: int, *, name: str = "image") -> Habitats:
    """Divide a mask by Otsu's thresholds on one image: ``low`` to ``high``, darkest first.

    Parameters
    ----------
    image, mask
        A scalar 3-D image and one label.
    n_classes
        2 to 5.
    name
        Of the image.

    Returns
    -------
    Habitats

    Raises
    ------
    InputError
        As :func:`otsu_thresholds` and :func:`classify`.
    """
    voxels = voxels_of({name: image}, mask, features="intensity.voxel", radius_mm=1.0)
    cuts = [None, *otsu_thresholds(voxels.values, n_classes).tolist(), None]
    words = [f"level {n}" for n in range(1, n_classes + 1)]
    ranges = {word: {name: (cuts[n], cuts[n + 1])} for n, word in enumerate(words)}
    return classify({name: image}, mask, ranges)


def _within(values: Mapping[str, FloatArray], ranges: Mapping[str, Range]) -> npt.NDArray[np.bool_]:
    inside = np.ones(len(next(iter(values.values()))), dtype=bool)
    for name, (low, high) in ranges.items():
        inside &= (values[name] >= (-np.inf if low is None else low)) & (
            values[name] < (np.inf if high is None else high)
        )
    return inside


def _check(classes: Mapping[str, Mapping[str, Range]], images: Mapping[str, sitk.Image]) -> None:
    problems = [] if 1 <= len(classes) <= 20 else [f"{len(classes)} classes, not 1 to 20"]
    for name, ranges in classes.items():
        if not ranges:
            problems.append(f"class {name!r} has no range")
        for image, (low, high) in ranges.items():
            if image not in images:
                problems.append(f"class {name!r} wants image {image!r}, there are {', '.join(images)}")
            if (low is None and high is None) or (low is not None and high is not None and not low < high):
                problems.append(f"class {name!r} has the empty range {low} to {high} of {image!r}")
    if problems:
        raise InputError.collect(subject="classes", problems=problems)

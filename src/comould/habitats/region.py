"""The classical radiomic vector: shape, intensity and texture of a whole region, as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.habitats import catalogue, intensity
from comould.habitats._settings import refuse_unknown
from comould.habitats.discretise import discretise
from comould.habitats.inputs import named_images
from comould.habitats.morphology import morphology
from comould.habitats.processing import Processing, Region, region_of
from comould.habitats.textures import LevelBox, texture
from comould.space import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

PerImage = float | Mapping[str, float] | None
_MATRICES = {*catalogue.BY_DIRECTION, *catalogue.BY_VOLUME}
_LEVELLED = {"firstorder", "histogram", *_MATRICES}
COLUMNS = ["image", "family", "feature", "code", "aggregation", "value"]


class RegionSettings(TypedDict, total=False):
    """Finer settings of :func:`region_features`, given by keyword."""

    processing: Processing | Mapping[str, Processing]
    lower_bound: PerImage
    ivh_bin_width: PerImage
    ivh_bins: int | None
    distance: int
    coarseness: int


@dataclass(frozen=True)
class _Request:
    features: dict[str, list[str]]
    aggregations: tuple[str, ...]
    bins: int
    bin_width: PerImage
    processing: Processing | Mapping[str, Processing] = Processing()  # noqa: RUF009
    lower_bound: PerImage = None
    ivh_bin_width: PerImage = None
    ivh_bins: int | None = None
    distance: int = 1
    coarseness: int = 0

    def __post_init__(self) -> None:
        problems = [f"aggregation {a!r} is unknown" for a in self.aggregations if a not in catalogue.AGGREGATIONS]
        if not self.aggregations:
            problems.append("no aggregation is asked for")
        if self.distance < 1 or int(self.distance) != self.distance:
            problems.append(f"distance {self.distance} is not a positive count of voxels")
        if self.coarseness < 0 or int(self.coarseness) != self.coarseness:
            problems.append(f"coarseness {self.coarseness} is not a count of grey levels")
        if problems:
            known = ", ".join(repr(a) for a in catalogue.AGGREGATIONS)
            raise InputError.collect(subject="region features", problems=problems, remedy=f"Aggregations: {known}")

    def of(self, setting: str, name: str) -> Any:
        """Give a setting of one image."""
        value = getattr(self, setting)
        if not isinstance(value, Mapping):
            return value
        return value.get(name, Processing() if setting == "processing" else None)

    def aggregations_of(self, family: str) -> list[str]:
        """List the aggregations of a family, once each; families without directions go by the dimension alone."""
        if family in catalogue.BY_DIRECTION:
            return [a for a in self.aggregations if "," in a]
        if family in catalogue.BY_VOLUME:
            return list(dict.fromkeys(a.split(",")[0] for a in self.aggregations))
        return [""]


def region_features(
    images: Mapping[str, sitk.Image] | Sequence[sitk.Image],
    mask: sitk.Image,
    *,
    features: str | Sequence[str] = catalogue.OF_REGIONS,
    aggregation: str | Sequence[str] = "3D, merged",
    bins: int = 32,
    bin_width: PerImage = None,
    **settings: Unpack[RegionSettings],
) -> pd.DataFrame:
    """Compute the classical radiomic values of a whole region, IBSI's definitions and names.

    Parameters
    ----------
    images
        Scalar 3-D images by name.
    mask
        One label: the morphological mask.
    features
        Names such as ``"glcm.joint_entropy"``, or families; all families of regions by default
        (:func:`comould.habitats.feature_names` lists them).
    aggregation
        One or several of ``"2D, averaged"``, ``"2D, slice-merged"``, ``"2.5D, direction-merged"``, ``"2.5D, merged"``,
        ``"3D, averaged"``, ``"3D, merged"``; families without directions take the part before the comma. Slices are the
        image's i-j planes.
    bins
        Fixed bin number.
    bin_width
        Fixed bin size instead, for all images or by image name (the others keep ``bins``).
    **settings
        ``processing`` (a :class:`Processing`, or one by image name), ``lower_bound`` of the first bin (that of
        re-segmentation by default, the region's minimum without one), ``ivh_bin_width`` or ``ivh_bins`` of the
        intensity-volume histogram, ``distance`` of neighbours in voxels, ``coarseness`` of dependences in levels.

    Returns
    -------
    pandas.DataFrame
        Columns ``image``, ``family``, ``feature``, ``code`` (IBSI's permanent identifier), ``aggregation`` (empty for
        families without one) and ``value``; ``attrs["n_voxels"]`` holds, by image, the voxels of both masks.

    Raises
    ------
    InputError
        For unknown features, aggregations or settings, a mask of one voxel, and all that
        :func:`comould.habitats.inputs.align` refuses.

    References
    ----------
    Zwanenburg et al., Radiology 2020, doi 10.1148/radiol.2020191145; arXiv:1612.07003.
    """
    import pandas as pd

    asked = (aggregation,) if isinstance(aggregation, str) else tuple(aggregation)
    request = _request(features, asked, bins, bin_width, settings)
    rows: list[tuple[Any, ...]] = []
    counts: dict[str, tuple[int, int]] = {}
    for name, image in named_images(images).items():
        region = region_of(image, mask, request.of("processing", name), name=name)
        if len(region.aligned.mask_idx) < 2:
            raise InputError(subject="mask", expected="at least two voxels", found="one: it has no neighbourhood")
        counts[name] = len(region.kept), int(region.kept.sum())
        rows.extend((name, *row) for row in _rows(region, request))
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.attrs["n_voxels"] = counts
    return table


def _request(
    features: str | Sequence[str], asked: tuple[str, ...], bins: int, bin_width: PerImage, settings: RegionSettings
) -> _Request:
    refuse_unknown(settings, RegionSettings)
    return _Request(catalogue.resolve(features, catalogue.OF_REGIONS), asked, bins, bin_width, **settings)


def _rows(region: Region, request: _Request) -> list[tuple[str, str, str, str, float]]:
    """Family, feature, code, aggregation and value of all that is asked for."""
    levels, n_levels = _levels(region, request) if set(request.features) & _LEVELLED else (np.zeros(0, np.uint16), 0)
    measure = _measures(region, request, levels, n_levels)
    box = _box(region, levels, n_levels, request) if set(request.features) & _MATRICES else None
    rows: list[tuple[str, str, str, str, float]] = []
    for family, wanted in request.features.items():
        known = catalogue.FAMILIES[family]
        for aggregation in request.aggregations_of(family):
            values = texture(box, family, aggregation) if box and family in _MATRICES else measure[family]()
            found = dict(zip(known, values.tolist(), strict=True))
            rows.extend((family, feature, known[feature], aggregation, found[feature]) for feature in wanted)
    return rows


def _measures(
    region: Region, request: _Request, levels: npt.NDArray[np.uint16], n_levels: int
) -> dict[str, Callable[[], FloatArray]]:
    """Say how the families without a matrix are computed."""
    processing = request.of("processing", region.name)
    width = request.of("ivh_bin_width", region.name)
    return {
        "morphology": lambda: morphology(region),
        "local_intensity": lambda: intensity.local_peaks(region),
        "firstorder": lambda: intensity.statistics(region.intensities, levels),
        "histogram": lambda: intensity.histogram(levels, n_levels),
        "ivh": lambda: intensity.intensity_volume(
            region.intensities, processing, bin_width=width, bins=request.ivh_bins
        ),
    }


def _levels(region: Region, request: _Request) -> tuple[npt.NDArray[np.uint16], int]:
    bound = request.of("lower_bound", region.name)
    if bound is None:
        bound = request.of("processing", region.name).lowest
    return discretise(
        region.intensities,
        bins=request.bins,
        bin_width=request.of("bin_width", region.name),
        lower_bound=bound,
        name=region.name,
    )


def _box(region: Region, levels: npt.NDArray[np.uint16], n_levels: int, request: _Request) -> LevelBox:
    everywhere = np.zeros(len(region.kept), dtype=np.uint16)
    everywhere[region.kept] = levels
    outline = region.aligned.in_box(np.ones(len(region.kept), dtype=bool))
    pad = max(request.distance, 1)
    box = LevelBox.around(region.aligned.in_box(everywhere), outline, n_levels, pad)
    return replace(box, distance=request.distance, coarseness=request.coarseness)

"""What holds still when a tumour is measured again: features by intraclass correlation, habitats by overlap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.habitats.agreement import dice, icc, match_overlap, rand_index
from comould.habitats.cluster import DEFAULT_FEATURES, DEFAULT_RADIUS_MM, fit_voxels
from comould.habitats.inputs import named_images
from comould.habitats.perturb import BINS, DEFAULT, Perturbation, depth_of, perturbed, quiet, sampled
from comould.habitats.request import Request
from comould.habitats.result import Habitats
from comould.habitats.voxels import Voxels, voxels_of
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

LEAST_ICC = 0.75
"""Good reliability after Koo & Li, J Chiropr Med 2016, doi 10.1016/j.jcm.2016.02.012."""
_MOST_SUBJECTS = 2000
_LEAST_SUBJECTS = 20
Progress = Callable[[int, int, str], None]
"""Called with how many measurements are done, of how many, and the next one's name."""


@dataclass(frozen=True, eq=False)
class FeatureStability:
    """Which feature maps hold still.

    Parameters
    ----------
    table
        Index ``"image/family.feature"``; ``icc``, ``icc_low``, ``icc_high`` (agreement, ICC(2,1), over all but bins),
        ``consistency`` (ICC(3,1)), ``icc_<kind>`` for every kind of perturbation (for bins ICC(3,1), since more levels
        shift a feature by definition), ``n_voxels``, ``kept``.
    least_icc
        What the lower confidence limit, and the ICC of bins, must reach.
    """

    table: pd.DataFrame
    least_icc: float

    @property
    def unstable(self) -> tuple[str, ...]:
        """Names for ``without=`` of :func:`comould.habitats.fit`."""
        return tuple(str(name) for name in self.table.index[~self.table["kept"]])


@dataclass(frozen=True, eq=False)
class HabitatStability:
    """How habitats hold still.

    Parameters
    ----------
    table
        One row per measurement: ``perturbation``, ``kind``, ``amount``, ``rand_index``, ``voxels`` (in common), and
        ``dice_<habitat>``.
    habitats
        Index habitat: ``dice_mean``, ``dice_least``, ``voxels_kept`` (mean share of its voxels that stay).
    kept
        float32 image: share of the measurements in which a voxel stayed in its habitat; 0 outside.
    """

    table: pd.DataFrame
    habitats: pd.DataFrame
    kept: sitk.Image


def feature_stability(
    images: Mapping[str, sitk.Image] | Sequence[sitk.Image],
    mask: sitk.Image,
    *,
    features: str | Sequence[str] = DEFAULT_FEATURES,
    radius_mm: float = DEFAULT_RADIUS_MM,
    bins: int = 32,
    perturbations: Sequence[Perturbation] | None = None,
    least_icc: float = LEAST_ICC,
    seed: int = 0,
    progress: Progress | None = None,
) -> FeatureStability:
    """Measure feature maps again and again, and say which ones say the same.

    Parameters
    ----------
    images, mask, features, radius_mm, bins
        As in :func:`comould.habitats.fit`.
    perturbations
        How to measure again; by default eight ways (:data:`comould.habitats.perturb.DEFAULT`) and, for textures, two
        more numbers of bins.
    least_icc
        Threshold to be kept.
    seed
        Of noise and of the voxels drawn.
    progress
        Told of every measurement.

    Returns
    -------
    FeatureStability

    Raises
    ------
    InputError
        For no perturbations, a threshold out of range, fewer than 20 voxels that all measurements share, and what
        :func:`comould.habitats.feature_maps` refuses.

    Notes
    -----
    Subjects are voxels that all measurements share, thinned to about one per kernel (at most 2,000), since voxels that
    share a kernel are not independent. Maps on a turned or moved grid are read at the voxels' places linearly. A
    feature is kept when the lower 95 % limit of its agreement and its ICC under other bins reach ``least_icc``.

    References
    ----------
    Zwanenburg et al., Sci Rep 2019, doi 10.1038/s41598-018-36938-4.
    """
    ways = _ways(perturbations, features)
    if not 0 < least_icc < 1:
        raise InputError(subject="least_icc", expected="between 0 and 1", found=f"{least_icc:g}")
    given = named_images(images)
    base = voxels_of(given, mask, features=features, radius_mm=radius_mm, bins=bins)
    measured, depth = [np.asarray(base.values)], depth_of(mask, ways)
    for n, how in enumerate(ways):
        _tell(progress, n, ways)
        with quiet():
            moved, shape = perturbed(given, mask, how, seed=seed + n, depth=depth)
            levels = int(how.amount) if how.kind == "bins" else bins
            again = voxels_of(moved, shape, features=features, radius_mm=radius_mm, bins=levels)
        measured.append(sampled(again.values, again.aligned.grid, again.aligned.mask_idx, base.points_mm))
    _tell(progress, len(ways), ways)
    rows = _subjects(base, measured, radius_mm, seed)
    table = _icc_table(np.stack([values[rows] for values in measured], axis=2), ways, base.names)
    bins_hold = table["icc_bins"].fillna(1.0) >= least_icc if "icc_bins" in table else True
    table["kept"] = (table["icc_low"] >= least_icc) & bins_hold
    return FeatureStability(table, least_icc)


def habitat_stability(
    images: Mapping[str, sitk.Image] | Sequence[sitk.Image],
    mask: sitk.Image,
    habitats: Habitats,
    *,
    perturbations: Sequence[Perturbation] | None = None,
    refit: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> HabitatStability:
    """Find the habitats again in perturbed images and compare.

    Parameters
    ----------
    images, mask
        What the habitats were found in.
    habitats
        As :func:`comould.habitats.fit` found them.
    perturbations
        As in :func:`feature_stability`.
    refit
        Find them afresh every time (their number stays), named by overlap. Otherwise the model is applied.
    seed
        Of the noise.
    progress
        Told of every measurement.

    Returns
    -------
    HabitatStability

    Raises
    ------
    InputError
        If the habitats have no model, no perturbation is given, or a perturbed mask is refused.
    """
    import pandas as pd
    import SimpleITK as sitk

    if habitats.model is None:
        raise InputError(subject="habitats", expected="ones that fit or a model found", found="classes by thresholds")
    settings = habitats.model.settings
    ways = _ways(perturbations, settings.features)
    given = named_images(images)
    labels = sitk.GetArrayFromImage(habitats.labels)
    inside = np.argwhere(labels > 0)
    points = Grid.from_image(habitats.labels).patient_from_index(inside[:, ::-1])
    own = labels[tuple(inside.T)].astype(np.int64)
    stayed, counted = np.zeros(len(own)), np.zeros(len(own))
    rows, depth = [], depth_of(mask, ways)
    for n, how in enumerate(ways):
        _tell(progress, n, ways)
        with quiet():
            moved, shape = perturbed(given, mask, how, seed=seed + n, depth=depth)
            found = _again(moved, shape, habitats, how, refit=refit, seed=seed + n)
        theirs = _read(found, points)
        common = theirs > 0
        renamed = match_overlap(own[common], theirs[common]) if refit else theirs[common]
        stayed[common] += renamed == own[common]
        counted[common] += 1
        overlap = dice(own[common], renamed)
        rows.append(
            {"perturbation": str(how), "kind": how.kind, "amount": how.amount}
            | {"rand_index": rand_index(own[common], renamed), "voxels": int(common.sum())}
            | {f"dice_{name}": overlap.get(label, np.nan) for label, name in enumerate(habitats.names, start=1)}
        )
    _tell(progress, len(ways), ways)
    share = np.divide(stayed, counted, out=np.zeros(len(own)), where=counted > 0)
    image = np.zeros(labels.shape, dtype=np.float32)
    image[tuple(inside.T)] = share
    table = pd.DataFrame(rows)
    return HabitatStability(table, _by_habitat(table, habitats, own, share), Grid.from_image(mask).to_image(image))


def _ways(perturbations: Sequence[Perturbation] | None, features: str | Sequence[str]) -> tuple[Perturbation, ...]:
    if perturbations is None:
        wanted = (features,) if isinstance(features, str) else features
        return DEFAULT if all(name.startswith("intensity") for name in wanted) else DEFAULT + BINS
    if not perturbations:
        raise InputError(subject="perturbations", expected="at least one", found="none")
    return tuple(perturbations)


def _tell(progress: Progress | None, done: int, ways: Sequence[Perturbation]) -> None:
    if progress is not None:
        progress(done, len(ways), str(ways[done]) if done < len(ways) else "")


def _subjects(base: Voxels, measured: Sequence[FloatArray], radius_mm: float, seed: int) -> npt.NDArray[np.int64]:
    """Draw voxels that all measurements share, about one per kernel."""
    shared = np.flatnonzero(np.all([np.isfinite(values).all(axis=1) for values in measured], axis=0))
    if len(shared) < _LEAST_SUBJECTS:
        raise InputError(
            subject="mask",
            expected=f"at least {_LEAST_SUBJECTS} voxels that all measurements share",
            found=f"{len(shared)}",
            remedy="Perturb less, or do without stability for so small a mask",
        )
    kernels = len(shared) * 1000.0 * base.aligned.grid.voxel_ml / (4.0 / 3.0 * np.pi * radius_mm**3)
    count = int(np.clip(kernels, _LEAST_SUBJECTS, min(_MOST_SUBJECTS, len(shared))))
    drawn = np.random.default_rng(np.random.SeedSequence([seed, 7])).permutation(len(shared))[:count]
    return shared[np.sort(drawn)]


def _icc_table(values: FloatArray, ways: Sequence[Perturbation], names: Sequence[str]) -> pd.DataFrame:
    """Intraclass correlations of ``(n, d, 1 + p)`` values, the unperturbed ones first."""
    import pandas as pd

    kinds = list(dict.fromkeys(how.kind for how in ways))
    columns = {kind: [0, *(n for n, how in enumerate(ways, start=1) if how.kind == kind)] for kind in kinds}
    most = [0, *(n for n, how in enumerate(ways, start=1) if how.kind != "bins")]
    rows = {}
    for d, name in enumerate(names):
        ratings = values[:, d, :]
        row: dict[str, float | int] = {"icc": np.nan, "icc_low": np.nan, "icc_high": np.nan, "consistency": np.nan}
        if len(most) > 1:
            whole = icc(ratings[:, most], "2,1")
            row = {"icc": whole.value, "icc_low": whole.low, "icc_high": whole.high}
            row["consistency"] = icc(ratings[:, most], "3,1").value
        for kind in kinds:
            row[f"icc_{kind}"] = icc(ratings[:, columns[kind]], "3,1" if kind == "bins" else "2,1").value
        rows[name] = row | {"n_voxels": len(values)}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "feature"
    return table


def _again(
    images: Mapping[str, sitk.Image], mask: sitk.Image, habitats: Habitats, how: Perturbation, *, refit: bool, seed: int
) -> Habitats:
    model = habitats.model
    if model is None:  # pragma: no cover - the caller has refused it
        raise InputError(subject="habitats", expected="a model", found="none")
    s = model.settings
    levels = int(how.amount) if how.kind == "bins" else s.bins
    voxels = voxels_of(
        {name: images[name] for name in s.images},
        mask, features=s.features, radius_mm=s.radius_mm, bins=levels, only=s.columns,
    )  # fmt: skip
    if not refit:
        return model.label(voxels, s.scaling)
    request = Request(
        len(model.means),
        s.method,
        s.radius_mm,
        seed,
        supervoxel_mm=s.supervoxel_mm,
        spatial_weight=s.spatial_weight,
        outlier_fraction=s.outlier_fraction,
        bins=levels,
    )
    return fit_voxels(voxels, request, s.features, with_curve=False)


def _read(habitats: Habitats, points_mm: FloatArray) -> npt.NDArray[np.int64]:
    """Read labels at points, by the probabilities between voxels; 0 beyond the mask."""
    import SimpleITK as sitk

    mask_idx = np.argwhere(sitk.GetArrayViewFromImage(habitats.labels) > 0)
    values = sitk.GetArrayViewFromImage(habitats.probabilities)[tuple(mask_idx.T)].astype(np.float64)
    between = sampled(values, Grid.from_image(habitats.labels), mask_idx, points_mm)
    known = np.isfinite(between).all(axis=1)
    found = np.zeros(len(points_mm), dtype=np.int64)
    found[known] = between[known].argmax(axis=1) + 1
    return found


def _by_habitat(table: pd.DataFrame, habitats: Habitats, own: npt.NDArray, share: FloatArray) -> pd.DataFrame:
    import pandas as pd

    rows = {}
    for label, name in enumerate(habitats.names, start=1):
        overlap, mine = table[f"dice_{name}"], own == label
        kept = float(share[mine].mean()) if mine.any() else np.nan
        rows[name] = {"dice_mean": overlap.mean(), "dice_least": overlap.min(), "voxels_kept": kept}
    return pd.DataFrame.from_dict(rows, orient="index")

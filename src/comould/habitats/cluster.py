"""Habitats: voxels of a tumour grouped by what the images show, with probabilities and a stated choice of number."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldWarning, InputError
from comould.habitats._mixture import Mixture, MixtureSettings, fit_mixture
from comould.habitats.features import FeatureMaps, _plan, maps_of
from comould.habitats.inputs import Aligned, align, without_voxels
from comould.habitats.selection import RULE, Sample, curve, kmeans
from comould.habitats.smoothing import Smoother
from comould.space import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

DEFAULT_FEATURES = ("intensity.voxel",)
DEFAULT_RADIUS_MM = 2.0
LEAST_VOXELS_PER_HABITAT = 30
LEAST_EXCESS = 0.02
_CLIP = 3.0
_VOTE = 0.75
"""σ of the neighbours' vote, in radii."""
Method = Literal["gmm", "kmeans"]


class FitSettings(TypedDict, total=False):
    """Finer settings of :func:`fit`, given by keyword."""

    max_habitats: int
    spatial_weight: float
    outlier_fraction: float
    bins: int


@dataclass(frozen=True)
class _Request:
    """A request, checked."""

    n_habitats: int | None
    method: Method
    radius_mm: float
    seed: int
    max_habitats: int = 6
    spatial_weight: float = 8.0
    outlier_fraction: float = 0.05
    bins: int = 32

    def __post_init__(self) -> None:
        problems = []
        if self.method not in {"gmm", "kmeans"}:
            problems.append(f"method {self.method!r} is neither 'gmm' nor 'kmeans'")
        if self.n_habitats is not None and not 2 <= self.n_habitats <= 20:
            problems.append(f"n_habitats {self.n_habitats} is not between 2 and 20")
        if not 2 <= self.max_habitats <= 20:
            problems.append(f"max_habitats {self.max_habitats} is not between 2 and 20")
        if not np.isfinite(self.spatial_weight) or self.spatial_weight < 0:
            problems.append(f"spatial_weight {self.spatial_weight} is not 0 or more")
        if not 0 <= self.outlier_fraction < 0.5:
            problems.append(f"outlier_fraction {self.outlier_fraction} is not between 0 and 0.5")
        if not np.isfinite(self.radius_mm) or self.radius_mm <= 0:
            problems.append(f"radius_mm {self.radius_mm} is not a positive length")
        if problems:
            raise InputError.collect(subject="habitat settings", problems=problems)

    @property
    def numbers(self) -> range:
        """Numbers of habitats to try."""
        if self.n_habitats is not None:
            return range(self.n_habitats, self.n_habitats + 1)
        return range(2, self.max_habitats + 1)

    @property
    def mixture(self) -> MixtureSettings:
        """How each of them is fitted."""
        return MixtureSettings(self.spatial_weight, self.outlier_fraction, spherical=self.method == "kmeans")


@dataclass(frozen=True, eq=False)
class Habitats:
    """A habitat map and all that made it.

    Parameters
    ----------
    labels
        uint8 on the mask's grid: 0 outside, 1 to k inside, ordered by the mean of the first image.
    probabilities
        float32 vector image of k components; zeros outside.
    table
        Index ``H1``…; ``label``, ``voxels``, ``volume_ml``, ``fraction``, ``mean_probability``, and
        ``<image>_mean`` and ``<image>_sd`` for every image.
    selection
        One row per number tried: ``n_habitats``, ``silhouette``, ``silhouette_null``, ``excess``, ``stability``,
        ``bic``, ``chosen``.
    parameters
        Settings and what was found on the way; JSON-able.
    feature_maps
        What was clustered, unscaled.
    """

    labels: sitk.Image
    probabilities: sitk.Image
    table: pd.DataFrame
    selection: pd.DataFrame
    parameters: dict[str, Any]
    feature_maps: FeatureMaps

    @property
    def names(self) -> tuple[str, ...]:
        """``("H1", …)`` in label order."""
        return tuple(str(name) for name in self.table.index)

    def write(
        self, folder: str | Path, *, overwrite: bool = False, inputs: Mapping[str, str | Path] | None = None
    ) -> Path:
        """Write the map, all or nothing.

        ``habitats.nii.gz``, ``probabilities.nii.gz``, ``habitats.csv``, ``selection.csv`` and ``manifest.json``.

        Parameters
        ----------
        folder
            A new or empty folder, or with ``overwrite`` one an earlier run wrote.
        overwrite
            Replace what an earlier run wrote.
        inputs
            Role → path of the input files; only hashes are kept.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InputError
            If the folder may not be written to.
        """
        from comould.io.image import write_image
        from comould.io.output import atomic_directory, provenance, write_json

        folder = Path(folder)
        libraries = ("SimpleITK", "scikit-learn", "scipy", "numba", "pandas")
        made = provenance(inputs=inputs, parameters=self.parameters, seed=self.parameters["seed"], libraries=libraries)
        with atomic_directory(folder, overwrite=overwrite) as work:
            write_image(self.labels, work / "habitats.nii.gz")
            write_image(self.probabilities, work / "probabilities.nii.gz")
            self.table.to_csv(work / "habitats.csv", index_label="habitat")
            self.selection.to_csv(work / "selection.csv", index=False)
            files = {
                "habitats.nii.gz": "labels, 0 outside",
                "probabilities.nii.gz": f"probability of {', '.join(self.names)}",
                "habitats.csv": "one row per habitat",
                "selection.csv": "how their number was chosen",
            }
            write_json(
                work / "manifest.json",
                {"kind": "habitats", "units": "mm", "habitats": list(self.names), "files": files, "provenance": made},
            )
        return folder


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
    features
        What is clustered, of every image: names as in :func:`comould.habitats.feature_maps`; the voxel's intensity
        itself by default, since the spatial prior already averages over neighbours and textures blur borders.
    radius_mm
        Reach of the neighbourhood: the kernel of texture features, and 4/3 σ of the neighbours' vote. Habitats
        thinner than about this are smoothed away.
    seed
        Same seed, same labels, on any number of threads.
    **settings
        ``max_habitats`` (6), ``spatial_weight`` (8; 0 switches the spatial prior off), ``outlier_fraction`` (0.05),
        ``bins`` (32, of texture features).

    Returns
    -------
    Habitats

    Raises
    ------
    InputError
        For settings out of range, fewer than 30 voxels per habitat, and all that
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
    distributions keep the cluster centres and one common variance.

    The number is chosen beforehand, on the smoothed features of up to 3,000 voxels: the one whose k-means silhouette
    exceeds most that of a Gaussian cloud of the same covariance, which has no groups. Stability between halves of the
    tumour and BIC are told beside it; see :func:`comould.habitats.selection.curve`.

    Probabilities say how well a voxel and its neighbours fit a habitat among the others; they do not say that habitats
    exist, and as in every Markov random field they are too sure of themselves (on the phantom 0.96 on average, with
    0.85 of the voxels right).
    """
    request = _request(n_habitats, method, radius_mm, seed, settings)
    plan = _plan(features, radius_mm, None, request.bins, None, {})
    aligned = align(images, mask)
    maps = maps_of(aligned, plan)
    finite = np.isfinite(maps.values)
    keep = np.asarray(finite.all(axis=1))
    aligned = without_voxels(aligned, keep)
    _check_enough(int(keep.sum()), request)
    scaled = _scaled(np.asarray(maps.values)[keep], maps.names)
    neighbours = Smoother(aligned, _VOTE * request.radius_mm, centre=False) if request.spatial_weight else None
    start = _smoothed(aligned, scaled, request.radius_mm / 2.0)
    # Loaded first: the limit reaches only the thread pools that exist when the block begins.
    import sklearn.cluster
    import sklearn.metrics  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        points_mm = aligned.grid.patient_from_index(aligned.mask_idx[:, ::-1])
        voxel_mm3 = 1000.0 * aligned.grid.voxel_ml
        sample = Sample.draw(start, points_mm, request.radius_mm, voxel_mm3=voxel_mm3, seed=seed)
        selection = curve(sample, request.numbers, seed)
        chosen = int(selection.loc[selection["chosen"], "n_habitats"].iloc[0])
        mixture = fit_mixture(scaled, kmeans(start, chosen, seed)(start), neighbours, request.mixture)
    return _habitats(mixture, aligned, maps, selection, request)


def _request(n_habitats: int | None, method: Method, radius_mm: float, seed: int, settings: FitSettings) -> _Request:
    known = {f.name for f in fields(_Request)}
    unknown = sorted(set(settings) - set(FitSettings.__annotations__))
    if unknown:
        raise InputError(
            subject=f"habitat setting {unknown[0]!r}",
            expected=f"one of {', '.join(sorted(known & set(FitSettings.__annotations__)))}",
            found="an unknown one",
        )
    return _Request(n_habitats, method, radius_mm, seed, **settings)


def _check_enough(n_voxels: int, request: _Request) -> None:
    needed = LEAST_VOXELS_PER_HABITAT * request.numbers[-1]
    if n_voxels < needed:
        raise InputError(
            subject="mask",
            expected=f"at least {needed} voxels with features for up to {request.numbers[-1]} habitats",
            found=f"{n_voxels}",
            remedy="Ask for fewer habitats",
        )


def _scaled(values: FloatArray, names: tuple[str, ...]) -> FloatArray:
    """Scale by median and interquartile range, so that a normal distribution has unit variance."""
    low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
    spread = (high - low) / 1.349
    # Half of the voxels share one value: fall back on the standard deviation.
    spread = np.where(spread > 0, spread, values.std(axis=0))
    flat = [name for name, width in zip(names, spread, strict=True) if width == 0]
    if flat:
        raise InputError(
            subject=f"feature {flat[0]!r}", expected="values that vary", found="one value", remedy="Leave it out"
        )
    return (values - middle) / spread


def _smoothed(aligned: Aligned, scaled: FloatArray, sigma_mm: float) -> FloatArray:
    smoother = Smoother(aligned, sigma_mm)
    # Clipped first: an outlier must not light up its surroundings.
    columns = np.stack([smoother(np.clip(column, -_CLIP, _CLIP)) for column in scaled.T], axis=1)
    return columns / columns.std(axis=0)


def _habitats(
    mixture: Mixture, aligned: Aligned, maps: FeatureMaps, selection: pd.DataFrame, request: _Request
) -> Habitats:
    first = next(iter(aligned.intensities.values()))
    labels = mixture.probabilities.argmax(axis=1)
    present = [c for c in range(len(mixture.means)) if (labels == c).any()]
    lost = len(mixture.means) - len(present)
    if lost:
        message = f"{lost} of {len(mixture.means)} habitats held no voxel in the end and were dropped"
        warnings.warn(message, ComouldWarning, stacklevel=3)
    if request.n_habitats is None and len(mixture.means) == request.max_habitats:
        message = (
            f"the largest number of habitats tried, {request.max_habitats}, was chosen: max_habitats may be too small"
        )
        warnings.warn(message, ComouldWarning, stacklevel=3)
    if float(selection.loc[selection["chosen"], "excess"].iloc[0]) < LEAST_EXCESS:
        message = "the voxels group hardly better than a cloud without groups would: habitats may be arbitrary cuts"
        warnings.warn(message, ComouldWarning, stacklevel=3)
    order = sorted(present, key=lambda c: float(first[labels == c].mean()))
    probabilities = mixture.probabilities[:, order]
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    # From the kept columns, so that labels and probabilities always agree.
    final = probabilities.argmax(axis=1) + 1
    return Habitats(
        labels=aligned.image(final.astype(np.uint8), 0),
        probabilities=aligned.image(probabilities.astype(np.float32), 0.0),
        table=_table(final, probabilities, aligned),
        selection=selection,
        parameters=_said(mixture, order, aligned, maps, request),
        feature_maps=maps,
    )


def _table(labels: npt.NDArray[np.int64], probabilities: FloatArray, aligned: Aligned) -> pd.DataFrame:
    import pandas as pd

    rows = {}
    for label in range(1, probabilities.shape[1] + 1):
        inside = labels == label
        row: dict[str, float | int] = {
            "label": label,
            "voxels": int(inside.sum()),
            "volume_ml": float(inside.sum()) * aligned.grid.voxel_ml,
            "fraction": float(inside.mean()),
            "mean_probability": float(probabilities[inside, label - 1].mean()),
        }
        for name, values in aligned.intensities.items():
            row |= {f"{name}_mean": float(values[inside].mean()), f"{name}_sd": float(values[inside].std())}
        rows[f"H{label}"] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _said(mixture: Mixture, order: list[int], aligned: Aligned, maps: FeatureMaps, request: _Request) -> dict[str, Any]:
    asked = {f.name: getattr(request, f.name) for f in fields(request)}
    return asked | {
        "images": list(aligned.intensities),
        "n_habitats_found": len(order),
        "n_voxels": len(aligned.mask_idx),
        "n_voxels_left_out": len(maps.mask_idx) - len(aligned.mask_idx) + aligned.n_uncovered,
        "resampled": aligned.resampled,
        "scaling": "median and interquartile range over the mask",
        "selection_rule": RULE,
        "iterations": mixture.iterations,
        "scaled_means": mixture.means[order].tolist(),
        "feature_maps": maps.parameters,
    }

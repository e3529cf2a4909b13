"""HabitatModel: found on one tumour or a cohort, kept as a JSON file, and applied to other cases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from comould.errors import InputError
from comould.habitats._fuzzy import apply_fuzzy, fit_fuzzy
from comould.habitats._mixture import Mixture, MixtureSettings, Neighbours, apply_mixture, fit_mixture
from comould.habitats.request import METHODS, Method
from comould.habitats.result import Habitats, describe, final_labels
from comould.habitats.supervoxels import means as supervoxel_means
from comould.habitats.supervoxels import supervoxels_of
from comould.habitats.voxels import Scaling, Voxels, voxels_of
from comould.space import FloatArray

if TYPE_CHECKING:
    import SimpleITK as sitk

FORMAT = "comould.habitat_model"
VERSION = 1
ScalingRule = Literal["stored", "case"]


@dataclass(frozen=True)
class ModelSettings:
    """What must be the same again for a model to mean the same.

    Parameters
    ----------
    images
        Names of the images, in order.
    features
        Names, as given to :func:`comould.habitats.fit`.
    columns
        The maps that are grouped, ``"image/family.feature"``.
    radius_mm, bins, spatial_weight, outlier_fraction, supervoxel_mm
        As in :func:`comould.habitats.fit`.
    method
        ``"gmm"``, ``"kmeans"`` or ``"fcm"``.
    scaling
        ``"stored"``: features are scaled as those the model was found on, for quantities that mean the same in every
        case (HU, ADC, normalised MR). ``"case"``: by each case's own median and interquartile range.
    """

    images: tuple[str, ...]
    features: tuple[str, ...]
    columns: tuple[str, ...]
    radius_mm: float
    bins: int
    spatial_weight: float
    outlier_fraction: float
    supervoxel_mm: float | None
    method: Method
    scaling: ScalingRule = "stored"

    @property
    def mixture(self) -> MixtureSettings:
        """How probabilities are found."""
        weight = 0.0 if self.supervoxel_mm else self.spatial_weight
        return MixtureSettings(weight, self.outlier_fraction, spherical=self.method == "kmeans")


@dataclass(frozen=True, eq=False)
class HabitatModel:
    """Habitats as distributions of features.

    Parameters
    ----------
    settings
        How features are made and grouped.
    scaling
        Centre and spread of every column, of what the model was found on.
    means
        ``(k, d)`` of the scaled features.
    covariances
        ``(k, d, d)``.
    floor
        Log density of outliers.
    cases
        How many cases it was found on.
    """

    settings: ModelSettings
    scaling: Scaling
    means: FloatArray
    covariances: FloatArray
    floor: float
    cases: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """``("H1", …)``."""
        return tuple(f"H{n}" for n in range(1, len(self.means) + 1))

    def apply(
        self, images: Mapping[str, sitk.Image], mask: sitk.Image, *, scaling: ScalingRule | None = None
    ) -> Habitats:
        """Find the model's habitats in another case; same numbers, same meaning.

        Parameters
        ----------
        images
            By the names the model knows; further ones are refused.
        mask
            One label.
        scaling
            Another rule than the model's own.

        Returns
        -------
        Habitats
            With all of the model's habitats in the table, also those without a voxel here.

        Raises
        ------
        InputError
            If an image is missing or unknown, the scaling is none, and all that :func:`comould.habitats.feature_maps`
            refuses.
        """
        rule = scaling or self.settings.scaling
        if rule not in {"stored", "case"}:
            raise InputError(subject="scaling", expected="'stored' or 'case'", found=repr(rule))
        self._check_images(images)
        s = self.settings
        ordered = {name: images[name] for name in s.images}
        voxels = voxels_of(ordered, mask, features=s.features, radius_mm=s.radius_mm, bins=s.bins, only=s.columns)
        return self.label(voxels, rule)

    def label(self, voxels: Voxels, rule: ScalingRule) -> Habitats:
        """Find the habitats of voxels whose features are there already."""
        from comould.habitats.selection import nothing_chosen

        s = self.settings
        scaling = self.scaling if rule == "stored" else Scaling.of(voxels.values, voxels.names)
        scaled = scaling(voxels.values)
        numbers = supervoxels_of(voxels, scaled, s.radius_mm, s.supervoxel_mm) if s.supervoxel_mm else None
        data = scaled if numbers is None else supervoxel_means(numbers, scaled)
        neighbours = voxels.neighbours(s.radius_mm, s.mixture.weight)
        known = Mixture(self.means, self.covariances, np.empty((0, len(self.means))), np.empty(0), 0, self.floor)
        found = regroup(data, known, neighbours, s)
        probabilities = found.probabilities if numbers is None else found.probabilities[numbers]
        return assemble(
            voxels, probabilities, self, numbers=numbers,
            selection=nothing_chosen(len(self.means)),
            parameters={"applied_model": asdict(s) | {"scaling": rule, "cases": self.cases}, "seed": None},
        )  # fmt: skip

    def _check_images(self, images: Mapping[str, sitk.Image]) -> None:
        if not isinstance(images, Mapping):
            raise InputError(
                subject="images", expected=f"a mapping with {', '.join(self.settings.images)}", found="no names"
            )
        missing = [name for name in self.settings.images if name not in images]
        further = [name for name in images if name not in self.settings.images]
        if missing or further:
            problems = [f"image {name!r} is missing" for name in missing]
            problems += [f"image {name!r} is unknown to the model" for name in further]
            raise InputError.collect(
                subject="images for the habitat model",
                problems=problems,
                remedy=f"Give {', '.join(self.settings.images)}",
            )

    def save(self, path: str | Path) -> Path:
        """Write the model as JSON; returns the path."""
        from comould.io.output import write_json

        data = {
            "format": FORMAT,
            "version": VERSION,
            "settings": asdict(self.settings),
            "scaling": {"centre": self.scaling.centre, "spread": self.scaling.spread},
            "means": self.means,
            "covariances": self.covariances,
            "floor": None if np.isneginf(self.floor) else self.floor,
            "cases": self.cases,
        }
        return write_json(path, data)

    @classmethod
    def load(cls, path: str | Path) -> HabitatModel:
        """Read a model from JSON.

        Raises
        ------
        InputError
            If the file is missing, no JSON, no habitat model, of a newer version, or its numbers do not fit together.
        """
        path = Path(path)
        subject = f"habitat model {path.name}"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(subject=subject, expected="a file", found=error.strerror or "none") from error
        except ValueError as error:
            raise InputError(subject=subject, expected="JSON", found=str(error)) from error
        if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != VERSION:
            found = f"{data.get('format')!r} {data.get('version')!r}" if isinstance(data, dict) else "something else"
            raise InputError(subject=subject, expected=f"format {FORMAT!r}, version {VERSION}", found=found)
        try:
            return _checked(data)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                subject=subject, expected="the parts a model has", found=f"{type(error).__name__}: {error}"
            ) from error


def _checked(data: dict[str, Any]) -> HabitatModel:
    raw = dict(data["settings"])
    for name in ("images", "features", "columns"):
        raw[name] = tuple(str(item) for item in raw[name])
    settings = ModelSettings(**raw)
    centre, spread, means, covariances = (
        np.asarray(part, dtype=np.float64)
        for part in (data["scaling"]["centre"], data["scaling"]["spread"], data["means"], data["covariances"])
    )
    k, d = means.shape
    shapes = (centre.shape, spread.shape, covariances.shape, (len(settings.columns),))
    numbers = np.concatenate([centre, spread, means.ravel(), covariances.ravel()])
    if shapes != ((d,), (d,), (k, d, d), (d,)) or not np.isfinite(numbers).all() or (spread <= 0).any():
        msg = f"numbers of shapes {shapes} that do not fit {k} habitats of {d} features"
        raise ValueError(msg)
    if settings.method not in METHODS or settings.scaling not in {"stored", "case"}:
        msg = f"method {settings.method!r}, scaling {settings.scaling!r}"
        raise ValueError(msg)
    floor = -np.inf if data["floor"] is None else float(data["floor"])
    return HabitatModel(settings, Scaling(centre, spread), means, covariances, floor, int(data["cases"]))


def group(data: FloatArray, labels: np.ndarray, neighbours: Neighbours | None, settings: ModelSettings) -> Mixture:
    """Fit by the method asked for, from starting labels."""
    fit = fit_fuzzy if settings.method == "fcm" else fit_mixture
    return fit(data, labels, neighbours, settings.mixture)


def regroup(data: FloatArray, known: Mixture, neighbours: Neighbours | None, settings: ModelSettings) -> Mixture:
    """Find probabilities under known distributions by the method they were found with."""
    use = apply_fuzzy if settings.method == "fcm" else apply_mixture
    return use(data, known, neighbours, settings.mixture)


def assemble(
    voxels: Voxels,
    probabilities: FloatArray,
    model: HabitatModel | None,
    *,
    selection: Any,
    parameters: Mapping[str, Any],
    numbers: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Habitats:
    """Make the result of probabilities ``(n, k)`` at the voxels."""
    labels = final_labels(probabilities)
    aligned = voxels.aligned
    told = dict(parameters) | {
        "images": list(aligned.intensities),
        "n_voxels": len(aligned.mask_idx),
        "n_voxels_left_out": voxels.n_left_out,
        "resampled": aligned.resampled,
        "n_supervoxels": None if numbers is None else int(numbers.max()) + 1,
        "feature_maps": voxels.maps.parameters,
    }
    return Habitats(
        labels=aligned.image(labels.astype(np.uint8), 0),
        probabilities=aligned.image(probabilities.astype(np.float32), 0.0),
        table=describe(labels, probabilities, aligned, names),
        selection=selection,
        parameters=told,
        feature_maps=voxels.maps,
        model=model,
        supervoxels=None if numbers is None else aligned.image((numbers + 1).astype(np.int32), 0),
    )

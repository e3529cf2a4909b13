"""One set of habitats for a cohort, so that H1 means the same in every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from comould.errors import InputError
from comould.habitats._mixture import Mixture
from comould.habitats.agreement import assign
from comould.habitats.cluster import DEFAULT_FEATURES, DEFAULT_RADIUS_MM, model_settings, one_thread
from comould.habitats.model import HabitatModel, ModelSettings, ScalingRule, group
from comould.habitats.request import FitSettings, Method, Request
from comould.habitats.result import Habitats
from comould.habitats.selection import Sample, curve, kmeans
from comould.habitats.supervoxels import means, supervoxels
from comould.habitats.voxels import Scaling, Voxels, to_unit, voxels_of
from comould.space import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

Case = tuple[Mapping[str, "sitk.Image"], "sitk.Image"]
"""Images by name, and the mask."""


@dataclass(frozen=True, eq=False)
class Population:
    """Habitats of a cohort.

    Parameters
    ----------
    model
        Gives new cases the same habitats; save it with :meth:`HabitatModel.save`.
    habitats
        Case name → its habitats; all have the model's labels.
    selection
        How their number was chosen.
    """

    model: HabitatModel
    habitats: dict[str, Habitats]
    selection: pd.DataFrame

    @property
    def fractions(self) -> pd.DataFrame:
        """Share of every habitat (columns) in every case (rows)."""
        import pandas as pd

        return pd.DataFrame({name: one.table["fraction"] for name, one in self.habitats.items()}).T


def fit_population(
    cases: Mapping[str, Case],
    *,
    n_habitats: int | None = None,
    method: Method = "gmm",
    features: str | Sequence[str] = DEFAULT_FEATURES,
    radius_mm: float = DEFAULT_RADIUS_MM,
    seed: int = 0,
    scaling: ScalingRule = "stored",
    **settings: Unpack[FitSettings],
) -> Population:
    """Find habitats common to a cohort: of voxels, or in two steps of supervoxels made in every case alone.

    Parameters
    ----------
    cases
        Name (no patient data) → (images by name, mask). All cases need the same image names.
    n_habitats, method, features, radius_mm, seed, **settings
        As in :func:`comould.habitats.fit`. With ``supervoxel_mm`` supervoxels are cut in every case, and their means
        are grouped over the cohort.
    scaling
        ``"stored"``: all cases on the scale of the cohort, for quantities that mean the same in every case (HU, ADC,
        normalised MR). ``"case"``: each on its own, which takes differences of level between patients away: for MR
        intensities that nothing else made comparable.

    Returns
    -------
    Population

    Raises
    ------
    InputError
        For fewer than two cases, cases whose images differ in name, and what :func:`comould.habitats.fit` refuses, with
        the case's name.

    Notes
    -----
    Voxels are pooled: a large tumour weighs more than a small one in the distributions, though not in the choice of
    their number, for which every case gives as many voxels. Neighbours vote within their case only.
    """
    request = Request.of(n_habitats, method, radius_mm, seed, settings)
    _check_cases(cases, scaling)
    order = list(next(iter(cases.values()))[0])
    all_voxels = {name: _voxels(name, case, order, request, features) for name, case in cases.items()}
    one = next(iter(all_voxels.values()))
    every = list(all_voxels.values())
    pooled = Scaling.of(np.concatenate([np.asarray(voxels.values) for voxels in every]), one.names)
    scaled = [(pooled if scaling == "stored" else Scaling.of(v.values, v.names))(v.values) for v in every]
    kept = replace(model_settings(one, request, features), scaling=scaling)
    with one_thread():
        pool = _Pool.of(every, scaled, request)
        selection = curve(pool.sample(request), request.numbers, seed, request.rule)
        chosen = int(selection.loc[selection["chosen"], "n_habitats"].iloc[0])
        neighbours = pool.neighbours(request, kept.mixture.weight)
        mixture = group(pool.data, kmeans(pool.start, chosen, seed)(pool.start), neighbours, kept)
        model = _model(mixture, kept, pooled, len(cases))
        habitats = {name: model.label(voxels, scaling) for name, voxels in all_voxels.items()}
    return Population(model, habitats, selection)


def match_cases(reference: Habitats, other: Habitats) -> Habitats:
    """Rename the habitats of a case that was fitted alone, so that alike ones have the reference's names.

    Parameters
    ----------
    reference, other
        With the same images and features.

    Returns
    -------
    Habitats
        ``other`` with new labels, probabilities and table; habitats beyond the reference's get higher numbers, and a
        number that ``other`` has nothing for is an empty row.

    Raises
    ------
    InputError
        If one has no model or their features differ.

    Notes
    -----
    Pairs are chosen to make the sum of distances between means least (Hungarian method), both on the reference's scale.
    This names alike things alike; it does not say that they are the same. A common model does: see
    :func:`fit_population`.
    """
    from comould.habitats.rename import renamed

    first, second = reference.model, other.model
    if first is None or second is None or first.settings.columns != second.settings.columns:
        raise InputError(
            subject="habitats to match",
            expected="two of the same features, found by fit",
            found=", ".join("classes" if m is None else "/".join(m.settings.columns) for m in (first, second)),
        )
    ours = first.scaling(second.means * second.scaling.spread + second.scaling.centre)
    distance = np.linalg.norm(ours[:, None, :] - first.means[None, :, :], axis=2)
    place = assign(-distance)
    spare = iter(range(len(first.means), len(first.means) + len(second.means)))
    return renamed(other, [int(p) if p >= 0 else next(spare) for p in place], least=len(first.means))


def _check_cases(cases: Mapping[str, Case], scaling: str) -> None:
    if scaling not in {"stored", "case"}:
        raise InputError(subject="scaling", expected="'stored' or 'case'", found=repr(scaling))
    if len(cases) < 2:
        raise InputError(
            subject="cohort", expected="at least two cases", found=str(len(cases)), remedy="Use fit for a single case"
        )
    names = {name: tuple(images) for name, (images, _) in cases.items()}
    first = next(iter(names.values()))
    problems = [
        f"case {name!r} has images {', '.join(own)} in place of {', '.join(first)}"
        for name, own in names.items()
        if set(own) != set(first)
    ]
    if problems:
        raise InputError.collect(subject="cohort", problems=problems)


def _voxels(name: str, case: Case, order: Sequence[str], request: Request, features: str | Sequence[str]) -> Voxels:
    images, mask = case
    ordered = {key: images[key] for key in order}
    try:
        return voxels_of(
            ordered, mask, features=features, radius_mm=request.radius_mm, bins=request.bins, without=request.without
        )
    except InputError as error:
        raise type(error)(
            subject=f"case {name!r}, {error.subject}", expected=error.expected, found=error.found, remedy=error.remedy
        ) from error


@dataclass(frozen=True, eq=False)
class _Pool:
    """All cases' items below one another."""

    voxels: list[Voxels]
    data: FloatArray
    start: FloatArray
    points_mm: FloatArray
    bounds: list[int]

    @classmethod
    def of(cls, voxels: list[Voxels], scaled: list[FloatArray], request: Request) -> _Pool:
        """Make the items of every case: voxels, or supervoxels."""
        data, start, points = [], [], []
        for n, (one, values) in enumerate(zip(voxels, scaled, strict=True)):
            parts = (values, one.smoothed(values, request.radius_mm / 2.0), one.points_mm - one.points_mm.mean(axis=0))
            if request.supervoxel_mm is not None:
                numbers = supervoxels(one.aligned, to_unit(parts[1]), request.supervoxel_mm)
                parts = (means(numbers, parts[0]), means(numbers, parts[1]), means(numbers, parts[2]))
            data.append(parts[0])
            start.append(parts[1])
            # Cases far apart: no block of the stability test holds voxels of two.
            points.append(parts[2] + np.array([1e4 * n, 0.0, 0.0]))
        bounds = np.cumsum([0, *(len(part) for part in data)]).tolist()
        return cls(voxels, np.concatenate(data), to_unit(np.concatenate(start)), np.concatenate(points), bounds)

    def sample(self, request: Request) -> Sample:
        """Draw the same number of items of every case."""
        rng = np.random.default_rng(np.random.SeedSequence([request.seed, 6]))
        fewest = min(b - a for a, b in zip(self.bounds[:-1], self.bounds[1:], strict=True))
        rows = np.concatenate(
            [a + rng.permutation(b - a)[:fewest] for a, b in zip(self.bounds[:-1], self.bounds[1:], strict=True)]
        )
        return Sample.draw(
            self.start[rows], self.points_mm[rows], request.radius_mm, independent=0.0, seed=request.seed
        )

    def neighbours(self, request: Request, weight: float) -> _Votes | None:
        """Votes within every case."""
        if not weight:
            return None
        return _Votes([v.neighbours(request.radius_mm, weight) for v in self.voxels], self.bounds)


@dataclass(frozen=True, eq=False)
class _Votes:
    """Mean of the neighbours in each case."""

    smoothers: list[Any]
    bounds: list[int]

    def __call__(self, values: FloatArray) -> FloatArray:
        parts = zip(self.smoothers, self.bounds[:-1], self.bounds[1:], strict=True)
        return np.concatenate([smoother(values[a:b]) for smoother, a, b in parts])


def _model(mixture: Mixture, settings: ModelSettings, scaling: Scaling, cases: int) -> HabitatModel:
    """Order by the first feature's mean and keep what other cases need."""
    order = np.argsort(mixture.means[:, 0], kind="stable")
    return HabitatModel(settings, scaling, mixture.means[order], mixture.covariances[order], mixture.floor, cases)

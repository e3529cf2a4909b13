"""One set of habitats for a cohort, so that H1 means the same in every case."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Unpack

import numpy as np

from comould.errors import ComouldError, ComouldWarning, InputError
from comould.habitats._mixture import Mixture
from comould.habitats._pool import Pool
from comould.habitats.agreement import assign
from comould.habitats.cluster import (
    DEFAULT_FEATURES,
    DEFAULT_RADIUS_MM,
    LEAST_VOXELS_PER_HABITAT,
    check_enough,
    model_settings,
    one_thread,
)
from comould.habitats.model import HabitatModel, ModelSettings, ScalingRule, group
from comould.habitats.request import FitSettings, Method, Request
from comould.habitats.result import Habitats
from comould.habitats.selection import curve, kmeans
from comould.habitats.supervoxels import check_size
from comould.habitats.voxels import Scaling, Voxels, voxels_of

if TYPE_CHECKING:
    import pandas as pd
    import SimpleITK as sitk

Case = tuple[Mapping[str, "sitk.Image"], "sitk.Image"]
"""Images by name, and the mask."""

LEAST_CASES = 2


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


@dataclass(frozen=True, eq=False)
class PopulationModel:
    """A model of a cohort's habitats, not yet applied to its cases.

    Parameters
    ----------
    model
        Gives every case the same habitats.
    selection
        How their number was chosen.
    cases
        What it stands on: index case; ``voxels``, ``volume_ml``, and for each feature map its median and spread
        (interquartile range over 1.349) before scaling.
    left_out
        Case to why it did not enter.
    """

    model: HabitatModel
    selection: pd.DataFrame
    cases: pd.DataFrame
    left_out: dict[str, str] = field(default_factory=dict)


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

    Warns
    -----
    ComouldWarning
        When levels differ more between cases than inside them though ``scaling`` is ``"stored"``.

    Notes
    -----
    Voxels are pooled: a large tumour weighs more than a small one in the distributions, though not in the choice of
    their number, for which every case gives as many voxels. Neighbours vote within their case only.
    """
    request = Request.of(n_habitats, method, radius_mm, seed, settings)
    _check_cases(cases, scaling)
    order = list(next(iter(cases.values()))[0])
    voxels = {name: _voxels(name, case, order, request, features, scaling) for name, case in cases.items()}
    model, selection = _fitted(voxels, request, features, scaling)
    with one_thread():
        habitats = {name: model.label(one, scaling) for name, one in voxels.items()}
    return Population(model, habitats, selection)


def population_model(
    cases: Mapping[str, Callable[[], Case]],
    *,
    n_habitats: int | None = None,
    method: Method = "gmm",
    features: str | Sequence[str] = DEFAULT_FEATURES,
    radius_mm: float = DEFAULT_RADIUS_MM,
    seed: int = 0,
    scaling: ScalingRule = "stored",
    progress: Callable[[int, int, str], None] | None = None,
    **settings: Unpack[FitSettings],
) -> PopulationModel:
    """Find habitats common to a cohort that is read case by case; a case that cannot be used stops no other.

    Parameters
    ----------
    cases
        Name (no patient data) → what reads images by name and mask. The images of one case are held at a time; of the
        others only the features of the mask's voxels.
    n_habitats, method, features, radius_mm, seed, scaling, **settings
        As in :func:`fit_population`.
    progress
        Called with the number of cases read, how many there are, and the name of the next; the name is empty when all
        are read.

    Returns
    -------
    PopulationModel
        The same as :func:`fit_population` finds on the cases that can be used.

    Raises
    ------
    InputError
        For settings out of range, and if fewer than two cases can be used: every one that cannot is named.

    Warns
    -----
    ComouldWarning
        When levels differ more between cases than inside them though ``scaling`` is ``"stored"``, and as
        :func:`comould.habitats.feature_maps`.
    """
    request = Request.of(n_habitats, method, radius_mm, seed, settings)
    _check_scaling(scaling)
    voxels: dict[str, Voxels] = {}
    left_out: dict[str, str] = {}
    order: list[str] = []
    for number, (name, read) in enumerate(cases.items()):
        if progress is not None:
            progress(number, len(cases), name)
        try:
            case = read()
            _check_names(case[0], order)
            voxels[name] = _voxels(name, case, order or list(case[0]), request, features, scaling)
        except MemoryError:
            # Says something of the machine, not of the case: another machine shall find the same model.
            raise
        except Exception as error:
            left_out[name] = str(error) if isinstance(error, ComouldError) else f"{type(error).__name__}: {error}"
        else:
            order = list(voxels[name].aligned.intensities)
    if progress is not None:
        progress(len(cases), len(cases), "")
    if len(voxels) < LEAST_CASES:
        problems = [f"{name}: {why}" for name, why in left_out.items()] or [f"{len(cases)} cases are given"]
        raise InputError.collect(subject=f"cohort with {len(voxels)} usable cases of 2 needed", problems=problems)
    model, selection = _fitted(voxels, request, features, scaling)
    return PopulationModel(model, selection, _levels(voxels), left_out)


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


def _fitted(
    voxels: Mapping[str, Voxels], request: Request, features: str | Sequence[str], scaling: ScalingRule
) -> tuple[HabitatModel, pd.DataFrame]:
    """Group the voxels of all cases, and choose the number of groups."""
    every = list(voxels.values())
    pooled = Scaling.of(np.concatenate([np.asarray(one.values) for one in every]), every[0].names)
    own = [Scaling.of(one.values, one.names) for one in every] if scaling == "case" else [pooled] * len(every)
    scaled = [scale(one.values) for scale, one in zip(own, every, strict=True)]
    if scaling == "stored":
        _tell_levels(_levels(voxels), every[0].names)
    kept = replace(model_settings(every[0], request, features), scaling=scaling)
    with one_thread():
        pool = Pool.of(every, scaled, request)
        selection = curve(pool.sample(request), request.numbers, request.seed, request.rule)
        chosen = int(selection.loc[selection["chosen"], "n_habitats"].iloc[0])
        neighbours = pool.neighbours(request, kept.mixture.weight)
        mixture = group(pool.data, kmeans(pool.start, chosen, request.seed)(pool.start), neighbours, kept)
    return _model(mixture, kept, pooled, len(voxels)), selection


def _levels(voxels: Mapping[str, Voxels]) -> pd.DataFrame:
    """Size of every case, and where its features lie and how far they spread."""
    import pandas as pd

    rows = {}
    for case, one in voxels.items():
        count = len(one.values)
        low, middle, high = np.percentile(one.values, [25, 50, 75], axis=0)
        rows[case] = {"voxels": count, "volume_ml": count * one.aligned.grid.voxel_ml}
        for n, name in enumerate(one.names):
            rows[case] |= {f"{name} median": middle[n], f"{name} spread": (high[n] - low[n]) / 1.349}
    table = pd.DataFrame.from_dict(rows, orient="index").astype({"voxels": int})
    return table.rename_axis("case")


def _tell_levels(levels: pd.DataFrame, names: Sequence[str]) -> None:
    """Warn where cases lie further apart than their own voxels do."""
    apart = [name for name in names if levels[f"{name} median"].std(ddof=0) > levels[f"{name} spread"].median()]
    said = ", ".join(name.removesuffix("/intensity.voxel") for name in apart)
    if apart:
        message = (
            f"levels of {said} differ more between cases than inside them: if scanners and not tumours "
            "make the difference, scale by case or prepare the images"
        )
        warnings.warn(message, ComouldWarning, stacklevel=4)


def _check_scaling(scaling: str) -> None:
    if scaling not in {"stored", "case"}:
        raise InputError(subject="scaling", expected="'stored' or 'case'", found=repr(scaling))


def _check_names(images: Mapping[str, sitk.Image], order: Sequence[str]) -> None:
    if order and set(images) != set(order):
        raise InputError(subject="images", expected=", ".join(order), found=", ".join(images))


def _check_cases(cases: Mapping[str, Case], scaling: str) -> None:
    _check_scaling(scaling)
    if len(cases) < LEAST_CASES:
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


def _voxels(
    name: str, case: Case, order: Sequence[str], request: Request, features: str | Sequence[str], scaling: ScalingRule
) -> Voxels:
    images, mask = case
    ordered = {key: images[key] for key in order}
    try:
        found = voxels_of(
            ordered, mask, features=features, radius_mm=request.radius_mm, bins=request.bins, without=request.without
        )
        check_enough(len(found.values), request, LEAST_VOXELS_PER_HABITAT, "voxels with features")
        if request.supervoxel_mm is not None:
            check_size(found.aligned, request.supervoxel_mm)
        if scaling == "case":
            Scaling.of(found.values, found.names)
    except InputError as error:
        raise type(error)(
            subject=f"case {name!r}, {error.subject}", expected=error.expected, found=error.found, remedy=error.remedy
        ) from error
    return found


def _model(mixture: Mixture, settings: ModelSettings, scaling: Scaling, cases: int) -> HabitatModel:
    """Order by the first feature's mean and keep what other cases need."""
    order = np.argsort(mixture.means[:, 0], kind="stable")
    return HabitatModel(settings, scaling, mixture.means[order], mixture.covariances[order], mixture.floor, cases)

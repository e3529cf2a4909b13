"""Whole label maps that could have been: every class with its number of spots and its own variogram."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.associate.nulls.checks import N_REFERENCE, doubts_about
from comould.associate.nulls.effective import FEWEST_EFFECTIVE, WORST_FIT, self_effective, variogram_distance
from comould.associate.nulls.fields import BATCH, gaussian_fields, generators, top
from comould.associate.nulls.places import IntArray, Places, branch, section_codes
from comould.associate.nulls.variogram import FieldModel, Pairs, fit_field, sample_pairs
from comould.errors import InputError
from comould.space import FloatArray

CodeArray = npt.NDArray[np.int16]
_N_CHECKED = 12


@dataclass(frozen=True, eq=False)
class LabelFit:
    """How well surrogate label maps imitate the real one, class by class in the order of ``names``.

    Parameters
    ----------
    names
        Of the classes, sorted.
    fractions
        ``(k,)`` share of the spots; the surrogates' is the same, exactly.
    order
        Classes in the order in which they were laid down; the last one is what is left.
    range_mm
        ``(k,)`` of the field each was cut from, among the spots then left; NaN for the last.
    variogram_distance
        ``(k,)`` of each class's indicator, as in :class:`~comould.associate.nulls.record.NullFit`.
    n_effective
        ``(k,)`` independent spots that each indicator is worth.
    refusal, doubts
        As in :class:`~comould.associate.nulls.record.NullFit`; doubts name their class.
    """

    names: tuple[str, ...]
    fractions: FloatArray
    order: tuple[str, ...]
    range_mm: FloatArray
    variogram_distance: FloatArray
    n_effective: FloatArray
    refusal: str = ""
    doubts: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain record."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class LabelSurrogates:
    """Surrogate label maps.

    Parameters
    ----------
    codes
        ``(n_surrogates, n_spots)``: numbers of the classes in ``fit.names``.
    observed
        ``(n_spots,)`` the map itself, coded alike.
    fit
        The record.
    """

    codes: CodeArray
    observed: CodeArray
    fit: LabelFit

    def __len__(self) -> int:
        return len(self.codes)


def make_label_null(
    labels: npt.ArrayLike,
    positions: npt.ArrayLike,
    sections: npt.ArrayLike | None = None,
    *,
    n: int = 999,
    seed: int | np.random.SeedSequence = 0,
) -> LabelSurrogates:
    """Make surrogates of a whole label map, for statistics of all classes at once (mutual information, Kruskal–Wallis).

    Parameters
    ----------
    labels
        ``(n_spots,)`` habitat of each spot, at least two; none missing.
    positions, sections
        As in :func:`~comould.associate.make_null`.
    n
        Surrogates.
    seed
        Same seed, same surrogates.

    Returns
    -------
    LabelSurrogates
        Codes, and the record of the fit.

    Raises
    ------
    InputError
        If shapes disagree, a label is missing, positions are not finite, or all labels are the same.

    Notes
    -----
    Sequential truncation: the smallest class takes the highest places of a stationary Gaussian field fitted to its
    indicator variogram; the next smallest those of another, independent field among the spots left, fitted to its
    indicator there; the largest class is what remains. Fractions are exact, indicator variograms match within the
    error of their fit. Not kept: which class borders on which, beyond what sizes and smoothness imply. Stationarity and
    isotropy are assumed as for ``kind="variogram"``.

    References
    ----------
    Chilès, J.-P. & Delfiner, P. (2012). Geostatistics, 2nd ed., ch. 7 (truncated and plurigaussian simulation).
    doi:10.1002/9781118136188
    """
    names, observed = _coded(labels)
    points = np.asarray(positions, dtype=np.float64)
    _check(observed, points, names, n)
    places = Places(points, section_codes(sections, len(observed)))
    pair_seed, draw_seed, check_seed = (branch(seed, number) for number in range(3))
    pairs = sample_pairs(points, places.groups, seed=pair_seed)
    order = np.argsort(np.bincount(observed), kind="stable")
    models = _fitted(observed, order, pairs)
    codes = np.full((n, len(observed)), order[-1], dtype=np.int16)
    for number, model in enumerate(models):
        earlier = order[:number]
        _lay_down(codes, int(order[number]), earlier, model, places, observed, branch(draw_seed, number))
    fit = _record(names, observed, codes, order, models, places, pairs, check_seed)
    return LabelSurrogates(codes, observed, fit)


def _coded(labels: npt.ArrayLike) -> tuple[tuple[str, ...], CodeArray]:
    array = np.asarray(labels)
    if array.ndim != 1 or pd.isna(array).any():
        raise InputError(
            subject="labels",
            expected="one of every spot, in a row",
            found=f"shape {array.shape}" if array.ndim != 1 else f"{int(pd.isna(array).sum())} missing",
            remedy="Leave spots without a label out",
        )
    names, codes = np.unique(array.astype(str), return_inverse=True)
    return tuple(map(str, names)), codes.astype(np.int16)


def _check(observed: CodeArray, positions: FloatArray, names: tuple[str, ...], n: int) -> None:
    problems = []
    if positions.ndim != 2 or positions.shape[1:] not in {(2,), (3,)} or len(positions) != len(observed):
        problems.append(f"positions have shape {positions.shape}, not ({len(observed)}, 2 or 3)")
    elif not np.isfinite(positions).all():
        problems.append("positions are not finite: leave those spots out")
    if len(names) < 2:
        problems.append(f"all spots have the label {names[0]}" if names else "there are no spots")
    if n < 1:
        problems.append(f"{n} surrogates asked for")
    if problems:
        raise InputError.collect(subject="null of labels", problems=problems)


def _fitted(observed: CodeArray, order: IntArray, pairs: Pairs) -> list[FieldModel]:
    """One field a class but the last, each fitted among the spots that earlier ones have left."""
    models, left = [], np.ones(len(observed), dtype=bool)
    for code in order[:-1]:
        member = (observed == code).astype(np.float64)
        among = within(pairs, left)
        models.append(fit_field(among if among.counts.any() else pairs, member, member[left]))
        left &= observed != code
    return models


def within(pairs: Pairs, keep: npt.NDArray[np.bool_]) -> Pairs:
    """Pairs of which both spots are kept; shares are of the pairs among those."""
    both = keep[pairs.first] & keep[pairs.second]
    lag = pairs.lag[both]
    counts = np.bincount(lag, minlength=len(pairs.counts)).astype(np.float64)
    share = pairs.share * counts / np.maximum(pairs.counts, 1)
    return replace(
        pairs,
        first=pairs.first[both],
        second=pairs.second[both],
        lag=lag,
        counts=counts,
        share=share / max(share.sum(), 1e-300),
    )


def _lay_down(
    codes: CodeArray,
    code: int,
    earlier: IntArray,
    model: FieldModel,
    places: Places,
    observed: CodeArray,
    seed: np.random.SeedSequence,
) -> None:
    """Give ``code`` to the highest places of a field that no earlier class has taken, in place."""
    centred = places.apart - places.apart.mean(axis=0)
    size = int((observed == code).sum())
    starts = range(0, len(codes), BATCH)
    for start, rng in zip(starts, generators(seed, len(starts)), strict=True):
        batch = codes[start : start + BATCH]
        field = np.empty(batch.shape, dtype=np.float32)
        gaussian_fields(model, centred, rng, field)
        field[np.isin(batch, earlier)] = -np.inf
        for row, latent in zip(batch, field, strict=True):
            row[top(latent, size)] = code


def _record(
    names: tuple[str, ...],
    observed: CodeArray,
    codes: CodeArray,
    order: IntArray,
    models: list[FieldModel],
    places: Places,
    pairs: Pairs,
    seed: np.random.SeedSequence,
) -> LabelFit:
    count = len(names)
    distance, effective, doubts = np.zeros(count), np.zeros(count), []
    for number, name in enumerate(names):
        member, maps = (observed == number).astype(np.float64), (codes[:N_REFERENCE] == number).astype(np.float32)
        imitated = pairs.normalised(pairs.mean_variogram(maps[:_N_CHECKED]))
        distance[number] = variogram_distance(pairs, pairs.normalised(pairs.variogram(member)), imitated)
        effective[number] = self_effective(maps)
        doubts += [f"{name}: {doubt}" for doubt in doubts_about(member, maps, places, branch(seed, number))]
    ranges = np.full(count, np.nan)
    ranges[order[:-1]] = [model.range_mm for model in models]
    return LabelFit(
        names=names,
        fractions=np.bincount(observed, minlength=count) / len(observed),
        order=tuple(names[code] for code in order),
        range_mm=ranges,
        variogram_distance=distance,
        n_effective=effective,
        refusal=_refusal(names, distance, effective),
        doubts=tuple(doubts),
    )


def _refusal(names: tuple[str, ...], distance: FloatArray, effective: FloatArray) -> str:
    if effective.max() < FEWEST_EFFECTIVE:
        return (
            f"no class is worth more than {effective.max():.1f} independent spots on this support, "
            f"{FEWEST_EFFECTIVE:g} needed: more sections, or a larger specimen, can tell"
        )
    if distance.max() > WORST_FIT:
        return (
            f"surrogates of {names[int(distance.argmax())]} vary with distance otherwise than it does (variogram "
            f"distance {distance.max():.2f}, at most {WORST_FIT:g}): merge it with a neighbour, or test it by itself"
        )
    return ""

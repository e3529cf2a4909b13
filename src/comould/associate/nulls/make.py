"""Maps that could have been: random, unrelated to any gene, but as smooth as the real one and with its histogram.

A null is made first, from the habitat map alone, and passed to the statistic. One set serves every gene.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from comould.associate.nulls.variogram import FieldModel, Pairs, fit_field, sample_pairs
from comould.errors import InputError
from comould.space import FloatArray

Kind = Literal["variogram", "shuffle"]
KINDS: tuple[Kind, ...] = ("variogram", "shuffle")
Float32Array = npt.NDArray[np.float32]

_BATCH = 200
_N_CHECKED = 12
_SECTION_GAP = 20.0


@dataclass(frozen=True, eq=False)
class NullFit:
    """What a null was made from, and how well it imitates the map.

    Parameters
    ----------
    kind
        ``"variogram"`` or ``"shuffle"``.
    n_surrogates
        Maps made.
    range_mm
        Distance at which the fitted smooth part's correlation falls to 0.05 (0 for ``shuffle``).
    smoothness, nugget
        Of the fitted latent field; see :class:`~comould.associate.nulls.variogram.FieldModel`.
    variogram_distance
        Root-mean-square relative difference between the map's variogram and the surrogates' mean one, over the lags
        that were fitted: 0 is perfect; the map itself is one draw, so 0.1 to 0.2 is usual for a smooth map.
    n_effective
        Number of independent spots that would give unrelated maps of this smoothness the same chance correlation.
    lags_mm, observed, imitated
        The two variograms, each divided by its mean over all pairs.
    refusal
        Why nothing can be tested with this null; empty when it can.
    doubts
        What makes its p-values doubtful, a clause each.
    """

    kind: Kind
    n_surrogates: int
    range_mm: float
    smoothness: float
    nugget: float
    variogram_distance: float
    n_effective: float
    lags_mm: FloatArray
    observed: FloatArray
    imitated: FloatArray
    refusal: str = ""
    doubts: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain record; an infinite smoothness reads ``"gaussian"``."""
        record = asdict(self)
        record["smoothness"] = "gaussian" if np.isinf(self.smoothness) else self.smoothness
        return record


@dataclass(frozen=True, eq=False)
class Surrogates:
    """Surrogate maps and the record of how they were made.

    Parameters
    ----------
    maps
        ``(n_surrogates, n_spots)`` float32. No rows for a null that is analytic.
    fit
        The record.
    scale
        ``(n_surrogates,)`` what a row's product with a feature of length 1 is divided by to be held against the map's
        own correlation; ``None`` takes the row's own length. For rows that cover a part of the spots only (moved
        maps): they are 0 where they say nothing, and centred where they say something.
    pairs
        Pairs of the support, for the analytic null alone.
    """

    maps: Float32Array
    fit: NullFit
    scale: FloatArray | None = None
    pairs: Pairs | None = None

    def __len__(self) -> int:
        return len(self.maps)


def make_null(
    values: npt.ArrayLike,
    positions: npt.ArrayLike,
    sections: npt.ArrayLike | None = None,
    *,
    kind: Kind = "variogram",
    n: int = 999,
    seed: int | np.random.SeedSequence = 0,
    pairs: Pairs | None = None,
) -> Surrogates:
    """Make surrogate maps of one map.

    Parameters
    ----------
    values
        ``(n_spots,)`` indicator (0/1) or continuous map; finite, not all equal. Surrogates are permutations of it:
        fractions and histogram stay.
    positions
        ``(n_spots, 3)`` patient mm: one field through all sections, so that neighbouring sections agree as they do in
        the patient. Or ``(n_spots, 2)``, mm or px in each section's own frame: sections are then taken as unrelated.
    sections
        ``(n_spots,)`` labels. Needed with two-dimensional positions of several sections; ``shuffle`` stays within.
    kind
        ``"variogram"``: a stationary isotropic Gaussian field (Matérn, nugget) fitted to the map's variogram through
        its own histogram, drawn by random Fourier features and given the map's values by rank.
        ``"shuffle"``: spots permuted, which forgets space. Naive; for comparison only.
    n
        Surrogates.
    seed
        Same seed, same surrogates, on any number of threads.
    pairs
        Of :func:`pairs_of` the same positions, to spare making them for each map anew.

    Returns
    -------
    Surrogates
        Maps and the record of the fit.

    Raises
    ------
    InputError
        If shapes disagree, values are not finite or all equal, or the kind is unknown.

    Notes
    -----
    Assumes that the map (or the gene) is stationary and isotropic: no direction and no place of the support is
    special. What a map with a trend across the whole support can tell is limited, and ``n_effective`` says so. The
    fitted variogram is itself an estimate; ``benchmarks/false_positive_rate.py`` measures what that costs.

    References
    ----------
    Viladomat, J. et al. (2014). Assessing the significance of global and local correlations under spatial
    autocorrelation. doi:10.1111/biom.12139. Burt, J. B. et al. (2020). doi:10.1016/j.neuroimage.2020.117038.
    Rahimi, A. & Recht, B. (2007). Random features for large-scale kernel machines. NeurIPS 20.
    """
    array, places = np.asarray(values, dtype=np.float64), np.asarray(positions, dtype=np.float64)
    codes = _section_codes(sections, len(array))
    _check(array, places, kind, n)
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    # Children are named, not spawned: a sequence used twice must give the same maps twice.
    pair_seed, draw_seed = (
        np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, branch)) for branch in (0, 1)
    )
    flat = places.shape[1] == 2
    pairs = pairs or sample_pairs(places, codes if flat else None, seed=pair_seed)
    if kind == "shuffle":
        model = FieldModel(np.inf, 0.0, 1.0)
        maps = _shuffled(array, codes, n, draw_seed)
    else:
        model = fit_field(pairs, array)
        apart = np.column_stack([places, codes * _SECTION_GAP * pairs.longest_mm]) if flat else places
        maps = _fields(model, apart, array, n, draw_seed)
    return Surrogates(maps, _record(kind, model, pairs, array, maps))


def pairs_of(
    positions: npt.ArrayLike, sections: npt.ArrayLike | None = None, *, seed: int | np.random.SeedSequence = 0
) -> Pairs:
    """Sort the pairs of a support into lags once, for all maps on it; parameters as in :func:`make_null`."""
    places = np.asarray(positions, dtype=np.float64)
    codes = _section_codes(sections, len(places))
    return sample_pairs(places, codes if places.shape[1] == 2 else None, seed=seed)


def _section_codes(sections: npt.ArrayLike | None, count: int) -> npt.NDArray[np.intp]:
    if sections is None:
        return np.zeros(count, dtype=np.intp)
    labels = np.asarray(sections)
    if labels.shape != (count,):
        raise InputError(subject="sections", expected=f"{count} labels, one a spot", found=f"shape {labels.shape}")
    return np.unique(labels.astype(str), return_inverse=True)[1]


def _check(values: FloatArray, positions: FloatArray, kind: str, n: int) -> None:
    problems = []
    if values.ndim != 1 or len(values) < 3:
        problems.append(f"the map has shape {values.shape}, not at least three spots in a row")
    if positions.ndim != 2 or positions.shape[1:] not in {(2,), (3,)} or len(positions) != len(values):
        problems.append(f"positions have shape {positions.shape}, not ({len(values)}, 2 or 3)")
    if not np.isfinite(values).all() or not np.isfinite(positions).all():
        problems.append("values or positions are not finite: leave those spots out")
    elif values.size and np.ptp(values) == 0:
        problems.append("the map is the same everywhere")
    if kind not in KINDS:
        problems.append(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    if n < 1:
        problems.append(f"{n} surrogates asked for")
    if problems:
        raise InputError.collect(subject="spatial null", problems=problems)


def _shuffled(values: FloatArray, codes: npt.NDArray[np.intp], n: int, seed: np.random.SeedSequence) -> Float32Array:
    rng = np.random.default_rng(seed)
    maps = np.empty((n, len(values)), dtype=np.float32)
    members = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    for row in maps:
        for spots in members:
            row[spots] = values[rng.permutation(spots)]
    return maps


def _fields(
    model: FieldModel, positions: FloatArray, values: FloatArray, n: int, seed: np.random.SeedSequence
) -> Float32Array:
    """Draw fields in batches, each with frequencies of its own, so that no set of frequencies leaves its mark."""
    maps = np.empty((n, len(values)), dtype=np.float32)
    centred = positions - positions.mean(axis=0)
    for start, child in zip(range(0, n, _BATCH), seed.spawn(-(-n // _BATCH)), strict=True):
        batch = maps[start : start + _BATCH]
        rng = np.random.default_rng(child)
        batch[:] = _ranked(_gaussian(model, centred, len(batch), rng), values)
    return maps


def _gaussian(model: FieldModel, positions: FloatArray, n: int, rng: np.random.Generator) -> Float32Array:
    # Enough frequencies that a batch's own covariance has the freedom of the field: about one a correlated patch.
    patches = np.prod(np.maximum(np.ptp(positions, axis=0) / max(model.scale_mm, 1e-12), 1.0))
    count = int(np.clip(patches, 256, 1024))
    frequencies = rng.standard_normal((count, positions.shape[1])) / model.scale_mm
    if np.isfinite(model.smoothness):
        freedom = 2 * model.smoothness
        frequencies *= np.sqrt(freedom / rng.chisquare(freedom, (count, 1)))
    phase = (positions @ frequencies.T).astype(np.float32)
    weights = rng.standard_normal((2, n, count), dtype=np.float32) * np.float32(np.sqrt((1 - model.nugget) / count))
    field = weights[0] @ np.cos(phase).T + weights[1] @ np.sin(phase).T
    if model.nugget > 0:
        field += np.float32(np.sqrt(model.nugget)) * rng.standard_normal(field.shape, dtype=np.float32)
    return field


def _ranked(fields: Float32Array, values: FloatArray) -> Float32Array:
    """Give each field the values by rank."""
    ordered = np.sort(values).astype(np.float32)
    levels, counts = np.unique(ordered, return_counts=True)
    if len(levels) == 2:
        threshold = np.partition(fields, counts[0] - 1, axis=1)[:, counts[0] - 1 : counts[0]]
        return np.where(fields > threshold, levels[1], levels[0])
    maps = np.empty_like(fields)
    np.put_along_axis(maps, fields.argsort(axis=1), np.broadcast_to(ordered, fields.shape), axis=1)
    return maps


def _record(kind: Kind, model: FieldModel, pairs: Pairs, values: FloatArray, maps: Float32Array) -> NullFit:
    observed = pairs.normalised(pairs.variogram(values))
    checked = np.array([pairs.variogram(row) for row in maps[:_N_CHECKED]])
    imitated = pairs.normalised(checked.mean(axis=0))
    use = pairs.fitted if pairs.fitted.any() else pairs.counts > 0
    relative = (observed[use] - imitated[use]) / np.maximum(imitated[use], 1e-2)
    return NullFit(
        kind=kind,
        n_surrogates=len(maps),
        range_mm=model.range_mm,
        smoothness=model.smoothness,
        nugget=model.nugget,
        variogram_distance=float(np.sqrt(np.mean(relative**2))),
        n_effective=_self_effective(maps),
        lags_mm=pairs.lags_mm,
        observed=observed,
        imitated=imitated,
    )


def _self_effective(maps: Float32Array, most: int = 120) -> float:
    some = maps[:most] - maps[:most].mean(axis=1, keepdims=True)
    some /= np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-30)
    chance = (some @ some.T)[np.triu_indices(len(some), 1)]
    if not len(chance):
        return float("nan")
    return float(min(1 + 1 / np.maximum(np.mean(chance.astype(np.float64) ** 2), 1e-12), maps.shape[1]))

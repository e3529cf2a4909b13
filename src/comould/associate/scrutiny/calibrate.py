"""What a test's false-positive rate really is on the user's own spots: with maps that are null because we drew them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from comould.associate.claims.feature_values import feature_values
from comould.associate.claims.options import ClaimOptions
from comould.associate.claims.products import Design, Prepared, against_features
from comould.associate.claims.spots import Spots
from comould.associate.claims.statistics import welch
from comould.associate.nulls import Kind, Surrogates, make_null, pairs_of
from comould.errors import ComouldWarning, InputError
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

NAIVE = "naive (Welch)"
_TOLERATED = 0.065
_LEVELS = (0.05, 0.01)
COLUMNS = (
    *("test", "habitat", "rate_05", "low", "high", "rate_01", "n_effective", "n_maps", "n_tests", "testable"),
    "verdict",
)


@dataclass(frozen=True, eq=False)
class _Ground:
    """What null maps are tested on: the user's spots and some of the user's genes."""

    spots: Spots
    options: ClaimOptions
    features: FloatArray
    pairs: Any
    kinds: tuple[Kind, ...]
    n_surrogates: int
    found: dict[str, list[FloatArray]] = field(default_factory=dict)


def calibrate(
    adata: AnnData,
    key: str = "habitat",
    *,
    kinds: Sequence[Kind] = ("variogram", "shift", "dutilleul"),
    n_maps: int = 100,
    n_genes: int = 100,
    n_surrogates: int = 199,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Measure how often each test claims a gene for a map that was drawn by chance, on these spots and these genes.

    For each habitat, maps are drawn that have its share of the spots and its smoothness, without looking at any gene;
    each is then tested, from the first step, against real genes of the sections. Whatever is found is false.

    Parameters
    ----------
    adata, key, options
        Spots, as for :func:`comould.associate.test`.
    kinds
        Nulls to be judged, see :func:`~comould.associate.make_null`; the naive test is judged beside them.
    n_maps
        Null maps, shared out among the habitats.
    n_genes
        Genes tested against each, drawn from those detected often enough.
    n_surrogates
        Of each test.
    seed
        Same seed, same table.
    progress
        Called with the fraction done.

    Returns
    -------
    DataFrame
        One row a test and habitat, and one a test over all habitats (``habitat`` "all"): ``rate_05`` (share of p ≤ 0.05
        among rows that could be tested) with its 95 % interval ``low``, ``high`` (maps, not genes, are the sample),
        ``rate_01``, ``n_effective`` (median), ``n_maps``, ``n_tests``, ``testable`` (share of rows) and ``verdict``:
        ``"holds"`` when the interval reaches down to 0.065 or less, else ``"too many"``.

    Raises
    ------
    InputError
        If spots cannot be tested at all, or fewer than two maps or one gene are asked for.

    Notes
    -----
    The maps are stationary Gaussian fields cut at the habitat's share: what a real habitat has beyond that (it follows
    the edge, or changes its grain across the specimen) is not imitated; the doubts a null raises of itself tell of it.
    """
    problems = [
        f"{name} {value} is below {least}"
        for name, value, least in (("n_maps", n_maps, 2), ("n_genes", n_genes, 1))
        if value < least
    ]
    if problems:
        raise InputError.collect(subject="calibration", problems=problems)
    settings = ClaimOptions.make(options)
    spots = Spots.of(adata, key, settings)
    usable = [number for number in range(len(spots.names)) if not spots.problem(number, settings)]
    if not usable:
        raise InputError(
            subject="calibration", expected="a habitat that can be tested", found=spots.problem(0, settings)
        )
    support, genes, *own = np.random.SeedSequence(seed).spawn(2 + len(usable))
    ground = _Ground(
        spots,
        settings,
        _some_genes(spots, settings, n_genes, genes),
        pairs_of(spots.positions, spots.sections, seed=support),
        tuple(kinds),
        n_surrogates,
    )
    shares = np.diff(np.linspace(0, n_maps, len(usable) + 1).round().astype(int))
    rows, parts, done = [], [], 0
    for number, count, seeds in zip(usable, shares, own, strict=True):
        found = []
        drawn, *tests = seeds.spawn(1 + int(count))
        maps = _null_maps(ground, number, int(count), drawn)
        for map_, child in zip(maps, tests, strict=True):
            found.append(_one_map(ground, map_, child))
            done += 1
            if progress is not None:
                progress(done / n_maps)
        parts += found
        rows += [_row(test, spots.names[number], found) for test in (NAIVE, *kinds)] if found else []
    rows = [_row(test, "all", parts) for test in (NAIVE, *kinds)] + rows
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _some_genes(spots: Spots, options: ClaimOptions, n: int, seed: np.random.SeedSequence) -> FloatArray:
    often = np.flatnonzero(np.diff(spots.expression.counts.indptr) >= options.min_detected)
    if not len(often):
        raise InputError(
            subject="calibration", expected=f"genes detected in {options.min_detected} spots or more", found="none"
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(often)[:n])
    return feature_values((("gene", str(spots.genes[gene])) for gene in chosen), spots, {})


def _null_maps(ground: _Ground, number: int, n: int, seed: np.random.SeedSequence) -> FloatArray:
    """Draw maps of one habitat's share and smoothness, without any gene."""
    spots = ground.spots
    if not n:
        return np.zeros((0, len(spots.maps)))
    made = make_null(spots.maps[:, number], spots.positions, spots.sections, n=n, seed=seed, pairs=ground.pairs)
    return made.maps.astype(np.float64)


def _one_map(
    ground: _Ground, map_: FloatArray, seed: np.random.SeedSequence
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """p-values and effective samples of every gene, test by test."""
    spots, options = ground.spots, ground.options
    blocks = spots.blocks(options)
    inside = (
        (map_ > np.median(map_)).astype(np.float64)
        if len(np.unique(map_)) > 2
        else (map_ == map_.max()).astype(np.float64)
    )
    design = Design.make(map_[:, None], blocks, inside[:, None])
    values = map_ - blocks.explained(map_)
    nothing = np.full(ground.features.shape[1], np.nan)
    found = {NAIVE: (welch(ground.features, inside[:, None])[0], nothing)}
    for kind, child in zip(ground.kinds, seed.spawn(len(ground.kinds)), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ComouldWarning)
            made = make_null(
                values,
                spots.positions,
                spots.sections,
                kind=kind,
                n=ground.n_surrogates,
                seed=child,
                pairs=ground.pairs,
            )
        found[kind] = (nothing, nothing) if made.fit.refusal else _p(ground, made, design)
    return found


def _p(ground: _Ground, made: Surrogates, design: Design) -> tuple[FloatArray, FloatArray]:
    chances, _ = against_features(ground.features, design, 0, Prepared.of(made, design, 0, in_place=True))
    with np.errstate(invalid="ignore"):
        p = np.where(chances.n_effective >= ground.options.min_effective, chances.p_spatial, np.nan)
    return p, chances.n_effective


def _row(test: str, habitat: str, found: list[dict[str, tuple[FloatArray, FloatArray]]]) -> dict[str, Any]:
    p = np.array([each[test][0] for each in found])
    effective = np.array([each[test][1] for each in found])
    tested = np.isfinite(p)
    with np.errstate(invalid="ignore"):
        rates = [float((p[tested] <= level).mean()) if tested.any() else np.nan for level in _LEVELS]
        by_map = np.array(
            [(row[known] <= _LEVELS[0]).mean() for row, known in zip(p, tested, strict=True) if known.any()]
        )
    low, high = _interval(rates[0], by_map, int(tested.sum()))
    known = np.isfinite(effective)
    return {
        "test": test,
        "habitat": habitat,
        "rate_05": rates[0],
        "low": low,
        "high": high,
        "rate_01": rates[1],
        "n_effective": float(np.median(effective[known])) if known.any() else np.nan,
        "n_maps": len(by_map),
        "n_tests": int(tested.sum()),
        "testable": float(tested.mean()),
        "verdict": "not testable" if not tested.any() else "holds" if low <= _TOLERATED else "too many",
    }


def _interval(rate: float, by_map: FloatArray, n_tests: int) -> tuple[float, float]:
    """Wilson interval with as many independent tests as the spread between maps leaves."""
    if len(by_map) < 2 or not np.isfinite(rate):
        return 0.0, 1.0
    spread = float(by_map.std(ddof=1) / np.sqrt(len(by_map)))
    independent = min(rate * (1 - rate) / spread**2, n_tests) if spread > 0 and 0 < rate < 1 else float(len(by_map))
    z = float(stats.norm.isf(0.025))
    middle = (rate + z**2 / (2 * independent)) / (1 + z**2 / independent)
    half = z / (1 + z**2 / independent) * np.sqrt(rate * (1 - rate) / independent + z**2 / (4 * independent**2))
    return float(max(middle - half, 0)), float(min(middle + half, 1))

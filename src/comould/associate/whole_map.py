# ruff: noqa: PT028 - ``test`` is the package's verb here, not a test of pytest's
"""Questions to whole maps: agreement with an annotation, and of several maps with expression as a whole.

The measures know no chance; :func:`against` holds any of them against maps that could have been.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2_contingency, entropy

from comould.associate.claims.blocks import Blocks
from comould.associate.components import features_of
from comould.associate.measures import distance_correlation, rv_coefficient
from comould.associate.nulls import LabelSurrogates, make_label_null, make_null
from comould.associate.support.kernel import sections_of
from comould.associate.support.sample import positions_of
from comould.errors import ComouldWarning, InputError
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

Multivariate = Literal["rv", "dcor"]
_MEASURES: dict[str, Callable[[FloatArray, FloatArray], float]] = {
    "rv": rv_coefficient,
    "dcor": lambda x, y: distance_correlation(x, y) ** 2,
}
_NAIVE = 199


@dataclass(frozen=True)
class WholeMapTest:
    """One whole-map statistic, held against chance.

    Parameters
    ----------
    map, against
        What was compared with what.
    measure
        ``"ami"``, ``"rv"`` or ``"dcor²"``.
    statistic
        Its value.
    p_spatial
        ``(1 + surrogates that reach it) / (n + 1)``; NaN where not testable.
    p_naive
        The same question with spots taken as independent: shown to be distrusted.
    null_mean, null_sd
        Of the statistic over surrogates.
    n_effective
        Independent spots that would leave as much to chance.
    n_spots, n_surrogates
        What it rests on.
    testable, reason
        Whether, and why not.
    """

    map: str
    against: str
    measure: str
    statistic: float
    p_spatial: float
    p_naive: float
    null_mean: float
    null_sd: float
    n_effective: float
    n_spots: int
    n_surrogates: int
    testable: bool
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain record, a row of a table."""
        return asdict(self)


def against(
    measure: Callable[[Any], float], observed: Any, surrogates: Iterable[Any]
) -> tuple[float, float, FloatArray]:
    """Hold a measure of one map against the same measure of surrogate maps.

    Parameters
    ----------
    measure
        Takes a map, gives a number: higher is more.
    observed
        The map.
    surrogates
        Maps that could have been, of the same form.

    Returns
    -------
    tuple
        The statistic; its one-sided p-value ``(1 + number that reach it) / (n + 1)``; the surrogates' values ``(n,)``.

    References
    ----------
    Phipson, B. & Smyth, G. K. (2010). doi:10.2202/1544-6115.1585.
    """
    statistic = measure(observed)
    chance = np.array([measure(each) for each in surrogates], dtype=np.float64)
    return statistic, _p(statistic, chance), chance


def test_annotation(
    adata: AnnData,
    key: str = "habitat",
    annotation: str = "annotation",
    *,
    null: LabelSurrogates | None = None,
    n_surrogates: int = 999,
    seed: int = 0,
    positions: str = "spatial_patient",
    section_key: str = "section",
) -> WholeMapTest:
    """Test whether habitats agree with an annotation, such as a pathologist's, more than unrelated smooth maps would.

    Parameters
    ----------
    adata
        Spots; left as they are. Those without habitat, annotation or position are left out.
    key, annotation
        Columns of ``obs`` with categories.
    null
        Surrogates made before of the spots with all three, in order; else
        :func:`~comould.associate.nulls.make_label_null` of the habitats.
    n_surrogates, seed
        Of the null.
    positions
        Key of ``obsm``, ``(n, 3)`` patient mm or ``(n, 2)`` within sections.
    section_key
        Column of ``obs`` that tells sections apart.

    Returns
    -------
    WholeMapTest
        Adjusted mutual information, with Pearson's χ² test as the naive one; ``n_effective`` from the spread under the
        null against that of shuffled spots (199).

    Raises
    ------
    InputError
        If a column or the positions are missing, or given surrogates are of other spots.
    """
    points = positions_of(adata, positions, (2, 3))
    columns = [_categories(adata, name) for name in (key, annotation)]
    used = np.isfinite(points).all(axis=1) & np.logical_and.reduce([column.notna().to_numpy() for column in columns])
    labels, given = (column[used].astype(str).to_numpy() for column in columns)
    names = {"map": key, "against": annotation, "measure": "ami", "n_spots": int(used.sum())}
    for name, values in ((key, labels), (annotation, given)):
        if len(np.unique(values)) < 2:
            return _untestable(names, f"{name} has fewer than two categories among the {len(values)} spots")
    sections = sections_of(adata, section_key)[used]
    made = null or make_label_null(labels, points[used], sections, n=n_surrogates, seed=seed)
    if made.codes.shape[1:] != labels.shape:
        raise InputError(
            subject="surrogates given", expected=f"maps of {len(labels)} spots", found=f"of {made.codes.shape[1:]}"
        )
    if made.fit.refusal:
        return _untestable(names, made.fit.refusal)
    for doubt in made.fit.doubts:
        warnings.warn(f"{key}: {doubt}: read its p-value with care", ComouldWarning, stacklevel=2)
    measure = _ami_with(given)
    statistic, p_spatial, chance = against(measure, labels, made.codes)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    shuffled = np.array([measure(rng.permutation(labels)) for _ in range(_NAIVE)])
    p_naive = float(chi2_contingency(pd.crosstab(labels, given).to_numpy(), correction=False).pvalue)
    effective = len(labels) * min(shuffled.std() / max(chance.std(), 1e-300), 1.0)
    return _tested(names, statistic, p_spatial, p_naive, chance, effective)


def test_multivariate(
    adata: AnnData,
    keys: Sequence[str],
    features: str | None = None,
    *,
    measure: Multivariate = "rv",
    n_components: int = 10,
    n_surrogates: int = 999,
    seed: int = 0,
    positions: str = "spatial_patient",
    **where: str,
) -> WholeMapTest:
    """Test whether several maps together go with expression as a whole.

    Parameters
    ----------
    adata
        Spots; left as they are. Those without a value of every map, or without counts or position, are left out.
    keys
        Columns of ``obs``: continuous maps, and categories (a column each).
    features
        Key of ``obsm`` with ``(n, q)`` finite features; else the first ``n_components`` principal components of the
        2,000 genes of highest variance of log expression, from raw counts.
    measure
        ``"rv"``, Robert and Escoufier's; or ``"dcor"``, the square of Székely's distance correlation, which sees any
        form of dependence and takes time that grows with the square of the spots, for every surrogate.
    n_components
        Of expression.
    n_surrogates, seed
        Of the null.
    positions
        As in :func:`test_annotation`.
    **where
        ``section_key`` (``"section"``) and ``layer`` (``""``) with the raw counts.

    Returns
    -------
    WholeMapTest
        With rows shuffled within sections (199) as the naive test; ``n_effective`` from the mean under the null against
        that of shuffled spots, which falls as one over their number.

    Raises
    ------
    InputError
        If a column, features or positions are missing, or maps do not vary.

    Notes
    -----
    Map columns and features are centred within sections, map columns scaled to variance 1. The surrogates are joint:
    the columns are turned to their principal components, which are uncorrelated; every component gets surrogates of its
    own (``kind="variogram"``), independent of the others'; and they are turned back. This keeps all correlations
    between columns at the same spot and every component's variogram and histogram, not the columns' own histograms,
    nor correlations between different columns at a distance.
    """
    if measure not in _MEASURES:
        raise InputError(subject="measure", expected="rv or dcor", found=repr(measure))
    if unknown := sorted(set(where) - {"section_key", "layer"}):
        raise InputError(subject="options", expected="section_key or layer", found=", ".join(unknown))
    points = positions_of(adata, positions, (2, 3))
    maps = _columns(adata, keys)
    table, known = features_of(adata, features, where.get("layer", ""))
    used = np.isfinite(points).all(axis=1) & np.isfinite(maps).all(axis=1) & known
    names = {
        "map": ", ".join(keys),
        "against": features or "expression",
        "measure": "dcor²" if measure == "dcor" else measure,
        "n_spots": int(used.sum()),
    }
    if used.sum() < 20:
        return _untestable(names, f"{int(used.sum())} spots with maps, features and position, 20 needed")
    sections = sections_of(adata, where.get("section_key", "section"))[used]
    blocks = Blocks(np.unique(sections, return_inverse=True)[1])
    y = np.asarray(blocks.centre(table(used)[:, : n_components if features is None else None]))
    x, components, turn = _turned(np.asarray(blocks.centre(maps[used])))
    if not components.shape[1]:
        return _untestable(names, "no map varies within sections")
    drawn = []
    for number, own in enumerate(np.random.SeedSequence(seed).spawn(components.shape[1])):
        made = make_null(components[:, number], points[used], sections, n=n_surrogates, seed=own)
        if made.fit.refusal:
            return _untestable(names, f"component {number + 1} of the maps: {made.fit.refusal}")
        drawn.append(made.maps)
    score = _MEASURES[measure]

    def value(candidate: FloatArray) -> float:
        return score(np.asarray(blocks.centre(candidate)), y)

    joint = (np.column_stack([maps_[row] for maps_ in drawn]).astype(np.float64) @ turn for row in range(n_surrogates))
    statistic, p_spatial, chance = against(value, x, joint)
    shuffled = np.array([value(x[order]) for order in _orders(blocks.codes, seed)])
    effective = len(x) * min(shuffled.mean() / max(chance.mean(), 1e-300), 1.0)
    return _tested(names, statistic, p_spatial, _p(statistic, shuffled), chance, effective)


def _p(statistic: float, chance: FloatArray) -> float:
    return float((1 + (chance >= statistic - 1e-12).sum()) / (len(chance) + 1))


def _tested(
    names: dict[str, Any], statistic: float, p_spatial: float, p_naive: float, chance: FloatArray, effective: float
) -> WholeMapTest:
    return WholeMapTest(
        **names,
        statistic=statistic,
        p_spatial=p_spatial,
        p_naive=p_naive,
        null_mean=float(chance.mean()),
        null_sd=float(chance.std(ddof=1)) if len(chance) > 1 else float("nan"),
        n_effective=float(effective),
        n_surrogates=len(chance),
        testable=True,
    )


def _untestable(names: dict[str, Any], reason: str) -> WholeMapTest:
    unknown: dict[str, Any] = dict.fromkeys(
        ("statistic", "p_spatial", "p_naive", "null_mean", "null_sd", "n_effective"), float("nan")
    )
    return WholeMapTest(**names, **unknown, n_surrogates=0, testable=False, reason=reason)


def _ami_with(annotation: npt.NDArray[np.str_]) -> Callable[[npt.ArrayLike], float]:
    """Make adjusted mutual information with one annotation; chance's share is found once for each set of fractions."""
    from sklearn.metrics import mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

    second = np.unique(annotation, return_inverse=True)[1]
    n_second, n = int(second.max()) + 1, len(second)
    known: dict[bytes, tuple[float, float]] = {}

    def ami(labels: npt.ArrayLike) -> float:
        """Measure one labelling."""
        first = np.unique(np.asarray(labels), return_inverse=True)[1]
        counts = np.bincount(first)
        if (key := counts.tobytes()) not in known:
            table = contingency_matrix(first, second, sparse=True).astype(np.int64)
            known[key] = (
                float(expected_mutual_information(table, n)),
                float(entropy(counts) + entropy(np.bincount(second))) / 2,
            )
        expected, most = known[key]
        joint = np.bincount(first * n_second + second, minlength=len(counts) * n_second).reshape(-1, n_second)
        shared = float(mutual_info_score(None, None, contingency=joint))
        return (shared - expected) / max(most - expected, 1e-300)

    return ami


def _categories(adata: AnnData, key: str) -> pd.Series:
    if key not in adata.obs:
        raise InputError(
            subject=f'categories obs["{key}"]',
            expected="a column of that name",
            found=f"only {', '.join(map(str, adata.obs.columns)) or 'none'}",
        )
    return adata.obs[key]


def _columns(adata: AnnData, keys: Sequence[str]) -> FloatArray:
    """Map columns ``(n, m)``, categories as indicators; NaN where a map has no value."""
    if isinstance(keys, str) or not keys:
        raise InputError(subject="keys of maps", expected="a list of columns of obs", found=f"{keys!r}")
    parts = []
    for key in keys:
        column = _categories(adata, key)
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            parts.append(column.to_numpy(dtype=np.float64)[:, None])
        else:
            codes = column.astype("category").cat.codes.to_numpy()
            indicators = (codes[:, None] == np.arange(codes.max() + 1)).astype(np.float64)
            indicators[codes < 0] = np.nan
            parts.append(indicators)
    return np.concatenate(parts, axis=1)


def _turned(centred: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Scale columns to variance 1 and turn them: the columns, their components, and the way back."""
    spread = centred.std(axis=0)
    x = centred[:, spread > 1e-9] / spread[spread > 1e-9]
    if not x.shape[1]:
        return x, x, np.zeros((0, 0))
    _, size, turn = np.linalg.svd(x, full_matrices=False)
    kept = size > 1e-6 * size[0]
    return x, x @ turn[kept].T, turn[kept]


def _orders(codes: npt.NDArray[np.intp], seed: int) -> Iterable[npt.NDArray[np.intp]]:
    """Shuffle spots within sections."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    inside = np.argsort(codes, kind="stable")
    for _ in range(_NAIVE):
        order = np.empty(len(codes), dtype=np.intp)
        order[inside] = np.lexsort((rng.random(len(codes)), codes))
        yield order

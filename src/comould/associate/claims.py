# ruff: noqa: PT028 - ``test`` is the package's verb here, not a test of pytest's
"""Test every habitat against every gene and gene set, and say beside it what a naive test would have claimed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.associate.nulls import Kind, Surrogates, make_null, pairs_of
from comould.associate.spots import ClaimOptions, Spots
from comould.associate.statistics import (
    Blocks,
    Design,
    Effects,
    benjamini_hochberg,
    feature_effects,
    gene_effects,
)
from comould.errors import ComouldWarning, InputError
from comould.io.output import plain, provenance
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["ClaimOptions", "make_nulls", "test"]

COLUMNS = (
    "feature",
    "kind",
    "habitat",
    "log2_fold_change",
    "statistic",
    "n_spots",
    "n_effective",
    "p_naive",
    "q_naive",
    "p_spatial",
    "q_spatial",
    "testable",
    "reason",
)
_NULL_SHARE = 0.6
_POOR_FIT = 0.5


def test(
    adata: AnnData,
    key: str = "habitat",
    *,
    genesets: Mapping[str, Iterable[str]] | None = None,
    null: Kind | Mapping[str, Surrogates] = "variogram",
    n_surrogates: int = 999,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Test each habitat, one against the rest, for every gene and gene set, with a null that knows maps are smooth.

    Parameters
    ----------
    adata
        Spots with raw counts, habitats and positions. Only ``uns`` is written to.
    key
        Column of ``obs``: habitats (:func:`~comould.associate.sample`), any annotation, or a continuous map
        (:func:`~comould.associate.sample_map`), whose spots above its median then serve as "inside".
    genesets
        Name to gene names: of :func:`~comould.associate.genesets`, :func:`~comould.associate.read_gmt` or your own. A
        set's score is the mean of its genes' z-scored log expression, its fold change the mean of theirs.
    null
        Kind of surrogates, see :func:`~comould.associate.make_null`, or those of
        :func:`~comould.associate.make_nulls` made before.
    n_surrogates
        Surrogate maps of each habitat.
    seed
        Same seed, same table.
    progress
        Called with the fraction done, 0 to 1.
    **options
        As in :class:`~comould.associate.ClaimOptions`: ``section_key``, ``positions``, ``layer``,
        ``within_sections``, ``min_spots``, ``min_detected``, ``min_effective``, ``min_coverage``, ``chunk``.

    Returns
    -------
    DataFrame
        One row per feature and habitat, smallest ``p_spatial`` first: ``feature``, ``kind`` (``gene`` or ``geneset``),
        ``habitat``, ``log2_fold_change`` (pseudobulk), ``statistic`` (correlation of habitat and log expression within
        sections), ``n_spots`` (in the habitat), ``n_effective`` (independent spots that would leave as much to
        chance), ``p_naive``, ``q_naive`` (Welch's t-test over spots: shown to be distrusted), ``p_spatial``,
        ``q_spatial`` (Benjamini–Hochberg over all testable rows of a kind), ``testable`` and ``reason`` (why not).
        ``attrs`` and ``uns["comould"]["test"]`` hold options, seed, versions and each null's own fit.

    Warns
    -----
    ComouldWarning
        If genes of a set are missing, spots are left out, or a surrogate fits its habitat badly.

    Raises
    ------
    InputError
        If positions, habitats or raw counts are missing or wrong, there is one habitat only, or gene names repeat.

    Notes
    -----
    A small p-value says that habitat and gene agree more than unrelated maps of this smoothness do *in this
    specimen*. It does not say why, nor that another patient would agree: the patient is the unit across patients.
    """
    settings = ClaimOptions.make(options)
    tell = progress or (lambda _fraction: None)
    spots = Spots.of(adata, key, settings)
    problems = [spots.problem(number, settings) for number in range(len(spots.names))]
    if isinstance(null, Mapping):
        nulls = _given(null, spots, problems)
    else:
        nulls = _made(spots, problems, null, n_surrogates, seed, lambda share: tell(_NULL_SHARE * share))
    _warn_of_poor_fits(nulls)
    blocks = Blocks(spots.sections if settings.within_sections else np.zeros_like(spots.sections))
    surrogates = [nulls[name].maps if name in nulls else None for name in spots.names]
    design = Design.make(spots.maps, surrogates, blocks, spots.inside)
    sets = _members(genesets or {}, spots, settings)
    weights = np.column_stack([weight for weight, _ in sets.values()]) if sets else np.zeros((len(spots.genes), 0))
    genes, detected, scores = gene_effects(
        spots.expression,
        design,
        chunk=settings.chunk,
        weights=weights,
        progress=lambda share: tell(_NULL_SHARE + (1 - _NULL_SHARE) * share),
    )
    scored = feature_effects(scores, design)
    scored.log2_fold_change[:] = genes.log2_fold_change @ weights
    gene_reasons = [_gene_problem(int(count), settings) for count in detected]
    table = _rows("gene", spots.genes, genes, gene_reasons, spots, problems, settings)
    if sets:
        set_reasons = [reason for _, reason in sets.values()]
        rows = _rows("geneset", list(sets), scored, set_reasons, spots, problems, settings)
        table = pd.concat([table, rows], ignore_index=True)
    table = table.sort_values(["p_spatial", "p_naive", "feature", "habitat"], ignore_index=True, kind="stable")
    record = _record(settings, key, null, seed, spots, nulls, genesets or {})
    table.attrs.update(plain(record))
    _remember(adata, record)
    tell(1.0)
    return table


def make_nulls(
    adata: AnnData,
    key: str = "habitat",
    *,
    kind: Kind = "variogram",
    n_surrogates: int = 999,
    seed: int = 0,
    **options: Any,
) -> dict[str, Surrogates]:
    """Make the surrogates that :func:`test` would make: habitat to its maps, over the spots that can be tested.

    Parameters are those of :func:`test`. Habitats that cannot be tested have no entry.
    """
    settings = ClaimOptions.make(options)
    spots = Spots.of(adata, key, settings)
    problems = [spots.problem(number, settings) for number in range(len(spots.names))]
    return _made(spots, problems, kind, n_surrogates, seed, lambda _share: None)


def _made(
    spots: Spots, problems: list[str], kind: Kind, n: int, seed: int, tell: Callable[[float], None]
) -> dict[str, Surrogates]:
    support, *seeds = np.random.SeedSequence(seed).spawn(len(spots.names) + 1)
    pairs = pairs_of(spots.positions, spots.sections, seed=support)
    made = {}
    for number, (name, own) in enumerate(zip(spots.names, seeds, strict=True)):
        if not problems[number]:
            made[name] = make_null(
                spots.maps[:, number], spots.positions, spots.sections, kind=kind, n=n, seed=own, pairs=pairs
            )
        tell((number + 1) / len(spots.names))
    return made


def _given(nulls: Mapping[str, Surrogates], spots: Spots, problems: list[str]) -> dict[str, Surrogates]:
    needed = [name for name, problem in zip(spots.names, problems, strict=True) if not problem]
    wrong = [
        f"{name} has surrogates of {nulls[name].maps.shape[1]} spots, not {len(spots.maps)}"
        if name in nulls
        else f"{name} has none"
        for name in needed
        if name not in nulls or nulls[name].maps.shape[1:] != (len(spots.maps),)
    ]
    if wrong:
        raise InputError.collect(
            subject="surrogates given", problems=wrong, remedy="Make them with make_nulls and the same options"
        )
    return {name: nulls[name] for name in needed}


def _warn_of_poor_fits(nulls: Mapping[str, Surrogates]) -> None:
    for name, made in nulls.items():
        if made.fit.kind != "shuffle" and made.fit.variogram_distance > _POOR_FIT:
            warnings.warn(
                f"{name}: its surrogates vary with distance otherwise than the habitat does (variogram distance "
                f"{made.fit.variogram_distance:.2f}): read its p-values with care",
                ComouldWarning,
                stacklevel=3,
            )


def _members(
    genesets: Mapping[str, Iterable[str]], spots: Spots, options: ClaimOptions
) -> dict[str, tuple[FloatArray, str]]:
    """Weights over genes (summing to 1) and, where it cannot be tested, the reason, for every set."""
    members = {}
    for name, listed in genesets.items():
        genes = tuple(dict.fromkeys(map(str, listed)))
        there = np.flatnonzero(spots.genes.isin(genes))
        missing = tuple(gene for gene in genes if gene not in spots.genes)
        weight = np.zeros(len(spots.genes))
        weight[there] = 1 / max(len(there), 1)
        reason = ""
        if not genes:
            reason = "the set is empty"
        elif len(there) < options.min_coverage * len(genes):
            reason = f"{len(there)} of its {len(genes)} genes measured{spots.hint(missing)}"
        if missing:
            warnings.warn(
                f"gene set {name}: {len(missing)} of {len(genes)} genes are not measured: {', '.join(missing)}",
                ComouldWarning,
                stacklevel=4,
            )
        members[str(name)] = (weight, reason)
    return members


def _gene_problem(detected: int, options: ClaimOptions) -> str:
    if not detected:
        return "no counts"
    return f"detected in {detected} spots, {options.min_detected} needed" if detected < options.min_detected else ""


def _rows(
    kind: str,
    names: Iterable[Any],
    effects: Effects,
    reasons: list[str],
    spots: Spots,
    problems: list[str],
    options: ClaimOptions,
) -> pd.DataFrame:
    features = [str(name) for name in names]
    n_maps, n_features = effects.statistic.shape
    reason = np.array([[map_ or own for own in reasons] for map_ in problems], dtype=object).reshape(n_maps, n_features)
    p_spatial, p_naive = effects.p_spatial.copy(), effects.p_naive.copy()
    _note(reason, np.isnan(p_spatial), "does not vary within sections")
    with np.errstate(invalid="ignore"):
        few = effects.n_effective < options.min_effective
    for row, column in zip(*np.nonzero(few & (reason == "")), strict=True):
        found = effects.n_effective[row, column]
        reason[row, column] = f"{found:.1f} effective samples, {options.min_effective:g} needed: too smooth to tell"
    testable = reason == ""
    p_spatial[~testable] = np.nan
    p_naive[[bool(problem) for problem in problems]] = np.nan
    return pd.DataFrame(
        {
            "feature": np.tile(np.array(features, dtype=object), n_maps),
            "kind": kind,
            "habitat": np.repeat(np.array(spots.names, dtype=object), n_features),
            "log2_fold_change": effects.log2_fold_change.ravel(),
            "statistic": effects.statistic.ravel(),
            "n_spots": np.repeat(spots.inside.sum(axis=0).astype(int), n_features),
            "n_effective": effects.n_effective.ravel(),
            "p_naive": p_naive.ravel(),
            "q_naive": benjamini_hochberg(p_naive.ravel()),
            "p_spatial": p_spatial.ravel(),
            "q_spatial": benjamini_hochberg(p_spatial.ravel()),
            "testable": testable.ravel(),
            "reason": reason.ravel(),
        },
        columns=list(COLUMNS),
    )


def _note(reason: npt.NDArray[np.object_], where: npt.NDArray[np.bool_], text: str) -> None:
    reason[where & (reason == "")] = text


def _record(
    settings: ClaimOptions,
    key: str,
    null: Kind | Mapping[str, Surrogates],
    seed: int,
    spots: Spots,
    nulls: Mapping[str, Surrogates],
    genesets: Mapping[str, Iterable[str]],
) -> dict[str, Any]:
    measured = set(map(str, spots.genes))
    record = provenance(
        parameters={"key": key, "null": null if isinstance(null, str) else "given", **asdict(settings)},
        seed=seed,
        libraries=("scipy", "pandas", "anndata"),
    )
    record["n_spots"], record["n_spots_left_out"] = len(spots.maps), int((~spots.used).sum())
    record["nulls"] = {name: made.fit.to_dict() for name, made in nulls.items()}
    record["genesets"] = {
        str(name): {
            "n_genes": len(set(map(str, genes))),
            "missing": [gene for gene in dict.fromkeys(map(str, genes)) if gene not in measured],
            **{word: value for word in ("doi", "version") if (value := getattr(genes, word, ""))},
        }
        for name, genes in genesets.items()
    }
    return record


def _remember(adata: AnnData, record: dict[str, Any]) -> None:
    if adata.is_view:
        return
    note = dict(adata.uns.get("comould", {}))
    note["test"] = _storable(record)
    adata.uns["comould"] = note


def _storable(value: Any) -> Any:
    """Reduce to what an h5ad file holds: no ``None``, lists as arrays, no slash in a key."""
    if isinstance(value, Mapping):
        return {str(k).replace("/", "|"): _storable(item) for k, item in value.items() if item is not None}
    return np.asarray(value) if isinstance(value, list | tuple) else value

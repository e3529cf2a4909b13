# ruff: noqa: PT028 - ``test`` is the package's verb here, not a test of pytest's
"""Test every habitat against every gene and gene set, and say beside it what a naive test would have claimed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from comould.associate.claims.members import Members
from comould.associate.claims.options import ClaimOptions
from comould.associate.claims.products import see
from comould.associate.claims.run import Run, Source
from comould.associate.claims.spots import Spots
from comould.associate.claims.table import rows_of
from comould.associate.nulls import Kind, NullFit, Surrogates
from comould.errors import ComouldWarning
from comould.io.output import plain, provenance

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["make_nulls", "test"]

_SEEN_SHARE = 0.1
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
        set's score is the mean of its genes' z-scored log expression, its fold change the mean of theirs. Sets get two
        p-values from the same surrogates, which keep co-expression and smoothness: ``p_spatial`` (self-contained: does
        the set follow the habitat?) and ``p_competitive`` (do its genes follow it more than all other genes do?).
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
        As in :class:`~comould.associate.ClaimOptions`: ``section_key``, ``positions``, ``layer``, ``statistic``,
        ``covariates``, ``within_sections``, ``min_spots``, ``min_detected``, ``min_effective``, ``min_coverage``,
        ``chunk``.

    Returns
    -------
    DataFrame
        One row per feature and habitat, smallest ``p_spatial`` first: ``feature``, ``kind`` (``gene`` or ``geneset``),
        ``habitat``, ``log2_fold_change`` (pseudobulk), ``statistic`` (correlation of habitat and log expression within
        sections, given the covariates), ``n_spots`` (in the habitat), ``n_effective`` (independent spots that would
        leave as much to chance), ``p_naive``, ``q_naive`` (Welch's t-test over spots: to be distrusted), ``p_spatial``,
        ``q_spatial`` (Benjamini–Hochberg over all testable rows of a kind), ``p_max_t`` (family-wise: Westfall & Young
        1993, the largest standardised statistic of each surrogate over all testable rows of the kind),
        ``p_competitive``, ``q_competitive``, ``testable`` and ``reason`` (why not).
        ``attrs`` and ``uns["comould"]["test"]`` hold options, seed, versions and each null's own fit.

    Warns
    -----
    ComouldWarning
        If genes of a set are missing, spots are left out, or a null doubts itself.

    Raises
    ------
    InputError
        If positions, habitats or raw counts are missing or wrong, there is one habitat only, or gene names repeat.

    Notes
    -----
    A small p-value says that habitat and gene agree more than unrelated maps of this smoothness do *in this
    specimen*, beyond what the covariates explain. It does not say why, nor that another patient would agree: the
    patient is the unit across patients.
    """
    settings = ClaimOptions.make(options)
    tell = progress or (lambda _fraction: None)
    spots = Spots.of(adata, key, settings)
    members = Members.of(genesets or {}, spots.genes, settings)
    run = Run(spots, settings, members)
    seen = see(
        spots.expression,
        run.design,
        members=members.inside,
        chunk=settings.chunk,
        progress=lambda share: tell(_SEEN_SHARE * share),
    )
    source = Source(run, null, n_surrogates, seed)
    fits = run.hold_against(seen, source, lambda share: tell(_SEEN_SHARE + (1 - _SEEN_SHARE) * share))
    _warn_of_doubts(fits)
    table = pd.concat([rows_of(part, spots, run.problems, settings) for part in run.found(seen)], ignore_index=True)
    table = table.sort_values(["p_spatial", "p_naive", "feature", "habitat"], ignore_index=True, kind="stable")
    record = _record(settings, key, null, seed, run, fits)
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
    run = Run(spots, settings, Members.of({}, spots.genes, settings))
    source = Source(run, kind, n_surrogates, seed)
    return {name: source.make(number) for number, name in enumerate(spots.names) if not run.problems[number]}


def _warn_of_doubts(fits: Mapping[str, NullFit]) -> None:
    for name, fit in fits.items():
        doubts = list(fit.doubts)
        if fit.kind == "variogram" and fit.variogram_distance > _POOR_FIT:
            doubts.append(
                "its surrogates vary with distance otherwise than the habitat does (variogram distance "
                f"{fit.variogram_distance:.2f})"
            )
        if doubts and not fit.refusal and fit.kind != "shuffle":
            warnings.warn(f"{name}: {'; '.join(doubts)}: read its p-values with care", ComouldWarning, stacklevel=3)


def _record(
    settings: ClaimOptions,
    key: str,
    null: Kind | Mapping[str, Surrogates],
    seed: int,
    run: Run,
    fits: Mapping[str, NullFit],
) -> dict[str, Any]:
    record = provenance(
        parameters={"key": key, "null": null if isinstance(null, str) else "given", **asdict(settings)},
        seed=seed,
        libraries=("scipy", "pandas", "anndata"),
    )
    record["n_spots"], record["n_spots_left_out"] = len(run.spots.maps), int((~run.spots.used).sum())
    record["nulls"] = {name: fit.to_dict() for name, fit in fits.items()}
    record["genesets"] = dict(run.members.records)
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

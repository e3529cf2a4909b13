"""One number per spot for every gene set: our mean of z-scores, or the method of another package."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from comould.associate.claims.normalise import TARGET_COUNTS, raw_counts
from comould.associate.claims.statistics import z_scores
from comould.associate.sets.gene_sets import Resolved, resolve
from comould.associate.sets.symbols import missing_hint
from comould.associate.support.sample import writable
from comould.errors import ComouldWarning, InputError
from comould.io.output import provenance
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

Method = Literal["mean", "scanpy", "ulm", "aucell"]
METHODS: tuple[Method, ...] = ("mean", "scanpy", "ulm", "aucell")
_TILE = 64


def score(
    adata: AnnData,
    genesets: Mapping[str, Iterable[str]],
    *,
    method: Method = "mean",
    key_added: str = "score",
    layer: str = "",
    seed: int = 0,
) -> None:
    """Write a score of every gene set at every spot.

    Parameters
    ----------
    adata
        Spots with raw counts; changed in place.
    genesets
        Name to genes: of :func:`~comould.associate.genesets`, :func:`~comould.associate.read_gmt` or your own. Genes
        that the table has under an alias are found.
    method
        ``"mean"``: the mean of the genes' z-scored ``log(1 + counts per 10,000)`` over the spots of this table, the
        score :func:`comould.associate.test` tests. ``"scanpy"``: :func:`scanpy.tl.score_genes`, the mean less that of
        random genes of like expression. ``"ulm"``, ``"aucell"``: decoupler's univariate linear model and AUCell, which
        need the extra ``comould[decoupler]``.
    key_added
        Name of what is written.
    layer
        Layer with the raw counts; ``""`` takes ``X``.
    seed
        For the control genes of ``"scanpy"``; the others are free of chance.

    Returns
    -------
    None
        Written: ``obsm[key_added]``, table ``(n_obs, n_sets)`` of float64, NaN for spots without counts and for sets
        of which no gene is measured; ``obs[f"{key_added}_{name}"]``, the same by column, to be tested or drawn;
        ``uns["comould"][key_added]``, method, versions, and genes found and missing by set.

    Warns
    -----
    ComouldWarning
        If genes of a set are missing, with their names.

    Raises
    ------
    InputError
        If counts are not raw, the method is unknown or its package not installed, or no gene of any set is measured.

    Notes
    -----
    Scores are relative to the spots of this table: they compare places in it, not tables.

    References
    ----------
    Tirosh, I. et al. (2016), doi:10.1126/science.aad0501 (``scanpy``). Badia-i-Mompel, P. et al. (2022),
    doi:10.1093/bioadv/vbac016 (``ulm``). Aibar, S. et al. (2017), doi:10.1038/nmeth.4463 (``aucell``).
    """
    writable(adata)
    if method not in METHODS:
        raise InputError(subject="scoring method", expected=f"one of {', '.join(METHODS)}", found=repr(method))
    sets = _resolved(genesets, adata.var_names)
    counts = raw_counts(adata.layers[layer] if layer else adata.X, f"counts in {layer or 'X'}")
    library = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    known = library > 0
    measured = {name: parts.found for name, parts in sets.items() if parts.found}
    if method == "mean":
        scores = _mean(counts[known], library[known], measured, adata.var_names)
    else:
        logged = _logged(adata, counts[known], library[known], known)
        scores = _by_scanpy(logged, measured, seed) if method == "scanpy" else _by_decoupler(logged, measured, method)
    table = pd.DataFrame(np.nan, index=adata.obs_names, columns=[_storable(name) for name in sets])
    for name in measured:
        table.loc[known, _storable(name)] = scores[name].to_numpy(dtype=np.float64)
    adata.obsm[key_added] = table
    for name in map(str, table.columns):
        adata.obs[f"{key_added}_{name}"] = table[name].to_numpy()
    _note(adata, key_added, sets, method, seed)


def _resolved(genesets: Mapping[str, Iterable[str]], names: pd.Index) -> dict[str, Resolved]:
    if not names.is_unique:
        twice = names[names.duplicated()].unique()
        raise InputError(
            subject="gene names",
            expected="each once",
            found=f"{len(twice)} more than once, such as {', '.join(map(str, twice[:3]))}",
            remedy="Sum their counts or call adata.var_names_make_unique()",
        )
    listed = {str(name): tuple(genes) for name, genes in genesets.items()}
    there = frozenset(map(str, names))
    sets = {str(name): resolve(genes, there) for name, genes in genesets.items()}
    every = tuple(gene for parts in sets.values() for gene in parts.missing)
    if not any(parts.found for parts in sets.values()):
        raise InputError(
            subject="gene sets to score",
            expected="at least one gene among those measured",
            found=f"none of {len(every)}{missing_hint(names, every)}",
        )
    for name, parts in sets.items():
        if parts.missing:
            warnings.warn(
                f"gene set {name}: {len(parts.missing)} of {len(dict.fromkeys(listed[name]))} genes are not measured: "
                f"{', '.join(parts.missing)}",
                ComouldWarning,
                stacklevel=4,
            )
    return sets


def _mean(counts: Any, library: FloatArray, sets: Mapping[str, tuple[str, ...]], names: pd.Index) -> pd.DataFrame:
    used = names.get_indexer(pd.Index(dict.fromkeys(gene for genes in sets.values() for gene in genes)))
    weights = np.column_stack([names[used].isin(genes) / len(genes) for genes in sets.values()])
    logged = _log(counts[:, used], library).tocsc()
    scores = np.zeros((len(library), len(sets)))
    for low in range(0, len(used), _TILE):
        scores += z_scores(logged[:, low : low + _TILE].toarray()) @ weights[low : low + _TILE]
    return pd.DataFrame(scores, columns=list(sets))


def _log(counts: Any, library: FloatArray) -> Any:
    """Log-normalised counts, as sparse as the raw ones."""
    from scipy import sparse

    matrix = sparse.csr_matrix(sparse.diags_array(TARGET_COUNTS / library) @ counts)
    matrix.data = np.log1p(matrix.data)
    return matrix


def _logged(adata: AnnData, counts: Any, library: FloatArray, known: np.ndarray) -> AnnData:
    """Make a table of its own with log-normalised counts."""
    from anndata import AnnData as Table

    matrix = _log(counts, library)
    return Table(matrix, obs=pd.DataFrame(index=adata.obs_names[known]), var=pd.DataFrame(index=adata.var_names))


def _by_scanpy(logged: AnnData, sets: Mapping[str, tuple[str, ...]], seed: int) -> pd.DataFrame:
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for name, genes in sets.items():
            try:
                sc.tl.score_genes(logged, list(genes), score_name=name, random_state=seed)
            except RuntimeError as error:
                raise InputError(
                    subject=f"gene set {name}",
                    expected="other genes of like expression, as control",
                    found=f"too few among {logged.n_vars}",
                    remedy='Give the whole transcriptome, or use method="mean"',
                ) from error
    return logged.obs[list(sets)]


def _by_decoupler(logged: AnnData, sets: Mapping[str, tuple[str, ...]], method: str) -> pd.DataFrame:
    try:
        import decoupler
    except ImportError as error:
        raise InputError(
            subject=f"scoring method {method!r}",
            expected="the package decoupler (2 or later)",
            found=str(error),
            remedy='Install it with pip install "comould[decoupler]", or use method="mean"',
        ) from error
    if not hasattr(decoupler, "mt"):
        raise InputError(
            subject=f"scoring method {method!r}",
            expected="decoupler 2 or later",
            found=f"version {getattr(decoupler, '__version__', 'unknown')}",
            remedy='Install it with pip install "comould[decoupler]"',
        )
    pairs = [(name, gene, 1.0) for name, genes in sets.items() for gene in genes]
    net = pd.DataFrame(pairs, columns=["source", "target", "weight"])
    getattr(decoupler.mt, method)(logged, net, tmin=1, empty=False)
    return logged.obsm[f"score_{method}"].reindex(columns=list(sets))


def _storable(name: str) -> str:
    """Name without a slash, which an h5ad file reads as a folder."""
    return name.replace("/", "|")


def _note(adata: AnnData, key: str, sets: Mapping[str, Resolved], method: str, seed: int) -> None:
    libraries = {"scanpy": ("scanpy",), "ulm": ("decoupler",), "aucell": ("decoupler",)}.get(method, ())
    record = provenance(parameters={"method": method}, seed=seed, libraries=libraries)
    record["genesets"] = {
        _storable(name): {"found": np.array(parts.found, dtype=str), "missing": np.array(parts.missing, dtype=str)}
        for name, parts in sets.items()
    }
    note = dict(adata.uns.get("comould", {}))
    note[key] = record
    adata.uns["comould"] = note

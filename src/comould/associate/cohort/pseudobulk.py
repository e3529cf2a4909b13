"""Pseudobulk: the counts of all spots of one patient in one habitat, added up."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from comould.associate.claims.normalise import raw_counts
from comould.errors import ComouldWarning, InputError
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

PRIOR_COUNT = 0.5


def pseudobulk(
    adata: AnnData, by: Sequence[str] = ("patient", "habitat"), *, min_spots: int = 20, layer: str = ""
) -> AnnData:
    """Add up raw counts over the spots of each group.

    Parameters
    ----------
    adata
        Spots of all patients with raw counts.
    by
        Columns of ``obs`` whose combinations make the groups; spots without one of them are left out.
    min_spots
        Groups with fewer spots are left out: their sums are mostly chance.
    layer
        Layer with the raw counts; ``""`` is ``X``.

    Returns
    -------
    AnnData
        A row a group, named by its values joined with ``|``; ``X`` summed counts (sparse, float64); ``obs`` the
        columns of ``by``, ``n_spots``, ``n_counts``, and every other column that is the same all through each group
        (a centre). ``uns["comould"]["pseudobulk"]`` says how.

    Warns
    -----
    ComouldWarning
        If groups are left out, with their number.

    Raises
    ------
    InputError
        If a column is missing, counts are not raw, or no group has enough spots.
    """
    from anndata import AnnData

    by = list(by)
    _check(adata, by, min_spots, layer)
    counts = raw_counts(adata.layers[layer] if layer else adata.X, f"counts in {layer or 'X'}").tocsr()
    known = adata.obs[by].notna().all(axis=1).to_numpy()
    keys = pd.MultiIndex.from_frame(adata.obs.loc[known, by].astype(str))
    codes, groups = pd.factorize(keys, sort=True)
    sizes = np.bincount(codes, minlength=len(groups))
    kept = np.flatnonzero(sizes >= min_spots)
    if not len(kept):
        raise InputError(
            subject="pseudobulk", expected=f"a group of {' and '.join(by)} with {min_spots} spots",
            found=f"{sizes.max(initial=0)} at most",
        )  # fmt: skip
    if len(kept) < len(groups):
        warnings.warn(
            f"{len(groups) - len(kept)} of {len(groups)} groups have fewer than {min_spots} spots and are left out",
            ComouldWarning,
            stacklevel=2,
        )
    member = sp.csr_array((np.ones(len(codes)), (codes, np.flatnonzero(known))), shape=(len(groups), adata.n_obs))
    sums = sp.csr_matrix((member @ counts)[kept])
    obs = _obs(adata.obs[known], codes, kept, by)
    obs["n_spots"], obs["n_counts"] = sizes[kept], np.asarray(sums.sum(axis=1)).ravel()
    obs.index = pd.Index(["|".join(values) for values in obs[by].astype(str).to_numpy()])
    bulk = AnnData(sums, obs=obs, var=adata.var.copy())
    bulk.uns["comould"] = {"pseudobulk": {"by": by, "min_spots": min_spots, "layer": layer or "X"}}
    return bulk


def log_cpm(bulk: AnnData) -> FloatArray:
    """Log2 counts per million ``(n_groups, n_genes)``, with half a count added (Law et al. 2014).

    References
    ----------
    Law, C. W. et al. (2014). voom. doi:10.1186/gb-2014-15-2-r29
    """
    counts = raw_counts(bulk.X, "pseudobulk").toarray()
    library = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.log2((counts + PRIOR_COUNT) / (library + 1) * 1e6))


def _obs(obs: pd.DataFrame, codes: npt.NDArray[np.intp], kept: npt.NDArray[np.intp], by: list[str]) -> pd.DataFrame:
    grouped = obs.groupby(codes, observed=True)
    kinds = grouped[[c for c in obs.columns if c not in by]].nunique(dropna=False)
    constant = [c for c in kinds if (kinds[c] <= 1).all()]
    first = obs[[*by, *constant]].iloc[np.unique(codes, return_index=True)[1]].iloc[kept].copy()
    for column in first:
        if isinstance(first[column].dtype, pd.CategoricalDtype):
            first[column] = first[column].cat.remove_unused_categories()
    return first


def _check(adata: AnnData, by: list[str], min_spots: int, layer: str) -> None:
    problems = [f"obs has no column {name}" for name in by if name not in adata.obs]
    if not by:
        problems.append("no column to group by")
    if min_spots < 1:
        problems.append(f"min_spots {min_spots} is below 1")
    if layer and layer not in adata.layers:
        problems.append(f"there is no layer {layer!r}")
    if problems:
        raise InputError.collect(subject="pseudobulk", problems=problems)

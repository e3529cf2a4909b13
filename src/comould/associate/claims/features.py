"""One verdict per gene: its rows against all habitats drawn together, so that the error rate is one of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.associate.claims.statistics import benjamini_hochberg
from comould.errors import InputError
from comould.space import FloatArray

if TYPE_CHECKING:
    import pandas as pd

TESTS = ("spatial", "naive")


def by_feature(table: pd.DataFrame, *, kind: str = "gene") -> pd.DataFrame:
    """Combine a table's rows into one row per gene, to tell whether it follows any habitat at all.

    Use it to count or list genes. The q-values of the long table hold for gene × habitat rows; genes counted from
    them would hold more false ones than stated, since a true gene has several rows and a false one mostly one.

    Parameters
    ----------
    table
        From :func:`comould.associate.test`: ``feature``, ``p_spatial``, ``p_naive``; ``kind``, ``habitat`` and
        ``log2_fold_change`` when there.
    kind
        ``"gene"`` or ``"geneset"``.

    Returns
    -------
    pandas.DataFrame
        Index ``feature``, in order of evidence; ``p_spatial`` and ``p_naive`` (Simes over the habitats), ``q_spatial``
        and ``q_naive`` (Benjamini-Hochberg over the features), and ``habitat`` and ``log2_fold_change`` of the row
        with the smallest spatial p. A feature none of whose rows could be tested has NaN.

    Raises
    ------
    InputError
        If a column is missing.

    Notes
    -----
    Simes' combination holds under independence and under positive dependence, as between tests of one gene against
    overlapping maps; it does not say which habitat the gene follows.

    References
    ----------
    Simes 1986, doi:10.1093/biomet/73.3.751. Benjamini & Heller 2008, doi:10.1111/j.1541-0420.2007.00984.x.
    """
    import pandas as pd

    if lacking := [c for c in ("feature", "p_spatial", "p_naive") if c not in table]:
        raise InputError(
            subject="association table",
            expected="the columns of comould.associate.test",
            found=f"no {', '.join(lacking)}",
        )
    rows = table[table["kind"] == kind] if "kind" in table else table
    codes, names = pd.factorize(rows["feature"])
    found = pd.DataFrame(index=pd.Index(names, name="feature"))
    for test in TESTS:
        found[f"p_{test}"] = simes(rows[f"p_{test}"].to_numpy(dtype=np.float64), codes, len(names))
        found[f"q_{test}"] = benjamini_hochberg(found[f"p_{test}"].to_numpy())
    best = rows.sort_values("p_spatial", kind="stable").drop_duplicates("feature").set_index("feature")
    for column in ("habitat", "log2_fold_change"):
        if column in best:
            found[column] = best[column].reindex(found.index)
    return found.sort_values("p_spatial", kind="stable")


def simes(p: FloatArray, groups: np.ndarray, n_groups: int) -> FloatArray:
    """Combine p-values ``(n,)`` within groups ``0 … n_groups - 1``: the least of ``p_(i) · k / i`` of those not NaN.

    Returns
    -------
    ndarray
        ``(n_groups,)``; NaN where a group has no p-value.
    """
    known = np.isfinite(p)
    p, groups = p[known], groups[known]
    order = np.lexsort((p, groups))
    p, groups = p[order], groups[order]
    sizes = np.bincount(groups, minlength=n_groups)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank = np.arange(len(p)) - first[groups] + 1
    combined = np.full(n_groups, np.inf)
    np.minimum.at(combined, groups, p * sizes[groups] / rank)
    return np.where(sizes > 0, combined, np.nan)

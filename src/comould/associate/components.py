"""Expression as a few columns: principal components of log counts, or what the user has in ``obsm``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from comould.associate.claims.normalise import TARGET_COUNTS, raw_counts
from comould.errors import InputError
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

_N_GENES = 2000


def features_of(
    adata: AnnData, key: str | None, layer: str
) -> tuple[Callable[[npt.NDArray[np.bool_]], FloatArray], npt.NDArray[np.bool_]]:
    """Give the features of those spots that will be used, and say which spots have any.

    Parameters
    ----------
    adata
        Spots.
    key
        Of ``obsm``, ``(n, q)``; ``None`` for the principal components of log expression.
    layer
        Layer with the raw counts; ``""`` takes ``X``.

    Returns
    -------
    tuple
        A function from spots used ``(n,)`` to their features ``(n_used, q)``; and ``(n,)`` which spots can be used.

    Raises
    ------
    InputError
        If there is no such key, or counts are not raw.
    """
    if key is not None:
        if key not in adata.obsm:
            raise InputError(
                subject=f'features obsm["{key}"]',
                expected="a table (n, q)",
                found=f"only {', '.join(sorted(adata.obsm)) or 'none'}",
            )
        table = np.asarray(adata.obsm[key], dtype=np.float64)
        return lambda used: table[used], np.asarray(np.isfinite(table).all(axis=1))
    counts = raw_counts(adata.layers[layer] if layer else adata.X, f"counts in {layer or 'X'}")
    library = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    return lambda used: _components(counts[used], library[used]), library > 0


def _components(counts: Any, library: FloatArray) -> FloatArray:
    """Principal components of log expression, strongest first, of the genes that vary most; sparse all the way."""
    from sklearn.decomposition import PCA

    log = sp.csc_array(sp.diags_array(TARGET_COUNTS / library) @ counts)
    log.data = np.log1p(log.data)
    mean = np.asarray(log.mean(axis=0)).ravel()
    variance = np.asarray(log.power(2).mean(axis=0)).ravel() - mean**2
    chosen = np.sort(np.argsort(variance, kind="stable")[::-1][: min(_N_GENES, int((variance > 1e-12).sum()))])
    some = sp.csr_array(log[:, chosen])
    most = min(50, min(some.shape) - 1)
    return np.asarray(PCA(most, svd_solver="arpack", random_state=0).fit_transform(some))

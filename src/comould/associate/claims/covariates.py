"""What else could explain a map: columns of the spots' table, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from comould.errors import InputError
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

LOG_COUNTS = "log_counts"
"""The covariate made here: logarithm of a spot's total counts."""
_MOST_LEVELS = 50


def covariate_columns(adata: AnnData, names: Sequence[str], library: FloatArray) -> FloatArray:
    """Columns ``(n_obs, c)`` of covariates: numbers as they are, categories one 0/1 column a level but the first.

    Parameters
    ----------
    adata
        Spots; only ``obs`` is looked at.
    names
        Columns of ``obs``, or ``"log_counts"``.
    library
        ``(n_obs,)`` total counts.

    Returns
    -------
    ndarray
        NaN where a spot has no value.

    Raises
    ------
    InputError
        If a column is missing, never varies, or is text with more than 50 levels.
    """
    parts = [np.zeros((adata.n_obs, 0))]
    problems = []
    for name in names:
        if name == LOG_COUNTS and name not in adata.obs:
            with np.errstate(divide="ignore"):
                values = np.log(library)[:, None]
            parts.append(np.where(np.isfinite(values), values, np.nan))
        elif name not in adata.obs:
            problems.append(f"there is no {name!r}")
        else:
            values = _numbers(adata.obs[name])
            if values.shape[1] > _MOST_LEVELS:
                problems.append(f"{name!r} has more than {_MOST_LEVELS} levels")
            elif not values.shape[1] or not np.any(np.nanmax(values, axis=0) > np.nanmin(values, axis=0)):
                problems.append(f"{name!r} does not vary")
            parts.append(values)
    if problems:
        raise InputError.collect(
            subject="covariates",
            problems=problems,
            remedy=f"Give columns of obs ({', '.join(map(str, adata.obs.columns))}) or {LOG_COUNTS}",
        )
    return np.concatenate(parts, axis=1)


def _numbers(column: pd.Series) -> FloatArray:
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)[:, None]
        return np.where(np.isfinite(values), values, np.nan)
    codes, levels = pd.factorize(column, sort=True)
    values = (codes[:, None] == np.arange(1, len(levels))).astype(np.float64)
    values[codes < 0] = np.nan
    return values

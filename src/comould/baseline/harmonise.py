"""ComBat fitted on some patients and applied to others, never the other way round."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from comould.baseline.data import IntArray
from comould.errors import InputError
from comould.space import FloatArray

FEWEST_PER_CENTRE = 3
"""Rows a centre needs before location and scale are estimated from it."""


class Harmoniser:
    """Location and scale of each centre, learnt from training rows, and what to do with centres it never saw.

    Parameters
    ----------
    features
        ``(n_rows, n_features)`` finite, of the training patients.
    centres
        ``(n_rows,)`` their centres.

    Notes
    -----
    ComBat cannot be applied to a centre it was not fitted on: that centre's location and scale are unknown. Its rows
    come back as they were, and so do those of centres with fewer than three training rows. The outcome is not
    protected: it would have to be known of the patients to be predicted.
    """

    def __init__(self, features: FloatArray, centres: IntArray) -> None:
        values, counts = np.unique(centres, return_counts=True)
        self.known = values[counts >= FEWEST_PER_CENTRE]
        # ComBat's own guard against division by nothing is an absolute number: features of any unit must be above it.
        self._unit = np.maximum(features.std(axis=0), np.finfo(np.float64).tiny)
        self._model: Any = None
        rows = np.isin(centres, self.known)
        # One centre holds nothing that another could differ in.
        if len(self.known) > 1:
            self._model = _combat(features[rows] / self._unit, centres[rows])

    def apply(self, features: FloatArray, centres: IntArray) -> FloatArray:
        """Take the centres' location and scale off; rows of unknown centres are left as they are."""
        rows = np.isin(centres, self.known)
        if self._model is None or not rows.any():
            return features
        changed = features.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model.set_params(batch=pd.Series(centres[rows]))
            done = self._model.transform(pd.DataFrame(features[rows] / self._unit))
        changed[rows] = np.asarray(done, dtype=np.float64) * self._unit
        return changed


def harmonise(table: pd.DataFrame, centres: pd.Series, *, fit_on: pd.Series | None = None) -> pd.DataFrame:
    """Take the centres' location and scale off features (ComBat).

    Parameters
    ----------
    table
        Finite features, one row a tumour.
    centres
        Centre of each row, same index.
    fit_on
        Boolean, same index: the rows ComBat may learn from. All rows when ``None``: right for describing, wrong
        before cross-validation, where the rows to be predicted must not be learnt from.

    Returns
    -------
    DataFrame
        Same rows and columns. Constant features, and rows of centres with fewer than three rows to learn from,
        are as they were.

    Raises
    ------
    InputError
        If values are missing, indices differ, or the extra ``comould[combat]`` is not installed.

    References
    ----------
    Johnson, W. E., Li, C. & Rabinovic, A. (2007). doi:10.1093/biostatistics/kxj037. Orlhac, F. et al. (2022).
    doi:10.2967/jnumed.121.262464 (radiomics)
    """
    values = table.to_numpy(dtype=np.float64)
    problems = [] if np.isfinite(values).all() else ["features have missing or infinite values"]
    if not table.index.equals(centres.index) or (fit_on is not None and not table.index.equals(fit_on.index)):
        problems.append("table, centres and fit_on have different indices")
    if problems:
        raise InputError.collect(subject="harmonisation", problems=problems)
    codes = pd.factorize(centres.astype(str), sort=True)[0].astype(np.intp)
    learn = np.ones(len(table), dtype=bool) if fit_on is None else fit_on.to_numpy(dtype=bool)
    vary = np.ptp(values[learn], axis=0) > 0
    changed = values.copy()
    changed[:, vary] = Harmoniser(values[learn][:, vary], codes[learn]).apply(values[:, vary], codes)
    return pd.DataFrame(changed, index=table.index, columns=table.columns)


def _combat(features: FloatArray, centres: IntArray) -> Any:
    try:
        from combatlearn import ComBat
    except ImportError as error:
        raise InputError(
            subject="harmonise='combat'", expected="the package combatlearn", found="it is not installed",
            remedy='Install it with pip install "comould[combat]", or use harmonise="none"',
        ) from error  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ComBat(pd.Series(centres), method="fortin").fit(pd.DataFrame(features))

"""Folds of whole patients, alike in outcome and centre."""

from __future__ import annotations

import numpy as np

from comould.baseline.data import IntArray, StudyData
from comould.errors import InputError

_BINS = 4


def patient_folds(data: StudyData, n_folds: int, rng: np.random.Generator) -> IntArray:
    """Deal patients to folds so that folds resemble one another in outcome and centre.

    Parameters
    ----------
    data
        Outcome, patients and centres.
    n_folds
        Number of folds.
    rng
        Where chance comes from.

    Returns
    -------
    ndarray
        ``(n_rows,)`` fold of each row, from 0; all rows of a patient are in one.

    Raises
    ------
    InputError
        If there are fewer patients (of the rarer class, for events) than folds.
    """
    outcome, home = data.by_patient()
    there = np.flatnonzero(home >= 0)
    strata = _strata(outcome[there], binary=data.binary)
    least = min(np.bincount(strata)) if data.binary else len(there)
    if least < n_folds or (data.binary and len(set(strata)) < 2):
        raise InputError(
            subject="folds", expected=f"{n_folds} patients or more{' of either outcome' * data.binary}",
            found=str(least), remedy="Ask for fewer folds, or for more patients",
        )  # fmt: skip
    shuffled = rng.permutation(len(there))
    # Dealt out one stratum after another: every fold has its share of each outcome, and nearly so of each centre.
    order = shuffled[np.lexsort((home[there][shuffled], strata[shuffled]))]
    fold = np.full(len(outcome), -1, dtype=np.intp)
    fold[there[order]] = np.arange(len(order)) % n_folds
    return fold[data.patients]


def _strata(outcome: np.ndarray, *, binary: bool) -> IntArray:
    if binary:
        return (outcome >= 0.5).astype(np.intp)
    ranks = np.argsort(np.argsort(outcome, kind="stable"), kind="stable")
    return (ranks * _BINS // len(outcome)).astype(np.intp)

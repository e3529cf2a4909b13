"""Several sets of features on the same folds and patients: what one adds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from comould.baseline.evaluate import Evaluation
from comould.baseline.metrics import intervals, measures, patient_weights
from comould.errors import InputError


def compare(
    evaluations: Mapping[str, Evaluation], *, n_bootstrap: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Compare evaluations of the same patients and folds with the first of them.

    Parameters
    ----------
    evaluations
        Name to evaluation, made with the same table rows, outcome, options and seed; e.g. ``{"radiomics": …,
        "radiomics + habitats": …}``.
    n_bootstrap, level, seed
        Resamples of patients (the same for all) and the intervals.

    Returns
    -------
    DataFrame
        ``features``, ``metric``, ``value``, ``low``, ``high``, and ``difference``, ``difference_low``,
        ``difference_high`` from the first (NaN for the first itself).

    Raises
    ------
    InputError
        If there are fewer than two, or rows or folds differ.

    Notes
    -----
    The interval of a difference resamples patients, who keep their predictions of both: what the two share goes. It
    says nothing of training patients one might have had instead. A difference whose interval holds 0 is no evidence
    that the two are alike.
    """
    _check(evaluations)
    names = list(evaluations)
    data = evaluations[names[0]].predictions.data
    weights = patient_weights(data, n_bootstrap, seed)
    values = {name: measures(one.predictions, weights) for name, one in evaluations.items()}
    parts = []
    for name in names:
        part = intervals(values[name], level)
        gap = intervals({key: values[name][key] - values[names[0]][key] for key in values[name]}, level)
        if name == names[0]:
            gap[["value", "low", "high"]] = np.nan
        part = part.assign(
            difference=gap["value"], difference_low=gap["low"], difference_high=gap["high"]
        )  # fmt: skip
        part.insert(0, "features", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _check(evaluations: Mapping[str, Evaluation]) -> None:
    if len(evaluations) < 2:
        raise InputError(subject="comparison", expected="two evaluations or more", found=str(len(evaluations)))
    (first, base), *rest = ((name, one.predictions) for name, one in evaluations.items())
    for name, other in rest:
        same = (
            np.array_equal(base.data.outcome, other.data.outcome)
            and np.array_equal(base.data.patients, other.data.patients)
            and np.array_equal(base.fold, other.fold)
        )
        if not same:
            raise InputError(
                subject=f"comparison of {first!r} and {name!r}", expected="the same rows, outcome and folds",
                found="others", remedy="Evaluate both with one table, the same options and the same seed",
            )  # fmt: skip

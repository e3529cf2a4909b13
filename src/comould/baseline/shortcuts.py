"""Could the features know the centre, and the centre the outcome? Then they may know nothing of the tumour."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from comould.baseline.data import IntArray, StudyData
from comould.baseline.metrics import chance, headline, intervals, measures, patient_weights
from comould.baseline.model import Preparation
from comould.baseline.options import BaselineOptions
from comould.baseline.validate import Seeds, cross_predict, held_out
from comould.space import FloatArray

COLUMNS = ["column", "question", "metric", "value", "low", "high", "chance", "above_chance", "flagged"]
OUTCOME_ALONE, FROM_FEATURES = "outcome from it alone", "it from the features"
_PRIOR = 2.0
"""Patients' worth of the overall mean in each level's mean."""
_RIDGE = 0.1


def shortcut_table(
    data: StudyData, places: Mapping[str, IntArray], options: BaselineOptions, seed: int
) -> pd.DataFrame:
    """Ask of each column whether it alone tells the outcome, and whether the features tell it.

    Parameters
    ----------
    data
        The rows.
    places
        Column to the ``(n_rows,)`` number of each row's level.
    options
        Folds, harmonisation, resamples.
    seed
        As of the evaluation: the same folds.

    Returns
    -------
    DataFrame
        Two rows a column: ``column``, ``question``, ``metric`` (AUC or R² of the outcome; balanced accuracy of the
        column, from features prepared as the model's), ``value``, ``low``, ``high``, ``chance``, ``above_chance``
        (``low`` is above ``chance``) and ``flagged`` (both questions are answered above chance).

    References
    ----------
    Zech, J. R. et al. (2018). doi:10.1371/journal.pmed.1002683. Geirhos, R. et al. (2020).
    doi:10.1038/s42256-020-00257-z
    """
    weights = patient_weights(data, options.n_bootstrap, seed)
    rows = []
    for name, levels in places.items():
        pair = [
            _outcome_alone(data, levels, options, seed, weights),
            _from_features(data, levels, options, seed, weights),
        ]
        both = all(above for *_, above in pair)
        rows += [(name, *one, both) for one in pair]
    return pd.DataFrame(rows, columns=COLUMNS)


Row = tuple[str, str, float, float, float, float, bool]


def _outcome_alone(data: StudyData, levels: IntArray, options: BaselineOptions, seed: int, weights: FloatArray) -> Row:
    coded = StudyData(
        levels[:, None].astype(np.float64), ("level",), data.outcome, data.binary, data.patients, data.centres,
        data.centre_names,
    )  # fmt: skip
    found, _ = cross_predict(coded, _level_means, n_folds=options.folds, seeds=Seeds(seed).spawn(options.repeats))
    name, least = headline(data.binary), chance(data.binary)
    line = intervals({name: measures(found, weights)[name]}, options.level).iloc[0]
    return OUTCOME_ALONE, name, line["value"], line["low"], line["high"], least, bool(line["low"] > least)


def _level_means(train: StudyData, test: StudyData, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Predict the training mean of the row's level, drawn a little to the mean of all."""
    del rng
    seen = train.features[:, 0].astype(np.intp)
    asked = test.features[:, 0].astype(np.intp)
    size = int(max(seen.max(), asked.max())) + 1
    count = np.bincount(seen, minlength=size)
    total = np.bincount(seen, train.outcome, minlength=size)
    means = (total + _PRIOR * train.outcome.mean()) / (count + _PRIOR)
    predicted = np.clip(means[asked], 1e-3, 1 - 1e-3) if train.binary else means[asked]
    return predicted, np.zeros(0, dtype=np.intp)


def _from_features(data: StudyData, levels: IntArray, options: BaselineOptions, seed: int, weights: FloatArray) -> Row:
    """Balanced accuracy of naming the level from the features; levels rarer than folds are left out."""
    common = np.flatnonzero(np.bincount(levels) >= options.folds)
    nothing = (FROM_FEATURES, "balanced_accuracy", np.nan, np.nan, np.nan, np.nan, False)
    if len(common) < 2:
        return nothing
    hits = _hits(data, levels, common, options, seed)
    recalls = []
    for level in common:
        rows = np.flatnonzero(levels == level)
        total = weights[:, rows].sum(axis=1)
        recalls.append(np.divide(weights[:, rows] @ hits[rows], total, out=np.zeros(len(total)), where=total > 0))
    line = intervals({"balanced_accuracy": np.mean(recalls, axis=0)}, options.level).iloc[0]
    least = 1 / len(common)
    return (
        FROM_FEATURES,
        "balanced_accuracy",
        line["value"],
        line["low"],
        line["high"],
        least,
        bool(line["low"] > least),
    )


def _hits(data: StudyData, levels: IntArray, common: IntArray, options: BaselineOptions, seed: int) -> FloatArray:
    """Share of repeats in which each row's level was named, by a model that saw no row of its patient."""
    from sklearn.linear_model import LogisticRegression

    hits = np.zeros(len(levels))
    for _, _, aside, _ in held_out(data, options.folds, Seeds(seed).spawn(options.repeats)):
        learnt = ~aside & np.isin(levels, common)
        preparation = Preparation(data.take(learnt), options)
        model = LogisticRegression(C=_RIDGE, class_weight="balanced", max_iter=500)
        model.fit(preparation.scaled, levels[learnt])
        hits[aside] += model.predict(preparation.apply(data.take(aside))) == levels[aside]
    return hits / options.repeats

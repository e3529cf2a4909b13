"""Patients held out: by folds, by centres, and with the outcome shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from comould.baseline.data import IntArray, StudyData
from comould.baseline.folds import patient_folds
from comould.baseline.metrics import headline, measures
from comould.baseline.model import fit_model
from comould.baseline.options import BaselineOptions
from comould.baseline.predictions import Predictions
from comould.errors import InputError
from comould.space import FloatArray

Seeds = np.random.SeedSequence


class Learner(Protocol):
    """Learns from rows and predicts others."""

    def __call__(self, train: StudyData, test: StudyData, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
        """Give the predictions of ``test`` and the columns that were used."""


def workflow(options: BaselineOptions) -> Learner:
    """Make a learner of the whole workflow."""

    def learn(train: StudyData, test: StudyData, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
        """Fit on the one, predict the other."""
        model = fit_model(train, options, rng)
        return model.predict(test), model.columns

    return learn


def cross_predict(
    data: StudyData,
    learner: Learner,
    *,
    n_folds: int,
    seeds: list[Seeds],
    done: Callable[[], None] | None = None,
) -> tuple[Predictions, IntArray]:
    """Predict every row by a model that saw no row of its patient.

    Parameters
    ----------
    data
        The rows.
    learner
        What is tried; sees the training rows only.
    n_folds
        Outer folds.
    seeds
        One a repeat. Folds follow from seed, outcome, patients and centres alone, whatever the features.
    done
        Called after every fold.

    Returns
    -------
    tuple
        The predictions, and ``(n_features,)`` the number of models each feature was used in.

    Raises
    ------
    InputError
        As :func:`~comould.baseline.folds.patient_folds` and the learner.
    """
    predictions = Predictions.empty(data, len(seeds))
    used = np.zeros(len(data.names), dtype=np.intp)
    for repeat, fold, aside, rng in held_out(data, n_folds, seeds):
        train, rows = data.take(~aside), np.flatnonzero(aside)
        predicted, columns = learner(train, data.take(rows), rng)
        predictions.fill(repeat, rows, predicted, float(train.outcome.mean()), fold)
        used[columns] += 1
        if done:
            done()
    return predictions, used


def held_out(
    data: StudyData, n_folds: int, seeds: list[Seeds]
) -> Iterator[tuple[int, int, npt.NDArray[np.bool_], np.random.Generator]]:
    """Go through repeats and folds: repeat, fold, ``(n_rows,)`` rows held out, and the fold's own generator."""
    for repeat, seed in enumerate(seeds):
        # A spawned seed remembers its children: made anew, the same seed deals the same folds to every caller.
        fresh = Seeds(seed.entropy, spawn_key=seed.spawn_key)
        deal, *inner = (np.random.default_rng(one) for one in fresh.spawn(n_folds + 1))
        folds = patient_folds(data, n_folds, deal)
        for fold, rng in enumerate(inner):
            yield repeat, fold, folds == fold, rng


def leave_centres_out(
    data: StudyData, options: BaselineOptions, seed: Seeds, done: Callable[[], None] | None = None
) -> tuple[Predictions, list[str]]:
    """Predict every centre by a model that saw none of its patients.

    Returns
    -------
    tuple
        Predictions (``fold`` is the centre; NaN where the other centres are too small to learn from), and what could
        not be done.
    """
    predictions, notes = Predictions.empty(data, 1), []
    learner = workflow(options)
    for centre, (name, own) in enumerate(zip(data.centre_names, seed.spawn(len(data.centre_names)), strict=True)):
        rows = np.flatnonzero(data.centres == centre)
        train = data.take(data.centres != centre)
        try:
            predicted, _ = learner(train, data.take(rows), np.random.default_rng(own))
        except InputError as error:
            if "combatlearn" in str(error):
                raise
            notes.append(f"Centre {name} cannot be held out: {error}")
        else:
            predictions.fill(0, rows, predicted, float(train.outcome.mean()), centre)
        if done:
            done()
    return predictions, notes


def permutation_p(
    data: StudyData,
    observed: Predictions,
    options: BaselineOptions,
    seed: Seeds,
    done: Callable[[], None] | None = None,
) -> tuple[float, FloatArray]:
    """Ask how often the whole workflow does as well when the outcome is shuffled among patients of a centre.

    Parameters
    ----------
    data, options
        As before.
    observed
        Of the true outcome; its first repeat is compared.
    seed
        Of shuffles and folds.
    done
        Called after every shuffle.

    Returns
    -------
    tuple
        One-sided p-value, which counts the data themselves, and the ``(n_permutations,)`` values (AUC, or R²).

    Notes
    -----
    Shuffled within centres, a difference between centres is in every shuffle too: the p-value is about what features
    know beyond the centre.

    References
    ----------
    Ojala, M. & Garriga, G. C. (2010). Permutation tests for studying classifier performance. JMLR 11, 1833-1863.
    Phipson, B. & Smyth, G. K. (2010). doi:10.2202/1544-6115.1585
    """
    first = Predictions(data, observed.predicted[:1], observed.expected[:1], observed.fold[:1])
    truth = _headline(first)
    values = np.empty(options.n_permutations)
    for number, own in enumerate(seed.spawn(options.n_permutations)):
        shuffle, folds = own.spawn(2)
        shuffled = data.with_outcome(shuffled_outcome(data, np.random.default_rng(shuffle)))
        found, _ = cross_predict(shuffled, workflow(options), n_folds=options.folds, seeds=[folds])
        values[number] = _headline(found)
        if done:
            done()
    return float((1 + (values >= truth - 1e-12).sum()) / (1 + len(values))), values


def shuffled_outcome(data: StudyData, rng: np.random.Generator) -> FloatArray:
    """Hand the outcomes of whole patients to other patients of the same centre with as many rows."""
    rows_of = [np.flatnonzero(data.patients == patient) for patient in range(data.n_patients)]
    alike: dict[tuple[int, int], list[int]] = {}
    for patient, rows in enumerate(rows_of):
        alike.setdefault((int(data.centres[rows[0]]), len(rows)), []).append(patient)
    outcome = data.outcome.copy()
    for members in alike.values():
        for taker, giver in zip(members, rng.permutation(members), strict=True):
            outcome[rows_of[taker]] = data.outcome[rows_of[giver]]
    return outcome


def _headline(predictions: Predictions) -> float:
    ones = np.ones((1, len(predictions.data.outcome)))
    return float(measures(predictions, ones)[headline(predictions.data.binary)][0])

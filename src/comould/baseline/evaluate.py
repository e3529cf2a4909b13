"""The whole workflow on one table: how well, by how much chance, elsewhere, and by which shortcut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from comould.baseline.data import Columns, StudyData, levels, read_table
from comould.baseline.harmonise import FEWEST_PER_CENTRE
from comould.baseline.metrics import headline, intervals, measures, patient_weights
from comould.baseline.options import BaselineOptions
from comould.baseline.predictions import Predictions
from comould.baseline.sample_size import minimum_sample_size
from comould.baseline.shortcuts import shortcut_table
from comould.baseline.validate import Seeds, cross_predict, leave_centres_out, permutation_p, workflow
from comould.io.output import plain, provenance

Progress = Callable[[float], None]
_FEW_EVENTS = 10
_LIBRARIES = ("scikit-learn", "scipy", "pandas", "combatlearn")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What the workflow makes of one set of features.

    Parameters
    ----------
    metrics
        ``metric``, ``value``, ``low``, ``high`` of patients held out in folds; see
        :func:`comould.baseline.metrics.measures`.
    p
        Of the headline (AUC or R²), outcome shuffled within centres; NaN without shuffles.
    centres
        Leave-one-centre-out: ``centre``, ``n_rows``, ``n_events``, ``metric``, ``value``, ``low``, ``high``; a row a
        centre and ``all`` (pairs of one centre, pooled). Empty with fewer than two centres.
    shortcuts
        See :func:`comould.baseline.shortcuts.shortcut_table`.
    selected
        ``feature`` and ``share`` of the models that used it, most used first.
    notes
        What a reader has to know: sample size, centres, shortcuts.
    predictions, external
        The predictions themselves: of folds, and of centres (``None`` with fewer than two).
    attrs
        Options, seed, versions.
    """

    metrics: pd.DataFrame
    p: float
    centres: pd.DataFrame
    shortcuts: pd.DataFrame
    selected: pd.DataFrame
    notes: tuple[str, ...]
    predictions: Predictions
    external: Predictions | None
    attrs: dict[str, object]

    @property
    def headline(self) -> str:
        """Name of the measure that is tested: ``auc`` or ``r2``."""
        return headline(self.predictions.data.binary)


def evaluate(
    table: pd.DataFrame,
    features: Sequence[str],
    columns: Columns,
    *,
    options: BaselineOptions | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge how well features of whole tumours predict an outcome, by the usual radiogenomics workflow.

    Harmonisation, selection, choice of size and penalty and the fit see the training patients of a fold only.

    Parameters
    ----------
    table
        One row a tumour: features, outcome, patient (a pseudonym), centre.
    features
        Columns that may be used.
    columns
        Which column is what.
    options
        How; see :class:`BaselineOptions`.
    seed
        Same seed, same folds, resamples and shuffles, whatever the features: evaluations can be compared.
    progress
        Called with the fraction done.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        For whatever is wrong with the table, too few patients for the folds, or a missing extra.

    Notes
    -----
    Steps in every training set: features missing too often or nearly constant are dropped, gaps take the median,
    ComBat (if asked for), scaling, one of each correlated group is kept, the LASSO's path says which enter, an
    elastic net (logistic or linear) weighs them. Intervals resample patients with the models as they are: they hold
    what chance of patients does to the measure, not what other training patients would have done to the models.
    Good prediction in patients held out of the same centres does not show that it holds elsewhere; ``centres`` does.

    References
    ----------
    Varma, S. & Simon, R. (2006). doi:10.1186/1471-2105-7-91 (nested cross-validation). Zou, H. & Hastie, T. (2005).
    doi:10.1111/j.1467-9868.2005.00503.x (elastic net). Lambin, P. et al. (2017). doi:10.1038/nrclinonc.2017.141
    (radiomics). Collins, G. S. et al. (2024). doi:10.1136/bmj-2023-078378 (TRIPOD+AI)
    """
    how = options or BaselineOptions()
    data = read_table(table, features, columns)
    n_centres = len(data.centre_names) if len(data.centre_names) > 1 else 0
    tick = _counter(progress, how.folds * how.repeats + how.n_permutations + n_centres)
    root = Seeds(seed)
    predictions, used = cross_predict(data, workflow(how), n_folds=how.folds, seeds=root.spawn(how.repeats), done=tick)
    weights = patient_weights(data, how.n_bootstrap, seed)
    metrics = intervals(measures(predictions, weights), how.level)
    away, shuffles = root.spawn(2)
    external, held = leave_centres_out(data, how, away, tick) if n_centres else (None, [])
    p = np.nan
    if how.n_permutations:
        p, _ = permutation_p(data, predictions, how, shuffles, tick)
    places = {columns.centre: data.centres} if columns.centre and n_centres else {}
    places |= {name: levels(table[name])[0] for name in columns.shortcuts}
    places = {name: own for name, own in places.items() if own.max() > 0}
    shortcuts = shortcut_table(data, places, how, seed)
    return Evaluation(
        metrics, p, _by_centre(external, weights, how), shortcuts, _selected(data, used, how),
        (*_sample_notes(data, how), *held, *_shortcut_notes(shortcuts)), predictions, external,
        plain(provenance(parameters=asdict(how) | {"n_features": len(features)}, seed=seed, libraries=_LIBRARIES)),
    )  # fmt: skip


def _counter(progress: Progress | None, total: int) -> Callable[[], None]:
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if progress:
            progress(count / total)

    return tick


def _by_centre(external: Predictions | None, weights: np.ndarray, options: BaselineOptions) -> pd.DataFrame:
    """Measure each centre that was held out, and all of them."""
    rows = []
    if external is not None:
        name, data = headline(external.data.binary), external.data
        known = np.isfinite(external.predicted[0])
        for centre, label in [*enumerate(data.centre_names), (-1, "all")]:
            own = np.flatnonzero(known & ((data.centres == centre) | (centre < 0)))
            if not len(own):
                continue
            line = intervals({name: measures(external.of(own), weights[:, own])[name]}, options.level).iloc[0]
            events = int(data.outcome[own].sum()) if data.binary else -1
            rows.append((label, len(own), events, name, line["value"], line["low"], line["high"]))
    table = pd.DataFrame(rows, columns=["centre", "n_rows", "n_events", "metric", "value", "low", "high"])
    return table.drop(columns="n_events") if len(table) and (table["n_events"] < 0).all() else table


def _selected(data: StudyData, used: np.ndarray, options: BaselineOptions) -> pd.DataFrame:
    table = pd.DataFrame({"feature": data.names, "share": used / (options.folds * options.repeats)})
    return table[table["share"] > 0].sort_values("share", ascending=False, ignore_index=True, kind="stable")


def _sample_notes(data: StudyData, options: BaselineOptions) -> list[str]:
    outcome, home = data.by_patient()
    n, p = data.n_patients, len(data.names)
    events = int(min((outcome >= 0.5).sum(), (outcome < 0.5).sum())) if data.binary else n
    notes = []
    if events < _FEW_EVENTS * p:
        what = "patients of the rarer outcome" if data.binary else "patients"
        notes.append(f"{events} {what} for {p} candidate features: {events / p:.2g} each, where 10 is a usual least")
    needed = minimum_sample_size(p, prevalence=float((outcome >= 0.5).mean()) if data.binary else None)
    if n < needed:
        notes.append(
            f"{n} patients; Riley's criterion asks for {needed} for {p} candidate features (R² 0.15): expect another "
            "data set to choose other features"
        )
    if options.harmonise == "combat" and data.centre_names:
        counts = np.bincount(home, minlength=len(data.centre_names))
        small = [name for name, count in zip(data.centre_names, counts, strict=True) if count < _FEW_EVENTS]
        if small:
            notes.append(f"ComBat estimates centres of few patients poorly ({', '.join(small)}: fewer than 10)")
        notes.append(
            "ComBat cannot be applied to a centre it was not fitted on: centres held out (and those with fewer than "
            f"{FEWEST_PER_CENTRE} training rows) enter as measured"
        )
    return notes


def _shortcut_notes(shortcuts: pd.DataFrame) -> list[str]:
    flagged = shortcuts.loc[shortcuts["flagged"], "column"].unique()
    return [
        f"Shortcut: {name} alone predicts the outcome, and the features predict {name}; trust the measure within "
        "centres and the centres held out"
        for name in flagged
    ]

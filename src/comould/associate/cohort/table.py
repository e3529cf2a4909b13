"""One table for all patients: which genes follow a habitat in patients like these, and who carries the claim."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.associate.claims.statistics import benjamini_hochberg
from comould.associate.cohort.effects import PatientEffects, patient_effects
from comould.associate.cohort.leave_out import carried_by
from comould.associate.cohort.meta import HartungKnapp, Method, RandomEffects, random_effects
from comould.associate.cohort.sign_flip import sign_flip
from comould.errors import ComouldWarning, InputError
from comould.io.output import plain, provenance
from comould.space import FloatArray


@dataclass(frozen=True)
class CohortOptions:
    """How patients are pooled.

    Parameters
    ----------
    method, hartung_knapp, level
        As in :func:`~comould.associate.cohort.meta.random_effects`.
    min_patients
        A feature × habitat that fewer patients have is not tested.
    n_flips
        Sign flips, for more than 14 patients.
    """

    method: Method = "REML"
    hartung_knapp: HartungKnapp = "truncated"
    level: float = 0.95
    min_patients: int = 5
    n_flips: int = 9999

    def __post_init__(self) -> None:
        if self.min_patients < 2:
            raise InputError(
                subject="min_patients", expected="2 or more: one patient says nothing of others",
                found=str(self.min_patients),
            )  # fmt: skip

    @classmethod
    def make(cls, given: Mapping[str, Any]) -> CohortOptions:
        """Make a record from keywords; unknown ones are named with what there is instead."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            raise InputError(
                subject="options of the cohort", expected=f"some of {', '.join(known)}", found=", ".join(unknown)
            )
        return cls(**given)


def cohort(
    tables: Mapping[str, pd.DataFrame],
    centres: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
    **options: Any,
) -> pd.DataFrame:
    """Pool the tables of all patients: the patient is the unit, and the answer is about patients like these.

    Parameters
    ----------
    tables
        Patient (a pseudonym: it may come back in ``carried_by``) to the table of :func:`comould.associate.test`. Rows
        are matched by kind, feature and habitat name: ``H2`` must mean the same in every patient, as labels of one
        population model do (:func:`comould.habitats.fit_population`); those of separate fits do not.
    centres
        Patient to centre, for leave-one-centre-out.
    seed
        Of the sign flips; same seed, same table.
    **options
        As in :class:`CohortOptions`: ``method``, ``hartung_knapp``, ``level``, ``min_patients``, ``n_flips``.

    Returns
    -------
    DataFrame
        One row per feature × habitat, smallest p first: ``feature``, ``kind``, ``habitat``; ``estimate`` (mean
        Fisher's z), ``low``, ``high``, ``correlation`` (the estimate as a correlation), ``log2_fold_change`` (median
        of patients, for reading), ``p``, ``q`` (Benjamini–Hochberg over the testable rows of a kind); ``tau2`` with
        ``tau2_low`` and ``tau2_high``, ``i2``, ``predicted_low``, ``predicted_high``; ``p_sign_flip`` and
        ``p_max_t`` (over the testable rows of a kind), NaN where ``p_attainable`` is above 1 - level; ``n_patients``,
        ``n_agreeing`` (with the estimate's sign), ``n_centres``; ``testable``, ``reason`` and ``carried_by`` (the
        single patients or centres without whom sign or significance is lost). ``attrs`` holds options, seed, versions.

    Warns
    -----
    ComouldWarning
        If a habitat is found in one patient only: its name may differ in the others.

    Raises
    ------
    InputError
        If tables, centres or options are wrong.

    Notes
    -----
    Patients missing a row are taken as missing by chance; a habitat without tissue to measure is not. Results of
    one patient that were chosen because they looked good bias everything here: give all rows of all patients.
    """
    settings = CohortOptions.make(options)
    patients = patient_effects(tables, centres=centres)
    _warn_of_lonely_habitats(patients)
    parts = [
        _rows(patients, np.flatnonzero(patients.rows.get_level_values("kind") == kind), settings, seed)
        for kind in patients.rows.get_level_values("kind").unique()
    ]
    table = pd.concat(parts, ignore_index=True)
    table = table.sort_values(["p", "feature", "habitat"], ignore_index=True, kind="stable")
    table.attrs.update(plain(_record(patients, settings, seed)))
    return table


@dataclass(frozen=True, eq=False)
class FeatureEffects:
    """One feature in one habitat: every patient and what they say together.

    Parameters
    ----------
    feature, habitat, kind
        Which.
    patients, centres
        ``(n,)`` names of those that have it; centres empty when not told.
    effects, variances
        ``(n,)`` Fisher's z.
    pooled
        The random-effects answer; its weights belong to the patients.
    level
        Of its intervals.
    """

    feature: str
    habitat: str
    kind: str
    patients: tuple[str, ...]
    centres: tuple[str, ...]
    effects: FloatArray
    variances: FloatArray
    pooled: RandomEffects
    level: float


def feature_effects(
    tables: Mapping[str, pd.DataFrame],
    feature: str,
    habitat: str,
    *,
    kind: str = "gene",
    centres: Mapping[str, str] | None = None,
    **options: Any,
) -> FeatureEffects:
    """Take one row of :func:`cohort` apart into its patients, e.g. for :func:`comould.pl.forest`.

    Parameters
    ----------
    tables, centres, **options
        As in :func:`cohort`.
    feature, habitat, kind
        Which row.

    Raises
    ------
    InputError
        As in :func:`cohort`, or if no patient has the row.
    """
    settings = CohortOptions.make(options)
    patients = patient_effects(tables, centres=centres)
    column = patients.number(feature, habitat, kind)
    there = np.isfinite(patients.effects[:, column])
    if not there.any():
        raise InputError(
            subject=f"{kind} {feature} in {habitat}", expected="a patient in whom it could be tested", found="none"
        )
    y, v = patients.effects[there, column], patients.variances[there, column]
    pooled = random_effects(y, v, method=settings.method, hartung_knapp=settings.hartung_knapp, level=settings.level)
    names = tuple(name for name, has in zip(patients.patients, there, strict=True) if has)
    where = tuple(c for c, has in zip(patients.centres or (), there, strict=bool(patients.centres)) if has)
    return FeatureEffects(feature, habitat, kind, names, where, y, v, pooled, settings.level)


def _rows(patients: PatientEffects, columns: npt.NDArray[np.intp], options: CohortOptions, seed: int) -> pd.DataFrame:
    y, v = patients.effects[:, columns], patients.variances[:, columns]
    how: dict[str, Any] = {
        "method": options.method, "hartung_knapp": options.hartung_knapp, "level": options.level,
    }  # fmt: skip
    pooled = random_effects(y, v, **how)
    testable = pooled.n >= options.min_patients
    rows = patients.rows[columns]
    table = pd.DataFrame({name: rows.get_level_values(name).to_numpy() for name in ("feature", "kind", "habitat")})
    table["estimate"], table["low"], table["high"] = pooled.estimate, pooled.low, pooled.high
    table["correlation"] = np.tanh(pooled.estimate)
    table["log2_fold_change"] = _median(patients.log2_fold_change[:, columns])
    table["p"] = np.where(testable, pooled.p, np.nan)
    table["q"] = benjamini_hochberg(table["p"].to_numpy())
    for name in ("tau2", "tau2_low", "tau2_high", "i2", "predicted_low", "predicted_high"):
        table[name] = getattr(pooled, name)
    for name, value in _flipped(y, v, testable, options, seed).items():
        table[name] = value
    there = np.isfinite(y)
    table["n_patients"] = pooled.n
    table["n_agreeing"] = (there & (np.sign(y) == np.sign(pooled.estimate))).sum(axis=0)
    if patients.centres is not None:
        codes = pd.factorize(np.array(patients.centres, dtype=object))[0]
        table["n_centres"] = sum(there[codes == code].any(axis=0).astype(int) for code in np.unique(codes))
    table["testable"] = testable
    table["reason"] = [
        "" if enough else f"{n} patients, {options.min_patients} needed"
        for n, enough in zip(pooled.n, testable, strict=True)
    ]
    said = np.full(len(table), "", dtype=object)
    if testable.any():
        said[testable] = carried_by(y[:, testable], v[:, testable], patients.patients, groups=patients.centres, **how)
    table["carried_by"] = said
    return table


def _flipped(
    y: FloatArray, v: FloatArray, testable: npt.NDArray[np.bool_], options: CohortOptions, seed: int
) -> dict[str, FloatArray]:
    found = {name: np.full(y.shape[1], np.nan) for name in ("p_sign_flip", "p_max_t", "p_attainable")}
    if testable.any():
        flips = sign_flip(y[:, testable], v[:, testable], n_flips=options.n_flips, alpha=1 - options.level, seed=seed)
        found["p_sign_flip"][testable], found["p_max_t"][testable] = flips.p, flips.p_max_t
        found["p_attainable"][testable] = flips.attainable
    return found


def _median(values: FloatArray) -> FloatArray:
    some = np.isfinite(values).any(axis=0)
    found = np.full(values.shape[1], np.nan)
    found[some] = np.nanmedian(values[:, some], axis=0)
    return found


def _warn_of_lonely_habitats(patients: PatientEffects) -> None:
    if len(patients.patients) < 2:
        return
    habitats = patients.rows.get_level_values("habitat")
    for name in habitats.unique():
        has = np.isfinite(patients.effects[:, habitats == name]).any(axis=1)
        if has.sum() == 1:
            warnings.warn(
                f"habitat {name} is tested in one patient only: habitats are matched by name and must mean the same "
                "in every patient",
                ComouldWarning,
                stacklevel=3,
            )


def _record(patients: PatientEffects, settings: CohortOptions, seed: int) -> dict[str, Any]:
    record = provenance(parameters=asdict(settings), seed=seed, libraries=("scipy", "pandas"))
    record["n_patients"] = len(patients.patients)
    record["n_centres"] = None if patients.centres is None else len(set(patients.centres))
    return record

"""From one table of tested habitats a patient to one effect a patient: Fisher's z and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.errors import InputError
from comould.space import FloatArray

ROW = ("kind", "feature", "habitat")
"""What names a row across patients."""
NEEDED = (*ROW, "statistic", "n_effective", "testable")
_LEAST_EFFECTIVE = 3.0
_MOST = 1 - 1e-9


@dataclass(frozen=True, eq=False)
class PatientEffects:
    """Effects of all patients, side by side.

    Parameters
    ----------
    rows
        ``(n_rows,)`` index of kind, feature and habitat.
    patients
        ``(n_patients,)`` names.
    centres
        ``(n_patients,)`` the centre of each, or ``None``.
    effects, variances
        ``(n_patients, n_rows)`` Fisher's z of the correlation within sections, and ``1 / (n_effective - 3)``; NaN
        where a patient lacks the row or it could not be tested there.
    log2_fold_change
        ``(n_patients, n_rows)``, for reading only: it enters no test.
    """

    rows: pd.MultiIndex
    patients: tuple[str, ...]
    centres: tuple[str, ...] | None
    effects: FloatArray
    variances: FloatArray
    log2_fold_change: FloatArray

    def number(self, feature: str, habitat: str, kind: str = "gene") -> int:
        """Find the column of one row.

        Raises
        ------
        InputError
            If no patient has it.
        """
        key = (kind, feature, habitat)
        if key not in self.rows:
            known = self.rows.get_level_values("habitat").unique()
            raise InputError(
                subject=f"{kind} {feature} in {habitat}",
                expected=f"a feature and one of the habitats {', '.join(map(str, known))}",
                found="none of that name in any patient's table",
            )
        return int(np.flatnonzero(self.rows == key)[0])


def patient_effects(tables: Mapping[str, pd.DataFrame], *, centres: Mapping[str, str] | None = None) -> PatientEffects:
    """Turn each patient's table into effects with variances.

    Parameters
    ----------
    tables
        Patient (a pseudonym: names come back in results) to the table of :func:`comould.associate.test`.
    centres
        Patient to centre.

    Returns
    -------
    PatientEffects
        One column a feature × habitat that any patient has.

    Raises
    ------
    InputError
        If there is no table, a column is missing, a row is twice in a table, a correlation is beyond -1 … 1, or a
        patient has no centre while others do.

    Notes
    -----
    ``n_effective`` is the number of independent spots that would leave as much to chance as the habitat's surrogate
    maps do, so that a patient with large smooth habitats weighs little however many spots there are. It stands in for
    n in Fisher's variance ``1 / (n - 3)``, which holds for correlations near 0; for strong ones (|r| above 0.5) the
    variance is somewhat too small or too large, as the two maps are not normal.

    References
    ----------
    Fisher, R. A. (1921). On the "probable error" of a coefficient of correlation. Metron 1, 3-32. Clifford, P.,
    Richardson, S. & Hémon, D. (1989). doi:10.2307/2532039
    """
    if not tables:
        raise InputError(subject="cohort", expected="a table for each patient", found="none")
    problems = [text for name, table in tables.items() for text in _problems(str(name), table)]
    if problems:
        raise InputError.collect(
            subject="tables of the cohort", problems=problems, remedy="Give tables as comould.associate.test makes them"
        )
    patients = tuple(map(str, tables))
    found = [_one(table) for table in tables.values()]
    rows = found[0].index
    for table in found[1:]:
        rows = rows.union(table.index, sort=False)
    rows = rows.sort_values() if len(found) > 1 else rows
    aligned = [table.reindex(rows) for table in found]
    effects, variances, folds = (
        np.stack([table[name].to_numpy(dtype=np.float64) for table in aligned])
        for name in ("effect", "variance", "log2_fold_change")
    )
    return PatientEffects(pd.MultiIndex.from_tuples(rows, names=ROW), patients, centres_of(patients, centres),
                          effects, variances, folds)  # fmt: skip


def centres_of(patients: Sequence[str], centres: Mapping[str, str] | None) -> tuple[str, ...] | None:
    """Give the centre of each patient, in order; ``None`` for none.

    Raises
    ------
    InputError
        If a patient has none.
    """
    if centres is None:
        return None
    known = {str(name): str(centre) for name, centre in centres.items()}
    if lacking := [name for name in patients if name not in known]:
        raise InputError(
            subject="centres", expected="one for every patient", found=f"none for {', '.join(lacking[:5])}"
        )
    return tuple(known[name] for name in patients)


def fisher_z(correlation: npt.ArrayLike) -> FloatArray:
    """Fisher's z of correlations, those of 1 taken as just below."""
    return np.asarray(np.arctanh(np.clip(np.asarray(correlation, dtype=np.float64), -_MOST, _MOST)))


def _one(table: pd.DataFrame) -> pd.DataFrame:
    testable = table["testable"].astype(bool).to_numpy()
    effective = table["n_effective"].to_numpy(dtype=np.float64)
    effect = fisher_z(table["statistic"])
    with np.errstate(invalid="ignore"):
        usable = testable & np.isfinite(effect) & (effective > _LEAST_EFFECTIVE)
        variance = 1 / np.where(usable, effective - _LEAST_EFFECTIVE, 1.0)
    fold = table["log2_fold_change"] if "log2_fold_change" in table else pd.Series(np.nan, index=table.index)
    return pd.DataFrame(
        {
            "effect": np.where(usable, effect, np.nan),
            "variance": np.where(usable, variance, np.nan),
            "log2_fold_change": np.where(usable, fold.to_numpy(dtype=np.float64), np.nan),
        },
        index=pd.MultiIndex.from_frame(table[list(ROW)].astype(str)),
    )


def _problems(name: str, table: pd.DataFrame) -> list[str]:
    if lacking := [column for column in NEEDED if column not in table]:
        return [f"{name} lacks the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}"]
    said = []
    twice = table.duplicated(list(ROW))
    if twice.any():
        row = table.loc[twice, list(ROW)].iloc[0]
        said.append(f"{name} has {row['feature']} in {row['habitat']} twice")
    values = pd.to_numeric(table["statistic"], errors="coerce").to_numpy(dtype=np.float64)
    if (np.abs(values[np.isfinite(values)]) > 1 + 1e-6).any():
        said.append(f"{name} has statistics beyond -1 … 1, which are no correlations")
    if not set(table["testable"].unique()) <= {True, False}:
        said.append(f"{name} says other things than true and false in testable")
    return said

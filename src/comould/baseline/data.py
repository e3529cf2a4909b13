"""The study's table as the workflow takes it, with everything wrong with it told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.errors import InputError
from comould.space import FloatArray

IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Columns:
    """Which columns of a table say what.

    Parameters
    ----------
    outcome
        What is predicted: booleans or 0 and 1 are an event, other numbers continuous, words need ``positive``.
    patient
        Whose a row is; rows of one patient are never parted.
    centre
        Where it is from; ``None`` for a study of one centre.
    positive
        The word that is the event.
    shortcuts
        Further columns (scanner, vendor) that might give the outcome away; never features.
    """

    outcome: str
    patient: str
    centre: str | None = None
    positive: str | None = None
    shortcuts: tuple[str, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """All that must be filled in."""
        return (self.outcome, self.patient, *((self.centre,) if self.centre else ()), *self.shortcuts)


@dataclass(frozen=True, eq=False)
class StudyData:
    """Features, outcome and who they belong to.

    Parameters
    ----------
    features
        ``(n_rows, n_features)``; NaN where missing.
    names
        Names of the features.
    outcome
        ``(n_rows,)``; 0 or 1 when ``binary``.
    binary
        Whether the outcome is an event.
    patients
        ``(n_rows,)`` number of each row's patient, from 0.
    centres
        ``(n_rows,)`` number of each row's centre, from 0; all 0 without centres.
    centre_names
        Names of the centres; empty without centres.
    """

    features: FloatArray
    names: tuple[str, ...]
    outcome: FloatArray
    binary: bool
    patients: IntArray
    centres: IntArray
    centre_names: tuple[str, ...]

    @property
    def n_patients(self) -> int:
        """How many patients there are."""
        return int(self.patients.max()) + 1

    def take(self, rows: npt.NDArray[np.bool_] | IntArray) -> StudyData:
        """Keep some rows; numbers of patients and centres stay as they are."""
        return replace(
            self, features=self.features[rows], outcome=self.outcome[rows], patients=self.patients[rows],
            centres=self.centres[rows],
        )  # fmt: skip

    def with_outcome(self, outcome: FloatArray) -> StudyData:
        """Replace the outcome."""
        return replace(self, outcome=outcome)

    def by_patient(self) -> tuple[FloatArray, IntArray]:
        """Give mean outcome and (first) centre of each patient that is there, NaN and -1 for others."""
        count = np.bincount(self.patients, minlength=self.n_patients)
        total = np.bincount(self.patients, self.outcome, minlength=self.n_patients)
        mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        home = np.full(len(count), -1, dtype=np.intp)
        home[self.patients[::-1]] = self.centres[::-1]
        return np.asarray(mean, dtype=np.float64), home


def read_table(table: pd.DataFrame, features: Sequence[str], columns: Columns) -> StudyData:
    """Check a table and take it apart.

    Parameters
    ----------
    table
        One row a tumour.
    features
        Columns of numbers.
    columns
        What the others say.

    Returns
    -------
    StudyData
        Patients and centres in alphabetical order of their names.

    Raises
    ------
    InputError
        Naming every problem of the table.
    """
    asked = [*features, *columns.asked]
    problems = [f"no column {name!r}" for name in dict.fromkeys(asked) if name not in table]
    problems += [f"column {name!r} is asked for twice" for name in sorted({n for n in asked if asked.count(n) > 1})]
    if not features:
        problems.append("no feature is given")
    if problems:
        raise InputError.collect(
            subject="table of the study", problems=problems, remedy="Features are not outcome, patient or centre"
        )
    empty = {name: int(table[name].isna().sum()) for name in columns.asked}
    problems += [f"column {name!r} is empty in {count} rows" for name, count in empty.items() if count]
    values, bad = _numbers(table[list(features)])
    if problems := problems + bad:
        raise InputError.collect(subject="table of the study", problems=problems)
    y, binary = _outcome(table[columns.outcome], columns.positive)
    same = [str(name) for k, name in enumerate(features) if _tells(values[:, k], y)]
    if same:
        raise InputError(
            subject=f"features {', '.join(same[:5])}", expected="measurements made without the outcome",
            found=f"values that are those of {columns.outcome!r}", remedy="Leave them out",
        )  # fmt: skip
    codes, names = levels(table[columns.centre]) if columns.centre else (np.zeros(len(table), dtype=np.intp), ())
    patients = levels(table[columns.patient])[0]
    data = StudyData(values, tuple(map(str, features)), y, binary, patients, codes, names)
    _one_home(data, columns.patient)
    return data


def levels(column: pd.Series) -> tuple[IntArray, tuple[str, ...]]:
    """Give every value of a column, taken as a word, its number in alphabetical order."""
    codes, names = pd.factorize(column.astype(str), sort=True)
    return codes.astype(np.intp), tuple(map(str, names))


def _numbers(table: pd.DataFrame) -> tuple[FloatArray, list[str]]:
    words = [str(name) for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    if words:
        return np.zeros((0, 0)), [f"features that are not numbers: {', '.join(words[:5])}"]
    values = table.to_numpy(dtype=np.float64, na_value=np.nan)
    endless = [str(name) for name, bad in zip(table, np.isinf(values).any(axis=0), strict=True) if bad]
    return values, [f"infinite values in {', '.join(endless[:5])}"] if endless else []


def _outcome(column: pd.Series, positive: str | None) -> tuple[FloatArray, bool]:
    found = sorted(column.unique().tolist(), key=str)
    if positive is not None:
        words = column.astype(str)
        if len(found) != 2 or positive not in set(words):
            raise InputError(
                subject=f"outcome {column.name!r}", expected=f"two values, one of them {positive!r}",
                found=", ".join(map(str, found[:5])),
            )  # fmt: skip
        return np.asarray(words == positive, dtype=np.float64), True
    if len(found) < 2 or not pd.api.types.is_numeric_dtype(column):
        raise InputError(
            subject=f"outcome {column.name!r}", expected="numbers, or 0 and 1", found=", ".join(map(str, found[:5])),
            remedy="Say which of two words is the event (positive=, --positive)",
        )  # fmt: skip
    values = column.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError(subject=f"outcome {column.name!r}", expected="finite numbers", found="infinite ones")
    if len(found) == 2 and set(values) != {0.0, 1.0}:
        raise InputError(
            subject=f"outcome {column.name!r}", expected="0 and 1, or more than two numbers",
            found=", ".join(map(str, found)), remedy=f"Say which is the event, e.g. positive={str(found[1])!r}",
        )  # fmt: skip
    return values, len(found) == 2


def _tells(feature: FloatArray, outcome: FloatArray) -> bool:
    return bool(np.array_equal(feature, outcome) or np.array_equal(feature, 1 - outcome))


def _one_home(data: StudyData, patient: str) -> None:
    homes = pd.Series(data.centres).groupby(data.patients).nunique()
    if (several := homes[homes > 1]).size:
        raise InputError(
            subject=f"patients ({patient!r})", expected="one centre each",
            found=f"{len(several)} of {len(homes)} with several", remedy="Name patients by centre",
        )  # fmt: skip

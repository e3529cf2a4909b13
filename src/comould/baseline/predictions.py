"""Predictions of rows that were not learnt from, and what may be compared with what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from comould.baseline.data import IntArray, StudyData
from comould.space import FloatArray


@dataclass(frozen=True, eq=False)
class Predictions:
    """What was predicted of every row, once a repeat.

    Parameters
    ----------
    data
        The rows.
    predicted
        ``(n_repeats, n_rows)`` chance of the event, or value; NaN where a row was not predicted.
    expected
        ``(n_repeats, n_rows)`` what would have been said without any feature: the mean of the training outcome.
    fold
        ``(n_repeats, n_rows)`` the fold a row was held out in. Only predictions of one model, hence of one fold, are
        ranked against one another.
    """

    data: StudyData
    predicted: FloatArray
    expected: FloatArray
    fold: IntArray

    @classmethod
    def empty(cls, data: StudyData, n_repeats: int) -> Predictions:
        """Make room for predictions."""
        shape = (n_repeats, len(data.outcome))
        return cls(data, np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, -1, dtype=np.intp))

    def fill(self, repeat: int, rows: IntArray, predicted: FloatArray, expected: float, fold: int) -> None:
        """Write the predictions of one fold."""
        self.predicted[repeat, rows], self.expected[repeat, rows] = predicted, expected
        self.fold[repeat, rows] = fold

    def of(self, rows: IntArray) -> Predictions:
        """Keep some rows."""
        return Predictions(self.data.take(rows), self.predicted[:, rows], self.expected[:, rows], self.fold[:, rows])

    def table(self, patients: pd.Series) -> pd.DataFrame:
        """List them: ``patient``, ``centre``, ``repeat``, ``fold``, ``outcome``, ``predicted``, ``expected``."""
        names = np.array(self.data.centre_names or ("",), dtype=object)
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "patient": patients.to_numpy(), "centre": names[self.data.centres], "repeat": repeat,
                        "fold": self.fold[repeat], "outcome": self.data.outcome, "predicted": self.predicted[repeat],
                        "expected": self.expected[repeat],
                    }
                )
                for repeat in range(len(self.predicted))
            ],
            ignore_index=True,
        )  # fmt: skip

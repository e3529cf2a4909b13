"""What shapes the baseline beside its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from comould.errors import InputError

Harmonisation = Literal["none", "combat"]


@dataclass(frozen=True)
class BaselineOptions:
    """How the workflow is fitted and judged.

    Parameters
    ----------
    harmonise
        ``"combat"`` takes location and scale of centres off the features, fitted on the training patients of every
        fold; needs the extra ``comould[combat]``. ``"none"`` leaves features as they are.
    folds, inner_folds
        Outer folds that are predicted, and folds inside each training set that choose the model.
    repeats
        Times the outer folds are drawn anew.
    max_missing
        Features missing in a larger share of the training rows are left out; the rest takes the training median.
    max_correlation
        Of features whose absolute correlation is above, one is kept.
    sizes
        How many features the LASSO may let in; chosen in the inner folds.
    strengths
        Inverse strength of the elastic net's penalty (scikit-learn's ``C``); chosen in the inner folds.
    l1_ratio
        Share of the L1 penalty in the elastic net, 0 to 1.
    n_permutations
        Shuffles of the outcome for the p-value; 0 for none.
    n_bootstrap
        Resamples of patients for the intervals.
    level
        Of the intervals.
    """

    harmonise: Harmonisation = "none"
    folds: int = 5
    inner_folds: int = 4
    repeats: int = 3
    max_missing: float = 0.2
    max_correlation: float = 0.9
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16)
    strengths: tuple[float, ...] = (0.1, 1.0)
    l1_ratio: float = 0.5
    n_permutations: int = 100
    n_bootstrap: int = 1000
    level: float = 0.95

    def __post_init__(self) -> None:
        if problems := [text for wrong, text in self._rules() if wrong]:
            raise InputError.collect(subject="options of the baseline", problems=problems)

    def _rules(self) -> list[tuple[bool, str]]:
        return [
            (self.harmonise not in {"none", "combat"}, f"harmonise is {self.harmonise!r}, not 'none' or 'combat'"),
            (min(self.folds, self.inner_folds) < 2, "folds and inner_folds must be 2 or more"),
            (self.repeats < 1, "repeats must be 1 or more"),
            (not 0 <= self.max_missing < 1, f"max_missing {self.max_missing:g} is not a share below 1"),
            (not 0 < self.max_correlation <= 1, f"max_correlation {self.max_correlation:g} is not in (0, 1]"),
            (not self.sizes or min(self.sizes, default=0) < 1, "sizes must be positive counts"),
            (not self.strengths or min(self.strengths, default=0.0) <= 0, "strengths must be positive"),
            (not 0 <= self.l1_ratio <= 1, f"l1_ratio {self.l1_ratio:g} is not in [0, 1]"),
            (self.n_permutations < 0, "n_permutations must be 0 or more"),
            (self.n_bootstrap < 100, "n_bootstrap must be 100 or more"),
            (not 0.5 <= self.level < 1, f"level {self.level:g} is not in [0.5, 1)"),
        ]

    @classmethod
    def make(cls, given: Mapping[str, Any]) -> BaselineOptions:
        """Make a record from keywords; unknown ones are named with what there is instead."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            raise InputError(
                subject="options of the baseline", expected=f"some of {', '.join(known)}", found=", ".join(unknown)
            )
        return cls(**given)

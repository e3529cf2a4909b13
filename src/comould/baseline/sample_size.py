"""How many patients so many candidate features ask for."""

from __future__ import annotations

from math import ceil, exp, log

from comould.errors import InputError

_GAP = 0.05
_MARGIN = 0.05
_MOST = 10_000_000


def minimum_sample_size(
    n_features: int, *, prevalence: float | None = None, r2: float = 0.15, shrinkage: float = 0.9
) -> int:
    """Give the least number of patients for a prediction model, after Riley and colleagues.

    Parameters
    ----------
    n_features
        Candidate features, before any selection: each that was looked at counts.
    prevalence
        Share of events; ``None`` for a continuous outcome.
    r2
        What is hoped for: adjusted R² of a continuous outcome; of an event, Nagelkerke's (0.15 where nothing is known).
    shrinkage
        How much of the effects is to be left in new patients; 0.9 allows 10 % of overfitting.

    Returns
    -------
    int
        The largest of three: overfitting within ``shrinkage``, apparent and adjusted fit within 0.05, and the
        overall risk within 0.05 (the residual spread within 10 % of a continuous outcome).

    Raises
    ------
    InputError
        For numbers out of range.

    Notes
    -----
    Meant for models without penalty; penalties help, but their own strength is as uncertain in small samples. A data
    set far below is one whose results should be expected to change in the next one.

    References
    ----------
    Riley, R. D. et al. (2020). doi:10.1136/bmj.m441; (2019) doi:10.1002/sim.7992 (events), doi:10.1002/sim.7993.
    """
    problems = [] if n_features >= 1 else [f"{n_features} features"]
    problems += [] if 0 < r2 < 1 else [f"r2 {r2:g} is not in (0, 1)"]
    problems += [] if 0 < shrinkage < 1 else [f"shrinkage {shrinkage:g} is not in (0, 1)"]
    if prevalence is not None and not 0 < prevalence < 1:
        problems.append(f"prevalence {prevalence:g} is not in (0, 1)")
    if problems:
        raise InputError.collect(subject="sample size", problems=problems)
    if prevalence is None:
        return max(_overfit(n_features, r2, shrinkage), ceil(1 + n_features * (1 - r2) / _GAP), 234 + n_features)
    most = 1 - exp(2 * (prevalence * log(prevalence) + (1 - prevalence) * log(1 - prevalence)))
    hoped = r2 * most

    def patients(kept: float) -> int:
        return ceil(n_features / ((kept - 1) * log(1 - hoped / kept))) if hoped < kept else n_features

    return max(
        patients(shrinkage), patients(hoped / (hoped + _GAP * most)),
        ceil((1.96 / _MARGIN) ** 2 * prevalence * (1 - prevalence)),
    )  # fmt: skip


def _overfit(n_features: int, r2: float, shrinkage: float) -> int:
    """Find the smallest n at which the expected shrinkage of a linear model reaches what is asked."""

    def kept(n: int) -> float:
        apparent = (r2 * (n - n_features - 1) + n_features) / (n - 1)
        return 1 + (n_features - 2) / (n * log(1 - apparent))

    low, high = n_features + 2, _MOST
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if kept(middle) >= shrinkage else (middle + 1, high)
    return low

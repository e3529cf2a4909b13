"""Random-effects meta-analysis over patients: how large an effect is on average, and how much patients differ."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from comould.associate.cohort.roots import find_roots
from comould.associate.cohort.sums import At, PatientSums, Sums
from comould.errors import InputError
from comould.space import FloatArray

Method = Literal["REML", "DL", "PM"]
HartungKnapp = Literal["truncated", "plain", "none"]
METHODS: tuple[Method, ...] = get_args(Method)
KNAPPS: tuple[HartungKnapp, ...] = get_args(HartungKnapp)

_GRID = np.linspace(0, 1, 41)
_FURTHEST = 1e9
"""Largest τ² looked at, in typical variances."""


@dataclass(frozen=True, eq=False)
class RandomEffects:
    """What patients say together; every field a number, or ``(n_features,)``. NaN where patients are too few.

    Parameters
    ----------
    estimate, se
        Mean effect and its standard error.
    low, high
        Confidence interval of the mean effect.
    p
        Two-sided p-value of a mean effect of 0.
    tau2, tau2_low, tau2_high
        Variance of the true effects between patients, and its Q-profile interval.
    i2
        Share of the variation between patients that is not chance, per cent.
    h2
        Total variation over that by chance.
    q, q_p
        Cochran's Q and the p-value of equal effects.
    predicted_low, predicted_high
        Prediction interval: where the true effect of one further patient lies.
    n
        Patients.
    weights
        ``(n_patients, …)`` shares of the patients in the mean, in per cent; ``None`` when only sums were given.
    """

    estimate: FloatArray
    se: FloatArray
    low: FloatArray
    high: FloatArray
    p: FloatArray
    tau2: FloatArray
    tau2_low: FloatArray
    tau2_high: FloatArray
    i2: FloatArray
    h2: FloatArray
    q: FloatArray
    q_p: FloatArray
    predicted_low: FloatArray
    predicted_high: FloatArray
    n: npt.NDArray[np.intp]
    weights: FloatArray | None = None

    def frame(self) -> pd.DataFrame:
        """All but the weights as a table, one row a feature."""
        return pd.DataFrame({f.name: np.atleast_1d(getattr(self, f.name)) for f in fields(self) if f.name != "weights"})


def random_effects(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike,
    *,
    method: Method = "REML",
    hartung_knapp: HartungKnapp = "truncated",
    level: float = 0.95,
) -> RandomEffects:
    """Pool effects of patients, of one feature or of many at once.

    Parameters
    ----------
    effects, variances
        ``(n_patients,)`` or ``(n_patients, n_features)``: each patient's effect and its sampling variance (> 0), in
        the same unit, squared for the variance. NaN in either: the patient lacks the feature.
    method
        Of the variance between patients τ²: ``"REML"`` (restricted maximum likelihood), ``"DL"`` (DerSimonian and
        Laird), ``"PM"`` (Paule and Mandel).
    hartung_knapp
        ``"truncated"``: Hartung and Knapp's standard error with a t distribution of n - 1 degrees of freedom, but
        never smaller than the usual one, as it comes out by luck when a few patients agree closely. ``"plain"``:
        without that guard. ``"none"``: the usual standard error and the normal distribution, too sure of itself with
        few patients.
    level
        Of all intervals.

    Returns
    -------
    RandomEffects
        Numbers for one feature, arrays for many.

    Raises
    ------
    InputError
        If shapes differ, a variance is not above 0, or an option is unknown.

    Notes
    -----
    The patient is the unit: the answer is about patients like these, and assumes that their true effects are normal
    around the mean. Where there is no effect, p falls below 0.05 this often (``benchmarks/cohort_error_rate.py``, 5 to
    20 patients): ``"plain"`` 0.047 to 0.058; ``"truncated"`` 0.045 to 0.050 where patients differ, and far more
    seldom where they do not (0.004 with five, 0.030 with twenty), which costs power; ``"none"`` with DL up to 0.12.

    With fewer than about ten patients τ² is barely known; its interval says how barely. The
    prediction interval takes t with n - 2 degrees of freedom (Higgins, Thompson & Spiegelhalter) and the standard
    error chosen above; with few patients it holds less often than stated (Partlett & Riley 2017,
    doi:10.1002/sim.7140). The Q-profile interval of τ² may leave out a DL or REML estimate, or be empty (0 to 0).

    References
    ----------
    DerSimonian, R. & Laird, N. (1986). doi:10.1016/0197-2456(86)90046-2. Paule, R. C. & Mandel, J. (1982).
    doi:10.6028/jres.087.022. Viechtbauer, W. (2005). doi:10.3102/10769986030003261 (REML); (2007).
    doi:10.1002/sim.2514 (Q-profile). Knapp, G. & Hartung, J. (2003). doi:10.1002/sim.1482. Röver, C. et al. (2015).
    doi:10.1186/s12874-015-0091-1 (the guard). Higgins, J. P. T., Thompson, S. G. & Spiegelhalter, D. J. (2009).
    doi:10.1111/j.1467-985X.2008.00552.x. Higgins, J. P. T. & Thompson, S. G. (2002). doi:10.1002/sim.1186 (I², H²).
    """
    y, v = np.asarray(effects, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    one = y.ndim == 1
    patients = _patients(y, v)
    found = pool(patients, method=method, hartung_knapp=hartung_knapp, level=level)
    there = np.isfinite(patients.effects)
    weights = np.where(there, 1 / (np.where(there, patients.variances, 1.0) + found.tau2_weighted), np.nan)
    with np.errstate(invalid="ignore"):
        shares = 100 * weights / np.nansum(weights, axis=0)
    values = {f.name: getattr(found.answer, f.name) for f in fields(RandomEffects)} | {"weights": shares}
    if one:
        values = {name: value[:, 0] if name == "weights" else value[0] for name, value in values.items()}
    return RandomEffects(**values)


@dataclass(frozen=True, eq=False)
class Pooled:
    """An answer from sums alone, and the τ² its weights were made with (0 where it is not known)."""

    answer: RandomEffects
    tau2_weighted: FloatArray


def pool(
    sums: Sums, *, method: Method = "REML", hartung_knapp: HartungKnapp = "truncated", level: float = 0.95
) -> Pooled:
    """Pool from sums; parameters, errors and sources as in :func:`random_effects`."""
    _check_options(method, hartung_knapp, level)
    count = sums.count
    tau2, low, high = (np.full(count.shape, np.nan) for _ in range(3))
    several = count >= 2
    if several.any():
        some = sums.some(several)
        nought = some.at(np.zeros(int(several.sum())))
        tau2[several] = _tau2(some, nought, method)
        low[several], high[several] = _q_profile(some, nought, level)
    used = np.where(several, tau2, 0.0)
    answer = _answer(sums.at(np.zeros(count.shape)), sums.at(used), count, tau2, hartung_knapp, level)
    return Pooled(RandomEffects(**answer, tau2_low=low, tau2_high=high, n=count.astype(np.intp)), used)


def _answer(
    nought: At, at: At, count: FloatArray, tau2: FloatArray, hartung_knapp: HartungKnapp, level: float
) -> dict[str, FloatArray]:
    freedom = np.where(count >= 2, count - 1, np.nan)
    tail = (1 + level) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = at.spread / freedom
        if hartung_knapp == "truncated":
            factor = np.maximum(factor, 1.0)
        se = np.sqrt(1 / at.weight)
        if hartung_knapp == "none":
            reach = np.full(count.shape, stats.norm.ppf(tail))
            p = 2 * stats.norm.sf(np.abs(at.mean) / se)
        else:
            se = se * np.sqrt(factor)
            reach = stats.t.ppf(tail, freedom)
            p = 2 * stats.t.sf(np.abs(at.mean) / se, freedom)
        typical = freedom / (nought.weight - nought.weight2 / nought.weight)
        further = stats.t.ppf(tail, np.where(count >= 3, count - 2, np.nan)) * np.sqrt(tau2 + se**2)
        return {
            "estimate": np.where(count >= 1, at.mean, np.nan),
            "se": np.where(count >= 1, se, np.nan),
            "low": at.mean - reach * se,
            "high": at.mean + reach * se,
            "p": p,
            "tau2": tau2,
            "i2": 100 * tau2 / (tau2 + typical),
            "h2": tau2 / typical + 1,
            "q": np.where(count >= 2, nought.spread, np.nan),
            "q_p": stats.chi2.sf(nought.spread, freedom),
            "predicted_low": at.mean - further,
            "predicted_high": at.mean + further,
        }


def _tau2(sums: Sums, nought: At, method: Method) -> FloatArray:
    freedom = sums.count - 1
    if method == "DL":
        return np.maximum((nought.spread - freedom) / (nought.weight - nought.weight2 / nought.weight), 0.0)
    return _crossing(sums, nought, freedom) if method == "PM" else _reml(sums)


def _reml(sums: Sums) -> FloatArray:
    """Find the likelihood's highest point: the best of a grid, then the root of the slope around it."""
    scale = sums.scale
    curve = np.stack([sums.at(_tau2_at(np.full(scale.shape, x), scale)).likelihood for x in _GRID])
    best = curve.argmax(axis=0)
    top = _GRID[best]
    rising = sums.at(_tau2_at(top, scale)).score > 0
    low = np.where(rising, top, _GRID[np.maximum(best - 1, 0)])
    high = np.where(rising, _GRID[np.minimum(best + 1, len(_GRID) - 1)], top)
    # At 0 and falling, both ends are 0, and so is the answer.
    return _tau2_at(find_roots(lambda x: sums.at(_tau2_at(x, scale)).score, low, high), scale)


def _tau2_at(x: FloatArray, scale: FloatArray) -> FloatArray:
    """Stretch 0 … 1 over all τ²: half of it below the typical variance."""
    return scale * np.minimum(x / np.maximum(1 - x, 1 / _FURTHEST), _FURTHEST)


def _crossing(sums: Sums, nought: At, target: FloatArray) -> FloatArray:
    """Find the τ² at which Q, which falls as τ² grows, has come down to a target; 0 where it never was above."""
    scale = sums.scale
    ones = np.ones(scale.shape)
    root = find_roots(lambda x: sums.at(_tau2_at(x, scale)).spread - target, 0 * ones, ones)
    return np.where(nought.spread <= target, 0.0, _tau2_at(root, scale))


def _q_profile(sums: Sums, nought: At, level: float) -> tuple[FloatArray, FloatArray]:
    freedom = sums.count - 1
    tail = (1 - level) / 2
    low, high = (
        _crossing(sums, nought, np.asarray(stats.chi2.ppf(share, freedom), dtype=np.float64))
        for share in (1 - tail, tail)
    )
    return low, high


def _patients(effects: FloatArray, variances: FloatArray) -> PatientSums:
    problems = []
    if effects.ndim not in {1, 2} or effects.shape != variances.shape or not effects.size:
        problems.append(f"effects have shape {effects.shape} and variances {variances.shape}: not patients × features")
    elif np.isinf(effects).any() or np.isinf(variances).any():
        problems.append("some are infinite")
    elif (variances <= 0).any():
        problems.append(f"{int((variances <= 0).sum())} variances are not above 0")
    if problems:
        raise InputError.collect(subject="effects of patients", problems=problems)
    both = np.isfinite(effects) & np.isfinite(variances)
    shape = (len(effects), -1)
    return PatientSums(np.where(both, effects, np.nan).reshape(shape), np.where(both, variances, np.nan).reshape(shape))


def _check_options(method: str, hartung_knapp: str, level: float) -> None:
    problems = []
    if method not in METHODS:
        problems.append(f"method {method!r} is not one of {', '.join(METHODS)}")
    if hartung_knapp not in KNAPPS:
        problems.append(f"hartung_knapp {hartung_knapp!r} is not one of {', '.join(KNAPPS)}")
    if not 0 < level < 1:
        problems.append(f"level {level:g} is not between 0 and 1")
    if problems:
        raise InputError.collect(subject="options of the meta-analysis", problems=problems)

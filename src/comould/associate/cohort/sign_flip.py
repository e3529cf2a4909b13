"""Sign flips over patients: a p-value that rests on nothing but symmetry, and one that minds all features at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.space import FloatArray

EXACT_UP_TO = 14
_TIE = 1e-10
_CELLS = 4_000_000


@dataclass(frozen=True, eq=False)
class SignFlips:
    """What sign flips say of every feature.

    Parameters
    ----------
    p
        ``(n_features,)`` two-sided; NaN where no p-value at or below ``alpha`` can come out.
    p_max_t
        ``(n_features,)`` Westfall and Young's step-down p-value: the chance that any feature without an effect has as
        small a one. NaN where ``p`` is.
    attainable
        ``(n_features,)`` the smallest p-value that can come out: ``2 / 2^n`` for n patients that have the feature,
        or one over the number of random flips.
    reason
        ``(n_features,)`` why a feature cannot be tested; empty when it can.
    n_flips
        Flips looked at, the data themselves among them.
    exact
        Whether they were all there are.
    """

    p: FloatArray
    p_max_t: FloatArray
    attainable: FloatArray
    reason: npt.NDArray[np.object_]
    n_flips: int
    exact: bool


def sign_flip(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike | None = None,
    *,
    n_flips: int = 9999,
    alpha: float = 0.05,
    seed: int | np.random.SeedSequence = 0,
) -> SignFlips:
    """Test that effects are symmetric around 0 over patients, by turning the signs of whole patients.

    Parameters
    ----------
    effects
        ``(n_patients, n_features)``, or ``(n_patients,)`` for one feature; NaN where a patient lacks a feature.
    variances
        Same shape: sampling variances; patients then weigh ``1 / (v + t)``, t being what is left of the mean square of
        the effects (which no flip changes) beyond their variances. ``None``: all weigh the same.
    n_flips
        Random flips, for more than 14 patients. With 14 or fewer all ``2^(n - 1)`` are taken (a flip and its mirror
        image say the same).
    alpha
        Features for which even the clearest data could not reach it are not tested.
    seed
        Same seed, same flips. One flip turns all features of a patient together, so that their dependence stays.

    Returns
    -------
    SignFlips
        One entry a feature.

    Raises
    ------
    InputError
        If shapes differ, no effect is there, or fewer than 1 flip is asked for.

    Notes
    -----
    The statistic is ``|Σ w y| / sqrt(Σ w² y²)``, which orders flips as the t statistic does. Two-sided with n
    patients the smallest p-value is ``2 / 2^n``: 0.125 with four, 0.0625 with five, 0.031 with six. Fewer than six
    patients hence cannot be tested at 0.05, whatever they show.

    References
    ----------
    Westfall, P. H. & Young, S. S. (1993). Resampling-based multiple testing. Wiley. Winkler, A. M. et al. (2014).
    doi:10.1016/j.neuroimage.2014.01.060. Phipson, B. & Smyth, G. K. (2010). doi:10.2202/1544-6115.1585
    """
    y = np.asarray(effects, dtype=np.float64)
    v = None if variances is None else np.asarray(variances, dtype=np.float64)
    _check(y, v, n_flips)
    y = y.reshape(len(y), -1)
    shares = _shares(y, None if v is None else v.reshape(y.shape))
    count = np.isfinite(y).sum(axis=0)
    exact = len(y) <= EXACT_UP_TO
    flips = _all_flips(len(y)) if exact else _random_flips(len(y), n_flips, seed)
    attainable = 2.0 / 2.0**count if exact else np.maximum(2.0 / 2.0**count, 1 / len(flips))
    reason = np.array(
        [
            f"{n} patients: the smallest p-value is {least:.2g}, above {alpha:g}" if least > alpha else ""
            for n, least in zip(count, np.minimum(attainable, 1.0), strict=True)
        ],
        dtype=object,
    )
    open_ = np.flatnonzero(reason == "")
    p, p_max = np.full(y.shape[1], np.nan), np.full(y.shape[1], np.nan)
    if len(open_):
        p[open_], p_max[open_] = _p_values(flips, shares[:, open_])
    return SignFlips(p, p_max, np.minimum(attainable, 1.0), reason, len(flips), exact)


def _shares(effects: FloatArray, variances: FloatArray | None) -> FloatArray:
    """Each patient's share ``w y / sqrt(Σ w² y²)`` of the statistic; 0 where the patient lacks the feature."""
    there = np.isfinite(effects) if variances is None else np.isfinite(effects) & np.isfinite(variances)
    values = np.where(there, effects, 0.0)
    if variances is not None:
        own = np.where(there, variances, 0.0)
        beyond = np.maximum((values**2 - own).sum(axis=0) / np.maximum(there.sum(axis=0), 1), 0.0)
        values = np.where(there, values / np.where(there, own + beyond, 1.0), 0.0)
    length = np.linalg.norm(values, axis=0)
    return np.asarray(values / np.where(length > 0, length, 1.0), dtype=np.float64)


def _p_values(flips: FloatArray, shares: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Single and step-down p-values; the first flip is the data themselves."""
    observed = np.abs(flips[0] @ shares)
    order = np.argsort(observed, kind="stable")
    shares, ranked = shares[:, order], observed[order] - _TIE
    single, highest = np.zeros(len(order)), np.zeros(len(order))
    step = max(1, _CELLS // len(order))
    for start in range(0, len(flips), step):
        sizes = np.abs(flips[start : start + step] @ shares)
        single += (sizes >= ranked).sum(axis=0)
        highest += (np.maximum.accumulate(sizes, axis=1, out=sizes) >= ranked).sum(axis=0)
    stepped = np.maximum.accumulate((highest / len(flips))[::-1])[::-1]
    back = np.argsort(order)
    return single[back] / len(flips), np.asarray(stepped[back], dtype=np.float64)


def _all_flips(count: int) -> FloatArray:
    bits = (np.arange(2 ** (count - 1))[:, None] >> np.arange(count)) & 1
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)


def _random_flips(count: int, n: int, seed: int | np.random.SeedSequence) -> FloatArray:
    rng = np.random.default_rng(seed)
    return np.vstack([np.ones((1, count)), rng.choice([-1.0, 1.0], size=(n, count))])


def _check(effects: FloatArray, variances: FloatArray | None, n_flips: int) -> None:
    problems = []
    if effects.ndim not in {1, 2} or not effects.size:
        problems.append(f"effects have shape {effects.shape}, not patients × features")
    if variances is not None and variances.shape != effects.shape:
        problems.append(f"variances have shape {variances.shape}, effects {effects.shape}")
    if n_flips < 1:
        problems.append(f"{n_flips} flips asked for")
    if problems:
        raise InputError.collect(subject="sign flips", problems=problems)

"""Leave out one patient or one centre at a time, to see whether a single one carries the claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.associate.cohort.meta import HartungKnapp, Method, RandomEffects, random_effects
from comould.errors import InputError
from comould.space import FloatArray

SIGN_LOST, SIGNIFICANCE_LOST = "sign lost", "significance lost"


def leave_one_out(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike,
    patients: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    method: Method = "REML",
    hartung_knapp: HartungKnapp = "truncated",
    level: float = 0.95,
) -> pd.DataFrame:
    """Pool one feature again without each patient, and without each centre.

    Parameters
    ----------
    effects, variances
        ``(n_patients,)``, as in :func:`~comould.associate.cohort.meta.random_effects`.
    patients
        ``(n_patients,)`` names, each once.
    groups
        ``(n_patients,)`` the centre of each; ``None``: by patient only. One centre alone cannot be left out.
    method, hartung_knapp, level
        As in :func:`~comould.associate.cohort.meta.random_effects`. ``1 - level`` is also what p is held against.

    Returns
    -------
    DataFrame
        A row for all together (``unit`` "all"), then for each patient and centre left out: ``left_out``, ``unit``
        ("patient" or "centre"), ``estimate``, ``low``, ``high``, ``p``, ``tau2``, ``n``, and ``lost``: "sign lost",
        "significance lost" or nothing. Someone whose row says something carries the claim. What is not significant
        together has no significance to lose.

    Raises
    ------
    InputError
        If the numbers of names differ or a patient is named twice.
    """
    y, v = (np.asarray(x, dtype=np.float64)[:, None] for x in (effects, variances))
    names, centres = _names(patients, groups, len(y))
    whole = random_effects(y, v, method=method, hartung_knapp=hartung_knapp, level=level)
    rows = [_row("", "all", whole, "")]
    for unit, name, kept in _left_out(names, centres):
        rest = random_effects(y[kept], v[kept], method=method, hartung_knapp=hartung_knapp, level=level)
        rows.append(_row(name, unit, rest, str(_lost(whole, rest, 1 - level)[0])))
    return pd.DataFrame(rows)


def carried_by(
    effects: FloatArray,
    variances: FloatArray,
    patients: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    method: Method = "REML",
    hartung_knapp: HartungKnapp = "truncated",
    level: float = 0.95,
) -> npt.NDArray[np.object_]:
    """Name for every feature the single patients and centres without whom its claim is lost.

    Parameters
    ----------
    effects, variances
        ``(n_patients, n_features)``.
    patients, groups, method, hartung_knapp, level
        As in :func:`leave_one_out`.

    Returns
    -------
    ndarray
        ``(n_features,)`` text, e.g. ``"patient P3 (significance lost); centre B (sign lost)"``; empty where nobody
        carries it alone, or where there is no significant effect to carry.

    Raises
    ------
    InputError
        As :func:`leave_one_out`.
    """
    names, centres = _names(patients, groups, len(effects))
    whole = random_effects(effects, variances, method=method, hartung_knapp=hartung_knapp, level=level)
    claimed = np.flatnonzero(whole.p <= 1 - level)
    how: dict[str, Any] = {"method": method, "hartung_knapp": hartung_knapp, "level": level}

    def without() -> Iterator[Without]:
        for unit, name, kept in _left_out(names, centres):
            rest = random_effects(effects[np.ix_(kept, claimed)], variances[np.ix_(kept, claimed)], **how)
            yield f"{unit} {name}", rest, np.isfinite(effects[np.ix_(~kept, claimed)]).max(axis=0)

    return name_carriers(whole, claimed, without(), 1 - level)


Without = tuple[str, RandomEffects, npt.NDArray[np.bool_]]
"""Who is left out, the answer of the rest ``(n_claimed,)``, and which of the features those left out had at all."""


def name_carriers(
    whole: RandomEffects, claimed: npt.NDArray[np.intp], without: Iterable[Without], alpha: float
) -> npt.NDArray[np.object_]:
    """Say for every feature who takes its claim along when left out.

    Parameters
    ----------
    whole
        The answer of all ``(n_features,)``.
    claimed
        Indices of the features that are claimed; nothing is asked about the others.
    without
        Answers without someone, for the claimed features.
    alpha
        What p is held against.

    Returns
    -------
    ndarray
        ``(n_features,)`` text, empty where nobody does.
    """
    said = np.full(len(whole.estimate), "", dtype=object)
    if not len(claimed):
        return said
    mine = RandomEffects(**{k: v if k == "weights" else v[claimed] for k, v in vars(whole).items()})
    for who, rest, there in without:
        # Someone without the feature leaves everything as it was.
        for feature, what, had in zip(claimed, _lost(mine, rest, alpha), there, strict=True):
            if what and had:
                said[feature] += ("; " if said[feature] else "") + f"{who} ({what})"
    return said


def _lost(whole: RandomEffects, rest: RandomEffects, alpha: float) -> npt.NDArray[np.object_]:
    turned = np.sign(rest.estimate) * np.sign(whole.estimate) < 0
    gone = (whole.p <= alpha) & ~(rest.p <= alpha)
    return np.where(turned, SIGN_LOST, np.where(gone, SIGNIFICANCE_LOST, "")).astype(object)


def _left_out(
    patients: npt.NDArray[np.object_], centres: npt.NDArray[np.object_] | None
) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    if len(patients) > 1:
        for name in sorted(patients):
            yield "patient", str(name), np.asarray(patients != name)
    if centres is not None and len(found := pd.unique(centres)) > 1:
        for name in sorted(found):
            yield "centre", str(name), np.asarray(centres != name)


def _names(
    patients: Sequence[str], groups: Sequence[str] | None, count: int
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_] | None]:
    names = np.array([str(name) for name in patients], dtype=object)
    centres = None if groups is None else np.array([str(name) for name in groups], dtype=object)
    problems = []
    if len(names) != count:
        problems.append(f"{len(names)} patients named for {count} effects")
    if len(set(names)) < len(names):
        problems.append("a patient is named twice")
    if centres is not None and len(centres) != count:
        problems.append(f"{len(centres)} centres named for {count} effects")
    if problems:
        raise InputError.collect(subject="patients to leave out", problems=problems)
    return names, centres


def _row(name: str, unit: str, found: RandomEffects, lost: str) -> dict[str, object]:
    values = {key: getattr(found, key)[0] for key in ("estimate", "low", "high", "p", "tau2", "n")}
    return {"left_out": name, "unit": unit, **values, "lost": lost}

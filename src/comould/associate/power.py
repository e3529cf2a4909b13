"""How many patients, sections and spots it takes to find an effect, by simulating the whole study many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from comould.associate.cohort.meta import random_effects
from comould.associate.cohort.simulate import Bench, IntArray, Scenario
from comould.associate.nulls.places import branch
from comould.errors import InputError
from comould.io.output import plain, provenance
from comould.space import FloatArray

__all__ = ["Scenario", "minimum_patients", "power"]

_N_SURROGATES = 200
_MOST_SPOTS = 50_000

Support = tuple[npt.ArrayLike, npt.ArrayLike]


def power(
    effects: float | Sequence[float],
    *,
    patients: Sequence[int] = (6, 8, 10, 12, 16, 20),
    sections: Sequence[int | Support] = (3,),
    error_mm: Sequence[float] = (0.0, 1.0, 2.0),
    scenario: Scenario | None = None,
    n_simulations: int = 200,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """Simulate cohorts and count how often the effect is found, for every size, number of sections and error.

    Parameters
    ----------
    effects
        Log2 fold change of the gene inside the habitat, mean over patients. Give 0 too, to see the false-positive rate.
    patients
        Sizes of the cohort. Smaller ones are the first patients of the largest.
    sections
        Sections a patient, each as large and as dense as the scenario says; or real ones: positions ``(n_spots, 3)`` in
        mm and a label of the section ``(n_spots,)`` of one patient, taken for all.
    error_mm
        Standard deviations, on each axis, of where spots are thought to be: half of the variance common to a section
        (a wrong registration), half each spot's own.
    scenario
        What else is assumed; the defaults when ``None``.
    n_simulations
        Cohorts for each cell; with 200 the power is known to ± 7 per cent points at most.
    seed
        Same seed, same table with any number of workers. Effects are compared on the same simulated patients.
    workers
        Threads.
    progress
        Called with the fraction done.

    Returns
    -------
    DataFrame
        A row per effect, sections, error and patients: ``effect``, ``n_sections``, ``n_spots`` (of a patient),
        ``error_mm``, ``n_patients``, ``power``, ``low``, ``high`` (Wilson's 95 % interval), ``n_simulations``,
        ``n_effective`` (median of patients) and ``untestable`` (share of patients). ``attrs`` holds the scenario.

    Raises
    ------
    InputError
        If numbers are out of range or sections are neither a number nor positions with labels.

    Notes
    -----
    The habitat is the part of a smooth Gaussian field above a threshold. Spots take counts where they truly are and
    a habitat where they are thought to be. Each patient is tested as :func:`comould.associate.test` does (correlation
    within sections, effective number of spots from surrogate habitats), the cohort by random effects with Hartung and
    Knapp's standard error. It is one gene at one level: for many, divide ``alpha`` by their number. That standard error
    is cautious: without an effect, 0.004 to 0.036 were found at 0.05 (6 to 16 patients who do not differ). Surrogates
    come from the habitat's true law, which a study must estimate; tissue is taken to be everywhere.
    """
    s = scenario or Scenario()
    strengths = np.atleast_1d(np.asarray(effects, dtype=np.float64))
    _check(strengths, patients, sections, error_mm, n_simulations, workers)
    layouts = [_layout(s, one) for one in sections]
    benches = [
        Bench.make(s, positions, codes, _N_SURROGATES, np.random.SeedSequence(seed, spawn_key=(0, number)))
        for number, (positions, codes) in enumerate(layouts)
    ]
    cells = list(product(benches, error_mm))
    seeds = [np.random.SeedSequence(seed, spawn_key=(1, number)) for number in range(n_simulations)]
    rows: list[dict[str, float]] = []
    with ThreadPoolExecutor(workers) as pool:
        for done, (bench, error) in enumerate(cells):
            draw = partial(_cohort, bench, strengths, float(error), max(patients))
            # (n_simulations, n_patients, n_effects, 2)
            drawn = np.stack(list(pool.map(draw, seeds)))
            for number, strength in enumerate(strengths):
                facts = {
                    "effect": float(strength),
                    "n_sections": int(bench.sections.max()) + 1,
                    "n_spots": len(bench.positions),
                    "error_mm": float(error),
                }
                rows += [facts | _found(drawn[:, :n, number], s.alpha) for n in sorted(set(patients))]
            if progress is not None:
                progress((done + 1) / len(cells))
    table = pd.DataFrame(rows)
    record = provenance(parameters={**asdict(s), "n_simulations": n_simulations}, seed=seed, libraries=("scipy",))
    table.attrs.update(plain(record))
    return table


def minimum_patients(table: pd.DataFrame, wanted: float = 0.8) -> pd.DataFrame:
    """Read off the smallest cohort that reaches a power.

    Parameters
    ----------
    table
        Of :func:`power`.
    wanted
        The power.

    Returns
    -------
    DataFrame
        A row per effect, sections and error: ``n_patients``, the smallest cohort from which on all simulated ones
        reach it, and ``n_patients_sure``, whose interval lies above it too; missing (``<NA>``) where none does.

    Raises
    ------
    InputError
        If columns are missing or the power is not between 0 and 1.
    """
    keys = ["effect", "n_sections", "n_spots", "error_mm"]
    if lacking := [c for c in (*keys, "n_patients", "power", "low") if c not in table]:
        raise InputError(subject="power table", expected="the columns of power", found=f"no {', '.join(lacking)}")
    if not 0 < wanted < 1:
        raise InputError(subject="power", expected="between 0 and 1", found=f"{wanted:g}")
    rows = []
    for values, part in table.groupby(keys, sort=True):
        ordered = part.sort_values("n_patients")
        sizes = ordered["n_patients"].to_numpy()
        rows.append(
            dict(zip(keys, values, strict=True))
            | {name: _first(sizes, ordered[column].to_numpy() >= wanted)
               for name, column in (("n_patients", "power"), ("n_patients_sure", "low"))}
        )  # fmt: skip
    return pd.DataFrame(rows).astype({"n_patients": "Int64", "n_patients_sure": "Int64"})


def _first(sizes: npt.NDArray[np.int_], reached: npt.NDArray[np.bool_]) -> int | None:
    lasting = np.logical_and.accumulate(reached[::-1])[::-1]
    return int(sizes[np.argmax(lasting)]) if lasting.any() else None


def _cohort(bench: Bench, effects: FloatArray, error_mm: float, n: int, seed: np.random.SeedSequence) -> FloatArray:
    """Simulate ``(n, n_effects, 2)`` effects and variances; every patient has a seed of its own."""
    return np.stack([bench.patient(effects, error_mm, branch(seed, number)) for number in range(n)])


def _found(drawn: FloatArray, alpha: float) -> dict[str, float]:
    """Pool ``(n_simulations, n_patients, 2)`` and count."""
    y, v = drawn[:, :, 0].T, drawn[:, :, 1].T
    pooled = random_effects(y, v, level=1 - alpha)
    hits, trials = int((pooled.p <= alpha).sum()), drawn.shape[0]
    interval = stats.binomtest(hits, trials).proportion_ci(method="wilson")
    there = np.isfinite(v)
    effective = float(np.median(3 + 1 / v[there])) if there.any() else float("nan")
    return {
        "n_patients": len(y), "power": hits / trials, "low": float(interval.low), "high": float(interval.high),
        "n_simulations": trials, "n_effective": effective, "untestable": float(1 - there.mean()),
    }  # fmt: skip


def _layout(scenario: Scenario, sections: int | Support) -> tuple[FloatArray, IntArray]:
    if isinstance(sections, int | np.integer):
        return scenario.sections(int(sections))
    positions, labels = np.asarray(sections[0], dtype=np.float64), np.asarray(sections[1])
    if positions.ndim != 2 or positions.shape[1] != 3 or labels.shape != (len(positions),) or len(positions) < 4:
        raise InputError(
            subject="sections", expected="a number, or positions (n, 3) in mm and a label for each",
            found=f"shapes {positions.shape} and {labels.shape}",
        )  # fmt: skip
    if not np.isfinite(positions).all() or len(positions) > _MOST_SPOTS:
        raise InputError(
            subject="sections", expected=f"finite positions, {_MOST_SPOTS} at most", found=f"{len(positions)}"
        )
    return positions - positions.mean(axis=0), np.unique(labels.astype(str), return_inverse=True)[1]


def _check(
    effects: FloatArray,
    patients: Sequence[int],
    sections: Sequence[int | Support],
    error_mm: Sequence[float],
    n: int,
    workers: int,
) -> None:
    problems = []
    if not effects.size or not np.isfinite(effects).all():
        problems.append("an effect is not a number")
    if not len(patients) or min(patients) < 2:
        problems.append("a cohort has fewer than two patients")
    if not len(sections) or any(isinstance(one, int) and one < 1 for one in sections):
        problems.append("a patient has no section")
    if not len(error_mm) or not all(0 <= e < np.inf for e in error_mm):
        problems.append("an error is below 0")
    if n < 10:
        problems.append(f"{n} simulations are fewer than 10")
    if workers < 1:
        problems.append(f"{workers} workers")
    if problems:
        raise InputError.collect(subject="power", problems=problems)

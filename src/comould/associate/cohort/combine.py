"""Pool centres from their summaries alone: the same answer as pooling all their patients."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.associate.claims.statistics import benjamini_hochberg
from comould.associate.cohort.curves import PARTS, Curves, CurveSums
from comould.associate.cohort.exchange import FORMAT, VERSION, digest, surrogate_p
from comould.associate.cohort.leave_out import Without, name_carriers
from comould.associate.cohort.meta import HartungKnapp, Method, RandomEffects, pool
from comould.errors import InputError
from comould.io.output import plain, provenance
from comould.space import FloatArray

_CLOSE = 1e-3


@dataclass(frozen=True, eq=False)
class Summary:
    """A centre's summary, read and checked.

    Parameters
    ----------
    centre
        Its name.
    n_patients
        Patients of the centre.
    rows
        ``(n_rows,)`` kind, feature, habitat.
    curves
        Their sums over patients.
    observed, surrogates
        ``(n_rows,)`` and ``(n_rows, n_surrogates)`` weighted sums, NaN where there are none.
    digest
        Of the file.
    """

    centre: str
    n_patients: int
    rows: pd.MultiIndex
    curves: Curves
    observed: FloatArray
    surrogates: FloatArray
    digest: str


def combine_summaries(
    paths: Sequence[str | Path],
    *,
    method: Method = "REML",
    hartung_knapp: HartungKnapp = "truncated",
    level: float = 0.95,
    min_patients: int = 5,
) -> pd.DataFrame:
    """Pool the patients of several centres without seeing one.

    Parameters
    ----------
    paths
        Files of :func:`~comould.associate.cohort.exchange.export_summary`, one a centre. To leave a centre out, leave
        its file out.
    method, hartung_knapp, level, min_patients
        As in :func:`~comould.associate.cohort.table.cohort`.

    Returns
    -------
    DataFrame
        As of :func:`~comould.associate.cohort.table.cohort`, from summaries: the same to about 1e-10 with 12 digits.
        ``carried_by`` names centres only, and there are no sign flips, which need patients. With surrogates in all
        files that have a row, ``p_surrogate`` (see :func:`~comould.associate.cohort.exchange.surrogate_p`), else NaN.

        A centre withholds rows that too few of its patients have; those patients are then missing here too.

    Raises
    ------
    InputError
        For a file that is no summary, of another version, changed since it was written, that contradicts itself or
        the others; for one centre twice, or centres without a row in common.
    """
    read = [read_summary(path) for path in paths]
    _check_together(read)
    rows = read[0].rows
    for summary in read[1:]:
        rows = rows.union(summary.rows, sort=False)
    rows = rows.sort_values()
    places = [summary.rows.get_indexer(rows) for summary in read]
    sums = [_spread(summary, place) for summary, place in zip(read, places, strict=True)]
    how: dict[str, Any] = {"method": method, "hartung_knapp": hartung_knapp, "level": level}
    pooled = pool(CurveSums(sums), **how).answer
    testable = pooled.n >= min_patients
    table = _table(rows, pooled, testable, min_patients)
    table["n_centres"] = np.sum([place >= 0 for place in places], axis=0)
    table["p_surrogate"] = _surrogate_p(read, places)
    claimed = np.flatnonzero(testable & (pooled.p <= 1 - level))
    table["carried_by"] = _carried(sums, [s.centre for s in read], pooled, claimed, how)
    table = table.sort_values(["p", "feature", "habitat"], ignore_index=True, kind="stable")
    record = provenance(parameters={**how, "min_patients": min_patients}, libraries=("scipy", "pandas"))
    record["summaries"] = {summary.centre: {"sha256": summary.digest} for summary in read}
    record["n_patients"] = sum(summary.n_patients for summary in read)
    table.attrs.update(plain(record))
    return table


def leave_one_centre_out(paths: Sequence[str | Path], **options: Any) -> dict[str, pd.DataFrame]:
    """Combine all centres but one, for each: centre left out to the table of :func:`combine_summaries`.

    Raises
    ------
    InputError
        As :func:`combine_summaries`, or for fewer than two summaries.
    """
    if len(paths) < 2:
        raise InputError(subject="summaries", expected="two or more, to leave one out", found=str(len(paths)))
    names = [read_summary(path).centre for path in paths]
    return {
        name: combine_summaries([p for other, p in enumerate(paths) if other != number], **options)
        for number, name in enumerate(names)
    }


def read_summary(path: str | Path) -> Summary:
    """Read a summary and check that it says one thing.

    Raises
    ------
    InputError
        If it cannot be read, is no summary or of another version, was changed after it was written, holds values that
        are not numbers, or counts that its own sums contradict.
    """
    path = Path(path)
    content = _load(path)
    if content.get("format") != FORMAT:
        raise InputError(
            subject=f"summary {path.name}", expected=f'a file whose format is "{FORMAT}"',
            found=repr(content.get("format")), remedy="Write it with comould.associate.export_summary",
        )  # fmt: skip
    if content.get("version") != VERSION:
        raise InputError(
            subject=f"summary {path.name}", expected=f"version {VERSION}", found=repr(content.get("version")),
            remedy="Write it anew with the same comould as is used here",
        )  # fmt: skip
    try:
        found = _parsed(content)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            subject=f"summary {path.name}", expected="all that a summary holds, in its place",
            found=f"{type(error).__name__}: {error}",
        ) from error  # fmt: skip
    problems = _contradictions(content, found)
    if problems:
        raise InputError.collect(
            subject=f"summary {path.name}", problems=problems, remedy="Ask the centre to write it again"
        )
    return found


def _load(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
        content = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    except OSError as error:
        raise InputError(subject=f"summary {path}", expected="a file", found=error.strerror or "none") from error
    except (EOFError, zlib.error, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(
            subject=f"summary {path.name}", expected="JSON", found=" ".join(str(error).split()) or "something else"
        ) from error
    return content if isinstance(content, dict) else {}


def _parsed(content: dict[str, Any]) -> Summary:
    rows = pd.MultiIndex.from_arrays(
        [[str(x) for x in content["rows"][name]] for name in ("kind", "feature", "habitat")],
        names=("kind", "feature", "habitat"),
    )
    shape = (len(PARTS), int(content["n_nodes"]), len(rows))
    values = np.stack([np.array(content["curves"][name], dtype=np.float64).T for name in PARTS])
    if values.shape != shape or len(content["n"]) != len(rows) or not len(rows) or shape[1] < 2:
        msg = f"curves of shape {values.shape} and {len(content['n'])} counts for {len(rows)} rows"
        raise ValueError(msg)
    observed, surrogates = np.full(len(rows), np.nan), np.full((len(rows), 0), np.nan)
    if (sent := content.get("surrogates")) is not None:
        surrogates = np.full((len(rows), int(sent["n_surrogates"])), np.nan)
        chosen = np.array(sent["row"], dtype=np.intp)
        observed[chosen] = np.array(sent["observed"], dtype=np.float64)
        if len(chosen):
            surrogates[chosen] = np.array(sent["sums"], dtype=np.float64)
    return Summary(
        str(content["centre"]), int(content["n_patients"]), rows, Curves(values, float(content["scale"])), observed,
        surrogates, str(content["digest"]),
    )  # fmt: skip


def _contradictions(content: dict[str, Any], found: Summary) -> list[str]:
    """List what a sound file cannot say. The last point of each curve is the count, Σ y, Σ y² and 0."""
    values, n = found.curves.on_grid, np.array(content["n"], dtype=np.float64)
    if not np.isfinite(values).all() or not np.isfinite(n).all() or not 0 < found.curves.scale < np.inf:
        return ["it holds values that are not finite numbers"]
    problems = []
    if digest(content) != found.digest:
        problems.append("it was changed after it was written: its digest does not fit")
    if not found.rows.is_unique:
        problems.append("a feature × habitat is in it twice")
    off = np.abs(values[0, -1] - n) > _CLOSE
    if off.any():
        problems.append(f"counts of patients contradict their sums in {int(off.sum())} rows")
    if (n < int(content["min_patients"])).any() or (n > found.n_patients).any():
        problems.append("counts lie outside min_patients and n_patients")
    slack = _CLOSE * np.abs(values[0] * values[2]) + 1e-12
    if (values[0] <= 0).any() or (values[2] < 0).any() or (values[1] ** 2 > values[0] * values[2] + slack).any():
        problems.append("sums that no patients can have (a weight of 0, a square smaller than its mean)")
    return problems


def _check_together(read: Sequence[Summary]) -> None:
    if not read:
        raise InputError(subject="summaries", expected="one file a centre", found="none")
    names = [summary.centre for summary in read]
    twice = sorted({name for name in names if names.count(name) > 1})
    same = len({summary.digest for summary in read}) < len(read)
    if twice or same:
        raise InputError(
            subject="summaries", expected="each centre once",
            found=f"{', '.join(twice)} more than once" if twice else "one summary under two names",
        )  # fmt: skip
    for other in read[1:]:
        if not read[0].rows.isin(other.rows).any():
            mine, theirs = (" / ".join(map(str, s.rows[0])) for s in (read[0], other))
            raise InputError(
                subject=f"summaries of {read[0].centre} and {other.centre}",
                expected="features and habitats in common", found=f"none: {mine} here, {theirs} there",
                remedy="Name genes (symbols or Ensembl ids) and habitats alike",
            )  # fmt: skip


def _spread(summary: Summary, place: npt.NDArray[np.intp]) -> Curves:
    values = np.where(place >= 0, summary.curves.on_grid[:, :, np.maximum(place, 0)], 0.0)
    return Curves(values, summary.curves.scale)


def _table(rows: pd.MultiIndex, pooled: RandomEffects, testable: npt.NDArray[np.bool_], least: int) -> pd.DataFrame:
    table = pd.DataFrame({name: rows.get_level_values(name).to_numpy() for name in ("feature", "kind", "habitat")})
    table["estimate"], table["low"], table["high"] = pooled.estimate, pooled.low, pooled.high
    table["correlation"] = np.tanh(pooled.estimate)
    table["p"] = np.where(testable, pooled.p, np.nan)
    table["q"] = table.groupby("kind")["p"].transform(lambda p: benjamini_hochberg(p.to_numpy()))
    for name in ("tau2", "tau2_low", "tau2_high", "i2", "predicted_low", "predicted_high"):
        table[name] = getattr(pooled, name)
    table["n_patients"], table["testable"] = pooled.n, testable
    table["reason"] = ["" if ok else f"{n} patients, {least} needed" for n, ok in zip(pooled.n, testable, strict=True)]
    return table


def _surrogate_p(read: Sequence[Summary], places: Sequence[npt.NDArray[np.intp]]) -> FloatArray:
    width = min(summary.surrogates.shape[1] for summary in read)
    p = np.full(len(places[0]), np.nan)
    if not width:
        return p
    observed, sums = np.zeros(len(p)), np.zeros((len(p), width))
    for summary, place in zip(read, places, strict=True):
        has = place >= 0
        observed += np.where(has, summary.observed[np.maximum(place, 0)], 0.0)
        sums += np.where(has[:, None], summary.surrogates[np.maximum(place, 0), :width], 0.0)
    known = np.isfinite(observed) & np.isfinite(sums).all(axis=1)
    p[known] = surrogate_p(observed[known], sums[known])
    return p


def _carried(
    sums: Sequence[Curves], names: Sequence[str], whole: RandomEffects, claimed: npt.NDArray[np.intp],
    how: dict[str, Any],
) -> npt.NDArray[np.object_]:  # fmt: skip
    chosen = [Curves(part.on_grid[:, :, claimed], part.scale) for part in sums]

    def without() -> Iterator[Without]:
        for number in sorted(range(len(names)), key=lambda n: names[n]) if len(names) > 1 else ():
            rest = pool(CurveSums([part for other, part in enumerate(chosen) if other != number]), **how).answer
            yield f"centre {names[number]}", rest, chosen[number].on_grid[0, -1] > 0

    return name_carriers(whole, claimed, without(), 1 - float(how["level"]))

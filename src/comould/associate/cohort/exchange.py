"""A centre's summary: sums over its patients that let others pool with them without seeing a patient's table."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.associate.cohort.curves import PARTS, curves, enough_nodes
from comould.associate.cohort.effects import ROW, PatientEffects, fisher_z, patient_effects
from comould.errors import InputError
from comould.io.output import plain, provenance
from comould.space import FloatArray

FORMAT, VERSION = "comould cohort summary", 1
_FEWEST_PATIENTS = 3
_FEWEST_DIGITS, _MOST_DIGITS = 4, 17


def export_summary(
    tables: Mapping[str, pd.DataFrame],
    path: str | Path,
    *,
    centre: str,
    min_patients: int = 5,
    surrogates: Mapping[str, pd.DataFrame] | None = None,
    digits: int = 12,
    overwrite: bool = False,
) -> Path:
    """Write what :func:`~comould.associate.cohort.combine.combine_summaries` needs of this centre's patients.

    Parameters
    ----------
    tables
        Patient to the table of :func:`comould.associate.test`, as for
        :func:`~comould.associate.cohort.table.cohort`. Names of patients are not written.
    path
        JSON file to write; ending in ``.gz`` it is compressed.
    centre
        Name of the centre; each may be combined once.
    min_patients
        Rows that fewer patients have are withheld; at least 3.
    surrogates
        Patient to correlations of the habitats' surrogate maps with the features: index kind, feature, habitat, one
        column a surrogate, the same number for all. Their weighted sums go along for rows that every patient of the
        row has surrogates of, and give a pooled surrogate p-value.
    digits
        Significant digits of what is written. With 12 the pooled answer is that of the patients themselves to about
        1e-10, with 8 to 1e-6, with 6 to 1e-4.
    overwrite
        Replace a file of that name.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If tables or options are wrong, no row has enough patients, or the file is there.

    Notes
    -----
    What is written: for each feature × habitat the number of patients and four sums over them (weights, weighted
    effects, weighted squares, log variances) on a grid of the variance between patients τ².

    What this protects, and what not. The file holds no names, no expression, no positions, no images, and no patient's
    row. It is *not* anonymous in the strict sense: the sums are rational functions whose poles are the patients'
    variances, and with few patients they can be solved for them. In our own trial the effects of five patients came
    back to ten digits from a file of 12 digits and to seven from one of 8 – as an unordered list, without names. An
    answer identical to that of pooling the patients cannot be had without this. More patients make it harder, not
    impossible. Two summaries of one centre, before and after a patient joined, differ by that patient: do not hand
    out both. So treat the file as pseudonymous data on one number a patient, feature and habitat, under the same
    agreement as any summary table; ``min_patients`` and ``digits`` make inversion harder and nothing more. The digest
    finds accidents, not forgery.
    """
    path = Path(path)
    _check(path, centre, min_patients, digits, overwrite)
    patients = patient_effects(tables)
    count = np.isfinite(patients.effects).sum(axis=0)
    kept = np.flatnonzero(count >= min_patients)
    if not len(kept):
        raise InputError(
            subject=f"summary of {centre}",
            expected=f"a feature × habitat that {min_patients} patients have",
            found=f"{count.max(initial=0)} at most",
            remedy="A centre with fewer patients cannot take part in this way",
        )
    content = _content(patients, kept, centre, min_patients, digits)
    if surrogates is not None:
        content["surrogates"] = _surrogates(patients, kept, surrogates, digits)
    return _write(path, {**content, "digest": digest(content)})


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a summary's content but for the digest itself."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def surrogate_sums(
    patients: PatientEffects, rows: npt.NDArray[np.intp], surrogates: Mapping[str, pd.DataFrame]
) -> tuple[npt.NDArray[np.intp], FloatArray, FloatArray]:
    """Sum effects over patients by surrogate, each weighted by one over its variance.

    Parameters
    ----------
    patients
        Effects of all patients.
    rows
        Columns of theirs to look at.
    surrogates
        As in :func:`export_summary`.

    Returns
    -------
    tuple
        Positions in ``rows`` of those that have surrogates of every patient ``(r,)``; observed sums ``(r,)``; sums by
        surrogate ``(r, n_surrogates)``.

    Raises
    ------
    InputError
        If numbers of surrogates differ between patients or a name is unknown.
    """
    wrong = sorted({str(name) for name in surrogates} - set(patients.patients))
    widths = {frame.shape[1] for frame in surrogates.values()}
    if wrong or len(widths) != 1:
        raise InputError(
            subject="surrogates of patients", expected="one number of surrogates, for patients of the cohort",
            found=f"unknown patients {', '.join(wrong)}" if wrong else f"{sorted(widths)} surrogates",
        )  # fmt: skip
    wanted = patients.rows[rows]
    whole = np.ones(len(rows), dtype=bool)
    total = np.zeros((len(rows), widths.pop()))
    for number, name in enumerate(patients.patients):
        has = np.isfinite(patients.effects[number, rows])
        frame = surrogates.get(name)
        if frame is None:
            whole &= ~has
            continue
        frame = frame.set_axis(pd.MultiIndex.from_tuples(list(frame.index), names=ROW), axis=0)
        values = fisher_z(frame.reindex(wanted).to_numpy(dtype=np.float64))
        whole &= ~has | np.isfinite(values).all(axis=1)
        with np.errstate(invalid="ignore"):
            total += np.where(has[:, None], values / patients.variances[number, rows][:, None], 0.0)
    observed = np.nansum(patients.effects[:, rows] / patients.variances[:, rows], axis=0)
    chosen = np.flatnonzero(whole)
    return chosen, observed[chosen], total[chosen]


def surrogate_p(observed: FloatArray, sums: FloatArray) -> FloatArray:
    """Pooled surrogate p-value: how often the weighted sum over patients' surrogates is as far from 0 as the data's.

    Parameters
    ----------
    observed
        ``(r,)`` sums of the data.
    sums
        ``(r, n_surrogates)`` those of the surrogates.

    Notes
    -----
    It tests that *no* patient has an association, with the spatial null of each; that the mean over patients is 0 is
    another hypothesis, tested by the random-effects p-value. Phipson & Smyth 2010, doi:10.2202/1544-6115.1585.
    """
    reached = (np.abs(sums) >= np.abs(observed)[:, None] * (1 - 1e-9)).sum(axis=1)
    return np.asarray((1 + reached) / (sums.shape[1] + 1), dtype=np.float64)


def rounded(values: FloatArray, digits: int) -> FloatArray:
    """Keep so many significant digits."""
    if digits >= _MOST_DIGITS:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.where(values == 0, 0, np.floor(np.log10(np.abs(values))))
    power = 10.0 ** (digits - 1 - places)
    # Over the decimal text: a product and a quotient would leave noise in the last bits, and long numbers in the file.
    exact = [float(f"{value:.{digits - 1}e}") for value in (np.round(values * power) / power).ravel()]
    return np.array(exact).reshape(values.shape)


def _content(
    patients: PatientEffects, kept: npt.NDArray[np.intp], centre: str, min_patients: int, digits: int
) -> dict[str, Any]:
    y, v = patients.effects[:, kept], patients.variances[:, kept]
    least, most = float(np.nanmin(v)), float(np.nanmax(v))
    # A power of two: the exact bounds would be two patients' own variances.
    scale = float(2.0 ** np.round(np.log2(np.sqrt(least * most))))
    count = enough_nodes(min(least, scale**2 / most), max(most, scale**2 / least))
    values = rounded(curves(y, v, scale, count), digits)
    rows = patients.rows[kept]
    return {
        "format": FORMAT,
        "version": VERSION,
        "centre": centre,
        "n_patients": len(patients.patients),
        "min_patients": min_patients,
        "n_rows_withheld": int(len(patients.rows) - len(kept)),
        "effect": "Fisher's z of the correlation within sections; variance 1 / (n_effective - 3)",
        "provenance": plain(provenance(parameters={"min_patients": min_patients, "digits": digits})),
        "scale": scale,
        "n_nodes": count,
        "rows": {name: [str(item) for item in rows.get_level_values(name)] for name in ROW},
        "n": [int(n) for n in np.isfinite(y).sum(axis=0)],
        "curves": {name: values[number].T.tolist() for number, name in enumerate(PARTS)},
    }


def _surrogates(
    patients: PatientEffects, kept: npt.NDArray[np.intp], surrogates: Mapping[str, pd.DataFrame], digits: int
) -> dict[str, Any]:
    chosen, observed, sums = surrogate_sums(patients, kept, surrogates)
    return {
        "n_surrogates": int(sums.shape[1]),
        "row": [int(row) for row in chosen],
        "observed": rounded(observed, digits).tolist(),
        "sums": rounded(sums, digits).tolist(),
    }


def _write(path: Path, content: Mapping[str, Any]) -> Path:
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    work = path.with_name(f".{path.name}.part")
    try:
        work.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
        work.replace(path)
    except OSError as error:
        work.unlink(missing_ok=True)
        raise InputError(
            subject=f"summary {path}", expected="a place that can be written to",
            found=error.strerror or type(error).__name__,
        ) from error  # fmt: skip
    return path


def _check(path: Path, centre: str, min_patients: int, digits: int, overwrite: bool) -> None:
    problems = []
    if not centre.strip():
        problems.append("the centre has no name")
    if min_patients < _FEWEST_PATIENTS:
        problems.append(
            f"min_patients {min_patients} is below {_FEWEST_PATIENTS}: sums over fewer are all but the patients' own"
        )
    if not _FEWEST_DIGITS <= digits <= _MOST_DIGITS:
        problems.append(f"digits {digits} is not {_FEWEST_DIGITS} to {_MOST_DIGITS}")
    if path.exists() and not overwrite:
        problems.append(f"{path} exists")
    if problems:
        raise InputError.collect(subject="summary to export", problems=problems)

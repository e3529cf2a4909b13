"""From folders of tested patients, or from summaries of centres, to one table, pictures and a summary to hand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from comould.errors import InputError
from comould.io.output import atomic_directory, check_target, provenance, write_json
from comould.study.cohort_surrogates import surrogates_of

TABLE, FOREST, PATIENTS, LEFT_OUT = "cohort.csv", "forest.png", "patients.png", "centres_left_out.csv"
PAGE = "report.html"
APART = 3
"""Strongest rows that are shown patient by patient."""
RESULT = "associations.csv"
_DPI = 150
_TEXT = {"feature": str, "kind": str, "habitat": str, "reason": str}


@dataclass(frozen=True, eq=False)
class CohortResult:
    """What a run wrote.

    Parameters
    ----------
    folder
        Where everything lies.
    table
        The table.
    n_patients, n_centres
        Patients, and centres where they were told.
    summary
        The summary to hand on, if one was asked for.
    """

    folder: Path
    table: pd.DataFrame
    n_patients: int
    n_centres: int
    summary: Path | None = None


@dataclass(frozen=True)
class Export:
    """A summary to write.

    Parameters
    ----------
    path, centre
        Where, and the name of the centre.
    digits
        Significant digits.
    surrogates
        Genes and gene sets of which the patients' surrogate maps are sent along, so that centres pool chance too.
    """

    path: Path
    centre: str
    digits: int = 12
    surrogates: tuple[str, ...] = ()


def find_results(
    results: Sequence[str | Path],
    *,
    centres: Mapping[str, str | Path] | None = None,
    listing: str | Path | None = None,
) -> tuple[dict[str, Path], dict[str, str]]:
    """Find the tables of patients.

    Parameters
    ----------
    results
        CSV files of associations, or folders with an ``associations.csv``. The patient is named by the folder, or by
        the file where that has another name.
    centres
        Centre to a folder with the results of its patients, one folder or CSV a patient.
    listing
        YAML with ``patients``, a list of ``{id, result, centre}``; paths from its own folder, ``centre`` may be left
        out for all.

    Returns
    -------
    tuple
        Patient to table, and patient to centre (empty when none is told).

    Raises
    ------
    InputError
        If a file is missing, a patient comes twice, some patients have a centre and others none, or nothing is found.
    """
    found: list[tuple[str, Path, str]] = [(*_patient(Path(path)), "") for path in results]
    for centre, folder in (centres or {}).items():
        found += [(name, path, centre) for name, path in _below(Path(folder), centre)]
    if listing is not None:
        found += _listed(Path(listing))
    names = [name for name, _, _ in found]
    problems = [f"patient {name} comes twice" for name in sorted({n for n in names if names.count(n) > 1})]
    homeless = [name for name, _, centre in found if not centre]
    if homeless and len(homeless) < len(found):
        problems.append(f"no centre is told of {', '.join(homeless[:5])}, but of others")
    if not found:
        problems.append("no result is given")
    if problems:
        raise InputError.collect(subject="results of patients", problems=problems)
    return {name: path for name, path, _ in found}, {name: centre for name, _, centre in found if centre}


def read_associations(path: str | Path) -> pd.DataFrame:
    """Read a table that was written by ``comould associate``.

    Raises
    ------
    InputError
        If the file is no such table.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype=_TEXT, keep_default_na=False, na_values=_numbers(path))
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise InputError(
            subject=f"table {path}", expected="a CSV of associations", found=" ".join(str(error).split())
        ) from error
    if "testable" in table and table["testable"].dtype != bool:
        table["testable"] = table["testable"].astype(str).str.lower().map({"true": True, "false": False})
    return table


def read_pooled(path: str | Path) -> pd.DataFrame:
    """Read a table of pooled patients that :func:`run_cohort` or :func:`run_combine` wrote.

    Raises
    ------
    InputError
        If the file is no such table.
    """
    table = read_associations(path)
    return table.assign(carried_by=table["carried_by"].fillna("").astype(str)) if "carried_by" in table else table


def run_cohort(
    results: Mapping[str, str | Path],
    out: str | Path,
    *,
    centres: Mapping[str, str] | None = None,
    export: Export | None = None,
    top: int = 15,
    seed: int = 0,
    overwrite: bool = False,
    **options: Any,
) -> CohortResult:
    """Pool patients' tables and write what was found.

    Parameters
    ----------
    results
        Patient to the CSV of associations.
    out
        Folder to write: ``report.html``, ``cohort.csv``, ``forest.png`` (the strongest rows), ``patients.png`` (every
        patient of the strongest), ``manifest.json``.
    centres
        Patient to centre.
    export
        Also write a summary that other centres can pool.
    top
        Rows of the forest.
    seed, **options
        As in :func:`comould.associate.cohort`.
    overwrite
        Replace an earlier result.

    Raises
    ------
    InputError
        For whatever is wrong with tables, options or the folder.
    """
    from comould import pl, report
    from comould.associate import cohort, export_summary, feature_effects

    check_target(out, overwrite=overwrite)
    tables = {name: read_associations(path) for name, path in results.items()}
    table = cohort(tables, centres or None, seed=seed, **options)
    surrogates = (
        surrogates_of({name: Path(path) for name, path in results.items()}, export.surrogates)
        if export is not None and export.surrogates
        else None
    )
    with atomic_directory(out, overwrite=overwrite) as folder:
        table.to_csv(folder / TABLE, index=False)
        _picture(pl.forest(table.head(top)), folder / FOREST)
        strongest: list[Any] = list(table[table["estimate"].notna()].head(APART).itertuples())
        apart = [
            feature_effects(tables, row.feature, row.habitat, kind=row.kind, centres=centres or None, **options)
            for row in strongest
        ]
        _picture(pl.forest(apart[0]), folder / PATIENTS)
        made = _manifest(folder, table, {f"patient_{k:03d}": path for k, path in enumerate(results.values(), 1)}, seed)
        n_centres = len(set(centres.values())) if centres else 0
        report.write_cohort(
            report.CohortReport(table, len(tables), n_centres, top=top, patients=apart, provenance=made), folder / PAGE
        )
        if export is not None:
            # Before the folder takes its place: a summary that cannot be written leaves nothing behind.
            export_summary(
                tables, export.path, centre=export.centre, digits=export.digits, overwrite=overwrite,
                min_patients=int(options.get("min_patients", 5)), surrogates=surrogates,
            )  # fmt: skip
    return CohortResult(Path(out), table, len(tables), n_centres, export.path if export else None)


def run_combine(
    summaries: Sequence[str | Path], out: str | Path, *, top: int = 15, overwrite: bool = False, **options: Any
) -> CohortResult:
    """Pool centres' summaries and write what was found, with what is left of it without each centre.

    Parameters
    ----------
    summaries
        Files of :func:`comould.associate.export_summary`.
    out
        Folder to write: ``report.html``, ``cohort.csv``, ``forest.png``, ``centres_left_out.csv``, ``manifest.json``.
    top
        Rows of the forest.
    overwrite
        Replace an earlier result.
    **options
        As in :func:`comould.associate.combine_summaries`.

    Raises
    ------
    InputError
        For whatever is wrong with the summaries, options or the folder.
    """
    from comould import pl, report
    from comould.associate import combine_summaries, leave_one_centre_out

    check_target(out, overwrite=overwrite)
    table = combine_summaries(summaries, **options)
    with atomic_directory(out, overwrite=overwrite) as folder:
        table.to_csv(folder / TABLE, index=False)
        _picture(pl.forest(table.head(top)), folder / FOREST)
        rest = leave_one_centre_out(summaries, **options) if len(summaries) > 1 else {}
        if rest:
            parts = [part.assign(left_out=name) for name, part in rest.items()]
            pd.concat(parts, ignore_index=True).to_csv(folder / LEFT_OUT, index=False)
        made = _manifest(folder, table, {f"summary_{k}": path for k, path in enumerate(summaries, 1)}, None)
        result = CohortResult(Path(out), table, int(table.attrs["n_patients"]), len(summaries))
        report.write_cohort(
            report.CohortReport(
                table, result.n_patients, result.n_centres, title="What the centres say together",
                command="comould combine", top=top, left_out=rest, provenance=made,
            ),
            folder / PAGE,
        )  # fmt: skip
    return result


def run_power(
    effects: Sequence[float], out: str | Path, *, progress: Callable[[float], None] | None = None,
    overwrite: bool = False, wanted: float = 0.8, **options: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Simulate studies and write ``power.csv``, ``minimum_patients.csv``, ``power.png`` and ``manifest.json``.

    Parameters
    ----------
    effects, progress, **options
        As in :func:`comould.associate.power`.
    out
        Folder to write.
    overwrite
        Replace an earlier result.
    wanted
        Power to reach.

    Returns
    -------
    tuple of DataFrame
        The table, and the patients needed.

    Raises
    ------
    InputError
        For numbers out of range, or a folder that cannot be written.
    """
    from comould import pl
    from comould.associate import minimum_patients, power

    check_target(out, overwrite=overwrite)
    table = power(effects, progress=progress, **options)
    needed = minimum_patients(table, wanted)
    with atomic_directory(out, overwrite=overwrite) as folder:
        table.to_csv(folder / "power.csv", index=False)
        needed.to_csv(folder / "minimum_patients.csv", index=False)
        _picture(pl.power_curves(table, wanted=wanted), folder / "power.png")
        write_json(
            folder / "manifest.json", {"command": "power", **{str(key): value for key, value in table.attrs.items()}}
        )
    return table, needed


def _manifest(folder: Path, table: pd.DataFrame, inputs: Mapping[str, str | Path], seed: int | None) -> dict[str, Any]:
    record = provenance(inputs=inputs, parameters=table.attrs.get("parameters", {}), seed=seed)
    write_json(folder / "manifest.json", {**record, "n_patients": table.attrs.get("n_patients"), "n_rows": len(table)})
    return record


def _picture(drawn: Any, path: Path) -> None:
    figure = drawn if hasattr(drawn, "savefig") else drawn.figure
    figure.savefig(path, dpi=_DPI, bbox_inches="tight")


def _numbers(path: Path) -> dict[str, list[str]]:
    """Columns of numbers read nothing as missing; a gene may be called NA or nan."""
    header = pd.read_csv(path, nrows=0).columns
    return {str(name): ["", "nan", "NaN", "NA"] for name in header if name not in _TEXT}


def _patient(path: Path) -> tuple[str, Path]:
    if path.is_dir():
        if not (path / RESULT).is_file():
            raise InputError(
                subject=f"result {path}", expected=f"a folder with {RESULT}", found="none in it",
                remedy="Run comould associate for this patient, or name its CSV",
            )  # fmt: skip
        return path.resolve().name, path / RESULT
    if not path.is_file():
        raise InputError(
            subject=f"result {path}", expected="a folder or CSV of comould associate", found="no such file"
        )
    return (path.resolve().parent.name if path.name == RESULT else path.stem), path


def _below(folder: Path, centre: str) -> list[tuple[str, Path]]:
    if not folder.is_dir():
        raise InputError(subject=f"centre {centre}", expected="a folder", found=f"{folder}, which is none")
    inside = sorted(folder.iterdir())
    found = [_patient(p) for p in inside if (p / RESULT).is_file() or p.suffix == ".csv"]
    if not found:
        raise InputError(
            subject=f"centre {centre}", expected=f"folders with {RESULT} or CSV files in {folder}", found="none"
        )
    return found


def _listed(path: Path) -> list[tuple[str, Path, str]]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(subject=f"list {path}", expected="a YAML file", found=" ".join(str(error).split())) from error
    rows = content.get("patients") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and {"id", "result"} <= set(row) for row in rows):
        raise InputError(
            subject=f"list {path}", expected="patients: a list of {id, result, centre}", found="something else"
        )
    if unknown := sorted({str(key) for row in rows for key in row} - {"id", "result", "centre"}):
        raise InputError(subject=f"list {path}", expected="id, result and centre", found=", ".join(unknown))
    return [
        (str(row["id"]), _patient(path.parent / str(row["result"]))[1], str(row.get("centre") or "")) for row in rows
    ]

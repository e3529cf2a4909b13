"""From one table of a study to the baseline's numbers and picture; and from cases to such a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from comould.errors import InputError
from comould.io.output import atomic_directory, check_target, provenance, write_json

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.baseline import BaselineOptions, Columns, Evaluation

PARTS = ("metrics", "centres", "shortcuts", "selected")
COMPARISON, PREDICTIONS, PICTURE = "comparison.csv", "predictions.csv", "baseline.png"
_DPI = 150


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """What a run wrote.

    Parameters
    ----------
    folder
        Where everything lies.
    evaluations
        Name of the set of features to its evaluation.
    comparison
        What each set adds to the first; ``None`` for one set.
    """

    folder: Path
    evaluations: dict[str, Evaluation]
    comparison: pd.DataFrame | None


def region_table(cases: Mapping[str, tuple[Mapping[str, sitk.Image], sitk.Image]], **settings: Any) -> pd.DataFrame:
    """Measure the classical radiomic vector of every patient.

    Parameters
    ----------
    cases
        Patient (a pseudonym) to images by name and mask.
    **settings
        As in :func:`comould.habitats.region_features`; the same for all.

    Returns
    -------
    DataFrame
        Index ``patient``; columns ``image.family.feature``, with the aggregation behind where there are several.

    Raises
    ------
    InputError
        If there is no case, images differ in name, or what :func:`comould.habitats.region_features` refuses.
    """
    from comould.habitats import region_features

    if not cases:
        raise InputError(subject="cases", expected="one or more", found="none")
    rows = {}
    for patient, (images, mask) in cases.items():
        table = region_features(images, mask, **settings)
        names = table["image"] + "." + table["family"] + "." + table["feature"]
        several = names.duplicated(keep=False)
        names = names.where(~several, names + "." + table["aggregation"].str.replace(", ", "_"))
        rows[patient] = pd.Series(table["value"].to_numpy(), index=names)
    columns = {patient: tuple(row.index) for patient, row in rows.items()}
    first = next(iter(columns.values()))
    if others := [patient for patient, names in columns.items() if set(names) != set(first)]:
        raise InputError(
            subject="cases", expected="the same images in each", found=f"others in {len(others)} of {len(columns)}"
        )
    return pd.DataFrame(rows).T.rename_axis(index="patient")


def read_study(path: str | Path) -> pd.DataFrame:
    """Read a study's table: CSV, TSV or parquet.

    Raises
    ------
    InputError
        If the file is no such table.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if path.suffix.lower() in {".tsv", ".txt"} else ",")
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise InputError(
            subject=f"table {path}", expected="a CSV, TSV or parquet file", found=" ".join(str(error).split())
        ) from error


def features_named(table: pd.DataFrame, patterns: Sequence[str], columns: Columns) -> list[str]:
    """List the columns that patterns such as ``T2.*`` name, in the table's order.

    Parameters
    ----------
    table
        The study's table.
    patterns
        Names or shell patterns; none for every column of numbers.
    columns
        Outcome, patient, centre and shortcuts are never features.

    Raises
    ------
    InputError
        If a pattern names no column.
    """
    open_ = [str(name) for name in table if name not in columns.asked]
    if not patterns:
        return [name for name in open_ if pd.api.types.is_numeric_dtype(table[name])]
    if empty := [p for p in patterns if not any(fnmatchcase(name, p) for name in open_)]:
        raise InputError(
            subject="features", expected=f"columns of the table, such as {', '.join(open_[:3])}",
            found=f"none that {', '.join(map(repr, empty))} names",
        )  # fmt: skip
    return [name for name in open_ if any(fnmatchcase(name, p) for p in patterns)]


def run_baseline(
    table: str | Path,
    out: str | Path,
    columns: Columns,
    sets: Mapping[str, Sequence[str]],
    *,
    options: BaselineOptions | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> BaselineResult:
    """Evaluate sets of features of a study on the same folds and write what was found.

    Parameters
    ----------
    table
        CSV, TSV or parquet, one row a tumour.
    out
        Folder to write: ``metrics.csv``, ``centres.csv``, ``shortcuts.csv``, ``selected.csv`` (a column ``features``
        names the set), ``comparison.csv`` with several sets, ``predictions.csv`` (rows by number, no patient),
        ``baseline.png``, ``manifest.json``.
    columns
        Which column is what.
    sets
        Name to patterns of features; the first is what others are compared with. No pattern: every number.
    options, seed
        As in :func:`comould.baseline.evaluate`.
    overwrite
        Replace an earlier result.
    progress
        Called with the fraction done.

    Raises
    ------
    InputError
        For whatever is wrong with table, features, options or the folder; nothing is written then.
    """
    from comould import pl
    from comould.baseline import compare, evaluate

    check_target(out, overwrite=overwrite)
    rows = read_study(table)
    if missing := [name for name in columns.asked if name not in rows]:
        raise InputError.collect(subject=f"table {table}", problems=[f"no column {name!r}" for name in missing])
    chosen = {name: features_named(rows, patterns, columns) for name, patterns in sets.items()}
    found = {}
    for number, (name, features) in enumerate(chosen.items()):
        share = _share(progress, number, len(chosen))
        found[name] = evaluate(rows, features, columns, options=options, seed=seed, progress=share)
    comparison = compare(found, seed=seed) if len(found) > 1 else None
    with atomic_directory(out, overwrite=overwrite) as folder:
        for part in PARTS:
            _together(found, part).to_csv(folder / f"{part}.csv", index=False)
        if comparison is not None:
            comparison.to_csv(folder / COMPARISON, index=False)
        _predictions(found, rows).to_csv(folder / PREDICTIONS, index=False)
        pl.baseline(found).savefig(folder / PICTURE, dpi=_DPI, bbox_inches="tight")
        record = provenance(inputs={"table": table}, parameters=next(iter(found.values())).attrs, seed=seed)
        tested = {name: {"p": one.p, "notes": list(one.notes), "n_features": len(chosen[name])}
                  for name, one in found.items()}  # fmt: skip
        write_json(folder / "manifest.json", {"command": "baseline", **record, "sets": tested})
    return BaselineResult(Path(out), found, comparison)


def _together(found: Mapping[str, Evaluation], part: str) -> pd.DataFrame:
    tables = []
    for name, one in found.items():
        table = getattr(one, part).copy()
        table.insert(0, "features", name)
        tables.append(table)
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _predictions(found: Mapping[str, Evaluation], rows: pd.DataFrame) -> pd.DataFrame:
    numbers = pd.Series(range(len(rows)))
    tables = [
        one.predictions.table(numbers).rename(columns={"patient": "row"}).assign(features=name)
        for name, one in found.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _share(progress: Callable[[float], None] | None, number: int, of: int) -> Callable[[float], None] | None:
    if progress is None:
        return None
    return lambda fraction: progress((number + fraction) / of)

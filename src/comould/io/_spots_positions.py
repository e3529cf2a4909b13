"""Tables of spot positions, brought to one form whatever the platform called its columns."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from comould.errors import InputError

SPACE_RANGER_COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]

_NAMES = ("barcode", "spot", "spot_id", "id", "index", "name", "cell_id")
_PIXELS = (
    ("pxl_col_in_fullres", "pxl_row_in_fullres"),
    ("pixel_x", "pixel_y"),
    ("x_px", "y_px"),
    ("imagecol", "imagerow"),
    ("x", "y"),
)
_ARRAYS = (("array_col", "array_row"), ("x", "y"))
_TISSUE = ("in_tissue", "selected", "tissue")


@dataclass(frozen=True)
class Positions:
    """Where spots lie.

    Parameters
    ----------
    table
        Indexed by spot name; columns ``x_px``, ``y_px`` (full-resolution pixels), and where known ``array_col``,
        ``array_row``, ``in_tissue``.
    ruler
        ``(n, 2)`` column, row coordinates finer than the array's integers when the platform measured them, for the
        scale only; ``None`` when the array coordinates are the best there is.
    named
        Whether the file names its spots; without names they pair with the counts by order.
    """

    table: pd.DataFrame
    ruler: np.ndarray[Any, np.dtype[np.float64]] | None = None
    named: bool = True


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """Read CSV or TSV (``.gz`` too) or parquet; the separator follows from the suffix.

    Raises
    ------
    InputError
        If the file is missing, empty or not such a table.
    """
    if not path.is_file():
        raise InputError(subject=str(path), expected="a table", found="a folder" if path.is_dir() else "no file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    try:
        if ".parquet" in suffixes:
            return pd.read_parquet(path)
        separator = "\t" if {".tsv", ".txt", ".tab"} & set(suffixes) else ","
        return pd.read_csv(path, sep=separator, **options)
    except ImportError as error:
        raise InputError(
            subject=str(path),
            expected="pyarrow to read parquet",
            found="it is not installed",
            remedy="pip install pyarrow, or export the positions as CSV",
        ) from error
    except (OSError, ValueError, EOFError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(subject=str(path), expected="a CSV, TSV or parquet table", found=reason) from error


def read_positions(path: Path) -> Positions:
    """Read a table of positions: Space Ranger's old and new, ST spot detector's, or name + x + y, header or not.

    Raises
    ------
    InputError
        If no columns hold pixel positions, names repeat, or positions are not numbers.
    """
    raw = read_table(path) if ".parquet" in path.suffixes else read_table(path, header=None, dtype=str)
    if ".parquet" in path.suffixes:
        if "barcode" not in raw.columns:
            raw = raw.rename_axis("barcode").reset_index()
        header = [str(name) for name in raw.columns]
    else:
        header = [str(cell).strip() for cell in raw.iloc[0]]
        if any(is_number(cell) for cell in header[1:]):
            return _headerless(raw, path)
        raw = raw.iloc[1:]
    raw.columns = pd.Index([name.lower() for name in header])
    return _with_header(raw.reset_index(drop=True), path)


def _headerless(raw: pd.DataFrame, path: Path) -> Positions:
    count = raw.shape[1]
    if count == len(SPACE_RANGER_COLUMNS):
        raw.columns = pd.Index(SPACE_RANGER_COLUMNS)
        return _with_header(raw, path)
    if count == 3:
        raw.columns = pd.Index(["barcode", "x_px", "y_px"])
        return _with_header(raw, path)
    if count == 2:
        raw.columns = pd.Index(["x_px", "y_px"])
        numbers = _numbers(raw, ["x_px", "y_px"], path)
        return Positions(numbers, named=False)
    raise InputError(
        subject=str(path),
        expected="a header line, or 2 (x, y), 3 (name, x, y) or 6 (Space Ranger) columns",
        found=f"{count} columns and no header",
    )


def _with_header(raw: pd.DataFrame, path: Path) -> Positions:
    columns = list(raw.columns)
    pixels = next((pair for pair in _PIXELS if set(pair) <= set(columns)), None)
    if pixels is None:
        accepted = ", ".join("/".join(pair) for pair in _PIXELS)
        raise InputError(
            subject=str(path),
            expected=f"pixel positions in columns {accepted}",
            found=", ".join(map(str, columns[:8])),
            remedy="Name the columns of full-resolution pixels x_px and y_px",
        )
    array = next((pair for pair in _ARRAYS if set(pair) <= set(columns) and pair != pixels), None)
    numbers = _numbers(raw, list(pixels), path)
    numbers.columns = pd.Index(["x_px", "y_px"])
    if array is not None:
        grid = _numbers(raw, list(array), path)
        numbers["array_col"], numbers["array_row"] = grid[array[0]].to_numpy(), grid[array[1]].to_numpy()
    tissue = next((name for name in _TISSUE if name in columns), None)
    if tissue is not None:
        numbers["in_tissue"] = _numbers(raw, [tissue], path)[tissue].to_numpy().astype(np.int64)
    measured = ("new_x", "new_y")
    ruler = _numbers(raw, list(measured), path).to_numpy() if set(measured) <= set(columns) else None
    numbers.index = pd.Index(_spot_names(raw, array, pixels, path), dtype=str, name=None)
    twice = numbers.index[numbers.index.duplicated()].unique()
    if len(twice):
        raise InputError(
            subject=str(path),
            expected="every spot once",
            found=f"{len(twice)} names more than once, first {twice[0]!r}",
        )
    return Positions(numbers, ruler)


def _spot_names(raw: pd.DataFrame, array: tuple[str, str] | None, pixels: tuple[str, str], path: Path) -> list[str]:
    """Take the column of names, or make ST's ``10x13`` names from the array coordinates."""
    columns = list(raw.columns)
    column = next((name for name in _NAMES if name in columns), None)
    if column is None and columns[0] not in {*pixels, *(array or ()), *_TISSUE}:
        column = columns[0]
    if column is not None:
        return [str(name).strip() for name in raw[column]]
    if array is None:
        raise InputError(
            subject=str(path), expected="a column of spot names", found=", ".join(columns[:8]), remedy="Name it barcode"
        )
    return [f"{_short(x)}x{_short(y)}" for x, y in zip(raw[array[0]], raw[array[1]], strict=True)]


def _short(number: Any) -> str:
    return f"{float(number):g}"


def _numbers(raw: pd.DataFrame, columns: list[str], path: Path) -> pd.DataFrame:
    numbers = raw[columns].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    bad = ~np.isfinite(numbers.to_numpy()).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        shown = ", ".join(f"{name} {raw[name].iloc[row]!r}" for name in columns)
        raise InputError(
            subject=str(path),
            expected="finite numbers for every spot",
            found=f"{int(bad.sum())} rows without, first data row {row + 1} ({shown})",
        )
    return numbers


def is_number(text: str) -> bool:
    """Tell whether a cell of a table reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_scalefactors(path: Path) -> dict[str, float]:
    """Read Space Ranger's ``scalefactors_json.json``; empty when there is none.

    Raises
    ------
    InputError
        If the file is not JSON of numbers.
    """
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in data.items() if value is not None}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(subject=str(path), expected="JSON scale factors", found=str(error)) from error

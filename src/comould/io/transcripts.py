"""Transcripts of Xenium: read in pieces, so that hundreds of millions pass through little memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.errors import InputError
from comould.io import _xenium

BATCH_ROWS = 500_000
"""Rows decoded at a time; a piece handed over has at most as many."""

_FILES = ("transcripts.parquet", "transcripts.csv.gz", "transcripts.csv")
_COLUMNS = ("x_location", "y_location", "feature_name", "qv")


@dataclass(frozen=True)
class Transcripts:
    """The transcripts of a section, not yet read: iterate to get them piece by piece, as often as needed.

    Parameters
    ----------
    path
        File of the transcripts.
    pixel_size_um
        µm per full-resolution pixel of the picture the positions are in.
    genes
        Which ones; ``None`` for all.
    min_quality
        Least Phred-scaled quality (Q-score).
    bundle
        Of which they are a part.
    """

    path: Path
    pixel_size_um: float
    genes: tuple[str, ...] | None
    min_quality: float
    bundle: _xenium.Bundle = field(repr=False)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Give pieces with columns ``x_px``, ``y_px`` (float64), ``gene`` (categorical) and ``quality`` (float32)."""
        for table in _batches(self.path):
            piece = self._piece(table)
            if len(piece):
                yield piece

    def to_frame(self) -> pd.DataFrame:
        """Read all of them into one table; the memory is yours to judge."""
        from pandas.api.types import union_categoricals

        pieces = list(self)
        if not pieces:
            return pd.DataFrame({"x_px": [], "y_px": [], "gene": pd.Categorical([]), "quality": []})
        gene = union_categoricals([piece["gene"] for piece in pieces])
        joined = pd.concat([piece.drop(columns="gene") for piece in pieces], ignore_index=True)
        joined.insert(2, "gene", pd.Series(gene))
        return joined

    def _piece(self, table: Any) -> pd.DataFrame:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.compute as pc  # type: ignore[import-untyped]

        names = table.column("feature_name").cast(pa.string())
        keep = pc.greater_equal(table.column("qv").cast(pa.float64()), self.min_quality)
        if self.genes is not None:
            keep = pc.and_(keep, pc.is_in(names, value_set=pa.array(self.genes, pa.string())))
        table, names = table.filter(keep), names.filter(keep)
        um = np.column_stack([table.column(n).cast(pa.float64()).to_numpy() for n in _COLUMNS[:2]])
        if not np.isfinite(um).all():
            raise InputError(
                subject=str(self.path),
                expected="a finite position for every transcript",
                found=f"{int((~np.isfinite(um)).any(axis=1).sum())} without among {len(um)}",
            )
        px = self.bundle.pixels(um)
        gene = names.dictionary_encode().combine_chunks()
        gene = gene if isinstance(gene, pa.DictionaryArray) else gene.chunk(0)
        categories = pd.Categorical.from_codes(gene.indices.to_numpy(), gene.dictionary.to_pylist())
        quality = table.column("qv").cast(pa.float32()).to_numpy()
        return pd.DataFrame({"x_px": px[:, 0], "y_px": px[:, 1], "gene": categories, "quality": quality})


def read_transcripts(
    path: str | Path,
    genes: Sequence[str] | None = None,
    min_quality: float = 20.0,
    *,
    pixel_size_um: float | None = None,
    alignment: str | Path | npt.ArrayLike | None = None,
) -> Transcripts:
    """Open the transcripts of a Xenium folder without reading them.

    Parameters
    ----------
    path
        The Xenium output folder (``transcripts.parquet``, or ``.csv.gz``).
    genes
        Names of the features wanted (controls too, when named); all of them unless given.
    min_quality
        Least Q-score; 20 is what Xenium itself counts.
    pixel_size_um, alignment
        As for :func:`comould.io.read_spots`: positions are pixels of the morphology picture, or with an alignment of
        the H&E picture.

    Returns
    -------
    Transcripts
        An iterable of tables of at most half a million rows; ``to_frame()`` reads all.

    Raises
    ------
    InputError
        If the folder or file is missing, not of Xenium, or has no such columns; or the quality is no number.
    """
    if genes is not None and (isinstance(genes, str) or not len(genes)):
        raise InputError(subject="genes", expected="a list of names, or None for all", found=repr(genes))
    if not np.isfinite(min_quality):
        raise InputError(subject="min_quality", expected="a number", found=f"{min_quality}")
    bundle = _xenium.open_bundle(Path(path), pixel_size_um, alignment)
    file = next((bundle.folder / name for name in _FILES if (bundle.folder / name).is_file()), None)
    if file is None:
        raise InputError(subject=str(path), expected=" or ".join(_FILES[:2]), found="none of them")
    columns = _column_names(file)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise InputError(subject=str(file), expected=f"columns {', '.join(_COLUMNS)}", found=f"no {', '.join(missing)}")
    wanted = None if genes is None else tuple(str(gene) for gene in genes)
    return Transcripts(file, bundle.pixel_size_um, wanted, float(min_quality), bundle)


def _column_names(path: Path) -> list[str]:
    import pyarrow as pa  # type: ignore[import-untyped]

    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq  # type: ignore[import-untyped]

            return list(pq.read_schema(path).names)
        with _csv(path) as reader:
            return list(reader.schema.names)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _csv(path: Path) -> Any:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import csv  # type: ignore[import-untyped]

    # Without a stated type a first block of whole numbers would make the column one of integers.
    types = {"x_location": pa.float64(), "y_location": pa.float64(), "feature_name": pa.string(), "qv": pa.float64()}
    return csv.open_csv(
        path,
        read_options=csv.ReadOptions(use_threads=False, block_size=16 << 20),
        convert_options=csv.ConvertOptions(
            column_types=types, include_columns=list(_COLUMNS), strings_can_be_null=False
        ),
    )


def _batches(path: Path) -> Iterator[Any]:
    import pyarrow as pa  # type: ignore[import-untyped]

    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq  # type: ignore[import-untyped]

            # Buffered, without reading ahead: a row group may hold the whole file.
            with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
                for groups in _runs(file.metadata):
                    options = {"columns": list(_COLUMNS), "use_threads": False, "row_groups": groups}
                    for batch in file.iter_batches(BATCH_ROWS, **options):
                        yield pa.Table.from_batches([batch])
        else:
            with _csv(path) as reader:
                for batch in reader:
                    yield pa.Table.from_batches([batch])
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _runs(metadata: Any) -> Iterator[list[int]]:
    """Split row groups into runs of about a batch: readers hold pages of all the groups they were given."""
    run: list[int] = []
    rows = 0
    for group in range(metadata.num_row_groups):
        run.append(group)
        rows += metadata.row_group(group).num_rows
        if rows >= BATCH_ROWS:
            yield run
            run, rows = [], 0
    if run:
        yield run


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(subject=str(path), expected="a table of transcripts", found=reason)

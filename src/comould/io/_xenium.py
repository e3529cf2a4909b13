"""Xenium's output folder: where its micrometres lie in the morphology picture or in an H&E picture, and its cells."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.errors import ComouldWarning, InputError
from comould.io import _spots_counts, _spots_grid, _spots_size
from comould.io._spots_positions import read_table
from comould.space.frames import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

STRETCH_TOLERANCE = 0.05
"""Largest difference of an alignment's scales along its two main directions: one slide scanned twice has none."""

CONTROLS = frozenset(
    {
        "Negative Control Probe",
        "Negative Control Codeword",
        "Genomic Control",
        "Unassigned Codeword",
        "Deprecated Codeword",
        "Blank Codeword",
    }
)
"""Kinds of features that measure the assay and not the tissue."""

_SPECS = "experiment.xenium"
_CELLS = ("cells.parquet", "cells.csv.gz", "cells.csv")
_MATRICES = (
    "cell_feature_matrix.h5",
    "cell_feature_matrix",
    "cell_feature_matrix.zarr.zip",
    "cell_feature_matrix.zarr",
)


@dataclass(frozen=True)
class Bundle:
    """A Xenium folder and the picture its positions are wanted in.

    Parameters
    ----------
    folder
        Of the bundle.
    picture_from_um
        ``(3, 3)``: micrometres of the bundle to pixels of the picture.
    pixel_size_um
        Size of a pixel of the picture.
    """

    folder: Path
    picture_from_um: FloatArray
    pixel_size_um: float

    def pixels(self, um: FloatArray) -> FloatArray:
        """Map ``(n, 2)`` µm to ``(n, 2)`` pixels."""
        return np.ascontiguousarray(um @ self.picture_from_um[:2, :2].T + self.picture_from_um[:2, 2])


def is_bundle(path: Path) -> bool:
    """Tell whether a folder is a Xenium output bundle."""
    return path.is_dir() and any((one / _SPECS).is_file() for one in (path, path / "outs"))


def open_bundle(path: Path, stated: float | None, alignment: str | Path | npt.ArrayLike | None) -> Bundle:
    """Find a bundle's pixel size and, with an alignment, its place in an H&E picture.

    Raises
    ------
    InputError
        If the folder is none, its ``experiment.xenium`` names no pixel size, the stated one differs by more than 3 %,
        or the alignment is no plausible affine matrix.

    Notes
    -----
    Xenium's (0, 0) µm is taken as the centre of the morphology picture's first pixel, as spatialdata-io does.
    """
    if not is_bundle(path):
        raise InputError(
            subject=str(path), expected=f"a Xenium output folder with {_SPECS}", found="none", remedy="Check the path"
        )
    folder = path if (path / _SPECS).is_file() else path / "outs"
    try:
        size = json.loads((folder / _SPECS).read_text(encoding="utf-8"))["pixel_size"]
        size = float(size)
        good = bool(np.isfinite(size) and size > 0)
    except (OSError, ValueError, TypeError, KeyError):
        good = False
    if not good:
        raise InputError(
            subject=str(folder / _SPECS),
            expected="JSON with a positive pixel_size in µm",
            found="none",
            remedy="Copy the file of the original run",
        )
    morphology_from_um = np.diag([1.0 / size, 1.0 / size, 1.0])
    if alignment is None:
        picture_from_um, picture_um = morphology_from_um, size
    else:
        matrix = _alignment(alignment)
        picture_from_um = np.linalg.inv(matrix) @ morphology_from_um
        picture_um = size * float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if stated is not None:
        where = _SPECS if alignment is None else f"{_SPECS} and the alignment"
        _spots_size.agree(picture_um, stated, f"pixel size in {where}")
    return Bundle(folder, picture_from_um, picture_um if stated is None else float(stated))


def _alignment(given: str | Path | npt.ArrayLike) -> FloatArray:
    name = Path(given).name if isinstance(given, str | Path) else "matrix"
    subject = f"Xenium alignment {name}"
    try:
        values = read_table(Path(given), header=None).to_numpy() if isinstance(given, str | Path) else given
        matrix = np.asarray(values, dtype=np.float64)
        scales = np.linalg.svd(matrix[:2, :2], compute_uv=False)
        affine = matrix.shape == (3, 3) and bool(np.isfinite(matrix).all()) and np.allclose(matrix[2], (0, 0, 1))
    except InputError:
        raise
    except (TypeError, ValueError, IndexError, np.linalg.LinAlgError):
        affine = False
    if not affine:
        raise InputError(
            subject=subject,
            expected="a 3 × 3 affine matrix, H&E pixels to morphology pixels, last row 0 0 1",
            found="something else",
            remedy="Export it from Xenium Explorer (…_imagealignment.csv); its table of keypoints is another file",
        )
    if scales[1] <= 0 or scales[0] / scales[1] - 1.0 > STRETCH_TOLERANCE:
        raise InputError(
            subject=subject,
            expected="the same scale along x and y (within 5 %)",
            found=f"{scales[0]:.4g} and {scales[1]:.4g}",
            remedy="Align the picture again",
        )
    if np.linalg.det(matrix[:2, :2]) < 0:
        warnings.warn(f"{subject}: the H&E picture is a mirror image of the morphology", ComouldWarning, stacklevel=5)
    return matrix


def read_cells(path: Path, stated: float | None, alignment: str | Path | npt.ArrayLike | None) -> AnnData:
    """Read cells with their counts; positions are their centroids.

    Raises
    ------
    InputError
        As :func:`open_bundle`, or if the table of cells or the counts are missing or damaged.
    """
    bundle = open_bundle(path, stated, alignment)
    cells = _cells(bundle)
    counts = _counts(bundle.folder)
    matrix, table = _spots_counts.pair(counts, cells, str(bundle.folder))
    data = _spots_counts.assemble(matrix, table)
    for name in table.columns.difference(["x_px", "y_px"], sort=False):
        data.obs[name] = table[name].to_numpy()
    data.uns["comould"] = {
        "pixel_size_um": bundle.pixel_size_um,
        "pitch_um": _spots_grid.nearest_neighbour_px(data.obsm["spatial"]) * bundle.pixel_size_um,
        "source": "xenium",
    }
    return data


def _cells(bundle: Bundle) -> pd.DataFrame:
    path = _first(bundle.folder, _CELLS)
    table = read_table(path)
    missing = [name for name in ("cell_id", "x_centroid", "y_centroid") if name not in table]
    if missing:
        raise InputError(
            subject=str(path), expected="columns cell_id, x_centroid, y_centroid", found=f"no {', '.join(missing)}"
        )
    um = table[["x_centroid", "y_centroid"]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(um).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            subject=str(path),
            expected="a finite centroid for every cell",
            found=f"{int(bad.sum())} without, first in data row {row + 1} ({text(table['cell_id'].iloc[row])})",
        )
    px = bundle.pixels(um)
    ids = pd.Index([text(one) for one in table["cell_id"]], dtype=str)
    if ids.has_duplicates:
        twice = ids[ids.duplicated()][0]
        raise InputError(subject=str(path), expected="every cell once", found=f"{twice!r} more than once")
    rest = table.drop(columns=["cell_id", "x_centroid", "y_centroid"])
    return pd.DataFrame({"x_px": px[:, 0], "y_px": px[:, 1], **{c: rest[c].to_numpy() for c in rest}}, index=ids)


def text(value: Any) -> str:
    """Give an identifier as text: old bundles store bytes or whole numbers."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _first(folder: Path, names: tuple[str, ...]) -> Path:
    found = next((folder / name for name in names if (folder / name).exists()), None)
    if found is None:
        raise InputError(
            subject=str(folder),
            expected=" or ".join(names),
            found="none of them",
            remedy="Copy the file of the original run",
        )
    return found


def _counts(folder: Path) -> _spots_counts.Counts:
    path = _first(folder, _MATRICES)
    if ".zarr" in path.suffixes:
        return _zarr_counts(path)
    return _spots_counts.read_10x(path, CONTROLS)


def _zarr_counts(path: Path) -> _spots_counts.Counts:
    import zarr
    from scipy import sparse

    store: Any = zarr.storage.ZipStore(path, mode="r", read_only=True) if path.suffix == ".zip" else path
    try:
        whole = zarr.open_group(store, mode="r")
        group: Any = whole["cell_features"]
        facts = dict(group.attrs)
        names, kinds = (facts[key] for key in ("feature_keys", "feature_types"))
        ids = facts.get("feature_ids", names)
        parts = [group[key][...] for key in ("data", "indices", "indptr")]
        cells = cell_names(group["cell_id"][...])
        # Stored with features in rows; the other way round is told by the length of indptr.
        turned = len(parts[2]) != len(names) + 1
        shape = (len(cells), len(names)) if turned else (len(names), len(cells))
        matrix = sparse.csr_matrix(tuple(parts), shape=shape)
    except Exception as error:
        # zarr, its codecs and scipy raise many kinds on damaged files.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(subject=str(path), expected="Xenium's cell_features in zarr", found=reason) from error
    if path.suffix == ".zip":
        store.close()
    genes = pd.DataFrame(
        {"gene_ids": [str(one) for one in ids], "feature_types": [_kind(one) for one in kinds]},
        index=pd.Index([str(one) for one in names], dtype=str),
    )
    counts = matrix if turned else matrix.T
    return _spots_counts.only_genes(_spots_counts.Counts(sparse.csr_matrix(counts), cells, genes), path, CONTROLS)


def _kind(stored: Any) -> str:
    """Give the kind of a feature as the other files write it: zarr has ``gene`` for Gene Expression."""
    return (
        "Gene Expression"
        if str(stored).lower() in {"gene", "gene expression"}
        else _CONTROL_OF.get(str(stored).lower(), str(stored))
    )


_CONTROL_OF = {name.lower().replace(" ", "_"): name for name in CONTROLS}


def cell_names(stored: npt.NDArray[Any]) -> pd.Index:
    """Turn zarr's pairs of numbers into names such as ``aaaaficg-1``; single numbers stay numbers.

    Notes
    -----
    The first number's eight hexadecimal digits are written with the letters a to p, the second is the suffix (10x
    Genomics, "Cell ID format" of the Xenium Onboard Analysis documentation).
    """
    if stored.ndim == 1 or stored.shape[1] == 1:
        return pd.Index([text(one) for one in stored.ravel().tolist()], dtype=str)
    letters = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
    return pd.Index([f"{int(first):08x}".translate(letters) + f"-{int(last)}" for first, last in stored], dtype=str)

"""Spatial-transcriptomics spots: Space Ranger folders, h5ad, and tables of counts with positions."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from comould.errors import ComouldWarning, InputError
from comould.io import _spots_counts, _spots_ranger, _spots_size, _xenium
from comould.io._spots_positions import Positions, read_positions

if TYPE_CHECKING:
    from anndata import AnnData


def read_spots(
    path: str | Path,
    *,
    positions: str | Path | None = None,
    section: str | None = None,
    pixel_size_um: float | None = None,
    pitch_um: float | None = None,
    bin_um: int | None = None,
    alignment: str | Path | npt.ArrayLike | None = None,
) -> AnnData:
    """Read the spots, bins or cells of one section with their counts, pixel positions and the size of a pixel.

    Parameters
    ----------
    path
        A Space Ranger folder (``outs`` or its parent; old or new ``tissue_positions``; ``.h5`` or mtx; of Visium HD the
        same or one bin's folder); a Xenium output folder; an ``.h5ad``; or counts alone (10x ``.h5``, CSV or TSV,
        ``.gz`` too, spots in rows) with ``positions``.
    positions
        Table of positions for counts given alone: Space Ranger's, the ST spot detector's (``x y new_x new_y pixel_x
        pixel_y selected``), name + x + y, or x + y in the order of the counts.
    section
        Name of the section for ``obs["section"]``, unique in its case; no patient data.
    pixel_size_um
        µm per full-resolution pixel, where known. The array's pitch is a ruler of its own: when both are there they
        must agree within 3 %, and the stated size is used.
    pitch_um
        Distance of neighbouring spots: 100 for Visium (the default where the array is Visium's), 200 for ST arrays.
    bin_um
        Which bins of Visium HD (2, 8 or 16 as a rule); 8 unless given or the folder is that of one bin.
    alignment
        For Xenium: the ``(3, 3)`` matrix from pixels of an H&E picture to pixels of the morphology picture, or the CSV
        Xenium Explorer writes it to (``…_imagealignment.csv``). Positions are then pixels of the H&E picture.

    Returns
    -------
    AnnData
        ``X`` CSR counts; ``obsm["spatial"]`` ``(n, 2)`` float64 x, y in full-resolution pixels; ``obs["in_tissue"]``,
        ``obs["array_row"]``, ``obs["array_col"]`` where known; ``obs["section"]`` when given;
        ``uns["comould"]`` with ``pixel_size_um``, ``pitch_um`` (for Xenium the median distance of neighbouring cells)
        and ``source``; for Space Ranger ``uns["spatial"][section]["scalefactors"]``; for Xenium the columns of the
        cell table in ``obs``.

    Raises
    ------
    InputError
        If files are missing or damaged; counts are negative or fractional; spots repeat; positions are not numbers;
        counts and positions share no spot; the pixel size is missing or contradicts the array by more than 3 %.

    Warns
    -----
    ComouldWarning
        When spots are left out, gene symbols repeat, the array is seen mirrored, or an h5ad holds no raw counts.

    Notes
    -----
    Visium HD and Xenium state their pixel size; Visium HD's is checked by its array as well. Elsewhere the pixel size
    comes from a robust fit of all array positions, at any rotation, and never from
    ``spot_diameter_fullres``, which is not the 55 µm of a spot.
    """
    path = Path(path)
    for name, value in (("pixel_size_um", pixel_size_um), ("pitch_um", pitch_um)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(subject=f"{name} of {path.name}", expected="a positive number", found=f"{value}")
    if not path.exists():
        raise InputError(subject=str(path), expected="a Space Ranger folder, h5ad or table of counts", found="nothing")
    _check_options(path, positions, pitch_um, bin_um, alignment)
    with warnings.catch_warnings():
        # What anndata, scanpy and pandas have to tell each other is no matter of the reader's.
        for kind in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", kind)
        warnings.filterwarnings("ignore", message="(Variable|Observation) names are not unique")
        if _xenium.is_bundle(path):
            data = _xenium.read_cells(path, pixel_size_um, alignment)
        elif path.is_dir():
            data = _spots_ranger.read(path, positions, pixel_size_um, pitch_um, bin_um)
            data.uns["spatial"] = {section or "section": {"scalefactors": data.uns.pop("scalefactors"), "images": {}}}
        elif _is_h5ad(path):
            data = _h5ad(path, positions, pixel_size_um, pitch_um)
        else:
            data = _with_positions(path, positions, pixel_size_um, pitch_um)
        if section is not None:
            data.obs["section"] = pd.Categorical([section] * data.n_obs)
    return data


def _check_options(
    path: Path, positions: str | Path | None, pitch: float | None, bin_um: int | None, alignment: object
) -> None:
    """Refuse options that the platform has no use for, instead of passing them over."""
    xenium = _xenium.is_bundle(path)
    unused = {"positions": positions, "pitch_um": pitch} if xenium else {"alignment": alignment}
    if xenium or not path.is_dir():
        unused["bin_um"] = bin_um
    given = [name for name, value in unused.items() if value is not None]
    if given:
        kind = "a Xenium folder, which has its own" if xenium else "other data than Visium HD's and Xenium's folders"
        raise InputError(
            subject=str(path),
            expected=f"no {' or '.join(given)} for {kind}",
            found="it was given",
            remedy="Leave it out",
        )


def _with_positions(path: Path, positions: str | Path | None, stated: float | None, pitch: float | None) -> AnnData:
    if positions is None:
        raise InputError(
            subject=str(path),
            expected="counts and their positions",
            found="counts only",
            remedy="Give positions= (a table of spot names and pixel positions)",
        )
    where = Path(positions)
    known = read_positions(where)
    ten_x = path.suffix.lower() == ".h5"
    names = known.table.index if known.named else None
    counts = _spots_counts.read_10x(path) if ten_x else _spots_counts.read_matrix_table(path, names)
    if not known.named:
        known = _named_by_order(known, counts.spots, where)
    hexagonal = known.ruler is None and _spots_size.is_hexagonal(known.table)
    size, pitch_um = _spots_size.settle(
        known, stated, pitch or (_spots_size.VISIUM_PITCH_UM if hexagonal else None), hexagonal, str(where)
    )
    matrix, table = _spots_counts.pair(counts, known.table, str(path))
    data = _spots_counts.assemble(matrix, table)
    data.uns["comould"] = {"pixel_size_um": size, "pitch_um": pitch_um, "source": "10x_h5" if ten_x else "table"}
    return data


def _named_by_order(known: Positions, spots: pd.Index, where: Path) -> Positions:
    """Lend the counts' names to unnamed positions; names such as ``13.06x6.09`` also give the array coordinates."""
    table = known.table
    if len(table) != len(spots):
        raise InputError(
            subject=str(where),
            expected=f"{len(spots)} positions, one for each row of counts",
            found=f"{len(table)}",
            remedy="Give positions with a first column of spot names",
        )
    table = table.set_axis(spots, axis=0)
    parts = pd.Series(spots).str.extract(r"^(-?[\d.]+)x(-?[\d.]+)$").apply(pd.to_numeric, errors="coerce")
    if parts.notna().to_numpy().all():
        # The fit that follows fails when these do not belong to the positions, so the order is checked too.
        table = table.assign(array_col=parts[0].to_numpy(), array_row=parts[1].to_numpy())
    else:
        warnings.warn("the positions name no spots: they are paired with the counts by order", ComouldWarning, 4)
    return Positions(table)


def _is_h5ad(path: Path) -> bool:
    import h5py

    if path.suffix.lower() not in {".h5ad", ".h5"}:
        return False
    try:
        with h5py.File(path, "r") as file:
            return "obs" in file
    except OSError as error:
        raise InputError(subject=str(path), expected="an HDF5 file", found=str(error).splitlines()[0]) from error


def _h5ad(path: Path, positions: str | Path | None, stated: float | None, pitch: float | None) -> AnnData:
    from anndata import read_h5ad
    from scipy import sparse

    if positions is not None:
        raise InputError(subject=f"positions for {path.name}", expected="none: an h5ad has its own", found="a table")
    try:
        data = read_h5ad(path)
    except Exception as error:
        # anndata wraps what h5py, zarr and pandas raise in several kinds.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(subject=str(path), expected="an AnnData h5ad", found=reason) from error
    _check_h5ad(data, path)
    data.X = sparse.csr_matrix(data.X)
    data.var_names = _spots_counts.unique_genes(data.var_names)
    px = np.asarray(data.obsm["spatial"], dtype=np.float64)[:, :2]
    data.obsm["spatial"] = np.ascontiguousarray(px)
    table = pd.DataFrame({"x_px": px[:, 0], "y_px": px[:, 1]}, index=data.obs_names)
    if {"array_row", "array_col"} <= set(data.obs):
        table["array_col"], table["array_row"] = (data.obs[n].astype(float) for n in ("array_col", "array_row"))
    kept = dict(data.uns.get("comould") or {})
    written = kept.get("pixel_size_um")
    if written is not None and stated is not None:
        _spots_size.agree(float(written), stated, f"uns['comould']['pixel_size_um'] of {path.name}")
    hexagonal = _spots_size.is_hexagonal(table)
    pitch = pitch or kept.get("pitch_um") or (_spots_size.VISIUM_PITCH_UM if hexagonal else None)
    fallback = stated if stated is not None else written
    size, pitch_um = _spots_size.settle(
        Positions(table), fallback, None if pitch is None else float(pitch), hexagonal, f"{path}, obsm['spatial']"
    )
    data.uns["comould"] = {"source": "h5ad", **kept, "pixel_size_um": size, "pitch_um": pitch_um}
    return data


def _check_h5ad(data: AnnData, path: Path) -> None:
    problems = []
    if "spatial" not in data.obsm:
        keys = ", ".join(data.obsm) or "nothing"
        problems.append(f"obsm holds {keys}, not 'spatial' (x, y in full-resolution pixels)")
    elif not np.isfinite(np.asarray(data.obsm["spatial"], dtype=np.float64)).all():
        bad = ~np.isfinite(np.asarray(data.obsm["spatial"], dtype=np.float64)).all(axis=1)
        problems.append(f"{int(bad.sum())} spots have a position that is not a number")
    if not data.obs_names.is_unique:
        problems.append(f"{int(data.obs_names.duplicated().sum())} spots are named more than once")
    if data.X is None or 0 in data.shape:
        problems.append("X is empty")
    else:
        values = data.X.data if hasattr(data.X, "tocsr") else np.asarray(data.X)
        wrong = _spots_counts.value_problems(np.asarray(values).ravel())
        problems += [text for text in wrong if "not numbers" in text]
        if wrong and not problems:
            warnings.warn(f"X holds no raw counts ({'; '.join(wrong)}): it is kept as it is", ComouldWarning, 5)
    if problems:
        raise InputError.collect(subject=str(path), problems=problems)

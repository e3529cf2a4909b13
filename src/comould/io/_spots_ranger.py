"""Space Ranger's folders: Visium of all versions, and Visium HD's bins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from comould.errors import InputError
from comould.io import _spots_counts, _spots_size
from comould.io._spots_positions import read_positions, read_scalefactors

if TYPE_CHECKING:
    from anndata import AnnData

HD_BIN_UM = 8
"""The bin of Visium HD that is read unless another is asked for: the one Space Ranger itself analyses by default."""

_POSITIONS = ("tissue_positions.csv", "tissue_positions.parquet", "tissue_positions_list.csv")
_COUNTS = "filtered_feature_bc_matrix"
_BIN = re.compile(r"square_(\d{3})um")


def read(
    path: Path, positions: str | Path | None, stated: float | None, pitch: float | None, bin_um: int | None
) -> AnnData:
    """Read a folder of Space Ranger: ``outs``, its parent, or of Visium HD one bin's folder.

    Raises
    ------
    InputError
        If a file is missing or damaged, the bin does not exist, or pixel sizes disagree.
    """
    outs = _outs(path, bin_um)
    counts = _find_counts(outs)
    spatial = outs / "spatial"
    # A bin's folder has its own positions; files downloaded one by one may bear the sample's name in front.
    where = Path(positions) if positions else next((p for name in _POSITIONS for p in _named(spatial, name)), None)
    if where is None:
        raise InputError(
            subject=str(outs),
            expected=f"spatial/{' or spatial/'.join(_POSITIONS)}",
            found="none",
            remedy="Give positions=",
        )
    factors = read_scalefactors(next(iter(_named(spatial, "scalefactors_json.json")), spatial))
    known = read_positions(where)
    # Visium HD bins lie on a square grid whose size the scale factors state.
    square = factors.get("bin_size_um")
    _check_bin(outs, square)
    size, pitch_um = _spots_size.settle(
        known, stated, pitch or square or _spots_size.VISIUM_PITCH_UM, square is None, str(where)
    )
    if "microns_per_pixel" in factors:
        subject = f"pixel size in {spatial.name}/scalefactors_json.json"
        _spots_size.agree(factors["microns_per_pixel"], size, subject)
    matrix, table = _spots_counts.pair(_spots_counts.read_10x(counts), known.table, str(path))
    data = _spots_counts.assemble(matrix, table)
    data.uns["scalefactors"] = factors
    data.uns["comould"] = {
        "pixel_size_um": size,
        "pitch_um": pitch_um,
        "source": "space_ranger" if square is None else "visium_hd",
    }
    return data


def _named(folder: Path, name: str) -> list[Path]:
    """Find a file by its name, or by a name that ends in ``_name``: the sample's name in front."""
    exact = [folder / name] if (folder / name).exists() else []
    return exact or sorted(folder.glob(f"*_{name}"))


def _outs(path: Path, bin_um: int | None) -> Path:
    """Find the folder with ``spatial`` and counts, for Visium HD that of the bin asked for."""
    outs = path / "outs" if (path / "outs").is_dir() else path
    bins = _bins(outs)
    if not bins and _BIN.fullmatch(outs.resolve().name):
        here = int(_BIN.fullmatch(outs.resolve().name).group(1))  # type: ignore[union-attr]
        if bin_um is not None and bin_um != here:
            raise InputError(
                subject=str(path),
                expected=f"bins of {bin_um} µm",
                found=f"the folder of {here} µm",
                remedy="Give the folder above and bin_um=",
            )
        return outs
    if not bins:
        if bin_um is not None:
            raise InputError(
                subject=str(path),
                expected=f"a Visium HD folder with bins of {bin_um} µm",
                found="no binned_outputs",
                remedy="Leave bin_um out for Visium",
            )
        return outs
    wanted = HD_BIN_UM if bin_um is None else bin_um
    if wanted not in bins:
        raise InputError(
            subject=str(path),
            expected=f"bins of {wanted} µm",
            found=f"bins of {', '.join(f'{one}' for one in sorted(bins))} µm",
            remedy="Give bin_um= one of them",
        )
    return bins[wanted]


def _bins(outs: Path) -> dict[int, Path]:
    folder = outs / "binned_outputs" if (outs / "binned_outputs").is_dir() else outs
    found = {m: one for one in sorted(folder.glob("square_*um")) if (m := _BIN.fullmatch(one.name)) and one.is_dir()}
    return {int(match.group(1)): one for match, one in found.items()}


def _check_bin(outs: Path, size_um: float | None) -> None:
    match = _BIN.fullmatch(outs.resolve().name)
    if match and size_um is None:
        raise InputError(
            subject=f"{outs}/spatial/scalefactors_json.json",
            expected="bin_size_um, as Visium HD writes it",
            found="none",
            remedy="Copy the bin's own spatial folder",
        )
    if match and float(match.group(1)) != size_um:
        raise InputError(
            subject=f"{outs}/spatial/scalefactors_json.json",
            expected=f"bins of {int(match.group(1))} µm as the folder's name says",
            found=f"{size_um:g} µm",
            remedy="Copy the bin's own spatial folder",
        )


def _find_counts(outs: Path) -> Path:
    found = [*_named(outs, f"{_COUNTS}.h5"), *_named(outs, _COUNTS)] or sorted(outs.glob(f"*{_COUNTS}.h5"))
    if not found:
        cells = " (of segmented_outputs, the positions of cells are not read)" if "segmented" in outs.name else ""
        raise InputError(
            subject=str(outs),
            expected=f"{_COUNTS}.h5 or a folder {_COUNTS}",
            found=f"none{cells}",
            remedy="Give the outs folder of Space Ranger, or the counts file with positions=",
        )
    return found[0]

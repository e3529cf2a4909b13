"""How far positions that some method found for a simulated case's spots are from the truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.phantom.write import FORMAT
from comould.space import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

COLUMNS = ["x_mm", "y_mm", "z_mm"]


@dataclass(frozen=True, eq=False)
class Score:
    """Errors against the truth.

    Parameters
    ----------
    median_mm, p95_mm, max_mm
        Of the distance between found and true patient position, over all spots that were placed; NaN when none was.
    placed
        Share of all spots that were placed.
    n_spots
        How many spots the case has.
    table
        One row a section (index its id): n_spots, placed, median_mm, p95_mm, max_mm, and the medians of the error's
        size along the true plane (in_plane_mm) and across it (through_plane_mm).
    errors_mm
        Distance by spot, NaN where it was not placed.
    """

    median_mm: float
    p95_mm: float
    max_mm: float
    placed: float
    n_spots: int
    table: pd.DataFrame
    errors_mm: pd.Series[float]

    def __str__(self) -> str:
        return (
            f"median {self.median_mm:.2f} mm, 95 % within {self.p95_mm:.2f} mm, worst {self.max_mm:.2f} mm; "
            f"{100.0 * self.placed:.1f} % of {self.n_spots} spots placed"
        )


def score(
    case_folder: str | Path, positions: Mapping[str, npt.ArrayLike] | AnnData | pd.DataFrame | str | Path
) -> Score:
    """Compare positions with the truth of a simulated case.

    Parameters
    ----------
    case_folder
        What :meth:`Phantom.write` or ``comould phantom`` wrote.
    positions
        Patient mm, LPS, as any of: a CSV file or a data frame with the columns spot (or as its index), x_mm, y_mm,
        z_mm; spots with ``obsm["spatial_patient"]``, or their ``.h5ad`` file; a mapping of section id to ``(n, 3)`` in
        the order of that section's spots. Spots may be left out, or be NaN: they count as not placed.

    Returns
    -------
    Score

    Raises
    ------
    InputError
        If the folder holds no simulated case, or the positions do not belong to it.
    """
    truth = _truth(Path(case_folder))
    found = _found(positions, truth)
    if twice := found.index[found.index.duplicated()].unique().tolist():
        raise InputError(subject="positions", expected="each spot once", found=f"{twice[0]} more than once")
    if strange := found.index.difference(truth.index).tolist():
        raise InputError(
            subject="positions",
            expected="spots of this case",
            found=f"{len(strange)} others, such as {strange[0]}",
            remedy="Use the names in spots/*.h5ad",
        )
    offset = found.reindex(truth.index)[COLUMNS].to_numpy(dtype=np.float64) - truth[COLUMNS].to_numpy()
    across = np.abs(np.sum(offset * truth[["nx", "ny", "nz"]].to_numpy(), axis=1))
    errors = np.linalg.norm(offset, axis=1)
    along = np.sqrt(np.maximum(errors**2 - across**2, 0.0))
    return _summary(truth, errors, along, across)


def _summary(truth: pd.DataFrame, errors: FloatArray, along: FloatArray, across: FloatArray) -> Score:
    import pandas as pd

    rows = []
    for section, where in truth.groupby("section", sort=False).indices.items():
        rows.append(
            {
                "section": section,
                **_figures(errors[where]),
                "in_plane_mm": _quantile(along[where], 0.5),
                "through_plane_mm": _quantile(across[where], 0.5),
            }
        )
    table = pd.DataFrame(rows).set_index("section")
    return Score(table=table, errors_mm=pd.Series(errors, truth.index, name="error_mm"), **_figures(errors))


def _figures(errors: FloatArray) -> dict[str, Any]:
    placed = float(np.isfinite(errors).mean()) if len(errors) else 0.0
    quantiles = {name: _quantile(errors, q) for name, q in (("median_mm", 0.5), ("p95_mm", 0.95), ("max_mm", 1.0))}
    return {"n_spots": len(errors), "placed": placed, **quantiles}


def _quantile(values: FloatArray, q: float) -> float:
    values = values[np.isfinite(values)]
    return float(np.quantile(values, q)) if len(values) else float("nan")


def _truth(folder: Path) -> pd.DataFrame:
    """Read true positions and plane normals by spot, in the order of the case's files."""
    import pandas as pd

    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        problem = "" if manifest["format"] == FORMAT else f"a manifest of {manifest['format']}"
        parts = [] if problem else [_section_truth(folder, row) for row in manifest["sections"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem, parts = f"{type(error).__name__}: {error}", []
    if problem:
        raise InputError(
            subject=str(folder), expected="a folder that comould phantom wrote, with its truth", found=problem
        )
    return pd.concat(parts)


def _section_truth(folder: Path, row: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    stem = Path(row["spots"]).stem
    part = pd.read_csv(folder / "truth" / f"{stem}_spots.csv", dtype={"spot": str}).set_index("spot")
    facts = json.loads((folder / "truth" / f"{stem}.json").read_text(encoding="utf-8"))
    part["section"] = row["id"]
    part[["nx", "ny", "nz"]] = facts["true_plane"]["normal"]
    return part


def _found(positions: Any, truth: pd.DataFrame) -> pd.DataFrame:
    """Bring positions of any form to a frame by spot."""
    import pandas as pd

    if isinstance(positions, str | Path):
        positions = _read(Path(positions))
    if isinstance(positions, pd.DataFrame):
        frame = positions.set_index("spot") if "spot" in positions.columns else positions
        if missing := [name for name in COLUMNS if name not in frame.columns]:
            raise InputError(
                subject="positions", expected="columns spot, x_mm, y_mm, z_mm", found=f"no {', '.join(missing)}"
            )
        return _numbers(frame[COLUMNS].set_axis(frame.index.astype(str), axis=0))
    if hasattr(positions, "obsm"):
        if "spatial_patient" not in positions.obsm:
            raise InputError(
                subject="positions",
                expected='obsm["spatial_patient"]',
                found=", ".join(positions.obsm.keys()) or "nothing in obsm",
                remedy="Map the spots first",
            )
        points = np.asarray(positions.obsm["spatial_patient"], dtype=np.float64)
        return pd.DataFrame(points[:, :3], index=positions.obs_names.astype(str), columns=COLUMNS)
    if isinstance(positions, Mapping):
        return _by_section(positions, truth)
    raise InputError(
        subject="positions",
        expected="a CSV or h5ad file, a data frame, spots, or a mapping of section id to positions",
        found=type(positions).__name__,
    )


def _read(path: Path) -> Any:
    import pandas as pd

    if not path.is_file():
        raise InputError(subject=str(path), expected="a CSV or h5ad file", found="none")
    try:
        if path.suffix == ".h5ad":
            import anndata as ad

            return ad.read_h5ad(path)
        return pd.read_csv(path, dtype={"spot": str})
    except (OSError, ValueError, KeyError) as error:
        raise InputError(subject=str(path), expected="a CSV or h5ad file", found=str(error)) from error


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    try:
        return frame.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(subject="positions", expected="numbers in x_mm, y_mm, z_mm", found=str(error)) from error


def _by_section(positions: Mapping[str, npt.ArrayLike], truth: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    spots = {
        str(section): truth.index[where] for section, where in truth.groupby("section", sort=False).indices.items()
    }
    parts = [pd.DataFrame(np.empty((0, 3)), columns=COLUMNS, index=truth.index[:0])]
    for section, points in positions.items():
        array = np.asarray(points, dtype=np.float64)
        if section not in spots:
            raise InputError(
                subject=f"positions of {section}", expected=f"one of {', '.join(spots)}", found="no such section"
            )
        if array.shape != (len(spots[section]), 3):
            raise InputError(
                subject=f"positions of {section}",
                expected=f"shape ({len(spots[section])}, 3), a row a spot",
                found=f"shape {array.shape}",
            )
        parts.append(pd.DataFrame(array, columns=COLUMNS, index=spots[section]))
    return pd.concat(parts[1:] or parts)

"""The size of a spot picture's pixel: what is stated, what the array shows, and that both agree."""

from __future__ import annotations

import warnings

import pandas as pd

from comould.errors import ComouldWarning, InputError
from comould.io import _spots_grid
from comould.io._spots_positions import Positions
from comould.space.frames import FloatArray

VISIUM_PITCH_UM = 100.0
"""Distance between the centres of neighbouring Visium spots."""

PIXEL_TOLERANCE = 0.03
"""Largest relative difference between two statements of the pixel size."""

_REMEDY = "Give pixel_size_um= (µm per full-resolution pixel) or pitch_um= (distance of neighbouring spots)"


def is_hexagonal(table: pd.DataFrame) -> bool:
    """Tell whether positions carry the array coordinates of a hexagonal array."""
    if not {"array_col", "array_row"} <= set(table):
        return False
    return _spots_grid.is_doubled(table[["array_col", "array_row"]].to_numpy())


def settle(
    known: Positions, stated: float | None, pitch: float | None, hexagonal: bool, subject: str
) -> tuple[float, float]:
    """Settle the pixel size and the pitch (both µm) from what is stated and what the array shows.

    Parameters
    ----------
    known
        Positions, with array coordinates where there are any.
    stated
        µm per full-resolution pixel, as the user or another file says.
    pitch
        µm between neighbouring spots of the array.
    hexagonal
        Whether the array coordinates are Visium's doubled ones.
    subject
        What messages are about.

    Returns
    -------
    float, float
        µm per full-resolution pixel, and µm between neighbouring spots.

    Raises
    ------
    InputError
        If the size is missing, or what is stated and the array differ by more than 3 %.
    """
    table = known.table
    px = table[["x_px", "y_px"]].to_numpy()
    if not {"array_col", "array_row"} <= set(table) and known.ruler is None:
        if stated is None:
            raise InputError(
                subject=f"pixel size for {subject}",
                expected="a size in µm",
                found="none, and no array coordinates to measure it by",
                remedy="Give pixel_size_um= (µm per full-resolution pixel)",
            )
        return float(stated), float(pitch or _spots_grid.nearest_neighbour_px(px) * stated)
    units: FloatArray = known.ruler if known.ruler is not None else table[["array_col", "array_row"]].to_numpy()
    if stated is None and pitch is None:
        raise InputError(
            subject=f"pixel size for {subject}",
            expected="a size in µm, or the pitch of the array",
            found="neither",
            remedy=_REMEDY,
        )
    try:
        fit = _spots_grid.fit_array(_spots_grid.hexagonal(units) if hexagonal else units, px, f"array of {subject}")
    except InputError:
        # Few spots in a row cannot be measured by; a stated size does not need them.
        if stated is None or len(px) >= 6:
            raise
        return float(stated), float(pitch or _spots_grid.nearest_neighbour_px(px) * stated)
    if fit.mirrored:
        warnings.warn(
            "the spot array appears mirrored in the picture: turned over, or x and y exchanged", ComouldWarning, 4
        )
    if stated is None:
        return float(pitch or 0.0) / fit.px_per_unit, float(pitch or 0.0)
    if pitch is not None:
        agree(pitch / fit.px_per_unit, stated, f"pixel size for {subject}", f" from a pitch of {pitch:g} µm")
    return float(stated), float(pitch or fit.px_per_unit * stated)


def agree(found: float, stated: float, subject: str, how: str = "") -> None:
    """Refuse two pixel sizes (µm) that differ by more than 3 %.

    Raises
    ------
    InputError
        Naming both.
    """
    if abs(stated - found) > PIXEL_TOLERANCE * found:
        raise InputError(
            subject=subject,
            expected=f"{found:.4g} µm{how} (within 3 %)",
            found=f"{stated:.4g} µm",
            remedy="Leave pixel_size_um out, or correct the one that is wrong",
        )

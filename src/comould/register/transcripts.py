"""Transcripts and cells to the patient, chunk by chunk: more of them than memory holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.register.points import count_outside, pixel_positions, tell_outside
from comould.register.result import SectionRegistration, refuse_rejected
from comould.space import FloatArray

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ["x_px", "y_px"]


@overload
def map_transcripts(
    chunks: Iterable[pd.DataFrame], registration: SectionRegistration, *, force: bool = ...
) -> Iterator[pd.DataFrame]: ...


@overload
def map_transcripts(
    chunks: Iterable[npt.NDArray[Any]], registration: SectionRegistration, *, force: bool = ...
) -> Iterator[tuple[FloatArray, FloatArray]]: ...


def map_transcripts(chunks: Iterable[Any], registration: SectionRegistration, *, force: bool = False) -> Iterator[Any]:
    """Map transcripts, cells, or any other pixel positions of one section to the patient, lazily.

    Parameters
    ----------
    chunks
        Any iterable (also a generator) of ``(n, 2)`` arrays of x, y, or of DataFrames with columns ``x_px`` and
        ``y_px``, in full-resolution pixels of the section. One chunk at a time is taken and held.
    registration
        Of the section.
    force
        Use a rejected registration too, with a warning.

    Yields
    ------
    DataFrame or tuple of ndarray
        For a DataFrame, a copy of it with ``x_patient_mm``, ``y_patient_mm``, ``z_patient_mm`` (patient LPS) and
        ``x_patient_sd_mm``, ``y_patient_sd_mm``, ``z_patient_sd_mm``; for an array, positions and standard deviations
        ``(n, 3)`` in mm.

    Raises
    ------
    RegistrationError
        If the registration was rejected, unless forced; raised at the call, not at the first chunk.
    InputError
        If a chunk has no such columns or another shape, or holds positions that are not finite (it names how many and
        in which chunk); after the last chunk, if every position lay outside the section's picture.

    Warns
    -----
    ComouldWarning
        After the last chunk, if some positions lay outside the section's picture (where its extent is known).
    """
    if hasattr(chunks, "columns") or isinstance(chunks, np.ndarray):
        raise InputError(
            subject="chunks of transcripts",
            expected="an iterable of DataFrames or (n, 2) arrays",
            found=f"one {type(chunks).__name__}",
            remedy="Put it in a list",
        )
    refuse_rejected([registration], force=force)
    return _mapped(chunks, registration)


def _mapped(chunks: Iterable[Any], registration: SectionRegistration) -> Iterator[Any]:
    outside = total = 0
    for number, chunk in enumerate(chunks, start=1):
        points = _positions(chunk, f"transcripts of {registration.section_id}, chunk {number}")
        outside += count_outside(points, registration.extent_px)
        total += len(points)
        position, sd = registration.map_points(points)
        yield _joined(chunk, position, sd) if hasattr(chunk, "columns") else (position, sd)
    tell_outside(outside, total, registration.extent_px, f"transcripts of {registration.section_id}")


def _positions(chunk: Any, subject: str) -> npt.NDArray[Any]:
    if not hasattr(chunk, "columns"):
        return pixel_positions(chunk, subject, "transcripts")
    if missing := [name for name in _COLUMNS if name not in chunk.columns]:
        raise InputError(
            subject=subject,
            expected="columns x_px and y_px (full-resolution px)",
            found=f"no {' and no '.join(missing)}",
        )
    return pixel_positions(chunk[_COLUMNS].to_numpy(), subject, "transcripts")


def _joined(frame: pd.DataFrame, position: FloatArray, sd: FloatArray) -> pd.DataFrame:
    columns = {f"{name}_patient_mm": position[:, axis] for axis, name in enumerate("xyz")}
    columns |= {f"{name}_patient_sd_mm": sd[:, axis] for axis, name in enumerate("xyz")}
    return frame.assign(**columns)

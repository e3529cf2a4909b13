"""The marker plate on paper: a PDF at exactly 1:1, or an SVG."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from comould._version import __version__
from comould.errors import InputError
from comould.pl.style import context
from comould.report.sheet.document import actual_size
from comould.report.sheet.layout import Box
from comould.report.sheet.page import PT_MM, Page

if TYPE_CHECKING:
    from comould.register.photo import MarkerPlate

_RC = {"pdf.fonttype": 42, "pdf.use14corefonts": False, "svg.fonttype": "path", "svg.hashsalt": "comould"}
_ARC_STEPS = 24


def write_marker_plate(path: str | Path, plate: MarkerPlate) -> Path:
    """Write a marker plate to be printed at 100 %: targets round a free area, a ruler, and a bar to check the print.

    Parameters
    ----------
    path
        ``.pdf`` or ``.svg``; replaced if it exists.
    plate
        Its nominal sizes are drawn: a print scale measured on paper changes nothing here.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        For another suffix, or a folder that does not exist or cannot be written to.

    Notes
    -----
    Print on matt paper and glue it to something flat, or laminate it matt: gloss hides targets. Measure the bar and
    give its length to :meth:`comould.register.photo.MarkerPlate.as_printed` when the printer has scaled the page.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in {".pdf", ".svg"} or not path.parent.is_dir():
        raise InputError(
            subject=f"marker plate {path.name}", expected="a .pdf or .svg file in a folder that exists", found=str(path)
        )
    data = _drawn(plate, suffix[1:])
    try:
        handle, work = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise InputError(
            subject=f"marker plate {path.name}",
            expected="a folder that can be written to",
            found=error.strerror or type(error).__name__,
            remedy="Choose another place",
        ) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(work).chmod(0o644)
        Path(work).replace(path)
    except BaseException:
        Path(work).unlink(missing_ok=True)
        raise
    return path


def _drawn(plate: MarkerPlate, kind: str) -> bytes:
    import matplotlib as mpl

    stream = io.BytesIO()
    empty = {"pdf": ("Producer", "CreationDate"), "svg": ("Date",)}[kind]
    metadata = {"Title": f"Marker plate {plate.name}", "Creator": f"comould {__version__}", **dict.fromkeys(empty)}
    with context(), mpl.rc_context(_RC):
        page = Page((plate.width_mm, plate.height_mm))
        for target in plate.targets:
            _target(page, target.x_mm / plate.print_scale, target.y_mm / plate.print_scale, plate, target.code)
        _furniture(page, plate)
        page.figure.savefig(stream, format=kind, metadata=metadata)
    return actual_size(stream.getvalue()) if kind == "pdf" else stream.getvalue()


def _target(page: Page, x: float, y: float, plate: MarkerPlate, code: tuple[bool, ...]) -> None:
    from comould.register.photo.plate import DOT, WHITE

    radius = plate.target_radius_mm
    page.shape([_arc(x, y, DOT * radius, 0.0, 2 * np.pi)], fill="black", edge="none", width=0.0)
    sector = 2 * np.pi / len(code)
    start = next(k for k in range(len(code)) if code[k] and not code[k - 1])
    k = start
    while k < start + len(code):
        end = k
        while code[end % len(code)] and end < start + len(code):
            end += 1
        if end > k:
            outer = _arc(x, y, radius, k * sector, end * sector)
            inner = _arc(x, y, WHITE * radius, k * sector, end * sector)[::-1]
            page.shape([np.vstack([outer, inner, outer[:1]])], fill="black", edge="none", width=0.0)
        k = max(end, k + 1)


def _arc(x: float, y: float, radius: float, start: float, end: float) -> np.ndarray:
    steps = max(3, int(np.ceil((end - start) / (2 * np.pi) * 16 * _ARC_STEPS)))
    turn = np.linspace(start, end, steps)
    return np.column_stack([x + radius * np.cos(turn), y + radius * np.sin(turn)])


def _furniture(page: Page, plate: MarkerPlate) -> None:
    """Ruler below the free area, its corners, and what to do with the sheet."""
    s = plate.print_scale
    x0, y0, x1, y1 = (v / s for v in plate.free_mm)
    tick = 2.0
    for x, y, right, down in ((x0, y0, 1, 1), (x1, y0, -1, 1), (x0, y1, 1, -1), (x1, y1, -1, -1)):
        page.line([(x + right * tick, y), (x, y), (x, y + down * tick)], 0.3, "#9aa2a8")
    length = int((x1 - x0) // 10) * 10
    start, base = 0.5 * (x0 + x1 - length), y1 + 1.2
    for mm in range(length + 1):
        high = 4.0 if mm % 10 == 0 else 3.0 if mm % 5 == 0 else 2.0
        page.line([(start + mm, base), (start + mm, base + high)], 0.2 / PT_MM)
        if mm % 10 == 0:
            page.text(start + mm, base + high + 2.2, str(mm), 5.5, ha="center")
    look = {"color": "#55606a", "ha": "center"}
    text = f"comould marker plate {plate.name}, {plate.width_mm:g} × {plate.height_mm:g} mm. Print at 100 %, lay flat."
    page.text(0.5 * plate.width_mm, 4.4, text, 5.5, **look)
    check = f"Check: the ruler measures {length} mm; else give MarkerPlate.as_printed(measured, {length})"
    page.text(0.5 * plate.width_mm, plate.height_mm - 3.0, check, 5.5, **look)
    page.rect(Box(0.0, 0.0, plate.width_mm, plate.height_mm), edge="#d5dade", width=0.3)

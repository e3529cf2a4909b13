"""Tissue somebody has drawn: mask pictures and QuPath polygons, brought onto a section's working picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.io import _geojson
from comould.io.polygon import fill
from comould.io.section import Section
from comould.space import FloatArray

Mask = npt.NDArray[np.bool_]

ASPECT_TOLERANCE_PX = 1.5
"""How far a mask's outline may miss the picture's, in pixels of the coarser of the two (reduced sizes are rounded)."""


MAX_MASK_PIXELS = 1_000_000_000
"""A mask picture is decoded whole; larger ones are refused (they say no more at a tenth of the size)."""


def read_tissue(path: str | Path, section: Section) -> Mask:
    """Read where the tissue is, as somebody has drawn it.

    Parameters
    ----------
    path
        A mask as PNG or TIFF (everything but 0 is tissue; of any size with the picture's aspect ratio), or GeoJSON of
        polygons in full-resolution pixels, as QuPath exports them (with holes; several are joined).
    section
        The section whose picture was drawn on.

    Returns
    -------
    ndarray
        ``(h, w)`` bool on the section's working picture: for :attr:`Section.tissue`.

    Raises
    ------
    InputError
        If the file cannot be read; the mask has another aspect ratio or more than two values; a polygon reaches far
        beyond the picture; nothing of the picture, or all of it, is tissue.

    Notes
    -----
    A working pixel is tissue when its centre lies in a polygon or in a pixel of the mask that is tissue; of a mask at
    least twice as fine, when at least half of its pixels are.
    """
    path = Path(path)
    subject = f"tissue mask {path.name} of section {section.id!r}"
    if path.suffix.lower() in {".geojson", ".json"}:
        mask = _from_polygons(path, section, subject)
    else:
        mask = _from_picture(path, section, subject)
    if not mask.any() or mask.all():
        raise InputError(
            subject=subject,
            expected="tissue on part of the picture",
            found="no tissue on it" if not mask.any() else "tissue everywhere",
            remedy="Check that the mask belongs to this picture and is not inverted; leave it out to have tissue found",
        )
    return mask


def with_tissue(section: Section, path: str | Path) -> Section:
    """Give the section with the tissue somebody has drawn: see :func:`read_tissue`."""
    return replace(section, tissue=read_tissue(path, section))


def _from_picture(path: Path, section: Section, subject: str) -> Mask:
    drawn = _mask_picture(path, subject)
    (height, width), (rows, columns) = drawn.shape, section.image.shape[:2]
    scale_y, scale_x = height / rows, width / columns
    # Both sizes are whole numbers of the same outline: a pixel of the coarser one is what rounding may move.
    off = max(abs(scale_x / scale_y - 1.0), abs(scale_y / scale_x - 1.0))
    if off > ASPECT_TOLERANCE_PX / min(height, width, rows, columns):
        raise InputError(
            subject=subject,
            expected=f"the picture's aspect ratio (working picture {columns} × {rows})",
            found=f"{width} × {height}",
            remedy="Export the mask of the whole picture, not of a crop",
        )
    if min(scale_y, scale_x) >= 2.0:
        return _majority(drawn, rows, columns)
    row = np.minimum(((np.arange(rows) + 0.5) * scale_y).astype(np.intp), height - 1)
    column = np.minimum(((np.arange(columns) + 0.5) * scale_x).astype(np.intp), width - 1)
    return np.ascontiguousarray(drawn[np.ix_(row, column)])


def _majority(drawn: Mask, rows: int, columns: int) -> Mask:
    """Reduce a finer mask: a pixel is tissue when at least half of it is."""
    edges = [
        np.rint(np.arange(n + 1) * (size / n)).astype(np.intp)
        for n, size in zip((rows, columns), drawn.shape, strict=True)
    ]
    counts = np.add.reduceat(drawn, edges[0][:-1], axis=0, dtype=np.int32)
    counts = np.add.reduceat(counts, edges[1][:-1], axis=1, dtype=np.int32)
    return np.asarray(2 * counts >= np.multiply.outer(np.diff(edges[0]), np.diff(edges[1])))


def _mask_picture(path: Path, subject: str) -> Mask:
    """Read a mask picture; colours count as tissue where any of them is not 0, transparency does not count."""
    if not path.is_file():
        raise InputError(
            subject=subject, expected="PNG, TIFF or GeoJSON", found="a folder" if path.is_dir() else "no file"
        )
    try:
        array = _pixels(path)
    except (OSError, ValueError, RuntimeError, SyntaxError, IndexError, KeyError, TypeError) as error:
        # Decoders of damaged files raise all of these.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(subject=subject, expected="a readable PNG or TIFF, or GeoJSON", found=reason) from error
    if array.ndim == 3 and array.shape[2] in {2, 4}:
        array = array[:, :, :-1]
    if array.ndim == 3:
        array = array.max(axis=2)
    if array.ndim != 2 or not array.size:
        raise InputError(subject=subject, expected="a flat mask", found=f"a picture of shape {array.shape}")
    values = np.unique(array)
    if len(values) > 2 or (len(values) == 2 and values[0] != 0):
        raise InputError(
            subject=subject,
            expected="two values, 0 for no tissue",
            found=f"{len(values)} values from {values[0]} to {values[-1]}",
            remedy="Export a mask (PNG or TIFF, without smoothing), not the picture or a rendered overlay",
        )
    return np.asarray(array != 0)


def _pixels(path: Path) -> npt.NDArray[Any]:
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic[:2] in {b"II", b"MM"}:
        import tifffile

        with tifffile.TiffFile(path) as tif:
            _check_size(tif.pages[0].shape[:2])
            return np.squeeze(tif.pages[0].asarray())
    from PIL.PngImagePlugin import PngImageFile

    with path.open("rb") as stream:
        picture = PngImageFile(stream)
        _check_size(picture.size)
        # A palette's colours are names only: the index tells, and 0 is the ground.
        return np.asarray(picture)


def _check_size(size: tuple[int, ...]) -> None:
    if size[0] * size[1] > MAX_MASK_PIXELS:
        msg = f"{size[0]} × {size[1]} pixels, more than a mask needs: export it at a lower resolution"
        raise ValueError(msg)


def _from_polygons(path: Path, section: Section, subject: str) -> Mask:
    rows, columns = section.image.shape[:2]
    features = _geojson.read_features(path)
    if not any(one.kind in {"Polygon", "MultiPolygon"} for one in features):
        kinds = ", ".join(sorted({one.kind for one in features}))
        raise InputError(subject=subject, expected="Polygon or MultiPolygon features", found=kinds)
    mask = np.zeros((rows, columns), np.bool_)
    limit = np.array([columns, rows]) * section.downsample
    for rings in _polygons(features, subject):
        outer = rings[0]
        beyond = max(float(np.max(outer - limit)), float(np.max(-outer)))
        if beyond > 0.05 * limit.max():
            raise InputError(
                subject=subject,
                expected=f"polygons on the picture (0 … {limit[0]:.0f} × 0 … {limit[1]:.0f} full-resolution px)",
                found=f"one that reaches {beyond:.0f} px beyond",
                remedy="Export in full-resolution pixels of this very picture",
            )
        # From the outer corner in full-resolution pixels to working pixels with centres on integers.
        mask |= fill([ring / section.downsample - _geojson.CORNER_TO_CENTRE_PX for ring in rings], (rows, columns))
    return mask


def _polygons(features: list[_geojson.Feature], subject: str) -> Iterator[list[FloatArray]]:
    """Give each polygon as its rings: the outline, then the holes."""
    for number, feature in enumerate(features, start=1):
        if feature.kind not in {"Polygon", "MultiPolygon"}:
            continue
        try:
            parts = [feature.coordinates] if feature.kind == "Polygon" else feature.coordinates
            polygons = [[np.asarray(ring, dtype=np.float64)[:, :2] for ring in part] for part in parts]
            good = all(part and all(len(ring) >= 3 and np.isfinite(ring).all() for ring in part) for part in polygons)
        except (TypeError, ValueError, IndexError):
            good = False
        if not good:
            raise InputError(
                subject=subject,
                expected="polygons of at least 3 finite points",
                found=f"feature {number} ({feature.name or feature.group or 'unnamed'}) with others",
            )
        yield from polygons

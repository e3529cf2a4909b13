"""TIFF and its kin (SVS, OME-TIFF, NDPI, SCN …): levels, tiles and what the metadata say of the pixel size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np

from comould.errors import ComouldWarning, InputError
from comould.io._slide_pixels import Block, Pixels, rgb

if TYPE_CHECKING:
    import tifffile

PLAUSIBLE_UM = (0.05, 10.0)
"""Pixel sizes a TIFF's resolution tag may state and be believed: scanners and microscopes, not 72 … 1200 dpi."""

_VENDOR_FLAGS = ("is_svs", "is_scn", "is_ndpi", "is_bif", "is_philips")
_UM_PER = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "nm": 1e-3}
_UM_PER |= {"mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4, "pm": 1e-6, "in": 25400.0, "inch": 25400.0, "\\u00B5m": 1.0}


@dataclass(frozen=True)
class Level:
    """One resolution of a slide: its size, and how many full-resolution pixels one of its pixels spans."""

    width: int
    height: int
    downsample: float
    pages: list[Any] = field(repr=False)


@dataclass(frozen=True)
class PixelSize:
    """What metadata say: µm per full-resolution pixel along x and y (``None`` when nothing usable), and where."""

    xy_um: tuple[float, float] | None
    source: str


def main_series(tif: tifffile.TiffFile, subject: str) -> tifffile.TiffPageSeries:
    """Pick the largest picture of a file (slides carry labels and macros too) and check that it is one.

    Raises
    ------
    InputError
        If the file holds no picture, or a stack or time series.
    """
    flat = [s for s in tif.series if {"Y", "X"} <= set(s.axes) and len(s.pages)]
    if not flat:
        raise InputError(subject=subject, expected="a picture with rows and columns", found="none in the TIFF")
    series = max(flat, key=_area)
    sizes = dict(zip(series.axes, series.shape, strict=True))
    deep = {axis: n for axis, n in sizes.items() if axis not in "YXSC" and n > 1}
    if deep:
        listed = ", ".join(f"{n} along {axis}" for axis, n in deep.items())
        raise InputError(
            subject=subject, expected="one flat picture", found=listed, remedy="Save the one plane of interest"
        )
    if sizes.get("C", 1) not in {1, 3}:
        raise InputError(
            subject=subject,
            expected="1 channel, or 3 taken as red, green, blue",
            found=f"{sizes['C']} channels",
            remedy="Save the channels to show as an RGB picture",
        )
    return series


def levels_of(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, subject: str) -> list[Level]:
    """List the pyramid, finest first: sub-images of the series, or further reduced pages of the same outline."""
    found = list(series.levels)
    if len(found) == 1:
        found += [s for s in tif.series if s is not series and _reduced(s, series)]
    width, height = size_of(series)
    levels = []
    for one in found:
        w, h = size_of(one)
        pages = [page.aspage() for page in one.pages if page is not None]
        _check_pages(pages, subject)
        levels.append(Level(w, h, _downsample(width, height, w, h), pages))
    return sorted(levels, key=lambda level: level.downsample)


def size_of(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    """Give a picture's width and height."""
    sizes = dict(zip(series.axes, series.shape, strict=True))
    return int(sizes["X"]), int(sizes["Y"])


def _area(series: tifffile.TiffPageSeries) -> int:
    width, height = size_of(series)
    return width * height


def _reduced(series: tifffile.TiffPageSeries, full: tifffile.TiffPageSeries) -> bool:
    if series.dtype != full.dtype or series.axes != full.axes or not series.keyframe.is_reduced:
        return False
    (w, h), (width, height) = size_of(series), size_of(full)
    return w < width and abs(width / w - height / h) <= 1.5 * max(width / w / w, height / h / h)


def _downsample(full_width: int, full_height: int, width: int, height: int) -> float:
    """Give the whole factor both sizes come from by rounding, else the mean ratio."""
    ratio = (full_width / width + full_height / height) / 2.0
    whole = round(ratio)
    if all(abs(full / whole - n) <= 1.0 for full, n in ((full_width, width), (full_height, height))):
        return float(whole)
    return ratio


def _check_pages(pages: list[Any], subject: str) -> None:
    page = pages[0]
    if page.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(bool)}:
        raise InputError(
            subject=subject,
            expected="8- or 16-bit unsigned pixels",
            found=str(page.dtype),
            remedy="Save the picture as 8-bit RGB",
        )
    kind = page.photometric.name if page.photometric is not None else "unknown"
    # JPEG codecs hand YCbCr out as RGB; other compressions leave it as it is.
    decoded = kind == "YCBCR" and int(page.compression) in {6, 7, 33003, 33005, 33007, 34892}
    if kind not in {"MINISBLACK", "MINISWHITE", "RGB", "PALETTE"} and not decoded:
        raise InputError(
            subject=subject, expected="grey, palette or RGB pixels", found=kind, remedy="Save the picture as RGB"
        )
    if page.samplesperpixel > 4 or (len(pages) > 1 and page.samplesperpixel > 1):
        raise InputError(
            subject=subject,
            expected="1 (grey), 3 (RGB) or 4 (RGBA) samples a pixel",
            found=f"{page.samplesperpixel * len(pages)}",
            remedy="Save the picture as RGB",
        )
    if int(page.planarconfig) == 2 and page.samplesperpixel not in {1, 3}:
        raise InputError(
            subject=subject,
            expected="interleaved samples, or 3 planes",
            found=f"{page.samplesperpixel} planes",
            remedy="Save the picture as RGB",
        )


def blocks(level: Level) -> Iterator[Block]:
    """Decode a level tile by tile (or strip by strip); memory holds one at a time. Absent tiles are white."""
    several = len(level.pages) > 1
    for number, page in enumerate(level.pages):
        planar = int(page.planarconfig) == 2 and page.samplesperpixel == 3
        alpha = _alpha(page)
        for pixels, index, shape in page.segments(maxworkers=1, buffersize=1 << 20):
            channel = number if several else int(index[0]) if planar else None
            if pixels is None:
                depth = 3 if channel is None else 1
                white = np.array(np.iinfo(_dtype(page)).max, _dtype(page))
                blank = np.broadcast_to(white, (shape[1], shape[2], depth))
                yield Block(blank, int(index[2]), int(index[3]), channel)
                continue
            flat = _colours(page, pixels[0])
            yield Block(flat if channel is not None else rgb(flat, alpha=alpha), int(index[2]), int(index[3]), channel)


def pixel_dtype(level: Level) -> np.dtype[Any]:
    """Tell the type :func:`blocks` gives."""
    return _dtype(level.pages[0])


def _dtype(page: Any) -> np.dtype[Any]:
    sixteen = page.dtype == np.dtype(np.uint16) and page.photometric.name != "PALETTE"
    return np.dtype(np.uint16 if sixteen else np.uint8)


def _alpha(page: Any) -> str:
    extra = [int(sample) for sample in page.extrasamples]
    if not extra:
        return "none"
    if extra[0] == 0:
        warnings.warn(
            "the picture's extra sample is not declared as transparency and is dropped", ComouldWarning, stacklevel=5
        )
    return {1: "premultiplied", 2: "straight"}.get(extra[0], "none")


def _colours(page: Any, pixels: Pixels) -> Pixels:
    kind = page.photometric.name
    if kind == "PALETTE":
        table = (np.asarray(page.colormap) >> 8).astype(np.uint8).T
        return table[pixels[:, :, 0]]
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    return np.iinfo(pixels.dtype).max - pixels if kind == "MINISWHITE" else pixels


def pixel_size(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> PixelSize:
    """Read the pixel size from vendor, OME or ImageJ metadata, or from plausible resolution tags; never guess one."""
    if any(getattr(tif, flag, False) for flag in _VENDOR_FLAGS):
        return _vendor(path)
    if tif.is_ome and tif.ome_metadata:
        return _ome(tif.ome_metadata, tif.series.index(series))
    return _tags(tif, series.keyframe)


def _vendor(path: Path) -> PixelSize:
    import tiffslide

    with tiffslide.TiffSlide(path) as slide:
        found = (slide.properties.get("tiffslide.mpp-x"), slide.properties.get("tiffslide.mpp-y"))
        vendor = slide.properties.get("tiffslide.vendor")
    size = _positive(found)
    return PixelSize(size, f"mpp of the {vendor} metadata" if size else f"no mpp in the {vendor} metadata")


def _ome(xml: str, index: int) -> PixelSize:
    missing = PixelSize(None, "no PhysicalSizeX and PhysicalSizeY in the OME-XML")
    try:
        every = [node for node in ET.fromstring(xml).iter() if node.tag.rpartition("}")[2] == "Pixels"]
    except ET.ParseError:
        return missing
    if not every:
        return missing
    pixels = every[index if index < len(every) else 0]
    sizes = []
    for axis in "XY":
        size, unit = pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")
        if size is None:
            return missing
        if unit not in _UM_PER:
            return PixelSize(None, f"an OME-XML whose unit {unit!r} is no length")
        sizes.append(float(size) * _UM_PER[unit])
    size_um = _positive((sizes[0], sizes[1]))
    return PixelSize(size_um, "PhysicalSizeX of the OME-XML") if size_um else missing


def _tags(tif: tifffile.TiffFile, page: Any) -> PixelSize:
    ratios = [page.tags.get(name) for name in ("XResolution", "YResolution")]
    values = [tag.value[0] / tag.value[1] if tag is not None and tag.value[1] else 0.0 for tag in ratios]
    if min(values) <= 0:
        return PixelSize(None, "no resolution tags")
    if tif.is_imagej and tif.imagej_metadata:
        unit = str(tif.imagej_metadata.get("unit", ""))
        if unit in _UM_PER:
            sizes = _positive((_UM_PER[unit] / values[0], _UM_PER[unit] / values[1]))
            return PixelSize(sizes, f"ImageJ resolution (unit {unit})")
    unit_tag = page.tags.get("ResolutionUnit")
    um = {2: 25400.0, 3: 10000.0}.get(int(unit_tag.value) if unit_tag is not None else 2)
    if um is None:
        return PixelSize(None, "resolution tags without a unit")
    sizes = (um / values[0], um / values[1])
    if not all(PLAUSIBLE_UM[0] <= size <= PLAUSIBLE_UM[1] for size in sizes):
        dpi = f"{values[0] * 25400.0 / um:.4g} dpi"
        return PixelSize(None, f"resolution tags of {dpi}, which is a printing setting and not a pixel size")
    return PixelSize(sizes, "resolution tags")


def _positive(pair: tuple[Any, Any]) -> tuple[float, float] | None:
    try:
        x, y = float(pair[0]), float(pair[1])
    except (TypeError, ValueError):
        return None
    return (x, y) if np.isfinite([x, y]).all() and min(x, y) > 0 else None

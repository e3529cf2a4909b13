"""Section images: SVS, OME-TIFF, TIFF, PNG and JPEG at the working resolution, without loading the full slide."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from comould.errors import ComouldError, ComouldWarning, InputError
from comould.io import _slide_tiff
from comould.io._slide_pixels import Block, BlockMean, bands, cells, rgb
from comould.io._slide_tiff import PixelSize
from comould.io.regions import with_tissue
from comould.io.section import Section
from comould.space.planes import Face

if TYPE_CHECKING:
    import tifffile
    from PIL.ImageFile import ImageFile

WORKING_RESOLUTION_UM = 8.0
"""Size of a working pixel unless asked otherwise: a 20 mm section becomes 2500 pixels wide, finer than any registration
to millimetre voxels uses, coarse enough for a laptop."""

STATED_TOLERANCE = 0.03
"""Largest relative difference between a stated pixel size and the one in the file."""

ANISOTROPY_TOLERANCE = 0.01
"""Largest relative difference between the pixel's width and height."""

MAX_WORKING_PIXELS = 1_000_000_000
"""A working picture is held in memory, and while it is made in float32: one of more pixels than this is refused."""

_REMEDY = "Give pixel_size_um= (µm per full-resolution pixel, from the scanner's or microscope's record)"


def read_section(
    path: str | Path,
    *,
    id: str,
    pixel_size_um: float | None = None,
    resolution_um: float | None = None,
    plane_id: str | None = None,
    face: Face | None = None,
    offset_mm: float = 0.0,
    tissue: str | Path | None = None,
) -> Section:
    """Read a section's picture at working resolution, with a pixel size that is known and never guessed.

    Parameters
    ----------
    path
        SVS or another whole-slide TIFF that tiffslide knows, OME-TIFF, TIFF (tiled or in strips, with or without
        pyramid), PNG or JPEG. Told apart by content, not by suffix.
    id
        Name of the section, unique in its case; no patient data.
    pixel_size_um
        µm per full-resolution pixel. Needed when the file does not say (PNG and JPEG never do); when both are there
        they must agree within 3 %, and the stated one is used.
    resolution_um
        Size of a working pixel; 8 µm unless given. Never finer than the full resolution: pictures are not enlarged.
    plane_id, face, offset_mm
        Where the section was taken: see :class:`Section`.
    tissue
        A mask or polygons of the tissue somebody has drawn: see :func:`comould.io.read_tissue`.

    Returns
    -------
    Section
        8-bit RGB; ``downsample`` full-resolution pixels per working pixel, which is ``resolution_um /
        pixel_size_um`` exactly (fractional factors are area-weighted).

    Raises
    ------
    InputError
        If the file is missing, unreadable or of another kind; the pixel size is missing, contradicts the metadata by
        more than 3 %, or differs by more than 1 % between x and y; the picture is a stack or no grey or RGB picture.

    Warns
    -----
    ComouldWarning
        If a stored orientation is not applied, or 16-bit pixels use only part of their range.

    Notes
    -----
    The coarsest pyramid level that is finer than the request is read tile by tile and averaged over areas, so memory
    holds the working picture and one tile; JPEGs are decoded at 1/2, 1/4 or 1/8 where that suffices. PNG has no such
    access: it is decoded whole.

    Grey becomes RGB; transparency is laid on white; absent tiles are white. 16-bit pixels are divided by the full range
    of the least of 8, 10, 12, 14 or 16 bits that holds the largest value met: no contrast is stretched.

    An EXIF or TIFF orientation is **not** applied: pixels stay as stored, since spot positions and landmarks count
    stored pixels. Colour profiles are ignored.
    """
    path = Path(path)
    for name, value in (("pixel_size_um", pixel_size_um), ("resolution_um", resolution_um)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(subject=f"{name} of section {id!r}", expected="a positive number", found=f"{value}")
    want = WORKING_RESOLUTION_UM if resolution_um is None else float(resolution_um)
    read = {"tiff": _read_tiff, "raster": _read_raster}[_kind(path)]
    try:
        image, size, downsample = read(path, pixel_size_um, want)
    except ComouldError:
        raise
    except (OSError, ValueError, RuntimeError, SyntaxError, IndexError, KeyError, TypeError) as error:
        # Decoders of damaged files raise all of these.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            subject=str(path), expected="a readable picture", found=reason, remedy="Export the picture again"
        ) from error
    section = Section(id, image, size, downsample, plane_id, face, offset_mm)
    return section if tissue is None else with_tissue(section, tissue)


def _kind(path: Path) -> str:
    if not path.is_file():
        raise InputError(subject=str(path), expected="an image file", found="a folder" if path.is_dir() else "no file")
    with path.open("rb") as stream:
        magic = stream.read(8)
    if magic[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        return "tiff"
    if magic == b"\x89PNG\r\n\x1a\n" or magic[:3] == b"\xff\xd8\xff":
        return "raster"
    raise InputError(
        subject=str(path),
        expected="SVS, OME-TIFF, TIFF, PNG or JPEG",
        found="an empty file" if not magic else "another format",
        remedy="Export the picture as OME-TIFF",
    )


def _settle_size(path: Path, stated: float | None, found: PixelSize) -> float:
    """Bring the stated pixel size and the file's together, or say what is missing or wrong."""
    subject = f"pixel size of {path.name}"
    if found.xy_um is None:
        if stated is None:
            raise InputError(subject=subject, expected="a size in µm", found=found.source, remedy=_REMEDY)
        return float(stated)
    x, y = found.xy_um
    if abs(x - y) > ANISOTROPY_TOLERANCE * min(x, y):
        raise InputError(
            subject=subject,
            expected="square pixels (within 1 %)",
            found=f"{x:.4g} × {y:.4g} µm in the {found.source}",
            remedy="Resample the picture to square pixels",
        )
    mean = (x + y) / 2.0
    if stated is None:
        return mean
    if abs(stated - mean) > STATED_TOLERANCE * mean:
        raise InputError(
            subject=subject,
            expected=f"{mean:.4g} µm as in the {found.source} (within 3 %)",
            found=f"{stated:.4g} µm stated",
            remedy="Leave pixel_size_um out, or correct the file's metadata",
        )
    return float(stated)


def _check_working_size(path: Path, size: tuple[int, int], downsample: float) -> None:
    columns, rows = (cells(n, downsample) for n in size)
    if columns * rows > MAX_WORKING_PIXELS:
        raise InputError(
            subject=f"working picture of {path.name}",
            expected=f"at most {MAX_WORKING_PIXELS:.0e} pixels",
            found=f"{columns} × {rows}",
            remedy="Give a larger resolution_um (8 µm is enough to register by)",
        )


def _warn_orientation(path: Path, orientation: Any) -> None:
    if orientation not in {None, 0, 1}:
        warnings.warn(
            f"{path.name}: its orientation tag ({orientation}) is not applied, pixels stay as stored; viewers that "
            "apply it show the section turned or mirrored",
            ComouldWarning,
            stacklevel=4,
        )


def _warn_bits(path: Path, mean: BlockMean) -> None:
    if mean.dtype != np.uint8 and mean.bits < 16:
        warnings.warn(
            f"{path.name}: 16-bit pixels up to {mean.highest} are taken as {mean.bits}-bit and scaled to 8-bit",
            ComouldWarning,
            stacklevel=4,
        )


def _read_tiff(path: Path, stated: float | None, want_um: float) -> tuple[npt.NDArray[np.uint8], float, float]:
    import tifffile

    with tifffile.TiffFile(path) as tif:
        series = _slide_tiff.main_series(tif, str(path))
        size = _settle_size(path, stated, _slide_tiff.pixel_size(path, tif, series))
        _warn_orientation(path, _orientation(series))
        downsample = max(1.0, want_um / size)
        _check_working_size(path, _slide_tiff.size_of(series), downsample)
        levels = _slide_tiff.levels_of(tif, series, str(path))
        level = max(
            (one for one in levels if one.downsample <= downsample * (1 + 1e-6)), key=lambda one: one.downsample
        )
        factor = max(1.0, downsample / level.downsample)
        mean = BlockMean(level.width, level.height, factor, _slide_tiff.pixel_dtype(level))
        for block in _slide_tiff.blocks(level):
            mean.add(block)
    _warn_bits(path, mean)
    return _trimmed(mean, levels[0].width, levels[0].height, level.downsample * factor), size, level.downsample * factor


def _orientation(series: tifffile.TiffPageSeries) -> Any:
    tag = series.keyframe.tags.get("Orientation")
    return None if tag is None else int(tag.value)


def _read_raster(path: Path, stated: float | None, want_um: float) -> tuple[npt.NDArray[np.uint8], float, float]:
    # The plugin classes are used directly: Image.open refuses pictures of more than 179 Mpx as "bombs", a limit made
    # for web servers that histology passes, and lifting it would change a setting of the caller's process.
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    size = _settle_size(path, stated, PixelSize(None, "none (PNG and JPEG carry no trustworthy one)"))
    downsample = max(1.0, want_um / size)
    with path.open("rb") as stream:
        jpeg = stream.read(3) == b"\xff\xd8\xff"
        stream.seek(0)
        picture: ImageFile = JpegImageFile(stream) if jpeg else PngImageFile(stream)
        _warn_orientation(path, picture.getexif().get(0x0112))
        width, height = picture.size
        _check_working_size(path, (width, height), downsample)
        reduction = 1
        if jpeg and downsample >= 2:
            reduction = max(n for n in (1, 2, 4, 8) if n <= downsample)
            picture.draft(None, (max(1, width // reduction), max(1, height // reduction)))  # type: ignore[arg-type]
            # What the decoder really did: it may refuse (progressive CMYK, arithmetic coding).
            reduction = max(1, round(width / picture.width))
        factor = max(1.0, downsample / reduction)
        mean = BlockMean(picture.width, picture.height, factor, np.uint16 if picture.mode[0] == "I" else np.uint8)
        for start, end in bands(picture.height, picture.width):
            mean.add(Block(_raster_rgb(picture, path, start, end), start, 0))
    _warn_bits(path, mean)
    return _trimmed(mean, width, height, reduction * factor), size, reduction * factor


def _trimmed(mean: BlockMean, width: int, height: int, downsample: float) -> npt.NDArray[np.uint8]:
    """Give the picture without cells that lie wholly beyond the full one (reduced pictures are rounded up in size)."""
    return mean.image()[: cells(height, downsample), : cells(width, downsample)]


def _raster_rgb(picture: ImageFile, path: Path, start: int, end: int) -> npt.NDArray[Any]:
    band = picture.crop((0, start, picture.width, end))
    if band.mode == "F":
        raise InputError(subject=str(path), expected="8- or 16-bit unsigned pixels", found="floating point")
    if band.mode in {"I;16", "I;16B", "I;16L", "I"}:
        return rgb(np.asarray(band).astype(np.uint16)[:, :, None])
    if band.mode in {"LA", "PA", "La", "RGBA", "RGBa"} or "transparency" in picture.info:
        return rgb(np.asarray(band.convert("RGBA")), alpha="straight")
    return np.asarray(band.convert("RGB"))

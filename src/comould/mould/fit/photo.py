"""A slab's photograph as a mask: which pixels are tissue, and where they lie in millimetres."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from comould.errors import ComouldWarning, InputError
from comould.mould.outline import PlaneMask
from comould.space import FloatArray

MOST_PIXELS = 500_000
"""Larger masks are averaged down: an outline needs no more."""

BETWEEN = 0.05
"""Largest share of pixels with values between black and white: antialiased edges are, photographs are not."""

SPECK = 0.01
"""Parts below this share of the largest one are left out."""


@dataclass(frozen=True, eq=False)
class SlabPhoto:
    """The outlines of tissue in a photograph.

    Parameters
    ----------
    outlines
        Closed polygons ``(k, 2)`` in mm, x right and y down as photographed, origin at the tissue's centroid.
    pixel_mm
        Side of a pixel of the mask as used.
    area_mm2
        Area of tissue.
    photo_from_px
        ``(3, 3)``: continuous pixels x, y of the picture as given (centres on integers) to these millimetres.
    """

    outlines: list[FloatArray]
    pixel_mm: float
    area_mm2: float
    photo_from_px: FloatArray

    def mirrored(self) -> list[FloatArray]:
        """Outlines as seen from behind: x reversed, still running the same way round."""
        return [(line * (-1.0, 1.0))[::-1] for line in self.outlines]


def read_slab(mask: str | Path | npt.NDArray[Any], pixel_size_um: float) -> SlabPhoto:
    """Read a mask of a slab's cut face.

    Parameters
    ----------
    mask
        PNG, TIFF or another picture file, or an array: ``(h, w)`` bool or numbers, or ``(h, w, 4)`` whose alpha marks
        the tissue. Tissue is the bright or opaque part.
    pixel_size_um
        Side of a pixel on the cut face.

    Raises
    ------
    InputError
        If there is no tissue, the picture is not a mask, tissue touches the border, or the pixel size is no length.

    Warns
    -----
    ComouldWarning
        If small parts were left out.
    """
    subject = "slab mask"
    if not np.isfinite(pixel_size_um) or pixel_size_um <= 0:
        raise InputError(
            subject=f"{subject}: pixel size {pixel_size_um!r}",
            expected="a positive number of micrometres",
            found="none",
            remedy="Photograph a ruler beside the slab: its length in µm over its length in pixels",
        )
    share = _share(mask if isinstance(mask, np.ndarray) else _pixels(Path(mask)), subject)
    share = _without_specks(share, subject)
    shrink = int(np.ceil(np.sqrt(share.size / MOST_PIXELS)))
    pixel_mm = pixel_size_um / 1000.0 * shrink
    if shrink > 1:
        pad = [(0, -n % shrink) for n in share.shape]
        padded = np.pad(share, pad)
        rows, columns = (n // shrink for n in padded.shape)
        share = padded.reshape(rows, shrink, columns, shrink).mean(axis=(1, 3))
    rows, columns = np.indices(share.shape)
    weight = share.sum(dtype=np.float64)
    middle = [float((part * share).sum(dtype=np.float64) / weight) * pixel_mm for part in (columns, rows)]
    picture = PlaneMask(share, (-middle[0], -middle[1]), pixel_mm)
    # The first pixel used covers several of the picture's: its centre lies between theirs.
    size, first = pixel_size_um / 1000.0, 0.5 * (shrink - 1) * pixel_size_um / 1000.0
    photo_from_px = np.array([[size, 0.0, -middle[0] - first], [0.0, size, -middle[1] - first], [0.0, 0.0, 1.0]])
    return SlabPhoto(picture.outlines(), pixel_mm, float(weight) * pixel_mm**2, photo_from_px)


def _pixels(path: Path) -> npt.NDArray[Any]:
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise InputError(subject=str(path), expected="a picture of the slab's mask", found="no file")
    try:
        with Image.open(path) as image:
            if image.mode in {"LA", "PA", "P"}:
                return np.asarray(image.convert("RGBA"))
            if image.mode in {"CMYK", "YCbCr", "LAB", "HSV"}:
                return np.asarray(image.convert("RGB"))
            return np.asarray(image)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            subject=str(path), expected="a PNG, TIFF or other picture", found=f"{type(error).__name__} on reading"
        ) from error


def _share(pixels: npt.NDArray[Any], subject: str) -> npt.NDArray[np.float32]:
    """Reduce a picture to the share of tissue in 0…1 per pixel."""
    if pixels.ndim == 3 and pixels.shape[2] == 4 and np.ptp(pixels[..., 3]) > 0:
        pixels = pixels[..., 3]
    elif pixels.ndim == 3 and pixels.shape[2] in {3, 4}:
        pixels = pixels[..., :3].max(axis=2)
    if pixels.ndim != 2 or min(pixels.shape) < 3:
        raise InputError(subject=subject, expected="(h, w) or (h, w, 4) pixels", found=f"shape {pixels.shape}")
    values = pixels.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all() or high <= low:
        raise InputError(
            subject=subject, expected="tissue brighter than its background", found="one value throughout (or NaN)"
        )
    share = np.asarray((values - low) / (high - low), dtype=np.float32)
    between = float(((share > 0.1) & (share < 0.9)).mean())
    if between > BETWEEN:
        raise InputError(
            subject=subject,
            expected="a mask of two values",
            found=f"{between:.0%} of the pixels in between",
            remedy="Segment the tissue in the photograph first (white on black), and give that picture",
        )
    border = np.concatenate([share[0], share[-1], share[:, 0], share[:, -1]]) > 0.5
    if border.any():
        raise InputError(
            subject=subject,
            expected="background all round the tissue",
            found=f"tissue along {border.mean():.0%} of the picture's border",
            remedy="Tissue must be white on black" if border.mean() > 0.5 else "Take in the whole slab",
        )
    return share


def _without_specks(share: npt.NDArray[np.float32], subject: str) -> npt.NDArray[np.float32]:
    labels, count = ndi.label(share > 0.1, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), weights=share.ravel(), minlength=count + 1)
    kept = sizes >= SPECK * sizes[1:].max(initial=0.0)
    kept[0] = True
    if dropped := int((~kept).sum()):
        warnings.warn(
            f"{subject}: {dropped} speck{'s' if dropped > 1 else ''} below {SPECK:.0%} of the slab left out",
            ComouldWarning,
            stacklevel=4,
        )
    return np.where(kept[labels], share, np.float32(0.0))

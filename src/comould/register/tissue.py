"""Find the tissue on a slide's picture and turn its colours into a few channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.errors import RegistrationError
from comould.io.section import Section
from comould.register.raster import BoolArray, Raster, block_mean, smooth_inside

WORKING_PIXELS = 700
"""Longest side, in pixels, at which the tissue is looked for."""

SMALLEST_PIECE = 0.04
"""Pieces smaller than this fraction of the largest one are specks."""

_REMEDY = "Give a picture of the stained section with some empty slide around it"


def tissue_mask(image: npt.NDArray[np.uint8], *, subject: str = "section image") -> BoolArray:
    """Tell tissue from empty slide.

    The empty slide is whatever colour the border of the picture mostly has, white or black; tissue is what differs
    from it in colour or density by more than Otsu's threshold. Holes are filled (a lumen belongs to the specimen),
    pieces under 4 % of the largest are dropped as specks.

    Parameters
    ----------
    image
        ``(h, w, 3)`` uint8 RGB.
    subject
        What to call the picture in an error.

    Returns
    -------
    ndarray
        ``(h, w)`` bool.

    Raises
    ------
    RegistrationError
        If nothing stands out of the background (a blank slide), or the tissue fills the whole picture.

    Notes
    -----
    Otsu on the square root of the colour distance, which keeps pale stroma with the tissue. Fat, which clears to
    white, is only found where tissue encloses it.

    References
    ----------
    N. Otsu, IEEE Trans. SMC 9 (1979), doi:10.1109/TSMC.1979.4310076.
    """
    factor = max(1, int(np.ceil(max(image.shape[:2]) / WORKING_PIXELS)))
    small = block_mean(image, factor) / 255.0
    mask = _clean(_different(small, subject))
    fraction = float(mask.mean())
    if fraction < 5e-4 or fraction > 0.98:
        found = f"tissue on {fraction:.2%} of the picture"
        raise RegistrationError(subject=subject, expected="tissue on an empty background", found=found, remedy=_REMEDY)
    big = np.repeat(np.repeat(mask, factor, axis=0), factor, axis=1)
    return np.asarray(big[: image.shape[0], : image.shape[1]])


def _different(small: npt.NDArray[np.float32], subject: str) -> BoolArray:
    """Threshold the distance from the background colour."""
    height, width = small.shape[:2]
    edge = max(1, round(0.02 * min(height, width)))
    frame = np.ones((height, width), dtype=bool)
    frame[edge : height - edge, edge : width - edge] = False
    background = np.median(small[frame], axis=0)
    distance = np.sqrt(np.linalg.norm(small - background, axis=2))
    distance = ndimage.gaussian_filter(distance, max(1.0, min(height, width) / 400))
    noise = float(np.quantile(distance[frame], 0.5))
    if float(np.quantile(distance, 0.999)) < 0.2 + noise:
        raise RegistrationError(
            subject=subject, expected="tissue on an empty background", found="a blank slide", remedy=_REMEDY
        )
    return np.asarray(distance > max(_otsu(distance), noise + 0.05))


def _otsu(values: npt.NDArray[np.generic]) -> float:
    counts, edges = np.histogram(values, bins=256)
    centres = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)
    mass = np.cumsum(counts * centres)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return float(centres[int(np.nanargmax(np.where(above > 0, between, -1.0)))])


def _clean(mask: BoolArray) -> BoolArray:
    radius = max(1, round(min(mask.shape) / 250))
    ball = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), radius)
    # Padding keeps the closing from eating tissue at the picture's edge.
    closed = ndimage.binary_closing(np.pad(mask, 2 * radius), ball)[2 * radius : -2 * radius, 2 * radius : -2 * radius]
    opened = ndimage.binary_opening(ndimage.binary_fill_holes(closed), ball)
    labels, count = ndimage.label(opened)
    if count == 0:
        return np.asarray(opened)
    sizes = np.bincount(labels.ravel())[1:]
    keep = np.concatenate([[False], sizes >= SMALLEST_PIECE * sizes.max()])
    return np.asarray(keep[labels])


def section_raster(section: Section, spacing_mm: float) -> Raster:
    """Picture a section as colour channels over its tissue, in slide mm.

    Parameters
    ----------
    section
        The section.
    spacing_mm
        Pixel size aimed at; the picture is averaged down to it, never interpolated up.

    Returns
    -------
    Raster
        Frame ``section_mm``. One or two channels: the main directions in which the optical density of the tissue
        varies, of zero mean and unit variance; a second only where it holds 2 % of the variance or more.

    Raises
    ------
    RegistrationError
        If there is no tissue to be seen.
    """
    mask = section.tissue
    if mask is None:
        mask = tissue_mask(section.image, subject=f"section {section.id!r}")
    factor = max(1, int(spacing_mm / section.image_pixel_mm + 1e-6))
    weight = block_mean(mask.astype(np.float32), factor)
    covered = weight >= 0.5
    # Averaged over the tissue of a block only: a rim mixed with glass would be a colour of its own.
    colour = block_mean(np.where(mask[..., None], section.image, 0), factor) / np.maximum(weight, 1e-3)[..., None]
    density = -np.log((np.clip(colour, 0.0, 255.0) + 1.0) / 256.0)
    pixel = section.image_pixel_mm * factor
    origin = section.image_origin_mm + 0.5 * (factor - 1) * section.image_pixel_mm
    return Raster(_main_channels(density, covered), covered, pixel, (origin, origin))


def _main_channels(density: npt.NDArray[np.float32], mask: BoolArray) -> npt.NDArray[np.float32]:
    smooth = np.stack([smooth_inside(density[..., c], mask, 1.0) for c in range(3)], axis=-1)
    inside = smooth[mask].astype(np.float64)
    mean = inside.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov((inside - mean).T) + 1e-12 * np.eye(3))
    order = [k for k in (2, 1) if k == 2 or variance[k] >= 0.02 * variance[2]]
    channels = []
    for k in order:
        axis = axes[:, k] * (np.sign(axes[:, k].sum()) or 1.0)
        values = np.where(mask, (density - mean) @ axis, 0.0) / np.sqrt(variance[k] + 1e-12)
        channels.append(np.clip(values, -4.0, 4.0))
    return np.array(channels, dtype=np.float32)

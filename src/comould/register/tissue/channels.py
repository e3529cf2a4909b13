"""Turn a section's colours into a few channels over its tissue."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from comould.io.section import Section
from comould.register.raster import BoolArray, Raster, block_mean, smooth_inside
from comould.register.tissue.find import tissue_mask


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

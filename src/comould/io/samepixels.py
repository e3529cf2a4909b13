"""A section's picture and its spots must count the same pixels: the check that they do."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import ComouldWarning, InputError
from comould.io.section import Section
from comould.space import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

PIXEL_TOLERANCE = 0.03
"""Largest relative difference between the pixel size of the picture and that of the spots."""

OUTSIDE_TOLERANCE = 0.05
"""Largest fraction of spots that may lie outside the picture: arrays reach over its border, sections do not."""

SMALL_FRACTION = 0.12
"""Spots that span less of the picture than this, both ways, are told: they may count pixels of a reduced picture."""


def check_same_pixels(section: Section, spots: AnnData) -> None:
    """Refuse spots whose pixels are not those of the section's picture.

    Parameters
    ----------
    section
        With its full-resolution pixel size and size.
    spots
        ``obsm["spatial"]`` in full-resolution px and ``uns["comould"]["pixel_size_um"]``; with ``obs["section"]`` only
        the spots of this section count.

    Raises
    ------
    InputError
        If the two pixel sizes differ by more than 3 % (both are named), more than 5 % of the spots lie outside the
        picture, or there is no spot of this section.

    Warns
    -----
    ComouldWarning
        If some spots lie outside, or all of them in a small part of the picture.

    Notes
    -----
    This finds a picture exported at another size than the one the positions were measured on, which would shift every
    spot without a sign. It does not find a picture that was cropped, turned or mirrored at the same size.
    """
    subject = f"picture and spots of section {section.id!r}"
    px = _positions(section, spots, subject)
    facts = spots.uns.get("comould") or {}
    size = facts.get("pixel_size_um")
    if size is None:
        raise InputError(
            subject=subject,
            expected='the spots\' uns["comould"]["pixel_size_um"]',
            found="none",
            remedy="Read them with comould.io.read_spots",
        )
    ratio = float(size) / section.pixel_size_um
    if abs(ratio - 1.0) > PIXEL_TOLERANCE:
        raise InputError(
            subject=subject,
            expected="one pixel size (within 3 %)",
            found=f"{section.pixel_size_um:.4g} µm in the picture and {float(size):.4g} µm for the spots: "
            f"{_times(ratio)}",
            remedy="Give the picture the spots' positions were measured on, and its own pixel size",
        )
    height, width = (n * section.downsample for n in section.image.shape[:2])
    out = ((px < -0.5) | (px > np.array([width, height]) - 0.5)).any(axis=1)
    if out.mean() > OUTSIDE_TOLERANCE:
        raise InputError(
            subject=subject,
            expected=f"spots on the picture ({width:.0f} × {height:.0f} full-resolution px)",
            found=f"{int(out.sum())} of {len(px)} outside, up to x {px[:, 0].max():.0f}, y {px[:, 1].max():.0f}",
            remedy="Give the picture the positions were measured on, at full resolution and uncropped",
        )
    if out.any():
        _warn(f"{subject}: {int(out.sum())} of {len(px)} spots lie outside the picture")
    spread = np.ptp(px, axis=0) / [width, height]
    if len(px) > 2 and spread.max() < SMALL_FRACTION:
        _warn(
            f"{subject}: the spots span only {100 * spread.max():.0f} % of the picture; check that obsm['spatial'] "
            "is in full-resolution px and not in those of a reduced picture"
        )


def _positions(section: Section, spots: AnnData, subject: str) -> FloatArray:
    if "spatial" not in spots.obsm:
        raise InputError(
            subject=subject,
            expected='obsm["spatial"] (x, y in full-resolution px)',
            found=f"{list(spots.obsm) or 'none'}",
        )
    px = np.asarray(spots.obsm["spatial"], dtype=np.float64)[:, :2]
    if "section" in spots.obs:
        here = (spots.obs["section"].astype(str) == section.id).to_numpy()
        px = px[here]
    if not len(px):
        raise InputError(subject=subject, expected="spots of this section", found="none")
    if not np.isfinite(px).all():
        bad = int((~np.isfinite(px)).any(axis=1).sum())
        raise InputError(subject=subject, expected="finite positions", found=f"{bad} spots without")
    return px


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times as large" if ratio > 1 else f"{1 / ratio:.3g} times smaller"


def _warn(text: str) -> None:
    warnings.warn(text, ComouldWarning, stacklevel=3)

"""Tell tissue from empty slide or bench, whatever else is on the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.errors import InputError, RegistrationError
from comould.io.section import Section
from comould.register.raster import BoolArray, block_mean
from comould.register.tissue import beside, ground
from comould.register.tissue.ground import Floats, Kind
from comould.register.tissue.report import TissueReport, describe

Keep = Literal["all", "largest"]

WORKING_PIXELS = 700
"""Longest side, in pixels, at which the tissue is looked for."""

SMALLEST_PIECE = 0.04
"""Pieces smaller than this fraction of the largest one are specks."""

_LEAST = {"brightfield": 0.26, "fluorescence": 0.22, "photo": 0.22}
"""Root of the least distance from the ground at which something counts as seen."""

_REMEDY = "Give a picture of the stained section with some empty slide around it"


@dataclass(frozen=True, eq=False)
class Tissue:
    """Tissue on a picture.

    Parameters
    ----------
    mask
        ``(h, w)`` bool.
    report
        What was found.
    """

    mask: BoolArray
    report: TissueReport


def tissue_mask(
    image: npt.NDArray[np.uint8], *, kind: Kind = "auto", keep: Keep = "all", subject: str = "section image"
) -> BoolArray:
    """Tell tissue from empty slide or bench: the mask of :func:`find_tissue`, ``(h, w)`` bool.

    Raises
    ------
    RegistrationError
        If nothing stands out of the background (a blank slide), or the tissue fills the whole picture.
    InputError
        If the picture is not ``(h, w, 3)`` uint8, or ``kind`` or ``keep`` is none of the choices.
    """
    return find_tissue(image, kind=kind, keep=keep, subject=subject).mask


def tissue_report(section: Section, *, kind: Kind = "auto") -> TissueReport:
    """Say what is found on a section: pieces with areas in mm², pen, frame, contrast.

    Parameters
    ----------
    section
        A mask somebody has drawn is described as it is.
    kind
        As for :func:`find_tissue`.

    Raises
    ------
    RegistrationError
        For a blank slide, or one filled with tissue.
    """
    if section.tissue is not None:
        found = describe(section.tissue, "given", smallest=SMALLEST_PIECE)
    else:
        found = find_tissue(section.image, kind=kind, subject=f"section {section.id!r}").report
    return replace(found, pixel_mm=section.image_pixel_mm)


def find_tissue(
    image: npt.NDArray[np.uint8], *, kind: Kind = "auto", keep: Keep = "all", subject: str = "section image"
) -> Tissue:
    """Find the tissue on a slide or a slab's photograph.

    Parameters
    ----------
    image
        ``(h, w, 3)`` uint8 RGB.
    kind
        ``"brightfield"`` (H&E, IHC: a lit slide), ``"fluorescence"`` (bright on black), ``"photo"`` (gross or
        block-face photograph on a ground of any colour); ``"auto"`` tells by the picture's rim.
    keep
        ``"all"`` pieces, or the ``"largest"`` one only.
    subject
        What to call the picture in an error.

    Returns
    -------
    Tissue
        Mask of the picture's size and report. Holes are filled (a lumen belongs to the specimen); ink, printed dots,
        detached bubbles, and pieces under 4 % of the largest are left out.

    Raises
    ------
    RegistrationError
        If nothing stands out of the background (a blank slide), or the tissue fills the whole picture.
    InputError
        If the picture is not ``(h, w, 3)`` uint8, or ``kind`` or ``keep`` is none of the choices.

    Notes
    -----
    The empty ground is a smooth surface (uneven light) fitted to what is not tissue, in three rounds. Tissue is what
    is denser (brighter on black, of another colour on photographs) by more than Otsu's threshold on the square root
    of the distance, which keeps pale stroma. What is reached from the ground without crossing an edge (a haze of bled
    stain, a shadow, a glow) is ground. Ink is known by its
    hue on lit slides only. Fat, which clears to white, is only found where tissue encloses it.

    References
    ----------
    N. Otsu, IEEE Trans. SMC 9 (1979), doi:10.1109/TSMC.1979.4310076.
    """
    _check(image, kind, keep, subject)
    factor = max(1, int(np.ceil(max(image.shape[:2]) / WORKING_PIXELS)))
    small = block_mean(image, factor) / np.float32(255.0)
    shown = ground.kind_of(small) if kind == "auto" else kind
    found = _look(small, shown, subject)
    mask = found.mask
    if keep == "largest":
        mask = _largest(mask)
    fraction = float(mask.mean())
    if fraction < 5e-4 or fraction > 0.98:
        text = f"tissue on {fraction:.2%} of the picture"
        raise RegistrationError(subject=subject, expected="tissue on an empty background", found=text, remedy=_REMEDY)
    report = replace(
        describe(mask, shown, factor),
        pen_fraction=found.pen,
        frame_dots=found.dots,
        bubbles=found.bubbles,
        contrast=found.contrast,
        ground_fraction=found.marked,
    )
    big = np.repeat(np.repeat(mask, factor, axis=0), factor, axis=1)
    return Tissue(np.asarray(big[: image.shape[0], : image.shape[1]]), report)


def _check(image: npt.NDArray[np.uint8], kind: str, keep: str, subject: str) -> None:
    problems = []
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2], default=0) < 8:
        problems.append(f"image is {image.shape} {image.dtype}, not (h, w, 3) uint8 of at least 8 × 8 pixels")
    if kind not in {"auto", "brightfield", "fluorescence", "photo"}:
        problems.append(f"kind {kind!r} is not auto, brightfield, fluorescence or photo")
    if keep not in {"all", "largest"}:
        problems.append(f"keep {keep!r} is not all or largest")
    if problems:
        raise InputError.collect(subject=subject, problems=problems)


@dataclass(frozen=True, eq=False)
class _Found:
    mask: BoolArray
    pen: float
    dots: int
    bubbles: int
    contrast: float
    marked: float


def _look(small: Floats, kind: str, subject: str) -> _Found:
    shape = small.shape[:2]
    ink = beside.ink(small) if kind == "brightfield" else np.zeros(shape, dtype=bool)
    away, level = _stand_out(small, kind, ink, subject)
    none = np.zeros(shape, dtype=bool), 0
    dots, n_dots = beside.printed_dots(away, level, ink) if kind != "photo" else none
    raw = beside.without_rims((away > level) & ~ink & ~dots, ink)
    rings, n_rings = beside.bubbles(raw)
    raw &= ~rings
    mask = _clean(raw & ~_soft_slopes(away, raw, level))
    contrast = float(np.median(away[mask])) / level if mask.any() else 0.0
    marked = _marked(away, beside.grown(mask | ink | dots | rings, 5))
    return _Found(mask, float(ink.mean()), n_dots, n_rings, contrast, marked)


def _stand_out(small: Floats, kind: str, ink: BoolArray, subject: str) -> tuple[Floats, float]:
    """Distance from the ground, smoothed a little, and the level above which it is tissue."""
    values = ground.features(small, kind)
    sigma = max(1.0, min(small.shape[:2]) / 400)
    if kind == "photo":
        values = ground.blurred(values, 1.5 * sigma)
    base = ground.first_ground(values, kind, ink)
    reach = max(2, round(max(small.shape[:2]) / 60))
    away, level = np.zeros(small.shape[:2], np.float32), 0.0
    empty = ground.border(small.shape[:2]) & ~ink
    for turn in range(ground.ROUNDS):
        away = ground.blurred(ground.distance(values, base, kind), sigma)
        middle, spread = ground.noise_of(away, empty)
        parted = ground.otsu(away[~ink])
        level = max(parted, middle + 0.05, min(middle + 3.0 * spread, 1.15 * parted))
        if float(np.quantile(away[~ink], 0.999)) < _LEAST[kind] + middle:
            raise RegistrationError(
                subject=subject, expected="tissue on an empty background", found="a blank slide", remedy=_REMEDY
            )
        near = beside.grown((away > level) | ink, reach)
        empty = ~near if (~near).mean() > 0.03 else ~((away > level) | ink)
        if turn < ground.ROUNDS - 1 and empty.any():
            base = ground.smooth_ground(values, empty)
    return away, level


def _soft_slopes(away: Floats, raw: BoolArray, level: float) -> BoolArray:
    """Find what is reached from the ground without crossing an edge: a haze of bled stain, a shadow, a glow.

    Tissue parts from its ground at an edge and is rarely smooth inside; a haze is smooth, fades out, and where it
    meets tissue there is the edge it has not itself.
    """
    steep = ndimage.gaussian_gradient_magnitude(away.astype(np.float32) ** 2, 1.0)
    large = _clean(raw)
    rim = large & ~ndimage.binary_erosion(large, border_value=1)
    none = np.zeros_like(raw)
    if not rim.any() or raw.all():
        return none
    gentle = steep < 0.12 * float(np.quantile(ndimage.grey_dilation(steep, 5)[rim], 0.5))
    labels, _ = ndimage.label(gentle | ~raw)
    outside = np.bincount(labels[~raw], minlength=labels.max() + 1) > 0
    outside[0] = False
    haze = ndimage.binary_opening(outside[labels] & raw, iterations=3)
    parts, count = ndimage.label(haze)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    kept = none.copy()
    for part, found in enumerate(ndimage.find_objects(parts), 1) if count else ():
        if sizes[part] < max(30, 2e-3 * large.sum()):
            continue
        box = beside.around(found, 8)
        piece = parts[box] == part
        # The foot of the edge belongs to the haze as well.
        wide = ndimage.binary_dilation(piece, iterations=3) & raw[box]
        inner = ndimage.binary_dilation(wide, iterations=2) & raw[box] & ~wide
        if _parts_sharply(away[box], piece, raw[box], level):
            continue
        if inner.any() and np.median(steep[box][inner]) > 2.0 * np.median(steep[box][piece]):
            kept[box] |= wide
    return kept if kept.sum() < 0.7 * raw.sum() else none


def _parts_sharply(away: Floats, piece: BoolArray, raw: BoolArray, level: float) -> bool:
    """Tell pale tissue, which falls to the ground within a few pixels, from a haze, which fades."""
    inside = piece & ndimage.binary_dilation(~raw, iterations=6)
    outside = ndimage.binary_dilation(piece, iterations=9) & ~ndimage.binary_dilation(raw, iterations=2)
    if not inside.any() or not outside.any():
        return False
    return bool(np.median(away[inside]) - np.median(away[outside]) > 0.5 * level)


def _marked(away: Floats, busy: BoolArray) -> float:
    """Share of the ground that is not empty: what stands out by the least amount that can be seen."""
    rest = ~busy
    return float((away[rest] > 0.3).mean()) if rest.mean() > 0.02 else 0.0


def _ball(radius: int) -> BoolArray:
    return np.asarray(ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), radius))


def _clean(mask: BoolArray) -> BoolArray:
    radius = max(1, round(min(mask.shape) / 250))
    # Padding keeps the closing from eating tissue at the picture's edge.
    closed = ndimage.binary_closing(np.pad(mask, 2 * radius), _ball(radius))[
        2 * radius : -2 * radius, 2 * radius : -2 * radius
    ]
    filled = ndimage.binary_fill_holes(closed)
    padded = np.pad(filled, 2 * radius, mode="edge")
    opened = ndimage.binary_opening(padded, _ball(radius))[2 * radius : -2 * radius, 2 * radius : -2 * radius]
    labels, count = ndimage.label(opened)
    if count == 0:
        return np.asarray(opened)
    sizes = np.bincount(labels.ravel())[1:]
    keep = np.concatenate([[False], sizes >= SMALLEST_PIECE * sizes.max()])
    return np.asarray(keep[labels])


def _largest(mask: BoolArray) -> BoolArray:
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))

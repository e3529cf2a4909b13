"""What lies beside the tissue and is none: ink strokes, printed dots, bubbles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.register.raster import BoolArray

Floats = npt.NDArray[np.float32]

FEWEST_DOTS = 16
"""Fewer equal dots at equal distances than this are not taken for a printed frame or grid."""

WIDEST_STROKE = 0.045
"""Half the width, as a share of the picture's longer side, beyond which a patch of one colour is no pen's stroke."""

LARGEST_DOT = 0.002
"""Larger pieces, as a share of the picture, are no printed dots."""


def ink(small: Floats) -> BoolArray:
    """Find strokes of a marker pen on a lit slide: blue, green, red or black, dense and even.

    Parameters
    ----------
    small
        ``(h, w, 3)``, 0 … 1.

    Notes
    -----
    Haematoxylin, eosin and DAB all absorb green more than red; blue and green ink absorb red most. Red ink absorbs
    blue nearly as much as green and no red at all; black ink absorbs all three alike, as no fold of stained tissue
    does (densities add up, so its hue stays). Densities of the dyes after Ruifrok & Johnston 2001 (PMID 11531144).
    What is called ink must be a stroke of some size, no wide patch, and less than most of what is coloured: else the
    stain itself has that colour and nothing is taken away.
    """
    smooth = ndimage.gaussian_filter(small, (1.0, 1.0, 0))
    white = np.quantile(smooth[::4, ::4].reshape(-1, 3), 0.95, axis=0)
    r, g, b = np.moveaxis(-np.log((np.clip(smooth / np.maximum(white, 0.2), 0, 1) * 255 + 4) / 259), -1, 0)
    top = np.maximum(np.maximum(r, g), b)
    coloured = np.ptp(smooth, axis=2) > 0.3
    blue = coloured & (r > 1.2 * g) & (b < 0.45 * r) & (r > 0.9)
    green = coloured & (g < 0.75 * r) & (g < 0.85 * b) & (r > 0.7)
    red = coloured & (r < 0.22 * g) & (b > 0.68 * g) & (g > 0.9)
    black = (np.minimum(np.minimum(r, g), b) > 0.78 * top) & (top > 1.35)
    sure = blue | green | red | black
    reach = max(2, round(max(small.shape) / 250))
    sure = _strokes(sure, reach, small.size // 3)
    if not sure.any() or sure.sum() > 0.6 * (top > 0.25).sum():
        return np.zeros_like(sure)
    # The stroke's pale rim has its hue, but less of it.
    neutral = np.minimum(np.minimum(r, g), b) > 0.6 * top
    rim = grown(sure, 2 * reach) & (
        (r > 1.1 * g) | ((g < 0.9 * r) & (g < 0.95 * b)) | ((r < 0.25 * g) & (b > 0.62 * g)) | (top < 0.3) | neutral
    )
    return np.asarray(grown(sure, max(1, reach // 2)) | rim)


def grown(mask: BoolArray, radius: int) -> BoolArray:
    """Dilate by a square; cheap for any radius."""
    return ndimage.maximum_filter(mask.view(np.uint8), 2 * radius + 1).view(np.bool_)


def around(box: tuple[slice, ...], margin: int) -> tuple[slice, ...]:
    """Widen a box on all sides, as far as the picture goes."""
    return tuple(slice(max(0, s.start - margin), s.stop + margin) for s in box)


def without_rims(mask: BoolArray, ink: BoolArray) -> BoolArray:
    """Drop pieces that lie wholly along a stroke of ink: its own blurred edge."""
    if not ink.any():
        return mask
    labels, count = ndimage.label(mask)
    beyond = np.bincount(labels[~grown(ink, max(3, round(max(mask.shape) / 70)))], minlength=count + 1) > 0
    beyond[0] = False
    return np.asarray(beyond[labels])


def _strokes(mask: BoolArray, reach: int, pixels: int) -> BoolArray:
    joined = ndimage.binary_closing(np.pad(mask, reach), iterations=reach)[reach:-reach, reach:-reach]
    thick = ndimage.binary_opening(joined, iterations=max(1, reach // 2))
    labels, count = ndimage.label(thick)
    if not count:
        return np.zeros_like(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    depth = ndimage.distance_transform_edt(np.pad(thick, 1))[1:-1, 1:-1]
    widest = np.concatenate([[0.0], ndimage.maximum(depth, labels, np.arange(1, count + 1))])
    stroke = (sizes >= 4e-4 * pixels) & (widest <= WIDEST_STROKE * max(mask.shape))
    stroke[0] = False
    return np.asarray(stroke[labels])


def printed_dots(away: Floats, level: float, ink: BoolArray) -> tuple[BoolArray, int]:
    """Find the dots of a fiducial frame or a printed grid, also where their blurred edges run into each other.

    Parameters
    ----------
    away
        ``(h, w)``: distance from the ground.
    level
        What counts as standing out of it. Higher levels are tried as well, which part dots that touch.
    ink
        ``(h, w)``: not to be looked at.

    Returns
    -------
    ndarray
        ``(h, w)`` bool: the dots, and small pieces lying on the lines they form.
    int
        How many dots.
    """
    raw = (away > level) & ~ink
    radius = max(4.0, max(raw.shape) / 60)
    # What is thick is tissue: its nuclei at a higher level are no dots.
    thick = ndimage.distance_transform_edt(np.pad(raw, 1, mode="edge"))[1:-1, 1:-1] > radius
    tissue = ndimage.distance_transform_edt(~thick) <= radius + 2.0 if thick.any() else thick
    labels, count = ndimage.label(tissue)
    large = np.bincount(labels.ravel(), minlength=count + 1) > 2.5 * LARGEST_DOT * raw.size
    large[0] = False
    tissue = large[labels]
    best, number = np.zeros_like(raw), 0
    for factor in (1.0, 1.3, 1.7):
        dots, count = _even_dots((away > factor * level) & ~ink & ~tissue)
        if count > 1.1 * number:
            best, number = dots if factor == 1.0 else grown(dots, 2) & raw, count
    return best, number


def _even_dots(mask: BoolArray) -> tuple[BoolArray, int]:
    """Find many small round pieces, alike and evenly spaced."""
    from scipy.spatial import cKDTree

    nothing = np.zeros_like(mask), 0
    labels, count = ndimage.label(mask)
    if count < FEWEST_DOTS:
        return nothing
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    boxes = ndimage.find_objects(labels)
    height = np.array([s[0].stop - s[0].start for s in boxes])
    width = np.array([s[1].stop - s[1].start for s in boxes])
    round_enough = (np.minimum(height, width) >= 0.6 * np.maximum(height, width)) & (sizes > 0.5 * height * width)
    small = np.flatnonzero(round_enough & (sizes >= 4) & (sizes <= max(9, LARGEST_DOT * mask.size)))
    if len(small) < FEWEST_DOTS:
        return nothing
    middle = float(np.median(sizes[small]))
    alike = small[(sizes[small] > 0.35 * middle) & (sizes[small] < 2.8 * middle)]
    if len(alike) < max(FEWEST_DOTS, 0.5 * len(small)):
        return nothing
    centres = np.array(ndimage.center_of_mass(mask, labels, alike + 1))
    near = cKDTree(centres).query(centres, k=2)[0][:, 1]
    pitch = float(np.median(near))
    even = np.abs(near - pitch) < 0.2 * pitch
    if even.sum() < FEWEST_DOTS or even.mean() < 0.6:
        return nothing
    # Corner signs of a frame, and dots half hidden, lie where dots are due.
    reach = ndimage.distance_transform_edt(~np.isin(labels, alike[even] + 1)) <= 1.6 * pitch
    inside = np.bincount(labels.ravel(), weights=reach.ravel(), minlength=count + 1)[1:]
    slight = (inside >= 0.99 * sizes) & (sizes <= 12 * middle)
    slight[small] = True
    return np.concatenate([[False], slight])[labels], int(even.sum())


def bubbles(mask: BoolArray) -> tuple[BoolArray, int]:
    """Find the thin round outlines of bubbles, detached or lying across the tissue's border.

    Parameters
    ----------
    mask
        ``(h, w)``: what stands out of the ground, holes open.

    Returns
    -------
    ndarray
        ``(h, w)`` bool: the outlines, without what of them lies on tissue.
    int
        How many.
    """
    side = max(mask.shape)
    wall = max(6, round(side / 80))
    reach = 0.75 * wall + 1.0
    filled = ndimage.binary_fill_holes(mask)
    padded = np.pad(mask, wall, mode="edge")
    thick = ndimage.distance_transform_edt(padded) > reach
    core = ndimage.distance_transform_edt(~thick)[wall:-wall, wall:-wall] <= reach
    solid = ndimage.binary_fill_holes(core)
    gone, number = _outlines(mask, core)
    labels, count = ndimage.label(filled & ~mask & ~ndimage.binary_fill_holes(gone))
    for index, found in enumerate(ndimage.find_objects(labels), 1) if count else ():
        box = around(found, 2 * wall)
        hole = labels[box] == index
        if hole.sum() < 1.2e-3 * side**2 or solid[box][hole].mean() > 0.5:
            continue
        edge = ndimage.binary_dilation(hole) & ~hole
        radius = _circle(edge & ~core[box])
        # A whole disc that borders on tissue is a lumen with a thin wall on one side; a bubble lies over the tissue.
        lumen = (edge & core[box]).sum() > 0.2 * edge.sum() and hole.sum() > 0.9 * np.pi * radius**2
        if radius and not lumen:
            gone[box] |= ndimage.binary_dilation(hole, iterations=wall) & mask[box] & ~core[box]
            number += 1
    return gone, number


def _outlines(mask: BoolArray, core: BoolArray) -> tuple[BoolArray, int]:
    """Find detached pieces that are nothing but thin lines round empty ground: bubbles, alone or in groups."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    own = np.bincount(labels.ravel(), minlength=count + 1)
    body = np.bincount(labels[core & mask], minlength=count + 1)
    whole = np.zeros(count + 1)
    for index, box in enumerate(ndimage.find_objects(labels), 1):
        if body[index] == 0 and own[index] > 30:
            whole[index] = ndimage.binary_fill_holes(labels[box] == index).sum()
    hollow = whole > 1.8 * own
    if not hollow.any() or body.max() < own[hollow].max():
        # With nothing more solid on the picture, thin walls may be all there is of the specimen.
        return np.zeros_like(mask), 0
    return hollow[labels], int(hollow.sum())


def _circle(edge: BoolArray) -> float:
    """Radius of the circle on which pixels lie, on more than a third of it; 0 when they lie on none."""
    y, x = np.nonzero(edge)
    if len(x) < 12:
        return 0.0
    A = np.column_stack([x, y, np.ones(len(x))]).astype(np.float64)
    (a, b, c), *_rest = np.linalg.lstsq(A, x.astype(np.float64) ** 2 + y**2, rcond=None)
    centre = a / 2, b / 2
    radius = float(np.sqrt(max(c + centre[0] ** 2 + centre[1] ** 2, 1e-9)))
    away = np.hypot(x - centre[0], y - centre[1]) - radius
    turns = np.unique(np.round(np.arctan2(y - centre[1], x - centre[0]) / (2 * np.pi) * 36) % 36)
    return radius if np.sqrt(np.mean(away**2)) < 0.06 * radius + 0.4 and len(turns) >= 13 else 0.0

"""A photograph of a slab's cut face on its board: the same tissue, unshrunken and in dull colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from comould.phantom.cut_options import CutOptions
from comould.phantom.deform import Placement
from comould.phantom.slide import Lattice, cut_position, smooth_noise
from comould.phantom.tissue import Tissue
from comould.space import FloatArray, Frame, Transform

PIXEL_UM = 100.0
MARGIN_MM = 12.0
DISTANCE_MM = 400.0
"""From the camera to the board."""

BOARDS = np.array([[62.0, 98.0, 152.0], [58.0, 122.0, 96.0], [38.0, 40.0, 44.0], [168.0, 172.0, 170.0]])
"""Blue, green, black and grey boards; red, green, blue, 0 to 255."""

_PALE = np.array([222.0, 186.0, 158.0])
_DARKENING = np.array([[0.60, 0.66, 0.52], [0.20, 0.62, 0.56]])
"""What cells and what fibres and blood take of red, green and blue in reflected light."""

_LUMEN = np.array([74.0, 36.0, 36.0])
_CHUNK = 65536


def photo_options(options: CutOptions) -> CutOptions:
    """Options that place a fresh, unshrunken face: turned as sections are, its side known."""
    return replace(
        options,
        shrinkage=0.0,
        anisotropy=0.0,
        bending_mm=0.0,
        flip=False,
        pixel_size_um=PIXEL_UM,
        image_pixel_um=PIXEL_UM,
        margin_mm=MARGIN_MM,
    )


def paint_face(
    tissue: Tissue, placement: Placement, options: CutOptions, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Paint the photograph ``(h, w, 3)``."""
    width, height = placement.size_px
    pixel_mm = options.image_pixel_um / 1000.0
    uv = cut_position(placement, 0, options)
    lattice = Lattice.lay(tissue, placement)
    board = BOARDS[rng.integers(len(BOARDS))] * rng.uniform(0.9, 1.1)
    light = _light(rng, (height, width))
    weave = 1.0 + 0.03 * smooth_noise(rng, (height, width), (1.0, 1.0)).reshape(-1, 1)
    gloss = 1.0 + 0.04 * smooth_noise(rng, (height, width), (0.4 / pixel_mm,) * 2).reshape(-1, 1)
    picture = (board * weave).astype(np.float32)
    for start in range(0, len(uv), _CHUNK):
        shown, cover, samples = lattice.samples(uv[start : start + _CHUNK], 1.5 * pixel_mm)
        stains = tissue.looks(("haematoxylin", "eosin"), samples)
        colour = _PALE * np.exp(-(stains.T @ _DARKENING)) * gloss[start + shown]
        lumen = tissue.lumen_at(samples.points_mm)[:, None]
        colour += lumen * (_LUMEN - colour)
        picture[start + shown] += (cover[:, None] * (colour - picture[start + shown])).astype(np.float32)
    picture *= light.reshape(-1, 1)
    picture += 2.0 * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8).reshape(height, width, 3)


def _light(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Uneven lamp: up to 15 % less light towards one side."""
    turn = rng.uniform(0.0, 2.0 * np.pi)
    y, x = np.meshgrid(*(np.linspace(-1.0, 1.0, n) for n in shape), indexing="ij")
    along = (np.cos(turn) * x + np.sin(turn) * y) / (abs(np.cos(turn)) + abs(np.sin(turn)))
    return np.asarray(1.0 - 0.075 * (1.0 + along))


def tilted_view(placement: Placement, tilt_deg: float, rng: np.random.Generator) -> Transform | None:
    """Perspective of a camera tilted against the board: from the face as it appears to the face; ``None`` without tilt.

    A point at ``f`` from the picture's middle shows what lies at ``f / (1 - a·f)``, a being the tilt's sine over the
    camera's distance. ITK has no projective transform: a cubic B-spline holds it to less than a micrometre, and the
    picture is painted with that spline, so the truth is exact.
    """
    import SimpleITK as sitk

    turn = rng.uniform(0.0, 2.0 * np.pi)
    if tilt_deg == 0.0:
        return None
    slope = np.sin(np.deg2rad(tilt_deg)) / DISTANCE_MM * np.array([np.cos(turn), np.sin(turn)])
    width, height = placement.size_px
    corners = placement.flat_from_section_px.apply([[0, 0], [width, 0], [0, height], [width, height]])[:, :2]
    middle = corners.mean(axis=0)
    half = float(np.abs(corners - middle).max()) * 1.1
    cells = 8
    spline = sitk.BSplineTransform(3, 3)
    spline.SetTransformDomainOrigin((float(middle[0] - half), float(middle[1] - half), -10.0))
    spline.SetTransformDomainPhysicalDimensions((2.0 * half, 2.0 * half, 20.0))
    spline.SetTransformDomainMeshSize((cells, cells, 1))
    step = 2.0 * half / cells
    # One node more on each side, for the second differences below.
    axis = step * (np.arange(-2, cells + 3) - cells / 2.0)
    x, y = np.meshgrid(axis, axis)
    moved = np.stack([x, y]) * (1.0 / (1.0 - slope[0] * x - slope[1] * y) - 1.0)
    # The B-spline that equals a cubic p has the coefficients p - δ²p / 6 along each axis, δ² the second difference.
    moved = moved - (np.roll(moved, 1, 1) + np.roll(moved, -1, 1) - 2.0 * moved) / 6.0
    moved = moved - (np.roll(moved, 1, 2) + np.roll(moved, -1, 2) - 2.0 * moved) / 6.0
    inner = moved[:, 1:-1, 1:-1]
    layers = np.repeat(inner[:, None], 4, axis=1)
    spline.SetParameters(np.concatenate([layers.ravel(), np.zeros(layers[0].size)]).tolist())
    return Transform(Frame.PLANE, Frame.PLANE, spline)

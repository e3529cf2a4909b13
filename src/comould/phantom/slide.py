"""An H&E-coloured picture of a section, painted pixel by pixel from where each pixel lay in the patient."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import interpolate, ndimage

from comould.phantom.deform import Placement
from comould.phantom.options import CutOptions
from comould.phantom.tissue import Tissue
from comould.space import FloatArray

STAINS = np.array([[0.65, 0.70, 0.29], [0.09, 0.95, 0.28]])
"""Optical density of haematoxylin and of eosin in red, green, blue (after Ruifrok & Johnston 2001, PMID 11531144)."""

GLASS = np.array([243.0, 242.0, 245.0])
_COARSE_PX = 8
_FIELD_MM = 0.2


def paint(tissue: Tissue, placement: Placement, options: CutOptions, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Paint the working image ``(h, w, 3)``."""
    width, height = placement.size_px
    u, v = _cut_position(placement, options)
    points = placement.patient_from_cut.matrix
    patient = points[:3, 3] + u[:, None] * points[:3, 0] + v[:, None] * points[:3, 1]
    pixel_mm = options.image_pixel_um / 1000.0
    cover = np.clip(0.5 - tissue.body.level_mm(patient) / (1.5 * pixel_mm), 0.0, 1.0)
    inside = np.flatnonzero(cover > 0.0)
    stains = _stains(tissue, placement, np.column_stack([u, v])[inside], patient[inside])
    density = np.zeros((2, height * width))
    density[:, inside] = stains * cover[inside]
    density = _grain(density.reshape(2, height, width), pixel_mm, rng)
    colour = np.exp(-np.tensordot(density, STAINS, axes=(0, 0)))
    return _scanned(colour, rng)


def _cut_position(placement: Placement, options: CutOptions) -> tuple[FloatArray, FloatArray]:
    """u and v of every working pixel, flat; the smooth map is taken every few pixels and joined by cubic splines."""
    width, height = placement.size_px
    downsample = options.image_pixel_um / options.pixel_size_um
    columns, rows = (np.linspace(0.0, n - 1.0, max(n // _COARSE_PX, 8)) for n in (width, height))
    full = [(axis + 0.5) * downsample - 0.5 for axis in (columns, rows)]
    x, y = np.meshgrid(*full)
    cut = placement.cut_from_section_px.apply(np.column_stack([x.ravel(), y.ravel()]))
    found = []
    for axis in (0, 1):
        spline = interpolate.RectBivariateSpline(rows, columns, cut[:, axis].reshape(x.shape))
        found.append(spline(np.arange(height), np.arange(width)).ravel())
    return found[0], found[1]


def _stains(tissue: Tissue, placement: Placement, uv: FloatArray, patient: FloatArray) -> FloatArray:
    """Haematoxylin and eosin ``(2, n)`` before any grain."""
    low, high = placement.outline_mm[0] - 2.0, placement.outline_mm[1] + 2.0
    shape = np.ceil((high - low) / _FIELD_MM).astype(int) + 1
    matrix = placement.patient_from_cut.matrix
    origin = matrix[:3, :3] @ [*low, 0.0] + matrix[:3, 3]
    lattice = (1, int(shape[1]), int(shape[0]))
    steps = matrix[:3, :3] * _FIELD_MM
    layers = np.concatenate(
        [f.on_lattice(origin, steps, lattice)[:, 0] for f in (tissue.habitat_fields, tissue.texture)]
    )
    index = ((uv - low) / _FIELD_MM).T[::-1]
    values = np.stack([ndimage.map_coordinates(layer, index, order=1, mode="nearest") for layer in layers])
    return tissue.looks(("haematoxylin", "eosin"), tissue.shares(values[:-1], 0), values[-1], patient)


def _grain(density: FloatArray, pixel_mm: float, rng: np.random.Generator) -> FloatArray:
    """Nuclei, fibres and uneven thickness: noise at 1 pixel, 0.15 mm and 0.6 mm, more where there are more nuclei."""
    shape = density.shape[1:]

    def noise(sigma_mm: tuple[float, float]) -> FloatArray:
        white = rng.standard_normal(shape, dtype=np.float32)
        sigma = [length / pixel_mm for length in sigma_mm]
        smooth = ndimage.gaussian_filter(white, sigma, mode="wrap") if max(sigma) > 0.0 else white
        return (smooth / smooth.std()).astype(np.float64)

    fine, clumps, thickness, fibres = (noise((s, t)) for s, t in ((0.0, 0.0), (0.15, 0.15), (0.6, 0.6), (0.09, 0.3)))
    nuclei, pink = density
    nuclei = nuclei * np.exp(0.38 * fine + 0.22 * clumps - 0.1)
    pink = pink * np.exp(0.10 * fine + 0.14 * fibres - 0.02)
    return np.stack([nuclei, pink]) * (1.0 + 0.05 * thickness)


def _scanned(colour: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Light through the slide onto a camera, with faint noise."""
    picture = colour * GLASS + rng.standard_normal(colour.shape[:2], dtype=np.float32)[..., None] * 1.5
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)

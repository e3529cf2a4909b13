"""T2- and ADC-like volumes of the specimen in its surroundings, with partial volume, noise and bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.phantom.options import SpecimenOptions
from comould.phantom.shape import Body, rotation
from comould.phantom.tissue import Samples, Tissue
from comould.space import FloatArray, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

ADC_FWHM_MM = 1.3
"""In-plane blur of ADC: diffusion images are taken coarser and interpolated."""

_CHANNELS = ("t2", "adc")
_FAT = (500.0, 250.0)
_AROUND = ((0, 0.75, (135.0, 1350.0)), (1, 1.05, (290.0, 1600.0)), (2, 1.55, (800.0, 2900.0)))
"""Surroundings that lie in the fat: field, threshold, (T2, ADC): muscle, bowel wall or organ, fluid."""
_FASCIA = (90.0, 700.0)


@dataclass(frozen=True, eq=False)
class Images:
    """Simulated volumes and their truth, all on one grid."""

    images: dict[str, sitk.Image]
    mask: sitk.Image
    habitats: sitk.Image


def acquisition_grid(body: Body, options: SpecimenOptions) -> Grid:
    """Lay the image grid round the body with the asked margin, rotated as acquired."""
    direction = rotation(np.array(options.acquisition_deg))
    surface = body.surface_mm() @ direction
    spacing = np.array(options.spacing_mm)
    low, high = surface.min(axis=0) - options.margin_mm, surface.max(axis=0) + options.margin_mm
    size = np.ceil((high - low) / spacing).astype(int) + 1
    # Whole tenths of a millimetre, as scanners write.
    origin = np.round(direction @ low, 1)
    return Grid(tuple(size.tolist()), options.spacing_mm, tuple(origin.tolist()), direction)


def render(tissue: Tissue, options: SpecimenOptions, rng: np.random.Generator) -> Images:
    """Simulate the acquisition of a specimen."""
    from scipy import ndimage

    grid = acquisition_grid(tissue.body, options)
    clean, labels = _noise_free(tissue, grid, options.subsamples)
    sigma = ADC_FWHM_MM / 2.355 / np.array(options.spacing_mm[1::-1])
    adc = ndimage.gaussian_filter(clean[1], (0.0, *sigma))
    adc += rng.normal(0.0, options.adc_noise, adc.shape) if options.adc_noise else 0.0
    t2 = clean[0] * np.exp(options.bias * _bias(rng, grid))
    noise = float(clean[0][labels > 0].mean()) / options.t2_snr
    t2 = np.hypot(t2 + rng.normal(0.0, noise, t2.shape), rng.normal(0.0, noise, t2.shape))
    images = {
        "T2": grid.to_image(t2.astype(np.float32)),
        "ADC": grid.to_image(np.maximum(adc, 0.0).astype(np.float32)),
    }
    return Images(images, grid.to_image(labels > 0), grid.to_image(labels))


def _noise_free(tissue: Tissue, grid: Grid, subsamples: int) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """T2 and ADC ``(2, z, y, x)`` averaged through each slice, and the labels at voxel centres."""
    box, steps = _box(tissue.body, grid), grid.matrix[:3, :3]
    low = np.array([axis.start for axis in box])
    n_i, n_j, n_k = (axis.stop - axis.start for axis in box)
    first = grid.patient_from_index(low)[0]
    clean = np.moveaxis(_surroundings(tissue, grid), -1, 0).copy()
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[box[::-1]] = _labels(tissue, first, steps, (n_k, n_j, n_i))
    # Thin sheets, evenly spaced through all slices.
    sheet_steps = steps * np.array([1.0, 1.0, 1.0 / subsamples])
    first = first + ((0.5 - subsamples / 2.0) / subsamples) * steps[:, 2]
    shape = (n_k * subsamples, n_j, n_i)
    fields = tissue.habitat_fields.on_lattice(first, sheet_steps, shape)
    texture = tissue.texture.on_lattice(first, sheet_steps, shape)[0]
    points = _nodes(first, sheet_steps, (1, n_j, n_i))
    for k in range(n_k):
        where = (slice(None), k + low[2], box[1], box[0])
        around = clean[where].reshape(2, -1)
        total = np.zeros_like(around)
        for sheet in range(k * subsamples, (k + 1) * subsamples):
            here = points + sheet * sheet_steps[:, 2]
            values = fields[:, sheet].reshape(len(fields), -1)
            total += _sheet(tissue, here, values, texture[sheet].ravel(), around)
        clean[where] = (total / subsamples).reshape(2, n_j, n_i)
    return clean, labels


def _nodes(first_mm: FloatArray, steps_mm: FloatArray, shape: tuple[int, int, int]) -> FloatArray:
    """Patient positions ``(n, 3)`` of a lattice of shape k, j, i."""
    k, j, i = (axis.ravel() for axis in np.meshgrid(*map(np.arange, shape), indexing="ij"))
    return np.column_stack([i, j, k]) @ steps_mm.T + first_mm


def _labels(
    tissue: Tissue, first_mm: FloatArray, steps_mm: FloatArray, shape: tuple[int, int, int]
) -> npt.NDArray[np.int64]:
    """Truth labels on a lattice: `Tissue.habitat_at`, made quick by the lattice."""
    labels = tissue.label(tissue.habitat_fields.on_lattice(first_mm, steps_mm, shape, np.float64), axis=0)
    labels[tissue.body.level_mm(_nodes(first_mm, steps_mm, shape)).reshape(shape) > 0.0] = 0
    return labels


def _sheet(
    tissue: Tissue, points_mm: FloatArray, fields: FloatArray, texture: FloatArray, around: FloatArray
) -> FloatArray:
    """Appearance ``(2, n)`` of one infinitely thin sheet of points, given what would be seen without a specimen."""
    level = tissue.body.level_mm(points_mm)
    inside = np.clip(0.5 - level / 0.4, 0.0, 1.0)
    near = np.flatnonzero(inside > 0.0)
    result = around.copy()
    if len(near):
        values = tissue.looks(_CHANNELS, Samples(points_mm[near], level[near], fields[:, near], texture[near]))
        result[:, near] += inside[near] * (values - around[:, near])
    return result


def _box(body: Body, grid: Grid) -> tuple[slice, slice, slice]:
    """Voxels that can hold any of the body, along i, j, k."""
    index = grid.index_from_patient(body.surface_mm())
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 3, grid.size)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))  # type: ignore[return-value]


def _surroundings(tissue: Tissue, grid: Grid) -> FloatArray:
    """Fat with muscle, organ, fluid and fasciae in it; ``(z, y, x, 2)``."""
    steps = grid.matrix[:3, :3]
    fields = tissue.background.on_lattice(np.array(grid.origin_mm), steps, grid.shape)
    values = np.empty((*grid.shape, 2))
    values[:] = _FAT
    grain = tissue.texture.on_lattice(np.array(grid.origin_mm), steps, grid.shape)[0]
    values *= (1.0 + 0.05 * fields[3] + 0.04 * grain)[..., None]
    for number, threshold, look in _AROUND:
        share = np.clip(0.5 + (fields[number] - threshold) / 0.08, 0.0, 1.0)[..., None]
        values += share * (np.array(look) - values)
    fascia = np.exp(-((fields[3] / 0.04) ** 2))[..., None]
    values += 0.7 * fascia * (np.array(_FASCIA) - values)
    return values


def _bias(rng: np.random.Generator, grid: Grid) -> FloatArray:
    """Smooth receive field of magnitude 1 at most, ``(z, y, x)``."""
    z, y, x = np.meshgrid(*(np.linspace(-1.0, 1.0, n) for n in grid.shape), indexing="ij", sparse=True)
    a, b, c, d, e = rng.normal(size=5)
    field = a * x + b * y + 0.5 * c * z + 0.6 * d * x * y + 0.6 * e * (x**2 - y**2)
    return field / max(float(np.abs(field).max()), 1e-9)

"""An H&E-coloured picture of a section, painted pixel by pixel from where each pixel lay in the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.phantom.artefacts import Artefacts
from comould.phantom.cut_options import CutOptions
from comould.phantom.deform import Placement
from comould.phantom.stain import STAINS, Stain
from comould.phantom.tissue import Samples, Tissue
from comould.space import FloatArray

_COARSE_PX = 8
_FIELD_MM = 0.2
_CHUNK = 32768


@dataclass(frozen=True, eq=False)
class Finish:
    """What is seen of a section beside its tissue."""

    stain: Stain
    artefacts: Artefacts
    grain: np.random.Generator


def paint(tissue: Tissue, placement: Placement, finish: Finish, options: CutOptions) -> npt.NDArray[np.uint8]:
    """Paint the working image ``(h, w, 3)``."""
    width, height = placement.size_px
    pixel_mm = options.image_pixel_um / 1000.0
    lattice = Lattice.lay(tissue, placement)
    strength = _grain((height, width), pixel_mm, finish.grain) * finish.stain.strength((width, height))
    finish.artefacts.thicken(strength, (width, height))
    picture = np.full((height * width, 3), finish.stain.background, dtype=np.float32)
    edge_mm = 1.5 * pixel_mm
    for part in range(len(placement.parts)):
        uv = cut_position(placement, part, options)
        shares = _shares(placement, part, options, uv, edge_mm)
        for start in range(0, len(uv), _CHUNK):
            rows = slice(start, start + _CHUNK)
            shown, cover, samples = lattice.samples(uv[rows], edge_mm)
            stains = tissue.looks(("haematoxylin", "eosin"), samples) * cover
            density = stains.astype(np.float32) * strength[:, rows][:, shown]
            if shares is not None:
                density *= shares[rows][shown]
            picture[start + shown] *= np.exp(-(density.T @ STAINS.astype(np.float32)))
    image = _blurred(picture.reshape(height, width, 3), options.blur_um / options.image_pixel_um)
    finish.artefacts.cover(image)
    image += 1.5 * finish.grain.standard_normal((height, width, 1), dtype=np.float32)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _shares(
    placement: Placement, part: int, options: CutOptions, uv: FloatArray, edge_mm: float
) -> npt.NDArray[np.float32] | None:
    """How far each working pixel is covered by a part, as far as tears and losses go; ``None`` for all of it."""
    depth = np.full(len(uv), np.inf)
    if placement.parts[part].edges:
        width, height = placement.size_px
        downsample = options.image_pixel_um / options.pixel_size_um
        y, x = np.indices((height, width), dtype=np.float64).reshape(2, -1)
        depth = placement.depth_mm(part, (np.column_stack([x, y]) + 0.5) * downsample - 0.5)
    elif placement.lost is None:
        return None
    if placement.lost is not None:
        depth = np.minimum(depth, placement.lost.depth_mm(uv))
    return np.clip(0.5 + depth / edge_mm, 0.0, 1.0).astype(np.float32)


def _blurred(picture: npt.NDArray[np.float32], sigma_px: float) -> npt.NDArray[np.float32]:
    from scipy import ndimage

    if sigma_px == 0.0:
        return picture
    return np.stack([ndimage.gaussian_filter(picture[..., n], sigma_px, truncate=3.0) for n in range(3)], axis=-1)


def cut_position(placement: Placement, part: int, options: CutOptions) -> FloatArray:
    """Cut position ``(n, 2)`` of every working pixel: the smooth map every few pixels, joined by cubic splines."""
    from scipy import interpolate

    width, height = placement.size_px
    downsample = options.image_pixel_um / options.pixel_size_um
    columns, rows = (np.linspace(0.0, n - 1.0, max(n // _COARSE_PX, 8)) for n in (width, height))
    full = [(axis + 0.5) * downsample - 0.5 for axis in (columns, rows)]
    x, y = np.meshgrid(*full)
    cut = placement.cut_from(part).apply(np.column_stack([x.ravel(), y.ravel()]))
    found = []
    for axis in (0, 1):
        spline = interpolate.RectBivariateSpline(rows, columns, cut[:, axis].reshape(x.shape))
        found.append(spline(np.arange(height), np.arange(width)).ravel())
    return np.column_stack(found)


@dataclass(frozen=True, eq=False)
class Lattice:
    """Outline and smooth fields on a lattice of 0.2 mm in the cut.

    Linear interpolation of fields that vary over millimetres is off by less than 0.002 of their deviation.
    """

    low: FloatArray
    size: tuple[int, int]
    layers: FloatArray
    patient_from_cut: FloatArray

    @classmethod
    def lay(cls, tissue: Tissue, placement: Placement) -> Lattice:
        """Evaluate everything once; layers are ``(nodes, 1 + k + 1)``: level, habitat fields, texture."""
        low, high = placement.outline_mm[0] - 2.0, placement.outline_mm[1] + 2.0
        columns, rows = (np.arange(a, b + _FIELD_MM, _FIELD_MM) for a, b in zip(low, high, strict=True))
        matrix = placement.patient_from_cut.matrix
        u, v = np.meshgrid(columns, rows)
        nodes = np.column_stack([u.ravel(), v.ravel()]) @ matrix[:3, :2].T + matrix[:3, 3]
        layers = [tissue.body.level_mm(nodes)[None]]
        for fields in (tissue.habitat_fields, tissue.texture):
            values = fields.on_lattice(nodes[0], matrix[:3, :3] * _FIELD_MM, (1, *u.shape))
            layers.append(values.reshape(len(fields), -1))
        return cls(low, (len(columns), len(rows)), np.ascontiguousarray(np.concatenate(layers).T), matrix)

    def samples(self, uv: FloatArray, edge_mm: float) -> tuple[npt.NDArray[np.intp], FloatArray, Samples]:
        """Find the rows of ``uv`` that show tissue, how far each is covered, and the smooth functions there."""
        x, y = np.ascontiguousarray(((uv - self.low) / _FIELD_MM).T)
        shown = np.flatnonzero((x >= 0.0) & (x < self.size[0] - 1) & (y >= 0.0) & (y < self.size[1] - 1))
        found = _bilinear(self.layers, self.size[0], x[shown], y[shown])
        cover = np.clip(0.5 - found[0] / edge_mm, 0.0, 1.0)
        inside = cover > 0.0
        shown, found = shown[inside], found[:, inside]
        patient = uv[shown] @ self.patient_from_cut[:3, :2].T + self.patient_from_cut[:3, 3]
        return shown, cover[inside], Samples(patient, found[0], found[1:-1], found[-1])


def _bilinear(layers: FloatArray, n_columns: int, x: FloatArray, y: FloatArray) -> FloatArray:
    """Values ``(layers, n)`` of ``(nodes, layers)`` at fractional columns x and rows y."""
    column, row = x.astype(np.intp), y.astype(np.intp)
    first = row * n_columns + column
    s, t = x - column, y - row
    values = layers[first] * ((1.0 - s) * (1.0 - t))[:, None]
    for step, weight in ((1, s * (1.0 - t)), (n_columns, (1.0 - s) * t), (n_columns + 1, s * t)):
        values += layers[first + step] * weight[:, None]
    return np.ascontiguousarray(values.T)


def _grain(shape: tuple[int, int], pixel_mm: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Nuclei, fibres, uneven thickness and pores: factors ``(2, n)`` of haematoxylin and of eosin."""

    def noise(*sigma_mm: float) -> npt.NDArray[np.float32]:
        return smooth_noise(rng, shape, (sigma_mm[0] / pixel_mm, sigma_mm[-1] / pixel_mm)).ravel()

    fine, clumps, thickness = noise(0.0), noise(0.12), noise(0.6)
    across, along = noise(0.09, 0.35), noise(0.35, 0.09)
    turn = np.clip(0.5 + 0.8 * noise(1.5), 0.0, 1.0)
    fibres = along + turn * (across - along)
    pores = 1.0 - 0.8 * np.clip((0.5 * fine + clumps - 3.0) / 0.4, 0.0, 1.0)
    nuclei = np.exp(0.38 * fine + 0.22 * clumps - 0.1)
    pink = np.exp(0.10 * fine + 0.14 * fibres - 0.02)
    return np.stack([nuclei, pink]) * ((1.0 + 0.05 * thickness) * pores)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], sigma_px: tuple[float, float]
) -> npt.NDArray[np.float32]:
    """Smooth noise of variance 1; wide kernels work on a coarser lattice."""
    from scipy import ndimage

    coarse = max(int(min(sigma_px) / 2.0), 1)
    small = tuple(-(-n // coarse) + 1 for n in shape)
    white = rng.standard_normal(small, dtype=np.float32)
    sigma = [length / coarse for length in sigma_px]
    smooth = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=3.0) if max(sigma) > 0.0 else white
    if coarse > 1:
        smooth = ndimage.zoom(smooth, coarse, order=1)
    return smooth[: shape[0], : shape[1]] / smooth.std()

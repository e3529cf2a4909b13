"""The cost of every displacement at every node, and the smooth field through the cheap ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from comould.register.dense.describe import Description, Picture
from comould.space import FloatArray

OUTLINE_LIMIT = 0.5
"""Squared outline mismatch (in bands) beyond which it costs no more: outlines that truly differ must not pull."""

LEAST_SEEN = 0.25
"""Share of a node's tissue that a displacement must keep in sight; else it costs the node's mean."""

COUPLING = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
DATA_WEIGHT = 3.0
DISTINCT_POWER = 1.0
"""How much more a node counts whose cheapest displacement stands out."""


@dataclass(frozen=True)
class Level:
    """One round of matching.

    Parameters
    ----------
    coarse
        Pixel size, in working pixels.
    reach, step
        Displacements tried along each axis: ``-reach … reach`` by ``step``, in the level's pixels.
    stride
        Distance of the nodes, in the level's pixels.
    patch, smooth
        Gaussian widths of costs and of the field, in nodes.
    """

    coarse: int
    reach: int
    step: int
    stride: int
    patch: float
    smooth: float


@dataclass(frozen=True, eq=False)
class Volume:
    """Costs ``(k, k, ny, nx)`` of displacements ``shifts`` (rows, then columns), and the nodes' tissue ``(ny, nx)``."""

    shifts: npt.NDArray[np.intp]
    cost: Picture
    tissue: Picture


def cost_volume(fixed: Description, moving: Description, level: Level, outline_weight: float) -> Volume:
    """Cost of displacing each node of ``fixed`` into ``moving``, by the mean squared difference of the features.

    Parameters
    ----------
    fixed, moving
        On one grid.
    level
        What is tried.
    outline_weight
        Of the outline's truncated squared mismatch beside the features.
    """
    reach, stride = level.reach, level.stride
    height, width = fixed.weight.shape
    features = np.pad(moving.features, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    weight, outline = np.pad(moving.weight, reach), np.pad(moving.outline, reach, constant_values=-1.0)
    shifts = np.arange(-reach, reach + 1, level.step)
    shape = (len(shifts), len(shifts), -(-height // stride), -(-width // stride))
    cost, seen, border = (np.zeros(shape, dtype=np.float32) for _ in range(3))
    near = (np.abs(fixed.outline) < 1.0).astype(np.float32)
    for i, down in enumerate(shifts):
        for j, right in enumerate(shifts):
            at = (slice(reach + down, reach + down + height), slice(reach + right, reach + right + width))
            both = fixed.weight * weight[at]
            apart = fixed.features - features[:, at[0], at[1]]
            cost[i, j] = _node_sums(np.einsum("chw,chw->hw", apart, apart) * both, stride)
            seen[i, j] = _node_sums(both, stride)
            if outline_weight:
                border[i, j] = _node_sums(np.minimum((fixed.outline - outline[at]) ** 2, OUTLINE_LIMIT) * near, stride)
    cost, seen, border = (_smooth_nodes(values, level.patch) / stride**2 for values in (cost, seen, border))
    most = seen.max(axis=(0, 1))
    enough = seen > LEAST_SEEN * np.maximum(most, 1e-6)
    mean_cost = np.where(enough, cost / np.maximum(seen, 1e-6) / len(fixed.features), 0.0)
    usual = mean_cost.sum(axis=(0, 1)) / np.maximum(enough.sum(axis=(0, 1)), 1)
    total = np.where(enough, mean_cost, usual) * most + outline_weight * border
    return Volume(shifts, total.astype(np.float32), most)


def smooth_field(volume: Volume, level: Level) -> FloatArray:
    """Smooth displacements ``(2, ny, nx)`` (x, y; pixels of the level) through the cheapest ones.

    Alternates between each node's cheapest displacement near the field and the field smoothed over the nodes, drawing
    the two together.

    References
    ----------
    M. Heinrich, B. Papież, J. Schnabel, H. Handels, WBIR 2014, doi:10.1007/978-3-319-08554-8_18.
    """
    down, right = (axis.ravel().astype(np.float32) for axis in np.meshgrid(volume.shifts, volume.shifts, indexing="ij"))
    nodes = volume.tissue.shape
    cost = DATA_WEIGHT * volume.cost.reshape(len(down), -1)
    weight = volume.tissue * _distinctness(cost).reshape(nodes) ** DISTINCT_POWER + 1e-3
    norm = np.maximum(ndimage.gaussian_filter(weight, level.smooth, mode="constant"), 1e-9)
    field = np.zeros((2, *nodes))
    for coupling in COUPLING:
        x, y = (side.ravel().astype(np.float32) for side in field)
        total = cost + np.float32(coupling) * ((right[:, None] - x) ** 2 + (down[:, None] - y) ** 2)
        cheapest = total.argmin(axis=0)
        chosen = (right[cheapest].reshape(nodes), down[cheapest].reshape(nodes))
        field = np.array([_smoothed(side, weight, norm, level.smooth) for side in chosen])
    return field


def _distinctness(cost: Picture) -> FloatArray:
    """How far each node's cheapest displacement ``(n,)`` stands out: 0 like any other, 1 without cost."""
    usual = cost.mean(axis=0, dtype=np.float64)
    return np.asarray(1.0 - cost.min(axis=0) / np.maximum(usual, 1e-12))


def _smoothed(side: Picture, weight: FloatArray, norm: FloatArray, sigma: float) -> FloatArray:
    """Smooth what is not affine; smoothing all of it would flatten a stretch towards the border."""
    rows, columns = np.indices(side.shape, dtype=np.float64)
    basis = np.stack([np.ones(side.size), rows.ravel() / side.shape[0] - 0.5, columns.ravel() / side.shape[1] - 0.5])
    weighted = basis * weight.ravel()
    parts = np.linalg.solve(weighted @ basis.T + 1e-9 * weight.sum() * np.eye(3), weighted @ side.ravel())
    plane = (parts @ basis).reshape(side.shape)
    return plane + np.asarray(ndimage.gaussian_filter((side - plane) * weight, sigma, mode="constant")) / norm


def _node_sums(image: Picture, stride: int) -> Picture:
    if stride == 1:
        return image
    height, width = image.shape
    padded = np.pad(image, ((0, -height % stride), (0, -width % stride)))
    rows, columns = padded.shape[0] // stride, padded.shape[1] // stride
    return np.asarray(padded.reshape(rows, stride, columns, stride).sum(axis=(1, 3)))


def _smooth_nodes(values: Picture, sigma: float) -> Picture:
    return np.asarray(ndimage.gaussian_filter(values, (0, 0, sigma, sigma), mode="constant"))

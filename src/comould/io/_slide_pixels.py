"""Pixels of a slide, block by block: averaging to the working resolution without ever holding the full picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class Block:
    """A piece of a slide level: ``pixels`` is ``(h, w, 3)`` RGB, or ``(h, w, 1)`` of one ``channel`` of three."""

    pixels: Pixels
    y: int
    x: int
    channel: int | None = None


class BlockMean:
    """Area-weighted mean of a picture over square cells of any (also fractional) side, fed with blocks.

    Parameters
    ----------
    width, height
        Of the picture fed in, pixels.
    factor
        Side of one cell in those pixels, at least 1. Cell ``(0, 0)`` starts at the outer corner of pixel ``(0, 0)``;
        cells cut by the right or lower border average the part that exists.
    dtype
        Of the pixels fed in: uint8 or uint16.
    """

    def __init__(self, width: int, height: int, factor: float, dtype: npt.DTypeLike) -> None:
        self.width, self.height, self.factor = width, height, factor
        self.dtype = np.dtype(dtype)
        shape = cells(height, factor), cells(width, factor), 3
        self._plain = factor == 1.0
        self._sums = np.zeros(shape, self.dtype if self._plain else np.float32)
        self.highest = 0

    def add(self, block: Block) -> None:
        """Add one block; what reaches beyond the picture (padding of tiles) is cut off."""
        pixels = block.pixels[: self.height - block.y, : self.width - block.x]
        height, width, depth = pixels.shape
        if not pixels.size:
            return
        if self.dtype != np.uint8:
            self.highest = max(self.highest, int(pixels.max()))
        rows, first_row, row_sums = _weights(block.y, height, self.factor)
        columns, first_column, column_sums = _weights(block.x, width, self.factor)
        if self._plain:
            part = pixels
        elif pixels.strides[:2] == (0, 0):
            # One colour all over, as absent tiles have: slides of scanners are mostly these.
            part = np.multiply.outer(row_sums, column_sums)[:, :, None] * pixels[0, 0].astype(np.float32)
        else:
            part = (rows @ pixels.reshape(height, width * depth)).reshape(rows.shape[0], width, depth)
            part = (columns @ part.swapaxes(0, 1).reshape(width, -1)).reshape(columns.shape[0], rows.shape[0], depth)
            part = part.swapaxes(0, 1)
        channels = slice(None) if block.channel is None else slice(block.channel, block.channel + 1)
        target = (slice(first_row, first_row + len(part)), slice(first_column, first_column + part.shape[1]), channels)
        self._sums[target] += part

    def image(self) -> npt.NDArray[np.uint8]:
        """Give the mean picture ``(h, w, 3)`` as 8-bit RGB; 16-bit pixels are divided by the range of :attr:`bits`."""
        if self._plain and self.dtype == np.uint8:
            return self._sums
        rows = _covered(self.height, self.factor).astype(np.float32)
        columns = _covered(self.width, self.factor).astype(np.float32)
        means = self._sums.astype(np.float32, copy=False)
        means /= rows[:, None, None]
        means /= columns[None, :, None]
        if self.dtype != np.uint8:
            means *= 255.0 / (2**self.bits - 1)
        np.rint(means, out=means)
        return np.clip(means, 0, 255, out=means).astype(np.uint8)

    @property
    def bits(self) -> int:
        """The range of the pixels: 8, or for 16-bit containers the least of 8, 10, 12, 14, 16 that holds them all."""
        if self.dtype == np.uint8:
            return 8
        return next(bits for bits in (8, 10, 12, 14, 16) if self.highest < 2**bits)


def cells(length: int, factor: float) -> int:
    """Count the cells of side ``factor`` that cover ``length`` pixels."""
    return max(1, int(np.ceil(length / factor - 1e-6)))


def _covered(length: int, factor: float) -> npt.NDArray[np.float64]:
    edges = np.minimum(np.arange(cells(length, factor) + 1) * factor, length)
    edges[-1] = length
    return np.diff(edges)


@lru_cache(maxsize=4096)
def _weights(start: int, length: int, factor: float) -> tuple[Any, int, npt.NDArray[np.float32]]:
    """Sparse ``(cells, length)`` overlaps of pixels ``start …`` with cells, the first cell touched, and row sums."""
    from scipy import sparse

    pixel = np.arange(start, start + length)
    low = np.floor(pixel / factor + 1e-9).astype(np.intp)
    within = np.clip((low + 1) * factor - pixel, 0.0, 1.0)
    first = int(low[0])
    spill = np.flatnonzero(within < 1.0 - 1e-9)
    cells = np.concatenate([low, low[spill] + 1]) - first
    values = np.concatenate([within, 1.0 - within[spill]]).astype(np.float32)
    columns = np.concatenate([np.arange(length), spill])
    matrix = sparse.csr_array((values, (cells, columns)), shape=(int(cells.max()) + 1, length))
    return matrix, first, np.asarray(matrix.sum(axis=1), dtype=np.float32)


def rgb(pixels: Pixels, *, alpha: str = "none") -> Pixels:
    """Turn ``(h, w, 1 … 4)`` into ``(h, w, 3)``; transparency is laid on white.

    Parameters
    ----------
    pixels
        Grey, grey + extra, RGB or RGB + extra; uint8 or uint16.
    alpha
        What the extra sample is: ``"straight"``, ``"premultiplied"`` or ``"none"`` (dropped).
    """
    colours = 1 if pixels.shape[2] <= 2 else 3
    shown = pixels[:, :, :colours]
    if alpha != "none" and pixels.shape[2] > colours:
        white = float(np.iinfo(pixels.dtype).max)
        opacity = pixels[:, :, colours:].astype(np.float32) / white
        paint = shown * opacity if alpha == "straight" else shown.astype(np.float32)
        shown = np.clip(np.rint(paint + white * (1.0 - opacity)), 0, white).astype(pixels.dtype)
    return np.repeat(shown, 3, axis=2) if colours == 1 else shown


def bands(height: int, width: int, pixels: int = 8_000_000) -> Iterator[tuple[int, int]]:
    """Split a picture into runs of rows of about that many pixels: ``(first row, end row)``."""
    step = max(1, pixels // max(width, 1))
    for start in range(0, height, step):
        yield start, min(height, start + step)

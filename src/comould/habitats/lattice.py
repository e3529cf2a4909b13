"""The box around a mask in flat, padded memory, and the runs of its voxels that threads share."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from comould.habitats.inputs import Aligned
from comould.habitats.neighbourhood import Neighbourhood

_BLOCKS = 64


class Lattice:
    """The mask's box, padded so that no kernel leaves the memory, and the runs of its voxels.

    A run is a row of consecutive voxels along i. Blocks of runs write only their own rows of a result, so neither their
    size nor the number of threads changes a bit of it.

    Parameters
    ----------
    aligned
        The mask's voxels.
    kernel
        What is around each of them.
    """

    def __init__(self, aligned: Aligned, kernel: Neighbourhood) -> None:
        self.aligned = aligned
        pad = np.maximum(np.abs(kernel.offsets).max(axis=0), 1)
        self.pad = [(int(p), int(p)) for p in pad]
        shape = np.asarray(aligned.box) + 2 * pad
        self.strides = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
        flat = self.flat(aligned.mask_idx - aligned.low_idx + pad)
        breaks = np.flatnonzero(np.diff(flat) != 1) + 1
        self.rows = np.concatenate([[0], breaks]).astype(np.int64)
        self.lengths = np.diff(np.append(self.rows, len(flat)))
        self.starts = flat[self.rows]
        self.centres = flat

    def flat(self, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Flat memory offsets of (k, j, i) offsets."""
        return offsets @ self.strides

    def padded(self, values: npt.NDArray) -> npt.NDArray:
        """Values in the padded box, flat, zero outside the mask."""
        return np.pad(self.aligned.in_box(values), self.pad).ravel()

    def count(self, kernel: Neighbourhood) -> npt.NDArray[np.int64]:
        """Voxels of the kernel in the mask ``(n,)``, at every centre; without compiled code."""
        mask = self.padded(np.ones(len(self.aligned.mask_idx), dtype=np.uint8))
        total = np.zeros(len(self.centres), dtype=np.int64)
        for offset in self.flat(kernel.offsets):
            total += mask[self.centres + offset]
        return total

    def blocks(self) -> list[slice]:
        """Cut the runs into slices of about equal work."""
        ends = np.cumsum(self.lengths)
        cuts = np.unique(np.searchsorted(ends, np.linspace(0, ends[-1], _BLOCKS + 1)[1:-1], side="right"))
        edges = [0, *[int(c) for c in cuts if 0 < c < len(ends)], len(ends)]
        return [slice(a, b) for a, b in pairwise(edges)]

    def run(self, work: Callable[[npt.NDArray[np.int64]], None], threads: int | None) -> None:
        """Call ``work(runs)`` for every block of runs ``(r, 3)`` (start, length, row), on several threads."""
        runs = np.stack([self.starts, self.lengths, self.rows], axis=1)
        parts = [runs[block] for block in self.blocks()]
        workers = min(threads or _cores(), len(parts))
        if workers <= 1:
            for part in parts:
                work(part)
            return
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, parts))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

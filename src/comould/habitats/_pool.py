"""The voxels of several cases below one another, so that they can be grouped as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from comould.habitats.request import Request
from comould.habitats.selection import Sample
from comould.habitats.supervoxels import means, supervoxels
from comould.habitats.voxels import Voxels, to_unit
from comould.space import FloatArray


@dataclass(frozen=True, eq=False)
class Pool:
    """All cases' items below one another."""

    voxels: list[Voxels]
    data: FloatArray
    start: FloatArray
    points_mm: FloatArray
    bounds: list[int]

    @classmethod
    def of(cls, voxels: list[Voxels], scaled: list[FloatArray], request: Request) -> Pool:
        """Make the items of every case: voxels, or supervoxels."""
        data, start, points = [], [], []
        for n, (one, values) in enumerate(zip(voxels, scaled, strict=True)):
            parts = (values, one.smoothed(values, request.radius_mm / 2.0), one.points_mm - one.points_mm.mean(axis=0))
            if request.supervoxel_mm is not None:
                numbers = supervoxels(one.aligned, to_unit(parts[1]), request.supervoxel_mm)
                parts = (means(numbers, parts[0]), means(numbers, parts[1]), means(numbers, parts[2]))
            data.append(parts[0])
            start.append(parts[1])
            # Cases far apart: no block of the stability test holds voxels of two.
            points.append(parts[2] + np.array([1e4 * n, 0.0, 0.0]))
        bounds = np.cumsum([0, *(len(part) for part in data)]).tolist()
        return cls(voxels, np.concatenate(data), to_unit(np.concatenate(start)), np.concatenate(points), bounds)

    def sample(self, request: Request) -> Sample:
        """Draw the same number of items of every case."""
        rng = np.random.default_rng(np.random.SeedSequence([request.seed, 6]))
        fewest = min(b - a for a, b in zip(self.bounds[:-1], self.bounds[1:], strict=True))
        rows = np.concatenate(
            [a + rng.permutation(b - a)[:fewest] for a, b in zip(self.bounds[:-1], self.bounds[1:], strict=True)]
        )
        return Sample.draw(
            self.start[rows], self.points_mm[rows], request.radius_mm, independent=0.0, seed=request.seed
        )

    def neighbours(self, request: Request, weight: float) -> Votes | None:
        """Votes within every case."""
        if not weight:
            return None
        return Votes([v.neighbours(request.radius_mm, weight) for v in self.voxels], self.bounds)


@dataclass(frozen=True, eq=False)
class Votes:
    """Mean of the neighbours in each case."""

    smoothers: list[Any]
    bounds: list[int]

    def __call__(self, values: FloatArray) -> FloatArray:
        parts = zip(self.smoothers, self.bounds[:-1], self.bounds[1:], strict=True)
        return np.concatenate([smoother(values[a:b]) for smoother, a, b in parts])

"""Gaussian means inside a mask: nothing from outside leaks in."""

from __future__ import annotations

import numpy as np

from comould.habitats.inputs import Aligned
from comould.space import FloatArray

TRUNCATE = 3.0


class Smoother:
    """A Gaussian convolution of the mask's values, normalised by that of the mask itself.

    Parameters
    ----------
    aligned
        Where the voxels are.
    sigma_mm
        Standard deviation, the same along every patient direction; cut at 3 σ.
    centre
        Give the voxel itself its weight; without it a voxel sees its neighbours only.
    """

    def __init__(self, aligned: Aligned, sigma_mm: float, *, centre: bool = True) -> None:
        self.aligned = aligned
        self.sigma = sigma_mm / np.asarray(aligned.grid.spacing_mm)[::-1]
        self.inside = tuple((aligned.mask_idx - aligned.low_idx).T)
        self.own = 0.0 if centre else self._own_weight()
        self.weights = self._sum(np.ones(len(aligned.mask_idx)))
        self.alone = self.weights <= 1e-9

    def __call__(self, values: FloatArray) -> FloatArray:
        """Smooth ``(n,)`` values; a voxel without neighbours keeps zero when its own weight is left out."""
        level = float(values.mean())
        sums = self._sum(values - level)
        return np.divide(sums, self.weights, out=np.zeros_like(sums), where=~self.alone) + np.where(
            self.alone, 0.0, level
        )

    def _sum(self, values: FloatArray) -> FloatArray:
        from scipy.ndimage import gaussian_filter

        full = gaussian_filter(self.aligned.in_box(values), self.sigma, mode="constant", truncate=TRUNCATE)
        return full[self.inside] - self.own * values

    def _own_weight(self) -> float:
        from scipy.ndimage import gaussian_filter1d

        total = 1.0
        for sigma in self.sigma:
            reach = int(TRUNCATE * float(sigma) + 0.5)
            impulse = np.zeros(2 * reach + 1)
            impulse[reach] = 1.0
            total *= float(gaussian_filter1d(impulse, float(sigma), mode="constant", truncate=TRUNCATE)[reach])
        return total

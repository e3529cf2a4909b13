"""One storage order for every volume: the same voxels give the same bits, however a file lists them.

A volume's axes may be stored in 48 orders and directions. What a mould is must not depend on that, not even by the
rounding that decides between two equal poses; so a lesion is brought to one order first: k along the normal of its
slices, i and j as a viewer shows them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comould.space import FloatArray, Grid

NAMED: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "axial": ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
    "coronal": ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    "sagittal": ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
}
"""Normal and u of the named views, patient LPS."""

SAME_SPACING = 0.01
"""Spacings that differ by less than this share are equal."""

# Axes at exactly 45° would be sorted by rounding noise: a small preference moves the choice to an angle nobody uses.
_NEARER = {"axial": 1.0, "coronal": 0.99, "sagittal": 0.98}
_LEAN = 0.01


@dataclass(frozen=True)
class Order:
    """How stored axes become canonical ones.

    Parameters
    ----------
    axes
        Stored axis (0 i, 1 j, 2 k) of each canonical axis.
    signs
        1, or −1 where it runs backwards.
    """

    axes: tuple[int, int, int]
    signs: tuple[int, int, int]

    @property
    def kept(self) -> bool:
        """Whether nothing changes."""
        return self.axes == (0, 1, 2) and self.signs == (1, 1, 1)

    @property
    def inverse(self) -> Order:
        """The way back."""
        back = [self.axes.index(axis) for axis in range(3)]
        return Order((back[0], back[1], back[2]), (self.signs[back[0]], self.signs[back[1]], self.signs[back[2]]))

    def of_grid(self, grid: Grid) -> Grid:
        """Reorder a grid."""
        last = [(grid.size[a] - 1) if s < 0 else 0 for a, s in zip(self.axes, self.signs, strict=True)]
        corner = np.zeros(3)
        corner[list(self.axes)] = last
        return Grid(
            (grid.size[self.axes[0]], grid.size[self.axes[1]], grid.size[self.axes[2]]),
            (grid.spacing_mm[self.axes[0]], grid.spacing_mm[self.axes[1]], grid.spacing_mm[self.axes[2]]),
            tuple(grid.patient_from_index(corner)[0].tolist()),
            grid.axes[:, self.axes] * np.array(self.signs),
        )

    def of_array(self, array: np.ndarray) -> np.ndarray:
        """Reorder a ``(z, y, x)`` array."""
        turned = array.transpose([2 - axis for axis in self.axes[::-1]])
        return np.ascontiguousarray(turned[tuple(slice(None, None, sign) for sign in self.signs[::-1])])


def slice_axis(grid: Grid) -> int:
    """Tell which axis counts the slices: the thickest, or the odd one out of two square-pixel axes, else k."""
    spacing = np.array(grid.spacing_mm)
    thick = spacing >= (1.0 - SAME_SPACING) * spacing.max()
    if thick.sum() == 1:
        return int(np.argmax(thick))
    thin = spacing < (1.0 - SAME_SPACING) * spacing.max()
    return int(np.argmax(thin)) if thin.sum() == 1 else 2


def canonical(grid: Grid) -> Order:
    """Find the order in which k is the slices' normal and i, j are right and down of the nearest named view.

    Parameters
    ----------
    grid
        Right-handed, as stored.

    Returns
    -------
    Order
        A proper one: the reordered grid is right-handed too. It depends on where the axes point and how far apart the
        voxels are, not on their order; only for three equal spacings does k stay the stored one.
    """
    k = slice_axis(grid)
    normal = grid.axes[:, k]
    nearest = max(_NEARER, key=lambda name: _NEARER[name] * abs(float(normal @ np.array(NAMED[name][0]))))
    ahead, right = (np.array(part) for part in NAMED[nearest])
    k_sign = 1 if normal @ ahead > 0 else -1
    down = np.cross(ahead, right)

    def fits(option: tuple[int, int]) -> float:
        axis = option[1] * grid.axes[:, option[0]]
        return float(axis @ right + _LEAN * (axis @ down))

    i, i_sign = max(((axis, sign) for axis in range(3) if axis != k for sign in (1, -1)), key=fits)
    j = 3 - i - k
    v = np.cross(k_sign * normal, i_sign * grid.axes[:, i])
    return Order((i, j, k), (i_sign, 1 if v @ grid.axes[:, j] > 0 else -1, k_sign))


def aligned(grid: Grid, to: Grid) -> Grid:
    """Reorder a grid so that its axes run as nearly as possible along another's; its voxels stay where they are."""
    cosines = to.axes.T @ grid.axes
    axes = np.abs(cosines).argmax(axis=1)
    if sorted(axes.tolist()) != [0, 1, 2]:
        return grid
    signs = np.where(cosines[range(3), axes] < 0, -1, 1)
    if np.linalg.det(grid.axes[:, axes] * signs) < 0:
        return grid
    return Order(tuple(axes.tolist()), tuple(signs.tolist())).of_grid(grid)


def spread(grid: Grid, normal: FloatArray) -> float:
    """Width of one voxel along a direction, mm."""
    return float(np.abs(normal @ grid.axes) @ np.array(grid.spacing_mm))

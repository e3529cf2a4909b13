"""Neighbourhood: which voxels around a voxel enter its feature, and what a sliding kernel gains and loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from comould.errors import InputError

IntArray = npt.NDArray[np.int64]
Shape = Literal["ball", "box"]


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Voxel offsets of a kernel, its own voxel included.

    Parameters
    ----------
    offsets
        ``(m, 3)`` integer offsets in array order (k, j, i), unique, sorted.
    """

    offsets: IntArray

    @classmethod
    def around(
        cls,
        spacing_mm: Sequence[float],
        *,
        radius_mm: float | None = None,
        radius_voxels: int | Sequence[int] | None = None,
        shape: Shape = "ball",
        dimension: int = 3,
    ) -> Self:
        """Build a ball or box of one radius, in millimetres or voxels.

        Parameters
        ----------
        spacing_mm
            Voxel spacing along i, j, k.
        radius_mm, radius_voxels
            Exactly one: a length (the kernel is isotropic in the patient, whatever the voxels), or a count of
            voxels (one for all axes or one each for i, j, k).
        shape
            ``"ball"`` (ellipsoid of voxels) or ``"box"``.
        dimension
            3, or 2 for kernels within the image's i-j planes.

        Raises
        ------
        InputError
            If not exactly one radius is given, it is not positive, or the kernel reaches no neighbour.
        """
        reach = _reach(np.asarray(spacing_mm, dtype=np.float64), radius_mm, radius_voxels)
        if shape not in {"ball", "box"} or dimension not in {2, 3}:
            raise InputError(
                subject="kernel", expected="shape 'ball' or 'box', dimension 2 or 3", found=f"{shape!r}, {dimension!r}"
            )
        if dimension == 2:
            reach[2] = 0.0
        whole = np.floor(reach + 1e-9).astype(np.int64)
        axes = [np.arange(-n, n + 1) for n in whole[::-1]]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        if shape == "ball":
            scale = np.where(whole > 0, reach, 1.0)[::-1]
            grid = grid[((grid / scale) ** 2).sum(axis=1) <= 1.0 + 1e-9]
        if len(grid) < 2:
            raise InputError(
                subject=f"kernel radius {radius_mm if radius_mm is not None else radius_voxels}",
                expected="one that reaches a neighbouring voxel",
                found=f"a spacing of {' × '.join(f'{s:g}' for s in spacing_mm)} mm",
                remedy="Give a larger radius",
            )
        return cls(grid)

    @property
    def extent_voxels(self) -> tuple[int, int, int]:
        """Voxels from end to end along i, j, k."""
        i, j, k = (self.offsets.max(axis=0) - self.offsets.min(axis=0) + 1)[::-1]
        return int(i), int(j), int(k)

    def within(self, box: Sequence[int]) -> Neighbourhood:
        """Leave out offsets that no two voxels of a box of ``box`` (k, j, i) voxels can have."""
        return Neighbourhood(self.offsets[np.all(np.abs(self.offsets) < np.asarray(box), axis=1)])

    def pairs(self, direction: Sequence[int]) -> tuple[IntArray, IntArray, IntArray]:
        """First voxels ``(n, 3)`` of all pairs ``(a, a + direction)`` in the kernel, and what one step along i changes.

        Returns
        -------
        tuple of ndarray
            All pairs; the pairs lost by the step, seen from the old centre; the pairs gained, seen from the new one.
        """
        step = np.array([0, 0, 1])
        inside = _Membership(self.offsets)
        first = self.offsets[inside(self.offsets + np.asarray(direction))]
        second = first + np.asarray(direction)
        lost = ~(inside(first - step) & inside(second - step))
        gained = ~(inside(first + step) & inside(second + step))
        return first, first[lost], first[gained]


def directions(dimension: int, distance: int = 1) -> IntArray:
    """Half of all directions (k, j, i), no two opposite: 13 in 3-D, 4 in the i-j plane, times ``distance``."""
    steps = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0) and (dimension == 3 or step[0] == 0)]
    return np.array(steps, dtype=np.int64) * distance


def neighbours(dimension: int, distance: int = 1) -> IntArray:
    """List all offsets (k, j, i) within a Chebyshev distance, its own voxel left out: 26 in 3-D, 8 in the i-j plane."""
    reach = range(-distance, distance + 1)
    steps = [step for step in product(reach, repeat=3) if any(step) and (dimension == 3 or step[0] == 0)]
    return np.array(steps, dtype=np.int64)


class _Membership:
    """Tell which offsets belong to a set, by a dense look-up."""

    def __init__(self, offsets: IntArray) -> None:
        self.low = offsets.min(axis=0)
        self.table = np.zeros(offsets.max(axis=0) - self.low + 1, dtype=bool)
        self.table[tuple((offsets - self.low).T)] = True

    def __call__(self, offsets: IntArray) -> npt.NDArray[np.bool_]:
        place = offsets - self.low
        valid = np.all((place >= 0) & (place < self.table.shape), axis=1)
        result = np.zeros(len(offsets), dtype=bool)
        result[valid] = self.table[tuple(place[valid].T)]
        return result


def _reach(
    spacing: npt.NDArray[np.float64], radius_mm: float | None, radius_voxels: int | Sequence[int] | None
) -> npt.NDArray[np.float64]:
    """Radius along i, j, k in voxels."""
    if (radius_mm is None) == (radius_voxels is None):
        found = "neither" if radius_mm is None else "both"
        raise InputError(subject="kernel", expected="exactly one of radius_mm and radius_voxels", found=found)
    given: Any = radius_mm if radius_mm is not None else radius_voxels
    reach = (
        np.broadcast_to(np.asarray(given, dtype=np.float64), (3,)) if np.size(given) in {1, 3} else np.full(3, np.nan)
    )
    if not np.isfinite(reach).all() or reach.min() < 0 or reach.max() <= 0:
        raise InputError(
            subject="kernel radius", expected="a positive length or count (or three counts)", found=f"{given!r}"
        )
    return reach / spacing if radius_mm is not None else reach.copy()

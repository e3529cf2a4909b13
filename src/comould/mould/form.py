"""The specimen as a solid in mould axes, and the spaces it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from comould.errors import PrintabilityError
from comould.mould.lesion import Lesion
from comould.mould.parameters import Parameters
from comould.mould.surface import DistanceField, distance_field, grid_step
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import Manifold

Surface = tuple[FloatArray, npt.NDArray[np.int64]]
"""Vertices ``(n, 3)`` in mm and outward faces ``(m, 3)``."""

_MARGIN_MM = 2.0


@dataclass(frozen=True, eq=False)
class Form:
    """Surfaces along the mould axes, at the patient origin (not yet shifted into the mould frame).

    Parameters
    ----------
    field
        Signed distance to the specimen.
    near
        The same, measured anew where the cavity's surface will be drawn.
    specimen
        The specimen's own surface.
    clearance_mm
        Gap between specimen and mould.
    """

    field: DistanceField
    near: DistanceField
    specimen: Surface
    clearance_mm: float

    @classmethod
    def of(cls, lesion: Lesion, rotation: FloatArray, size: Parameters) -> Form:
        """Measure the lesion along mould axes ``rotation`` (``mould_from_patient``, rows are x, y, z)."""
        # Between thick slices the surface may bulge beyond the last voxels.
        margin = size.clearance_mm + _MARGIN_MM + 0.5 * max(lesion.grid.spacing_mm)
        step = grid_step(lesion, margin + 0.5 * size.guide_mm)
        field = distance_field(lesion, rotation, step_mm=step, margin_mm=margin, above_mm=size.guide_mm + 1.0)
        surface = field.mesh(0.0)
        near = field.exact_near(size.clearance_mm, surface) if size.clearance_mm else field
        return cls(field, near, surface, size.clearance_mm)

    def opened_up(self) -> Surface:
        """Cavity from which the specimen lifts straight up."""
        return self.near.swept_up().mesh(self.clearance_mm)

    def opened_at(self, parting_z: float) -> tuple[Surface, Surface]:
        """Cavities below and above a level plane, each opened towards it."""
        layer = round((parting_z - self.near.origin_mm[2]) / self.near.step_mm)
        far = np.float32(1e3)
        below, above = self.near.values.copy(), self.near.values.copy()
        below = np.minimum.accumulate(below, axis=0)
        above = np.minimum.accumulate(above[::-1], axis=0)[::-1]
        # A little past the plane: a surface that ends on it would only graze the bodies parted there.
        below[layer + 1 : layer + 3], below[layer + 3 :] = below[layer], far
        above[max(layer - 2, 0) : layer], above[: max(layer - 2, 0)] = above[layer], far
        fields = (DistanceField(part, self.near.origin_mm, self.near.step_mm) for part in (below, above))
        lower, upper = (field.mesh(self.clearance_mm) for field in fields)
        return lower, upper

    def parting_z(self) -> float:
        """Height of the level plane at which the two openings cost least: the widest outline of a simple shape."""
        every = max(1, int(np.ceil((self.field.values.size / 400_000) ** (1 / 3))))
        inside = self.field.values[::every, ::every, ::every] < 0
        rows = np.flatnonzero(inside.any(axis=(1, 2)))
        up = np.logical_or.accumulate(inside, axis=0).sum(axis=(1, 2)).cumsum()
        down = np.logical_or.accumulate(inside[::-1], axis=0).sum(axis=(1, 2)).cumsum()[::-1]
        inner = rows[(rows > rows[0] + 0.15 * len(rows)) & (rows < rows[-1] - 0.15 * len(rows))]
        choice = inner if len(inner) else rows[[len(rows) // 2]]
        cost = up[choice] + np.append(down, 0)[choice + 1]
        # The widest among equals: there the outline parts.
        ties = choice[cost <= cost.min() * 1.005]
        layer = ties[np.argmax(inside[ties].sum(axis=(1, 2)))] * every
        return float(self.field.origin_mm[2] + layer * self.field.step_mm)

    def silhouette(self, level_mm: float) -> list[FloatArray]:
        """Outlines ``(k, 2)`` of the specimen seen from above, at a small distance; counter-clockwise outside."""
        from skimage.measure import find_contours

        flat = np.pad(self.near.values.min(axis=0), 1, constant_values=1e3)
        lines = find_contours(flat, level_mm + 1e-4 * self.near.step_mm)
        return [(line[:-1, ::-1] - 1.0) * self.near.step_mm + self.near.origin_mm[:2] for line in lines]


def shifted(surface: Surface, shift: FloatArray) -> Surface:
    """Move a surface."""
    return surface[0] + shift, surface[1]


def solid_of(surface: Surface, subject: str = "cavity") -> Manifold:
    """Make a manifold3d solid of vertices and faces.

    Raises
    ------
    PrintabilityError
        If they are not a closed surface that encloses something.
    """
    from manifold3d import Error, Manifold, Mesh

    vertices, faces = surface
    solid = Manifold(Mesh(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.uint32)))
    if solid.status() != Error.NoError or solid.volume() <= 0:
        raise PrintabilityError(
            subject=subject, expected="a closed surface", found=f"{solid.status()}, {solid.volume():.3g} mm³"
        )
    return solid

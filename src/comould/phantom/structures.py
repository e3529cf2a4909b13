"""Fine structure seen in imaging and histology alike: vessels, cysts, necrosis, septa."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from comould.phantom.options import SpecimenOptions
from comould.phantom.shape import Body, lengths, unit_vectors
from comould.space import FloatArray

Kind = Literal["septum", "necrosis", "wall", "cyst", "vessel"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""From bottom to top: where two meet, the later one is seen."""

_EDGE_MM: dict[Kind, float] = {"septum": 0.25, "necrosis": 0.8, "wall": 0.15, "cyst": 0.15, "vessel": 0.15}

WALLED: tuple[Kind, ...] = ("cyst", "vessel")
WALL_MM = 0.3
"""Thickness of the wall around every lumen."""


@dataclass(frozen=True, eq=False)
class Tube:
    """All points within a radius of a polyline; a short one is an ovoid."""

    kind: Kind
    nodes_mm: FloatArray
    radius_mm: float

    @property
    def box_mm(self) -> tuple[FloatArray, FloatArray]:
        """Least and greatest x, y, z."""
        return self.nodes_mm.min(axis=0) - self.radius_mm, self.nodes_mm.max(axis=0) + self.radius_mm

    def distance_mm(self, points_mm: FloatArray) -> FloatArray:
        """Signed distance ``(n,)`` to the surface, negative inside."""
        best = np.full(len(points_mm), np.inf)
        for start, end in zip(self.nodes_mm[:-1], self.nodes_mm[1:], strict=True):
            axis = end - start
            offset = points_mm - start
            along = np.clip(offset @ axis / max(float(axis @ axis), 1e-12), 0.0, 1.0)
            best = np.minimum(best, lengths(offset - along[:, None] * axis))
        return best - self.radius_mm


@dataclass(frozen=True, eq=False)
class Sheet:
    """A wavy fibrous band, thickest in its middle and tapering to nothing at its reach."""

    kind: Kind
    centre_mm: FloatArray
    normal: FloatArray
    wave: FloatArray
    amplitude_mm: float
    thickness_mm: float
    reach_mm: float

    @property
    def box_mm(self) -> tuple[FloatArray, FloatArray]:
        """Least and greatest x, y, z."""
        return self.centre_mm - self.reach_mm, self.centre_mm + self.reach_mm

    def distance_mm(self, points_mm: FloatArray) -> FloatArray:
        """Roughly the signed distance ``(n,)`` to the surface, negative inside."""
        offset = points_mm - self.centre_mm
        height = offset @ self.normal - self.amplitude_mm * np.sin(offset @ self.wave)
        taper = 1.0 - np.einsum("ij,ij->i", offset, offset) / self.reach_mm**2
        return np.abs(height) - taper * self.thickness_mm / 2.0


Structure = Tube | Sheet


def draw(rng: np.random.Generator, body: Body, options: SpecimenOptions) -> tuple[Structure, ...]:
    """Draw all structures inside the body; diameters 2 to 6 mm, septa up to 1.2 to 2 mm thick."""
    size = float(np.cbrt(np.prod(body.semi_axes_mm)))
    septa = [
        Sheet(
            "septum",
            centre,
            normal,
            unit_vectors(rng, 1)[0] * rng.uniform(0.15, 0.3),
            float(rng.uniform(1.0, 2.5)),
            float(rng.uniform(1.2, 2.0)),
            float(rng.uniform(0.5, 0.9)) * size,
        )
        for centre, normal in zip(
            body.interior(rng, options.septa, 0.2 * size), unit_vectors(rng, options.septa), strict=True
        )
    ]
    necroses = _ovoids(rng, "necrosis", body.interior(rng, options.necroses, 4.0), (2.0, 3.0), 2.5)
    cysts = _ovoids(rng, "cyst", body.interior(rng, options.cysts, 4.0), (1.3, 2.7), 1.2)
    vessels = [piece for start in body.interior(rng, options.vessels, 3.0) for piece in _vessel(rng, start, size)]
    return (*septa, *necroses, *cysts, *vessels)


def _ovoids(
    rng: np.random.Generator, kind: Kind, centres: FloatArray, radii_mm: tuple[float, float], stretch_mm: float
) -> list[Tube]:
    found = []
    for centre in centres:
        half = unit_vectors(rng, 1)[0] * rng.uniform(0.2, 1.0) * stretch_mm / 2.0
        found.append(Tube(kind, np.array([centre - half, centre + half]), float(rng.uniform(*radii_mm))))
    return found


def _vessel(rng: np.random.Generator, start: FloatArray, size: float) -> list[Tube]:
    """Grow a gently turning tube, 2 to 3 mm across, from a point inside; one piece a bend, so that each is small."""
    heading = unit_vectors(rng, 1)[0]
    nodes = [start]
    for _ in range(5):
        heading = heading + 0.35 * unit_vectors(rng, 1)[0]
        heading /= np.linalg.norm(heading)
        nodes.append(nodes[-1] + heading * size * rng.uniform(0.16, 0.26))
    radius = float(rng.uniform(1.0, 1.5))
    return [Tube("vessel", np.array(ends), radius) for ends in pairwise(nodes)]


def membership(structures: tuple[Structure, ...], points_mm: FloatArray) -> dict[Kind, FloatArray]:
    """How far each point lies in each kind of structure, 0 to 1 over a soft edge; arrays ``(n,)``."""
    found: dict[Kind, FloatArray] = {kind: np.zeros(len(points_mm)) for kind in KINDS}
    if not len(points_mm):
        return found
    columns = np.ascontiguousarray(points_mm.T)
    low, high = columns.min(axis=1), columns.max(axis=1)
    for structure in structures:
        margin = WALL_MM + _EDGE_MM[structure.kind]
        first, last = structure.box_mm[0] - margin, structure.box_mm[1] + margin
        if (first > high).any() or (last < low).any():
            continue
        near = np.flatnonzero((columns[0] >= first[0]) & (columns[0] <= last[0]))
        for axis in (1, 2):
            value = columns[axis][near]
            near = near[(value >= first[axis]) & (value <= last[axis])]
        distance = structure.distance_mm(points_mm[near])
        _raise(found[structure.kind], near, distance, _EDGE_MM[structure.kind])
        if structure.kind in WALLED:
            _raise(found["wall"], near, distance - WALL_MM, _EDGE_MM["wall"])
    return found


def _raise(values: FloatArray, rows: npt.NDArray[np.intp], distance: FloatArray, edge_mm: float) -> None:
    share = np.clip(0.5 - distance / (2.0 * edge_mm), 0.0, 1.0)
    values[rows] = np.maximum(values[rows], share * share * (3.0 - 2.0 * share))

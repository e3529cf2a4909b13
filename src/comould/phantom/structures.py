"""Fine structure seen in imaging and histology alike: vessels, cysts, necrosis, septa."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from comould.phantom.options import SpecimenOptions
from comould.phantom.shape import Body, unit_vectors
from comould.space import FloatArray

Kind = Literal["septum", "necrosis", "cyst", "vessel"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""From bottom to top: where two meet, the later one is seen."""

_EDGE_MM: dict[Kind, float] = {"septum": 0.25, "necrosis": 0.8, "cyst": 0.2, "vessel": 0.2}


@dataclass(frozen=True, eq=False)
class Tube:
    """All points within a radius of a polyline; a short one is an ovoid."""

    kind: Kind
    nodes_mm: FloatArray
    radius_mm: float

    @property
    def ball(self) -> tuple[FloatArray, float]:
        """A ball around it: centre and radius, mm."""
        centre = self.nodes_mm.mean(axis=0)
        return centre, float(np.linalg.norm(self.nodes_mm - centre, axis=1).max()) + self.radius_mm

    def distance_mm(self, points_mm: FloatArray) -> FloatArray:
        """Signed distance ``(n,)`` to the surface, negative inside."""
        best = np.full(len(points_mm), np.inf)
        for start, end in zip(self.nodes_mm[:-1], self.nodes_mm[1:], strict=True):
            axis = end - start
            offset = points_mm - start
            along = np.clip(offset @ axis / max(float(axis @ axis), 1e-12), 0.0, 1.0)
            best = np.minimum(best, np.sum((offset - along[:, None] * axis) ** 2, axis=1))
        return np.sqrt(best) - self.radius_mm


@dataclass(frozen=True, eq=False)
class Sheet:
    """A wavy fibrous band of constant thickness, bounded by a ball."""

    kind: Kind
    centre_mm: FloatArray
    normal: FloatArray
    wave: FloatArray
    amplitude_mm: float
    thickness_mm: float
    reach_mm: float

    @property
    def ball(self) -> tuple[FloatArray, float]:
        """A ball around it: centre and radius, mm."""
        return self.centre_mm, self.reach_mm

    def distance_mm(self, points_mm: FloatArray) -> FloatArray:
        """Roughly the signed distance ``(n,)`` to the surface, negative inside."""
        offset = points_mm - self.centre_mm
        height = offset @ self.normal - self.amplitude_mm * np.sin(offset @ self.wave)
        return np.maximum(np.abs(height) - self.thickness_mm / 2.0, np.linalg.norm(offset, axis=1) - self.reach_mm)


Structure = Tube | Sheet


def draw(rng: np.random.Generator, body: Body, options: SpecimenOptions) -> tuple[Structure, ...]:
    """Draw all structures inside the body; diameters 2 to 6 mm, septa 1 to 1.6 mm thick."""
    size = float(np.cbrt(np.prod(body.semi_axes_mm)))
    septa = [
        Sheet(
            "septum",
            centre,
            normal,
            unit_vectors(rng, 1)[0] * rng.uniform(0.15, 0.3),
            float(rng.uniform(1.0, 2.5)),
            float(rng.uniform(1.0, 1.6)),
            float(rng.uniform(0.45, 0.8)) * size,
        )
        for centre, normal in zip(
            body.interior(rng, options.septa, 0.2 * size), unit_vectors(rng, options.septa), strict=True
        )
    ]
    necroses = _ovoids(rng, "necrosis", body.interior(rng, options.necroses, 4.0), (2.0, 3.0), 2.5)
    cysts = _ovoids(rng, "cyst", body.interior(rng, options.cysts, 4.0), (1.3, 2.7), 1.2)
    vessels = [_vessel(rng, start, size) for start in body.interior(rng, options.vessels, 3.0)]
    return (*septa, *necroses, *cysts, *vessels)


def _ovoids(
    rng: np.random.Generator, kind: Kind, centres: FloatArray, radii_mm: tuple[float, float], stretch_mm: float
) -> list[Tube]:
    found = []
    for centre in centres:
        half = unit_vectors(rng, 1)[0] * rng.uniform(0.2, 1.0) * stretch_mm / 2.0
        found.append(Tube(kind, np.array([centre - half, centre + half]), float(rng.uniform(*radii_mm))))
    return found


def _vessel(rng: np.random.Generator, start: FloatArray, size: float) -> Tube:
    """Grow a gently turning tube, 2 to 3 mm across, from a point inside."""
    heading = unit_vectors(rng, 1)[0]
    nodes = [start]
    for _ in range(5):
        heading = heading + 0.35 * unit_vectors(rng, 1)[0]
        heading /= np.linalg.norm(heading)
        nodes.append(nodes[-1] + heading * size * rng.uniform(0.16, 0.26))
    return Tube("vessel", np.array(nodes), float(rng.uniform(1.0, 1.5)))


def membership(structures: tuple[Structure, ...], points_mm: FloatArray) -> dict[Kind, FloatArray]:
    """How far each point lies in each kind of structure, 0 to 1 over a soft edge; arrays ``(n,)``."""
    found: dict[Kind, FloatArray] = {kind: np.zeros(len(points_mm)) for kind in KINDS}
    if not len(points_mm):
        return found
    low, high = points_mm.min(axis=0), points_mm.max(axis=0)
    for structure in structures:
        centre, radius = structure.ball
        edge = _EDGE_MM[structure.kind]
        reach = radius + edge
        if np.linalg.norm(np.clip(centre, low, high) - centre) > reach:
            continue
        near = np.flatnonzero(np.abs(points_mm - centre).max(axis=1) <= reach)
        share = np.clip(0.5 - structure.distance_mm(points_mm[near]) / (2.0 * edge), 0.0, 1.0)
        values = found[structure.kind]
        values[near] = np.maximum(values[near], share * share * (3.0 - 2.0 * share))
    return found

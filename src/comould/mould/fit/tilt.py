"""Which oblique plane through the planned specimen looks most like the slab."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from comould.mould.fit.planned import Planned
from comould.mould.fit.rigid import TRUE_SIZE, Shape, closeness
from comould.space import CutPlane, FloatArray

MOST_DEG = 15.0
"""Largest tilt looked for."""

LEAST_DEG = 2.0
"""Smaller tilts are within what an outline can tell."""

_STEPS = (-12.0, -6.0, 0.0, 6.0, 12.0)


@dataclass(frozen=True, eq=False)
class Tilt:
    """How the specimen lay tilted against the knife.

    Parameters
    ----------
    about_u_deg, about_v_deg
        Turn of the specimen about the plane's u, then v (right-handed), through the middle of the planned cut.
    offset_mm
        How far along the normal the specimen lay moved besides.
    outlines
        What the plane then cuts: u, v in mm.
    """

    about_u_deg: float
    about_v_deg: float
    offset_mm: float
    outlines: list[FloatArray]

    @property
    def degrees(self) -> float:
        """Angle between the cut made and the cut planned."""
        cosine = np.cos(np.radians(self.about_u_deg)) * np.cos(np.radians(self.about_v_deg))
        return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))

    @property
    def credible(self) -> bool:
        """Whether it is neither too small to tell nor at the end of what was searched."""
        return LEAST_DEG <= self.degrees <= MOST_DEG - 0.5

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "degrees": self.degrees,
            "about_u_deg": self.about_u_deg,
            "about_v_deg": self.about_v_deg,
            "offset_mm": self.offset_mm,
        }


def find_tilt(
    plan: Planned, plane: CutPlane, source: Shape, start_deg: float, scales: tuple[float, float] = TRUE_SIZE
) -> Tilt:
    """Search tilts up to 15° about u and v, and shifts up to half the spacing of the planes along the normal.

    Parameters
    ----------
    plan, plane
        The planned specimen and the plane it should have been cut at.
    source
        The slab's outlines as seen along the normal.
    start_deg
        How the slab lies best on the planned outline.
    scales
        Smallest and largest scale allowed, see :func:`~comould.mould.fit.rigid.lay`.
    """
    from scipy.optimize import minimize

    middle = Shape.of(plan.cutter(plane).at(0.0)).middle
    spacings = plan.plan.spacings_mm
    reach = 0.5 * float(spacings.min()) if len(spacings) else 2.5

    def bounded(values: FloatArray) -> FloatArray:
        tilt = max(float(np.hypot(values[0], values[1])) / MOST_DEG, 1.0)
        return np.array([values[0] / tilt, values[1] / tilt, np.clip(values[2], -reach, reach)])

    def cut(values: FloatArray) -> list[FloatArray]:
        moved = tilted_about(plan, plane, (float(values[0]), float(values[1])), (middle[0], middle[1]))
        return plan.cutter(plane, moved).at(-float(values[2]))

    def cost(values: FloatArray) -> float:
        inside = bounded(values)
        outside = float(np.abs((values - inside) / (MOST_DEG, MOST_DEG, reach)).sum())
        lines = cut(inside)
        return (closeness(source, Shape.of(lines), start_deg, scales) if lines else 1e3) * (1.0 + 10.0 * outside)

    starts = [np.array([a, b, 0.0]) for a, b in product(_STEPS, _STEPS) if np.hypot(a, b) <= MOST_DEG]
    order = sorted(range(len(starts)), key=lambda n: cost(starts[n]))
    best = None
    for n in order[:2]:
        simplex = starts[n] + np.vstack([np.zeros(3), np.diag([3.0, 3.0, 0.3 * reach])])
        options = {"initial_simplex": simplex, "maxfev": 90, "xatol": 0.05, "fatol": 1e-4}
        found = minimize(cost, starts[n], method="Nelder-Mead", options=options)
        best = found if best is None or found.fun < best.fun else best
    values = bounded(best.x if best is not None else np.zeros(3))
    return Tilt(float(values[0]), float(values[1]), float(values[2]), cut(values))


def tilted_about(
    plan: Planned, plane: CutPlane, degrees: tuple[float, float], middle_uv: tuple[float, float]
) -> FloatArray:
    """Motion ``(4, 4)`` in the mould frame: a turn about a plane's u, then about its v, through a point of it."""
    a, b = np.radians(degrees)
    about_u = np.array([[1.0, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_v = np.array([[np.cos(b), 0, np.sin(b)], [0, 1.0, 0], [-np.sin(b), 0, np.cos(b)]])
    turn = np.eye(4)
    turn[:3, :3] = about_v @ about_u
    point = np.array([*middle_uv, 0.0])
    turn[:3, 3] = point - turn[:3, :3] @ point
    mould_from_plane = plan.mould_from_patient.matrix @ plane.patient_from_plane.matrix
    return np.asarray(mould_from_plane @ turn @ np.linalg.inv(mould_from_plane))

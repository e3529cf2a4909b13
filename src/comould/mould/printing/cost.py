"""Plastic, mass and printing time without slicing.

A filament print is a shell of perimeters, solid layers under every top and above every bottom, and infill in the rest.
Their volumes follow from the mesh: along rays, a wall of length L between two side faces is shell up to half of it, a
column of length L is solid layers up to all of it. The time is the length of the strands over their speed, times a
factor per kind that stands for acceleration, corners and travel, fitted to PrusaSlicer's own estimates (see
:data:`TIME_FACTORS`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comould.mould.printing.columns import Columns
from comould.mould.printing.slicer import PrintSettings
from comould.space import FloatArray

SPEEDS_MM_S = (25.0, 45.0, 80.0, 80.0)
"""Outer perimeter, inner perimeters, solid layers, infill: those of :class:`PrintSettings`."""

TIME_FACTORS = (2.892, 0.007, 1.987, 1.059)
"""Per kind of strand, fitted (non-negative least squares of relative errors) to PrusaSlicer 2.5.0 on seven moulds, a
block, a cup and a plate, each with 0.2 mm layers, 3 perimeters, 15 % and with 0.3 mm, 2 perimeters, 30 %. The outer
strands carry the inner ones' time: where there is one, there are others. On seven other moulds of three designs time
was off by 2.7 % on average, 5.9 % at worst; on boxes up to 7 %, a ball 11 %, with a 0.6 mm nozzle, 0.15 mm layers or
100 % infill up to 14 %."""

PLASTIC_FACTOR = 1.056
"""Strands overlap, and gaps between them are filled. With it the plastic of the same seven moulds was off by 2.1 % on
average, 6 % at worst; of boxes and a cup up to 8 %, of a ball 13 %."""

SLA_LAYER_S = 8.0
"""Exposure and lift of a resin layer; a rule of thumb, not calibrated."""

SLS_MM_PER_H = 10.0
"""Height a powder printer builds in an hour; a rule of thumb, not calibrated, cooling not included."""


@dataclass(frozen=True)
class Cost:
    """What a print takes.

    Parameters
    ----------
    process
        FDM, SLA or SLS.
    solid_ml
        Volume the mesh encloses.
    plastic_ml
        Plastic used: with shell and infill for FDM, the whole volume otherwise. No support, no brim.
    mass_g
        Its mass.
    time_h
        Printing time.
    calibrated
        Whether the time was fitted to a slicer (FDM) or is a rule of thumb.
    price
        Price of the plastic, in the currency of the price given; ``None`` without one.
    """

    process: str
    solid_ml: float
    plastic_ml: float
    mass_g: float
    time_h: float
    calibrated: bool
    price: float | None = None


def estimate(
    triangles: FloatArray,
    columns: tuple[Columns, Columns, Columns],
    *,
    process: str = "FDM",
    density_g_cm3: float = 1.24,
    settings: PrintSettings | None = None,
    price_per_kg: float | None = None,
) -> Cost:
    """Estimate plastic, mass and time.

    Parameters
    ----------
    triangles
        ``(m, 3, 3)``, mm, outward, z up.
    columns
        Rays through them along x, y and z.
    process
        ``"FDM"``, ``"SLA"`` or ``"SLS"``.
    density_g_cm3
        Density of the solid plastic.
    settings
        How it is printed.
    price_per_kg
        For the price.

    Returns
    -------
    Cost
        See :data:`TIME_FACTORS` for its error.
    """
    settings = settings or PrintSettings()
    solid = float(np.einsum("ij,ij->", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2]))) / 6.0
    height = float(np.ptp(triangles[:, :, 2]))
    if process == "FDM":
        parts = strand_volumes(triangles, columns, settings)
        plastic = PLASTIC_FACTOR * float(parts.sum())
        bead = strand_area_mm2(settings)
        hours = float((parts / bead / np.array(SPEEDS_MM_S) * np.array(TIME_FACTORS)).sum()) / 3600.0
    else:
        plastic = solid
        hours = height / SLS_MM_PER_H if process == "SLS" else height / settings.layer_mm * SLA_LAYER_S / 3600.0
    mass = plastic / 1000.0 * density_g_cm3
    price = None if price_per_kg is None else mass / 1000.0 * price_per_kg
    return Cost(process, solid / 1000.0, plastic / 1000.0, mass, hours, process == "FDM", price)


def strand_area_mm2(settings: PrintSettings) -> float:
    """Cross-section of a strand: an extrusion 1.125 nozzles wide."""
    return 1.125 * settings.nozzle_mm * settings.layer_mm


def strand_volumes(
    triangles: FloatArray, columns: tuple[Columns, Columns, Columns], settings: PrintSettings
) -> FloatArray:
    """Volumes ``(4,)`` in mm³ of outer perimeters, inner perimeters, solid layers and infill."""
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    level = np.hypot(normal[:, 0], normal[:, 1])
    level[level == 0] = np.inf
    total = float(sum((c.leave - c.enter).sum() * c.step_mm**2 for c in columns)) / 3.0
    width = 1.125 * settings.nozzle_mm
    outer = min(_shell(columns[:2], normal / level[:, None], width), total)
    shell = min(_shell(columns[:2], normal / level[:, None], width * settings.perimeters), total)
    thick = (settings.top_layers + settings.bottom_layers) * settings.layer_mm
    upright = columns[2]
    layers = float(np.minimum(upright.leave - upright.enter, thick).sum()) * upright.step_mm**2
    layers *= 1.0 - shell / max(total, 1e-9)
    infill = settings.infill * max(total - shell - layers, 0.0)
    return np.array([outer, max(shell - outer, 0.0), layers, infill])


def _shell(columns: tuple[Columns, ...], sideways: FloatArray, depth_mm: float) -> float:
    """Volume within a depth of the side faces, halves of thin walls counted once.

    Rays along x and y both see a slanting face; by the squares of its normal's shares they count it once.
    """
    volume = 0.0
    for part in columns:
        half = 0.5 * (part.leave - part.enter)
        for facet in (part.enter_facet, part.leave_facet):
            share = np.abs(sideways[facet, part.axis])
            volume += float((np.minimum(half, depth_mm / np.maximum(share, 1e-6)) * share**2).sum()) * part.step_mm**2
    return volume

"""Everything a printer makes of a closed mesh, measured in one go and said in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from comould.mould.printing.bed import BedFit, fit_on_bed
from comould.mould.printing.columns import cast
from comould.mould.printing.cost import Cost, estimate
from comould.mould.printing.limits import Limits
from comould.mould.printing.overhang import Overhang, overhang
from comould.mould.printing.slicer import SliceReport
from comould.mould.printing.thickness import STEP_MM, Walls, walls
from comould.mould.printing.trapped import Fluid, trapped_fluid
from comould.space import FloatArray

UPRIGHT_STEP_MM = 0.5
"""Rays along z stand closer: ceilings, slots and drain holes are narrow."""

_FULL_STEP_FROM_MM = 50.0
_THIN_CM2 = 0.1
_WALL_TOLERANCE_MM = 0.02


@dataclass(frozen=True)
class Printing:
    """What a printer makes of a closed mesh.

    Parameters
    ----------
    limits
        What it was measured against.
    walls, overhang, fluid, bed, cost
        The measures.
    """

    limits: Limits
    walls: Walls
    overhang: Overhang
    fluid: Fluid
    bed: BedFit
    cost: Cost

    @property
    def walls_ok(self) -> bool:
        """Whether no wall worth the name is thinner than the printer makes them."""
        thinnest = self.walls.minimum_mm
        bound = self.walls.limit_mm - _WALL_TOLERANCE_MM
        return thinnest is None or thinnest >= bound or self.walls.thin_area_cm2 < _THIN_CM2

    @property
    def rib_ok(self) -> bool:
        """Whether the ribs between slots are thick enough."""
        return self.walls.rib_mm is None or self.walls.rib_mm >= self.walls.limit_mm - _WALL_TOLERANCE_MM

    def problems(self) -> list[str]:
        """List what makes it unprintable, each with its remedy."""
        found, limit, printer = [], self.walls.limit_mm, self.limits.printer
        if not self.walls_ok:
            found.append(
                f"walls of {self.walls.minimum_mm:.2f} mm near ({_place(self.walls)}), {self.walls.thin_area_cm2:.1f} "
                f"cm² below the {limit:g} mm that {printer} makes: make them thicker or choose a finer printer"
            )
        elif not self.rib_ok:
            found.append(
                f"ribs of {self.walls.rib_mm:.2f} mm between slots, {printer} makes {limit:g} mm: "
                "put the cuts further apart or the slots narrower"
            )
        if not self.bed.fits:
            found.append(
                f"too large for the bed of {printer} by {-self.bed.margin_mm:.1f} mm, however it is turned: "
                "choose a larger printer or split it (comould check --split FOLDER)"
            )
        return found

    def notes(self) -> list[str]:
        """Advice that does not keep it from being printed."""
        found = []
        if self.overhang.support:
            wide = self.limits.max_bridge_mm is not None and self.overhang.bridge_mm > self.limits.max_bridge_mm
            why = f"a ceiling bridges {self.overhang.bridge_mm:.0f} mm" if wide else "undersides hang in the air"
            found.append(f"print it with support: {why}")
        if self.fluid.drain_recommended:
            found.append(
                f"{self.fluid.trapped_ml:.0f} ml of fluid stay in it: a cystic specimen wants drain holes (drain_mm)"
            )
        if self.walls_ok and self.walls.minimum_mm is not None and self.walls.minimum_mm < self.walls.limit_mm - 0.02:
            found.append(
                f"a spot of {self.walls.minimum_mm:.2f} mm near ({_place(self.walls)}) is thinner than it prints"
            )
        return found

    def facts(self) -> list[tuple[str, str, bool | None]]:
        """Name, value and verdict of each measure (``None``: just a fact)."""
        w, o, b, c = self.walls, self.overhang, self.bed, self.cost
        thin = "none" if w.minimum_mm is None else f"thinnest {w.minimum_mm:.2f} mm near ({_place(w)})"
        rib = "no slots" if w.rib_mm is None else f"{w.slots} slots, thinnest rib {w.rib_mm:.2f} mm"
        lean = "any lean prints" if o.steepest_deg is None else f"{o.area_cm2:.1f} cm² beyond {o.steepest_deg:g}°"
        support = "needs support" if o.support else "no support needed"
        turned = f"turned by {b.rotation_deg:.0f}°" if b.rotation_deg else "as it stands"
        size, bed = (" × ".join(f"{x:.0f}" for x in sizes) for sizes in (b.footprint_mm, b.bed_mm))
        time = f"{c.time_h:.1f} h" if c.calibrated else f"very roughly {c.time_h:.0f} h"
        price = "" if c.price is None else f", price {c.price:.2f}"
        return [
            ("walls", f"{thin}; {self.limits.printer} makes {w.limit_mm:g} mm", self.walls_ok),
            ("ribs", rib, None if w.rib_mm is None else self.rib_ok),
            ("overhang", f"{lean}, widest bridge {o.bridge_mm:.1f} mm: {support}", None if o.support else True),
            ("fluid", f"{self.fluid.trapped_ml:.1f} ml stay in it when filled", None),
            ("bed", f"{size} mm {turned} on {bed} mm", b.fits),
            ("print", f"about {c.plastic_ml:.0f} ml, {c.mass_g:.0f} g {self.limits.material}, {time}{price}", None),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **asdict(self),
            "bed": {"fits": self.bed.fits, **asdict(self.bed)},
            "walls": {"passed": self.walls_ok and self.rib_ok, **asdict(self.walls)},
        }


def inspect(
    vertices: FloatArray,
    faces: npt.NDArray[np.integer],
    limits: Limits | None = None,
    price_per_kg: float | None = None,
) -> Printing:
    """Measure what a printer makes of a closed mesh.

    Parameters
    ----------
    vertices
        ``(n, 3)``, mm, z up on the bed.
    faces
        ``(m, 3)``, outward, closed.
    limits
        Printer and material; a common filament printer and PLA when left out.
    price_per_kg
        Price of the plastic, for the price of the print.

    Returns
    -------
    Printing
        About 0.2 s for a mould of 70 000 faces.
    """
    limits = limits or Limits()
    triangles = np.asarray(vertices, dtype=np.float64)[faces]
    used = np.zeros(len(vertices), dtype=bool)
    used[faces] = True
    # Small parts are looked at more closely.
    fine = min(1.0, float(np.ptp(np.asarray(vertices)[used], axis=0).max()) / _FULL_STEP_FROM_MM)
    steps = (STEP_MM * fine, STEP_MM * fine, UPRIGHT_STEP_MM * fine)
    columns = (cast(triangles, 0, steps[0]), cast(triangles, 1, steps[1]), cast(triangles, 2, steps[2]))
    return Printing(
        limits,
        walls(triangles, limits.min_wall_mm, columns=columns),
        overhang(triangles, columns[2], steepest_deg=limits.max_overhang_deg, bridge_mm=limits.max_bridge_mm),
        trapped_fluid(columns[2]),
        fit_on_bed(np.asarray(vertices)[used], limits.bed_mm),
        estimate(
            triangles,
            columns,
            process=limits.process,
            density_g_cm3=limits.density_g_cm3,
            settings=limits.settings,
            price_per_kg=price_per_kg,
        ),
    )


def slicer_facts(report: SliceReport) -> list[tuple[str, str, bool | None]]:
    """Name, value and verdict of what the slicer says."""
    faults = (
        f"open edges {report.open_edges}, turned {report.facets_reversed}, mended {report.mended}, parts {report.parts}"
    )
    facts: list[tuple[str, str, bool | None]] = [
        (report.program, f"{faults}, {report.volume_ml:.2f} ml", report.sound),
    ]
    if report.time_s is not None and report.filament_cm3 is not None and report.filament_g is not None:
        s = report.settings
        used = f"{report.filament_cm3:.0f} ml, {report.filament_g:.0f} g, {report.time_s / 3600.0:.1f} h"
        how = f"{s.layer_mm:g} mm layers, {s.perimeters} perimeters, {100 * s.infill:.0f} % infill"
        facts.append(("sliced", f"{used} ({how})", None))
    return facts


def _place(walls: Walls) -> str:
    return ", ".join(f"{x:.0f}" for x in walls.place_mm or ())

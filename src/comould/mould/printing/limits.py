"""What printer and material allow: from the shelves of equipment, or a common filament printer and PLA."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from comould.errors import InputError
from comould.mould.printing.slicer import PrintSettings

if TYPE_CHECKING:
    from comould.mould.equipment import Material, Printer

_USUAL_MATERIAL = {"FDM": "pla", "SLA": "standard_resin", "SLS": "pa12"}
_USUAL_PRINTER = {"SLA": "generic_sla", "SLS": "formlabs_fuse1"}


@dataclass(frozen=True)
class Limits:
    """What a part is measured against.

    Parameters
    ----------
    printer, material
        Names.
    process
        FDM, SLA or SLS.
    bed_mm
        Bed x, y and height.
    min_wall_mm
        Thinnest wall.
    max_overhang_deg, max_bridge_mm
        What prints without support; ``None`` where powder carries it.
    layer_mm, nozzle_mm
        How fine it prints.
    pin_clearance_mm
        Gap round a pin pushed in by hand.
    density_g_cm3
        Of the solid plastic.
    """

    printer: str = "common filament printer"
    material: str = "pla"
    process: str = "FDM"
    bed_mm: tuple[float, float, float] = (250.0, 210.0, 210.0)
    min_wall_mm: float = 1.2
    max_overhang_deg: float | None = 45.0
    max_bridge_mm: float | None = 10.0
    layer_mm: float = 0.2
    nozzle_mm: float = 0.4
    pin_clearance_mm: float = 0.2
    density_g_cm3: float = 1.24

    @property
    def settings(self) -> PrintSettings:
        """How it would be sliced."""
        return PrintSettings(layer_mm=self.layer_mm, nozzle_mm=self.nozzle_mm)


def limits_of(printer: str | Printer | None = None, material: str | Material | None = None) -> Limits:
    """Look up printer and material.

    Parameters
    ----------
    printer
        Name, YAML file or :class:`~comould.mould.equipment.Printer`; left out, one that suits the material.
    material
        Name, YAML file or :class:`~comould.mould.equipment.Material`; left out, the usual one of the process.

    Returns
    -------
    Limits
        With neither: a common filament printer and PLA.

    Raises
    ------
    InputError
        If there is none of that name, or the printer does not print the material.
    """
    from comould.mould.equipment import load_material, load_printer

    if printer is None and material is None:
        return Limits()
    chosen = None if material is None else load_material(material)
    if printer is None and chosen is not None and "FDM" not in chosen.processes:
        printer = _USUAL_PRINTER[chosen.processes[0]]
    limits = Limits()
    if printer is not None:
        machine = load_printer(printer)
        limits = Limits(
            printer=machine.name,
            process=machine.process,
            bed_mm=machine.bed_mm,
            min_wall_mm=machine.min_wall_mm,
            max_overhang_deg=machine.max_overhang_deg,
            max_bridge_mm=machine.max_bridge_mm,
            layer_mm=machine.layer_mm,
            pin_clearance_mm=machine.pin_clearance_mm,
            nozzle_mm=machine.nozzle_mm or 0.4,
        )
    chosen = chosen or load_material(_USUAL_MATERIAL[limits.process])
    if limits.process not in chosen.processes:
        raise InputError(
            subject=f"material {chosen.name!r}",
            expected=f"one that {limits.printer} prints ({limits.process})",
            found=f"one for {', '.join(chosen.processes)}",
            remedy="Choose another --material or --printer",
        )
    return replace(limits, material=chosen.name, density_g_cm3=chosen.density_g_cm3)

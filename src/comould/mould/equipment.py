"""Blades, printers and materials: what a slot, a wall and a letter must suit, each figure with its source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from comould.mould import _library
from comould.mould.parameters import Parameters

Process = Literal["FDM", "SLA", "SLS"]
"""Fused filament, photopolymer resin (laser or masked light), sintered powder."""

Millimetres = Annotated[float, Field(gt=0.0, le=5000.0)]


class Equipment(BaseModel):
    """What blades, printers and materials have in common.

    Parameters
    ----------
    name
        How it is asked for.
    title
        One line for people.
    source
        Where its figures come from, unless :attr:`sources` says otherwise.
    sources
        Source of single figures, by field name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$", description="How it is asked for")
    title: str = Field(min_length=1, description="What it is")
    source: str = Field(min_length=1, description="Where the figures come from")
    sources: dict[str, str] = Field(default_factory=dict, description="Source of single figures")

    def source_of(self, field: str) -> str:
        """Where one figure comes from."""
        return self.sources.get(field, self.source)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Every figure as (name, value, meaning, source), for a table."""
        return [
            (key, shown(getattr(self, key), key), field.description or "", self.source_of(key))
            for key, field in type(self).model_fields.items()
            if key not in Equipment.model_fields
        ]


class Blade(Equipment):
    """A knife that goes through the slots."""

    thickness_mm: float = Field(ge=0.05, le=4.0, description="Thickness at its thickest part that enters a slot")
    length_mm: float = Field(ge=20.0, le=600.0, description="Length of the cutting edge")


class Printer(Equipment):
    """A 3D printer and the least sizes its process makes."""

    process: Process = Field(description="FDM filament, SLA resin, SLS powder")
    bed_mm: tuple[Millimetres, Millimetres, Millimetres] = Field(description="Largest print, x, y, z")
    min_wall_mm: float = Field(ge=0.1, le=5.0, description="Thinnest wall that prints soundly")
    min_stroke_mm: float = Field(ge=0.1, le=3.0, description="Narrowest engraved stroke that stays open and readable")
    min_engrave_mm: float = Field(ge=0.1, le=3.0, description="Shallowest engraving that stays readable")
    min_slot_mm: float = Field(ge=0.1, le=3.0, description="Narrowest slot that does not fuse")
    min_hole_mm: float = Field(ge=0.1, le=6.0, description="Smallest hole that stays open")
    slot_allowance_mm: float = Field(
        ge=0.0, le=2.0, description="Added to the blade's thickness so that it slides in the slot"
    )
    clearance_mm: float = Field(ge=0.0, le=2.0, description="Gap between specimen and mould")
    pin_clearance_mm: float = Field(ge=0.05, le=0.6, description="Gap round a pin that is pushed in by hand")
    layer_mm: float = Field(ge=0.01, le=1.0, description="Layer height the figures are meant for")
    nozzle_mm: float | None = Field(None, ge=0.1, le=2.0, description="Nozzle diameter; none for SLA and SLS")
    max_bridge_mm: float | None = Field(
        None, ge=1.0, le=100.0, description="Longest flat ceiling without support; none where powder carries it"
    )
    max_overhang_deg: float | None = Field(
        45.0, ge=0.0, le=90.0, description="Steepest overhang from the vertical without support; none where powder does"
    )

    @model_validator(mode="after")
    def _nozzle_for_filament(self) -> Self:
        if (self.nozzle_mm is None) == (self.process == "FDM"):
            msg = f"nozzle_mm is needed for FDM and for nothing else, found {self.nozzle_mm} for {self.process}"
            raise ValueError(msg)
        return self


class Material(Equipment):
    """What is printed, how heavy it is, and how much heat it stands."""

    processes: tuple[Process, ...] = Field(min_length=1, description="Processes that print it")
    density_g_cm3: float = Field(ge=0.5, le=3.0, description="Density of the solid, g/cm³")
    temperature_limit_c: float = Field(ge=30.0, le=300.0, description="Keeps its shape up to here, °C")
    autoclave_c: float | None = Field(
        None, ge=100.0, le=140.0, description="Steam sterilisation its source accepts, °C; none when it deforms"
    )
    sterilisation: str = Field(min_length=1, description="Advice; the hospital's own validation decides")


Kind = TypeVar("Kind", bound=Equipment)

SHELVES: dict[str, type[Equipment]] = {"blades": Blade, "printers": Printer, "materials": Material}
"""Folder of each kind of equipment, and its model."""


def load_blade(name_or_path: str | Path | Blade) -> Blade:
    """Read a blade by name or from a YAML file of the same form.

    Parameters
    ----------
    name_or_path
        A name of :func:`blades`, a path ending in ``.yaml``, or a blade (given back as it is).

    Returns
    -------
    Blade
        Frozen, every figure within its range.

    Raises
    ------
    InputError
        If there is none of that name (the nearest is suggested) or a figure is missing or out of range.

    Examples
    --------
    >>> load_blade("microtome_low_profile").thickness_mm
    0.25
    """
    return _load(name_or_path, Blade, "blades")


def load_printer(name_or_path: str | Path | Printer) -> Printer:
    """Read a printer, see :func:`load_blade`.

    Examples
    --------
    >>> load_printer("prusa_mk4").bed_mm
    (250.0, 210.0, 220.0)
    """
    return _load(name_or_path, Printer, "printers")


def load_material(name_or_path: str | Path | Material) -> Material:
    """Read a material, see :func:`load_blade`.

    Examples
    --------
    >>> load_material("petg").density_g_cm3
    1.27
    """
    return _load(name_or_path, Material, "materials")


def blades() -> tuple[Blade, ...]:
    """Every blade that comes with comould, by name."""
    return tuple(load_blade(name) for name in _library.shipped("blades"))


def printers() -> tuple[Printer, ...]:
    """Every printer that comes with comould, by name."""
    return tuple(load_printer(name) for name in _library.shipped("printers"))


def materials() -> tuple[Material, ...]:
    """Every material that comes with comould, by name."""
    return tuple(load_material(name) for name in _library.shipped("materials"))


def shown(value: Any, key: str = "") -> str:
    """Words for a value in a table, with the unit its key ends in."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}{_unit(key)}"
    if isinstance(value, tuple):
        text = (" × " if key == "bed_mm" else ", ").join(shown(part) for part in value)
        return f"{text}{_unit(key)}" if text else "none"
    return str(value) or "none"


def misfits(
    parameters: Parameters, blade: Blade | None, printer: Printer | None, material: Material | None
) -> list[str]:
    """Say what equipment cannot do: one sentence for each size too small for the process or the blade.

    Parameters
    ----------
    parameters
        Settings of a mould.
    blade, printer, material
        What it is to be cut and printed with; none where nothing was named.

    Returns
    -------
    list of str
        Empty when everything fits.
    """
    problems = []
    if blade and parameters.slot_mm <= blade.thickness_mm:
        problems.append(
            f"slot_mm {parameters.slot_mm:g} is too narrow for blade {blade.name}, {blade.thickness_mm:g} mm thick"
        )
    if printer and material and printer.process not in material.processes:
        problems.append(
            f"material {material.name} is printed by {', '.join(material.processes)}, "
            f"printer {printer.name} is {printer.process}"
        )
    if printer:
        for key, least in _LEAST.items():
            size, bound = getattr(parameters, key), getattr(printer, least)
            if 0 < size < bound - 1e-9:
                problems.append(
                    f"{key} {size:g} is too small for {printer.process} on printer {printer.name}: "
                    f"at least {bound:g} ({least})"
                )
        if parameters.hollow and printer.max_bridge_mm and parameters.bridge_mm > printer.max_bridge_mm + 1e-9:
            problems.append(
                f"bridge_mm {parameters.bridge_mm:g} is too wide for {printer.process} on printer {printer.name}: "
                f"at most {printer.max_bridge_mm:g} (max_bridge_mm)"
            )
    return problems


_LEAST = {
    "stroke_mm": "min_stroke_mm",
    "engrave_mm": "min_engrave_mm",
    "slot_mm": "min_slot_mm",
    "drain_mm": "min_hole_mm",
    "wall_mm": "min_wall_mm",
    "cell_wall_mm": "min_wall_mm",
    "min_rib_mm": "min_wall_mm",
}
"""Parameter of a mould and the printer's least size it must reach; 0 means the part is left out."""

_UNITS = {"_mm": " mm", "_deg": "°", "_g_cm3": " g/cm³", "temperature_limit_c": " °C", "autoclave_c": " °C"}


def _unit(key: str) -> str:
    return next((unit for ending, unit in _UNITS.items() if key.endswith(ending)), "")


def _load(name_or_path: str | Path | Equipment, model: type[Kind], shelf: str) -> Kind:
    if isinstance(name_or_path, model):
        return name_or_path
    noun = shelf.removesuffix("s")
    path = _library.locate(str(name_or_path), shelf, noun)
    subject = f"{noun} file {path.name}"
    data = _library.read_mapping(path, subject)
    values, sources = _library.split_sources(data, subject)
    known = tuple(key for key in model.model_fields if key != "sources")
    _library.refuse_unknown(subject, values, known, remedy=f"Known keys: {', '.join(known)}")
    values.setdefault("name", path.stem)
    return _library.validated(model, {**values, "sources": sources}, subject)

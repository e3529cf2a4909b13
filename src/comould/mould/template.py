"""Mould templates: a design and an organ's values for it, validated, every value with its unit, range and source.

A value is taken from the last of these levels that gives it:

1. the design's own model in :data:`~comould.mould.parameters.DESIGNS` ("comould default"),
2. the design's YAML in ``mould_templates/designs``,
3. the template's YAML, after the one it names as its ``base``,
4. the user's overrides, in the order they were made.

Equipment comes in between:

- ``slot_mm`` follows from a ``blade`` (its thickness plus the printer's allowance) unless ``slot_mm`` is given at the
  same level as the blade or a later one.
- ``clearance_mm`` and ``pin_clearance_mm`` are the ``printer``'s unless level 3 or 4 gives them: a template that does
  so has a reason in the tissue, which holds on every printer.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from comould.errors import ComouldWarning, InputError
from comould.mould import _library, equipment, marks
from comould.mould.equipment import Blade, Material, Printer
from comould.mould.parameters import DESIGNS, Parameters

DEFAULT_ALLOWANCE_MM = 0.4
"""Added to a blade's thickness when no printer is named: what a filament printer needs."""

_FILE_KEYS = ("name", "title", "base", "design", "parameters")
_FROM_PRINTER = ("clearance_mm", "pin_clearance_mm")


class Layer(BaseModel):
    """Values given at one level.

    Parameters
    ----------
    origin
        Who gave them.
    design
        The design they were written for.
    values
        As given, by parameter name.
    sources
        Where they come from, by parameter name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    origin: Literal["design", "template", "user"]
    design: str
    values: dict[str, Any]
    sources: dict[str, str]


class Template(BaseModel):
    """A mould design with its parameters and where their values come from.

    Parameters
    ----------
    name
        How it is asked for.
    title
        One line for people.
    design
        The construction, a key of :data:`~comould.mould.parameters.DESIGNS`.
    parameters
        The sizes: an instance of the design's own model.
    sources
        Source of every parameter's value, by parameter name.
    blade, printer, material
        The equipment its parameters name; none where they name none.
    layers
        The levels its values were taken from, for later overrides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = ""
    design: str = "open_block"
    parameters: SerializeAsAny[Parameters] = Field(default_factory=lambda: DESIGNS["open_block"].model_validate({}))
    sources: dict[str, str] = Field(default_factory=dict)
    blade: Blade | None = None
    printer: Printer | None = None
    material: Material | None = None
    layers: tuple[Layer, ...] = Field((), repr=False, exclude=True)

    @property
    def spacing_mm(self) -> float:
        """Distance between neighbouring cutting planes."""
        return self.parameters.spacing_mm

    @property
    def slot_mm(self) -> float:
        """Slot width."""
        return self.parameters.slot_mm

    @property
    def clearance_mm(self) -> float:
        """Gap between specimen and mould."""
        return self.parameters.clearance_mm

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Every parameter as (key, value with unit, meaning, source), for a table."""
        return [
            (
                key,
                equipment.shown(getattr(self.parameters, key), key),
                field.description or "",
                self.sources.get(key, "comould default"),
            )
            for key, field in type(self.parameters).model_fields.items()
        ]


def templates() -> tuple[Template, ...]:
    """Every template that comes with comould, by name."""
    return tuple(_read(path) for path in _library.shipped().values())


def designs() -> tuple[Template, ...]:
    """Every design with its own values and no organ's, by name."""
    return tuple(_bare(name) for name in sorted(DESIGNS))


def load_template(name_or_path: str | Path | Template, **overrides: Any) -> Template:
    """Read a template and change some of its parameters.

    Parameters
    ----------
    name_or_path
        Name of a shipped template (:func:`templates`) or design (:func:`designs`), the path of a YAML file of the same
        form (which may name a shipped one as its ``base``), or a template.
    **overrides
        Parameters to change; strings are converted. ``design`` puts the template's values into another design.
        ``blade``, ``printer`` and ``material`` take a name, the path of a YAML file or a loaded one. ``None`` leaves a
        parameter as it is.

    Returns
    -------
    Template
        Frozen; an overridden parameter's source reads ``"user"``.

    Raises
    ------
    InputError
        If there is no such template, a key is unknown (the nearest one is named), a value is out of range, or a size is
        too small for the printer or too tight for the blade.

    Warns
    -----
    ComouldWarning
        If the template has settings that the design asked for does not know: they are dropped. If a slot's width had to
        be worked out for a blade without knowing the printer.

    Examples
    --------
    >>> load_template("ovary").spacing_mm
    5.0
    >>> load_template("ovary", blade="microtome_low_profile", printer="generic_sla").sources["slot_mm"]
    'blade microtome_low_profile 0.25 mm + printer generic_sla allowance 0.3 mm'
    """
    template = name_or_path if isinstance(name_or_path, Template) else _find(str(name_or_path))
    changed = {key: value for key, value in overrides.items() if value is not None}
    if not changed:
        return template
    subject = f"template {template.name!r}"
    design = _design(str(changed.pop("design", template.design)), subject)
    user = Layer(origin="user", design=design, values=changed, sources=dict.fromkeys(changed, "user"))
    return _resolve(template.name, template.title, design, (*_layers(template), user))


def _layers(template: Template) -> tuple[Layer, ...]:
    """Levels of a template; one made by hand counts as a single level of what was given."""
    if template.layers:
        return template.layers
    given = {key: getattr(template.parameters, key) for key in template.parameters.model_fields_set}
    return (Layer(origin="template", design=template.design, values=given, sources=template.sources),)


def _find(name: str) -> Template:
    path = Path(name)
    if path.suffix.lower() in _library.YAML_SUFFIXES:
        return _read(path)
    organs = _library.shipped()
    if name in organs:
        return _read(organs[name])
    if name in DESIGNS:
        return _bare(name)
    near = _library.nearest(name, [*organs, *DESIGNS])
    raise InputError(
        subject=f"template {name!r}",
        expected=f"one of {', '.join(organs)}, a design ({', '.join(DESIGNS)}), or the path of a .yaml file",
        found="none of that name",
        remedy=f"Did you mean {near!r}?" if near else "",
    )


def _read(path: Path) -> Template:
    name, title, design, layers = _read_layers(path, ())
    return _resolve(name, title, design, layers, f"template file {path.name}")


def _read_layers(path: Path, above: tuple[Path, ...]) -> tuple[str, str, str, tuple[Layer, ...]]:
    """Read a template file and the files it is based on: name, title, design and levels."""
    subject = f"template file {path.name}"
    data = _library.read_mapping(path, subject)
    _library.refuse_unknown(subject, data, _FILE_KEYS)
    layers: tuple[Layer, ...] = ()
    title, design = "", "open_block"
    if "base" in data:
        _, title, design, layers = _read_base(str(data["base"]), path, above, subject)
    title = str(data.get("title", title))
    design = _design(str(data.get("design", design)), subject)
    layer = _layer("template", design, data, subject, f"template {path.stem}")
    return str(data.get("name", path.stem)), title, design, (*layers, layer)


def _read_base(base: str, path: Path, above: tuple[Path, ...], subject: str) -> tuple[str, str, str, tuple[Layer, ...]]:
    if base in DESIGNS and base not in _library.shipped():
        return base, "", base, ()
    # A path is meant from the file that names it.
    near = path.parent / base
    found = near if near.suffix.lower() in _library.YAML_SUFFIXES else _library.locate(base, "", "template")
    chain = (*above, path.resolve())
    if found.resolve() in chain:
        raise InputError(subject=subject, expected="another template as its base", found=f"{base!r}, which leads back")
    return _read_layers(found, chain)


def _bare(design: str) -> Template:
    data = _library.read_mapping(_library.folder("designs") / f"{design}.yaml", f"design file {design}.yaml")
    return _resolve(design, str(data.get("title", "")), design, ())


def _design_layer(design: str) -> Layer:
    subject = f"design file {design}.yaml"
    data = _library.read_mapping(_library.folder("designs") / f"{design}.yaml", subject)
    _library.refuse_unknown(subject, data, ("title", "parameters"))
    return _layer("design", design, data, subject, f"design {design}")


def _layer(
    origin: Literal["design", "template"], design: str, data: dict[str, Any], subject: str, default_source: str
) -> Layer:
    given = data.get("parameters") or {}
    if not isinstance(given, dict):
        raise InputError(subject=subject, expected="parameters as keys and values", found=type(given).__name__)
    values, sources = _library.split_sources(given, subject)
    known = tuple(DESIGNS[design].model_fields)
    _library.refuse_unknown(subject, values, known, remedy=f"Known keys: {', '.join(known)}")
    sources = {key: sources.get(key, default_source) for key in values}
    return Layer(origin=origin, design=design, values=values, sources=sources)


def _design(name: str, subject: str) -> str:
    if name in DESIGNS:
        return name
    near = _library.nearest(name, DESIGNS)
    raise InputError(
        subject=subject,
        expected=f"design to be one of {', '.join(DESIGNS)}",
        found=f"design = {name!r}",
        remedy=f"Did you mean {near!r}?" if near else "",
    )


def _resolve(name: str, title: str, design: str, layers: tuple[Layer, ...], subject: str = "") -> Template:
    """Merge the levels, bring in the equipment, and check the outcome."""
    subject = subject or f"template {name!r}"
    _check_keys(layers, design, subject)
    merged = _Merged([_design_layer(design), *layers], design)
    owned = merged.take_equipment()
    merged.derive(owned)
    parameters = _library.validated(DESIGNS[design], merged.values, subject)
    sources = {key: merged.sources.get(key, "comould default") for key in DESIGNS[design].model_fields}
    problems = equipment.misfits(parameters, owned.blade, owned.printer, owned.material)
    if parameters.digit_mm < marks.least_height(parameters.stroke_mm) - 1e-9:
        problems.append(
            f"digit_mm {parameters.digit_mm:g} is too low to be read with strokes of {parameters.stroke_mm:g} mm: "
            f"at least {marks.least_height(parameters.stroke_mm):g}"
        )
    if problems:
        raise InputError.collect(subject=subject, problems=problems)
    return Template(
        name=name,
        title=title,
        design=design,
        parameters=parameters,
        sources=sources,
        blade=owned.blade,
        printer=owned.printer,
        material=owned.material,
        layers=layers,
    )


def _check_keys(layers: Iterable[Layer], design: str, subject: str) -> None:
    """Refuse the user's unknown keys; say which of a template's the design leaves out."""
    known = tuple(DESIGNS[design].model_fields)
    dropped = []
    for layer in layers:
        if layer.origin == "user":
            remedy = f"Known keys: design, {', '.join(known)}"
            _library.refuse_unknown(subject, layer.values, known, remedy=remedy)
        else:
            dropped += [key for key in layer.values if key not in known]
    if dropped:
        warnings.warn(
            f"{subject}: design {design} has no {', '.join(dict.fromkeys(dropped))}; dropped",
            ComouldWarning,
            stacklevel=4,
        )


class _Owned(BaseModel):
    """The equipment named by a template's values."""

    blade: Blade | None = None
    printer: Printer | None = None
    material: Material | None = None


class _Merged:
    """Values of all levels, the last one first served, and the level each came from."""

    def __init__(self, layers: list[Layer], design: str) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.known = DESIGNS[design].model_fields
        self._level: dict[str, int] = {}
        self._origin: dict[str, str] = {}
        for level, layer in enumerate(layers):
            for key, value in layer.values.items():
                if key in self.known:
                    self.values[key], self._level[key], self._origin[key] = value, level, layer.origin
                    self.sources[key] = layer.sources.get(key, layer.origin)

    def take_equipment(self) -> _Owned:
        """Load what is named; the parameters keep the name, never a path."""
        loaders = {
            "blade": equipment.load_blade,
            "printer": equipment.load_printer,
            "material": equipment.load_material,
        }
        found: dict[str, Any] = {}
        for key, load in loaders.items():
            if value := self.values.get(key):
                found[key] = load(value)
                self.values[key] = found[key].name
        return _Owned(**found)

    def derive(self, owned: _Owned) -> None:
        """Fill in what follows from the equipment, where no one gave it."""
        blade, printer = owned.blade, owned.printer
        if blade and self._level["blade"] > self._level.get("slot_mm", -1):
            self._slot(blade, printer)
        for key in _FROM_PRINTER:
            if printer and key in self.known and self._origin.get(key, "design") == "design":
                self.values[key] = getattr(printer, key)
                self.sources[key] = f"printer {printer.name}: {printer.source_of(key)}"

    def _slot(self, blade: Blade, printer: Printer | None) -> None:
        allowance = printer.slot_allowance_mm if printer else DEFAULT_ALLOWANCE_MM
        where = f"printer {printer.name} allowance" if printer else "allowance as for FDM, no printer named,"
        width = round(blade.thickness_mm + allowance, 6)
        source = f"blade {blade.name} {blade.thickness_mm:g} mm + {where} {allowance:g} mm"
        if printer and width < printer.min_slot_mm:
            width, source = printer.min_slot_mm, f"{source}, widened to the narrowest slot that prints"
        self.values["slot_mm"], self.sources["slot_mm"] = width, source
        if not printer:
            warnings.warn(
                f"slot_mm: {width:g} mm for blade {blade.name}, with {allowance:g} mm allowance as a filament printer "
                "needs; name the printer for its own",
                ComouldWarning,
                stacklevel=5,
            )

"""``comould templates``: list and show mould templates, designs, blades, printers and materials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from comould.cli._guard import guarded, out
from comould.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from comould.mould.equipment import Equipment
    from comould.mould.template import Template

Row = tuple[str, str, str, str]

LISTS = ("designs", "blades", "printers", "materials")
"""Words that list something instead of naming it."""


@guarded
def templates(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A template, design, blade, printer or material to show, a YAML file, or one of: " + ", ".join(LISTS),
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Show the template with this value changed; repeatable."),
    ] = None,
) -> None:
    """List the mould templates, or show one with every value, unit, meaning and source.

    designs, blades, printers and materials list those.
    """
    from comould.cli._mould_options import parse_settings

    overrides = parse_settings(settings or [])
    if overrides and (name is None or name in LISTS):
        raise InputError(subject="--set", expected="one template to show", found=name or "none", remedy="Name it first")
    if name is None:
        _organs()
        _designs()
        _hint("comould templates NAME shows every value with its source; so do blades, printers and materials.")
    elif name == "designs":
        _designs()
    elif name in LISTS:
        _equipment(name)
    else:
        _show(name, overrides)


def _organs() -> None:
    from comould import mould

    table = _table("template", "for", "design", "spacing", "slot", "clearance")
    for template in mould.templates():
        table.add_row(template.name, template.title, template.design, *_three(template))
    _print(table)


def _designs() -> None:
    from comould.mould.template import designs

    table = _table("design", "what it is")
    for design in designs():
        table.add_row(design.name, design.title)
    _print(table)


def _three(template: Template) -> tuple[str, str, str]:
    return f"{template.spacing_mm:g} mm", f"{template.slot_mm:g} mm", f"{template.clearance_mm:g} mm"


def _equipment(shelf: str) -> None:
    """List blades, printers or materials with the figures people choose by."""
    from comould.mould import equipment

    if shelf == "blades":
        table = _table("blade", "what it is", "thickness", "length")
        for blade in equipment.blades():
            table.add_row(blade.name, blade.title, f"{blade.thickness_mm:g} mm", f"{blade.length_mm:g} mm")
    elif shelf == "printers":
        table = _table("printer", "what it is", "process", "bed, mm", "slot adds", "clearance")
        for printer in equipment.printers():
            bed = equipment.shown(printer.bed_mm, "bed_mm").removesuffix(" mm")
            adds, gap = f"{printer.slot_allowance_mm:g} mm", f"{printer.clearance_mm:g} mm"
            table.add_row(printer.name, printer.title, printer.process, bed, adds, gap)
    else:
        table = _table("material", "what it is", "process", "g/cm³", "up to", "steam")
        for material in equipment.materials():
            steam = "–" if material.autoclave_c is None else f"{material.autoclave_c:g} °C"
            process, heat = ", ".join(material.processes), f"{material.temperature_limit_c:g} °C"
            table.add_row(material.name, material.title, process, f"{material.density_g_cm3:g}", heat, steam)
    _print(table)
    _hint(f"comould templates NAME shows one with its sources; --set {shelf[:-1]}=NAME uses it for a mould.")


def _show(name: str, overrides: dict[str, str]) -> None:
    """Show one template, or one piece of equipment of that name, figure by figure."""
    from comould import mould

    if not overrides and (piece := _piece(name)) is not None:
        _heading(piece.name, piece.title)
        _figures(piece.rows(), "figure")
        return
    template = mould.load_template(_known(name), **overrides)
    made_for = "" if template.name == template.design else f" · design {template.design}"
    _heading(template.name, template.title + made_for)
    _figures(template.rows(), "setting")
    for part in (template.blade, template.printer, template.material):
        if part is not None:
            _heading(part.name, part.title)
            _figures(part.rows(), "figure")


def _piece(name: str) -> Equipment | None:
    from comould.mould import equipment

    every = (*equipment.blades(), *equipment.printers(), *equipment.materials())
    return next((piece for piece in every if piece.name == name), None)


def _known(name: str) -> str:
    """Give the name back unless nothing at all is called that: then say what is near."""
    from comould.mould import _library
    from comould.mould.parameters import DESIGNS

    if name.lower().endswith((".yaml", ".yml")):
        return name
    names = [*_library.shipped(), *DESIGNS]
    if name in names:
        return name
    shelves = [item for shelf in LISTS[1:] for item in _library.shipped(shelf)]
    near = _library.nearest(name, [*names, *LISTS, *shelves])
    raise InputError(
        subject=repr(name),
        expected=f"a template ({', '.join(names)}), one of {', '.join(LISTS)}, a name they list, or a .yaml file",
        found="none of that name",
        remedy=f"Did you mean {near!r}?" if near else "",
    )


def _figures(rows: list[Row], noun: str) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    narrow = out.width < 110
    # Names of settings are typed in again: they must not be broken.
    table.add_column(noun, no_wrap=True)
    table.add_column("value", max_width=18 if narrow else 34, overflow="fold")
    table.add_column("meaning · source" if narrow else "meaning", ratio=2, overflow="fold")
    if not narrow:
        table.add_column("source", ratio=3, style="dim", overflow="fold")
    for key, value, meaning, source in rows:
        if narrow:
            table.add_row(key, value, f"{_escaped(meaning)} [dim]· {_escaped(source)}[/]")
        else:
            table.add_row(key, value, _escaped(meaning), _escaped(source))
    _print(table)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, no_wrap=column not in {"for", "what it is"})
    return table


def _print(table: Table) -> None:
    # Soft wrapping would leave the cells of a table unwrapped.
    out.print(table, soft_wrap=False)
    out.print()


def _heading(name: str, title: str) -> None:
    out.print(f"[bold]{_escaped(name)}[/]  {_escaped(title)}", soft_wrap=False)
    out.print()


def _hint(text: str) -> None:
    out.print(f"[dim]{text}[/]", soft_wrap=False)

"""``comould check``: report whether a mesh is printable, and what printing it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comould.cli._guard import err, guarded, out

if TYPE_CHECKING:
    from comould.mould import PrintReport


@guarded
def check(
    mesh: Annotated[Path, typer.Argument(metavar="MESH", help="STL, 3MF, PLY or OBJ in mm.", show_default=False)],
    printer: Annotated[
        str | None,
        typer.Option("--printer", metavar="NAME", help="Printer by name, or a YAML file.", show_default=False),
    ] = None,
    material: Annotated[
        str | None,
        typer.Option("--material", metavar="NAME", help="Material by name, or a YAML file.", show_default=False),
    ] = None,
    slicer: Annotated[bool, typer.Option("--slice", help="Run PrusaSlicer and report its own figures.")] = False,
    price: Annotated[
        float | None, typer.Option("--price", metavar="PER_KG", help="Price of a kg of plastic.", show_default=False)
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option("--split", metavar="FOLDER", help="Write parts that fit the bed, with pins.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FOLDER.")] = False,
) -> None:
    """Report a mesh's geometry and printability; exit 1 when it is not printable."""
    from comould.mould import check as check_mesh

    if split is not None:
        from comould.io.output import check_target

        check_target(split, overwrite=overwrite)
    if slicer:
        err.print("[dim]Slicing may take a minute …[/]")
    report = check_mesh(mesh, printer=printer, material=material, slicer=slicer, price_per_kg=price)
    _show(report)
    printable = report.printable
    if split is not None:
        printable = _split(mesh, split, report, overwrite)
    if not printable:
        raise typer.Exit(1)


def _show(report: PrintReport) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for line in report.lines():
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[dim]–[/]"}[line.passed]
        table.add_row(mark, line.name, Text(line.value))
    out.print(table)
    out.print("[bold green]Printable[/]" if report.printable else "[bold red]Not printable[/]")


def _split(mesh: Path, folder: Path, report: PrintReport, overwrite: bool) -> bool:
    """Write the parts and say of each whether it is printable."""
    from comould.mould.printing.split import write_split

    limits = report.printing.limits if report.printing else None
    problems = write_split(mesh, folder, limits, overwrite=overwrite)
    for name, found in problems.items():
        out.print("[red]✗[/]" if found else "[green]✓[/]", end=" ")
        out.print(f"{name}.stl" + "".join(f"  {text}" for text in found), markup=False)
    out.print(f"In {folder}", markup=False)
    return not any(problems.values())

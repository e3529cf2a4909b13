"""``comould check``: report whether a mesh is printable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from comould.cli._guard import guarded, out


@guarded
def check(
    mesh: Annotated[Path, typer.Argument(metavar="MESH", help="STL, 3MF, PLY or OBJ in mm.", show_default=False)],
) -> None:
    """Report a mesh's geometry and printability; exit 1 when it is not printable."""
    from rich.table import Table

    from comould.mould import check as check_mesh

    report = check_mesh(mesh)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for line in report.lines():
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: " "}[line.passed]
        table.add_row(mark, line.name, line.value)
    out.print(table)
    out.print("[bold green]Printable[/]" if report.printable else "[bold red]Not printable[/]")
    if not report.printable:
        raise typer.Exit(1)

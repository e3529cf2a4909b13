"""``comould templates``: list and show mould templates."""

from __future__ import annotations

from typing import Annotated

import typer

from comould.cli._guard import guarded, out


@guarded
def templates(
    name: Annotated[
        str | None, typer.Argument(help="Show this template's values and their sources.", show_default=False)
    ] = None,
) -> None:
    """List the mould templates, or show one with every value, unit and source."""
    from rich.table import Table

    from comould import mould

    if name is None:
        table = Table(box=None, header_style="dim")
        table.add_column("template", no_wrap=True)
        for column in ("for", "design", "spacing", "slot", "clearance"):
            table.add_column(column, overflow="fold")
        for template in mould.templates():
            table.add_row(
                template.name,
                template.title,
                template.design,
                f"{template.spacing_mm:g} mm",
                f"{template.slot_mm:g} mm",
                f"{template.clearance_mm:g} mm",
            )
        out.print(table)
        out.print("[dim]comould templates NAME shows every value with its source.[/]")
        return
    table = Table(box=None, header_style="dim")
    for column in ("setting", "value", "meaning", "source"):
        table.add_column(column, overflow="fold")
    for row in mould.load_template(name).rows():
        table.add_row(*row)
    out.print(table)

"""What ``comould mould`` says at the end: the facts, then every file with what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from comould.cli._guard import out

if TYPE_CHECKING:
    from comould.mould import MouldSet
    from comould.report.bench import Ready

PURPOSES = {
    "mould.3mf": "all bodies on one bed with their colours",
    "specimen.stl": "the specimen as imaged, to look at or to compare with",
    "preview.png": "a picture of the mould, to look at first",
    "cutting_sheet.pdf": "to print at 100 % and lay beside the mould",
    "sampling.csv": "every core: slab, place, habitat",
    "blocks.csv": "every piece for a cassette",
    "sampling": "plates to print, and all outlines",
    "manifest.json": "planes, checks and settings: what registration reads",
}


def show_mould(ready: Ready, folder: Path) -> None:
    """Show the facts of a mould and its files."""
    _table([*ready.mould.summary(), *_more(ready)])
    _written(folder)


def show_set(made: MouldSet, ready: dict[str, Ready], folder: Path) -> None:
    """Show the key to several moulds: which lesion is which."""
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("lesion", "mould", "where", "volume", "cuts", "prints in", "checks"):
        table.add_column(name, no_wrap=True)
    for row in made.key():
        one = ready[row["number"]]
        checks = [check["passed"] for check in one.mould.report["checks"]]
        hours = sum(part.cost.time_h for part in one.printing.values())
        table.add_row(
            row["number"],
            row["mould_id"],
            row["place"] or "–",
            f"{row['volume_ml']:.1f} ml",
            str(row["planes"]),
            f"{hours:.1f} h",
            f"{sum(checks)} of {len(checks)}",
        )
    out.print(table, soft_wrap=False)
    out.print(f"\n[bold green]Written to[/] {_escaped(folder)}")
    _files([("key.json", "which mould is whose"), *((f"{n}/", f"the mould of lesion {n}") for n in made.moulds)])


def _more(ready: Ready) -> list[tuple[str, str]]:
    """Add what the extras know: printing, cores, blocks."""
    costs = [found.cost for found in ready.printing.values()]
    limits = next(iter(ready.printing.values())).limits
    about = "about" if all(cost.calibrated for cost in costs) else "very roughly"
    rows = [
        (
            "printing",
            f"{about} {sum(cost.time_h for cost in costs):.1f} h, {sum(cost.mass_g for cost in costs):.0f} g "
            f"{limits.material} on {limits.printer}"
            + (", with support" if any(found.overhang.support for found in ready.printing.values()) else ""),
        )
    ]
    if any(found.fluid.drain_recommended for found in ready.printing.values()):
        trapped = sum(found.fluid.trapped_ml for found in ready.printing.values())
        rows.append(("fluid", f"{trapped:.0f} ml stay in it; for a cystic specimen: --set drain_mm=3"))
    if ready.sampling is not None:
        rows.append(("cores", f"{len(ready.sampling.cores)} in {len({c.slab for c in ready.sampling.cores})} slabs"))
    if ready.n_blocks:
        rows.append(("blocks", str(ready.n_blocks)))
    return rows


def _table(rows: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, _escaped(value))
    # Soft wrapping would leave the cells of a table unwrapped.
    out.print(table, soft_wrap=False)


def _written(folder: Path) -> None:
    out.print(f"\n[bold green]Written to[/] {_escaped(folder)}")
    names = {path.name for path in folder.iterdir()}
    bodies = sorted(name for name in names if name.endswith(".stl") and name not in PURPOSES)
    known = [(name, purpose) for name, purpose in PURPOSES.items() if name in names]
    _files([*((name, "to print") for name in bodies), *known])


def _files(rows: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    table.add_column(no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for name, purpose in rows:
        table.add_row(name, purpose)
    out.print(table, soft_wrap=False)


def _escaped(text: object) -> str:
    from rich.markup import escape

    return escape(str(text))

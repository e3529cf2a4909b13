"""``comould demo``: the whole loop on a simulated specimen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from comould.cli._guard import err, guarded, out

if TYPE_CHECKING:
    from comould.study import DemoResult

DEFAULT_OUT = "comould_demo"


@guarded
def demo(
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help=f"Folder to write; {DEFAULT_OUT} (or the next free name) when left out."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another specimen.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in --out.")] = False,
) -> None:
    """Simulate a tumour, build its mould, bring its sections home, test its habitats, write a report.

    Needs no files, no network and no display; takes about a minute and a half on two cores.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        console=err,
    ) as bars:
        start = bars.add_task("Load libraries", total=None)
        from comould.study.demo import STEPS, run_demo

        bars.update(start, total=1, completed=1)
        tasks = {name: bars.add_task(name, total=None, start=False, visible=False) for name in STEPS}

        def show(step: str, fraction: float) -> None:
            task = tasks[step]
            if not fraction:
                bars.start_task(task)
            bars.update(task, visible=True, total=1.0 if fraction else None, completed=fraction)

        result = run_demo(out_dir or next_free(Path(DEFAULT_OUT)), seed=seed, overwrite=overwrite, progress=show)
    _show(result)


def next_free(path: Path) -> Path:
    """Find a name that is not taken, counting up from ``path-2``."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _show(result: DemoResult) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in summary(result.figures):
        table.add_row(f"[dim]{name}[/]", value)
    out.print(table)
    for label, name in (
        ("Report", "report.html"),
        ("Sheet", "cutting_sheet.pdf"),
        ("Mould", "mould/mould.stl"),
        ("Spots", "spots.h5ad"),
        ("Claims", "associations.csv"),
        ("Everything", ""),
    ):
        out.print(f"[bold green]{label:<11}[/]", end="")
        out.print(str(result.folder / name), markup=False)


def summary(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Say the key figures in words."""
    spatial, naive = figures["genes_spatial"], figures["genes_naive"]
    return [
        (
            "Spots home",
            f"median {figures['median_error_mm']:.2f} mm from the truth, 95 % within {figures['p95_error_mm']:.2f} mm "
            f"(doing nothing: {figures['median_error_nothing_mm']:.1f} mm)",
        ),
        ("Sections", ", ".join(f"{n} {verdict}" for verdict, n in figures["verdicts"].items())),
        ("Habitats", f"{figures['n_habitats']} found, agreement with the truth (ARI) {figures['habitat_ari']:.2f}"),
        (
            "Genes claimed",
            f"{spatial['claimed']} by the spatial test ({spatial['false']} false), "
            f"{naive['claimed']} by the naive one ({naive['false']} false); {spatial['true']} do follow a habitat",
        ),
    ]

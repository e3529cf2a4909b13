"""``comould demo``: the whole loop on a simulated specimen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from comould.cli._bars import step_bars
from comould.cli._guard import guarded
from comould.cli._tell import counted_verdicts, tell

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

    Needs no files, no network and no display; takes three minutes on two quiet cores, more on busy ones.
    """
    with step_bars(28) as named:
        from comould.study.demo import STEPS, run_demo

        folder = out_dir or next_free(Path(DEFAULT_OUT))
        result = run_demo(folder, seed=seed, overwrite=overwrite, progress=named(STEPS))
    tell(summary(result.figures), result.folder, FILES)


def next_free(path: Path) -> Path:
    """Find a name that is not taken, counting up from ``path-2``."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


FILES = (
    ("Report", "report.html"), ("Sheet", "cutting_sheet.pdf"), ("Mould", "mould/mould.stl"), ("Spots", "spots.h5ad"),
    ("Claims", "associations.csv"), ("SpatialData", "case.zarr"), ("Everything", ""),
)  # fmt: skip


def summary(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Say the key figures in words."""
    spatial, naive = figures["genes_spatial"], figures["genes_naive"]
    return [
        (
            "Spots home",
            f"median {figures['median_error_mm']:.2f} mm from the truth, 95 % within {figures['p95_error_mm']:.2f} mm "
            f"(doing nothing: {figures['median_error_nothing_mm']:.1f} mm)",
        ),
        ("Sections", counted_verdicts(figures["verdicts"])),
        ("Habitats", f"{figures['n_habitats']} found, agreement with the truth (ARI) {figures['habitat_ari']:.2f}"),
        (
            "Genes claimed",
            f"{spatial['claimed']} by the spatial test ({spatial['false']} false), "
            f"{naive['claimed']} by the naive one ({naive['false']} false); {spatial['true']} do follow a habitat",
        ),
        ("Looked at again", looked_again(figures)),
    ]


def looked_again(figures: dict[str, Any]) -> str:
    """Say where displaced claims are lost and how the controls came out."""
    ran = [verdict for verdict in figures["controls"].values() if verdict != "not run"]
    said = f"{ran.count('null')} of {len(ran)} controls null"
    lost = figures["lost_mm"]
    return said if lost is None else f"displaced, claims are lost at {lost:.1f} mm; {said}"

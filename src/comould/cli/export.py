"""``comould export``: a case as one SpatialData store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comould.cli._bars import step_bars
from comould.cli._guard import guarded
from comould.cli._tell import tell

if TYPE_CHECKING:
    from comould.study.export_case import ExportResult

DEFAULT_OUT = "case.zarr"


@guarded
def export(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="CASE_OUT...",
            help="Folders of one case, as comould register, associate, habitats, mould or demo wrote them; its results "
            "of comould run, or its case.yaml.",
        ),
    ],
    out_path: Annotated[
        Path | None,
        typer.Option("--out", help=f"Store to write; {DEFAULT_OUT} (or the next free name) when left out."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Place rejected sections and their spots too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a store that comould wrote.")] = False,
) -> None:
    """Write the whole case as one SpatialData zarr, for squidpy, spatialdata-plot and napari-spatialdata to open.

    It holds volumes, specimen and habitats, the sections' pictures with the habitats laid under them, outlines of the
    mould, and the spots with their positions in the patient, habitats and uncertainty. Coordinate systems: patient
    (mm, LPS) and section:ID (pixels) for each section. Where two folders hold the same, the later one's is taken.

    Exit code 0: written; 2: mistakes in the folders, all of them named, nothing written.
    """
    from comould.cli.demo import next_free

    with step_bars(28) as named:
        from comould.study.export_case import STEPS, run_export

        result = run_export(
            folders, out_path or next_free(Path(DEFAULT_OUT)), force=force, overwrite=overwrite, progress=named(STEPS)
        )
    tell(summary(result), result.path, (("SpatialData", ""),))


def summary(result: ExportResult) -> list[tuple[str, str]]:
    """Say what the store holds."""
    return [("Spots", str(result.n_spots))] + [
        (kind.capitalize(), ", ".join(names)) for kind, names in result.elements.items()
    ]

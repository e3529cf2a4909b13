"""``comould fit``: after surgery, did the specimen lie as planned."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from comould.cli._guard import err, guarded, out
from comould.errors import InputError

if TYPE_CHECKING:
    from comould.mould.fit.scan import ScanFit
    from comould.mould.fit.slab import SlabFit


class UpName(StrEnum):
    """What is up in a photograph."""

    MOULD = "mould"
    IMAGE = "image"


class FrameName(StrEnum):
    """Coordinates of a scan."""

    MOULD = "mould"
    FREE = "free"


@guarded
def fit(
    mould_dir: Annotated[Path, typer.Argument(metavar="MOULD_DIR", help="Folder `comould mould` wrote.")],
    slabs: Annotated[
        list[str] | None,
        typer.Option("--slab", metavar="PLANE=MASK", help="A plane and the mask of its photographed face; repeatable."),
    ] = None,
    pixel_size_um: Annotated[
        float | None, typer.Option("--pixel-size-um", help="Side of a mask pixel on the slab, in µm.")
    ] = None,
    face: Annotated[
        str | None, typer.Option(help="Photographed face: - (tissue beyond the plane) or +; the plan's when left out.")
    ] = None,
    up: Annotated[
        UpName | None, typer.Option(help="What is up in the photographs; when left out, any turn is accepted.")
    ] = None,
    scan: Annotated[Path | None, typer.Option(help="Surface scan of the specimen in mm: STL, PLY, OBJ or 3MF.")] = None,
    frame: Annotated[
        FrameName, typer.Option("--scan-frame", help="mould: scanned in place, in the mould's coordinates.")
    ] = FrameName.FREE,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Folder for the report and its figure.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier report in --out.")] = False,
) -> None:
    """Compare slab photographs or a surface scan with the plan; exit 3 when the specimen did not lie as planned."""
    pairs = [parse_slab(item) for item in slabs or []]
    _check(pairs, pixel_size_um, face, scan, out_dir)
    with err.status("Reading the plan …") as status:
        from comould.io.output import check_target
        from comould.mould.fit.planned import Planned
        from comould.mould.fit.scan import fit_scan
        from comould.mould.fit.slab import fit_slab

        if out_dir is not None:
            check_target(out_dir, overwrite=overwrite)
        planned = Planned.load(mould_dir)
        fits: list[SlabFit] = []
        for plane_id, mask in pairs:
            status.update(f"Fitting slab {plane_id} …")
            options: dict[str, Any] = {"face": face, "up": None if up is None else up.value}
            fits.append(
                fit_slab(mask, planned=planned, plane_id=plane_id, pixel_size_um=pixel_size_um or 0.0, **options)
            )
        scanned = None
        if scan is not None:
            status.update("Fitting the scan …")
            scanned = fit_scan(scan, planned=planned, frame=frame.value)
        if out_dir is not None:
            status.update("Writing …")
            inputs = {"mould": mould_dir} | {f"slab {plane_id}": mask for plane_id, mask in pairs}
            _write(out_dir, overwrite, fits, scanned, inputs | ({} if scan is None else {"scan": scan}))
    _show(fits, scanned)
    if out_dir is not None:
        out.print("[bold green]Written to[/]", end=" ")
        out.print(str(out_dir), markup=False)
    if not all(one.sat_well for one in fits) or (scanned is not None and not scanned.sat_well):
        raise typer.Exit(3)


def parse_slab(item: str) -> tuple[str, Path]:
    """Split ``P03=mask.png``."""
    plane_id, found, path = item.partition("=")
    if not found or not plane_id.strip() or not path.strip():
        raise InputError(subject=f"--slab {item}", expected="PLANE=MASK, as in --slab P03=slab3.png", found=repr(item))
    return plane_id.strip(), Path(path.strip())


def _check(
    pairs: list[tuple[str, Path]],
    pixel_size_um: float | None,
    face: str | None,
    scan: Path | None,
    out_dir: Path | None,
) -> None:
    if not pairs and scan is None:
        raise InputError(subject="comould fit", expected="--slab PLANE=MASK or --scan FILE", found="neither")
    if pairs and pixel_size_um is None:
        raise InputError(
            subject="--pixel-size-um",
            expected="the side of a mask pixel on the slab",
            found="none",
            remedy="Photograph a ruler beside the slab: its length in µm over its length in pixels",
        )
    if face not in {None, "-", "+"}:
        raise InputError(subject=f"--face {face}", expected="- or +", found="neither")
    ids = [plane_id for plane_id, _ in pairs]
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise InputError(subject="--slab", expected="each plane once", found=f"{', '.join(twice)} more than once")


def _write(
    folder: Path, overwrite: bool, fits: list[SlabFit], scanned: ScanFit | None, inputs: dict[str, Path]
) -> None:
    from comould.io.output import atomic_directory, provenance, write_json
    from comould.pl.fit_figure import fit as draw

    with atomic_directory(folder, overwrite=overwrite) as work:
        draw(fits, scanned).savefig(work / "fit.png", dpi=150)  # type: ignore[union-attr]
        write_json(
            work / "manifest.json",
            {
                "format": "comould.fit",
                "units": "mm",
                "slabs": [one.to_dict() for one in fits],
                "scan": None if scanned is None else scanned.to_dict(),
                "provenance": provenance(inputs=inputs, libraries=("scipy", "manifold3d")),
                "intended_use": "Research use only; not a medical device.",
            },
        )


def _show(fits: list[SlabFit], scanned: ScanFit | None) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "", "Dice", "HD95 mm", "size %", "turned °", "tilted °"):
        table.add_column(name, justify="right" if name else "left")
    table.add_column("verdict")
    for one in fits:
        tilt = one.tilt.degrees if one.tilt is not None and one.verdict == "tilted" else None
        values = (one.dice, one.hd95_mm, one.size_ratio, one.turned_deg, tilt)
        table.add_row(_mark(one.sat_well), f"slab {escape(one.plane_id)}", *_cells(values), one.sentence())
    if scanned is not None:
        at = scanned.attitude
        turns = (None, None) if at is None else (at.turn_deg, at.tilt_deg)
        cells = _cells((scanned.dice, scanned.hd95_mm, scanned.size_ratio, *turns))
        table.add_row(_mark(scanned.sat_well), "scan", *cells, scanned.sentence())
    out.print(table)


def _mark(good: bool) -> str:
    return "[green]✓[/]" if good else "[red]✗[/]"


def _cells(values: tuple[float | None, ...]) -> list[str]:
    dice, hd95, size, turned, tilted = values
    shown = (
        (dice, "{:.3f}"),
        (hd95, "{:.2f}"),
        (None if size is None else 100.0 * size, "{:.1f}"),
        (None if turned is None else round(turned) + 0, "{:+d}"),
        (tilted, "{:.0f}"),
    )
    return ["–" if value is None else form.format(value) for value, form in shown]

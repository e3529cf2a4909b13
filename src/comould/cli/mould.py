"""``comould mould``: segmentation to printable mould."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from comould.cli._guard import err, guarded, out
from comould.errors import InputError

if TYPE_CHECKING:
    from comould.mould import Mould


class NamedPlane(StrEnum):
    """Cutting directions by name."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"
    IMAGE = "image"


@guarded
def mould(
    segmentation: Annotated[
        Path, typer.Argument(metavar="SEG", help="NIfTI/NRRD/MHA label map, DICOM SEG or RTSTRUCT.", show_default=False)
    ],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write; new or empty.", show_default=False)],
    image: Annotated[
        Path | None, typer.Option(help="The image it was drawn on: DICOM folder, NIfTI, NRRD, MHA.")
    ] = None,
    series_uid: Annotated[
        str | None, typer.Option("--series-uid", help="Which series, when the image folder holds several.")
    ] = None,
    roi: Annotated[str | None, typer.Option(help="Structure or label, by name or number.")] = None,
    lesion: Annotated[str | None, typer.Option(help="largest, all, or N (1 = the largest), when several.")] = None,
    template: Annotated[
        str, typer.Option(help="Template name (see `comould templates`) or a YAML file.")
    ] = "soft_tissue",
    plane: Annotated[
        str, typer.Option(help="axial, coronal, sagittal, image (acquisition planes), or a normal x,y,z in LPS.")
    ] = "axial",
    spacing_mm: Annotated[
        float | None, typer.Option("--spacing-mm", help="Distance between cuts; the template's when left out.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a template value; repeatable.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier mould in --out.")] = False,
) -> None:
    """Make a printable, patient-specific mould whose slots are imaging planes.

    Writes mould.stl, mould.3mf, specimen.stl and manifest.json (all mm), or nothing at all.
    """
    overrides = _with_spacing(parse_settings(settings or []), spacing_mm)
    normal = parse_plane(plane)
    with err.status("Reading the segmentation …") as status:
        from comould import io
        from comould import mould as moulds
        from comould.io.output import check_target

        check_target(out_dir, overwrite=overwrite)
        volume = None if image is None else io.read_image(image, series_uid=series_uid)
        mask = io.read_segmentation(segmentation, image=volume, roi=parse_roi(roi))
        built = moulds.build(
            mask,
            image=volume,
            template=template,
            plane=normal,
            lesion=parse_lesion(lesion),
            progress=lambda text: status.update(f"{text} …"),
            **overrides,
        )
        status.update("Writing …")
        inputs = {"segmentation": segmentation} | ({} if image is None else {"image": image})
        folder = built.write(out_dir, overwrite=overwrite, inputs=inputs)
    _show(built, folder)


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Split ``key=value`` items; the template's own model converts and checks the values."""
    overrides: dict[str, Any] = {}
    for item in settings:
        key, found, value = item.partition("=")
        if not found or not key.strip() or not value.strip():
            raise InputError(subject=f"--set {item}", expected="key=value, as in --set slot_mm=1.2", found=repr(item))
        overrides[key.strip().replace("-", "_")] = value.strip()
    return overrides


def _with_spacing(overrides: dict[str, Any], spacing_mm: float | None) -> dict[str, Any]:
    """Add ``--spacing-mm``, and refuse what would not reach the template: only its keys, and ``up``, are settings."""
    from comould.mould.parameters import Parameters

    known = [*Parameters.model_fields, "up"]
    if taken := sorted(set(overrides) & {"seg", "template", "plane", "image", "lesion", "progress"}):
        raise InputError(
            subject=f"--set {taken[0]}", expected=f"one of {', '.join(known)}", found="something that is no setting"
        )
    if spacing_mm is None:
        return overrides
    if "spacing_mm" in overrides:
        raise InputError(
            subject="spacing", expected="--spacing-mm or --set spacing_mm", found="both", remedy="Give one of them"
        )
    return overrides | {"spacing_mm": spacing_mm}


def parse_plane(text: str) -> str | tuple[float, ...]:
    """Read a plane's name or a normal vector of 3."""
    name = text.strip().lower()
    if name in set(NamedPlane):
        return name
    try:
        normal = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        normal = ()
    if len(normal) != 3:
        names = ", ".join(NamedPlane)
        raise InputError(subject="--plane", expected=f"{names} or a normal such as 0,0.2,1", found=repr(text))
    return normal


def parse_roi(text: str | None) -> str | int | None:
    """Numbers name a label or ROI number, anything else a structure."""
    return int(text) if text is not None and text.strip().isdecimal() else text


def parse_lesion(text: str | None) -> str | int | None:
    """Read largest, all or a rank from 1."""
    if text is None or text in {"largest", "all"}:
        return text
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise InputError(subject="--lesion", expected="largest, all or a number from 1", found=repr(text))


def _show(built: Mould, folder: Path) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in built.summary():
        table.add_row(f"[dim]{name}[/]", value)
    out.print(table)
    out.print("[bold green]Written to[/]", end=" ")
    out.print(str(folder), markup=False)

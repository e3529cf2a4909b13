"""``comould mould``: segmentation to printable mould, with what lies beside it at the bench."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from comould.cli._guard import err, guarded
from comould.cli._mould_options import (
    core_options,
    parse_blocks,
    parse_lesion,
    parse_plane,
    parse_roi,
    parse_settings,
    parse_structures,
    parse_up,
    with_options,
)

if TYPE_CHECKING:
    from rich.status import Status


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
    lesion: Annotated[
        str | None,
        typer.Option(help="When there are several: largest, all, N (1 = the largest), or each: a mould each."),
    ] = None,
    template: Annotated[
        str, typer.Option(help="Template name (see `comould templates`) or a YAML file.")
    ] = "soft_tissue",
    design: Annotated[
        str | None, typer.Option(help="open_block, slab_and_guide, two_part or shell; the template's when left out.")
    ] = None,
    plane: Annotated[
        str, typer.Option(help="axial, coronal, sagittal, image (acquisition planes), or a normal x,y,z in LPS.")
    ] = "axial",
    spacing_mm: Annotated[
        float | None, typer.Option("--spacing-mm", help="Distance between cuts; the template's when left out.")
    ] = None,
    up: Annotated[
        str | None,
        typer.Option(help="What faces up: a direction such as anterior, or an angle; searched when left out."),
    ] = None,
    blade: Annotated[str | None, typer.Option(help="See `comould templates blades`.")] = None,
    printer: Annotated[str | None, typer.Option(help="See `comould templates printers`.")] = None,
    material: Annotated[str | None, typer.Option(help="See `comould templates materials`.")] = None,
    structure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH[:window|:inlay[:#rrggbb]]",
            help="Vessel or contact: an opening in the wall, or a coloured part; PATH: label map, or region of SEG.",
        ),
    ] = None,
    habitats: Annotated[Path | None, typer.Option(help="Habitat label map: on the sheet, and for cores.")] = None,
    cores: Annotated[int | None, typer.Option(help="Cores per habitat and slab, with printable plates.")] = None,
    core_mm: Annotated[float | None, typer.Option("--core-mm", help="Diameter of the punch; 4 when left out.")] = None,
    blocks: Annotated[str | None, typer.Option(help="Split slabs to fit: cassette, mega or WxH in mm.")] = None,
    no_sheet: Annotated[bool, typer.Option("--no-sheet", help="Write no cutting sheet.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a template value; repeatable.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier mould in --out.")] = False,
) -> None:
    """Make a printable, patient-specific mould whose slots are imaging planes.

    Writes the mould (STL, 3MF), its planes (manifest.json), a cutting sheet and a picture, or nothing at all.
    """
    parts = parse_structures(structure or [])
    named = {"spacing_mm": spacing_mm, "design": design, "blade": blade, "printer": printer, "material": material}
    build: dict[str, Any] = with_options(parse_settings(settings or []), up=parse_up(up), **named) | {
        "template": template,
        "plane": parse_plane(plane),
        "lesion": parse_lesion(lesion),
    }
    wanted: dict[str, Any] = {
        "cores": core_options(cores, core_mm, habitats=habitats is not None),
        "blocks": parse_blocks(blocks),
        "sheet": not no_sheet,
    }
    inputs = {"segmentation": segmentation, "image": image, "habitats": habitats}
    inputs |= {f"structure {one.name}": Path(one.source) for one in parts if Path(one.source).exists()}
    target = Target(out_dir, overwrite, {role: path for role, path in inputs.items() if path is not None})
    with err.status("Reading the segmentation …") as status:
        from comould import io
        from comould.mould import Companions
        from comould.report.bench import Asked

        target.refuse_taken()
        volume = None if image is None else io.read_image(image, series_uid=series_uid)
        mask = io.read_segmentation(segmentation, image=volume, roi=parse_roi(roi))
        labels = None if habitats is None else io.read_image(habitats)
        beside = Companions(habitats=labels, structures=[one.read(segmentation, volume) for one in parts])
        _make(mask, build | {"image": volume, "companions": beside}, Asked(volume, labels, **wanted), target, status)


class Target:
    """Where to write, and from what."""

    def __init__(self, folder: Path, overwrite: bool, inputs: dict[str, Path]) -> None:
        self.folder = folder
        self.options: dict[str, Any] = {"overwrite": overwrite, "inputs": inputs}

    def refuse_taken(self) -> None:
        """Refuse a folder that may not be written, before the work."""
        from comould.io.output import check_target

        check_target(self.folder, overwrite=self.options["overwrite"])


def _make(mask: Any, build: dict[str, Any], asked: Any, target: Target, status: Status) -> None:
    """Build one mould or one for each lesion, with all that goes beside it; then write, then show."""
    from dataclasses import replace

    from comould import mould as moulds
    from comould.cli import _mould_show as show
    from comould.report import bench as extras

    def say(text: str) -> None:
        status.update(f"{text} …")

    build = build | {"progress": say}
    if build["lesion"] == "each":
        made = moulds.build_each(mask, **{key: value for key, value in build.items() if key != "lesion"})
        every = extras.prepare_each(made, mask, asked, say)
        say("Writing")
        made = replace(made, moulds={number: one.mould for number, one in every.items()})
        made.write(target.folder, extras=lambda number, _: every[number].extras, **target.options)
        status.stop()
        show.show_set(made, every, target.folder)
        return
    built = moulds.build(mask, **build)
    ready = extras.prepare(built, moulds.select_lesion(mask, build["lesion"]), asked, say)
    say("Writing")
    ready.mould.write(target.folder, extras=ready.extras, **target.options)
    status.stop()
    show.show_mould(ready, target.folder)

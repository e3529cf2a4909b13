"""``comould habitats``: images and a mask in, habitats with their proof out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from comould.cli._guard import err, guarded, out
from comould.errors import InputError

if TYPE_CHECKING:
    from comould.study import HabitatOptions
    from comould.study.habitats_case import HabitatsResult

DEFAULT_OUT = "comould_habitats"


class MethodName(StrEnum):
    """How voxels are grouped."""

    GMM = "gmm"
    KMEANS = "kmeans"
    FCM = "fcm"


class RuleName(StrEnum):
    """What chooses the number of habitats."""

    EXCESS = "excess"
    SILHOUETTE = "silhouette"
    CALINSKI_HARABASZ = "calinski_harabasz"
    DAVIES_BOULDIN = "davies_bouldin"
    GAP = "gap"
    BIC = "bic"
    STABILITY = "stability"


@guarded
def habitats(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="NAME=PATH of a DICOM folder, NIfTI, NRRD or MHA, as T2=scans/t2; without a name image1, image2 …",
        ),
    ],
    mask: Annotated[
        Path, typer.Option("--mask", metavar="SEG", help="Label map, DICOM SEG or RTSTRUCT.", show_default=False)
    ],
    roi: Annotated[
        str | None, typer.Option(metavar="NAME", help="Region of the mask: its name or number.", show_default=False)
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help=f"Folder to write; {DEFAULT_OUT} (or the next free name) when left out."),
    ] = None,
    number: Annotated[
        str, typer.Option("--habitats", metavar="N", help="How many, or auto, or auto:MOST (auto is auto:6).")
    ] = "auto",
    method: Annotated[
        MethodName,
        typer.Option(help="gmm and kmeans have a spatial prior and outliers; fcm is fuzzy, with neighbours."),
    ] = MethodName.GMM,
    rule: Annotated[RuleName, typer.Option(help="What chooses the number; all curves are shown.")] = RuleName.EXCESS,
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--feature",
            metavar="NAME",
            help="Feature or family, as glcm.joint_entropy or firstorder; repeatable. Intensity when left out.",
        ),
    ] = None,
    radius_mm: Annotated[float, typer.Option("--radius-mm", help="Reach of the neighbourhood.")] = 2.0,
    supervoxel_mm: Annotated[
        float | None,
        typer.Option("--supervoxel-mm", help="Two steps: group supervoxels of this size.", show_default=False),
    ] = None,
    prepare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=STEPS",
            help="Before all: hu (or hu:lung …), adc, zscore, n4; several as n4+zscore; repeatable.",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Apply the model.json of an earlier run or cohort.", show_default=False),
    ] = None,
    dicom_seg: Annotated[
        Path | None,
        typer.Option(
            "--dicom-seg",
            metavar="FOLDER",
            help="DICOM series the SEG is written for; that of the mask's grid when left out.",
            show_default=False,
        ),
    ] = None,
    no_stability: Annotated[
        bool, typer.Option("--no-stability", help="Skip measuring again: faster, and nothing is left out.")
    ] = False,
    least_icc: Annotated[float, typer.Option("--least-icc", help="What a feature must reach to be used.")] = 0.75,
    seed: Annotated[int, typer.Option(help="Same seed, same labels.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in --out.")] = False,
) -> None:
    """Find the habitats of a tumour: regions that look alike in one or several images.

    Features are measured again under noise, other grids and contours, and those that do not hold still are left out;
    so are the habitats found, and the report says how well they hold. Labels are ordered by the mean of the first
    image, on the grid of the mask.

    Exit code 0: written; 2: a mistake in the input, nothing written.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from comould.cli.demo import next_free

    named, steps = parse_images(images), parse_pairs(prepare or [], "--prepare")
    with Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<18}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        console=err,
    ) as bars:
        start = bars.add_task("Load libraries", total=None, note="")
        from comould.study.habitats_case import STEPS, run_habitats

        options = make_options(
            number, method, rule, features=features, radius_mm=radius_mm, supervoxel_mm=supervoxel_mm,
            model=model, dicom_seg=dicom_seg, stability=not no_stability, least_icc=least_icc, seed=seed,
            prepare=steps,
        )  # fmt: skip
        bars.update(start, total=1, completed=1)
        tasks = {name: bars.add_task(name, total=None, start=False, visible=False, note="") for name in STEPS}

        def show(step: str, fraction: float, note: str) -> None:
            if not fraction:
                bars.start_task(tasks[step])
            bars.update(tasks[step], visible=True, total=1.0 if fraction else None, completed=fraction, note=note)

        result = run_habitats(
            named, mask, out_dir or next_free(Path(DEFAULT_OUT)), roi=roi, options=options, overwrite=overwrite,
            progress=show,
        )  # fmt: skip
    _show(result)


def make_options(number: str, method: MethodName, rule: RuleName, **settings: object) -> HabitatOptions:
    """Make options of what was typed."""
    from comould.study import HabitatOptions

    wanted, most = parse_number(number)
    chosen = {name: value for name, value in settings.items() if value is not None}
    if isinstance(settings.get("features"), list):
        chosen["features"] = tuple(settings["features"])  # type: ignore[arg-type]
    return HabitatOptions(wanted, most, method.value, rule.value, **chosen)  # type: ignore[arg-type]


def parse_number(text: str) -> tuple[int | None, int]:
    """Read a number of habitats: a whole number, auto, or auto:MOST."""
    word, _, most = text.strip().lower().partition(":")
    if word == "auto" and (not most or most.isdecimal()):
        return None, int(most or 6)
    if text.strip().isdecimal():
        return int(text), max(int(text), 2)
    raise InputError(subject="--habitats", expected="a whole number, auto, or auto:MOST", found=repr(text))


def parse_images(items: list[str]) -> dict[str, Path]:
    """Read NAME=PATH, or PATH alone.

    Raises
    ------
    InputError
        For a name given twice or left empty.
    """
    found: dict[str, Path] = {}
    for n, item in enumerate(items, start=1):
        name, equals, path = item.partition("=")
        if not equals or Path(item).exists():
            name, path = f"image{n}", item
        if not name.strip() or not path.strip() or "/" in name or name in found:
            raise InputError(
                subject=f"image {item!r}",
                expected="NAME=PATH with a name of its own, without '/'",
                found="a name given twice" if name in found else repr(name),
            )
        found[name] = Path(path)
    return found


def parse_pairs(items: list[str], option: str) -> dict[str, str]:
    """Read NAME=VALUE items of an option, each name once."""
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not name or not value or name in found:
            raise InputError(subject=f"{option} {item}", expected="NAME=STEPS, each name once", found=repr(item))
        found[name] = value
    return found


def _show(result: HabitatsResult) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("Habitat", "ml", "Share", *(f"{n} mean" for n in _images(result))):
        table.add_column(heading, justify="left" if heading == "Habitat" else "right")
    held = result.stability.habitats["dice_mean"] if result.stability is not None else None
    if held is not None:
        table.add_column("Found again", justify="right")
    for name, row in result.habitats.table.iterrows():
        cells = [str(name), f"{row['volume_ml']:.3g}", f"{100 * row['fraction']:.0f} %"]
        cells += [f"{row[f'{image}_mean']:.4g}" for image in _images(result)]
        table.add_row(*cells, *([f"{held.loc[str(name)]:.2f}"] if held is not None else []))
    out.print(table)
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for label, value in summary(result):
        facts.add_row(f"[dim]{label}[/]", Text(value))
    out.print(facts)
    for label, file in (
        ("Report", "report.html"), ("Labels", "habitats.nii.gz"), ("DICOM SEG", "habitats.dcm"),
        ("AnnData", "supervoxels.h5ad"), ("Everything", ""),
    ):  # fmt: skip
        if (result.folder / file).exists():
            out.print(f"[bold green]{label:<12}[/]", end="")
            out.print(str(result.folder / file), markup=False)


def _images(result: HabitatsResult) -> list[str]:
    return [str(name) for name in result.habitats.parameters["images"]]


def summary(result: HabitatsResult) -> list[tuple[str, str]]:
    """Say the key facts in words."""
    rows = [("ITH score", f"{result.measures['ith_score']:.2f} (0: each habitat one piece, 1: crumbs)")]
    if result.stability is not None:
        index = result.stability.table["rand_index"]
        rows.append(
            ("Measured again", f"Rand index {index.median():.2f}, at worst {index.min():.2f}, in {len(index)} ways")
        )
    if result.features is not None:
        left = f"; left out: {', '.join(result.left_out)}" if result.left_out else ""
        count = len(result.features.table)
        rows.append(("Features", f"{count - len(result.left_out)} of {count} hold still{left}"))
    return rows

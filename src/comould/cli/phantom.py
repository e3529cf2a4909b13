"""``comould phantom``: a simulated case with known truth, for anybody's method."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from comould.cli._guard import err, guarded, out
from comould.cli.demo import next_free
from comould.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from comould.phantom import CutSection

DEFAULT_OUT = "comould_phantom"
STEPS = ("Load libraries", "Simulate a specimen", "Cut and photograph sections", "Write the case")


class DifficultyName(StrEnum):
    """How hard sections are to bring home."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


@guarded
def phantom(
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help=f"Folder to write; {DEFAULT_OUT} (or the next free name) when left out."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another specimen and other cuts.")] = 0,
    difficulty: Annotated[
        DifficultyName,
        typer.Option(
            help="easy: 4 % shrinkage, 0.5 mm bending; medium: 6 %, 1 mm, small cutting errors; "
            "hard: 15 %, 3 mm, cuts 1 mm and 5° off their planes."
        ),
    ] = DifficultyName.MEDIUM,
    volume_ml: Annotated[float, typer.Option("--volume-ml", help="Volume of the tumour, 2 to 2000 ml.")] = 60.0,
    spacing_mm: Annotated[float, typer.Option("--spacing-mm", help="Distance between cuts.")] = 5.0,
    sections: Annotated[str, typer.Option(help="all, or how many of the planes become sections.")] = "all",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any option of the cut or the specimen, as tears=1, missing=0.2, swapped=1, t2_snr=15; repeatable. "
            "specimen.margin_mm is the specimen's, margin_mm the slide's.",
        ),
    ] = None,
    photo: Annotated[bool, typer.Option("--photo", help="Add a photograph of each slab's face.")] = False,
    adjacent: Annotated[bool, typer.Option("--adjacent", help="Add an adjacent H&E section to each.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier case in --out.")] = False,
) -> None:
    """Write a simulated case: images, mask, plan, sections, spots, and the truth in a folder of its own.

    For trying a registration method out. README.md inside says what each file is and how to score an answer.
    """
    count = parse_sections(sections)
    folder = out_dir or next_free(Path(DEFAULT_OUT))
    with _bars() as bars:
        step = _stepper(bars)
        step(STEPS[0])
        from comould.io.output import check_target
        from comould.phantom import specimen
        from comould.phantom.cut_options import CutOptions
        from comould.phantom.planning import spread_over

        check_target(folder, overwrite=overwrite)
        body, cutting = sort_settings(settings or [])
        if "volume_ml" in body:
            raise InputError(subject="--set volume_ml", expected="--volume-ml", found="--set", remedy="Use that option")
        cutting |= {name: True for name, asked in (("photo", photo), ("adjacent", adjacent)) if asked}
        CutOptions.preset(difficulty, cutting)
        step(STEPS[1])
        made = specimen(seed, volume_ml=volume_ml, **body)
        plan = made.plan(spacing_mm)
        chosen = plan if count is None else spread_over(plan, count)
        tell = step(STEPS[2])
        cuts = made.cut(chosen, seed=seed, difficulty=difficulty, progress=tell, **cutting)
        step(STEPS[3])
        made.write(folder, plan, cuts, overwrite=overwrite)
        step(None)
    _show(folder.resolve(), cuts, len(plan))


def parse_sections(text: str) -> int | None:
    """Read all (``None``) or a number from 1."""
    if text.strip().lower() == "all":
        return None
    if text.strip().isdecimal() and int(text) >= 1:
        return int(text)
    raise InputError(subject="--sections", expected="all or a whole number from 1", found=repr(text))


def sort_settings(items: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split ``key=value`` items into options of the specimen and of the cut; values are read as YAML.

    Raises
    ------
    InputError
        For an item without key or value, a key given twice, or one that neither knows.
    """
    import yaml

    from comould.phantom import CutOptions, SpecimenOptions

    body, cutting = ({field.name for field in fields(kind)} for kind in (SpecimenOptions, CutOptions))
    found: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for item in items:
        name, equals, text = (part.strip() for part in item.partition("="))
        if not equals or not name or not text:
            raise InputError(subject=f"--set {item}", expected="key=value, as in --set tears=1", found=repr(item))
        key = name.replace("-", "_")
        own = key.startswith("specimen.")
        key = key.removeprefix("specimen.")
        if key not in (body if own else body | cutting):
            known = ", ".join(sorted(body if own else body | cutting))
            raise InputError(subject=f"--set {name}", expected=f"one of {known}", found="no such option")
        target = found[0] if own or key not in cutting else found[1]
        if key in target:
            raise InputError(subject=f"--set {name}", expected="each option once", found="it twice")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        target[key] = tuple(value) if isinstance(value, list) else value
    return found


def _bars() -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        console=err,
    )


def _stepper(bars: Progress) -> Callable[[str | None], Callable[[float], None]]:
    """Give a function that ends the step under way, begins the next, and returns what tells its progress."""
    under_way: list[Any] = []

    def step(name: str | None) -> Callable[[float], None]:
        """End what is under way; ``None`` begins nothing."""
        for task in under_way:
            bars.update(task, total=1.0, completed=1.0)
        under_way.clear()
        if name is None:
            return lambda _share: None
        task = bars.add_task(name, total=None)
        under_way.append(task)
        return lambda share: bars.update(task, total=1.0, completed=share)

    return step


def _show(folder: Path, cuts: list[CutSection], n_planes: int) -> None:
    from rich.table import Table

    spots = sum(len(cut.spots) for cut in cuts)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("[dim]Sections[/]", f"{len(cuts)} of {n_planes} planes, {spots} spots")
    table.add_row("[dim]Shrinkage[/]", f"{100 * cuts[0].shrinkage:g} %, bending {cuts[0].options.bending_mm:g} mm rms")
    offsets = [abs(cut.plane_offset_mm) for cut in cuts]
    tilts = [(cut.plane_tilt_deg[0] ** 2 + cut.plane_tilt_deg[1] ** 2) ** 0.5 for cut in cuts]
    table.add_row("[dim]Cutting errors[/]", f"up to {max(offsets):.2f} mm and {max(tilts):.1f}°")
    out.print(table)
    for label, name in (("Read first", "README.md"), ("Truth", "truth"), ("Everything", "")):
        out.print(f"[bold green]{label:<11}[/]", end="")
        out.print(str(folder / name), markup=False)

"""``comould register``: all sections of a case folder brought home to the patient."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comould.cli._bars import step_bars
from comould.cli._guard import guarded
from comould.cli._tell import counted_verdicts, tell

if TYPE_CHECKING:
    from comould.study.register_case import RegisterResult

DEFAULT_OUT = "comould_registered"
REJECTED = 3
"""Exit code when a section was rejected; everything is written all the same."""


class PlaneRuleName(StrEnum):
    """What is done about the place of the cut."""

    FIT = "fit"
    TEST = "test"
    PLAN = "plan"


class PictureName(StrEnum):
    """Further pictures beside a section."""

    ADJACENT = "adjacent"
    PHOTO = "photo"


@guarded
def register(
    context: typer.Context,
    case: Annotated[Path, typer.Argument(metavar="CASE", help="case.yaml, or a folder with one or a manifest.json.")],
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help=f"Folder to write; {DEFAULT_OUT} (or the next free name) when left out."),
    ] = None,
    samples: Annotated[int, typer.Option(help="Plausible registrations of each section; 0 for none.")] = 8,
    seed: Annotated[int, typer.Option(help="Same seed, same result, with any number of workers.")] = 0,
    workers: Annotated[int, typer.Option(help="Registration processes at once.")] = 1,
    shrinkage: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="Bounds of the size on the slide over the size in the patient."),
    ] = (0.75, 1.1),
    plane: Annotated[
        PlaneRuleName,
        typer.Option(
            help="fit: search where the knife really went and place spots there; test: search and only report; "
            "plan: believe the plan."
        ),
    ] = PlaneRuleName.FIT,
    thresholds: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML of thresholds for the verdict, in place of ours.")
    ] = None,
    no_deformable: Annotated[bool, typer.Option("--no-deformable", help="Turn, scale and shear only.")] = False,
    via: Annotated[
        list[PictureName] | None,
        typer.Option(
            help="Go home over the pictures CASE lists beside a section as adjacent or photo; repeatable, in order."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Map the spots of rejected sections too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in --out.")] = False,
) -> None:
    """Bring every section of a case to its cutting plane and its spots to patient millimetres, with a report.

    CASE is a case.yaml, or a folder with one: images, mask, sections and how they are registered come from there, what
    is typed goes before, and the cutting planes are its slice_plan, or those of the mould that comould run has built.

    Or CASE is a folder with a manifest.json, as comould phantom writes it and anybody can: images {name: path}, mask,
    slice_plan (the manifest.json of comould mould serves), and sections, a list of {id, picture, pixel_size_um,
    plane_id}. A mask of several regions needs roi. Paths are relative and stay inside the folder.

    A section may add downsample (full-resolution pixels per pixel of the picture, when it was reduced), face (- or +),
    offset_mm, spots (h5ad or a Space Ranger folder), tissue (mask or GeoJSON), landmarks with landmarks_patient (CSV)
    and landmarks_use (held_out, fit, only, half), and via, a list of pictures on the way.

    Exit code 0: no section was rejected; look at those to review. 2: the case has mistakes (blank slides, planes beside
    the specimen, spots of another picture among them); all are named, nothing is written. 3: a section was rejected;
    everything is written, its spots only with --force.
    """
    from comould.cli.demo import next_free

    with step_bars(22) as named:
        from comould.study.case_source import registration_of
        from comould.study.register_case import STEPS, run_registration

        show = named(STEPS)
        typed = {
            "samples": ("n_samples", samples), "seed": ("seed", seed), "workers": ("workers", workers),
            "shrinkage": ("shrinkage", shrinkage), "plane": ("plane", plane.value),
            "no_deformable": ("deformable", not no_deformable), "thresholds": ("thresholds", thresholds),
            "via": ("via", tuple(name.value for name in via or ())), "force": ("force", force),
        }  # fmt: skip
        given = [item for name, item in typed.items() if was_typed(context, name)]
        options = replace(registration_of(case), **dict(given))  # type: ignore[arg-type]
        result = run_registration(
            case, out_dir or next_free(Path(DEFAULT_OUT)), options=options, overwrite=overwrite, progress=show
        )
    tell(summary(result), result.folder, FILES)
    if result.rejected:
        raise typer.Exit(REJECTED)


def was_typed(context: typer.Context, name: str) -> bool:
    """Whether an option was given, and does not only have its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name not in {"DEFAULT", "DEFAULT_MAP"}


FILES = (
    ("Report", "report.html"), ("Table", "registration.csv"), ("Spots", "spots"), ("SpatialData", "case.zarr"),
    ("Everything", ""),
)  # fmt: skip


def summary(result: RegisterResult) -> list[tuple[str, str]]:
    """Say the key facts in words."""
    verdicts = result.table["verdict"].astype(str)
    rows = [("Sections", counted_verdicts(Counter(verdicts)))]
    if result.n_spots or result.not_mapped:
        left = f"; those of {', '.join(result.not_mapped)} left out, as rejected" if result.not_mapped else ""
        rows.append(("Spots mapped", f"{result.n_spots}{left}"))
    for verdict, label in (("reject", "Rejected"), ("review", "To review")):
        named = [str(name) for name in verdicts.index[verdicts == verdict]]
        rows += [
            (label, f"{name}: {'; '.join(result.reasons.get(name, ())) or 'the report says why'}") for name in named
        ]
    if result.errors is not None and len(result.errors):
        middle = result.errors[["error_mm", "nothing_mm"]].median()
        late = float(result.errors["error_mm"].quantile(0.95))
        rows.append(
            (
                "Against truth",
                f"median {middle['error_mm']:.2f} mm, 95 % within {late:.2f} mm "
                f"(doing nothing: {middle['nothing_mm']:.1f} mm)",
            )
        )
    return rows

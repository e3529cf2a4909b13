"""``comould run`` and ``comould report``: everything that is not yet done, of a case or a study, and its pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from comould.cli._guard import err, guarded, out
from comould.cli._tell import tell
from comould.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from comould.study.pipeline import Outlook
    from comould.study.population_step import Modelled
    from comould.study.study_run import StudyOutcome

FAILED = 1
"""Exit code when a case failed; the others are done all the same."""

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)

Source = Annotated[
    Path,
    typer.Argument(metavar="CASE_OR_STUDY", help="case.yaml, study.yaml, or a folder with one or a manifest.json."),
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", help="Folder of results, the same from run to run; comould_results beside the file."),
]


@guarded
def run(
    source: Source,
    out_dir: OutFolder = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which steps would run, and why; do nothing.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="STEP", help="This step and what it builds on; repeatable.")
    ] = None,
    force: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP", help="Run it and what builds on it though nothing changed; repeatable."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes, a case each; 0: in this one. As many as there are cores and room by itself."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler that is there: tcp://host:8786.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="For all processes together, as 12G; 80 % of what is free.")
    ] = None,
    threads: Annotated[int, typer.Option(help="In each process; the last bits of results depend on it.")] = 1,
) -> None:
    """Run every step of a case, or of all cases of a study, that is not done yet, and write the reports.

    Steps: read, habitats, mould, sections, spots, tests, report; for a study the population's habitat model before
    them, and the cohort and a page on top. A step is done when its result is there, whole, and made of the same files,
    settings and code. A run that was stopped, however it was stopped, goes on where it was. comould init writes a
    commented example to begin with.

    Exit code 0: all is done; 1: a case failed, the others are done, log.txt of the case says why; 2: nothing could
    start: mistakes in the files (all are named), another run at work on the folder.
    """
    from comould.study.pipeline import Choice

    choice = Choice(tuple(only or ()), tuple(force or ()))
    if dry_run:
        from comould.study.study_run import foresee

        show_outlook(foresee(source, out_dir, choice=choice))
        return
    from comould.study.compute import Compute
    from comould.study.study_run import RunOptions, run_study

    compute = Compute(workers, scheduler, None if memory is None else parse_size(memory))
    options = RunOptions(choice, compute, threads)
    with case_bars() as progress:
        outcome = run_study(source, out_dir, options=options, progress=progress)
    show(outcome)


@guarded
def report(
    source: Annotated[
        Path, typer.Argument(metavar="CASE_OR_STUDY_OUT", help="Results of comould run, or the case or study itself.")
    ],
    out_dir: OutFolder = None,
) -> None:
    """Make the reports again from finished steps; nothing else is run.

    Exit code 0: written; 1: a report could not be made; 2: a step is not finished, all are named.
    """
    with err.status("Writing reports …"):
        from comould.study.study_run import report_study

        outcome = report_study(source, out_dir)
    show(outcome)


def parse_size(text: str) -> int:
    """Read 12G, 800M or bytes.

    Raises
    ------
    InputError
        For anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise InputError(subject="--memory", expected="a size such as 12G or 800M", found=repr(text))
    return int(float(match[1]) * _UNITS[match[2].lower()])


@contextmanager
def case_bars() -> Iterator[Callable[[str, float, str], None]]:
    """Show a bar for each case from when it begins; finished ones make room when there are many."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        console=err,
    ) as bars:
        tasks: dict[str, object] = {}

        def show_case(case: str, fraction: float, note: str) -> None:
            """Move a case's bar."""
            if case not in tasks:
                _make_room(bars)
                tasks[case] = bars.add_task(case, total=1.0, note="")
            bars.update(tasks[case], completed=fraction, note=note)  # type: ignore[arg-type]

        yield show_case


def _make_room(bars: object, most: int = 12) -> None:
    """Hide bars of finished cases when there are many."""
    shown = [task for task in bars.tasks if task.visible]  # type: ignore[attr-defined]
    for task in shown[: max(0, len(shown) - most)]:
        if task.finished:
            bars.update(task.id, visible=False)  # type: ignore[attr-defined]


def show_outlook(ahead: Mapping[str, Sequence[Outlook]]) -> None:
    """Print what would run, and why."""
    total = sum(bool(one.why) for steps in ahead.values() for one in steps)
    for case, steps in ahead.items():
        out.print(Text(case, style="bold"))
        for one in steps:
            said = Text("; ".join(one.why)) if one.why else Text("done", style="dim")
            out.print(Text.assemble(f"  {one.step + ' ':<10}", said))
    out.print(f"{total} of {sum(map(len, ahead.values()))} steps would run")


def show(outcome: StudyOutcome) -> None:
    """Print how the run ended; leaves with exit code 1 when something failed."""
    tell(facts(outcome), outcome.folder, files_of(outcome))
    if not outcome.ok:
        raise typer.Exit(FAILED)


def facts(outcome: StudyOutcome) -> list[tuple[str, str]]:
    """Say the key facts in words, a line for each case that failed."""
    ran = sum(len(one.ran) for one in outcome.cases)
    kept = sum(len(one.kept) for one in outcome.cases)
    done = sum(one.ok for one in outcome.cases)
    rows = [("Cases", f"{done} of {len(outcome.cases)} done"), ("Steps", f"{ran} run, {kept} were done before")]
    rows += model_facts(outcome.modelled)
    for one in outcome.cases:
        rows += [(f"Failed: {one.name}", f"{step}: {text}") for step, text in one.failed.items()]
    if outcome.pooled is not None:
        said = outcome.pooled.failed or f"{outcome.pooled.patients} patients pooled"
        rows.append(("Cohort", f"not pooled: {said}" if outcome.pooled.failed else said))
    return rows


def model_facts(modelled: Modelled | None) -> list[tuple[str, str]]:
    """Say what the habitat model of all cases stands on, and whom it goes without."""
    if modelled is None:
        return []
    if modelled.failed:
        return [("Habitat model", f"none: {modelled.failed}")]
    before = ", was done before" if modelled.kept else ""
    said = f"{modelled.n_habitats} habitats, of {modelled.cases} of {modelled.of} cases{before}"
    left_out = [(f"Without {name}", why) for name, why in modelled.left_out.items()]
    return [("Habitat model", said), *left_out, *(("Note", note) for note in modelled.notes)]


def files_of(outcome: StudyOutcome) -> list[tuple[str, str]]:
    """List what to open: the report first."""
    report_file = [("Report", str(outcome.report.relative_to(outcome.folder)))] if outcome.report else []
    return [*report_file, ("Cohort", "cohort/cohort.csv"), ("Everything", "")]

"""``comould baseline``: the usual radiogenomics workflow on a study's table, to compare habitats with."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comould.cli._bars import step_bars
from comould.cli._guard import guarded, out
from comould.cli._tell import tell
from comould.errors import InputError

if TYPE_CHECKING:
    from comould.study.baseline_case import BaselineResult

DEFAULT_OUT = "comould_baseline"
STEP = "Fit and shuffle"
FILES = (
    ("Measures", "metrics.csv"), ("Centres", "centres.csv"), ("Shortcuts", "shortcuts.csv"),
    ("Features", "selected.csv"), ("Compared", "comparison.csv"), ("Picture", "baseline.png"), ("Everything", ""),
)  # fmt: skip


class HarmoniseName(StrEnum):
    """Harmonisation of centres."""

    NONE = "none"
    COMBAT = "combat"


@guarded
def baseline(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV, TSV or parquet: one row a tumour.")],
    outcome: Annotated[str, typer.Option(metavar="COL", help="What is predicted: 0 and 1, numbers, or two words.")],
    patient: Annotated[str, typer.Option(metavar="COL", help="Whose a row is (a pseudonym).")],
    centre: Annotated[str | None, typer.Option(metavar="COL", help="Where a row is from.")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]PATTERN,…",
            help="Columns, as 'T2.*,CT.*'; repeatable with names, to compare: radiomics='T2.*' habitats='H*'. "
            "All numbers when left out.",
        ),
    ] = None,
    positive: Annotated[str | None, typer.Option(metavar="WORD", help="Which of two words is the event.")] = None,
    shortcut: Annotated[
        list[str] | None, typer.Option(metavar="COL", help="Also ask whether this gives the outcome away; repeatable.")
    ] = None,
    harmonise: Annotated[HarmoniseName, typer.Option(help="ComBat, fitted on training patients.")] = HarmoniseName.NONE,
    folds: Annotated[int, typer.Option(help="Outer folds.")] = 5,
    repeats: Annotated[int, typer.Option(help="Times folds are drawn.")] = 3,
    permutations: Annotated[int, typer.Option(help="Shuffles for the p-value; 0 for none.")] = 100,
    seed: Annotated[int, typer.Option(help="Same seed, same answer.")] = 0,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help=f"Folder to write; {DEFAULT_OUT} (or the next free name) when left out."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in --out.")] = False,
) -> None:
    """Predict an outcome from features of whole tumours, as the field does, and tell what could be a shortcut.

    Harmonisation, selection and fit see training patients only; patients are held out in folds, then whole centres.
    Several named sets of features are compared with the first on the same folds.

    Exit code 0: written; 2: a mistake in the input, nothing written.
    """
    from comould.cli.demo import next_free

    sets = _sets(features or [])
    with step_bars(18) as named:
        from comould.baseline import BaselineOptions, Columns
        from comould.study.baseline_case import run_baseline

        how = BaselineOptions(harmonise=harmonise.value, folds=folds, repeats=repeats, n_permutations=permutations)
        columns = Columns(outcome, patient, centre, positive, tuple(shortcut or ()))
        show = named([STEP])
        show(STEP, 0.0)
        result = run_baseline(
            table, out_dir or next_free(Path(DEFAULT_OUT)), columns, sets, options=how, seed=seed, overwrite=overwrite,
            progress=lambda share: show(STEP, share),
        )  # fmt: skip
    tell(facts(result), result.folder, FILES)
    for note in dict.fromkeys(note for one in result.evaluations.values() for note in one.notes):
        out.print(f"Note: {note}", markup=False)


def facts(result: BaselineResult) -> list[tuple[str, str]]:
    """Say the key facts in words."""
    rows = []
    for name, one in result.evaluations.items():
        line = one.metrics.set_index("metric").loc[one.headline]
        word = {"auc": "AUC", "r2": "R²"}[one.headline]
        p = "" if one.p != one.p else f", p {one.p:.2g}"
        rows.append((name, f"{word} {line['value']:.2f} [{line['low']:.2f}, {line['high']:.2f}]{p}"))
        held = one.centres[one.centres["centre"] == "all"]
        rows += [
            ("  centres held out", f"{word} {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]")
            for row in held.to_dict("records")
        ]
    return rows


def _sets(given: list[str]) -> dict[str, list[str]]:
    """Read ``NAME=PATTERN,PATTERN``; a single set needs no name."""
    sets: dict[str, list[str]] = {}
    for text in given:
        name, sign, patterns = text.partition("=")
        name, patterns = (name.strip(), patterns) if sign else ("features", text)
        if not name or name in sets or not patterns.strip():
            raise InputError(
                subject="--features", expected="NAME=PATTERN,…, each name once", found=text,
                remedy="Write --features radiomics='T2.*' --features habitats='H*'",
            )  # fmt: skip
        sets[name] = [part.strip() for part in patterns.split(",") if part.strip()]
    return sets or {"features": []}

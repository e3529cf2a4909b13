"""``comould cohort`` and ``comould combine``: patients, or centres that share sums only, pooled."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comould.cli._guard import err, guarded
from comould.cli._tell import tell
from comould.errors import InputError

if TYPE_CHECKING:
    from comould.study.cohort_case import CohortResult

DEFAULT_OUT = "comould_cohort"


class MethodName(StrEnum):
    """Estimator of the variance between patients."""

    REML = "REML"
    DL = "DL"
    PM = "PM"


class KnappName(StrEnum):
    """Hartung and Knapp's standard error."""

    TRUNCATED = "truncated"
    PLAIN = "plain"
    NONE = "none"


Out = Annotated[
    Path | None,
    typer.Option("--out", help=f"Folder to write; {DEFAULT_OUT} (or the next free name) when left out."),
]
Method = Annotated[MethodName, typer.Option(help="How the variance between patients is estimated.")]
Knapp = Annotated[
    KnappName,
    typer.Option(help="Hartung and Knapp's standard error: truncated (never below the usual one), plain, or none."),
]
MinPatients = Annotated[int, typer.Option(help="Rows that fewer patients have are not tested, nor exported.")]
Top = Annotated[int, typer.Option(min=1, help="Rows of the forest.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in --out.")]


@guarded
def cohort(
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULT...", help="A folder with associations.csv, or a CSV, for each patient."),
    ] = None,
    centre: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="A centre and the folder its patients' results lie in; repeatable."),
    ] = None,
    patients: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML: patients, a list of {id, result, centre}.")
    ] = None,
    out_dir: Out = None,
    export: Annotated[
        str | None,
        typer.Option(metavar="NAME=FILE", help="Write this centre's summary, to pool with others by comould combine."),
    ] = None,
    surrogates: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="With --export: a gene or set of which surrogate maps' sums are sent along, for a pooled surrogate "
            "p-value in comould combine; repeatable.",
        ),
    ] = None,
    method: Method = MethodName.REML,
    hartung_knapp: Knapp = KnappName.TRUNCATED,
    min_patients: MinPatients = 5,
    top: Top = 15,
    seed: Annotated[int, typer.Option(help="Of the sign flips; same seed, same table.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Pool the tables of all patients: the patient is the unit, and the answer is about patients like these.

    A habitat must mean the same in every patient: label all with one population model. Folders' or files' names become
    patients' names: use pseudonyms. The summary of --export holds sums over patients, no patient's table; with few
    patients their effects can still be worked out from it, so hand it on only where you may.

    Exit code 0: written; 2: a mistake in the input, nothing written.
    """
    from comould.cli.demo import next_free

    folders, summary = _pairs(centre or [], "--centre"), _pairs([export] if export else [], "--export")
    if surrogates and not summary:
        raise InputError(
            subject="--surrogates", expected="--export, whose summary they go into", found="none",
            remedy="Write --export NAME=FILE too",
        )  # fmt: skip
    with err.status("Pooling patients …"):
        from comould.study.cohort_case import Export, find_results, run_cohort

        found, homes = find_results(results or [], centres=folders, listing=patients)
        wanted = [
            Export(Path(path), name, surrogates=tuple(dict.fromkeys(surrogates or ())))
            for name, path in summary.items()
        ]
        result = run_cohort(
            found, out_dir or next_free(Path(DEFAULT_OUT)), centres=homes, export=wanted[0] if wanted else None,
            top=top, seed=seed, overwrite=overwrite, method=method.value, hartung_knapp=hartung_knapp.value,
            min_patients=min_patients,
        )  # fmt: skip
    rows = facts(result)
    if result.summary is not None:
        rows.append(("Summary", str(result.summary)))
    tell(rows, result.folder, FILES)


@guarded
def combine(
    summaries: Annotated[
        list[Path], typer.Argument(metavar="SUMMARY...", help="Summaries of comould cohort --export.")
    ],
    out_dir: Out = None,
    method: Method = MethodName.REML,
    hartung_knapp: Knapp = KnappName.TRUNCATED,
    min_patients: MinPatients = 5,
    top: Top = 15,
    overwrite: Overwrite = False,
) -> None:
    """Pool centres from their summaries alone: the answer that pooling all their patients would give.

    Exit code 0: written; 2: a bad summary or centres that do not go together, nothing written.
    """
    from comould.cli.demo import next_free

    with err.status("Pooling centres …"):
        from comould.study.cohort_case import run_combine

        result = run_combine(
            summaries, out_dir or next_free(Path(DEFAULT_OUT)), top=top, overwrite=overwrite, method=method.value,
            hartung_knapp=hartung_knapp.value, min_patients=min_patients,
        )  # fmt: skip
    tell(facts(result), result.folder, FILES)


FILES = (
    ("Report", "report.html"), ("Table", "cohort.csv"), ("Forest", "forest.png"), ("Patients", "patients.png"),
    ("Left out", "centres_left_out.csv"), ("Everything", ""),
)  # fmt: skip


def facts(result: CohortResult) -> list[tuple[str, str]]:
    """Say the key facts in words."""
    table = result.table
    tested = table[table["testable"]]
    of = f" of {result.n_centres} centres" if result.n_centres else ""
    claimed = tested[tested["q"] <= 0.1]
    carried = claimed[claimed["carried_by"] != ""]
    rows = [
        ("Patients", f"{result.n_patients}{of}"),
        ("Tested", f"{len(tested)} of {len(table)} features × habitats"),
        ("Claimed", f"{len(claimed)} at FDR 0.1" + (f", {len(carried)} carried by a single one" * bool(len(carried)))),
    ]
    if len(tested):
        best = tested.iloc[0]
        rows.append(
            ("Strongest", f"{best['feature']} in {best['habitat']}: correlation {best['correlation']:.2f}, "
             f"p {best['p']:.2g}, q {best['q']:.2g}")
        )  # fmt: skip
    return rows


def _pairs(given: list[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.strip() or not value.strip() or name.strip() in pairs:
            raise InputError(
                subject=option, expected="NAME=PATH, each name once", found=text, remedy=f"Write {option} Leeds=PATH"
            )
        pairs[name.strip()] = value.strip()
    return pairs

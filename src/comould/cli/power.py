"""``comould power``: how many patients a study needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from comould.cli._bars import step_bars
from comould.cli._guard import guarded
from comould.cli._tell import tell
from comould.errors import InputError

DEFAULT_OUT = "comould_power"
STEP = "Simulate studies"
FILES = (
    ("Table", "power.csv"), ("Needed", "minimum_patients.csv"), ("Picture", "power.png"), ("Everything", ""),
)  # fmt: skip


@guarded
def power(
    effect: Annotated[str, typer.Option(help="Log2 fold changes inside the habitat, comma-separated.")] = "0.5,1",
    patients: Annotated[str, typer.Option(help="Sizes of the cohort, comma-separated.")] = "6,8,10,12,16,20",
    sections: Annotated[str, typer.Option(help="Sections a patient, comma-separated.")] = "3",
    error_mm: Annotated[str, typer.Option(help="Errors of position (sd on each axis), comma-separated.")] = "0,1,2",
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE",
            help="What else is assumed, e.g. range_mm=3, fraction=0.2, section_mm=6.5, pitch_mm=0.1, mean_counts=1, "
            "between_sd=0.3, alpha=0.001; repeatable.",
        ),
    ] = None,
    wanted: Annotated[float, typer.Option("--power", help="Power to reach.")] = 0.8,
    simulations: Annotated[int, typer.Option(help="Studies simulated for each cell.")] = 200,
    workers: Annotated[int, typer.Option(help="Threads; the result is the same with any number.")] = 1,
    seed: Annotated[int, typer.Option(help="Same seed, same table.")] = 0,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help=f"Folder to write; {DEFAULT_OUT} (or the next free name) when left out."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in --out.")] = False,
) -> None:  # fmt: skip
    """Simulate whole studies: how many patients, sections and spots it takes to find an effect.

    Spots take counts where they truly are and a habitat where registration says they are. Habitats and genes are as
    smooth as their ranges say; every patient is tested as comould associate does, the cohort as comould cohort does.

    Exit code 0: written; 2: a mistake in the input, nothing written.
    """
    from comould.cli.demo import next_free

    effects, errors = _numbers(effect, "--effect"), _numbers(error_mm, "--error-mm")
    sizes, counts = _whole(patients, "--patients"), _whole(sections, "--sections")
    given = _settings(setting or [])
    with step_bars(18) as named:
        from comould.associate import Scenario
        from comould.study.cohort_case import run_power

        scenario = Scenario.make(given)
        show = named([STEP])
        show(STEP, 0.0)
        folder = out_dir or next_free(Path(DEFAULT_OUT))
        _, needed = run_power(
            effects, folder, wanted=wanted, overwrite=overwrite, scenario=scenario, seed=seed, patients=sizes,
            sections=counts, error_mm=errors, n_simulations=simulations, workers=workers,
            progress=lambda share: show(STEP, share),
        )  # fmt: skip
    rows = [
        (
            f"log2 FC {row['effect']:g}, {row['n_sections']:g} sections, {row['error_mm']:g} mm",
            "more than simulated" if row["n_patients"] is None else f"{row['n_patients']} patients",
        )
        for row in needed.astype(object).where(needed.notna(), None).to_dict("records")
    ]
    tell(rows, folder, FILES)


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(subject=option, expected="numbers, comma-separated", found=text) from None


def _whole(text: str, option: str) -> list[int]:
    values = _numbers(text, option)
    if any(value != int(value) for value in values):
        raise InputError(subject=option, expected="whole numbers, comma-separated", found=text)
    return [int(value) for value in values]


def _settings(given: list[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name.strip().replace("-", "_")] = float(value)
        except ValueError:
            raise InputError(subject="--set", expected="KEY=NUMBER", found=text) from None
    return found

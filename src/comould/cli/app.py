"""The ``comould`` command and its list of sub-commands."""

from __future__ import annotations

from typing import Annotated

import typer

from comould.cli import (
    associate,
    baseline,
    calibrate,
    check,
    cohort,
    demo,
    export,
    fit,
    habitats,
    init,
    mould,
    phantom,
    power,
    register,
    run,
    templates,
)
from comould.cli._guard import State

app = typer.Typer(
    name="comould",
    help="From tumour imaging to printed mould to spatially matched biology. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("run")(run.run)
app.command("report")(run.report)
app.command("mould")(mould.mould)
app.command("check")(check.check)
app.command("fit")(fit.fit)
app.command("habitats")(habitats.habitats)
app.command("register")(register.register)
app.command("cohort")(cohort.cohort)
app.command("combine")(cohort.combine)
app.command("power")(power.power)
app.command("baseline")(baseline.baseline)
app.command("associate")(associate.associate)
app.command("calibrate")(calibrate.calibrate)
app.command("export")(export.export)
app.command("phantom")(phantom.phantom)
app.command("templates")(templates.templates)


def _show_version(value: bool) -> None:
    if value:
        from comould import __version__

        typer.echo(f"comould {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    State.debug = debug


def main() -> None:
    """Run the command line."""
    app()

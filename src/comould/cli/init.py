"""``comould init``: a commented case.yaml or study.yaml to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from comould.cli._guard import guarded, out
from comould.errors import InputError


@guarded
def init(
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="Where to write; made if need be.")] = None,
    study: Annotated[bool, typer.Option("--study", help="A study.yaml, in place of a case.yaml.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema, for editors that check while one types.")
    ] = False,
) -> None:
    """Write a commented example of a case, or of a study, to fill in; never over a file that is there.

    Exit code 0: written; 2: there is such a file already.
    """
    import json

    from comould.study.case_file import case_schema
    from comould.study.examples import write_example
    from comould.study.study_file import study_schema

    if schema:
        out.print_json(json.dumps(study_schema() if study else case_schema()))
        return
    if folder is None:
        raise InputError(subject="DIR", expected="a folder to write to", found="none", remedy="comould init my_case")
    path = write_example(folder, study=study)
    out.print(str(path), markup=False)

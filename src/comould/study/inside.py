"""Paths as case files give them: relative, inside their folder, and leading to something."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any, Final, cast

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

KIND: Final = "path"
"""Type of the errors that paths raise."""


@dataclass(frozen=True)
class Place:
    """Where a file's paths start.

    Parameters
    ----------
    folder
        Of the file.
    allow_outside
        Whether paths may lead out of it.
    """

    folder: Path
    allow_outside: bool = False


def path_problem(folder: Path, value: Any, *, allow_outside: bool = False) -> str:
    """Say what is wrong with a path, or nothing.

    Parameters
    ----------
    folder
        Where relative paths start.
    value
        As the file gives it.
    allow_outside
        Take absolute paths, ``..`` and links out of the folder.

    Returns
    -------
    str
        Words that follow the path, such as ``does not exist``; empty when it can be used.
    """
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return "is no path"
    if not allow_outside:
        if Path(value).is_absolute() or ".." in Path(value).parts or _foreign(value):
            return "is no relative path inside the folder"
        try:
            inside = (folder / value).resolve().is_relative_to(folder.resolve())
        except (OSError, RuntimeError):
            return "is a link that goes in circles"
        if not inside:
            return "is a link that leaves the folder"
    try:
        return "" if (folder / value).exists() else "does not exist"
    except OSError:
        return "is no path"


def _foreign(value: str) -> bool:
    """Tell paths that another system would take for absolute or for several steps."""
    return "\\" in value or bool(PureWindowsPath(value).drive)


def _inside(value: Any, info: ValidationInfo) -> Path:
    # A path, not text: it comes from a study's defaults and was checked there.
    if isinstance(value, Path):
        return value
    place = cast("Place", info.context)
    problem = path_problem(place.folder, value, allow_outside=place.allow_outside)
    if problem:
        outside = not place.allow_outside and ("folder" in problem)
        remedy = "; move it there, or set allow_outside: true" if outside else ""
        raise PydanticCustomError(KIND, "{said}", {"said": f"{value!r} {problem}{remedy}"})
    return place.folder / value


InsidePath = Annotated[Path, BeforeValidator(_inside), WithJsonSchema({"type": "string", "minLength": 1})]
"""A path from the folder of the file that names it."""


def _or_file(*suffixes: str) -> BeforeValidator:
    def read(value: Any, info: ValidationInfo) -> Any:
        named = isinstance(value, str) and value.lower().endswith(suffixes)
        return str(_inside(value, info)) if named else value

    return BeforeValidator(read)


GenesetName = Annotated[str, _or_file(".gmt"), WithJsonSchema({"type": "string", "minLength": 1})]
"""A built-in collection, or a GMT file."""

TemplateName = Annotated[str, _or_file(".yaml", ".yml"), WithJsonSchema({"type": "string", "minLength": 1})]
"""A shipped template, or a YAML file."""

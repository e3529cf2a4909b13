"""Shelf of YAML files that come with comould: finding one by name, reading it, saying what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from comould.errors import InputError

YAML_SUFFIXES = {".yaml", ".yml"}

Model = TypeVar("Model", bound=BaseModel)


def folder(shelf: str = "") -> Path:
    """Folder of a shelf (``""`` organs, ``"designs"``, ``"blades"``, ``"printers"``, ``"materials"``)."""
    packaged = Path(str(resources.files("comould"))) / "mould_templates"
    # An editable install finds the templates at the top of the repository.
    root = packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "mould_templates"
    return root / shelf if shelf else root


def shipped(shelf: str = "") -> dict[str, Path]:
    """Files of a shelf by name, in alphabetical order."""
    return {path.stem: path for path in sorted(folder(shelf).glob("*.yaml"))}


def locate(name: str, shelf: str, noun: str) -> Path:
    """Find a shipped file by name, or take a path ending in ``.yaml`` as it is.

    Raises
    ------
    InputError
        If the shelf has no such name; the nearest one is suggested.
    """
    if Path(name).suffix.lower() in YAML_SUFFIXES:
        return Path(name)
    known = shipped(shelf)
    if name in known:
        return known[name]
    near = nearest(name, known)
    raise InputError(
        subject=f"{noun} {name!r}",
        expected=f"one of {', '.join(known)}, or the path of a .yaml file",
        found="none of that name",
        remedy=f"Did you mean {near!r}?" if near else "",
    )


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Nearest known name, whatever its case and whether written with - or _; empty when none is near."""
    plain = {item.lower().replace("-", "_"): item for item in known}
    found = difflib.get_close_matches(name.lower().replace("-", "_"), plain, n=1, cutoff=cutoff)
    return plain[found[0]] if found else ""


def read_mapping(path: Path, subject: str) -> dict[str, Any]:
    """Read a YAML file whose top level is keys and values; no tag runs code.

    Raises
    ------
    InputError
        If it cannot be read or is something else.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(subject=subject, expected="a readable file", found=error.strerror or "none") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(subject=subject, expected="YAML", found=str(error).splitlines()[0]) from error
    if not isinstance(data, dict):
        raise InputError(subject=subject, expected="keys and values", found=type(data).__name__)
    return {str(key): value for key, value in data.items()}


def split_sources(entries: Mapping[Any, Any], subject: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Take ``key: value`` and ``key: {value: …, source: …}`` apart into values and sources by key."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    problems = []
    for name, entry in entries.items():
        key = str(name)
        if not isinstance(entry, dict):
            values[key] = entry
            continue
        problems += [unknown(f"{key}.{part}", ("value", "source")) for part in set(entry) - {"value", "source"}]
        values[key] = entry.get("value")
        if "source" in entry:
            sources[key] = str(entry["source"])
    if problems:
        raise InputError.collect(subject=subject, problems=sorted(problems))
    return values, sources


def refuse_unknown(subject: str, given: Iterable[str], known: Collection[str], remedy: str = "") -> None:
    """Refuse keys that are not known, each with its nearest.

    Raises
    ------
    InputError
        With every unknown key.
    """
    if wrong := [key for key in given if key not in known]:
        raise InputError.collect(subject=subject, problems=[unknown(key, known) for key in wrong], remedy=remedy)


def unknown(key: str, known: Iterable[str]) -> str:
    """Words for one unknown key."""
    near = nearest(key, known)
    return f"unknown key {key!r}" + (f" (nearest: {near!r})" if near else "")


def validated(model: type[Model], values: Mapping[str, Any], subject: str) -> Model:
    """Make a model of values, or one error that lists everything wrong with them.

    Raises
    ------
    InputError
        If a value is out of range, of the wrong kind, or missing.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise InputError.collect(subject=subject, problems=[_problem(item) for item in error.errors()]) from error


def _problem(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "missing":
        return f"{where} is missing"
    return f"{where} = {item.get('input')!r}: {item['msg'].lower()}" if where else str(item["msg"])

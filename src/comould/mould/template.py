"""Mould templates: one YAML per organ, validated, every value with its unit, range and source."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from comould.errors import InputError
from comould.mould.parameters import Parameters


class Template(BaseModel):
    """A mould design with its parameters and where their values come from.

    Parameters
    ----------
    name
        How it is asked for.
    title
        One line for people.
    design
        The construction; ``open_block`` is a block open at the top, slotted from above.
    parameters
        The sizes.
    sources
        Source of a parameter's value, by parameter name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = ""
    design: Literal["open_block"] = "open_block"
    parameters: Parameters = Field(default_factory=lambda: Parameters.model_validate({}))
    sources: dict[str, str] = Field(default_factory=dict)

    @property
    def spacing_mm(self) -> float:
        """Distance between neighbouring cutting planes."""
        return self.parameters.spacing_mm

    @property
    def slot_mm(self) -> float:
        """Slot width."""
        return self.parameters.slot_mm

    @property
    def clearance_mm(self) -> float:
        """Gap between specimen and mould."""
        return self.parameters.clearance_mm

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Every parameter as (key, value, meaning, source), for a table."""
        return [
            (
                key,
                _shown(getattr(self.parameters, key)),
                field.description or "",
                self.sources.get(key, "comould default"),
            )
            for key, field in Parameters.model_fields.items()
        ]


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ", ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)
    return f"{value:g}"


def templates() -> tuple[Template, ...]:
    """Every template that comes with comould, by name."""
    return tuple(_read(path) for path in _shipped())


def load_template(name_or_path: str | Path | Template, **overrides: Any) -> Template:
    """Read a template and change some of its parameters.

    Parameters
    ----------
    name_or_path
        A shipped template's name (see :func:`templates`), the path of a YAML file of the same form, or a template.
    **overrides
        Parameters to change; strings are converted. ``None`` leaves a parameter as it is.

    Returns
    -------
    Template
        Frozen; an overridden parameter's source reads ``"user"``.

    Raises
    ------
    InputError
        If there is no such template, a key is unknown (the nearest one is named), or a value is out of range.
    """
    template = name_or_path if isinstance(name_or_path, Template) else _find(str(name_or_path))
    changed = {key: value for key, value in overrides.items() if value is not None}
    if not changed:
        return template
    subject = f"template {template.name!r}"
    parameters = _parameters(subject, {**template.parameters.model_dump(), **changed})
    return template.model_copy(
        update={"parameters": parameters, "sources": {**template.sources, **dict.fromkeys(changed, "user")}}
    )


def _folder() -> Path:
    packaged = Path(str(resources.files("comould"))) / "mould_templates"
    # An editable install finds the templates at the top of the repository.
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "mould_templates"


def _shipped() -> list[Path]:
    return sorted(_folder().glob("*.yaml"))


def _find(name: str) -> Template:
    if Path(name).suffix.lower() in {".yaml", ".yml"}:
        return _read(Path(name))
    shipped = {path.stem: path for path in _shipped()}
    if name in shipped:
        return _read(shipped[name])
    near = difflib.get_close_matches(name, shipped, n=1)
    raise InputError(
        subject=f"template {name!r}",
        expected=f"one of {', '.join(shipped)}, or the path of a .yaml file",
        found="none of that name",
        remedy=f"Did you mean {near[0]!r}?" if near else "",
    )


def _read(path: Path) -> Template:
    subject = f"template file {path.name}"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(subject=subject, expected="a readable file", found=error.strerror or "none") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(subject=subject, expected="YAML", found=str(error).splitlines()[0]) from error
    if not isinstance(data, dict):
        raise InputError(subject=subject, expected="keys and values", found=type(data).__name__)
    unknown = sorted(set(map(str, data)) - {"name", "title", "design", "parameters"})
    if unknown:
        raise InputError.collect(
            subject=subject, problems=[_unknown(key, ("name", "title", "design", "parameters")) for key in unknown]
        )
    given = data.get("parameters") or {}
    if not isinstance(given, dict):
        raise InputError(subject=subject, expected="parameters as keys and values", found=type(given).__name__)
    values, sources = {}, {}
    for key, entry in given.items():
        if isinstance(entry, dict):
            values[str(key)] = entry.get("value")
            if "source" in entry:
                sources[str(key)] = str(entry["source"])
        else:
            values[str(key)] = entry
    parameters = _parameters(subject, values)
    try:
        return Template(
            name=str(data.get("name", path.stem)),
            title=str(data.get("title", "")),
            design=data.get("design", "open_block"),
            parameters=parameters,
            sources=sources,
        )
    except ValidationError as error:
        raise InputError.collect(subject=subject, problems=[_problem(item) for item in error.errors()]) from error


def _parameters(subject: str, values: dict[str, Any]) -> Parameters:
    known = tuple(Parameters.model_fields)
    if unknown := [key for key in values if key not in known]:
        raise InputError.collect(
            subject=subject,
            problems=[_unknown(key, known) for key in unknown],
            remedy=f"Known keys: {', '.join(known)}",
        )
    try:
        return Parameters.model_validate(values)
    except ValidationError as error:
        raise InputError.collect(subject=subject, problems=[_problem(item) for item in error.errors()]) from error


def _unknown(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"unknown key {key!r}" + (f" (nearest: {near[0]!r})" if near else "")


def _problem(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    return f"{where} = {item.get('input')!r}: {item['msg'].lower()}"

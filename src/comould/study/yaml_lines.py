"""YAML that remembers its lines, so that a mistake is told with the line it stands on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from comould.errors import InputError

MOST_BYTES = 1 << 20
_LONGEST_SAID = 60
_EXPECTED = {
    "string_type": "text (in quotes)", "int_type": "a whole number", "int_from_float": "a whole number",
    "float_type": "a number", "bool_type": "true or false", "list_type": "a list", "dict_type": "name: value",
    "finite_number": "a finite number",
}  # fmt: skip


class _TextKeys(yaml.SafeLoader):
    """Safe, and keys are always text: the key ``null`` is a word here, not nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Read a mapping."""
        self.flatten_mapping(node)
        wrong = next((key for key, _ in node.value if not isinstance(key, yaml.ScalarNode)), None)
        if wrong is not None:
            message = "a key that is no word"
            raise yaml.constructor.ConstructorError(None, None, message, wrong.start_mark)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}


@dataclass(frozen=True, eq=False)
class Document:
    """A YAML file that was read.

    Parameters
    ----------
    path
        The file.
    data
        Its content, a mapping.
    node
        The same with lines.
    """

    path: Path
    data: dict[str, Any]
    node: yaml.Node

    def line(self, place: Sequence[str | int]) -> int:
        """Give the line of a place, from 1; of what it lies in when it is not there."""
        node, line = self.node, self.node.start_mark.line
        for step in place:
            found = _below(node, step)
            if found is not None:
                key, node = found
                line = key.start_mark.line
        return line + 1

    def says(self, place: Sequence[str | int], problem: str) -> str:
        """Put line and place before a problem."""
        name = ".".join(map(str, place))
        return f"line {self.line(place)}: {name + ' ' if name else ''}{problem}"


def read_yaml(path: str | Path) -> Document:
    """Read a YAML file that holds ``name: value``.

    Parameters
    ----------
    path
        The file, UTF-8, at most 1 MiB.

    Returns
    -------
    Document

    Raises
    ------
    InputError
        If it cannot be read, is no YAML, or a key stands twice in one place: each with its line.
    """
    path = Path(path)
    subject = f"file {path}"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(subject, expected="a YAML file of at most 1 MiB", found=f"{path.stat().st_size} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "bytes that are no UTF-8 text"
        raise InputError(subject, expected="a YAML file that can be read", found=reason) from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        twice = sorted(_twice(node, set())) if node is not None else []
        data = yaml.load(text, Loader=_TextKeys) if not twice else {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(subject, expected="YAML", found=_why(error)) from error
    if twice:
        raise InputError.collect(subject, [f"line {line}: {key} stands there a second time" for line, key in twice])
    if not isinstance(data, dict) or node is None:
        raise InputError(subject, expected="name: value lines", found="nothing" if data is None else "something else")
    return Document(path, data, node)


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[str]:
    """Say each of pydantic's errors with its line, what was expected, what is there and what to do.

    Parameters
    ----------
    error
        Of validating ``document.data``.
    document
        The file.
    model
        What it was validated as.

    Returns
    -------
    list of str
        In the order of the lines.
    """
    said = [
        (document.line(one["loc"]), document.says(_place(one), _problem(dict(one), model))) for one in error.errors()
    ]
    return [text for _, text in sorted(said, key=lambda pair: pair[0])]


def _place(one: Any) -> tuple[str | int, ...]:
    return tuple(step for step in one["loc"] if step != "[key]")


def _problem(one: dict[str, Any], model: type[BaseModel]) -> str:
    kind, found = one["type"], _short(one.get("input"))
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        known = _keys_at(model, one["loc"][:-1])
        near = get_close_matches(str(one["loc"][-1]), known, 1)
        return f"is no key here; {f'did you mean {near[0]}?' if near else 'there are ' + ', '.join(known)}"
    if kind == "path":
        return str(one["msg"])
    if kind == "value_error":
        return str(one["ctx"]["error"])
    if kind in {"model_type", "model_attributes_type"}:
        return f"expected name: value lines, found {found}"
    message = str(one["msg"]).replace("Input should be ", "").replace("Value should ", "")
    return f"expected {_EXPECTED.get(kind, message)}, found {found}"


def _keys_at(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """Find the keys of the model at a place; steps into lists and mappings are passed over."""
    for step in place:
        field = model.model_fields.get(str(step))
        inner = next(_models(field.annotation), None) if field is not None else None
        model = inner or model
    return list(model.model_fields)


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in getattr(kind, "__args__", ()):
        yield from _models(part)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_SAID else f"{text[:_LONGEST_SAID]}…"


def _below(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == str(step):
                return key, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _twice(node: yaml.Node, seen: set[int]) -> Iterator[tuple[int, str]]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name in keys and name != "<<":
                yield key.start_mark.line + 1, str(name)
            keys.add(name)
            yield from _twice(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _twice(value, seen)


def _why(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split()) or type(error).__name__
    problem = getattr(error, "problem", None) or "a mistake"
    return f"line {mark.line + 1}: {problem}"

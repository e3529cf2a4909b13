"""Pages made from other files when the documentation is built: validation, commands, changes, namespaces."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import asked

import comould

if TYPE_CHECKING:
    from click import Command

TITLES = {
    "space": "Where things are", "io": "Files", "mould": "Moulds", "register": "Sections to the patient",
    "habitats": "Habitats", "associate": "Tested claims", "phantom": "Simulated specimens", "study": "Whole cases",
    "pl": "Figures", "report": "Reports", "errors": "Errors",
}  # fmt: skip


def write_all(docs: Path) -> None:
    """Write every made page beside the written ones, only where it changed."""
    root = docs.parent
    _write(docs / "validation.md", asked.page((root / "benchmarks" / "README.md").read_text(encoding="utf-8")))
    _write(docs / "changelog.md", _of_root(root / "CHANGELOG.md"))
    _write(docs / "commands.md", commands())
    for name in (*comould._NAMESPACES, "errors"):
        _write(docs / "api" / f"{name}.md", namespace(name, TITLES.get(name, name.capitalize())))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _of_root(path: Path) -> str:
    """Read a page of the root; its links into this folder lose the folder."""
    return path.read_text(encoding="utf-8").replace("](docs/", "](")


def namespace(name: str, title: str) -> str:
    """Lay out a namespace: its own text, then every public name, each documented where it is offered."""
    module = importlib.import_module(f"comould.{name}")
    names = getattr(module, "__all__", None) or [
        n for n in vars(module) if n.startswith("Comould") or n.endswith("Error")
    ]
    lines = [
        f"# {title}: `comould.{name}`",
        "",
        "```{eval-rst}",
        f".. automodule:: comould.{name}",
        "   :no-members:",
        "",
    ]
    for public in names:
        thing = getattr(module, public)
        if inspect.isclass(thing):
            lines += [f".. autoclass:: comould.{name}.{public}", "   :members:", ""]
        elif inspect.isroutine(thing):
            lines += [f".. autofunction:: comould.{name}.{public}", ""]
        elif inspect.ismodule(thing):
            lines += [f".. automodule:: comould.{name}.{public}", "   :members:", "   :imported-members:", ""]
        else:
            # A constant's own docstring is lost where it is offered again, and its type's would stand in for it.
            lines += [f".. py:data:: comould.{name}.{public}", ""]
    return "\n".join([*lines, "```", ""])


def commands() -> str:
    """List every command with its options, as ``--help`` says them."""
    from typer.main import get_command

    from comould.cli.app import app

    group = get_command(app)
    parts = ["# Commands", "", "Made from `comould COMMAND --help`.", ""]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        parts += _command(name, command)
    return "\n".join(parts)


def _command(name: str, command: Command) -> list[str]:
    lines = [
        f"## comould {name}",
        "",
        (command.help or "").replace("<", "&lt;"),
        "",
        "| option | | default |",
        "| --- | --- | --- |",
    ]
    for one in command.params:
        if one.name == "help":
            continue
        shown = ", ".join(one.opts) if one.param_type_name == "option" else (one.metavar or one.name or "").upper()
        said = (getattr(one, "help", "") or "").replace("|", "\\|").replace("\n", " ")
        default = "" if one.default in (None, False, "", []) or callable(one.default) else one.default
        text = getattr(default, "value", default)
        text = " ".join(map(str, text)) if isinstance(text, tuple) else text
        lines.append(f"| `{shown}` | {said} | {f'`{text}`' if text != '' else ''} |")
    return [*lines, ""]

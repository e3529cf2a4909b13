"""What a command says at its end: key facts in words, then where everything lies, in one column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.text import Text

from comould.cli._guard import out

VERDICT_WORDS = {"accept": "accepted", "review": "to review", "reject": "rejected"}


def counted_verdicts(counts: Mapping[str, int]) -> str:
    """Say how many sections have each verdict, the good ones first: ``2 accepted, 1 to review``."""
    order = [*VERDICT_WORDS, *(name for name in counts if name not in VERDICT_WORDS)]
    return ", ".join(f"{counts[name]} {VERDICT_WORDS.get(name, name)}" for name in order if counts.get(name))


def tell(rows: Sequence[tuple[str, str]], folder: Path, files: Sequence[tuple[str, str]]) -> None:
    """Print facts and the files that are there (label and name inside the folder) under one another."""
    there = [(label, folder / name) for label, name in files if (folder / name).exists()]
    width = 2 + max(len(name) for name, _ in (*rows, *there))
    for name, value in rows:
        out.print(Text.assemble((f"{name:<{width}}", "dim"), value))
    for label, path in there:
        out.print(Text.assemble((f"{label:<{width}}", "bold green"), str(path)))

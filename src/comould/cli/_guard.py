"""How the command line speaks: one line for an error, one for each warning, progress on a terminal."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from comould.errors import ComouldError, ComouldWarning


class State:
    """What the options before the sub-command set."""

    debug = False


PIPED_WIDTH = 200
"""Columns when a pipe or file reads along: wide enough that no table is cut."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors raised on purpose into one line and their exit code; show comould's warnings as one line each."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        """Run the command."""
        try:
            with _spoken_warnings():
                command(*args, **kwargs)
        except ComouldError as error:
            if State.debug:
                raise
            _line("Error", "bold red", str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            _line("Stopped", "yellow", "by the keyboard; nothing half-written was kept")
            raise typer.Exit(130) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if State.debug:
                raise
            reason = " ".join(str(error).split()) or "no message"
            _line("Internal error", "bold red", f"{type(error).__name__}: {reason}. Run with --debug and report it.")
            raise typer.Exit(1) from None

    run.__doc__ = flowing(command.__doc__)
    return run


def flowing(text: str | None) -> str:
    """Join the lines of every paragraph: the help breaks them where the terminal ends, not where the source does."""
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


@contextmanager
def _spoken_warnings() -> Iterator[None]:
    seen: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if issubclass(category, ComouldWarning) and text not in seen:
            seen.add(text)
            _line("Note", "yellow", text)

    with warnings.catch_warnings():
        if not State.debug:
            warnings.simplefilter("ignore")
        warnings.simplefilter("always", ComouldWarning)
        warnings.showwarning = show
        yield


def _line(label: str, style: str, text: str) -> None:
    sys.stdout.flush()
    # In one go: a spinner that is turning would wipe out a line without an end.
    err.print(Text.assemble((f"{label}:", style), " ", text))

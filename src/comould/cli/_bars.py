"""A line a step: what a long command shows while it works."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from comould.cli._guard import err

Show = Callable[..., None]
"""Called with a step, its fraction done, 0 to 1, and perhaps a note."""


@contextmanager
def step_bars(width: int) -> Iterator[Callable[[Sequence[str]], Show]]:
    """Show that libraries load until the steps are named; naming them gives what shows how far each is.

    Parameters
    ----------
    width
        Of the column of names.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn(f"{{task.description:<{width}}}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        console=err,
    ) as bars:
        start = bars.add_task("Load libraries", total=None, note="")

        def named(steps: Sequence[str]) -> Show:
            """Libraries are there: the steps begin."""
            bars.update(start, total=1, completed=1)
            tasks = {name: bars.add_task(name, total=None, start=False, visible=False, note="") for name in steps}

            def show(step: str, fraction: float, note: str = "") -> None:
                """Start a step's clock, or move its bar."""
                if not fraction:
                    bars.start_task(tasks[step])
                bars.update(tasks[step], visible=True, total=1.0 if fraction else None, completed=fraction, note=note)

            return show

        yield named

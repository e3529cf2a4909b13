"""What every whole run does at each of its steps: time it, and tell how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Progress = Callable[[str, float, str], None]
"""Called with the name of the step under way, its fraction done, 0 to 1, and a note of a few words."""


@dataclass(kw_only=True)
class Steps:
    """A run under way.

    Parameters
    ----------
    progress
        Told how far it is; nobody when ``None``.
    seconds
        What each finished step took.
    """

    progress: Progress | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[..., None]]:
        """Time a step; what it gives tells a fraction done and, if there is one, a note."""
        self._tell(name, 0.0)
        begin = time.perf_counter()
        yield lambda fraction, note="": self._tell(name, fraction, note)
        self.seconds[name] = round(time.perf_counter() - begin, 2)
        self._tell(name, 1.0)

    def _tell(self, name: str, fraction: float, note: str = "") -> None:
        if self.progress is not None:
            self.progress(name, fraction, note)

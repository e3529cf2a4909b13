"""Everything that is wrong with files, told at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from comould.errors import ComouldError, InputError

_T = TypeVar("_T")


class Trouble:
    """Collects what goes wrong with files; paths in messages lose the folder they lie in."""

    def __init__(self, folder: Path) -> None:
        self.problems: list[str] = []
        self.prefix = f"{folder}/"

    def when(self, make: Callable[[], _T]) -> _T | None:
        """Give what is made, or note why it cannot be."""
        try:
            return make()
        except ComouldError as error:
            self.problems.append(str(error).replace(self.prefix, "").rstrip("."))
            return None

    def tell(self, subject: str) -> None:
        """Raise one error of all problems, if there are any.

        Raises
        ------
        InputError
            That names them.
        """
        if self.problems:
            raise InputError.collect(subject=subject, problems=self.problems)

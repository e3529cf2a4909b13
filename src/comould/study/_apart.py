"""Results are kept apart from what they are made of."""

from __future__ import annotations

from pathlib import Path

from comould.errors import InputError


def check_apart(case: Path, out: Path, *, inside: bool = False) -> None:
    """Refuse to write over the case itself or a folder around it; into the case only where ``inside`` allows it.

    Raises
    ------
    InputError
        If the two folders are not apart.
    """
    a, b = case.resolve(), out.resolve()
    if a == b or a.is_relative_to(b) or (b.is_relative_to(a) and not inside):
        raise InputError(
            subject=f"output {out}", expected="a folder apart from the case", found="the case folder or one around it"
        )

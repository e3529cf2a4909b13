"""Settings given by keyword, checked by name."""

from __future__ import annotations

from collections.abc import Mapping

from comould.errors import InputError


def refuse_unknown(given: Mapping[str, object], kind: type, what: str = "setting") -> None:
    """Refuse a keyword that is no field of a record of settings.

    Parameters
    ----------
    given
        As the caller wrote them.
    kind
        The record, with its fields annotated.
    what
        What such a setting is called.

    Raises
    ------
    InputError
        For the first unknown name; the known ones are listed.
    """
    known = sorted(kind.__annotations__)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(
            subject=f"{what} {unknown[0]!r}", expected=f"one of {', '.join(known)}", found="an unknown one"
        )

"""Ink colours by patient direction: a proposal to agree on with the pathologist."""

from __future__ import annotations

from collections.abc import Mapping

from comould.errors import InputError
from comould.space import DIRECTIONS

DEFAULT: dict[str, str] = {
    "R": "green",
    "L": "red",
    "A": "gold",
    "P": "black",
    "S": "blue",
    "I": "orange",
}
"""Right green and left red, as on ships; the rest are the usual tissue-marking dyes."""

NAMES = {name[0].upper(): name for name in DIRECTIONS}
_SHADES = {"green": "#1f8a3b", "red": "#cc2222", "blue": "#1f4fbf", "orange": "#f08019", "gold": "#e0b400"}


def scheme(inks: Mapping[str, str] | None = None) -> dict[str, str]:
    """Complete a scheme: letters or direction names to colour names; what is not given keeps its default.

    Parameters
    ----------
    inks
        ``{"R": "green", "anterior": "yellow"}``; any colour matplotlib knows, by name or ``#rrggbb``.

    Returns
    -------
    dict
        Letter (R L A P S I) to colour name.

    Raises
    ------
    InputError
        For an unknown direction or colour, or when one colour stands for two directions.
    """
    from matplotlib.colors import is_color_like

    chosen = dict(DEFAULT)
    problems = []
    for key, colour in (inks or {}).items():
        letter = str(key).strip()[:1].upper()
        if letter not in NAMES or str(key).strip().lower() not in {letter.lower(), NAMES[letter]}:
            problems.append(f"{str(key)!r} is no direction ({', '.join(NAMES.values())} or its first letter)")
        elif not isinstance(colour, str) or len(colour) > 24 or not is_color_like(colour):
            problems.append(f"{NAMES[letter]} is {str(colour)[:24]!r}, which is no colour name")
        else:
            chosen[letter] = colour
    twice = {c for c in chosen.values() if list(chosen.values()).count(c) > 1}
    problems += [f"{c} stands for {' and '.join(NAMES[k] for k, v in chosen.items() if v == c)}" for c in sorted(twice)]
    if problems:
        raise InputError.collect(subject="inks", problems=problems, remedy="Give one colour per direction")
    return chosen


def shade(colour: str) -> str:
    """Colour to print for a name: the plain dyes in a shade that prints well."""
    return _SHADES.get(colour, colour)

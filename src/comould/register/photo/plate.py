"""MarkerPlate: a sheet to lay a slab on, with round targets at known places, each of which says which one it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np

from comould.errors import InputError
from comould.space import FloatArray

BITS = 16
"""Sectors of a target's code ring."""

DOT, WHITE, RING = 0.36, 0.64, 1.0
"""Outer radii of the black dot, the white ring and the code ring, as shares of the target's radius."""

CODE_NUMBERS = (
    2127, 2187, 2205, 2227, 2263, 2285, 2327, 2363, 2407, 2479, 2523, 2607, 2755, 2827,
    2877, 3671, 3791, 4839, 4883, 4975, 5003, 5085, 5583, 6951, 7127, 11503, 12079, 13175,
)  # fmt: skip
"""Codes of the targets as binary numbers, lowest bit first. Any two differ in three sectors or more however they are
turned and whether or not one is mirrored, and each from its own mirror image: a mirrored photograph is known from a
single target, and two misread sectors make no other target. Found by going through the numbers in order."""

SIZES = {"A6": (105.0, 148.0), "A5": (148.0, 210.0), "A4": (210.0, 297.0), "A3": (297.0, 420.0)}
EDGE_MM = 7.0
"""White between the paper's edge and a target: what printers need, and the quiet ground of the code."""
RULER_MM = 9.0
CHECK_MM = 100.0


@dataclass(frozen=True)
class Target:
    """One target of a plate.

    Parameters
    ----------
    number
        From 0, clockwise from the upper left corner; says the code.
    x_mm, y_mm
        Centre; x right, y down, from the sheet's upper left corner.
    """

    number: int
    x_mm: float
    y_mm: float

    @property
    def code(self) -> tuple[bool, ...]:
        """Whether each sector is black, clockwise (x towards y) from the x axis."""
        return codes()[self.number]


@dataclass(frozen=True)
class MarkerPlate:
    """A printable sheet with targets round a free area on which the slab lies.

    Parameters
    ----------
    name
        What is printed on it.
    width_mm, height_mm
        Of the sheet.
    target_radius_mm
        Of the code ring's outside.
    pitch_mm
        Distance between targets aimed at.
    print_scale
        True size over nominal size of what the printer made: see :meth:`as_printed`.

    Raises
    ------
    InputError
        If the sheet is too small for its targets or so large that there are not enough codes.
    """

    name: str
    width_mm: float
    height_mm: float
    target_radius_mm: float = 6.0
    pitch_mm: float = 42.0
    print_scale: float = 1.0

    def __post_init__(self) -> None:
        problems = []
        for name in ("width_mm", "height_mm", "target_radius_mm", "pitch_mm"):
            value = getattr(self, name)
            if not np.isfinite(value) or value <= 0:
                problems.append(f"{name} {value} is not a positive length")
        if not 0.8 <= self.print_scale <= 1.25:
            problems.append(f"print_scale {self.print_scale} is not between 0.8 and 1.25")
        if not self.name.isprintable() or not 1 <= len(self.name) <= 40:
            problems.append("the name is not 1 to 40 printable characters")
        if not problems:
            problems += self._layout_problems()
        if problems:
            raise InputError.collect(subject=f"marker plate {self.name!r}", problems=problems)

    def _layout_problems(self) -> list[str]:
        least = 2 * EDGE_MM + 4 * self.target_radius_mm + RULER_MM + 20.0
        if min(self.width_mm, self.height_mm) < least:
            return [f"{self.width_mm:g} × {self.height_mm:g} mm leave no free area (at least {least:g} mm)"]
        if self.pitch_mm < 2.5 * self.target_radius_mm:
            return [f"pitch_mm {self.pitch_mm:g} lets targets of radius {self.target_radius_mm:g} mm touch"]
        count = 2 * sum(self._steps())
        if count > len(codes()):
            return [f"{count} targets, but there are {len(codes())} codes: give a larger pitch_mm"]
        return []

    @classmethod
    def of_size(cls, size: str) -> Self:
        """Make the plate for a paper size: ``"A6"``, ``"A5"``, ``"A4"`` or ``"A3"``, upright.

        Raises
        ------
        InputError
            For another size.
        """
        if size not in SIZES:
            raise InputError(
                subject=f"size of the marker plate {size!r}",
                expected=f"one of {', '.join(SIZES)}",
                found="another",
                remedy="Give width and height: MarkerPlate(name, width_mm, height_mm)",
            )
        return cls(size, *SIZES[size], pitch_mm=55.0 if size == "A3" else 42.0)

    def as_printed(self, measured_mm: float, nominal_mm: float = CHECK_MM) -> Self:
        """Give the plate as a printer made it, from the measured length of its printed bar of 100 mm.

        Raises
        ------
        InputError
            If the length is off by more than a quarter.
        """
        return replace(self, print_scale=measured_mm / nominal_mm)

    def _inset(self) -> float:
        return EDGE_MM + self.target_radius_mm

    def _steps(self) -> tuple[int, int]:
        across, down = (
            max(1, round((side - 2 * self._inset()) / self.pitch_mm)) for side in (self.width_mm, self.height_mm)
        )
        return across, down

    @property
    def targets(self) -> tuple[Target, ...]:
        """Targets at their true places (print scale applied), clockwise from the upper left corner."""
        inset, (across, down) = self._inset(), self._steps()
        xs = np.linspace(inset, self.width_mm - inset, across + 1)
        ys = np.linspace(inset, self.height_mm - inset, down + 1)
        walk = [(x, ys[0]) for x in xs[:-1]] + [(xs[-1], y) for y in ys[:-1]]
        walk += [(x, ys[-1]) for x in xs[:0:-1]] + [(xs[0], y) for y in ys[:0:-1]]
        s = self.print_scale
        return tuple(Target(n, float(x) * s, float(y) * s) for n, (x, y) in enumerate(walk))

    @property
    def centres_mm(self) -> FloatArray:
        """Centres of the targets ``(n, 2)``."""
        return np.array([(t.x_mm, t.y_mm) for t in self.targets])

    @property
    def radius_mm(self) -> float:
        """True radius of the targets."""
        return self.target_radius_mm * self.print_scale

    @property
    def free_mm(self) -> tuple[float, float, float, float]:
        """The free area: x, y of its upper left and x, y of its lower right corner."""
        edge = self._inset() + 1.15 * self.target_radius_mm
        box = (edge, edge, self.width_mm - edge, self.height_mm - edge - RULER_MM)
        return tuple(v * self.print_scale for v in box)  # type: ignore[return-value]

    @property
    def sheet_mm(self) -> tuple[float, float, float, float]:
        """The whole sheet, in the same manner."""
        return (0.0, 0.0, self.width_mm * self.print_scale, self.height_mm * self.print_scale)


@lru_cache(maxsize=1)
def codes() -> tuple[tuple[bool, ...], ...]:
    """Give the codes of the targets in order: black sectors, clockwise."""
    return tuple(tuple(bool(number >> k & 1) for k in range(BITS)) for number in CODE_NUMBERS)


def decode(bits: np.ndarray) -> tuple[int | None, bool]:
    """Find which target has this code, read from any angle.

    Parameters
    ----------
    bits
        ``(16,)`` bool: black sectors, clockwise.

    Returns
    -------
    int or None
        Number of the target; ``None`` when there is none.
    bool
        Whether it was found in the mirror image.
    """
    table = _table()
    key = int(bits @ (1 << np.arange(BITS)))
    return table.get(key, (None, False))


@lru_cache(maxsize=1)
def _table() -> dict[int, tuple[int | None, bool]]:
    weights = 1 << np.arange(BITS)
    table: dict[int, tuple[int | None, bool]] = {}
    for number, code in enumerate(codes()):
        for mirrored in (False, True):
            bits = np.array(code[::-1] if mirrored else code)
            table |= {int(np.roll(bits, k) @ weights): (number, mirrored) for k in range(BITS)}
    return table

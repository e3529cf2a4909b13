"""Positions of parallel planes along their normal: how many fit, where they lie, onto which slices they move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from comould.errors import InputError
from comould.space import FloatArray

UNIFORM_TOLERANCE = 0.2
"""Largest relative change of spacing that keeps the planes equally spaced on slices."""

TOLERANCE_MM = 0.01
"""Lengths that differ by less are equal: the float32 headers of NIfTI must not decide how many planes there are."""


@dataclass(frozen=True)
class Room:
    """The stretch of the normal the specimen takes up, and the rules for planes in it; all mm.

    Parameters
    ----------
    low, high
        Ends of the specimen.
    spacing
        Distance asked for between planes.
    least_gap
        Least distance of two planes.
    end
        Least tissue beyond the first and last plane.
    step
        Distance of the slices the planes snap to, or ``None``.
    phase
        Position of one of those slices.
    """

    low: float
    high: float
    spacing: float
    least_gap: float
    end: float
    step: float | None = None
    phase: float = 0.0

    @property
    def uniform(self) -> bool:
        """Whether planes can be equally spaced (on slices, if they snap) without straying far from what was asked."""
        if self.step is None:
            return True
        # Snapped one by one, neighbours may lie as close as the whole slices in a spacing: unless ribs get too thin.
        too_close = max(1, int(self.spacing / self.step + 1e-3)) * self.step < self.least_gap - TOLERANCE_MM
        return abs(self.whole - self.spacing) <= UNIFORM_TOLERANCE * self.spacing + TOLERANCE_MM or too_close

    @property
    def apart(self) -> float:
        """Distance planes will have, on average."""
        return self.whole if self.uniform else self.spacing

    @property
    def whole(self) -> float:
        """Whole number of slices nearest the distance asked for (halves go down) that leaves ribs thick enough."""
        if self.step is None:
            return self.spacing
        near = int(np.floor(self.spacing / self.step + 0.5 - 1e-3))
        return max(1, near, int(np.ceil(self.least_gap / self.step - 1e-3))) * self.step

    def on_slices(self, at: FloatArray) -> FloatArray:
        """Move positions to the nearest slices; the order is kept, planes of one slice stay double."""
        if self.step is None:
            return at
        # Halves go down, so that a plane midway between two slices does not depend on rounding noise.
        return np.asarray(np.ceil((at - self.phase) / self.step - 0.5 - 1e-3) * self.step + self.phase)

    def centred(self) -> FloatArray:
        """Give as many planes as fit, centred on the specimen."""
        at: FloatArray = np.zeros(1)
        # Snapping moves planes by up to half a slice: with one plane fewer the end slabs are thick enough again.
        for count in range(self._count(), 0, -1):
            at = 0.5 * (self.low + self.high) + self.apart * (np.arange(count, dtype=np.float64) - 0.5 * (count - 1))
            if self.uniform:
                at = self.on_slices(at[:1]) + self.apart * np.arange(count)
            else:
                at = np.unique(self.on_slices(at))
            if self.thinnest_end(at) >= self.end - TOLERANCE_MM:
                break
        return at

    def through(self, anchor: float) -> FloatArray:
        """Give as many planes as fit, one of them at a position (or as near to it as the end slabs allow)."""
        first, last = self.low + self.end, self.high - self.end
        if first > last:
            return self.on_slices(np.array([0.5 * (self.low + self.high)]))
        start = float(self.on_slices(np.array([min(max(anchor, first), last)]))[0])
        if self.step is not None and not first - TOLERANCE_MM <= start <= last + TOLERANCE_MM:
            inwards = start + self.step * (1.0 if start < first else -1.0)
            start = inwards if first - TOLERANCE_MM <= inwards <= last + TOLERANCE_MM else start
        before = max(int(np.floor((start - first + TOLERANCE_MM) / self.apart)), 0)
        after = max(int(np.floor((last - start + TOLERANCE_MM) / self.apart)), 0)
        at: FloatArray = start + self.apart * np.arange(-before, after + 1, dtype=np.float64)
        if not self.uniform:
            at = np.unique(self.on_slices(at))
            fits = (at >= first - TOLERANCE_MM) & (at <= last + TOLERANCE_MM)
            at = at[fits] if fits.any() else np.array([start])
        return at

    def listed(self, positions: Sequence[float]) -> FloatArray:
        """Take positions as given, sorted; snapped where planes snap.

        Raises
        ------
        InputError
            With every position that is double, too near another, or too near or beyond an end of the specimen.
        """
        asked = np.sort(np.asarray(positions, dtype=np.float64))
        at = self.on_slices(asked)
        problems = []
        for mm, where in zip(asked, at, strict=True):
            if not self.low < mm < self.high:
                problems.append(f"{mm:g} lies outside the specimen")
            elif (slab := min(where - self.low, self.high - where)) < self.end - TOLERANCE_MM:
                problems.append(f"{mm:g} leaves an end slab of {max(slab, 0.0):.2f} mm (at least {self.end:g})")
        for n in range(len(at) - 1):
            one, two, gap = asked[n], asked[n + 1], at[n + 1] - at[n]
            if two - one < TOLERANCE_MM:
                problems.append(f"{one:g} is given twice")
            elif gap < TOLERANCE_MM:
                problems.append(f"{one:g} and {two:g} fall on one slice (snap=false keeps them apart)")
            elif gap < self.least_gap - TOLERANCE_MM:
                problems.append(f"{one:g} and {two:g} are cut {gap:.3g} mm apart (at least {self.least_gap:g})")
        if problems:
            raise InputError.collect(
                subject="positions_mm",
                problems=problems,
                remedy="Distances are from the patient origin along the cuts' normal, where this specimen reaches from "
                f"{self.low:.1f} to {self.high:.1f} mm",
            )
        return at

    def thinnest_end(self, at: FloatArray) -> float:
        """Least tissue beyond the first and the last plane."""
        return float(min(at[0] - self.low, self.high - at[-1]))

    def _count(self) -> int:
        return max(int(np.floor((self.high - self.low - 2 * self.end + TOLERANCE_MM) / self.apart)) + 1, 1)

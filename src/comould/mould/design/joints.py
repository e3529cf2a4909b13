"""How bodies meet: keyed pins in lugs at three corners, tabs for clamps."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import ComouldWarning
from comould.mould.design.layout import TEXT_MARGIN_MM, Layout
from comould.mould.design.text import Patch
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import Manifold

PIN_HEIGHT_MM = 6.0
_CORNERS = {"low-low": (-1.0, -1.0), "high-low": (1.0, -1.0), "high-high": (1.0, 1.0), "low-high": (-1.0, 1.0)}
CHIP_SHARE = 0.33
TOLD_MM3 = 300.0

KEY_CORNER = "low-high"
"""The corner that carries the key, and no pin."""

FIRST_PIN_MORE_MM = 1.5
"""The first pin is thicker than the others: turned by half a turn it meets the socket of a thinner one."""

TAB_LENGTH_MM = 20.0
_TAB_MM = 4.0
_SEGMENTS = 48
_SKIN_MM = 3.0


@dataclass(frozen=True, eq=False)
class Pins:
    """Three pins, none at the key corner and one thicker: turned round, the bodies do not go together.

    Parameters
    ----------
    at
        ``(3, 2)`` centres, mould frame.
    pin_mm, gap_mm
        Diameter of all but the first, and gap all round.
    """

    at: FloatArray
    pin_mm: float
    gap_mm: float

    @classmethod
    def beside(cls, layout: Layout, pin_mm: float, gap_mm: float) -> Pins:
        """Stand them in lugs on the cut corners of the outline."""
        corners = {name: layout.core.towards(signs) for name, signs in _CORNERS.items() if name != KEY_CORNER}
        # Half of a pin outside, so that the lug grows out of the wall.
        out = (0.5 * pin_mm + 1.0) / np.sqrt(2.0)
        return cls(np.array([at + out * np.array(_CORNERS[name]) for name, at in corners.items()]), pin_mm, gap_mm)

    def in_the_way(self, layout: Layout, low_z: float, high_z: float) -> dict[str, list[Patch]]:
        """Tell which parts of the walls the lugs between two heights cover or hide."""
        reach = self._radii(self.gap_mm + _SKIN_MM)[0] + TEXT_MARGIN_MM
        core, found = layout.core, {}
        for wall, axis, edge in (
            ("-x", 0, core.low), ("+x", 0, core.high), ("-y", 1, core.low), ("+y", 1, core.high),
        ):  # fmt: skip
            near = self.at[np.abs(self.at[:, axis] - edge[axis]) < reach]
            found[wall] = [(float(p[1 - axis]) - reach, float(p[1 - axis]) + reach, low_z, high_z) for p in near]
        return found

    def lugs(self, low_z: float, high_z: float) -> Manifold:
        """Make the columns the pins stand in."""
        return self._columns(self._radii(self.gap_mm + _SKIN_MM), low_z, high_z)

    def pins(self, z: float) -> Manifold:
        """Make the pins on a plane, rooted below it and chamfered at the end."""
        end = z + PIN_HEIGHT_MM
        radii = self._radii(0.0)
        tips = [r - 0.8 for r in radii]
        return self._columns(radii, z - 1.0, end - 1.0) + self._columns(radii, end - 1.0, end, tips)

    def sockets(self, z: float) -> Manifold:
        """Make the holes above a plane that take the pins."""
        return self._columns(self._radii(self.gap_mm), z - 1.0, z + PIN_HEIGHT_MM + 0.5)

    def _radii(self, more: float) -> list[float]:
        return [0.5 * (self.pin_mm + (0.0 if n else FIRST_PIN_MORE_MM)) + more for n in range(len(self.at))]

    def _columns(
        self, radii: Sequence[float], low_z: float, high_z: float, tops: Sequence[float] | None = None
    ) -> Manifold:
        from manifold3d import Manifold, OpType

        columns = [
            Manifold.cylinder(high_z - low_z, low, high, _SEGMENTS).translate((float(x), float(y), low_z))
            for (x, y), low, high in zip(self.at, radii, tops or radii, strict=True)
        ]
        return Manifold.batch_boolean(columns, OpType.Add)


def without_chips(solid: Manifold) -> tuple[Manifold, Manifold]:
    """Part a body from small pieces that slots and cavity have cut loose.

    What stands on the plate cannot come loose; of a body without one, an island between two lobes of the cavity can.
    The frame beyond the slots' ends, which guides the knife, is always one piece. Anything as large as a third of it is
    no island: it stays, and the check for one body refuses it.

    Warns
    -----
    ComouldWarning
        If an island is more than a chip.
    """
    from manifold3d import Manifold, OpType

    pieces = sorted(solid.decompose(), key=lambda piece: -piece.volume())
    least = CHIP_SHARE * pieces[0].volume()
    kept = [piece for piece in pieces if piece.volume() >= least]
    chips = [piece for piece in pieces if piece.volume() < least]
    if chips and chips[0].volume() > TOLD_MM3:
        lost = sum(chip.volume() for chip in chips) / 1000.0
        warnings.warn(
            f"mould: {lost:.1f} ml of islands inside the specimen's outline left out, which nothing would hold; "
            "there the knife is guided at both ends only",
            ComouldWarning,
            stacklevel=5,
        )
    return Manifold.batch_boolean(kept, OpType.Add), Manifold.batch_boolean([Manifold(), *chips], OpType.Add)


def clamp_tabs(layout: Layout, z: float, width_mm: float, *, above: bool) -> Manifold:
    """Make tabs on both end walls at a parting plane, on 45° brackets that print without support.

    Parameters
    ----------
    layout
        Dimensions.
    z
        Parting plane.
    width_mm
        How far they stand out.
    above
        Tabs of the upper body instead of the lower.
    """
    from manifold3d import Manifold, OpType

    thick, half, up = _TAB_MM, 0.5 * TAB_LENGTH_MM, 1.0 if above else -1.0
    made = []
    for wall, side, out in (("-x", layout.core.low[0], -1.0), ("+x", layout.core.high[0], 1.0)):
        middle = float(np.mean(layout.core.flats[wall]))
        points = [
            (side + out * reach, middle + along, z + up * height)
            for along in (-half, half)
            for reach, height in (
                (-0.5, 0.0), (width_mm, 0.0), (width_mm, thick), (-0.5, thick + width_mm),
            )
        ]  # fmt: skip
        made.append(Manifold.hull_points(np.array(points)))
    return Manifold.batch_boolean(made, OpType.Add)

"""Fins: material too thin to print or to guide a knife, where a wall of the cavity runs along a slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comould.mould.design.layout import Layout
from comould.mould.parameters import Parameters

if TYPE_CHECKING:
    from manifold3d import CrossSection, Manifold

FIN_MM = 1.2
"""Thinner than this a wall beside a slot is a fin: three strands of a common nozzle."""

WIDE_MM = 1.5
"""Half the width a fin must have; where the cavity's wall leans away from the slot its edge is only a feather."""

_Y_Z_X = ((0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (1.0, 0.0, 0.0, 0.0))


def fins(cavity: Manifold, layout: Layout, size: Parameters, *, low_z: float = 0.0, high_z: float = np.inf) -> Manifold:
    """Find the fins between slots and a cavity, each with the piece of slot beside it; to be taken away.

    Parameters
    ----------
    cavity
        Mould frame.
    layout, size
        The slots.
    low_z, high_z
        Part of the height to look at: that of the body.
    """
    from manifold3d import Manifold, OpType

    turned = cavity.transform(np.array(_Y_Z_X))
    made = [Manifold()]
    for slot in layout.slots:
        for side in (-1.0, 1.0):
            face = slot.x + 0.5 * side * size.slot_mm
            if max(slot.floor_z, low_z) >= min(float(layout.high[2]), high_z):
                continue
            gap = turned.slice(face + side * FIN_MM) - turned.slice(face)
            thin = _wide(gap ^ _window(slot.y, (max(slot.floor_z, low_z), min(float(layout.high[2]), high_z))))
            if thin.area() > 1.0:
                # Drawn in y, z; extruded along z, which becomes x.
                prism = thin.extrude(FIN_MM + 0.5 * size.slot_mm)
                start = min(slot.x, slot.x + side * (FIN_MM + 0.5 * size.slot_mm))
                made.append(prism.transform(np.array([[0, 0, 1, start], [1, 0, 0, 0], [0, 1, 0, 0]], dtype=float)))
    return Manifold.batch_boolean(made, OpType.Add)


def _wide(shape: CrossSection) -> CrossSection:
    """Keep the pieces that are somewhere wide, whole: what is left of a piece would be loose."""
    from manifold3d import CrossSection, JoinType, OpType

    pieces = [piece for piece in shape.decompose() if not piece.offset(-WIDE_MM, JoinType.Round).is_empty()]
    kept = [piece.offset(0.05, JoinType.Round, circular_segments=16) for piece in pieces]
    return CrossSection.batch_boolean([CrossSection(), *kept], OpType.Add)


def _window(y: tuple[float, float], z: tuple[float, float]) -> CrossSection:
    from manifold3d import CrossSection

    return CrossSection.square((y[1] - y[0], z[1] - z[0])).translate((y[0], z[0]))

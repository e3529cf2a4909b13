"""What a design gives: bodies in the mould frame, and what was done on purpose, so that checks can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from comould.mould.design.cuts import Slit
from comould.mould.design.layout import Layout
from comould.mould.design.text import Mark
from comould.mould.form import Form
from comould.mould.parameters import Parameters
from comould.space import FloatArray

if TYPE_CHECKING:
    from manifold3d import Manifold


@dataclass(frozen=True, eq=False)
class Order:
    """What a design is made of.

    Parameters
    ----------
    form
        The specimen and its spaces.
    slots_x
        Cutting planes along mould x, at the patient origin.
    size
        Settings.
    letters
        Patient direction of each outward normal.
    name
        The mould's name.
    """

    form: Form
    slots_x: FloatArray
    size: Parameters
    letters: Mapping[str, str]
    name: str


@dataclass(frozen=True, eq=False)
class Parts:
    """Bodies of one mould, mould frame, mm.

    Parameters
    ----------
    bodies
        By name, as they stand together.
    layout
        Dimensions.
    outer
        The mould before anything was taken out of it: what is outside is not its business.
    taken
        Everything taken out on purpose besides cavity and slots: marks, hollow underside, drains, slit, sockets.
    marks
        Engraved text.
    parting_z
        Where two halves meet that both enclose the specimen, or ``None``.
    slit
        The lengthwise orientation cut, if there is one.
    upside_down
        Bodies that are printed turned over.
    """

    bodies: dict[str, Manifold]
    layout: Layout
    outer: Manifold
    taken: Manifold
    marks: tuple[Mark, ...]
    parting_z: float | None = None
    slit: Slit | None = None
    upside_down: frozenset[str] = field(default_factory=frozenset)

    def print_from_mould(self, name: str) -> FloatArray:
        """``(4, 4)`` that stands a body on the print bed."""
        low, high = np.array(self.bodies[name].bounding_box()).reshape(2, 3)
        matrix = np.eye(4)
        if name in self.upside_down:
            matrix[1, 1] = matrix[2, 2] = -1.0
            matrix[2, 3] = high[2]
        else:
            matrix[2, 3] = -low[2]
        return matrix

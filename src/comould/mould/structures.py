"""Landmark structures: a vessel or tube gets a window through the wall, a contact is printed as a coloured inlay."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from comould.errors import ComouldWarning, InputError
from comould.mould.design import Parts
from comould.mould.form import solid_of
from comould.mould.lesion import find_lesion
from comould.mould.parameters import Parameters
from comould.mould.surface import distance_field, grid_step
from comould.space import FloatArray

if TYPE_CHECKING:
    import SimpleITK as sitk
    from manifold3d import Manifold

LEAST_MARK_MM3 = 0.05
"""A window that takes more of an engraved mark takes the mark."""

CHIP_SHARE = 0.03
"""Pieces that a window or inlay cuts loose below this share of their body are chips."""

LEAST_PIECE_MM3 = 8.0
"""Smaller bits of an inlay stay part of the mould: they would not print."""


@dataclass(frozen=True, eq=False)
class Structure:
    """Something beside the specimen that the mould shows or makes room for.

    Parameters
    ----------
    name
        For people and for the 3MF: letters, digits, ``-`` and ``_``.
    mask
        Label image, patient LPS; need not have the specimen's grid.
    role
        ``"window"`` leaves the way out of the mould free, sideways and upwards; ``"inlay"`` prints the part of the
        wall that the structure touches as a separate body of its own colour.
    colour
        ``"#rrggbb"`` of an inlay.
    reach_mm
        A window is this much wider than the structure all round; an inlay reaches this deep into the wall.

    Raises
    ------
    InputError
        If one of these is not as described.
    """

    name: str
    mask: sitk.Image
    role: Literal["window", "inlay"] = "inlay"
    colour: str = "#d1495b"
    reach_mm: float = 2.0

    def __post_init__(self) -> None:
        problems = []
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", self.name):
            problems.append("the name is not 1 to 40 letters, digits, - or _")
        if self.role not in {"window", "inlay"}:
            problems.append(f"role {self.role!r} is neither 'window' nor 'inlay'")
        if not re.fullmatch(r"#[0-9A-Fa-f]{6}", self.colour):
            problems.append(f"colour {self.colour!r} is not #rrggbb")
        if not 0.0 < self.reach_mm <= 20.0:
            problems.append(f"reach {self.reach_mm} mm is not between 0 and 20 mm")
        if problems:
            raise InputError.collect(subject=f"structure {self.name!r}", problems=problems)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What became of a structure in the mould.

    Parameters
    ----------
    name, role, colour
        Of the structure.
    solid
        The inlay, mould frame; ``None`` for a window.
    body
        The body an inlay lies in.
    """

    name: str
    role: str
    colour: str
    solid: Manifold | None = None
    body: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        volume = None if self.solid is None else self.solid.volume() / 1000.0
        return {"name": self.name, "role": self.role, "colour": self.colour, "body": self.body, "volume_ml": volume}


def fitted(
    parts: Parts, structures: Sequence[Structure], rotation: FloatArray, size: Parameters
) -> tuple[Parts, list[Fitted]]:
    """Cut windows and part inlays off the bodies.

    Parameters
    ----------
    parts
        The mould.
    structures
        Names must differ from each other and from the bodies'.
    rotation
        ``(3, 3)`` ``mould_from_patient``.
    size
        For the clearance.

    Raises
    ------
    InputError
        If a name is used twice or a structure does not touch the mould.
    """
    names = [*parts.bodies, *(structure.name for structure in structures)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(subject=f"structure {twice[0]!r}", expected="a name of its own", found="one used twice")
    found = []
    # Windows first: an inlay lies in what is left.
    for structure in sorted(structures, key=lambda one: one.role != "window"):
        if structure.role == "window":
            parts = _with_window(parts, structure, rotation)
            found.append(Fitted(structure.name, structure.role, structure.colour))
        else:
            parts, inlays = _with_inlay(parts, structure, rotation, size)
            found += inlays
    return parts, found


def _grown(structure: Structure, rotation: FloatArray, shift: FloatArray, by_mm: float) -> Manifold:
    """Make the structure, larger all round, in the mould frame."""
    with warnings.catch_warnings():
        # Specks and image borders matter for a specimen, not for a landmark.
        warnings.simplefilter("ignore", ComouldWarning)
        lesion = find_lesion(structure.mask, "all")
    margin = by_mm + 2.0
    # A landmark need not be finer than the mould it is cut with: that would only leave slivers.
    step = max(grid_step(lesion, margin), 0.5)
    field = distance_field(lesion, rotation, step_mm=step, margin_mm=margin, above_mm=0.0)
    vertices, faces = field.exact_near(by_mm, field.mesh(0.0)).mesh(by_mm)
    return solid_of((vertices + shift, faces), f"structure {structure.name!r}").simplify(0.02)


def _with_window(parts: Parts, structure: Structure, rotation: FloatArray) -> Parts:
    from manifold3d import Manifold, OpType

    layout = parts.layout
    grown = _grown(structure, rotation, layout.shift, structure.reach_mm)
    middle = 0.5 * (layout.tissue_low + layout.tissue_high)[:2]
    far = float(np.linalg.norm(layout.high - layout.low)) + 20.0
    ways = []
    for piece in grown.decompose():
        low, high = np.array(piece.bounding_box()).reshape(2, 3)
        out = 0.5 * (low + high)[:2] - middle
        length = float(np.linalg.norm(out))
        out = far * out / length if length > 1.0 else np.zeros(2)
        # Down to where the structure leaves the specimen, out through the wall, and up: so that it goes in from above.
        moves = [(x, y, z) for x, y in ((0.0, 0.0), tuple(out)) for z in (0.0, far)]
        ways.append(Manifold.batch_hull([piece.translate(move) for move in moves]))
    way = Manifold.batch_boolean(ways, OpType.Add)
    if (parts.outer ^ way).is_empty():
        raise _misses(structure)
    bodies, taken = {}, parts.taken + way
    for name, body in parts.bodies.items():
        bodies[name], chips = _main(body - way)
        taken += chips
    lost = [mark for mark in parts.marks if (mark.solid() ^ way).volume() > LEAST_MARK_MM3]
    if lost:
        warnings.warn(
            f"window {structure.name!r}: it takes away the mark{'s' * (len(lost) > 1)} "
            f"{', '.join(repr(mark.text) for mark in lost)}",
            ComouldWarning,
            stacklevel=4,
        )
    left = tuple(mark for mark in parts.marks if mark not in lost)
    return replace(parts, bodies=bodies, taken=taken, marks=left)


def _with_inlay(
    parts: Parts, structure: Structure, rotation: FloatArray, size: Parameters
) -> tuple[Parts, list[Fitted]]:
    near = _grown(structure, rotation, parts.layout.shift, size.clearance_mm + structure.reach_mm)
    bodies, inlays = dict(parts.bodies), {}
    for name, body in parts.bodies.items():
        inlay = _pieces(body ^ near)
        if not inlay.is_empty():
            # Cut twice by the same surface: taking the inlay itself away would leave edges that only touch.
            bodies[name], inlays[name] = _main(body - near)[0], inlay
    if not inlays:
        raise _misses(structure)
    made = [
        Fitted(
            structure.name if len(inlays) == 1 else f"{structure.name}_{body}",
            structure.role,
            structure.colour,
            solid,
            body,
        )
        for body, solid in inlays.items()
    ]
    return replace(parts, bodies=bodies), made


def _pieces(solid: Manifold) -> Manifold:
    """Keep the pieces that are large enough to print, without what is shut in inside them."""
    from manifold3d import Manifold, OpType

    kept = [piece for piece in solid.decompose() if piece.volume() >= LEAST_PIECE_MM3]
    return Manifold.batch_boolean([Manifold(), *kept], OpType.Add)


def _main(body: Manifold) -> tuple[Manifold, Manifold]:
    """Part a body from chips cut loose, and close what is shut in; larger pieces are for the checks to refuse."""
    from manifold3d import Manifold, OpType

    pieces = body.decompose()
    least = CHIP_SHARE * body.volume()
    kept = [piece for piece in pieces if piece.volume() >= least]
    chips = [piece for piece in pieces if 0 < piece.volume() < least]
    whole = body if len(kept) == len(pieces) else Manifold.batch_boolean([Manifold(), *kept], OpType.Add)
    return whole, Manifold.batch_boolean([Manifold(), *chips], OpType.Add)


def _misses(structure: Structure) -> InputError:
    return InputError(
        subject=f"structure {structure.name!r}",
        expected="a structure that touches or leaves the specimen",
        found="one that nowhere meets the mould",
        remedy="Check its frame and its mask, or give a larger reach_mm",
    )

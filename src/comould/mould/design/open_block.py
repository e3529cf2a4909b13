"""Open block: the specimen lies in a cavity open at the top, slots cut down from above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from comould.mould.design import cuts, hollow, outer, text
from comould.mould.design.cuts import Slit
from comould.mould.design.fins import fins
from comould.mould.design.joints import without_chips
from comould.mould.design.layout import Layout, plan_layout
from comould.mould.design.parts import Order, Parts
from comould.mould.form import Surface, shifted, solid_of
from comould.mould.parameters import Parameters

if TYPE_CHECKING:
    from manifold3d import CrossSection, Manifold


def make(order: Order) -> Parts:
    """Make the block minus cavity, slots and marks: one body."""
    size = order.size
    layout = plan_layout(order.form.specimen[0], order.slots_x, size, up_letters=len(order.letters["+z"]))
    whole = outer.block(layout, size)
    cavity = shifted(order.form.opened_up(), layout.shift)
    taken = removals(order, layout, cavity, layout.core.section())
    marks = text.frame_marks(layout, size, order.letters, order.name, slit=taken.slit)
    hole = solid_of(cavity)
    gone = taken.solid + text.engraved(marks) + fins(hole, layout, size)
    solid, chips = without_chips(minus(whole, [cuts.slots(layout, size), gone, hole]))
    return Parts({"mould": solid}, layout, whole, gone + chips, tuple(marks), slit=taken.slit)


@dataclass(frozen=True, eq=False)
class Removals:
    """What is taken out of a mould besides cavity, slots and marks."""

    solid: Manifold
    slit: Slit | None


def removals(
    order: Order, layout: Layout, cavity: Surface, shape: CrossSection, *, least_slit_z: float = 0.0
) -> Removals:
    """Make hollow cells, drains and orientation slit.

    Parameters
    ----------
    order
        What was asked for.
    layout
        Dimensions.
    cavity
        Its surface, mould frame.
    shape
        Outline from above.
    least_slit_z
        The slit is left out where it would go below this height and cut a body in two.
    """
    from manifold3d import Manifold, OpType

    size: Parameters = order.size
    solids: list[Manifold] = [Manifold()]
    if size.hollow and (found := hollow.cells(hollow.Ceiling.of(cavity[0], layout, size), layout, size, shape)):
        solids.append(found)
    if (holes := cuts.drains(layout, size)) is not None:
        solids.append(holes)
    vertices, faces = order.form.specimen
    slit = cuts.orientation_slit((vertices + layout.shift)[faces], layout, size, least_z=least_slit_z)
    if slit is not None:
        solids.append(cuts.slit_solid(slit, layout, size))
    return Removals(Manifold.batch_boolean(solids, OpType.Add), slit)


def minus(whole: Manifold, parts: list[Manifold]) -> Manifold:
    """Take parts away."""
    from manifold3d import Manifold, OpType

    return Manifold.batch_boolean([whole, *parts], OpType.Subtract)

"""Two parts: halves closed round the specimen at its widest outline, for shapes no single opening lets in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from comould.mould.design import cuts, outer, text
from comould.mould.design.fins import fins
from comould.mould.design.joints import TAB_LENGTH_MM, Pins, clamp_tabs, without_chips
from comould.mould.design.layout import deepened, plan_layout, raised
from comould.mould.design.open_block import minus, removals
from comould.mould.design.parts import Order, Parts
from comould.mould.form import shifted, solid_of
from comould.mould.parameters import TwoPart


def make(order: Order) -> Parts:
    """Make a lower and an upper half, keyed by pins; the knife cuts through the upper into the lower."""
    size = TwoPart.model_validate(order.size.model_dump())
    # Flat, so that the upper half is printed on its top.
    layout = plan_layout(order.form.specimen[0], order.slots_x, size, up_letters=len(order.letters["+z"]))
    layout = raised(layout, float(layout.high[2]))
    parting = order.form.parting_z()
    lower_cavity, upper_cavity = (shifted(part, layout.shift) for part in order.form.opened_at(parting))
    z = parting + float(layout.shift[2])
    layout = deepened(layout, z, size.base_mm)
    pins = Pins.beside(layout, size.pin_mm, size.pin_clearance_mm)
    high = float(layout.high[2])
    whole = outer.block(layout, size) + pins.lugs(0.0, high)
    if size.clamp_mm > 0:
        whole += clamp_tabs(layout, z, size.clamp_mm, above=False) + clamp_tabs(layout, z, size.clamp_mm, above=True)
    taken = removals(order, layout, lower_cavity, layout.core.section(), least_slit_z=z + 4.0)
    busy = pins.in_the_way(layout, 0.0, high)
    for wall, patches in busy.items():
        patches.append((-np.inf, np.inf, z, z + 1e-6))
        if size.clamp_mm > 0 and wall[1] == "x":
            middle, reach = float(np.mean(layout.core.flats[wall])), 0.5 * TAB_LENGTH_MM + 1.0
            patches.append((middle - reach, middle + reach, z - size.clamp_mm - 5.0, z + size.clamp_mm + 5.0))
    marks = text.frame_marks(layout, size, order.letters, order.name, slit=taken.slit, taken_up=busy)
    below, above = solid_of(lower_cavity), solid_of(upper_cavity)
    gone = taken.solid + text.engraved(marks)
    gone += fins(below, layout, size, high_z=z) + fins(above, layout, size, low_z=z)
    cut = minus(whole, [cuts.slots(layout, size), gone])
    upper, lower = cut.split_by_plane((0.0, 0.0, 1.0), z)
    upper, chips = without_chips(minus(upper, [above, pins.sockets(z)]))
    return Parts(
        {
            "lower": lower - below + pins.pins(z),
            "upper": upper,
        },
        layout,
        whole,
        gone + chips,
        tuple(replace(mark, body="upper" if mark.at[2] > z else "lower") for mark in marks),
        parting_z=z,
        slit=taken.slit,
        upside_down=frozenset({"upper"}),
    )

"""Slab and guide: a low base that the specimen is laid into in plain sight, and a knife guide pinned on afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from comould.mould.design import cuts, outer, text
from comould.mould.design.fins import fins
from comould.mould.design.joints import PIN_HEIGHT_MM, Pins, without_chips
from comould.mould.design.layout import deepened, plan_layout, raised
from comould.mould.design.open_block import minus, removals
from comould.mould.design.parts import Order, Parts
from comould.mould.form import shifted, solid_of
from comould.mould.parameters import SlabAndGuide

LEAST_GUIDE_MM = PIN_HEIGHT_MM + 3.0
"""Height of the guide's frame where the specimen is lowest: room for a pin and a roof over it."""


def make(order: Order) -> Parts:
    """Make the open block in two bodies: what lies below the split, and the guide above it."""
    size = SlabAndGuide.model_validate(order.size.model_dump())
    layout = plan_layout(order.form.specimen[0], order.slots_x, size, up_letters=len(order.letters["+z"]))
    split = float(layout.tissue_low[2] + size.split_share * (layout.tissue_high[2] - layout.tissue_low[2]))
    layout = deepened(raised(layout, split + LEAST_GUIDE_MM), split, size.base_mm)
    pins = Pins.beside(layout, size.pin_mm, size.pin_clearance_mm)
    top = min(split + LEAST_GUIDE_MM, float(layout.high[2]))
    whole = outer.block(layout, size) + pins.lugs(0.0, top)
    cavity = shifted(order.form.opened_up(), layout.shift)
    taken = removals(order, layout, cavity, layout.core.section(), least_slit_z=split + 4.0)
    busy = pins.in_the_way(layout, 0.0, top)
    for patches in busy.values():
        patches.append((-np.inf, np.inf, split, split + 1e-6))
    marks = text.frame_marks(layout, size, order.letters, order.name, slit=taken.slit, taken_up=busy)
    hole = solid_of(cavity)
    gone = taken.solid + text.engraved(marks) + fins(hole, layout, size)
    solid = minus(whole, [cuts.slots(layout, size), gone, hole])
    guide, base = solid.split_by_plane((0.0, 0.0, 1.0), split)
    # The guide is set over the specimen from above: whatever widens above the split must pass through it.
    passing = solid_of(shifted(order.form.opened_at(split - float(layout.shift[2]))[1], layout.shift))
    passing += fins(passing, layout, size, low_z=split)
    passage = passing.trim_by_plane((0.0, 0.0, 1.0), split) - hole
    guide, chips = without_chips(minus(guide, [passing, pins.sockets(split)]))
    return Parts(
        {"base": base + pins.pins(split), "guide": guide},
        layout,
        whole,
        gone + chips + passage,
        tuple(replace(mark, body="guide" if mark.at[2] > split else "base") for mark in marks),
        slit=taken.slit,
    )

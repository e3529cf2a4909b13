"""Designs: how a mould is put together. Each takes an order and gives bodies in the mould frame."""

from __future__ import annotations

from comould.mould.design import open_block, shell, slab_and_guide, two_part
from comould.mould.design.parts import Order, Parts

CONSTRUCT = {
    "open_block": open_block.make,
    "shell": shell.make,
    "slab_and_guide": slab_and_guide.make,
    "two_part": two_part.make,
}
"""The construction of each design."""

__all__ = ["CONSTRUCT", "Order", "Parts"]

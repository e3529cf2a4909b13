"""Slabs, cores, sampling plates and cassette blocks: where tissue is taken, so that every habitat is.

Every name loads its module when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.mould.sampling.blocking import Block, Blocks, block_slab, plan_blocks
    from comould.mould.sampling.cores import plan_cores
    from comould.mould.sampling.options import CoreOptions, PlateOptions
    from comould.mould.sampling.plate_body import Plate, plate, plates
    from comould.mould.sampling.result import Core, SamplingPlan, Shortfall
    from comould.mould.sampling.slab import Slab, slabs
    from comould.mould.sampling.write import write_sampling

_MODULE_OF = {
    "Block": "blocking",
    "Blocks": "blocking",
    "Core": "result",
    "CoreOptions": "options",
    "Plate": "plate_body",
    "PlateOptions": "options",
    "SamplingPlan": "result",
    "Shortfall": "result",
    "Slab": "slab",
    "block_slab": "blocking",
    "plan_blocks": "blocking",
    "plan_cores": "cores",
    "plate": "plate_body",
    "plates": "plate_body",
    "slabs": "slab",
    "write_sampling": "write",
}

__all__ = [
    "Block",
    "Blocks",
    "Core",
    "CoreOptions",
    "Plate",
    "PlateOptions",
    "SamplingPlan",
    "Shortfall",
    "Slab",
    "block_slab",
    "plan_blocks",
    "plan_cores",
    "plate",
    "plates",
    "slabs",
    "write_sampling",
]

__getattr__, __dir__ = attach(__name__, _MODULE_OF)

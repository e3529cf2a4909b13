"""Segmentation and template → printable mould and cutting planes.

Every name loads its module when first used, so that ``import comould.mould`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.mould.assemble import build
    from comould.mould.fit.scan import fit_scan
    from comould.mould.fit.slab import fit_slab
    from comould.mould.lesion import select_lesion
    from comould.mould.parameters import Parameters
    from comould.mould.printability import PrintReport, check
    from comould.mould.result import Mould
    from comould.mould.sampling.blocking import block_slab, plan_blocks
    from comould.mould.sampling.cores import plan_cores
    from comould.mould.sampling.options import CoreOptions, PlateOptions
    from comould.mould.sampling.plate_body import plate, plates
    from comould.mould.sampling.result import SamplingPlan
    from comould.mould.sampling.slab import Slab, slabs
    from comould.mould.sampling.write import write_sampling
    from comould.mould.template import Template, load_template, templates

_MODULE_OF = {
    "CoreOptions": "sampling.options",
    "Mould": "result",
    "Parameters": "parameters",
    "PlateOptions": "sampling.options",
    "PrintReport": "printability",
    "SamplingPlan": "sampling.result",
    "Slab": "sampling.slab",
    "Template": "template",
    "block_slab": "sampling.blocking",
    "build": "assemble",
    "check": "printability",
    "fit_scan": "fit.scan",
    "fit_slab": "fit.slab",
    "load_template": "template",
    "plan_blocks": "sampling.blocking",
    "plan_cores": "sampling.cores",
    "plate": "sampling.plate_body",
    "plates": "sampling.plate_body",
    "select_lesion": "lesion",
    "slabs": "sampling.slab",
    "templates": "template",
    "write_sampling": "sampling.write",
}

__all__ = [
    "CoreOptions",
    "Mould",
    "Parameters",
    "PlateOptions",
    "PrintReport",
    "SamplingPlan",
    "Slab",
    "Template",
    "block_slab",
    "build",
    "check",
    "fit_scan",
    "fit_slab",
    "load_template",
    "plan_blocks",
    "plan_cores",
    "plate",
    "plates",
    "select_lesion",
    "slabs",
    "templates",
    "write_sampling",
]

__getattr__, __dir__ = attach(__name__, _MODULE_OF)

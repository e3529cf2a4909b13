"""Segmentation and template → printable mould and cutting planes.

Every name loads its module when first used, so that ``import comould.mould`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.mould.assemble import Companions, build
    from comould.mould.equipment import (
        Blade,
        Material,
        Printer,
        blades,
        load_blade,
        load_material,
        load_printer,
        materials,
        printers,
    )
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
    from comould.mould.several import MouldSet, build_each
    from comould.mould.silhouette import silhouettes
    from comould.mould.structures import Structure
    from comould.mould.template import Template, designs, load_template, templates

_MODULE_OF = {
    "Blade": "equipment",
    "Companions": "assemble",
    "CoreOptions": "sampling.options",
    "Material": "equipment",
    "Mould": "result",
    "MouldSet": "several",
    "Parameters": "parameters",
    "PlateOptions": "sampling.options",
    "PrintReport": "printability",
    "Printer": "equipment",
    "SamplingPlan": "sampling.result",
    "Slab": "sampling.slab",
    "Structure": "structures",
    "Template": "template",
    "blades": "equipment",
    "block_slab": "sampling.blocking",
    "build": "assemble",
    "build_each": "several",
    "check": "printability",
    "designs": "template",
    "fit_scan": "fit.scan",
    "fit_slab": "fit.slab",
    "load_blade": "equipment",
    "load_material": "equipment",
    "load_printer": "equipment",
    "load_template": "template",
    "materials": "equipment",
    "plan_blocks": "sampling.blocking",
    "plan_cores": "sampling.cores",
    "plate": "sampling.plate_body",
    "plates": "sampling.plate_body",
    "printers": "equipment",
    "select_lesion": "lesion",
    "silhouettes": "silhouette",
    "slabs": "sampling.slab",
    "templates": "template",
    "write_sampling": "sampling.write",
}

__all__ = [
    "Blade",
    "Companions",
    "CoreOptions",
    "Material",
    "Mould",
    "MouldSet",
    "Parameters",
    "PlateOptions",
    "PrintReport",
    "Printer",
    "SamplingPlan",
    "Slab",
    "Structure",
    "Template",
    "blades",
    "block_slab",
    "build",
    "build_each",
    "check",
    "designs",
    "fit_scan",
    "fit_slab",
    "load_blade",
    "load_material",
    "load_printer",
    "load_template",
    "materials",
    "plan_blocks",
    "plan_cores",
    "plate",
    "plates",
    "printers",
    "select_lesion",
    "silhouettes",
    "slabs",
    "templates",
    "write_sampling",
]

__getattr__, __dir__ = attach(__name__, _MODULE_OF)

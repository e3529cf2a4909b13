"""Segmentation and template → printable mould and cutting planes.

Every name loads its module when first used, so that ``import comould.mould`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.mould.assemble import build
    from comould.mould.lesion import select_lesion
    from comould.mould.parameters import Parameters
    from comould.mould.printability import PrintReport, check
    from comould.mould.result import Mould
    from comould.mould.template import Template, load_template, templates

_MODULE_OF = {
    "Mould": "result",
    "Parameters": "parameters",
    "PrintReport": "printability",
    "Template": "template",
    "build": "assemble",
    "check": "printability",
    "load_template": "template",
    "select_lesion": "lesion",
    "templates": "template",
}

__all__ = [
    "Mould",
    "Parameters",
    "PrintReport",
    "Template",
    "build",
    "check",
    "load_template",
    "select_lesion",
    "templates",
]

__getattr__, __dir__ = attach(__name__, _MODULE_OF)

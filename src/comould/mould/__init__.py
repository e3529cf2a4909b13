"""Segmentation and template → printable mould and cutting planes.

Every name loads its module when first used, so that ``import comould.mould`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comould.mould.assemble import build
    from comould.mould.lesion import select_lesion
    from comould.mould.printability import PrintReport, check
    from comould.mould.result import Mould
    from comould.mould.template import Parameters, Template, load_template, templates

_MODULE_OF = {
    "Mould": "result",
    "Parameters": "template",
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


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"comould.mould.{_MODULE_OF[name]}"), name)
    msg = f"module 'comould.mould' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)

"""comould: from tumour imaging to printed mould to spatially matched biology.

The namespaces load on first touch, so ``import comould`` stays quick:

``cm.space``      where things are: grids, transforms, cutting planes (patient LPS, mm, float64)
``cm.io``         images, segmentations, sections, spots, meshes
``cm.mould``      segmentation → printable mould and slice plan
``cm.register``   sections → patient space
``cm.habitats``   volumes → feature maps → habitat labels
``cm.associate``  habitats × expression → tested claims
``cm.baseline``   the usual radiogenomics workflow, to compare with
``cm.phantom``    a simulated specimen with known truth
``cm.study``      whole cases
``cm.pl``         figures
``cm.report``     one HTML file per case

Research use only; not a medical device.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from comould._version import __version__
from comould.errors import (
    ComouldError,
    ComouldWarning,
    FrameMismatchError,
    GeometryError,
    InputError,
    PrintabilityError,
    RegistrationError,
)

if TYPE_CHECKING:
    from comould import associate, baseline, habitats, io, mould, phantom, pl, register, report, space, study

_NAMESPACES = (
    "space",
    "io",
    "mould",
    "register",
    "habitats",
    "associate",
    "baseline",
    "phantom",
    "study",
    "pl",
    "report",
)

__all__ = [
    "ComouldError",
    "ComouldWarning",
    "FrameMismatchError",
    "GeometryError",
    "InputError",
    "PrintabilityError",
    "RegistrationError",
    "__version__",
    "associate",
    "baseline",
    "habitats",
    "io",
    "mould",
    "phantom",
    "pl",
    "register",
    "report",
    "space",
    "study",
]


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return importlib.import_module(f"comould.{name}")
    msg = f"module 'comould' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)

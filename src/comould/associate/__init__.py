"""Habitats × expression → tested claims: spatial samples, honest nulls, gene sets.

Every name loads its module when first used. Below :mod:`~comould.associate.support` and
:mod:`~comould.associate.claims` nothing knows AnnData: arrays go in, arrays come out, and nulls are made first and
passed in, so that a statistic never knows the null it is held against.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comould.associate.claims import ClaimOptions, make_nulls, test
    from comould.associate.gene_sets import GeneSet, genesets, read_gmt
    from comould.associate.normalise import LogExpression
    from comould.associate.nulls import NullFit, Surrogates, make_null
    from comould.associate.support import sample, sample_map

_MODULE_OF = {
    "GeneSet": "gene_sets",
    "LogExpression": "normalise",
    "NullFit": "nulls",
    "Surrogates": "nulls",
    "ClaimOptions": "claims",
    "genesets": "gene_sets",
    "make_null": "nulls",
    "make_nulls": "claims",
    "read_gmt": "gene_sets",
    "sample": "support",
    "sample_map": "support",
    "test": "claims",
}

__all__ = [
    "ClaimOptions",
    "GeneSet",
    "LogExpression",
    "NullFit",
    "Surrogates",
    "genesets",
    "make_null",
    "make_nulls",
    "read_gmt",
    "sample",
    "sample_map",
    "test",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

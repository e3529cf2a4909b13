"""Habitats × expression → tested claims: spatial samples, honest nulls, gene sets.

Every name loads its module when first used. Below :mod:`~comould.associate.support` and
:mod:`~comould.associate.claims` nothing knows AnnData: arrays go in, arrays come out, and nulls are made first and
passed in, so that a statistic never knows the null it is held against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.associate.claims import ClaimOptions, make_nulls, test
    from comould.associate.features import by_feature
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
    "by_feature": "features",
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
    "by_feature",
    "genesets",
    "make_null",
    "make_nulls",
    "read_gmt",
    "sample",
    "sample_map",
    "test",
]


__getattr__, __dir__ = attach(__name__, _MODULE_OF)

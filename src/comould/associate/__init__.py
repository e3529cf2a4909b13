"""Habitats × expression → tested claims: spatial samples, honest nulls, gene sets.

Every name loads its module when first used. Below :mod:`~comould.associate.support` and
:mod:`~comould.associate.claims` nothing knows AnnData: arrays go in, arrays come out, and nulls are made first and
passed in, so that a statistic never knows the null it is held against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.associate.aggregate import aggregate
    from comould.associate.claims import make_nulls, test
    from comould.associate.edge import distance_to_edge
    from comould.associate.features import by_feature
    from comould.associate.gene_sets import GeneSet, Resolved, genesets, read_gmt
    from comould.associate.normalise import LogExpression
    from comould.associate.nulls import NullFit, Surrogates, make_null
    from comould.associate.options import ClaimOptions
    from comould.associate.scoring import score
    from comould.associate.scrutiny import calibrate, controls, over_positions, shift_curve
    from comould.associate.support import sample, sample_map
    from comould.associate.symbols import SymbolCheck, check_symbols

_MODULE_OF = {
    "ClaimOptions": "options",
    "GeneSet": "gene_sets",
    "LogExpression": "normalise",
    "NullFit": "nulls",
    "Resolved": "gene_sets",
    "Surrogates": "nulls",
    "SymbolCheck": "symbols",
    "aggregate": "aggregate",
    "by_feature": "features",
    "check_symbols": "symbols",
    "distance_to_edge": "edge",
    "genesets": "gene_sets",
    "make_null": "nulls",
    "make_nulls": "claims",
    "read_gmt": "gene_sets",
    "sample": "support",
    "sample_map": "support",
    "score": "scoring",
    "test": "claims",
    "calibrate": "scrutiny",
    "controls": "scrutiny",
    "over_positions": "scrutiny",
    "shift_curve": "scrutiny",
}

__all__ = [
    "ClaimOptions",
    "GeneSet",
    "LogExpression",
    "NullFit",
    "Resolved",
    "Surrogates",
    "SymbolCheck",
    "aggregate",
    "by_feature",
    "calibrate",
    "check_symbols",
    "controls",
    "distance_to_edge",
    "genesets",
    "make_null",
    "make_nulls",
    "over_positions",
    "read_gmt",
    "sample",
    "sample_map",
    "score",
    "shift_curve",
    "test",
]


__getattr__, __dir__ = attach(__name__, _MODULE_OF)

"""Habitats × expression → tested claims: spatial samples, honest nulls, gene sets.

Every name loads its module when first used. ``support`` brings maps to spots, ``claims`` tests one specimen against
``nulls``, ``scrutiny`` looks at claims again, ``sets`` knows genes by name, ``cohort`` pools patients. Behind the doors
that take AnnData arrays go in and arrays come out, and nulls are made first and passed in, so that a statistic never
knows the null it is held against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.associate.claims.claims import make_nulls, test
    from comould.associate.claims.features import by_feature
    from comould.associate.claims.normalise import LogExpression
    from comould.associate.claims.options import ClaimOptions
    from comould.associate.claims.surrogate_effects import surrogate_effects
    from comould.associate.cohort.combine import combine_summaries, leave_one_centre_out
    from comould.associate.cohort.exchange import export_summary
    from comould.associate.cohort.leave_out import leave_one_out
    from comould.associate.cohort.meta import random_effects
    from comould.associate.cohort.models import deseq, mixed_model
    from comould.associate.cohort.pseudobulk import pseudobulk
    from comould.associate.cohort.sign_flip import sign_flip
    from comould.associate.cohort.simulate import Scenario
    from comould.associate.cohort.table import CohortOptions, FeatureEffects, cohort, feature_effects
    from comould.associate.nulls import LabelSurrogates, NullFit, Surrogates, make_label_null, make_null
    from comould.associate.power import minimum_patients, power
    from comould.associate.scrutiny import calibrate, controls, over_positions, shift_curve
    from comould.associate.sets.gene_sets import GeneSet, Resolved, genesets, read_gmt
    from comould.associate.sets.scoring import score
    from comould.associate.sets.symbols import SymbolCheck, check_symbols
    from comould.associate.support.aggregate import aggregate
    from comould.associate.support.edge import distance_to_edge
    from comould.associate.support.sample import sample, sample_map
    from comould.associate.support.scales import scales
    from comould.associate.whole_map import WholeMapTest, test_annotation, test_multivariate

_MODULE_OF = {
    "ClaimOptions": "claims.options",
    "CohortOptions": "cohort.table",
    "FeatureEffects": "cohort.table",
    "GeneSet": "sets.gene_sets",
    "LogExpression": "claims.normalise",
    "NullFit": "nulls",
    "Resolved": "sets.gene_sets",
    "Scenario": "cohort.simulate",
    "Surrogates": "nulls",
    "SymbolCheck": "sets.symbols",
    "WholeMapTest": "whole_map",
    "aggregate": "support.aggregate",
    "by_feature": "claims.features",
    "calibrate": "scrutiny",
    "check_symbols": "sets.symbols",
    "cohort": "cohort.table",
    "combine_summaries": "cohort.combine",
    "controls": "scrutiny",
    "deseq": "cohort.models",
    "distance_to_edge": "support.edge",
    "export_summary": "cohort.exchange",
    "feature_effects": "cohort.table",
    "genesets": "sets.gene_sets",
    "leave_one_centre_out": "cohort.combine",
    "leave_one_out": "cohort.leave_out",
    "make_null": "nulls",
    "make_nulls": "claims.claims",
    "minimum_patients": "power",
    "mixed_model": "cohort.models",
    "over_positions": "scrutiny",
    "power": "power",
    "pseudobulk": "cohort.pseudobulk",
    "random_effects": "cohort.meta",
    "read_gmt": "sets.gene_sets",
    "sample": "support.sample",
    "sample_map": "support.sample",
    "scales": "support.scales",
    "score": "sets.scoring",
    "shift_curve": "scrutiny",
    "sign_flip": "cohort.sign_flip",
    "test": "claims.claims",
    "test_annotation": "whole_map",
    "test_multivariate": "whole_map",
    "surrogate_effects": "claims.surrogate_effects",
    "make_label_null": "nulls",
    "LabelSurrogates": "nulls",
}

__all__ = [
    "ClaimOptions",
    "CohortOptions",
    "FeatureEffects",
    "GeneSet",
    "LabelSurrogates",
    "LogExpression",
    "NullFit",
    "Resolved",
    "Scenario",
    "Surrogates",
    "SymbolCheck",
    "WholeMapTest",
    "aggregate",
    "by_feature",
    "calibrate",
    "check_symbols",
    "cohort",
    "combine_summaries",
    "controls",
    "deseq",
    "distance_to_edge",
    "export_summary",
    "feature_effects",
    "genesets",
    "leave_one_centre_out",
    "leave_one_out",
    "make_label_null",
    "make_null",
    "make_nulls",
    "minimum_patients",
    "mixed_model",
    "over_positions",
    "power",
    "pseudobulk",
    "random_effects",
    "read_gmt",
    "sample",
    "sample_map",
    "scales",
    "score",
    "shift_curve",
    "sign_flip",
    "surrogate_effects",
    "test",
    "test_annotation",
    "test_multivariate",
]


__getattr__, __dir__ = attach(__name__, _MODULE_OF)

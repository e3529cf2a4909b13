"""Across patients: effects of each pooled, with the patient as the unit, or summaries of centres that share no data.

Every name loads its module when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.associate.cohort.combine import combine_summaries, leave_one_centre_out, read_summary
    from comould.associate.cohort.effects import PatientEffects, patient_effects
    from comould.associate.cohort.exchange import export_summary
    from comould.associate.cohort.leave_out import carried_by, leave_one_out
    from comould.associate.cohort.meta import RandomEffects, random_effects
    from comould.associate.cohort.models import deseq, mixed_model
    from comould.associate.cohort.pseudobulk import log_cpm, pseudobulk
    from comould.associate.cohort.sign_flip import SignFlips, sign_flip
    from comould.associate.cohort.table import CohortOptions, FeatureEffects, cohort, feature_effects

_MODULE_OF = {
    "CohortOptions": "table",
    "FeatureEffects": "table",
    "PatientEffects": "effects",
    "RandomEffects": "meta",
    "SignFlips": "sign_flip",
    "carried_by": "leave_out",
    "cohort": "table",
    "combine_summaries": "combine",
    "deseq": "models",
    "export_summary": "exchange",
    "feature_effects": "table",
    "leave_one_centre_out": "combine",
    "leave_one_out": "leave_out",
    "log_cpm": "pseudobulk",
    "mixed_model": "models",
    "patient_effects": "effects",
    "pseudobulk": "pseudobulk",
    "random_effects": "meta",
    "read_summary": "combine",
    "sign_flip": "sign_flip",
}

__all__ = [
    "CohortOptions",
    "FeatureEffects",
    "PatientEffects",
    "RandomEffects",
    "SignFlips",
    "carried_by",
    "cohort",
    "combine_summaries",
    "deseq",
    "export_summary",
    "feature_effects",
    "leave_one_centre_out",
    "leave_one_out",
    "log_cpm",
    "mixed_model",
    "patient_effects",
    "pseudobulk",
    "random_effects",
    "read_summary",
    "sign_flip",
]

__getattr__, __dir__ = attach(__name__, _MODULE_OF)

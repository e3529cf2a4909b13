"""Across patients: effects of each pooled, with the patient as the unit, or summaries of centres that share no data.

Every name loads its module when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.associate.cohort.effects import PatientEffects, patient_effects
    from comould.associate.cohort.leave_out import carried_by, leave_one_out
    from comould.associate.cohort.meta import RandomEffects, random_effects
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
    "feature_effects": "table",
    "leave_one_out": "leave_out",
    "patient_effects": "effects",
    "random_effects": "meta",
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
    "feature_effects",
    "leave_one_out",
    "patient_effects",
    "random_effects",
    "sign_flip",
]

__getattr__, __dir__ = attach(__name__, _MODULE_OF)

"""What is handed to people: one self-contained HTML file per case, and the cutting sheet for the bench.

``write_case(CaseReport(...), path)`` leaves out whatever a case does not have: no network, no script
but its own, every text escaped. ``cutting_sheet(mould, ...).write(path)`` makes a PDF at exactly 1:1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.report.associations import AssociationReport, write_associations
    from comould.report.case import CaseReport
    from comould.report.cohort import CohortReport, write_cohort
    from comould.report.habitats import HabitatReport, write_habitats
    from comould.report.marker_plate import write_marker_plate
    from comould.report.sheet import CuttingSheet, cutting_sheet
    from comould.report.study import StudyCase, StudyReport, write_study
    from comould.report.study_model import StudyModel
    from comould.report.write import write_case

__all__ = [
    "AssociationReport",
    "CaseReport",
    "CohortReport",
    "CuttingSheet",
    "HabitatReport",
    "StudyCase",
    "StudyModel",
    "StudyReport",
    "cutting_sheet",
    "write_associations",
    "write_case",
    "write_cohort",
    "write_habitats",
    "write_marker_plate",
    "write_study",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "AssociationReport": "associations",
        "CaseReport": "case",
        "CohortReport": "cohort",
        "CuttingSheet": "sheet",
        "HabitatReport": "habitats",
        "StudyCase": "study",
        "StudyModel": "study_model",
        "StudyReport": "study",
        "cutting_sheet": "sheet",
        "write_associations": "associations",
        "write_case": "write",
        "write_cohort": "cohort",
        "write_habitats": "habitats",
        "write_marker_plate": "marker_plate",
        "write_study": "study",
    },
)

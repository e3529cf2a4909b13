"""Whole cases: the loop from imaging to tested claim, in one call. Every name loads its module when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.study.associate_case import AssociateResult, run_associations
    from comould.study.associate_options import AssociateOptions
    from comould.study.baseline_case import BaselineResult, region_table, run_baseline
    from comould.study.calibrate_case import CalibrationResult, run_calibration
    from comould.study.case_file import Case, read_case
    from comould.study.case_folder import CaseFolder
    from comould.study.compute import Compute
    from comould.study.demo import DemoResult, run_demo
    from comould.study.export_case import ExportResult, run_export
    from comould.study.habitat_options import HabitatOptions
    from comould.study.habitats_case import HabitatsResult, run_habitats
    from comould.study.pipeline import CaseOutcome, Choice
    from comould.study.register_case import RegisterResult, run_registration
    from comould.study.register_options import RegisterOptions
    from comould.study.study_file import Study, read_study
    from comould.study.study_run import RunOptions, StudyOutcome, foresee, report_study, run_study
    from comould.study.visits import FollowUp, TimePoint, follow_up

_MODULE_OF = {
    "AssociateOptions": "associate_options",
    "AssociateResult": "associate_case",
    "BaselineResult": "baseline_case",
    "CalibrationResult": "calibrate_case",
    "Case": "case_file",
    "CaseFolder": "case_folder",
    "CaseOutcome": "pipeline",
    "Choice": "pipeline",
    "Compute": "compute",
    "DemoResult": "demo",
    "ExportResult": "export_case",
    "FollowUp": "visits",
    "HabitatOptions": "habitat_options",
    "HabitatsResult": "habitats_case",
    "RegisterOptions": "register_options",
    "RegisterResult": "register_case",
    "RunOptions": "study_run",
    "Study": "study_file",
    "StudyOutcome": "study_run",
    "TimePoint": "visits",
    "follow_up": "visits",
    "foresee": "study_run",
    "read_case": "case_file",
    "read_study": "study_file",
    "region_table": "baseline_case",
    "report_study": "study_run",
    "run_associations": "associate_case",
    "run_baseline": "baseline_case",
    "run_calibration": "calibrate_case",
    "run_demo": "demo",
    "run_export": "export_case",
    "run_habitats": "habitats_case",
    "run_registration": "register_case",
    "run_study": "study_run",
}

__all__ = [
    "AssociateOptions",
    "AssociateResult",
    "BaselineResult",
    "CalibrationResult",
    "Case",
    "CaseFolder",
    "CaseOutcome",
    "Choice",
    "Compute",
    "DemoResult",
    "ExportResult",
    "FollowUp",
    "HabitatOptions",
    "HabitatsResult",
    "RegisterOptions",
    "RegisterResult",
    "RunOptions",
    "Study",
    "StudyOutcome",
    "TimePoint",
    "follow_up",
    "foresee",
    "read_case",
    "read_study",
    "region_table",
    "report_study",
    "run_associations",
    "run_baseline",
    "run_calibration",
    "run_demo",
    "run_export",
    "run_habitats",
    "run_registration",
    "run_study",
]


__getattr__, __dir__ = attach(__name__, _MODULE_OF)

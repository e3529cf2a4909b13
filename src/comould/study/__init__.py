"""Whole cases: the loop from imaging to tested claim, in one call."""

from __future__ import annotations

from comould.study.case_folder import CaseFolder
from comould.study.demo import DemoResult, run_demo
from comould.study.habitat_options import HabitatOptions
from comould.study.habitats_case import HabitatsResult, run_habitats
from comould.study.register_case import RegisterOptions, RegisterResult, run_registration
from comould.study.visits import FollowUp, TimePoint, follow_up

__all__ = [
    "CaseFolder",
    "DemoResult",
    "FollowUp",
    "HabitatOptions",
    "HabitatsResult",
    "RegisterOptions",
    "RegisterResult",
    "TimePoint",
    "follow_up",
    "run_demo",
    "run_habitats",
    "run_registration",
]

"""The steps of a case, in the order they run."""

from __future__ import annotations

from comould.study.case_file import Case
from comould.study.case_steps.imaging import HABITATS, MOULD, POPULATION, READ
from comould.study.case_steps.job import Job, Step
from comould.study.case_steps.telling import REPORT
from comould.study.case_steps.tissue import SECTIONS, SPOTS, TESTS

STEPS: tuple[Step, ...] = (READ, HABITATS, MOULD, SECTIONS, SPOTS, TESTS, REPORT)
NAMES = tuple(step.name for step in STEPS)

__all__ = ["NAMES", "POPULATION", "STEPS", "Job", "Step", "steps_of"]


def steps_of(case: Case) -> tuple[Step, ...]:
    """Give the steps a case has, in order."""
    return tuple(step for step in STEPS if step.wanted(case))

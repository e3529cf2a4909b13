"""Whole cases: the loop from imaging to tested claim, in one call."""

from __future__ import annotations

from comould.study.case_folder import CaseFolder
from comould.study.demo import DemoResult, run_demo
from comould.study.register_case import RegisterOptions, RegisterResult, run_registration

__all__ = ["CaseFolder", "DemoResult", "RegisterOptions", "RegisterResult", "run_demo", "run_registration"]

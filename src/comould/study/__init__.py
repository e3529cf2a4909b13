"""Whole cases: the loop from imaging to tested claim, in one call."""

from __future__ import annotations

from comould.study.demo import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]

"""The part of a case's report that can be turned and paged through: what its scripts are handed, as plain data."""

from __future__ import annotations

from comould.report.explore.chapter import chapter
from comould.report.explore.script import policy, scripts

__all__ = ["chapter", "policy", "scripts"]

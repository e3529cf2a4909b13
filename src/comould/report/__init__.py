"""One self-contained HTML file per case: no network, no script, every text escaped.

``write_case(CaseReport(...), path)`` leaves out whatever a case does not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.report.case import CaseReport
    from comould.report.write import write_case

__all__ = ["CaseReport", "write_case"]

__getattr__, __dir__ = attach(__name__, {"CaseReport": "case", "write_case": "write"})

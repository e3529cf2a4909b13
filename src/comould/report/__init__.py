"""One self-contained HTML file per case: no network, no script, every text escaped.

``write_case(CaseReport(...), path)`` leaves out whatever a case does not have.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comould.report.case import CaseReport
    from comould.report.write import write_case

__all__ = ["CaseReport", "write_case"]


def __getattr__(name: str) -> Any:
    home = {"CaseReport": "case", "write_case": "write"}
    if name in home:
        return getattr(importlib.import_module(f"comould.report.{home[name]}"), name)
    msg = f"module 'comould.report' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)

"""The cutting sheet: a PDF at exactly 1:1 to have beside the mould."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.report.sheet.document import CuttingSheet, cutting_sheet

__all__ = ["CuttingSheet", "cutting_sheet"]

__getattr__, __dir__ = attach(__name__, {"CuttingSheet": "document", "cutting_sheet": "document"})

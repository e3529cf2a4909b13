"""Reporting and quality checklists of radiomics, answered as far as a run knows and no further."""

from __future__ import annotations

from comould.report.checklists._list import Checklist, Item
from comould.report.checklists.answers import CHECKLISTS, Answer, Known, answer, chapter

__all__ = ["CHECKLISTS", "Answer", "Checklist", "Item", "Known", "answer", "chapter"]

"""Reporting and quality checklists of radiomics, answered as far as a run knows and no further."""

from __future__ import annotations

from comould.report.checklists.answers import Answer, Known, answer, chapter
from comould.report.checklists.items import CHECKLISTS, Checklist

__all__ = ["CHECKLISTS", "Answer", "Checklist", "Known", "answer", "chapter"]

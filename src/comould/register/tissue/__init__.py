"""Tissue on a slide's or a slab's picture: where it is, what was found beside it, and its colours as channels."""

from __future__ import annotations

from comould.register.tissue.channels import section_raster
from comould.register.tissue.find import Keep, Tissue, find_tissue, tissue_mask, tissue_report
from comould.register.tissue.ground import Kind
from comould.register.tissue.report import Piece, TissueReport

__all__ = [
    "Keep",
    "Kind",
    "Piece",
    "Tissue",
    "TissueReport",
    "find_tissue",
    "section_raster",
    "tissue_mask",
    "tissue_report",
]

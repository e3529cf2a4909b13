"""Sections → patient space: tissue, search over the full circle and both faces, affine, B-spline, verdict, spots.

Every name loads its module when first used; elastix runs in a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.register.align import RegisterSettings, section, sections
    from comould.register.elastix import ElastixWorker
    from comould.register.plane import plane_raster
    from comould.register.quality import RegistrationQuality, Thresholds
    from comould.register.raster import Raster
    from comould.register.result import SectionRegistration, Uncertainty
    from comould.register.spots import map_spots
    from comould.register.stages import StageSettings
    from comould.register.tissue import TissueReport, find_tissue, section_raster, tissue_mask, tissue_report
    from comould.register.transcripts import map_transcripts

_MODULE_OF = {
    "ElastixWorker": "elastix",
    "Raster": "raster",
    "RegisterSettings": "align",
    "RegistrationQuality": "quality",
    "SectionRegistration": "result",
    "StageSettings": "stages",
    "Thresholds": "quality",
    "TissueReport": "tissue",
    "Uncertainty": "result",
    "find_tissue": "tissue",
    "map_spots": "spots",
    "map_transcripts": "transcripts",
    "plane_raster": "plane",
    "section": "align",
    "section_raster": "tissue",
    "sections": "align",
    "tissue_mask": "tissue",
    "tissue_report": "tissue",
}

__all__ = [
    "ElastixWorker",
    "Raster",
    "RegisterSettings",
    "RegistrationQuality",
    "SectionRegistration",
    "StageSettings",
    "Thresholds",
    "TissueReport",
    "Uncertainty",
    "find_tissue",
    "map_spots",
    "map_transcripts",
    "plane_raster",
    "section",
    "section_raster",
    "sections",
    "tissue_mask",
    "tissue_report",
]

__getattr__, __dir__ = attach(__name__, _MODULE_OF)

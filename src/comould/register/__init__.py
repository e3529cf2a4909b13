"""Sections → patient space: tissue, search over the full circle and both faces, affine, B-spline, verdict, spots.

Every name loads its module when first used; elastix runs in a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.register.align import section
    from comould.register.batch import sections
    from comould.register.elastix import ElastixWorker
    from comould.register.hops import Hop, pair
    from comould.register.imaging import VolumeRegistration, VolumeSettings, register_volumes
    from comould.register.imaging_quality import VolumeQuality
    from comould.register.plane import plane_raster
    from comould.register.pose import PlanePose, PoseSettings
    from comould.register.quality import LandmarkErrors, RegistrationQuality
    from comould.register.raster import Raster
    from comould.register.result import SectionRegistration, Uncertainty
    from comould.register.settings import Clues, LandmarkPairs, RegisterSettings
    from comould.register.spots import map_spots
    from comould.register.stack import Stack, stack
    from comould.register.stages import StageSettings
    from comould.register.thresholds import Thresholds
    from comould.register.tissue import TissueReport, find_tissue, section_raster, tissue_mask, tissue_report
    from comould.register.transcripts import map_transcripts

_MODULE_OF = {
    "Clues": "settings",
    "ElastixWorker": "elastix",
    "Hop": "hops",
    "LandmarkErrors": "quality",
    "LandmarkPairs": "settings",
    "PlanePose": "pose",
    "PoseSettings": "pose",
    "Raster": "raster",
    "RegisterSettings": "settings",
    "RegistrationQuality": "quality",
    "SectionRegistration": "result",
    "Stack": "stack",
    "StageSettings": "stages",
    "Thresholds": "thresholds",
    "TissueReport": "tissue",
    "Uncertainty": "result",
    "VolumeQuality": "imaging_quality",
    "VolumeRegistration": "imaging",
    "VolumeSettings": "imaging",
    "find_tissue": "tissue",
    "map_spots": "spots",
    "map_transcripts": "transcripts",
    "pair": "hops",
    "plane_raster": "plane",
    "register_volumes": "imaging",
    "section": "align",
    "section_raster": "tissue",
    "sections": "batch",
    "stack": "stack",
    "tissue_mask": "tissue",
    "tissue_report": "tissue",
}

__all__ = [
    "Clues",
    "ElastixWorker",
    "Hop",
    "LandmarkErrors",
    "LandmarkPairs",
    "PlanePose",
    "PoseSettings",
    "Raster",
    "RegisterSettings",
    "RegistrationQuality",
    "SectionRegistration",
    "Stack",
    "StageSettings",
    "Thresholds",
    "TissueReport",
    "Uncertainty",
    "VolumeQuality",
    "VolumeRegistration",
    "VolumeSettings",
    "find_tissue",
    "map_spots",
    "map_transcripts",
    "pair",
    "plane_raster",
    "register_volumes",
    "section",
    "section_raster",
    "sections",
    "stack",
    "tissue_mask",
    "tissue_report",
]

__getattr__, __dir__ = attach(__name__, _MODULE_OF)

"""Files of others in, files of ours out: volumes, segmentations, sections, spots, meshes, provenance.

Every name loads its module when first used, so that ``import comould.io`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.io._sd_extras import Extras, SectionLabels
    from comould.io.image import read_image, right_handed, write_image
    from comould.io.landmarks import Landmarks, pair_landmarks, read_landmarks
    from comould.io.mesh import read_mesh, write_3mf, write_stl
    from comould.io.output import atomic_directory, provenance, sha256_of, write_json
    from comould.io.regions import read_tissue
    from comould.io.samepixels import check_same_pixels
    from comould.io.section import Section
    from comould.io.segmentation import Roi, list_rois, read_segmentation
    from comould.io.segwrite import SegmentTerms, write_seg
    from comould.io.slide import read_section
    from comould.io.spatialdata import CaseData, read_spatialdata, write_spatialdata
    from comould.io.spots import read_spots
    from comould.io.transcripts import Transcripts, read_transcripts

_MODULE_OF = {
    "CaseData": "spatialdata",
    "Extras": "_sd_extras",
    "Landmarks": "landmarks",
    "Roi": "segmentation",
    "Section": "section",
    "SectionLabels": "_sd_extras",
    "SegmentTerms": "segwrite",
    "Transcripts": "transcripts",
    "atomic_directory": "output",
    "check_same_pixels": "samepixels",
    "list_rois": "segmentation",
    "pair_landmarks": "landmarks",
    "provenance": "output",
    "read_image": "image",
    "read_landmarks": "landmarks",
    "read_mesh": "mesh",
    "read_section": "slide",
    "read_segmentation": "segmentation",
    "read_spatialdata": "spatialdata",
    "read_spots": "spots",
    "read_tissue": "regions",
    "read_transcripts": "transcripts",
    "right_handed": "image",
    "sha256_of": "output",
    "write_3mf": "mesh",
    "write_image": "image",
    "write_json": "output",
    "write_seg": "segwrite",
    "write_spatialdata": "spatialdata",
    "write_stl": "mesh",
}

__all__ = [
    "CaseData",
    "Extras",
    "Landmarks",
    "Roi",
    "Section",
    "SectionLabels",
    "SegmentTerms",
    "Transcripts",
    "atomic_directory",
    "check_same_pixels",
    "list_rois",
    "pair_landmarks",
    "provenance",
    "read_image",
    "read_landmarks",
    "read_mesh",
    "read_section",
    "read_segmentation",
    "read_spatialdata",
    "read_spots",
    "read_tissue",
    "read_transcripts",
    "right_handed",
    "sha256_of",
    "write_3mf",
    "write_image",
    "write_json",
    "write_seg",
    "write_spatialdata",
    "write_stl",
]


__getattr__, __dir__ = attach(__name__, _MODULE_OF)

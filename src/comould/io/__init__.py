"""Files of others in, files of ours out: volumes, segmentations, sections, spots, meshes, provenance.

Every name loads its module when first used, so that ``import comould.io`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comould._lazy import attach

if TYPE_CHECKING:
    from comould.io.image import read_image, right_handed, write_image
    from comould.io.mesh import read_mesh, write_3mf, write_stl
    from comould.io.output import atomic_directory, provenance, sha256_of, write_json
    from comould.io.section import Section
    from comould.io.segmentation import Roi, list_rois, read_segmentation
    from comould.io.slide import read_section
    from comould.io.spots import read_spots

_MODULE_OF = {
    "Roi": "segmentation",
    "Section": "section",
    "atomic_directory": "output",
    "list_rois": "segmentation",
    "provenance": "output",
    "read_image": "image",
    "read_mesh": "mesh",
    "read_section": "slide",
    "read_segmentation": "segmentation",
    "read_spots": "spots",
    "right_handed": "image",
    "sha256_of": "output",
    "write_3mf": "mesh",
    "write_image": "image",
    "write_json": "output",
    "write_stl": "mesh",
}

__all__ = [
    "Roi",
    "Section",
    "atomic_directory",
    "list_rois",
    "provenance",
    "read_image",
    "read_mesh",
    "read_section",
    "read_segmentation",
    "read_spots",
    "right_handed",
    "sha256_of",
    "write_3mf",
    "write_image",
    "write_json",
    "write_stl",
]


__getattr__, __dir__ = attach(__name__, _MODULE_OF)

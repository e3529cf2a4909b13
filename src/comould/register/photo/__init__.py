"""Photographs of slabs on a bench, made metric: by a marker plate, by a ruler, or by a stated pixel size."""

from __future__ import annotations

from comould.register.photo.plate import MarkerPlate, Target
from comould.register.photo.read import SlabPhoto, read_photo
from comould.register.photo.rectify import RectifiedPhoto, rectify_photo
from comould.register.photo.ruler import RulerPoints, RulerTicks
from comould.register.photo.scale import PhotoScale

__all__ = [
    "MarkerPlate",
    "PhotoScale",
    "RectifiedPhoto",
    "RulerPoints",
    "RulerTicks",
    "SlabPhoto",
    "Target",
    "read_photo",
    "rectify_photo",
]

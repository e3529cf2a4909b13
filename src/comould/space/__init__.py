"""Where things are: frames, grids, transforms and cutting planes (patient LPS, mm, float64)."""

from comould.space.frames import DIRECTIONS, FloatArray, Frame, anatomical_letter, as_points
from comould.space.grid import Grid
from comould.space.planes import CutPlane, SlicePlan
from comould.space.transform import Transform

__all__ = [
    "DIRECTIONS",
    "CutPlane",
    "FloatArray",
    "Frame",
    "Grid",
    "SlicePlan",
    "Transform",
    "anatomical_letter",
    "as_points",
]

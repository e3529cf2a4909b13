"""What a filter sees beyond the border of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from comould.space import FloatArray

Boundary = Literal["zero", "nearest", "periodic", "mirror"]
IBSI_CODES = {"zero": "Z3VE", "nearest": "SIJG", "periodic": "Z7YO", "mirror": "ZDTV"}
SCIPY_MODES = {"zero": "constant", "nearest": "nearest", "periodic": "wrap", "mirror": "reflect"}
_NUMPY_MODES = {"zero": "constant", "nearest": "edge", "periodic": "wrap", "mirror": "symmetric"}


def padded(array: FloatArray, width: Sequence[int], boundary: Boundary) -> FloatArray:
    """Continue an array beyond its border, by as many voxels on both sides of each axis."""
    mode: str = _NUMPY_MODES[boundary]
    return np.pad(array, [(w, w) for w in width], mode=mode)  # type: ignore[call-overload]


def cropped(array: FloatArray, width: Sequence[int], shape: Sequence[int]) -> FloatArray:
    """Take off what :func:`padded` put on."""
    return array[tuple(slice(w, w + n) for w, n in zip(width, shape, strict=True))]

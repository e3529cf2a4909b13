"""Arrays and pictures as text that a page can hold: base64, little-endian."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt

STEPS = 65535
"""Steps of a coordinate over its body's box: a body of 200 mm is placed to 3 µm."""


def text_of(array: npt.NDArray[Any]) -> str:
    """Encode an array's bytes in row order, little-endian."""
    plain = np.ascontiguousarray(array)
    return base64.b64encode(plain.astype(plain.dtype.newbyteorder("<"), copy=False).tobytes()).decode("ascii")


def packed_mesh(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> dict[str, Any]:
    """Pack a mesh: corners as steps of its box, indices as small as they can be.

    Parameters
    ----------
    vertices
        ``(n, 3)`` mm.
    faces
        ``(m, 3)`` indices.

    Returns
    -------
    dict
        ``low`` (3 mm), ``step`` (3 mm), ``xyz`` (uint16), ``faces`` (uint16 or uint32) and ``wide``, whether uint32.
    """
    points = np.asarray(vertices, dtype=np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    step = np.maximum(high - low, 1e-6) / STEPS
    wide = len(points) > STEPS
    return {
        "low": [round(float(x), 4) for x in low],
        "step": [float(x) for x in step],
        "xyz": text_of(np.rint((points - low) / step).astype(np.uint16)),
        "faces": text_of(np.asarray(faces).astype(np.uint32 if wide else np.uint16)),
        "wide": wide,
    }


def picture(pixels: npt.NDArray[np.uint8], kind: str = "WEBP", quality: int = 84) -> str:
    """Encode ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)`` pixels as a data URI, lossless as ``"PNG"``."""
    from PIL import Image

    out = io.BytesIO()
    image = Image.fromarray(pixels)
    if kind == "WEBP":
        image.save(out, "WEBP", quality=quality, method=3)
    else:
        image.save(out, "PNG", optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(out.getvalue()).decode('ascii')}"

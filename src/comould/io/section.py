"""Section: one histology or ST slide image, with the facts that bring it home."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.errors import InputError
from comould.space import Frame, Transform
from comould.space.planes import Face


@dataclass(frozen=True, eq=False)
class Section:
    """A section's picture at working resolution, and how its pixels relate to the full slide.

    Parameters
    ----------
    id
        Name of the section, unique in its case; no patient data.
    image
        ``(h, w, 3)`` uint8 RGB at working resolution.
    pixel_size_um
        Size of one **full-resolution** pixel; the unit of ``obsm["spatial"]``.
    downsample
        Full-resolution pixels per working pixel (≥ 1 as a rule). Pixel centres are on integers at both levels:
        ``x_full = (x + 0.5) * downsample - 0.5``.
    plane_id
        Which cutting plane it was taken at; ``None`` when unknown.
    face
        Which face of that cut was sectioned, as in :class:`~comould.space.CutPlane`; ``None`` when unknown.
    offset_mm
        Distance from the plane along its normal at which the section was taken (microtome depth), 0 as a rule.
    tissue
        ``(h, w)`` bool on the working image: where the tissue is, if somebody has drawn it; ``None`` to have it found.
    """

    id: str
    image: npt.NDArray[np.uint8]
    pixel_size_um: float
    downsample: float = 1.0
    plane_id: str | None = None
    face: Face | None = None
    offset_mm: float = 0.0
    tissue: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            problems.append(f"image is {self.image.shape} {self.image.dtype}, not (h, w, 3) uint8")
        for name in ("pixel_size_um", "downsample"):
            value = getattr(self, name)
            if not np.isfinite(value) or value <= 0:
                problems.append(f"{name} {value} is not a positive number")
        if not self.image.size:
            problems.append("image has no pixels")
        if self.face not in {None, "-", "+"}:
            problems.append(f"face {self.face!r} is not '-', '+' or None")
        if not np.isfinite(self.offset_mm):
            problems.append(f"offset_mm {self.offset_mm} is not a number")
        if self.tissue is not None:
            problems += _tissue_problems(self.tissue, self.image.shape[:2])
        if problems:
            raise InputError.collect(subject=f"section {self.id!r}", problems=problems)

    @property
    def image_pixel_mm(self) -> float:
        """Size of one working pixel in mm."""
        return self.pixel_size_um * self.downsample / 1000.0

    @property
    def extent_px(self) -> tuple[float, float]:
        """Width and height of the picture in full-resolution pixels."""
        return self.image.shape[1] * self.downsample, self.image.shape[0] * self.downsample

    @property
    def section_mm_from_section_px(self) -> Transform:
        """Full-resolution pixels to slide mm: a scaling, origin at the centre of full-resolution pixel (0, 0)."""
        size_mm = self.pixel_size_um / 1000.0
        return Transform.scaling(Frame.SECTION_PX, Frame.SECTION_MM, (size_mm, size_mm, 1.0))

    @property
    def image_origin_mm(self) -> float:
        """Slide mm of the centre of working pixel (0, 0), the same along x and y."""
        return (0.5 * self.downsample - 0.5) * self.pixel_size_um / 1000.0


def _tissue_problems(tissue: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> list[str]:
    if tissue.dtype != np.bool_ or tissue.shape != shape:
        return [f"tissue mask is {tissue.shape} {tissue.dtype}, not bool of the picture's {shape}"]
    return [] if tissue.any() else ["the tissue mask is empty"]

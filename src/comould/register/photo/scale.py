"""PhotoScale: how the millimetres of a photograph were found, and how far they may be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["plate", "ruler points", "ruler ticks", "stated"]


@dataclass(frozen=True)
class PhotoScale:
    """Scale of a slab's photograph.

    Parameters
    ----------
    method
        ``"plate"``, ``"ruler points"``, ``"ruler ticks"`` or ``"stated"``.
    scale_sd
        Relative standard deviation of lengths on the slab's face; what is known of, not what is not.
    residual_mm
        Root mean square distance of the targets (or ruler points) from where the fit puts them; ``None`` without any.
    tilt_deg
        Angle of the line of sight from straight above; ``None`` when it cannot be seen.
    n_targets
        Targets or ruler points used.
    k1
        Lens distortion fitted, at half the picture's diagonal; 0 when none was.
    camera_height_mm
        Height of the camera above the plate; ``None`` when unknown.
    slab_height_mm
        Height of the slab's face above the plate that was allowed for.
    notes
        What should be known when the picture is used.
    """

    method: Method
    scale_sd: float
    residual_mm: float | None = None
    tilt_deg: float | None = None
    n_targets: int = 0
    k1: float = 0.0
    camera_height_mm: float | None = None
    slab_height_mm: float = 0.0
    notes: tuple[str, ...] = ()

"""What the channels of both sides share, as further features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from comould.register.canonical import shared_channels
from comould.register.dense.describe import Description
from comould.register.raster import Raster


def with_shared(
    fixed: Description, moving: Description, laid: Raster, target: Raster, weight: float
) -> tuple[Description, Description]:
    """Add what both sides' channels share, where they lie now, to the features."""
    mine, theirs = shared_channels(laid, target)
    count = len(fixed.features)
    if not len(mine):
        return fixed, moving
    # The volume takes the mean over the features: keep the weight of one feature what it was.
    keep = np.float32(np.sqrt((count + len(mine)) / count))
    gain = np.float32(np.sqrt(weight * count)) * keep
    return (
        replace(fixed, features=np.concatenate([keep * fixed.features, gain * mine])),
        replace(moving, features=np.concatenate([keep * moving.features, gain * theirs])),
    )

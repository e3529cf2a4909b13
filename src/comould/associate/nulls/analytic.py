"""Kind ``dutilleul``: no surrogates; how far chance spreads the correlation follows from the correlograms."""

from __future__ import annotations

import numpy as np

from comould.associate.nulls.recipe import Drawn, Job
from comould.associate.nulls.variogram import fit_field


def no_maps(job: Job) -> Drawn:
    """Fit the map's field, for the record and the checks, and draw nothing."""
    empty = np.empty((0, len(job.values)), dtype=np.float32)
    return Drawn(empty, fit_field(job.pairs, job.values))

"""Kind ``moran``: the map's spectrum over the patterns of its own support, each pattern's share turned at random."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.linalg as la
from scipy.spatial.distance import pdist, squareform

from comould.associate.nulls.checks import N_REFERENCE
from comould.associate.nulls.fields import ranked
from comould.associate.nulls.recipe import Drawn, Job
from comould.associate.nulls.variogram import FieldModel, fit_field
from comould.errors import InputError
from comould.space import FloatArray

MOST_SPOTS = 4000
"""Spots whose patterns are solved for at once; time grows with the cube, memory with the square."""
_FAINT = 0.05


def spectral(job: Job) -> Drawn:
    """Randomise the map's Moran spectrum: pairs of patterns of like smoothness share their variance anew.

    Maps are centred, and have the map's variance and (to the difference within pairs) its Moran's I, not its histogram.

    Raises
    ------
    InputError
        If more spots than :data:`MOST_SPOTS` hang together.
    """
    places = job.places
    blocks = places.members if places.flat else (np.arange(len(job.values)),)
    largest = max(len(spots) for spots in blocks)
    if largest > MOST_SPOTS:
        raise InputError(
            subject="spots for the 'moran' null",
            expected=f"at most {MOST_SPOTS} that hang together",
            found=f"{largest}",
            remedy="Take kind='variogram', whose cost grows with the number of spots, or test sections one by one",
        )
    model = fit_field(job.pairs, job.values)
    maps = np.zeros((job.n, len(job.values)), dtype=np.float32)
    rng = np.random.default_rng(job.seed)
    for spots in blocks:
        if len(spots) > 2:
            weights = neighbour_weights(places.positions[spots], model, places.pitch)
            maps[:, spots] = _randomised(job.values[spots], patterns(weights), job.n, rng)
    # Checked with the map's values by rank: an indicator is less even than a smooth map, whatever made it.
    reference = ranked(maps[:N_REFERENCE], np.sort(job.values).astype(np.float32))
    return Drawn(maps, model, reference=reference)


def neighbour_weights(points: FloatArray, model: FieldModel, pitch: float) -> FloatArray:
    """Symmetric ``(n, n)`` weights of spots ``(n, d)``, mm: the fitted field's correlation, as far as its range.

    Weights of a fixed number of nearest neighbours would split a smooth map's variance over patterns that unrelated
    maps of its smoothness share: with eight, a tenth of such maps passes at 0.05 where the range is a third of the
    support, and a fifth with four. Neighbouring spots always weigh something.
    """
    distance = squareform(pdist(points))
    weights = np.maximum(FieldModel(model.smoothness, model.scale_mm, 0.0).correlation(distance), _FAINT)
    weights[distance > max(model.range_mm, 1.5 * pitch)] = 0
    np.fill_diagonal(weights, 0)
    return weights


def patterns(weights: FloatArray) -> FloatArray:
    """Orthonormal maps ``(n, n - 1)`` that sum to zero, smoothest first: Moran eigenvector maps of the weights."""
    means = weights.mean(axis=0)
    matrix = weights - means
    matrix -= means[:, None] - means.mean()
    # The constant map has eigenvalue 0, amid the others: moved out of their reach, it is the last one.
    matrix -= (2 * np.abs(matrix).sum(axis=1).max() + 1) / len(matrix)
    vectors = la.eigh(matrix, overwrite_a=True, check_finite=False, driver="evd")[1]
    return np.ascontiguousarray(vectors[:, :0:-1])


def _randomised(values: FloatArray, vectors: FloatArray, n: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Turn the map's coefficients on neighbouring patterns about each other; a last one without partner flips."""
    amounts = vectors.T @ (values - values.mean())
    paired = len(amounts) // 2 * 2
    radius = np.hypot(amounts[0:paired:2], amounts[1:paired:2])
    angle = rng.uniform(0, 2 * np.pi, (n, len(radius)))
    turned = np.empty((n, len(amounts)), dtype=np.float32)
    turned[:, 0:paired:2], turned[:, 1:paired:2] = radius * np.cos(angle), radius * np.sin(angle)
    turned[:, paired:] = amounts[paired:] * rng.choice([-1.0, 1.0], (n, len(amounts) - paired))
    return turned @ vectors.T.astype(np.float32)

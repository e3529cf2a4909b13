"""Kind ``moran``: the map's spectrum over the patterns of its own support, each pattern's share turned at random."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import scipy.linalg as la
import scipy.sparse as sp
from scipy.spatial import cKDTree

from comould.associate.nulls.checks import N_REFERENCE
from comould.associate.nulls.fields import ranked
from comould.associate.nulls.places import IntArray, Places
from comould.associate.nulls.recipe import Drawn, Job
from comould.associate.nulls.variogram import fit_field
from comould.errors import InputError
from comould.space import FloatArray

MOST_SPOTS = 4000
"""Spots whose patterns are solved for at once; time grows with the cube, memory with the square."""
_NEIGHBOURS = 8


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
    weights = neighbour_weights(places)
    maps = np.zeros((job.n, len(job.values)), dtype=np.float32)
    rng = np.random.default_rng(job.seed)
    for spots in blocks:
        if len(spots) > 2:
            maps[:, spots] = _randomised(job.values[spots], patterns(weights[spots][:, spots]), job.n, rng)
    # Checked with the map's values by rank: an indicator is less even than a smooth map, whatever made it.
    reference = ranked(maps[:N_REFERENCE], np.sort(job.values).astype(np.float32))
    return Drawn(maps, fit_field(job.pairs, job.values), reference=reference)


def neighbour_weights(places: Places) -> sp.csr_matrix:
    """Symmetric ``(n, n)`` weights: eight nearest in the section, and the nearest in the next section.

    Within a section neighbours weigh 1; across sections of known distance as much as the pitch of the spots is of that
    distance, for the further apart sections are, the less they tell of each other.
    """
    count = len(places.codes)
    rows, columns, values = [], [], []
    for spots in places.members:
        k = min(_NEIGHBOURS, len(spots) - 1)
        if k > 0:
            near = cKDTree(places.positions[spots]).query(places.positions[spots], k + 1)[1][:, 1:]
            rows.append(np.repeat(spots, k))
            columns.append(spots[near.ravel()])
            values.append(np.ones(k * len(spots)))
    for one, next_ in _neighbouring_sections(places):
        gap, near = cKDTree(places.positions[next_]).query(places.positions[one])
        rows.append(one)
        columns.append(next_[near])
        values.append(np.minimum(1.0, places.pitch / np.maximum(gap, 1e-12)))
    weights = sp.csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)
    )
    return sp.csr_matrix(weights.maximum(weights.T))


def _neighbouring_sections(places: Places) -> list[tuple[IntArray, IntArray]]:
    if places.flat or len(places.members) < 2:
        return []
    order = np.argsort([places.height[spots].mean() for spots in places.members], kind="stable")
    sorted_ = [places.members[number] for number in order]
    return list(itertools.pairwise(sorted_))


def patterns(weights: sp.spmatrix) -> FloatArray:
    """Orthonormal maps ``(n, n - 1)`` that sum to zero, smoothest first: Moran eigenvector maps of the weights."""
    matrix = weights.toarray()
    means = matrix.mean(axis=0)
    matrix -= means
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

"""Kinds ``shift``, ``rotate`` and ``rotate_reflect``: the map itself, moved over its own support.

No model is drawn from: whatever the map's texture is, its moved copies have it. What a move pushes over the edge is
lost, so that moved maps cover fewer spots and vary more by chance; each is scaled for what it covers. One over the
number of spots is not enough where the support is a few patches wide: chance then grows more slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from comould.associate.nulls.fields import gaussian_fields
from comould.associate.nulls.places import IntArray, Places, branch
from comould.associate.nulls.recipe import Drawn, Job
from comould.associate.nulls.record import Float32Array
from comould.associate.nulls.variogram import FieldModel, fit_field
from comould.space import FloatArray

REACH = 0.72
"""Pitches within which a moved spot serves as source: a square lattice leaves no place further than 0.71 from one."""
LEAST_OVERLAP = 0.3
"""Share of all spots that a moved map must cover: with fewer the variance is no longer one over their number."""
FEWEST_MOVES = 40
"""Different moves without which a p-value of 0.05 is a matter of one or two of them."""
_TRIES = 20
_MOST_DRAWS = 100_000
_N_SEEN = 120
_N_FIELDS = 400
_BRANCH = 77

Move = Callable[[FloatArray, FloatArray], FloatArray]
Moves = Callable[[Places, list[cKDTree], np.random.Generator], Iterator[Move]]


def shifted(job: Job) -> Drawn:
    """Move the map of all sections by one random vector in their common plane."""
    return _moved(job, "shift", _shifts)


def rotated(job: Job) -> Drawn:
    """Turn the map of each section about the section's centroid by one random angle."""
    return _moved(job, "rotate", _turns)


def rotated_or_reflected(job: Job) -> Drawn:
    """Turn it, and mirror every other one by chance."""
    return _moved(job, "rotate_reflect", _turns_and_mirrors)


def _shifts(places: Places, trees: list[cKDTree], rng: np.random.Generator) -> Iterator[Move]:
    """Vectors uniform in a disc of half the support's extent, each drawn to the nearest difference of two spots.

    On a lattice, moved spots then fall on spots, exactly.
    """
    sizes = np.array([len(spots) for spots in places.members])
    radius = 0.5 * max(float(np.ptp(places.in_plane[spots], axis=0).max()) for spots in places.members)
    for _ in range(_MOST_DRAWS):
        section = rng.choice(len(sizes), p=sizes / sizes.sum())
        points = places.in_plane[places.members[section]]
        start = points[rng.integers(len(points))]
        angle, length = rng.uniform(0, 2 * np.pi), radius * np.sqrt(rng.uniform())
        wanted = length * np.array([np.cos(angle), np.sin(angle)])
        gap, nearest = trees[section].query(start + wanted)
        if gap > REACH * places.pitch:
            continue
        vector = points[nearest] - start
        yield lambda own, _centre, vector=vector: own - vector  # type: ignore[misc]


def _turns(_places: Places, _trees: list[cKDTree], rng: np.random.Generator) -> Iterator[Move]:
    while True:
        yield _turn(rng.uniform(0, 2 * np.pi), mirror=False)


def _turns_and_mirrors(_places: Places, _trees: list[cKDTree], rng: np.random.Generator) -> Iterator[Move]:
    while True:
        yield _turn(rng.uniform(0, 2 * np.pi), mirror=bool(rng.integers(2)))


def _turn(angle: float, *, mirror: bool) -> Move:
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([1.0, -1.0 if mirror else 1.0])
    return lambda own, centre: (own - centre) @ matrix.T + centre


def _moved(job: Job, kind: str, moves: Moves) -> Drawn:
    places = job.places
    places.require_planes(kind)
    count = len(job.values)
    home = _centred(job.values[None], np.ones((1, count), dtype=bool), places)
    maps = np.zeros((job.n, count), dtype=np.float32)
    seen = np.full((min(job.n, _N_SEEN), count), np.nan, dtype=np.float32)
    different, made = set(), 0
    trees = [cKDTree(places.in_plane[spots]) for spots in places.members]
    for move in islice(moves(places, trees, np.random.default_rng(job.seed)), _TRIES * job.n):
        source = sources(places, trees, move)
        covered = source >= 0
        if covered.mean() >= LEAST_OVERLAP:
            values = np.where(covered, job.values[source], 0.0)
            maps[made] = _centred(values[None], covered[None], places)[0]
            if made < _N_SEEN:
                seen[made] = np.where(covered, values, np.nan)
            different.add(source.tobytes())
            made += 1
            if made == job.n:
                break
    model = fit_field(job.pairs, job.values)
    refusal, doubts = _verdict(made, len(different), job.n)
    seen = seen[:made]
    # A shifted map is asked to be stationary, a turned one only to look alike from every side.
    reference = None if kind == "shift" else seen
    scale = _scales(maps[:made], home, model, job)
    return Drawn(maps[:made], model, scale, seen, reference, refusal, doubts)


def _scales(maps: Float32Array, home: FloatArray, model: FieldModel, job: Job) -> FloatArray:
    """Scale each moved map by how much an unrelated gene, as smooth as the map, agrees with it by chance.

    Given the map, that variance is known up to the gene's covariance; it is measured with fields of the map's own model
    (for the rank-matched map: of the latent field), the same ones for all maps.
    """
    positions = job.places.apart - job.places.apart.mean(axis=0)
    fields = np.empty((_N_FIELDS, len(job.values)), dtype=np.float32)
    gaussian_fields(model, positions, np.random.default_rng(branch(job.seed, _BRANCH)), fields)
    spread = np.sqrt(np.mean((maps @ fields.T).astype(np.float64) ** 2, axis=1))
    own = np.sqrt(np.mean((home.astype(np.float32) @ fields.T).astype(np.float64) ** 2))
    return np.asarray(np.linalg.norm(home) * spread / max(own, 1e-300))


def sources(places: Places, trees: list[cKDTree], move: Move) -> IntArray:
    """For each spot ``(n,)`` the spot of its section whose value comes to lie there; -1 where none does.

    ``move`` tells where a value comes from; a rigid motion being as likely as its inverse, one tree a section serves
    all moves.
    """
    found = np.full(len(places.codes), -1, dtype=np.intp)
    for spots, tree in zip(places.members, trees, strict=True):
        own = places.in_plane[spots]
        gap, nearest = tree.query(move(own, own.mean(axis=0)), distance_upper_bound=REACH * places.pitch)
        near = np.isfinite(gap)
        found[spots[near]] = spots[nearest[near]]
    return found


def _centred(rows: FloatArray, covered: npt.NDArray[np.bool_], places: Places) -> FloatArray:
    """Subtract from each row its mean over what it covers of each section."""
    centred = np.where(covered, rows, 0.0)
    for spots in places.members:
        share = covered[:, spots].sum(axis=1, keepdims=True)
        mean = centred[:, spots].sum(axis=1, keepdims=True) / np.maximum(share, 1)
        centred[:, spots] = np.where(covered[:, spots], centred[:, spots] - mean, 0.0)
    return centred


def _verdict(made: int, different: int, wanted: int) -> tuple[str, tuple[str, ...]]:
    remedy = "take kind='variogram'"
    if different < min(FEWEST_MOVES, wanted):
        return f"{different} different moves of the map, {FEWEST_MOVES} needed: {remedy}", ()
    if made < wanted:
        return "", (f"{made} of {wanted} moves left at least {LEAST_OVERLAP:.0%} of the spots covered: {remedy}",)
    return "", ()

"""Where cores go: habitats in turn, scarcest first, far from borders and from each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comould.space import FloatArray

ATTEMPTS = 12
DRAWS = 64
MOST_CANDIDATES = 3000
_SHARE_STEP = 0.05


@dataclass(frozen=True, eq=False)
class Candidates:
    """Places where a core of one habitat may be.

    Parameters
    ----------
    label
        The habitat.
    wanted
        Cores asked for.
    xy_mm
        ``(n, 2)`` centres, face mm.
    room_mm
        ``(n,)`` distance of each to the habitat's border.
    share
        ``(n,)`` share of the whole core, through its depth, that is tissue of the habitat.
    """

    label: int
    wanted: int
    xy_mm: FloatArray
    room_mm: FloatArray
    share: FloatArray

    def thinned(self, rng: np.random.Generator) -> Candidates:
        """Keep a random part when there are very many."""
        if len(self.xy_mm) <= MOST_CANDIDATES:
            return self
        kept = np.sort(rng.choice(len(self.xy_mm), MOST_CANDIDATES, replace=False))
        return Candidates(self.label, self.wanted, self.xy_mm[kept], self.room_mm[kept], self.share[kept])


@dataclass(frozen=True)
class Placed:
    """One place taken: habitat label and row of its candidates."""

    label: int
    row: int


def place(
    candidates: list[Candidates], *, apart_mm: float, min_share: float, seed: np.random.SeedSequence
) -> tuple[list[Candidates], list[Placed]]:
    """Choose places for the cores of one slab.

    Parameters
    ----------
    candidates
        One entry per habitat.
    apart_mm
        Least distance between the centres of two cores.
    min_share
        Places with at least this share go first.
    seed
        Of this slab.

    Returns
    -------
    tuple
        The candidates looked at, and the places, in the order they were taken. Everything depends on the arguments
        alone.

    Notes
    -----
    Every round gives each habitat one core, those with the fewest places first; a core is the best of a random draw
    (Mitchell's best candidate: doi:10.1145/122718.122736), judged by room around it and distance to its habitat's other
    cores. When fewer fit than were asked for, further attempts start at the ends of the habitats; the attempt that
    covers most habitats, then places most cores, then has most of their habitats in them, is kept.
    """
    streams = seed.spawn(ATTEMPTS + 1)
    first = np.random.default_rng(streams[0])
    looked = [habitat.thinned(first) for habitat in candidates]
    asked = sum(habitat.wanted for habitat in looked if len(habitat.xy_mm))
    best: tuple[tuple[int, int, float], list[Placed]] = ((-1, -1, -1.0), [])
    for number, stream in enumerate(streams[1:]):
        attempt = _Attempt(looked, apart_mm, min_share, np.random.default_rng(stream), from_ends=number % 2 == 1)
        placed = attempt.run()
        score = (len({core.label for core in placed}), len(placed), attempt.share)
        if score[:2] > best[0][:2] or (score[:2] == best[0][:2] and score[2] > best[0][2] + 1e-9):
            best = (score, placed)
        if len(placed) == asked:
            break
    return looked, best[1]


class _Attempt:
    """One try at placing all cores of a slab."""

    def __init__(
        self,
        habitats: list[Candidates],
        apart_mm: float,
        min_share: float,
        rng: np.random.Generator,
        *,
        from_ends: bool,
    ) -> None:
        self.habitats = sorted(habitats, key=lambda habitat: (len(habitat.xy_mm), habitat.label))
        self.apart_mm, self.min_share, self.rng, self.from_ends = apart_mm, min_share, rng, from_ends
        self.free = {habitat.label: np.ones(len(habitat.xy_mm), bool) for habitat in habitats}
        self.own = {habitat.label: np.full(len(habitat.xy_mm), np.inf) for habitat in habitats}
        self.share = 0.0
        self.placed: list[Placed] = []

    def run(self) -> list[Placed]:
        """Give every habitat a core, again and again, until none wants or fits another."""
        for turn in range(max((habitat.wanted for habitat in self.habitats), default=0)):
            for habitat in self.habitats:
                if habitat.wanted > turn and self.free[habitat.label].any():
                    self._take(habitat)
        return self.placed

    def _take(self, habitat: Candidates) -> None:
        free = np.flatnonzero(self.free[habitat.label])
        good = free[habitat.share[free] >= self.min_share]
        if not len(good):
            good = free[habitat.share[free] >= habitat.share[free].max() - _SHARE_STEP]
        row = self._choose(habitat, good)
        self.placed.append(Placed(habitat.label, row))
        self.share += float(habitat.share[row])
        for other in self.habitats:
            away = np.linalg.norm(other.xy_mm - habitat.xy_mm[row], axis=1)
            self.free[other.label] &= away >= self.apart_mm
            if other.label == habitat.label:
                np.minimum(self.own[other.label], away, out=self.own[other.label])

    def _choose(self, habitat: Candidates, rows: npt.NDArray[np.intp]) -> int:
        own = self.own[habitat.label]
        if self.from_ends:
            away = own[rows] if np.isfinite(own[rows[0]]) else _from_middle(habitat.xy_mm, rows)
            # Tight places: cores as close to each other, or as far out, as they may be leave most room.
            tied = rows[away <= away.min() + 0.3] if np.isfinite(own[rows[0]]) else rows[away >= away.max() - 0.3]
            return int(self.rng.choice(tied))
        drawn = np.sort(self.rng.choice(rows, min(DRAWS, len(rows)), replace=False))
        spread = np.minimum(own[drawn], 4.0 * self.apart_mm)
        return int(drawn[np.argmax(spread + 2.0 * habitat.room_mm[drawn])])


def _from_middle(xy_mm: FloatArray, rows: npt.NDArray[np.intp]) -> FloatArray:
    return np.asarray(np.linalg.norm(xy_mm[rows] - xy_mm.mean(axis=0), axis=1))

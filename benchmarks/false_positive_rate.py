"""How often each test links a habitat to a gene it has nothing to do with, and how often it finds a real link.

Truth is made: a habitat is where the first of three unrelated smooth fields is the largest, a gene is a fourth field
of the same smoothness (``--genes`` of them a habitat map), nothing links them. Printed: share of p ≤ 0.05 (and 0.001)
by test and smoothness, with standard errors over maps; then power when the gene does follow the habitat, next to an
oracle that draws its surrogates from the true law of the maps. The last supports break what the nulls assume: a rim,
and fields whose amplitude or smoothness changes across the specimen, habitat's and genes' alike.

Run: ``python benchmarks/false_positive_rate.py --maps 300 --out table.csv``; every ``--maps`` gives the same table
for the same ``--seed``; ``--quick`` takes a minute or two.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from comould.associate.claims.blocks import Blocks, unit
from comould.associate.claims.chance import chance, t_test
from comould.associate.claims.statistics import analytic_effective, welch
from comould.associate.nulls import Surrogates, make_null, pairs_of
from comould.associate.nulls.variogram import Pairs

SIGMAS = (0.7, 1.5, 3.0, 5.0)
N_SIDE = 30
MIN_SPOTS = 20


@dataclass(frozen=True)
class Support:
    """Spots, and how to draw smooth fields at them."""

    name: str
    mask: np.ndarray
    step: tuple[float, ...]
    habitat: str = "argmax"
    varying: str = ""

    @property
    def positions(self) -> np.ndarray:
        """Positions (n, 3), px."""
        index = np.argwhere(self.mask)[:, ::-1] * np.array(self.step[::-1])
        return np.column_stack([index, np.zeros((len(index), 3 - index.shape[1]))])

    @property
    def sections(self) -> np.ndarray:
        """Section codes (n,)."""
        return np.argwhere(self.mask)[:, 0] if self.mask.ndim == 3 else np.zeros(int(self.mask.sum()), dtype=int)

    def fields(self, sigma: float, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw n smooth fields (n, n_spots): stationary, or changing from left to right."""
        along = self.positions[:, 0] / self.positions[:, 0].max()
        if self.varying == "amplitude":
            return self._stationary(sigma, n, rng) * (0.5 + 1.5 * along)
        if self.varying == "smoothness":
            fine, coarse = (self._stationary(factor * sigma, n, rng) for factor in (0.5, 2.0))
            fine, coarse = (part / part.std(axis=1, keepdims=True) for part in (fine, coarse))
            return np.sqrt(1 - along) * fine + np.sqrt(along) * coarse
        return self._stationary(sigma, n, rng)

    def _stationary(self, sigma: float, n: int, rng: np.random.Generator) -> np.ndarray:
        """White noise smoothed far beyond the support's border, then cut: stationary up to the edge."""
        pads = [int(np.ceil(4 * sigma)) + 1] * self.mask.ndim
        full = [
            int((size - 1) * step) + 1 + 2 * pad
            for size, step, pad in zip(self.mask.shape, self.step, pads, strict=True)
        ]
        cut = tuple(slice(pad, -pad, int(step)) for pad, step in zip(pads, self.step, strict=True))
        return np.array([gaussian_filter(rng.standard_normal(full), sigma)[cut][self.mask] for _ in range(n)])

    def draw(self, sigma: float, rng: np.random.Generator) -> np.ndarray:
        """Draw one habitat's indicator."""
        if self.habitat == "argmax":
            return (self.fields(sigma, 3, rng).argmax(axis=0) == 0).astype(float)
        if self.habitat == "threshold":
            field = self.fields(sigma, 1, rng)[0]
            return (field > 0.5 * field.std()).astype(float)
        # A rim: the outer part of the support, its depth wavering. Neither stationary nor isotropic.
        centred = self.positions[:, :2] - self.positions[:, :2].mean(axis=0)
        radius = np.linalg.norm(centred, axis=1) / np.abs(centred).max()
        wave = self.fields(sigma, 1, rng)[0]
        return (radius + 0.15 * wave / wave.std() > 0.75).astype(float)


def lattice() -> np.ndarray:
    """A full square."""
    return np.ones((N_SIDE, N_SIDE), dtype=bool)


def irregular() -> np.ndarray:
    """A three-lobed outline with a hole off its centre."""
    y, x = (np.mgrid[:N_SIDE, :N_SIDE] - (N_SIDE - 1) / 2) / ((N_SIDE - 1) / 2)
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    return (radius < 0.8 + 0.2 * np.sin(3 * angle + 0.5)) & (np.hypot(x - 0.2, y + 0.1) > 0.28)


def stack() -> np.ndarray:
    """Six irregular sections, 5 px apart."""
    return np.repeat(irregular()[None], 6, axis=0)


SUPPORTS = (
    Support("lattice 30x30", lattice(), (1, 1)),
    Support("irregular, hole", irregular(), (1, 1)),
    Support("irregular, threshold", irregular(), (1, 1), "threshold"),
    Support("6 sections", stack(), (5, 1, 1)),
    Support("rim (non-stationary)", irregular(), (1, 1), "rim"),
    Support("amplitude x 4 across", irregular(), (1, 1), "threshold", "amplitude"),
    Support("smoothness x 4 across", irregular(), (1, 1), "argmax", "smoothness"),
)
SLOW = ("dutilleul", "shift", "rotate", "rotate_reflect", "moran")


def usable(habitat: np.ndarray) -> bool:
    """Tell whether both sides have enough spots."""
    return MIN_SPOTS <= habitat.sum() <= len(habitat) - MIN_SPOTS


def oracle(support: Support, sigma: float, habitat: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Maps of the habitat's true law, with a share of spots within a third of the habitat's own."""
    maps: list[np.ndarray] = []
    for _ in range(50 * n):
        drawn = support.draw(sigma, rng)
        if abs(drawn.sum() - habitat.sum()) <= habitat.sum() / 3 and usable(drawn):
            maps.append(drawn)
            if len(maps) == n:
                break
    return np.array(maps, dtype=np.float32)


def correlations(made: Surrogates, features: np.ndarray, blocks: Blocks) -> np.ndarray:
    """Correlations (n_surrogates, c) of surrogates with features of length 1."""
    if made.scale is not None:
        return made.maps @ features / made.scale[:, None]
    return unit(made.maps.T.astype(float), blocks).T @ features


def on_lattice(habitat: np.ndarray, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Surrogates of a full square the way they are often made: blocks of 5 x 5 permuted, and the map on a torus."""
    square, blocks = habitat.reshape(N_SIDE, N_SIDE), N_SIDE // 5
    tiles = square.reshape(blocks, 5, blocks, 5).transpose(0, 2, 1, 3).reshape(-1, 5, 5)
    permuted, rolled = np.empty((n, N_SIDE, N_SIDE)), np.empty((n, N_SIDE, N_SIDE))
    for row in range(n):
        mixed = tiles[rng.permutation(len(tiles))].reshape(blocks, blocks, 5, 5)
        permuted[row] = mixed.transpose(0, 2, 1, 3).reshape(N_SIDE, N_SIDE)
        rolled[row] = np.roll(square, tuple(rng.integers(N_SIDE, size=2)), axis=(0, 1))
    return {"5x5 block permutation": permuted.reshape(n, -1), "torus shift": rolled.reshape(n, -1)}


def p_values(
    habitat: np.ndarray,
    genes: np.ndarray,
    support: Support,
    blocks: Blocks,
    pairs: Pairs,
    n: int,
    seed: int,
    kinds: tuple[str, ...] = (),
) -> dict[str, np.ndarray]:
    """Test one habitat against genes (n_spots, c): the default null, and more on demand; not the oracle's."""
    features = unit(genes, blocks)
    statistic = unit(habitat[:, None], blocks)[:, 0] @ features

    def against(kind: str) -> tuple[Surrogates, np.ndarray]:
        made = make_null(habitat, support.positions, blocks.codes, kind=kind, n=n, seed=seed, pairs=pairs)
        return made, correlations(made, features, blocks)

    made, random = against("variogram")
    spatial, effective = chance(statistic, random, len(habitat))
    ranks = (1 + (np.abs(random) >= np.abs(statistic)).sum(axis=0)) / (n + 1)
    nothing = np.full(len(spatial), np.nan)
    found = {
        "Welch": welch(genes, habitat[:, None])[0],
        "variogram": spatial,
        "variogram, ranks only": ranks,
        "variogram, n_eff >= 20": np.where(effective >= 20, spatial, np.nan),
        "variogram, no doubt": nothing if made.fit.doubts or made.fit.refusal else spatial,
        "effective samples": effective,
    }
    if "shuffle" in kinds and support.mask.ndim == 2 and support.mask.all():
        for name, maps in on_lattice(habitat, n, np.random.default_rng([seed, 5])).items():
            found[name] = chance(statistic, unit(maps.T.copy(), blocks).T @ features, len(habitat))[0]
    for kind in kinds:
        if kind == "dutilleul":
            analytic = analytic_effective(blocks.centre(habitat), blocks.centre(genes), pairs)
            found[kind] = t_test(statistic, analytic)
        else:
            found[kind] = chance(statistic, against(kind)[1], len(habitat))[0]
    return found


def false_positives(support: Support, sigma: float, given: argparse.Namespace) -> list[dict]:
    """Share of small p-values where there is nothing to find; slow tests on the first maps of single sections only."""
    blocks = Blocks(support.sections)
    pairs = pairs_of(support.positions)
    found: dict[str, list[np.ndarray]] = {}
    drawn = number = 0
    while drawn < given.maps and number < 3 * given.maps:
        rng = np.random.default_rng([given.seed, number])
        number += 1
        habitat = support.draw(sigma, rng)
        if not usable(habitat):
            continue
        genes = support.fields(sigma, given.genes, rng).T
        kinds = ("shuffle", *SLOW) if drawn < given.slow_maps and support.mask.ndim == 2 else ()
        drawn += 1
        for test, p in p_values(habitat, genes, support, blocks, pairs, given.surrogates, number, kinds).items():
            found.setdefault(test, []).append(p)
    return summed(support, sigma, found)


def summed(support: Support, sigma: float, found: dict[str, list[np.ndarray]]) -> list[dict]:
    """Rates of each test, with standard errors over maps."""
    effective = float(np.mean(found.pop("effective samples")))
    rows = []
    for test, parts in found.items():
        p = np.array(parts)
        with np.errstate(invalid="ignore"):
            hit = np.where(np.isnan(p), np.nan, p <= 0.05)
        tested = ~np.isnan(p)
        by_map = (
            np.nanmean(hit, axis=1)
            if tested.all()
            else np.array([h[t].mean() for h, t in zip(hit, tested, strict=True) if t.any()])
        )
        rows.append(
            {
                "support": support.name,
                "sigma": sigma,
                "test": test,
                "rate_05": hit[tested].mean() if tested.any() else np.nan,
                "se": by_map.std(ddof=1) / np.sqrt(len(by_map)) if len(by_map) > 1 else np.nan,
                "rate_001": (p[tested] <= 0.001).mean() if tested.any() else np.nan,
                "tested": tested.mean(),
                "n_effective": effective,
                "maps": len(parts),
            }
        )
    return rows


def power(support: Support, sigma: float, n_maps: int, n: int, seed: int) -> dict:
    """Share found at 0.05 when the gene is habitat and field, half and half in variance, with noise on top."""
    blocks = Blocks(support.sections)
    pairs = pairs_of(support.positions)
    kinds = ("dutilleul", "shift", "rotate_reflect", "moran")
    ours: dict[str, list[np.ndarray]] = {name: [] for name in ("variogram", "oracle", *kinds)}
    for number in range(n_maps):
        rng = np.random.default_rng([seed, 77, number])
        habitat = support.draw(sigma, rng)
        if not usable(habitat):
            continue
        field = support.fields(sigma, 10, rng).T
        share = 1.4 / np.sqrt(max(len(habitat) / (4 * np.pi * sigma**2), 4))
        genes = share * unit(habitat[:, None], blocks) * np.sqrt(len(habitat)) + field / field.std(axis=0)
        genes = genes + 0.5 * rng.standard_normal(genes.shape)
        p = p_values(habitat, genes, support, blocks, pairs, n, number, kinds)
        features = unit(genes, blocks)
        random = unit(oracle(support, sigma, habitat, min(n, 299), rng).T.astype(float), blocks).T @ features
        p["oracle"] = chance(unit(habitat[:, None], blocks)[:, 0] @ features, random, len(habitat))[0]
        for name, values in ours.items():
            values.append(p[name])
    found = {name: float((np.array(values) <= 0.05).mean()) for name, values in ours.items()}
    return {"support": support.name, "sigma": sigma, **found, "ratio": found["variogram"] / found["oracle"]}


def show(rows: list[dict], value: Callable[[pd.DataFrame], pd.Series]) -> str:
    """Lay a table out as test by smoothness, one block a support."""
    table = pd.DataFrame(rows)
    table["cell"] = value(table)
    order = list(dict.fromkeys(table["test"]))
    wide = table.set_index(["support", "test", "sigma"])["cell"].unstack()  # noqa: PD010
    names = list(dict.fromkeys(table["support"]))
    return wide.reindex([(name, test) for name in names for test in order]).to_string()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=300, help="habitat maps a cell (default 300)")
    parser.add_argument("--slow-maps", type=int, default=100, help="of which the slow tests see (default 100)")
    parser.add_argument("--genes", type=int, default=10, help="genes tested against each (default 10)")
    parser.add_argument("--surrogates", type=int, default=499)
    parser.add_argument("--power-maps", type=int, default=60)
    parser.add_argument("--supports", type=int, nargs="*", default=range(len(SUPPORTS)), help="which, from 0")
    parser.add_argument("--quick", action="store_true", help="30 maps, 10 for slow tests and power, first two supports")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="write the table as CSV, cell by cell")
    given = parser.parse_args()
    if given.quick:
        given.maps, given.slow_maps, given.power_maps, given.surrogates, given.supports = 30, 10, 10, 199, (0, 1)
    start = time.perf_counter()
    rows = []
    for support in (SUPPORTS[number] for number in given.supports):
        for sigma in SIGMAS:
            rows += false_positives(support, sigma, given)
            if given.out:
                pd.DataFrame(rows).to_csv(given.out, index=False)
    print(f"False-positive rate at nominal 0.05 (standard error; {given.maps} maps x {given.genes} genes)")
    print(show(rows, lambda t: t["rate_05"].map("{:.3f}".format) + " (" + t["se"].map("{:.3f}".format) + ")"))
    print("\nFalse-positive rate at nominal 0.001")
    print(show(rows, lambda t: t["rate_001"].map("{:.4f}".format)))
    table = pd.DataFrame(rows)
    for name in ("n_eff >= 20", "no doubt"):
        tested = table[table["test"] == f"variogram, {name}"]
        print(f"\nMean effective samples, and share of rows with {name}")
        print(tested[["support", "sigma", "n_effective", "tested"]].to_string(index=False, float_format="%.2f"))
    if given.power_maps and set(given.supports) & {0, 1}:
        print("\nPower at 0.05 beside the oracle")
        strength = [
            power(SUPPORTS[s], sigma, given.power_maps, given.surrogates, given.seed)
            for s in given.supports
            if s in {0, 1}
            for sigma in SIGMAS
        ]
        print(pd.DataFrame(strength).to_string(index=False, float_format="%.3f"))
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

"""How often each test links a habitat to a gene it has nothing to do with, and how often it finds a real link.

Truth is made: a habitat is where the first of three unrelated smooth fields is the largest, a gene is a fourth field
of the same smoothness (``--genes`` of them a habitat map), nothing links them. Printed: share of p ≤ 0.05 (and 0.001)
by test and smoothness, with standard errors over maps; then power when the gene does follow the habitat, next to an
oracle that draws its surrogates from the true law of the maps.

Run: ``python benchmarks/false_positive_rate.py --maps 300 --out table.csv``; every ``--maps`` gives the same table
for the same ``--seed``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from comould.associate.blocks import Blocks, unit
from comould.associate.chance import chance, t_test
from comould.associate.nulls import make_null
from comould.associate.nulls.variogram import Pairs, sample_pairs
from comould.associate.statistics import analytic_effective, welch

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

    @property
    def positions(self) -> np.ndarray:
        """Positions (n, 3), px."""
        index = np.argwhere(self.mask)[:, ::-1] * np.array(self.step[::-1])
        return np.column_stack([index, np.zeros((len(index), 3 - index.shape[1]))])

    def fields(self, sigma: float, n: int, rng: np.random.Generator) -> np.ndarray:
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
)


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


def p_values(
    habitat: np.ndarray, genes: np.ndarray, support: Support, blocks: Blocks, pairs: Pairs, n: int, seed: int
) -> dict[str, np.ndarray]:
    """Test one habitat against genes (n_spots, c), every way but the oracle's."""
    features = unit(genes, blocks)
    statistic = unit(habitat[:, None], blocks)[:, 0] @ features
    sections = blocks.codes

    def against(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        made = make_null(habitat, support.positions, sections, kind=kind, n=n, seed=seed, pairs=pairs)
        random = unit(made.maps.T.copy(), blocks).T @ features
        ranks = (1 + (np.abs(random) >= np.abs(statistic)).sum(axis=0)) / (n + 1)
        return (*chance(statistic, random, len(habitat)), ranks)

    spatial, effective, ranks = against("variogram")
    analytic = analytic_effective(blocks.centre(habitat), blocks.centre(genes), pairs)
    return {
        "Welch": welch(genes, habitat[:, None])[0],
        "shuffled": against("shuffle")[0],
        "Dutilleul": t_test(statistic, analytic),
        "variogram": spatial,
        "variogram, ranks only": ranks,
        "variogram, n_eff >= 20": np.where(effective >= 20, spatial, np.nan),
        "effective samples": effective,
    }


def false_positives(support: Support, sigma: float, n_maps: int, n_genes: int, n: int, seed: int) -> list[dict]:
    """Rates of one support and smoothness."""
    blocks = Blocks(
        np.argwhere(support.mask)[:, 0] if support.mask.ndim == 3 else np.zeros(support.mask.sum(), dtype=int)
    )
    pairs = sample_pairs(support.positions)
    found: dict[str, list[np.ndarray]] = {}
    number = drawn = 0
    while drawn < n_maps:
        rng = np.random.default_rng([seed, number])
        number += 1
        habitat = support.draw(sigma, rng)
        if not usable(habitat):
            continue
        drawn += 1
        genes = support.fields(sigma, n_genes, rng).T
        for test, p in p_values(habitat, genes, support, blocks, pairs, n, number).items():
            found.setdefault(test, []).append(p)
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
                "maps": drawn,
            }
        )
    return rows


def power(support: Support, sigma: float, n_maps: int, n: int, seed: int) -> dict:
    """Share found at 0.05 when the gene is habitat and field, half and half in variance, with noise on top."""
    blocks = Blocks(np.zeros(support.mask.sum(), dtype=int))
    pairs = sample_pairs(support.positions)
    ours, best = [], []
    for number in range(n_maps):
        rng = np.random.default_rng([seed, 77, number])
        habitat = support.draw(sigma, rng)
        if not usable(habitat):
            continue
        field = support.fields(sigma, 10, rng).T
        share = 1.4 / np.sqrt(max(len(habitat) / (4 * np.pi * sigma**2), 4))
        genes = share * unit(habitat[:, None], blocks) * np.sqrt(len(habitat)) + field / field.std(axis=0)
        genes = genes + 0.5 * rng.standard_normal(genes.shape)
        ours.append(p_values(habitat, genes, support, blocks, pairs, n, number)["variogram"])
        features = unit(genes, blocks)
        maps = oracle(support, sigma, habitat, min(n, 299), rng)
        random = unit(maps.T.copy(), blocks).T @ features
        best.append(chance(unit(habitat[:, None], blocks)[:, 0] @ features, random, len(habitat))[0])
    found, known = float((np.array(ours) <= 0.05).mean()), float((np.array(best) <= 0.05).mean())
    return {"support": support.name, "sigma": sigma, "power": found, "oracle": known, "ratio": found / known}


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
    parser.add_argument("--genes", type=int, default=10, help="genes tested against each (default 10)")
    parser.add_argument("--surrogates", type=int, default=499)
    parser.add_argument("--power-maps", type=int, default=60)
    parser.add_argument("--supports", type=int, nargs="*", default=range(len(SUPPORTS)), help="which, from 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="write the table as CSV")
    given = parser.parse_args()
    start = time.perf_counter()
    rows = []
    for support in (SUPPORTS[number] for number in given.supports):
        for sigma in SIGMAS:
            rows += false_positives(support, sigma, given.maps, given.genes, given.surrogates, given.seed)
    print(f"False-positive rate at nominal 0.05 (standard error over {given.maps} maps x {given.genes} genes)")
    print(show(rows, lambda t: t["rate_05"].map("{:.3f}".format) + " (" + t["se"].map("{:.3f}".format) + ")"))
    print("\nFalse-positive rate at nominal 0.001")
    print(show(rows, lambda t: t["rate_001"].map("{:.4f}".format)))
    tested = pd.DataFrame(rows).query("test == 'variogram, n_eff >= 20'")
    print("\nMean effective samples, and share of rows with at least 20")
    print(tested[["support", "sigma", "n_effective", "tested"]].to_string(index=False, float_format="%.2f"))
    if given.power_maps:
        print("\nPower at 0.05 beside the oracle")
        strength = [
            power(SUPPORTS[s], sigma, given.power_maps, given.surrogates, given.seed)
            for s in (0, 1)
            for sigma in SIGMAS
        ]
        print(pd.DataFrame(strength).to_string(index=False, float_format="%.3f"))
    if given.out:
        pd.DataFrame(rows).to_csv(given.out, index=False)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

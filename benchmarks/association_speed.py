"""How long the tests take, and how much memory: against the bare matrix products, and against squidpy's Moran's I.

``python benchmarks/association_speed.py products`` (18,000 genes, 5,000 spots, 1,000 surrogates), ``moran`` (200 genes,
19,881 spots, 100 permutations), ``bins`` (2,000 genes, 500,000 bins). Each part is best run in a process of its own:
memory is the process's peak.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from comould import associate
from comould.associate.claims.blocks import Blocks
from comould.associate.claims.normalise import LogExpression
from comould.associate.claims.products import Design, Prepared, against_genes, see
from comould.associate.nulls import make_null


def hexagons(count: int) -> np.ndarray:
    """Positions (n, 2) of a hexagonal array, mm, 0.1 apart."""
    side = int(np.ceil(np.sqrt(count)))
    row, column = np.divmod(np.arange(count), side)
    return np.column_stack([column + 0.5 * (row % 2), row * np.sqrt(0.75)]) * 0.1


def counts(n_spots: int, n_genes: int, density: float, seed: int = 0) -> sp.csc_array:
    """Draw sparse counts, column by column."""
    rng = np.random.default_rng(seed)
    per_gene = np.maximum(rng.binomial(n_spots, density, n_genes), 1)
    rows = [np.sort(rng.choice(n_spots, n, replace=False)).astype(np.int32) for n in per_gene]
    data = (1 + rng.poisson(1.0, int(per_gene.sum()))).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(per_gene)]).astype(np.int32)
    return sp.csc_array((data, np.concatenate(rows), indptr), shape=(n_spots, n_genes))


def smooth_map(positions: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw a habitat that covers about a third, as a few waves make it."""
    rng = np.random.default_rng(seed)
    waves = rng.standard_normal((40, 2)) / 0.8
    value = np.cos(positions @ waves.T + rng.uniform(0, 2 * np.pi, 40)).sum(axis=1)
    return (value > np.quantile(value, 0.67)).astype(np.float64)


def peak_gb() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def products(n_spots: int = 5000, n_genes: int = 18_000, n: int = 1000) -> None:
    """Time the products of one habitat, with everything that makes p-values of them."""
    matrix, positions = counts(n_spots, n_genes, 0.15), hexagons(n_spots)
    habitat = smooth_map(positions)
    start = time.perf_counter()
    made = make_null(habitat, positions, n=n)
    null_s = time.perf_counter() - start
    _bare(made.maps, n_genes)
    bare_s = _bare(made.maps, n_genes)

    def whole() -> float:
        begin = time.perf_counter()
        expression, design = LogExpression(matrix), Design.make(habitat[:, None], Blocks(np.zeros(n_spots, dtype=int)))
        seen = see(expression, design)
        rows = Prepared.of(made, design, 0)
        against_genes(expression, design, seen, 0, rows, counted=lambda _here, effective: effective > 20)
        return time.perf_counter() - begin

    first = whole()
    ours = min(first, whole())
    print(f"{n} surrogates x {n_genes} genes x {n_spots} spots")
    print(f"surrogates made            {null_s:6.2f} s")
    print(f"bare float32 products      {bare_s:6.2f} s")
    print(f"the test                   {ours:6.2f} s = {ours / bare_s:.2f} x bare (first call {first:.2f} s)")
    print(f"surrogates and test        {null_s + ours:6.2f} s")
    print(f"peak memory                {peak_gb():6.2f} GB")


def _bare(maps: np.ndarray, n_genes: int, at_once: int = 2000) -> float:
    features = np.random.default_rng(0).standard_normal((maps.shape[1], at_once)).astype(np.float32)
    start = time.perf_counter()
    for low in range(0, n_genes, at_once):
        maps @ features[:, : min(at_once, n_genes - low)]
    return time.perf_counter() - start


def table_of(n_spots: int, n_genes: int, density: float) -> ad.AnnData:
    """Spots with a habitat and a position."""
    positions = hexagons(n_spots)
    spots = ad.AnnData(sp.csr_matrix(counts(n_spots, n_genes, density)))
    spots.obsm["spatial"] = positions
    spots.obs["habitat"] = pd.Categorical(np.where(smooth_map(positions) > 0, "H1", "H2"))
    return spots


def moran(n_spots: int = 19_881, n_genes: int = 200, n: int = 100) -> None:
    """Time a test of one map against genes, and squidpy's permutation test of the same size."""
    import squidpy as sq

    spots = table_of(n_spots, n_genes, 0.3)
    one = spots[:, :4].copy()
    one.X = one.X + sp.csr_matrix(np.ones(one.shape, dtype=np.float32))
    associate.test(one, positions="spatial", n_surrogates=9)
    start = time.perf_counter()
    associate.test(spots, positions="spatial", n_surrogates=n)
    ours = time.perf_counter() - start
    sq.gr.spatial_neighbors(spots, coord_type="generic", n_neighs=6)
    start = time.perf_counter()
    sq.gr.spatial_autocorr(spots, mode="moran", n_perms=n, n_jobs=1, seed=0)
    theirs = time.perf_counter() - start
    print(f"{n_genes} genes, {n_spots} spots, {n} random maps")
    print(f"comould.associate.test, two habitats, from counts to table {ours:6.2f} s")
    print(f"squidpy spatial_autocorr(moran, n_jobs=1)                  {theirs:6.2f} s = {theirs / ours:.1f} x")


def bins(n_spots: int = 500_000, n_genes: int = 2000, n: int = 199) -> None:
    """Run a Visium HD sized table through the whole test."""
    spots = table_of(n_spots, n_genes, 0.05)
    before = peak_gb()
    start = time.perf_counter()
    table = associate.test(spots, positions="spatial", n_surrogates=n)
    print(f"{n_spots} bins, {n_genes} genes, {spots.X.nnz / 1e6:.0f} million counts, {n} surrogates, two habitats")
    print(f"{time.perf_counter() - start:.0f} s, peak {peak_gb():.2f} GB ({before:.2f} GB before the test)")
    print(f"p <= .05 in {(table['p_spatial'] <= 0.05).mean():.3f} of {len(table)} rows")


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("products", "moran", "bins"))
    parser.add_argument("--surrogates", type=int)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    part = {"products": products, "moran": moran, "bins": bins}[given.part]
    part(**({"n": given.surrogates} if given.surrogates else {}))


if __name__ == "__main__":
    main()

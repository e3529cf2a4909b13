"""Time and memory of surrogate maps, each case in a process of its own.

Run: ``python benchmarks/surrogate_speed.py``; ``--large`` adds 200 surrogates of 500,000 spots (some minutes).
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import numpy as np
from scipy.ndimage import gaussian_filter

CASES = (
    (55, "variogram", "indicator", 1000),
    (55, "variogram", "continuous", 1000),
    (55, "shift", "indicator", 1000),
    (55, "rotate", "indicator", 1000),
    (55, "moran", "indicator", 1000),
    (55, "dutilleul", "indicator", 1000),
    (55, "labels", "indicator", 1000),
)
LARGE = ((707, "variogram", "indicator", 200), (707, "variogram", "continuous", 200))


def run(case: tuple[int, str, str, int]) -> tuple[float, float, float]:
    """Make one case; seconds, CPU seconds, peak MB."""
    from comould.associate.nulls import make_label_null, make_null

    side, kind, values, n = case
    y, x = np.mgrid[:side, :side]
    positions = np.column_stack([x.ravel(), y.ravel(), np.zeros(side**2)]).astype(float)
    field = gaussian_filter(np.random.default_rng(0).standard_normal((side + 40, side + 40)), 3)[20:-20, 20:-20].ravel()
    habitat = (field > 0).astype(float) if values == "indicator" else field
    start, cpu = time.perf_counter(), time.process_time()
    if kind == "labels":
        make_label_null(np.digitize(field, np.quantile(field, [0.2, 0.4, 0.7])), positions, n=n)
    else:
        make_null(habitat, positions, kind=kind, n=n)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return time.perf_counter() - start, time.process_time() - cpu, peak


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true")
    given = parser.parse_args()
    print(f"{'spots':>8} {'kind':12} {'values':12} {'surrogates':>10} {'s':>7} {'CPU s':>7} {'peak MB':>8}")
    spawned = multiprocessing.get_context("spawn")
    for case in CASES + (LARGE if given.large else ()):
        with spawned.Pool(1) as pool:
            seconds, cpu, peak = pool.apply(run, (case,))
        side, kind, values, n = case
        print(f"{side**2:8d} {kind:12} {values:12} {n:10d} {seconds:7.2f} {cpu:7.2f} {peak:8.0f}", flush=True)


if __name__ == "__main__":
    main()

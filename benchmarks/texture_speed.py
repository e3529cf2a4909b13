"""Speed and memory of texture maps: ``python benchmarks/texture_speed.py [--diameter 64] [--memory]``.

A ball of smoothed noise, 32 grey levels, kernels of radius 2 (a box of 5 × 5 × 5 voxels and a ball of 33), two threads.
With the package ``itk-texturefeatures`` installed, its co-occurrence filter runs on the same image in between. Best of
three, CPU seconds of all threads beside the wall clock, for a machine that is shared. The first call is reported apart:
it compiles, or loads what an earlier process compiled (an empty NUMBA_CACHE_DIR shows the former). ``--memory`` makes
all maps of a tumour of a million voxels in a process of its own and reports its peak.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy import ndimage

from comould.errors import ComouldWarning
from comould.habitats import feature_maps
from comould.space import Grid

THREADS = 2
LEVELS = 32
HARALICK = [
    f"glcm.{name}"
    for name in (
        "angular_second_moment",
        "joint_entropy",
        "correlation",
        "inverse_difference_moment",
        "contrast",
        "cluster_shade",
        "cluster_prominence",
        "autocorrelation",
    )
]
FAMILIES = ["firstorder", "glrlm", "glszm", "ngtdm", "ngldm"]


def ball(diameter: int) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(0).normal(size=(diameter,) * 3)
    place = np.indices(noise.shape) - (diameter - 1) / 2
    return ndimage.gaussian_filter(noise, 1.0), (place**2).sum(axis=0) < (diameter / 2) ** 2


def best(work, repeats: int = 3) -> tuple[float, float]:
    """Least wall and CPU seconds."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def ours(image: np.ndarray, mask: np.ndarray, features, shape: str):
    grid = Grid(image.shape[::-1])
    volume, region = grid.to_image(image), grid.to_image(mask.astype(np.uint8))

    def work() -> None:
        feature_maps(
            {"a": volume}, region, features=features, radius_voxels=2, shape=shape, bins=LEVELS, threads=THREADS
        )

    return work


def peer(image: np.ndarray, mask: np.ndarray):
    """ITK's filter on the same image, or None where it is not installed."""
    try:
        import itk

        kind = itk.CoocurrenceTextureFeaturesImageFilter
    except (ImportError, AttributeError):
        return None
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(THREADS)
    volume = itk.image_from_array(image.astype(np.float32))
    region = itk.image_from_array(mask.astype(np.uint8))
    low, high = float(image[mask].min()), float(image[mask].max())

    def work() -> None:
        filter_ = kind[itk.Image[itk.F, 3], itk.VectorImage[itk.F, 3]].New()
        filter_.SetInput(volume)
        filter_.SetMaskImage(region)
        filter_.SetNeighborhoodRadius([2, 2, 2])
        filter_.SetNumberOfBinsPerAxis(LEVELS)
        filter_.SetHistogramMinimum(low)
        filter_.SetHistogramMaximum(high)
        filter_.Update()

    return work


def line(name: str, voxels: int, work) -> None:
    wall, cpu = best(work)
    print(f"| {name} | {voxels / wall:,.0f} | {voxels / cpu:,.0f} |", flush=True)


def speed(diameter: int) -> None:
    image, mask = ball(diameter)
    n = int(mask.sum())
    small = np.zeros_like(mask)
    small[:4, :4, :4] = True
    wall, cpu = best(ours(image, small, ["glcm", *FAMILIES], "box"), 1)
    print(f"{n:,} voxels; first call of every kernel: {wall:.1f} s, of which CPU {cpu:.1f} s\n")
    print("| maps | voxels per second | per CPU second |\n| --- | --- | --- |")
    other = peer(image, mask)
    for shape, words in (("box", "5 × 5 × 5"), ("ball", "ball of 33")):
        line(f"all 25 GLCM, 13 directions merged, {words}", n, ours(image, mask, "glcm", shape))
        if shape == "box":
            line(f"8 Haralick, {words}", n, ours(image, mask, HARALICK, shape))
            if other is None:
                print("| 8 Haralick, ITK (itk-texturefeatures is not installed) | – | – |")
            else:
                line(f"8 Haralick, ITK, {words}", n, other)
        for family in FAMILIES:
            line(f"all {family}, {words}", n, ours(image, mask, family, shape))


def memory() -> None:
    """Print the peak of this process after all maps of a million voxels."""
    image, mask = ball(125)
    before = peak_gb()
    began = time.perf_counter()
    ours(image, mask, ["glcm", *FAMILIES], "ball")()
    print(
        f"{int(mask.sum()):,} voxels, 99 maps at once, ball of 33: peak {peak_gb():.2f} GB "
        f"({before:.2f} before), {time.perf_counter() - began:.0f} s"
    )


def peak_gb() -> float:
    """Most memory this process has held (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--diameter", type=int, default=64)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--only-memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ComouldWarning)
    if arguments.only_memory:
        memory()
        return
    speed(arguments.diameter)
    if arguments.memory:
        print()
        subprocess.run([sys.executable, __file__, "--only-memory"], check=True)


if __name__ == "__main__":
    main()

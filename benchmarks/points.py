"""Millions of pixels to the patient: ``python benchmarks/points.py [--points 10000000]``.

Pixels → scaling → affine → embedded cubic B-spline → plane → patient. Each case runs in a process of its own, so that
its peak memory is its own; the slow ones run on fewer points and their time is scaled. The floor is counted, not
hoped for: the bytes every way must move, and the products and sums of the formulas at the rate this machine does them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from itertools import product

import numpy as np

MEMBERS = 20
FLOPS = {
    "two matrices": 2 * 18,
    "offset and index": 3 + 15,
    "weights along x and y": 2 * (2 + 15),
    "16 terms along two axes": 2 * (5 * 7 + 1),
}
"""Products and sums a point needs."""
BYTES = 16 + 24 + 24
"""Bytes a point needs: two coordinates read, three written, whose lines of memory are first fetched."""


def transform(seed: int = 0):
    """A section's way home as registration makes it: a mirrored, turned, bent section on an oblique plane."""
    from scipy.spatial.transform import Rotation

    from comould.register.maps import PlanarMap, Spline, similarity
    from comould.space import Transform

    rng = np.random.default_rng(seed)
    bend = Spline(rng.normal(0.0, 0.5, (2, 20, 22)), (4.0, 4.0), (-42.0, -38.0))
    centres = {"centre_from": np.array([20.0, 20.0]), "centre_to": np.zeros(2)}
    planar = PlanarMap(similarity(33.0 + seed, 1.05, flipped=True, **centres), bend)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (80, -20, 40), degrees=True).as_matrix()
    matrix[:3, 3] = (40.0, -60.0, 120.0)
    patient_from_plane = Transform.from_matrix("plane", "patient", matrix)
    mm_from_px = Transform.scaling("section_px", "section_mm", (0.0005, 0.0005, 1.0))
    return patient_from_plane @ planar.to_transform(0.3) @ mm_from_px


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.0, 80_000.0, (count, 2))


def timed(work) -> tuple[float, float]:
    """Seconds on the clock, and of all cores together."""
    begin, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - used


def ours(count: int, threads: int | None, *, warm: bool) -> tuple[float, float]:
    from comould.space import bspline

    home, points = transform(), pixels(count)
    if warm:
        bspline.prepare()
    return timed(lambda: home.apply(points, threads=threads))


def ours_without_compiler(count: int) -> tuple[float, float]:
    from comould.space import _points

    home, points = transform(), pixels(count)
    _points._WORTH_COMPILING = sys.maxsize
    return timed(lambda: home.apply(points))


def ensemble(count: int) -> tuple[float, float]:
    home, points = transform(), pixels(count)
    members = [transform(seed) for seed in range(1, MEMBERS + 1)]
    return timed(lambda: home.apply_with_spread(points, members))


def former(count: int) -> tuple[float, float]:
    """What ``Transform.apply`` did before: whole arrays, all 64 terms."""
    import SimpleITK as sitk

    home, points = transform(), pixels(count)

    def spline(itk, x):
        images = itk.GetCoefficientImages()
        direction = np.array(images[0].GetDirection()).reshape(3, 3) * np.array(images[0].GetSpacing())
        index = (x - np.array(images[0].GetOrigin())) @ np.linalg.inv(direction).T
        size = np.array(images[0].GetSize())
        inside = np.all((index >= 1.0 - 1e-9) & (index <= size - 2.0 + 1e-9), axis=1)
        index = np.clip(index[inside], 1.0, size - 2.0)
        flat = np.stack([sitk.GetArrayViewFromImage(image) for image in images], axis=-1).reshape(-1, 3)
        start = np.minimum(np.floor(index).astype(np.intp), size - 3) - 1
        t = index - start - 1
        weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6.0
        total = np.zeros((len(index), 3))
        for i, j, k in product(range(4), repeat=3):
            row = ((start[:, 2] + k) * size[1] + start[:, 1] + j) * size[0] + start[:, 0] + i
            total += (weights[i, :, 0] * weights[j, :, 1] * weights[k, :, 2])[:, None] * flat[row]
        found = x.copy()
        found[inside] += total
        return found

    def work():
        x = np.column_stack([points, np.zeros(len(points))])
        for number in reversed(range(home.itk.GetNumberOfTransforms())):
            part = home.itk.GetNthTransform(number).Downcast()
            if part.IsLinear():
                origin = np.array(part.TransformPoint((0.0, 0.0, 0.0)))
                columns = [np.array(part.TransformPoint(tuple(axis))) - origin for axis in np.eye(3)]
                x = x @ np.array(columns) + origin
            else:
                x = spline(part, x)

    return timed(work)


def simpleitk(count: int) -> tuple[float, float]:
    home = transform().itk
    points = [(x, y, 0.0) for x, y in pixels(count).tolist()]
    return timed(lambda: [home.TransformPoint(point) for point in points])


def bytes_floor(count: int) -> tuple[float, float]:
    """Copy the pixels into the answer, and nothing else."""
    from comould.space import _points

    points = pixels(count)

    def work():
        found = np.empty((count, 3))
        _points._in_blocks(lambda rows: _points._put(points[rows], found[rows]), count, None)

    return timed(work)


def flops_floor(count: int) -> tuple[float, float]:
    """Do as many products and sums on numbers that never leave the core, 64 a step, vectorised, on all cores."""
    from concurrent.futures import ThreadPoolExecutor

    import numba

    from comould.space._points import _cores

    @numba.njit(nogil=True)
    def polynomial(x, steps):
        for _ in range(steps):
            for i in range(x.size):
                y = x[i]
                for _ in range(32):
                    y = y * 0.5 + 0.1
                x[i] = y

    polynomial(np.ones(8), 1)
    cores, size = _cores(), 1024
    steps = int(count * sum(FLOPS.values()) / (64 * size * cores))
    with ThreadPoolExecutor(cores) as pool:
        return timed(lambda: list(pool.map(lambda _: polynomial(np.ones(size), steps), range(cores))))


CASES = {
    "floor: bytes": (bytes_floor, 1),
    "floor: products and sums": (flops_floor, 1),
    "ours, first call in a process": (lambda n: ours(n, None, warm=False), 1),
    "ours": (lambda n: ours(n, None, warm=True), 1),
    "ours, 1 thread": (lambda n: ours(n, 1, warm=True), 1),
    "ours, numpy alone": (ours_without_compiler, 1),
    f"ours, with the spread of {MEMBERS}": (ensemble, 1),
    "as it was (whole arrays)": (former, 10),
    "SimpleITK TransformPoint": (simpleitk, 100),
}


def run(name: str, count: int) -> dict[str, float]:
    arguments = [sys.executable, __file__, "--points", str(count), "--case", name]
    said = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    return json.loads(said.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=float, default=10_000_000)
    parser.add_argument("--case", choices=list(CASES), help="run one case alone and print JSON")
    arguments = parser.parse_args()
    count = int(arguments.points)
    if arguments.case:
        work, share = CASES[arguments.case]
        transform()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds, cpu = (share * value for value in work(count // share))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"s": seconds, "cpu": cpu, "peak_mb": peak / 1024, "more_mb": (peak - before) / 1024}))
        return
    print(
        f"{count:,} points: {BYTES * count / 1e9:.2f} GB, {sum(FLOPS.values()) * count / 1e9:.2f} G products and sums"
    )
    print("× floor compares CPU seconds, which other jobs on the machine disturb less.")
    print(f"{'case':34} {'s':>8} {'CPU s':>8} {'× floor':>8} {'peak MB':>8} {'beyond libraries MB':>20}")
    floor = 0.0
    for name, (_, share) in CASES.items():
        found = run(name, count)
        floor = max(floor, found["cpu"]) if name.startswith("floor") else floor
        times = f"{found['cpu'] / floor:8.1f}"
        row = (
            f"{name:34} {found['s']:8.2f} {found['cpu']:8.2f} {times} {found['peak_mb']:8.0f} {found['more_mb']:20.0f}"
        )
        print(row + (f"  (of {count // share:,} points, × {share})" if share > 1 else ""), flush=True)


if __name__ == "__main__":
    main()

"""Registration against the phantom's truth: spot error, turns and faces, coverage of the stated uncertainty, time.

``python benchmarks/registration_on_phantom.py --difficulty medium --seeds 0-49 --per-specimen 2`` prints a line a
specimen and a summary, beside doing nothing and beside the affine map alone. Some seconds a section.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass, replace

import numpy as np

import comould as cm
from comould.register.align import Imaging, Task, to_plane
from comould.register.batch import own_seed
from comould.register.elastix import shared_worker

CHI2_90 = {1: 2.7055, 2: 4.6052}


@dataclass
class Row:
    """What one section showed; arrays hold one number a spot."""

    error: np.ndarray
    in_plane: np.ndarray
    normal: np.ndarray
    affine: np.ndarray
    nothing: np.ndarray
    covered: np.ndarray
    covered_normal: np.ndarray
    right: bool
    verdict: str
    seconds: float


def measure(cut: cm.phantom.CutSection, imaging: Imaging, settings: cm.register.RegisterSettings, samples: int) -> Row:
    task = Task(own_seed(0, cut.section.id), samples, settings)
    begin = time.perf_counter()
    found = to_plane(cut.section, imaging, task, shared_worker())
    seconds = time.perf_counter() - begin
    plain = Task(task.seed, 0, replace(settings, deformable=False, plane="plan", round_trip=False))
    affine = to_plane(cut.section, imaging, plain, shared_worker())
    px = cut.spots.obsm["spatial"]
    home, _ = found.map_points(px)
    away = home - cut.spots_patient_mm
    plane = cut.true_plane
    in_uvn = away @ plane.rotation
    covariance = plane.rotation.T @ found.covariance(px) @ plane.rotation
    flat = np.einsum("ni,ni->n", in_uvn[:, :2], np.linalg.solve(covariance[:, :2, :2], in_uvn[:, :2, None])[..., 0])
    turn = (found.quality.angle_deg - cut.angle_deg + 180.0) % 360.0 - 180.0
    planned = imaging.plane_of(cut.section)
    mm = cut.section.section_mm_from_section_px.apply(px)
    middle = planned.plane_from_patient.apply(cut.spots_patient_mm).mean(axis=0)
    nothing = planned.patient_from_plane.apply(mm - mm.mean(axis=0) + [middle[0], middle[1], 0.0])
    return Row(
        error=np.linalg.norm(away, axis=1),
        in_plane=np.linalg.norm(in_uvn[:, :2], axis=1),
        normal=np.abs(in_uvn[:, 2]),
        affine=np.linalg.norm(affine.map_points(px)[0] - cut.spots_patient_mm, axis=1),
        nothing=np.linalg.norm(nothing - cut.spots_patient_mm, axis=1),
        covered=flat <= CHI2_90[2],
        covered_normal=in_uvn[:, 2] ** 2 <= CHI2_90[1] * covariance[:, 2, 2],
        right=found.quality.flipped == cut.flipped and abs(turn) < 20.0,
        verdict=found.quality.verdict,
        seconds=seconds,
    )


def seeds_of(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--difficulty", default="medium", choices=["easy", "medium", "hard"])
    parser.add_argument("--seeds", type=seeds_of, default=seeds_of("20-22"))
    parser.add_argument("--per-specimen", type=int, default=3, help="sections of each specimen, spread over its planes")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--plane", default="fit", choices=["fit", "test", "plan"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", cm.ComouldWarning)
    shared_worker().wait_ready()
    settings = cm.register.RegisterSettings(plane=arguments.plane)
    print(f"{'seed':>5} {'n':>3} {'median':>7} {'p95':>6} {'in-plane':>8} {'normal':>6} {'affine':>6} {'nothing':>7} "
          f"{'90 % in':>7} {'90 % n':>6} {'right':>6} {'s':>5}  verdicts")  # fmt: skip
    everything: list[Row] = []
    for seed in arguments.seeds:
        specimen = cm.phantom.specimen(seed=seed)
        # As a mould has them: planes on imaging slices.
        plan = cm.mould.build(specimen.mask, template="ovary", plane="image").plan
        step = max(1, len(plan) // arguments.per_specimen)
        chosen = cm.space.SlicePlan(plan.planes[step // 2 :: step][: arguments.per_specimen])
        imaging = Imaging(plan, specimen.images, specimen.mask)
        cuts = specimen.cut(chosen, difficulty=arguments.difficulty)
        rows = [measure(cut, imaging, settings, arguments.samples) for cut in cuts]
        everything += rows
        show(str(seed), rows)
    show("all", everything)
    medians = np.median([np.median(row.error) for row in everything])
    print(
        f"median of the sections' medians {medians:.2f} mm, worst {max(np.median(r.error) for r in everything):.2f} mm"
    )


def show(name: str, rows: list[Row]) -> None:
    def joined(field: str) -> np.ndarray:
        return np.concatenate([getattr(row, field) for row in rows])

    verdicts = [row.verdict for row in rows]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in ("accept", "review", "reject") if v in verdicts)
    error = joined("error")
    print(
        f"{name:>5} {len(rows):3} {np.median(error):7.2f} {np.quantile(error, 0.95):6.2f} "
        f"{np.median(joined('in_plane')):8.2f} {np.median(joined('normal')):6.2f} {np.median(joined('affine')):6.2f} "
        f"{np.median(joined('nothing')):7.1f} {joined('covered').mean():7.2f} {joined('covered_normal').mean():6.2f} "
        f"{sum(row.right for row in rows):3}/{len(rows):<3} {np.mean([row.seconds for row in rows]):5.1f}  {counts}",
        flush=True,
    )


if __name__ == "__main__":
    main()

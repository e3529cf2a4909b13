"""Spot error of registration against the phantom's truth, beside the error of doing nothing.

``python benchmarks/registration_on_phantom.py --seeds 20 21 22`` takes about a minute a seed on two cores.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np

import comould as cm


def one_specimen(seed: int, workers: list[cm.register.ElastixWorker], n_samples: int) -> list[dict]:
    case = cm.phantom.specimen(seed=seed)
    plan = cm.mould.build(case.mask, template="ovary", plane="image").plan
    cuts = case.cut(plan)
    sections = [cut.section for cut in cuts]
    begin = time.perf_counter()
    found = cm.register.sections(
        sections, plan=plan, image=case.images, mask=case.mask, n_samples=n_samples, workers=workers
    )
    each = (time.perf_counter() - begin) / len(cuts)
    rows = []
    for cut in cuts:
        registration = found[cut.section.id]
        home, sd = registration.map_points(cut.spots.obsm["spatial"])
        error = np.linalg.norm(home - cut.spots_patient_mm, axis=1)
        plane = plan[cut.section.plane_id]
        flat = cut.section.section_mm_from_section_px.apply(cut.spots.obsm["spatial"])
        middle = plane.plane_from_patient.apply(cut.spots_patient_mm).mean(axis=0)
        nothing = plane.patient_from_plane.apply(flat - flat.mean(axis=0) + middle)
        turn = (registration.quality.angle_deg - cut.angle_deg + 180.0) % 360.0 - 180.0
        rows.append(
            {
                "error": error,
                "nothing": np.linalg.norm(nothing - cut.spots_patient_mm, axis=1),
                "sd": np.linalg.norm(sd, axis=1),
                "right": registration.quality.flipped == cut.flipped and abs(turn) < 20.0,
                "verdict": registration.quality.verdict,
                "seconds": each,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    parser.add_argument("--samples", type=int, default=4)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", cm.ComouldWarning)
    columns = f"{'seed':>5} {'sections':>8} {'median':>7} {'p95':>6} {'nothing':>8} {'sd':>5} {'right':>6}"
    print(f"{columns} {'s/section':>9}  verdicts")
    everything: list[dict] = []
    with cm.register.ElastixWorker() as first, cm.register.ElastixWorker() as second:
        workers = [first.start(), second.start()]
        for seed in arguments.seeds:
            rows = one_specimen(seed, workers, arguments.samples)
            everything += rows
            show(str(seed), rows)
    show("all", everything)


def show(name: str, rows: list[dict]) -> None:
    error, nothing, sd = (np.concatenate([row[key] for row in rows]) for key in ("error", "nothing", "sd"))
    verdicts = [row["verdict"] for row in rows]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in ("accept", "review", "reject") if v in verdicts)
    right = sum(row["right"] for row in rows)
    print(
        f"{name:>5} {len(rows):8} {np.median(error):7.2f} {np.quantile(error, 0.95):6.2f} {np.median(nothing):8.1f} "
        f"{np.median(sd):5.2f} {right:3}/{len(rows):<3} {np.mean([row['seconds'] for row in rows]):9.1f}  {counts}",
        flush=True,
    )


if __name__ == "__main__":
    main()

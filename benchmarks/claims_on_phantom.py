"""Genes claimed on the phantom, registration error included: sensitivity, false discoveries, null rows.

``python benchmarks/claims_on_phantom.py --seeds 0-49 --positions registered`` cuts each specimen (difficulty "medium"),
registers every section as a user would, places the spots, and tests the true habitats and those fitted to the images;
``--positions true`` leaves the registration out, and ``displaced`` imitates its error: every section is moved (standard
deviation 0.25 mm along each axis of the plane, 0.3 mm along its normal), turned (0.3°) and bent (0.2 mm over 10 mm): a
median error of about 0.45 mm, which is what registration of "medium" sections was measured to leave. About 20 s a seed,
two minutes with registration. Rows are written as they come (``--out``); a seed that is there is not run again.
"""

from __future__ import annotations

import argparse
import warnings
from contextlib import ExitStack
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

import comould as cm

FDR = 0.1


def placed(case: cm.phantom.Phantom, positions: str, seed: int, worker: cm.register.ElastixWorker | None) -> ad.AnnData:
    """Spots of all sections that were not rejected, with a place in the patient."""
    plan = cm.mould.build(case.mask, template="ovary", plane="image").plan
    cuts = case.cut(plan, seed=seed, difficulty="medium" if positions == "registered" else None)
    if positions != "registered":
        rng = np.random.default_rng([seed, 31])
        for cut in cuts:
            true = cut.spots_patient_mm
            cut.spots.obsm["spatial_patient"] = true if positions == "true" else displaced(true, rng)
        spots = ad.concat([cut.spots for cut in cuts], merge="same", uns_merge="first")
        truth = np.concatenate([cut.spots_patient_mm for cut in cuts])
        spots.uns["error_mm"] = float(np.median(np.linalg.norm(spots.obsm["spatial_patient"] - truth, axis=1)))
        return spots
    found = cm.register.sections(
        [cut.section for cut in cuts],
        plan=plan,
        image=case.images,
        mask=case.mask,
        seed=seed,
        n_samples=0,
        workers=None if worker is None else [worker],
    )
    kept, errors = [], []
    for cut in cuts:
        if found[cut.section.id].quality.verdict != "reject":
            cm.register.map_spots(cut.spots, found[cut.section.id])
            kept.append(cut.spots)
            errors.append(np.linalg.norm(cut.spots.obsm["spatial_patient"] - cut.spots_patient_mm, axis=1))
    spots = ad.concat(kept, merge="same", uns_merge="first")
    spots.uns["error_mm"] = float(np.median(np.concatenate(errors)))
    return spots


def displaced(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move, turn and bend one section as registration errs."""
    middle = points.mean(axis=0)
    along = np.linalg.svd(points - middle, full_matrices=False)[2]
    flat = (points - middle) @ along.T
    angle = np.radians(0.3) * rng.standard_normal()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    waves, phases = rng.standard_normal((60, 2)) / 10.0, rng.uniform(0, 2 * np.pi, (60, 2))
    bend = 0.2 * np.sqrt(2 / 60) * np.cos((flat[:, :2] @ waves.T)[:, :, None] + phases).sum(axis=1)
    moved = np.column_stack([flat[:, :2] @ turn.T + bend, flat[:, 2]]) + rng.standard_normal(3) * [0.25, 0.25, 0.3]
    return middle + moved @ along


def claims(case: cm.phantom.Phantom, spots: ad.AnnData, habitats: object, seed: int) -> dict[str, float]:
    """What is claimed, against the truth."""
    cm.associate.sample(spots, habitats)
    table = cm.associate.test(spots, seed=seed)
    genes = cm.associate.by_feature(table)
    true = set(case.genes.index[case.genes["habitat"] != ""])
    null = table[~table["feature"].isin(true) & table["testable"]]
    row = {}
    for test in ("spatial", "naive"):
        found = set(genes.index[genes[f"q_{test}"] <= FDR])
        row[f"{test}: found"] = len(found & true) / len(true)
        row[f"{test}: false"] = len(found - true) / max(len(found), 1)
    family = set(table.loc[(table["p_max_t"] <= 0.05) & (table["kind"] == "gene"), "feature"])
    row["max-T: any false"] = float(bool(family - true))
    row["null p <= .05"] = float((null["p_spatial"] <= 0.05).mean())
    row["null p <= .01"] = float((null["p_spatial"] <= 0.01).mean())
    return row


def main() -> None:
    """Run the seeds that are not there yet, and print means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-5", help="first-last")
    parser.add_argument("--positions", choices=("true", "displaced", "registered"), default="true")
    parser.add_argument("--out", type=Path, default=Path("claims_on_phantom.csv"))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    first, last = (int(part) for part in given.seeds.split("-"))
    rows = pd.read_csv(given.out).to_dict("records") if given.out.exists() else []
    done = {(row["seed"], row["positions"]) for row in rows}
    with ExitStack() as open_:
        worker = None
        if given.positions == "registered":
            worker = open_.enter_context(cm.register.ElastixWorker())
        for seed in range(first, last + 1):
            if (seed, given.positions) in done:
                continue
            case = cm.phantom.specimen(seed=seed)
            spots = placed(case, given.positions, seed, worker)
            fitted = cm.habitats.fit(case.images, case.mask, seed=seed)
            for name, habitats in (("true", case.habitats), ("fitted", fitted)):
                row = {"seed": seed, "positions": given.positions, "habitats": name}
                rows.append(row | {"error_mm": spots.uns.get("error_mm", 0.0)} | claims(case, spots, habitats, seed))
                print(row | {k: round(v, 3) for k, v in rows[-1].items() if isinstance(v, float)}, flush=True)
            pd.DataFrame(rows).to_csv(given.out, index=False)
    table = pd.DataFrame(rows)
    print(table.groupby(["positions", "habitats"]).mean(numeric_only=True).round(3).T.to_string())
    print(table.groupby(["positions", "habitats"]).size())


if __name__ == "__main__":
    main()

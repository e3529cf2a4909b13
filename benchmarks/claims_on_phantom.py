"""Genes claimed on the phantom at true positions and true habitats: sensitivity, false discoveries, null rows.

``python benchmarks/claims_on_phantom.py --seeds 0 1 2 3 4 5`` takes about 20 s a seed on two cores.
"""

from __future__ import annotations

import argparse
import warnings

import anndata as ad
import numpy as np

import comould as cm

FDR = 0.1


def one_specimen(seed: int) -> dict[str, float]:
    case = cm.phantom.specimen(seed=seed)
    cuts = case.cut(cm.mould.build(case.mask, template="ovary", plane="image").plan)
    for cut in cuts:
        cut.spots.obsm["spatial_patient"] = cut.spots_patient_mm
    spots = ad.concat([cut.spots for cut in cuts], merge="same", uns_merge="first")
    cm.associate.sample(spots, case.habitats)
    table = cm.associate.test(spots, seed=seed)
    genes = cm.associate.by_feature(table)
    true = set(case.genes.index[case.genes["habitat"] != ""])
    null = table[~table["feature"].isin(true) & table["testable"]]
    spatial, naive = (set(genes.index[genes[f"q_{test}"] <= FDR]) for test in ("spatial", "naive"))
    return {
        "sensitivity": len(spatial & true) / len(true),
        "false, spatial": len(spatial - true) / max(len(spatial), 1),
        "false, naive": len(naive - true) / max(len(naive), 1),
        "null p ≤ .05": float((null["p_spatial"] <= 0.05).mean()),
        "null p ≤ .01": float((null["p_spatial"] <= 0.01).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4, 5])
    warnings.simplefilter("ignore")
    rows = []
    for seed in parser.parse_args().seeds:
        rows.append(one_specimen(seed))
        if len(rows) == 1:
            print(" seed  " + "  ".join(rows[0]))
        show(str(seed), rows[-1])
    show("mean", {name: float(np.mean([row[name] for row in rows])) for name in rows[0]})


def show(name: str, row: dict[str, float]) -> None:
    print(f"{name:>5}  " + "  ".join(f"{value:{len(column)}.3f}" for column, value in row.items()), flush=True)


if __name__ == "__main__":
    main()

"""What of real tumours holds still: ICC of feature maps and overlap of habitats under perturbation, as a table.

    COMOULD_TEST_DATA=<folder> python benchmarks/habitat_stability.py [STS_002 STS_003 STS_008]

Soft-tissue sarcomas with CT, T1-weighted MR and PET of the IBSI's data (registered by their scanners' frames alone),
on the grid and in the mask of the CT.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path

import comould as cm
from comould.errors import ComouldWarning
from comould.habitats import feature_stability, fit, habitat_stability
from comould.habitats.prepare import window

FEATURES = ("intensity.voxel", "firstorder.mean", "firstorder.variance", "firstorder.entropy")
RADIUS_MM = 4.0


def read(folder: Path):
    """Images by name, and the mask."""
    mask = cm.io.read_segmentation(folder / "CT_mask.nii.gz")
    ct = window(cm.io.read_image(folder / "CT_image.nii.gz"), modality="CT")
    rest = {name: cm.io.read_image(folder / f"{file}_image.nii.gz") for name, file in (("T1", "MR_T1"), ("PET", "PET"))}
    return {"CT": ct} | rest, mask


def main() -> None:
    root = Path(os.environ["COMOULD_TEST_DATA"]) / "ibsi_sts" / "nifti"
    warnings.simplefilter("ignore", ComouldWarning)
    print(
        "| case | feature map | ICC(2,1) | 95 % limits | noise | rotation | translation | contour | bins (3,1) | kept |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows = []
    for case in sys.argv[1:] or ("STS_002", "STS_003", "STS_008"):
        begin = time.perf_counter()
        images, mask = read(root / case)
        found = feature_stability(images, mask, features=FEATURES, radius_mm=RADIUS_MM)
        for name, row in found.table.iterrows():
            kinds = " | ".join(
                f"{row[f'icc_{k}']:.2f}" for k in ("noise", "rotation", "translation", "contour", "bins")
            )
            limits = f"{row['icc_low']:.2f} to {row['icc_high']:.2f}"
            print(
                f"| {case} | {name} | {row['icc']:.2f} | {limits} | {kinds} | {'yes' if row['kept'] else 'no'} |",
                flush=True,
            )
        intensities = [n for n in found.unstable if n.endswith("intensity.voxel")]
        habitats = fit(images, mask, without=tuple(intensities))
        held = habitat_stability(images, mask, habitats)
        index = held.table["rand_index"]
        dice = ", ".join(f"{name} {value:.2f}" for name, value in held.habitats["dice_mean"].items())
        seconds = time.perf_counter() - begin
        rows.append(
            f"| {case} | {len(habitats.names)} | {index.median():.2f} | {index.min():.2f} | {dice} | {seconds:.0f} |"
        )
    print("\n| case | habitats | Rand index, median | at worst | Dice, mean | s |\n|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()

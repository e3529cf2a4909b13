"""Every IBSI-1 reference value against ours: ``python benchmarks/ibsi_deviations.py PHANTOMS`` writes docs/ibsi.md.

PHANTOMS is the folder of IBSI's phantoms (github theibsi/data_sets: ``ibsi_1_digital_phantom``,
``ibsi_1_ct_radiomics_phantom``, NIfTI). Exits 1 when a value lies outside its tolerance.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from pathlib import Path

from comould.habitats import Processing, region_features
from comould.io import read_image

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "tests" / "data" / "ibsi1_reference.csv"
PER_SLICE = ("2D, averaged", "2D, slice-merged", "2.5D, direction-merged", "2.5D, merged")
PER_VOLUME = ("3D, averaged", "3D, merged")
CONFIGURATIONS = {
    "digital": (
        "digital phantom, grey levels as they are",
        {"bin_width": 1.0},
        PER_SLICE + PER_VOLUME,
        Processing(),
    ),
    "A": (
        "CT phantom, no interpolation, [−500, 400] HU, bins of 25 HU",
        {"bin_width": 25.0},
        PER_SLICE,
        Processing(intensity_range=(-500, 400)),
    ),
    "B": (
        "CT phantom, 2 × 2 mm bilinear within slices, [−500, 400] HU, 32 bins",
        {"bins": 32},
        PER_SLICE,
        Processing((2.0, 2.0, None), round_intensities=True, intensity_range=(-500, 400)),
    ),
    "C": (
        "CT phantom, 2 mm trilinear, [−1000, 400] HU, bins of 25 HU (intensity-volume histogram 2.5 HU)",
        {"bin_width": 25.0, "ivh_bin_width": 2.5},
        PER_VOLUME,
        Processing(2.0, round_intensities=True, intensity_range=(-1000, 400)),
    ),
    "D": (
        "CT phantom, 2 mm trilinear, outliers beyond 3 σ left out, 32 bins",
        {"bins": 32},
        PER_VOLUME,
        Processing(2.0, round_intensities=True, outlier_sd=3),
    ),
    "E": (
        "CT phantom, 2 mm cubic, [−1000, 400] HU and 3 σ, 32 bins (intensity-volume histogram 1000)",
        {"bins": 32, "ivh_bins": 1000},
        PER_VOLUME,
        Processing(2.0, "cubic", round_intensities=True, intensity_range=(-1000, 400), outlier_sd=3),
    ),
}
HEAD = """# Deviation from IBSI-1 reference values

Written by `python benchmarks/ibsi_deviations.py PHANTOMS`. Reference values and tolerances: IBSI reference manual,
arXiv:1612.07003, doi 10.1148/radiol.2020191145 (`tests/data/README.md`). Values are printed with three significant
digits, so *ok* means: no further from the printed value than its tolerance and half a unit of its third digit. The last
column of the summary counts those beyond the tolerance alone, where there is one.

The interpolated intensities (configurations B to E) are rounded to whole HU after interpolation; masks are interpolated
linearly and cut at 0.5.
"""


def folder_of(phantoms: Path, data: str) -> Path:
    return phantoms / ("ibsi_1_digital_phantom" if data == "digital" else "ibsi_1_ct_radiomics_phantom") / "nifti"


def agrees(found: float, value: float, tolerance: float) -> bool:
    rounding = 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - 2) if value else 0.0
    return abs(found - value) <= (tolerance + rounding) * (1 + 1e-9)


def compare(phantoms: Path, data: str, reference: list[dict[str, str]]) -> list[tuple[str, ...]]:
    """Family, feature, code, aggregation, reference, tolerance, ours, ok: of one configuration."""
    _, settings, aggregation, processing = CONFIGURATIONS[data]
    folder = folder_of(phantoms, data)
    image, mask = read_image(folder / "image" / "phantom.nii.gz"), read_image(folder / "mask" / "mask.nii.gz")
    table = region_features({"phantom": image}, mask, aggregation=aggregation, processing=processing, **settings)
    found = {(row.family, row.feature, row.aggregation): row.value for row in table.itertuples()}
    rows = []
    for row in reference:
        if row[data]:
            ours = found[row["family"], row["feature"], row["aggregation"]]
            tolerance = row[f"{data}_tolerance"]
            ok = agrees(ours, float(row[data]), float(tolerance or 0.0))
            named = (row["family"], row["feature"].replace("_", " "), row["code"], row["aggregation"] or "–")
            rows.append((*named, row[data], tolerance or "–", f"{ours:.6g}", "yes" if ok else "**no**"))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phantoms", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "ibsi.md")
    arguments = parser.parse_args()
    with REFERENCE.open() as stream:
        reference = list(csv.DictReader(stream))
    summary = [
        "| data | processing | values | ok | needing the rounding |",
        "| --- | --- | --- | --- | --- |",
    ]
    sections, missed = [], 0
    for data, (description, *_) in CONFIGURATIONS.items():
        rows = compare(arguments.phantoms, data, reference)
        ok = sum(row[-1] == "yes" for row in rows)
        missed += len(rows) - ok
        title = "Digital phantom" if data == "digital" else f"Configuration {data}"
        rounded = sum(row[5] != "–" and abs(float(row[6]) - float(row[4])) > float(row[5]) for row in rows)
        summary.append(f"| {title} | {description} | {len(rows)} | {ok} | {rounded} |")
        print(summary[-1])
        lines = ["| family | feature | code | aggregation | reference | tolerance | ours | ok |", "| --- " * 8 + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        sections.append("\n".join([f"## {title}", "", *lines]))
    text = "\n\n".join([HEAD.strip(), "\n".join(summary), *sections]) + "\n"
    arguments.out.write_text(text, encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

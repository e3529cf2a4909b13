"""Moulds of real segmentations: time, fit, plastic. ``python benchmarks/moulds_of_real_masks.py MASK...``

Any label map, DICOM SEG or RTSTRUCT ``comould mould`` reads; ``--plane`` and ``--spacing-mm`` as there.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import comould as cm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("masks", nargs="+", type=Path)
    parser.add_argument("--template", default="soft_tissue")
    parser.add_argument("--plane", default="axial")
    parser.add_argument("--spacing-mm", type=float, default=5.0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", cm.ComouldWarning)
    print(f"{'mask ml':>8} {'planes':>6} {'plastic ml':>10} {'build s':>8} {'write s':>8}  checks (name: measured)")
    for path in arguments.masks:
        mask = cm.io.read_segmentation(path)
        begin = time.perf_counter()
        mould = cm.mould.build(
            mask, template=arguments.template, plane=arguments.plane, spacing_mm=arguments.spacing_mm
        )
        built = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            mould.write(Path(folder) / "mould")
        written = time.perf_counter()
        volumes = mould.report["volumes_ml"]
        fit = "; ".join(
            f"{check['name']}: {check['measured']:.3f}"
            for check in mould.report["checks"]
            if isinstance(check["measured"], float)
        )
        print(
            f"{volumes['mask']:8.1f} {len(mould.plan):6} {volumes['plastic']:10.0f} {built - begin:8.2f} "
            f"{written - built:8.2f}  {fit}",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""Writing a simulated case to a folder: what a pipeline may read, and the truth apart from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from comould.io.image import write_image
from comould.io.output import atomic_directory, provenance, write_json
from comould.io.section import Section
from comould.phantom.cut import CutSection
from comould.space import SlicePlan

if TYPE_CHECKING:
    from comould.phantom.specimen import Phantom


def write_case(
    phantom: Phantom, directory: str | Path, plan: SlicePlan, sections: Sequence[CutSection], overwrite: bool
) -> Path:
    """Write everything, all or nothing; see :meth:`Phantom.write`."""
    directory = Path(directory)
    with atomic_directory(directory, overwrite=overwrite) as work:
        for name in ("images", "sections", "spots", "truth"):
            (work / name).mkdir()
        for name, image in phantom.images.items():
            write_image(image, work / "images" / f"{name}.nii.gz")
        write_image(phantom.mask, work / "mask.nii.gz")
        plan.save(work / "slice_plan.json")
        rows = [_write_section(work, number, cut) for number, cut in enumerate(sections, start=1)]
        _write_truth(work / "truth", phantom)
        write_json(
            work / "manifest.json",
            {
                "format": "comould.phantom_case",
                "version": 1,
                "units": "mm",
                "frame": "patient",
                "simulated": True,
                "images": {name: f"images/{name}.nii.gz" for name in phantom.images},
                "mask": "mask.nii.gz",
                "slice_plan": "slice_plan.json",
                "sections": rows,
                "truth": "truth",
                "provenance": provenance(
                    parameters=asdict(phantom.options), seed=phantom.seed, libraries=("simpleitk", "anndata", "scipy")
                ),
            },
        )
    return directory


def _write_section(work: Path, number: int, cut: CutSection) -> dict[str, object]:
    """Write one section's picture, facts, spots and truth; returns its row of the manifest."""
    section = cut.section
    # A plane's id may hold any printable character, a file name may not.
    stem = f"{number:02d}_{re.sub(r'[^A-Za-z0-9_-]', '_', section.id)}"
    facts: dict[str, object] = {
        "id": section.id,
        "picture": f"sections/{stem}.png",
        "spots": f"spots/{stem}.h5ad",
        "pixel_size_um": section.pixel_size_um,
        "downsample": section.downsample,
        "plane_id": section.plane_id,
        "face": section.face,
        "offset_mm": section.offset_mm,
    }
    _write_picture(section, work / "sections" / f"{stem}.png")
    write_json(work / "sections" / f"{stem}.json", facts)
    cut.spots.write_h5ad(work / "spots" / f"{stem}.h5ad")
    cut.patient_from_section_px.save(work / "truth" / f"{stem}.h5")
    rows = np.column_stack([cut.spots_patient_mm, cut.spots_habitat])
    lines = [
        f"{name},{x:.6f},{y:.6f},{z:.6f},{habitat:.0f}"
        for name, (x, y, z, habitat) in zip(cut.spots.obs_names, rows, strict=True)
    ]
    text = "\n".join(["spot,x_mm,y_mm,z_mm,habitat", *lines])
    (work / "truth" / f"{stem}_spots.csv").write_text(text + "\n", encoding="utf-8")
    write_json(work / "truth" / f"{stem}.json", {"id": section.id, "flipped": cut.flipped, "angle_deg": cut.angle_deg})
    return facts


def _write_picture(section: Section, path: Path) -> None:
    import SimpleITK as sitk

    sitk.WriteImage(sitk.GetImageFromArray(section.image, isVector=True), str(path))


def _write_truth(folder: Path, phantom: Phantom) -> None:
    write_image(phantom.habitats, folder / "habitats.nii.gz")
    phantom.genes.to_csv(folder / "genes.csv")
    write_json(
        folder / "truth.json",
        {"habitat_names": dict(enumerate(phantom.habitat_names, start=1)), "volume_ml": phantom.volume_ml},
    )

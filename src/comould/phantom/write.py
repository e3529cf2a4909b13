"""Writing a simulated case to a folder: what a pipeline may read, and the truth apart from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.io.image import write_image
from comould.io.output import atomic_directory, provenance, write_json
from comould.io.section import Section
from comould.phantom.cut import CutSection
from comould.phantom.readme import readme
from comould.space import SlicePlan

if TYPE_CHECKING:
    from comould.phantom.hops import CutImage
    from comould.phantom.specimen import Phantom

FORMAT = "comould.phantom_case"


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
        rows = [_write_section(work, number, cut) for number, cut in enumerate(_as_told(plan, sections), start=1)]
        _write_truth(work / "truth", phantom, sections)
        (work / "README.md").write_text(readme(phantom, len(plan), sections), encoding="utf-8")
        write_json(
            work / "manifest.json",
            {
                "format": FORMAT,
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


def _as_told(plan: SlicePlan, sections: Sequence[CutSection]) -> list[CutSection]:
    """Sort sections as their labels say: the order of the files would else tell which are swapped."""
    order = {plane.id: number for number, plane in enumerate(plan)}
    return sorted(sections, key=lambda cut: order.get(cut.section.plane_id or "", len(order)))


def _write_section(work: Path, number: int, cut: CutSection) -> dict[str, object]:
    """Write one section's pictures, facts, spots and truth; returns its row of the manifest."""
    section = cut.section
    # A plane's id may hold any printable character, a file name may not.
    stem = f"{number:02d}_{re.sub(r'[^A-Za-z0-9_-]', '_', section.id)}"
    facts = _facts(section, stem) | {"spots": f"spots/{stem}.h5ad"}
    _write_picture(section, work / "sections" / f"{stem}.png")
    write_json(work / "sections" / f"{stem}.json", facts)
    cut.spots.write_h5ad(work / "spots" / f"{stem}.h5ad")
    further: dict[str, object] = {}
    for name, picture in (("adjacent", cut.adjacent), ("photo", cut.photo)):
        if picture is not None:
            further[name] = _write_further(work, f"{stem}_{name}", picture)
    _write_section_truth(work / "truth", stem, cut)
    return facts | further


def _facts(section: Section, stem: str) -> dict[str, object]:
    return {
        "id": section.id,
        "picture": f"sections/{stem}.png",
        "pixel_size_um": section.pixel_size_um,
        "downsample": section.downsample,
        "plane_id": section.plane_id,
        "face": section.face,
        "offset_mm": section.offset_mm,
    }


def _write_further(work: Path, stem: str, picture: CutImage) -> dict[str, object]:
    facts = _facts(picture.section, stem)
    _write_picture(picture.section, work / "sections" / f"{stem}.png")
    write_json(work / "sections" / f"{stem}.json", facts)
    picture.patient_from_section_px.save(work / "truth" / f"{stem}.h5")
    write_json(work / "truth" / f"{stem}.json", {"id": picture.section.id} | _lie(picture))
    return facts


def _lie(picture: CutImage | CutSection) -> dict[str, object]:
    """Say how a picture lies, and which plane it shows."""
    plane: dict[str, object] = asdict(picture.true_plane)
    return {"flipped": picture.flipped, "angle_deg": picture.angle_deg, "true_plane": plane}


def _write_picture(section: Section, path: Path) -> None:
    import SimpleITK as sitk

    sitk.WriteImage(sitk.GetImageFromArray(section.image, isVector=True), str(path))


def _write_section_truth(folder: Path, stem: str, cut: CutSection) -> None:
    for number, way in enumerate(cut.parts_patient_from_section_px):
        way.save(folder / (f"{stem}.h5" if number == 0 else f"{stem}_part{number}.h5"))
    part = cut.locate(cut.spots.obsm["spatial"])[1]
    rows = np.column_stack([cut.spots_patient_mm, cut.spots_habitat, part])
    lines = [
        f"{name},{x:.6f},{y:.6f},{z:.6f},{habitat:.0f},{part:.0f}"
        for name, (x, y, z, habitat, part) in zip(cut.spots.obs_names, rows, strict=True)
    ]
    text = "\n".join(["spot,x_mm,y_mm,z_mm,habitat,part", *lines])
    (folder / f"{stem}_spots.csv").write_text(text + "\n", encoding="utf-8")
    facts = {
        "id": cut.section.id,
        "true_plane_id": cut.true_plane_id,
        "plane_offset_mm": cut.plane_offset_mm,
        "plane_tilt_deg": cut.plane_tilt_deg,
        "shrinkage": cut.shrinkage,
        "parts": len(cut.parts_patient_from_section_px),
    }
    write_json(folder / f"{stem}.json", facts | _lie(cut))


def _write_truth(folder: Path, phantom: Phantom, sections: Sequence[CutSection]) -> None:
    write_image(phantom.habitats, folder / "habitats.nii.gz")
    phantom.genes.to_csv(folder / "genes.csv")
    facts: dict[str, Any] = {
        "habitat_names": dict(enumerate(phantom.habitat_names, start=1)),
        "volume_ml": phantom.volume_ml,
        "cutting": {cut.section.id: asdict(cut.options) for cut in sections},
    }
    write_json(folder / "truth.json", facts)

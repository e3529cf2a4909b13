"""Sampling plan → files: plates to print, tables to work from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comould.mould.sampling.blocking import Blocks
from comould.mould.sampling.plate_body import Plate
from comould.mould.sampling.result import SamplingPlan
from comould.mould.sampling.slab import Slab


def write_sampling(
    folder: str | Path,
    sampling: SamplingPlan | None = None,
    plates: Mapping[str, Plate] | None = None,
    blocks: Blocks | None = None,
) -> list[Path]:
    """Write what there is of a sampling plan into an existing folder.

    Parameters
    ----------
    folder
        The folder of a mould, or any other.
    sampling
        Cores: ``sampling.csv`` (one row per core), and ``sampling/short.csv`` (habitats with fewer than wanted).
    plates
        Plates by slab: ``sampling/plate_S02.stl`` and so on, mm, each in a frame of its own.
    blocks
        Cassette pieces: ``blocks.csv``.

    Returns
    -------
    list of Path
        The files; ``sampling/sampling.json`` holds slabs, options, outlines and every plate's way to the patient.
    """
    from comould.io.mesh import write_stl
    from comould.io.output import write_json

    folder = Path(folder)
    inner = folder / "sampling"
    inner.mkdir(exist_ok=True)
    written = []
    data: dict[str, Any] = {"format": "comould.sampling", "version": 1}
    if sampling is not None:
        written.append(sampling.write_csv(folder / "sampling.csv"))
        short = inner / "short.csv"
        sampling.short_table().to_csv(short, index=False, lineterminator="\n")
        written.append(short)
        data |= sampling.to_dict() | {"slabs": [_slab(slab) for slab in sampling.slabs]}
    if plates:
        written += [write_stl(plate.mesh, inner / f"plate_{name}.stl") for name, plate in plates.items()]
        data["plates"] = {
            name: {
                "file": f"plate_{name}.stl",
                "patient_from_plate": plate.patient_from_plate.matrix.tolist(),
                "rim_mm": plate.rim_mm,
                "marks": list(plate.marks),
                "not_engraved": list(plate.unmarked),
            }
            for name, plate in plates.items()
        }
    if blocks is not None:
        table = folder / "blocks.csv"
        blocks.table().to_csv(table, index=False, lineterminator="\n")
        written.append(table)
        data["block_format_mm"] = list(blocks.format_mm)
        data["blocks"] = [
            {**block.row(), "outlines_uv_mm": [line.round(3).tolist() for line in block.outlines_uv_mm]}
            for block in blocks.blocks
        ]
    return [*written, write_json(inner / "sampling.json", data)]


def _slab(slab: Slab) -> dict[str, Any]:
    return {
        "id": slab.id,
        "near": slab.near.id if slab.near else None,
        "far": slab.far.id if slab.far else None,
        "thickness_mm": slab.thickness_mm,
        "plane": slab.plane.id,
        "face": slab.face,
        "photographed": slab.photographed,
    }

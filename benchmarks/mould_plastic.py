"""Plastic and print time of a trimmed mould against a plain block: ``python benchmarks/mould_plastic.py MASK...``.

The plain block has the same cavity, walls and base, but is a solid rectangle with a flat top, whose slots all have one
length and one depth, without foot, numbers and letters: the least a block can be. Times and filament are PrusaSlicer's
own, if it is installed, with 0.2 mm layers, 3 perimeters and 15 % infill.
Settings are given as for ``comould mould``: ``--set slot_overhang_mm=5``.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import comould as cm


def plain_block(mould: cm.mould.Mould) -> Any:
    """The block a mould would be without anything trimmed: same cavity, walls, base and top, equal slots."""
    from manifold3d import Manifold

    size, slots = mould.template.parameters, mould.report["slots"]["each"]
    vertices = np.asarray(mould.specimen.vertices)
    ends = np.array([slot["y_mm"] for slot in slots])
    floor, top = min(s["floor_z_mm"] for s in slots), max(s["top_z_mm"] for s in slots)
    gap = size.clearance_mm + size.wall_mm
    low = np.array([vertices[:, 0].min() - gap, min(ends.min() - size.wall_mm, vertices[:, 1].min() - gap), 0.0])
    high = np.array([vertices[:, 0].max() + gap, max(ends.max() + size.wall_mm, vertices[:, 1].max() + gap), top])
    low[2] = floor - size.base_mm
    solid = Manifold.cube(tuple(high - low)).translate(tuple(low)) - swept(mould)
    for slot in slots:
        y0, y1 = float(ends.min()), float(ends.max())
        gap_solid = Manifold.cube((size.slot_mm, y1 - y0, top - floor + 1.0))
        solid -= gap_solid.translate((slot["x_mm"] - 0.5 * size.slot_mm, y0, floor))
    return solid.to_mesh()


def swept(mould: cm.mould.Mould) -> Any:
    """The specimen with its clearance, opened upwards: its outlines summed from below, layer by layer."""
    from manifold3d import Manifold, Mesh, OpType

    mesh = mould.specimen
    vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.uint32)
    one = Manifold(Mesh(np.ascontiguousarray(vertices), np.ascontiguousarray(faces))).simplify(0.1)
    height = float(vertices[:, 2].max() - vertices[:, 2].min()) + 30.0
    layers, below = [], None
    step = 0.4
    for z in np.arange(float(vertices[:, 2].min()) + 0.5 * step, float(vertices[:, 2].max()), step):
        outline = one.slice(float(z)).offset(mould.template.parameters.clearance_mm)
        below = outline if below is None else below + outline
        layers.append(below.simplify(0.02).extrude(step + 1e-3).translate((0.0, 0.0, float(z) - 0.5 * step)))
    layers.append(below.extrude(height).translate((0.0, 0.0, float(vertices[:, 2].max()) - step)))
    return Manifold.batch_boolean(layers, OpType.Add)


def sliced(mesh: Any) -> tuple[float, float]:
    """Hours and grams of filament, or not-a-number where no slicer is installed."""
    from comould.mould.printing import slicer

    if not slicer.available():
        return float("nan"), float("nan")
    found = slicer.slice_mesh(mesh)
    return float(found.time_s or np.nan) / 3600.0, float(found.filament_cm3 or np.nan)


def main() -> None:
    import trimesh

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("masks", nargs="+", type=Path)
    parser.add_argument("--template", default="soft_tissue")
    parser.add_argument("--spacing-mm", type=float, default=5.0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    warnings.simplefilter("ignore", cm.ComouldWarning)
    print(f"{'specimen ml':>11} {'what':>8} {'plastic ml':>10} {'of its box':>10} {'print h':>8} {'filament ml':>11}")
    for path in arguments.masks:
        mask = cm.io.read_segmentation(path)
        mould = cm.mould.build(mask, template=arguments.template, spacing_mm=arguments.spacing_mm, **settings)
        block = plain_block(mould)
        solid = trimesh.Trimesh(np.asarray(block.vert_properties)[:, :3], np.asarray(block.tri_verts), process=False)
        rows = {"plain": [solid], "trimmed": [mould.print_pose(name) for name in mould.bodies]}
        figures = {}
        for what, meshes in rows.items():
            volume = sum(float(mesh.volume) for mesh in meshes) / 1000.0
            box = sum(float(np.prod(mesh.extents)) for mesh in meshes) / 1000.0
            hours, filament = np.sum([sliced(mesh) for mesh in meshes], axis=0)
            figures[what] = (volume, volume / box, hours, filament)
            print(
                f"{mould.report['volumes_ml']['specimen']:11.1f} {what:>8} {volume:10.1f} {volume / box:10.1%} "
                f"{hours:8.2f} {filament:11.1f}",
                flush=True,
            )
        ratio = [a / b for a, b in zip(figures["trimmed"], figures["plain"], strict=True)]
        print(f"{'':11} {'ratio':>8} {ratio[0]:10.1%} {'':>10} {ratio[2]:8.1%} {ratio[3]:11.1%}", flush=True)


if __name__ == "__main__":
    main()

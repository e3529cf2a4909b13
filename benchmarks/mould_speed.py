"""How long a mould takes, against the bare booleans and OpenSCAD: ``python benchmarks/mould_speed.py MASK``.

Times are process CPU seconds, the least of several repeats (elapsed seconds beside them); all ratios are of one run.
``--growth`` adds simulated specimens of 20 ml to 2 l, each in a process of its own, for time and memory.
``--openscad SECONDS`` lets OpenSCAD try the same block, cavity and slots for that long, if it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import comould as cm
from comould.space import Grid

GROWTH = tuple((ml, spacing) for spacing in ((1.0, 1.0, 3.0), (0.8, 0.8, 0.8)) for ml in (20, 80, 250, 800, 2000))


def least(work: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """CPU and elapsed seconds of the quickest repeat, and what the last one gave."""
    cpu, elapsed, result = [], [], None
    for _ in range(repeats):
        begin = time.process_time(), time.perf_counter()
        result = work()
        cpu.append(time.process_time() - begin[0])
        elapsed.append(time.perf_counter() - begin[1])
    return min(cpu), min(elapsed), result


def build_and_write(mask: Any, settings: dict[str, Any]) -> Any:
    mould = cm.mould.build(mask, **settings)
    with tempfile.TemporaryDirectory() as folder:
        mould.write(Path(folder) / "mould")
    return mould


def recorded_order(mask: Any, settings: dict[str, Any]) -> Any:
    """What the design was asked for in a build, so that the same parts can be put together without the rest."""
    from comould.mould import assemble

    genuine, kept = dict(assemble.CONSTRUCT), []

    def recording(design: str) -> Callable[[Any], Any]:
        def make(order: Any) -> Any:
            kept.append((design, order))
            return genuine[design](order)

        return make

    try:
        assemble.CONSTRUCT.update({design: recording(design) for design in genuine})
        mould = cm.mould.build(mask, **settings)
    finally:
        assemble.CONSTRUCT.update(genuine)
    return (*kept[-1], mould)


def surfaces_only(mask: Any, mould: Any) -> Any:
    """Mask to specimen and cavity surfaces, nothing else."""
    from comould.mould.form import Form
    from comould.mould.lesion import find_lesion

    form = Form.of(find_lesion(mask, None), mould.mould_from_patient.matrix[:3, :3], mould.template.parameters)
    return form, form.opened_up()


def same_parts(design: str, order: Any, form: Any) -> list[Any]:
    """The design's own solids and booleans, forced, without checks or files."""
    from comould.mould.design import CONSTRUCT

    return [solid.to_mesh() for solid in CONSTRUCT[design](replace(order, form=form)).bodies.values()]


def plain_block(cavity: Any, boxes: list[tuple[np.ndarray, np.ndarray]], *, batch: bool) -> Any:
    """A box minus boxes minus the cavity in manifold3d."""
    from manifold3d import Manifold, Mesh, OpType

    block, *slots = [Manifold.cube(tuple(high - low)).translate(tuple(low)) for low, high in boxes]
    tumour = Manifold(Mesh(cavity[0].astype(np.float32), cavity[1].astype(np.uint32)))
    if batch:
        return Manifold.batch_boolean([block, tumour, *slots], OpType.Subtract).to_mesh()
    return (Manifold.batch_boolean([block, *slots], OpType.Subtract) - tumour).to_mesh()


def boxes_of(mould: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """The bounding block and its slots, mould frame."""
    box, slots = mould.report["bounding_box_mm"], mould.report["slots"]
    top, half = box["high"][2] + 1.0, 0.5 * slots["width_mm"]
    boxes = [(np.array(box["low"]), np.array(box["high"]))]
    for slot in slots["each"]:
        (y0, y1), x = slot["y_mm"], slot["x_mm"]
        boxes.append((np.array([x - half, y0, slot["floor_z_mm"]]), np.array([x + half, y1, top])))
    return boxes


def openscad(cavity: Any, boxes: list[tuple[np.ndarray, np.ndarray]], limit_s: float) -> tuple[float, bool]:
    """CPU seconds OpenSCAD needs for the same block, or has used when it is stopped."""
    from comould.io import write_stl
    from comould.mould.result import as_mesh

    def cube(low: np.ndarray, high: np.ndarray) -> str:
        return f"translate({low.tolist()}) cube({(high - low).tolist()});\n"

    with tempfile.TemporaryDirectory() as folder:
        write_stl(as_mesh(cavity), Path(folder) / "tumour.stl")
        text = "difference() {\n" + cube(*boxes[0]) + 'import("tumour.stl");\n'
        Path(folder, "block.scad").write_text(text + "".join(cube(*box) for box in boxes[1:]) + "}\n")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            subprocess.run(
                ["openscad", "-o", "out.stl", "block.scad"],
                cwd=folder,
                check=True,
                capture_output=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s) + 1)),
            )
            finished = True
        except subprocess.CalledProcessError:
            finished = False
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, finished


def lobulated(ml: float, spacing_mm: tuple[float, float, float], seed: int = 0) -> Any:
    """A star-shaped lobulated specimen as a label image."""
    rng = np.random.default_rng(seed)
    ways = rng.normal(size=(12, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)

    def radius(u: np.ndarray) -> np.ndarray:
        return 1.0 + sum(0.05 * np.cos(4.0 * np.arccos(np.clip(u @ way, -1, 1))) for way in ways)

    sphere = rng.normal(size=(20000, 3))
    shape = radius(sphere / np.linalg.norm(sphere, axis=1, keepdims=True))
    scale = (ml * 1000.0 / (4 / 3 * np.pi * (shape**3).mean())) ** (1 / 3)
    spacing = np.array(spacing_mm)
    size = 2 * np.ceil((scale * shape.max() + 3 * spacing) / spacing).astype(int) + 1
    grid = Grid(
        tuple(int(n) for n in size), spacing_mm, tuple(float(x) for x in -0.5 * spacing * (size - 1)), np.eye(3)
    )
    inside = np.zeros(grid.shape, dtype=bool)
    j, i = np.indices(grid.shape[1:]).reshape(2, -1)
    for k in range(grid.shape[0]):
        points = grid.patient_from_index(np.column_stack([i, j, np.full(i.size, k)]))
        length = np.maximum(np.linalg.norm(points, axis=1), 1e-9)
        inside[k] = (length < scale * radius(points / length[:, None])).reshape(grid.shape[1:])
    return grid.to_image(inside)


def one_case(ml: float, spacing_mm: tuple[float, float, float], cut_mm: float) -> dict[str, Any]:
    """Time and memory of one simulated specimen in this process."""
    mask = lobulated(ml, spacing_mm)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, elapsed, mould = least(lambda: build_and_write(mask, {"plane": "axial", "spacing_mm": cut_mm}), 1)
    return {
        "ml": ml,
        "spacing_mm": spacing_mm,
        "voxels": round(mould.report["volumes_ml"]["mask"] * 1000.0 / float(np.prod(spacing_mm))),
        "planes": len(mould.plan),
        "triangles": sum(len(body.faces) for body in mould.bodies.values()),
        "step_mm": mould.report["surface_step_mm"],
        "cpu_s": cpu,
        "elapsed_s": elapsed,
        "before_mb": before / 1024.0,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
    }


def compare(path: Path, settings: dict[str, Any], repeats: int, openscad_s: float) -> None:
    mask = cm.io.read_segmentation(path)
    first = least(lambda: build_and_write(mask, settings), 1)
    whole_cpu, whole, mould = least(lambda: build_and_write(mask, settings), repeats)
    design, order, _ = recorded_order(mask, settings)
    drawn_cpu, drawn, (form, cavity) = least(lambda: surfaces_only(mask, mould), repeats)
    parts_cpu, parts, _ = least(lambda: same_parts(design, order, form), repeats)
    boxes = boxes_of(mould)
    cavity = (cavity[0] + order_shift(mould, form), cavity[1])
    batch_cpu, batch, _ = least(lambda: plain_block(cavity, boxes, batch=True), repeats)
    plain_cpu, plain, _ = least(lambda: plain_block(cavity, boxes, batch=False), repeats)
    volume = mould.report["volumes_ml"]["mask"]
    print(f"{volume:.1f} ml, {len(mould.plan)} planes, design {design}, {os.cpu_count()} cores")
    rows = [
        ("mask to STL, 3MF and manifest, first call", first[0], first[1]),
        ("mask to STL, 3MF and manifest", whole_cpu, whole),
        ("surfaces only", drawn_cpu, drawn),
        ("the same parts' booleans only", parts_cpu, parts),
        ("box, cavity and slots only, one batch", batch_cpu, batch),
        ("box, cavity and slots only, cavity last", plain_cpu, plain),
    ]
    for name, cpu, elapsed in rows:
        print(f"{name:44} {cpu:8.3f} s CPU {elapsed:8.3f} s elapsed")
    print(f"whole / (surfaces + same parts) = {whole_cpu / (drawn_cpu + parts_cpu):.2f}")
    print(f"whole / (surfaces + box in one batch) = {whole_cpu / (drawn_cpu + batch_cpu):.2f}")
    print(f"whole / (surfaces + box, cavity last) = {whole_cpu / (drawn_cpu + plain_cpu):.2f}", flush=True)
    if openscad_s and shutil.which("openscad"):
        taken, finished = openscad(cavity, boxes, openscad_s)
        more = "" if finished else "more than "
        print(f"OpenSCAD: {more}{taken:.0f} s CPU, {more}{taken / whole_cpu:.0f} × the whole build", flush=True)


def order_shift(mould: Any, form: Any) -> np.ndarray:
    """From mould axes at the patient origin to the mould frame."""
    return np.asarray(mould.specimen.vertices).min(axis=0) - form.specimen[0].min(axis=0)


def growth(cut_mm: float) -> None:
    print(
        f"{'ml':>6} {'voxel mm':>12} {'voxels':>9} {'planes':>6} {'triangles':>9} {'step':>5} "
        f"{'CPU s':>7} {'peak MB':>8}"
    )
    for ml, spacing in GROWTH:
        case = ["--case", json.dumps([ml, spacing, cut_mm])]
        done = subprocess.run([sys.executable, __file__, *case], capture_output=True, text=True, check=False)
        if done.returncode:
            print(
                f"{ml:6} {'×'.join(f'{s:g}' for s in spacing):>12} failed: {done.stderr.strip().splitlines()[-1]}",
                flush=True,
            )
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{ml:6} {'×'.join(f'{s:g}' for s in spacing):>12} {found['voxels']:9} {found['planes']:6} "
            f"{found['triangles']:9} {found['step_mm']:5.2f} {found['cpu_s']:7.2f} {found['peak_mb']:8.0f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mask", nargs="?", type=Path)
    parser.add_argument("--template", default="soft_tissue")
    parser.add_argument("--plane", default="axial")
    parser.add_argument("--spacing-mm", type=float, default=5.0)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the design")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--openscad", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", cm.ComouldWarning)
    if arguments.case:
        ml, spacing, cut_mm = json.loads(arguments.case)
        print(json.dumps(one_case(ml, tuple(spacing), cut_mm)))
        return
    settings = {"template": arguments.template, "plane": arguments.plane, "spacing_mm": arguments.spacing_mm}
    settings |= dict(pair.split("=", 1) for pair in arguments.set)
    if arguments.mask:
        compare(arguments.mask, settings, arguments.repeats, arguments.openscad)
    if arguments.growth:
        growth(arguments.spacing_mm)


if __name__ == "__main__":
    main()

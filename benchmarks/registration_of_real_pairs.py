"""Registration of real pairs beside elastix' defaults and beside our own affine stage, in one run.

``python benchmarks/registration_of_real_pairs.py --data allen birl her2st`` prints one table. The pairs are read from
the folder that ``COMOULD_TEST_DATA`` names; ``--ids 4 8 12`` chooses Allen slices, ``--no-peer`` leaves elastix out.
Labels and landmarks only score.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.interpolate import griddata

from comould.io.section import Section
from comould.register.elastix import shared_worker
from comould.register.initialise import search
from comould.register.measure import Judge
from comould.register.raster import Raster
from comould.register.stages import StageSettings, refine
from comould.register.tissue import section_raster

PIXEL_MM = 0.25
"""Taken for the Allen pairs, whose two sides have one pixel size."""

SHRINKAGE = (0.75, 1.1)
CLASSES = {"green": 1, "blue": 2}

Mapper = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Ours:
    """Our two maps of one pair, and what they took."""

    affine: Mapper
    final: Mapper
    stage: str
    seconds: float


def register(section: Raster, plane: Raster) -> Ours:
    begin = time.perf_counter()
    settings = StageSettings(shrinkage=SHRINKAGE)
    judge, start = Judge(section, plane), search(section, plane, shrinkage=SHRINKAGE)[0]
    worker = shared_worker()
    affine = refine(judge, start.planar, worker, seed=0, settings=settings, names=("affine",))
    whole = refine(judge, affine.planar, worker, seed=0, settings=settings, names=("bspline",))
    stage = [one.name for one in (*affine.stages, *whole.stages[1:]) if one.kept][-1]
    return Ours(affine.planar.apply, whole.planar.apply, stage, time.perf_counter() - begin)


def whole_picture(image: np.ndarray, pixel_mm: float, spacing_mm: float) -> Raster:
    mask = np.ones(image.shape[:2], dtype=bool)
    return section_raster(Section("picture", image, pixel_mm * 1000.0, tissue=mask), spacing_mm)


def rgb(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB"))


# Allen: histology to MRI.


def class_dice(mapper: Mapper, histology: np.ndarray, imaging: np.ndarray) -> list[float]:
    """Dice of the classes: imaging labels carried onto the histology's pixels, areas counted there."""
    rows, columns = np.indices(histology.shape[:2])
    points = np.column_stack([columns.ravel(), rows.ravel()]) * PIXEL_MM
    at = np.rint(mapper(points) / PIXEL_MM).astype(int)
    inside = (at >= 0).all(axis=1) & (at[:, 0] < imaging.shape[1]) & (at[:, 1] < imaging.shape[0])
    found = []
    for channel in CLASSES.values():
        mine, theirs = (histology[..., channel] > 127).ravel(), np.zeros(len(points), dtype=bool)
        theirs[inside] = imaging[at[inside, 1], at[inside, 0], channel] > 127
        found.append(2.0 * float((mine & theirs).sum()) / max(float(mine.sum() + theirs.sum()), 1.0))
    return found


def elastix_defaults(histology: np.ndarray, imaging: np.ndarray) -> dict[str, Mapper]:
    """Rigid and affine from the centre of gravity, then the default B-spline; masks would make it fail more often."""
    import itk

    def picture(values: np.ndarray) -> object:
        image = itk.image_from_array(np.ascontiguousarray(values.astype(np.float32)))
        image.SetSpacing([PIXEL_MM, PIXEL_MM])
        return image

    fixed, moving = picture(histology), picture(imaging)
    maps: dict[str, Mapper] = {}
    for name, kinds in {
        "elastix affine": ("rigid", "affine"),
        "elastix B-spline": ("rigid", "affine", "bspline"),
    }.items():
        parameters = itk.ParameterObject.New()
        for kind in kinds:
            one = parameters.GetDefaultParameterMap(kind)
            one["AutomaticTransformInitialization"] = ["true" if kind == "rigid" else "false"]
            one["AutomaticTransformInitializationMethod"] = ["CenterOfGravity"]
            one["UseMultiThreadingForMetrics"] = ["false"]
            parameters.AddParameterMap(one)
        method = itk.ElastixRegistrationMethod.New(fixed, moving)
        method.SetParameterObject(parameters)
        method.SetNumberOfThreads(1)
        try:
            method.UpdateLargestPossibleRegion()
        except RuntimeError:
            maps[name] = lambda points: np.full_like(points, -1e6)
            continue
        combined = method.ConvertToItkTransform(method.GetCombinationTransform())
        maps[name] = lambda points, t=combined: np.array([t.TransformPoint(p) for p in points.tolist()])
    return maps


def allen(root: Path, ids: list[int] | None, *, peer: bool) -> list[list[str]]:
    folder = root / "allen_histology_mri"
    known = sorted(int(path.stem.split("_")[1]) for path in (folder / "histo" / "images").glob("*.png"))
    scores: dict[str, list[list[float]]] = {}
    seconds = []
    for slice_id in ids or known:
        files = [
            folder / side / kind / f"slice_{slice_id:03d}.png"
            for side in ("histo", "mri")
            for kind in ("images", "labels")
        ]
        histology, labels, imaging, theirs = (np.array(Image.open(path)) for path in files)
        section = section_raster(Section("s", np.repeat(histology[..., None], 3, axis=2), PIXEL_MM * 1000.0), PIXEL_MM)
        plane = Raster(imaging[None].astype(np.float32), imaging > 0, PIXEL_MM, (0.0, 0.0))
        ours = register(section, plane)
        # Our frame has its origin where the section's picture says; pixel centres lie on whole multiples here.
        shift = np.array(section.origin_mm) - 0.5 * (round(section.spacing_mm / PIXEL_MM) - 1) * PIXEL_MM
        maps = {"ours, affine": ours.affine, "ours": ours.final}
        peers = elastix_defaults(histology, imaging) if peer else {}
        row = {name: class_dice(lambda p, m=m, shift=shift: m(p + shift), labels, theirs) for name, m in maps.items()}
        row |= {name: class_dice(m, labels, theirs) for name, m in peers.items()}
        seconds.append(ours.seconds)
        for name, pair in row.items():
            scores.setdefault(name, []).append(pair)
        print(
            f"  allen {slice_id:3}: " + "; ".join(f"{n} {a:.3f} {b:.3f}" for n, (a, b) in row.items()), file=sys.stderr
        )
    rows = []
    for name, pairs in scores.items():
        mean, median = np.mean(pairs, axis=0), np.median(pairs, axis=0)
        text = f"mean {mean[0]:.3f} / {mean[1]:.3f}, median {median[0]:.3f} / {median[1]:.3f}"
        rows.append(["allen", name, f"Dice green / blue, {len(pairs)} pairs", text])
    rows.append(["allen", "ours", "seconds a pair", f"mean {np.mean(seconds):.1f}, most {np.max(seconds):.1f}"])
    return rows


# BIRL: section to section.


def birl(root: Path) -> list[list[str]]:
    folder = root / "birl_landmarks" / "lesions_" / "scale-5pc"
    stems = [folder / f"Izd2-29-041-w35_{stain}" for stain in ("HE", "proSPC")]
    images = [rgb(stem.with_suffix(".jpg")) for stem in stems]
    source, target = (pd.read_csv(stem.with_suffix(".csv"), index_col=0).to_numpy(float) for stem in stems)
    pixel_mm = 0.1
    spacing = max(images[1].shape[:2]) / 240.0 * pixel_mm
    section, plane = (whole_picture(image, pixel_mm, spacing) for image in images)
    ours = register(section, plane)
    diagonal = float(np.hypot(*images[1].shape[:2])) * pixel_mm
    rows = []
    for name, mapper in {"nothing": lambda p: p, "ours, affine": ours.affine, "ours": ours.final}.items():
        error = np.linalg.norm(mapper(source * pixel_mm) - target * pixel_mm, axis=1) / diagonal
        text = f"median {np.median(error):.2%}, 90th percentile {np.quantile(error, 0.9):.2%}"
        rows.append(["birl", name, f"relative TRE, {len(source)} landmarks", text])
    return [*rows, ["birl", "ours", "seconds", f"{ours.seconds:.1f} (last stage kept: {ours.stage})"]]


# her2st: serial sections with spots.


def spots(folder: Path, name: str, gene: str) -> tuple[np.ndarray, np.ndarray]:
    table = pd.read_csv(folder / "spots" / f"{name}_selection.tsv", sep="\t")
    counts = pd.read_csv(folder / "counts" / f"{name}.tsv.gz", sep="\t", index_col=0)
    table.index = pd.Index([f"{x}x{y}" for x, y in zip(table["x"], table["y"], strict=True)])
    both = table.index.intersection(counts.index)
    total = counts.loc[both].sum(axis=1)
    value = np.log1p(1e4 * counts.loc[both, gene] / total.clip(lower=1.0))
    return table.loc[both, ["pixel_x", "pixel_y"]].to_numpy(float), value.to_numpy(float)


def her2st(root: Path, gene: str = "ERBB2") -> list[list[str]]:
    folder = root / "her2st"
    sections, sizes = [], []
    for name in ("C2", "C3"):
        image = rgb(folder / "images" / f"{name}.jpg")
        at = spots(folder, name, gene)[0]
        apart = np.linalg.norm(at[:, None] - at[None], axis=2) + 1e9 * np.eye(len(at))
        sizes.append(0.2 / float(np.median(apart.min(axis=1))))  # the array's pitch is 200 µm
        sections.append(Section(name, image, sizes[-1] * 1000.0))
    spacing = max(sections[1].image.shape[:2]) * sizes[1] / 240.0
    section, plane = (section_raster(one, spacing) for one in sections)
    ours = register(section, plane)
    (from_px, from_value), (to_px, to_value) = (spots(folder, name, gene) for name in ("C2", "C3"))
    judge, rows = Judge(section, plane), []
    for name, mapper in {"ours, affine": ours.affine, "ours": ours.final}.items():
        home = mapper(sections[0].section_mm_from_section_px.apply(from_px)[:, :2])
        there = sections[1].section_mm_from_section_px.apply(to_px)[:, :2]
        seen = griddata(home, from_value, there, method="linear")
        both = np.isfinite(seen)
        dice = judge.fit(mapper(judge.points), 1.0).dice
        text = f"mask Dice {dice:.3f}, r {np.corrcoef(seen[both], to_value[both])[0, 1]:.3f} at {both.sum()} spots"
        rows.append(["her2st", name, f"C2 at C3, {gene}", text])
    return [*rows, ["her2st", "ours", "seconds", f"{ours.seconds:.1f} (last stage kept: {ours.stage})"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=["allen", "birl", "her2st"], default=["allen", "birl", "her2st"])
    parser.add_argument("--ids", nargs="+", type=int, help="Allen slices; all by default")
    parser.add_argument("--no-peer", action="store_true", help="leave elastix' defaults out")
    arguments = parser.parse_args()
    given = os.environ.get("COMOULD_TEST_DATA")
    if not given:
        parser.error("set COMOULD_TEST_DATA to the folder of test data")
    root = Path(given)
    rows: list[list[str]] = []
    if "allen" in arguments.data:
        rows += allen(root, arguments.ids, peer=not arguments.no_peer)
    if "birl" in arguments.data:
        rows += birl(root)
    if "her2st" in arguments.data:
        rows += her2st(root)
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))


if __name__ == "__main__":
    main()

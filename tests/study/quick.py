"""A case that runs from file to report in seconds: a small volume, a habitat map, registered spots."""

import hashlib
import re
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import SimpleITK as sitk
import yaml
from scipy.ndimage import gaussian_filter

from comould.space import CutPlane, Grid, SlicePlan

TIMED = {"step.json", "manifest.json", "report.html", "log.txt"}
"""Files that say when they were made, and how long it took."""

TESTS = {"n_surrogates": 19, "genesets": ["tiny.gmt"]}


def write_case(folder: Path, seed: int = 0, **changes) -> Path:
    """Write a case; what is changed to None is left out. Returns case.yaml."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    grid = Grid((24, 24, 10), (1.0, 1.0, 2.0), (-11.5, -11.5, -9.0))
    field = gaussian_filter(rng.normal(size=grid.shape), 2.5)
    labels = np.where(field > np.median(field), 2, 1).astype(np.uint8)
    sitk.WriteImage(
        grid.to_image((100 * labels + rng.normal(size=grid.shape)).astype(np.float32)), folder / "t2.nii.gz"
    )
    sitk.WriteImage(grid.to_image(np.ones(grid.shape, np.uint8)), folder / "mask.nii.gz")
    sitk.WriteImage(grid.to_image(labels), folder / "labels.nii.gz")
    SlicePlan((CutPlane.from_normal("P01", (0, 0, -4.0), (0, 0, 1)),)).save(folder / "plan.json")
    write_spots(folder / "registered", labels, grid, rng)
    (folder / "tiny.gmt").write_text("pair\tmade\thit\tg0\n")
    data = {
        "pseudonym": folder.name, "images": {"T2": "t2.nii.gz"}, "mask": "mask.nii.gz", "slice_plan": "plan.json",
        "habitats": {"labels": "labels.nii.gz"}, "registered": "registered", "tests": TESTS, "simulated": True,
    } | changes  # fmt: skip
    path = folder / "case.yaml"
    save(path, {name: value for name, value in data.items() if value is not None})
    return path


def write_spots(folder, labels, grid, rng):
    """Gene ``hit`` follows habitat 1, the others nothing."""
    (folder / "spots").mkdir(parents=True)
    for number, z in enumerate((-4.0, 4.0), start=1):
        x, y = np.meshgrid(np.arange(-10.0, 11.0, 2.0), np.arange(-10.0, 11.0, 2.0))
        points = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, z)])
        index = np.rint(grid.index_from_patient(points)).astype(int)
        inside = labels[index[:, 2], index[:, 1], index[:, 0]] == 1
        level = np.zeros((len(points), 6))
        level[:, 0] = inside
        spots = ad.AnnData(
            rng.poisson(6 * np.exp(level)).astype(np.float32),
            pd.DataFrame({"section": f"S{number}"}, index=[f"S{number}-{n}" for n in range(len(points))]),
            pd.DataFrame(index=["hit", *(f"g{n}" for n in range(5))]),
        )
        spots.obsm["spatial_patient"] = points
        spots.write_h5ad(folder / "spots" / f"S{number}.h5ad")


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


def save(path: Path, data: dict) -> None:
    path.write_text(yaml.safe_dump(data, sort_keys=False))


def change(path: Path, **values) -> None:
    """Change keys of a file; None takes one away."""
    save(path, {name: value for name, value in (load(path) | values).items() if value is not None})


def without_tissue(folder: Path, seed: int = 0, **changes) -> Path:
    """A case of imaging only."""
    return write_case(folder, seed, **({"registered": None, "tests": None} | changes))


def bits(out: Path) -> dict[str, str]:
    """Digest of every file of a result by path, whatever the time of day it was made at."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in TIMED]
    kept = [path for path in files if not path.name.startswith(".")]
    return {str(path.relative_to(out)): hashlib.sha256(_content(path)).hexdigest() for path in kept}


def _content(path: Path) -> bytes:
    """Bytes of a file; of HDF5, which keeps times of its own, the names, types and values in it."""
    if path.suffix not in {".h5", ".h5ad"}:
        return path.read_bytes()
    parts = []

    def keep(name, item):
        if name.endswith("/created"):
            return
        parts.append(f"{name} {sorted((key, str(value)) for key, value in item.attrs.items())}".encode())
        if isinstance(item, h5py.Dataset):
            value = item[()]
            plain = value if isinstance(value, bytes) else repr(value.tolist() if hasattr(value, "tolist") else value)
            parts.append(re.sub(rb'"created": "[^"]*"', b"", plain if isinstance(plain, bytes) else plain.encode()))

    with h5py.File(path) as file:
        file.visititems(keep)
    return b"\n".join(parts)

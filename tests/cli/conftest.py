"""A case folder made by hand, read in a moment: a ball, planes, two slides with what belongs to them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

PIXEL_UM = 100.0
SIZE_PX = 240


class SmallCase:
    """A folder in which nothing is wrong, and ways to spoil it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def manifest(self, change):
        """Change the manifest."""
        path = self.folder / "manifest.json"
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    def section(self, number, **values):
        """Change keys of a section in the manifest; None takes one away."""

        def change(data):
            row = data["sections"][number] | values
            data["sections"][number] = {key: value for key, value in row.items() if value is not None}

        self.manifest(change)

    def spots(self, name, change):
        """Change the spots of a section."""
        from anndata import read_h5ad

        spots = read_h5ad(self.folder / f"{name}.h5ad")
        change(spots)
        spots.write_h5ad(self.folder / f"{name}.h5ad")

    def table(self, name, change):
        """Change a table of landmarks."""
        table = pd.read_csv(self.folder / name)
        change(table)
        table.to_csv(self.folder / name, index=False)

    def blank(self, name):
        """Make a slide bare glass."""
        Image.fromarray(np.full((SIZE_PX, SIZE_PX, 3), 244, np.uint8)).save(self.folder / f"{name}.png")


@pytest.fixture(scope="session")
def sound_case(tmp_path_factory) -> Path:
    import SimpleITK as sitk

    from comould.space import CutPlane, Grid, SlicePlan

    folder = tmp_path_factory.mktemp("sound") / "case"
    folder.mkdir()
    grid = Grid((32, 32, 12), (1.0, 1.0, 2.0), (-15.5, -15.5, -11.0))
    k, j, i = np.indices(grid.shape)
    points = grid.patient_from_index(np.column_stack([i.ravel(), j.ravel(), k.ravel()]))
    inside = ((points**2).sum(axis=1) < 81.0).reshape(grid.shape)
    values = (200 * inside + points[:, 0].reshape(grid.shape)).astype(np.float32)
    sitk.WriteImage(grid.to_image(values), str(folder / "t2.nii.gz"))
    sitk.WriteImage(grid.to_image(inside.astype(np.uint8)), str(folder / "mask.nii.gz"))
    planes = (("P01", -4.0), ("P02", 0.0), ("P03", 4.0), ("P99", 10.5))
    SlicePlan(tuple(CutPlane.from_normal(name, (0, 0, z), (0, 0, 1)) for name, z in planes)).save(folder / "plan.json")
    rows = [_section(folder, "S1", "P01"), _section(folder, "S2", "P02")]
    manifest = {"images": {"T2": "t2.nii.gz"}, "mask": "mask.nii.gz", "slice_plan": "plan.json", "sections": rows}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def small_case(sound_case, tmp_path) -> SmallCase:
    return SmallCase(Path(shutil.copytree(sound_case, tmp_path / "case")))


def _section(folder, name, plane):
    from anndata import AnnData

    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    tissue = (x - 120) ** 2 + (y - 118) ** 2 < 80**2
    picture = np.where(tissue[..., None], (170, 80, 150), (244, 243, 245)).astype(np.uint8)
    Image.fromarray(picture).save(folder / f"{name}.png")
    grid = np.stack(np.meshgrid(np.arange(70, 171, 10.0), np.arange(70, 171, 10.0)), axis=-1).reshape(-1, 2)
    spots = AnnData(np.ones((len(grid), 2), np.float32), pd.DataFrame(index=[f"{name}-{n}" for n in range(len(grid))]))
    spots.obsm["spatial"] = grid
    spots.uns["comould"] = {"pixel_size_um": PIXEL_UM}
    spots.write_h5ad(folder / f"{name}.h5ad")
    px = pd.DataFrame({"name": list("abcd"), "x": [80.0, 160, 90, 150], "y": [80.0, 90, 150, 160]})
    px.to_csv(folder / f"{name}_px.csv", index=False)
    mm = pd.DataFrame({"name": list("abcd"), "x": [-4.0, 4, -3, 3], "y": [-4.0, -3, 3, 4], "z": 0.0})
    mm.to_csv(folder / f"{name}_mm.csv", index=False)
    return {
        "id": name, "picture": f"{name}.png", "pixel_size_um": PIXEL_UM, "plane_id": plane, "spots": f"{name}.h5ad",
        "landmarks": f"{name}_px.csv", "landmarks_patient": f"{name}_mm.csv",
    }  # fmt: skip

"""Fixtures every room may use."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "house", deadline=None, max_examples=30, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real public data, or a skip that says how to get it."""
    folder = os.environ.get("COMOULD_TEST_DATA")
    if not folder:
        pytest.skip("real data: set COMOULD_TEST_DATA to the test-data folder")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.fail(f"COMOULD_TEST_DATA: no folder {path}")
    return path


@pytest.fixture(scope="session")
def patient_tables() -> Callable[..., dict[str, Any]]:
    """Make tables as associate.test does: gene ``hit_H1`` follows H1 in all patients, the other genes nothing."""
    import numpy as np
    import pandas as pd

    def make(n=8, genes=40, *, seed=0, between=0.05, true=0.5, lacking=0.0):
        rng = np.random.default_rng(seed)
        names = ["hit_H1", *(f"g{number}" for number in range(genes - 1))]
        tables = {}
        for patient in range(n):
            rows = []
            for habitat in ("H1", "H2"):
                effective = rng.uniform(30, 200, genes)
                mean = np.where((np.array(names) == "hit_H1") & (habitat == "H1"), true, 0.0)
                z = rng.normal(rng.normal(mean, between), 1 / np.sqrt(effective - 3))
                testable = rng.random(genes) >= lacking
                rows.append(
                    pd.DataFrame(
                        {
                            "feature": names, "kind": "gene", "habitat": habitat, "log2_fold_change": 2 * z,
                            "statistic": np.tanh(z), "n_spots": 300, "n_effective": effective, "testable": testable,
                            "reason": np.where(testable, "", "no counts"),
                        }
                    )
                )  # fmt: skip
            tables[f"P{patient + 1:02d}"] = pd.concat(rows, ignore_index=True)
        return tables

    return make


@pytest.fixture(scope="session")
def two_centres() -> Callable[[dict[str, Any]], dict[str, str]]:
    """Take every other patient as one of centre B."""
    return lambda tables: {name: "AB"[number % 2] for number, name in enumerate(tables)}


@pytest.fixture(scope="session")
def spots_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ``comould register`` writes it, with known truth; copy it before changing anything.

    Four sections of 400 spots; two habitats of a smooth random map; genes ``hit0`` and ``hit1`` follow H1, ``hit2`` and
    ``hit3`` H2, ``smooth0`` to ``smooth7`` other maps as smooth as it, 40 more nothing. Section S4 is in the manifest
    as rejected.
    """
    import json

    import anndata as ad
    import numpy as np
    import pandas as pd
    import SimpleITK as sitk
    from scipy.ndimage import gaussian_filter

    from comould.associate.support.sampling import linear
    from comould.space import Grid

    folder = tmp_path_factory.mktemp("registered") / "case"
    (folder / "spots").mkdir(parents=True)
    (folder / "habitats").mkdir()
    rng = np.random.default_rng(5)
    grid = Grid((46, 46, 24), (1.0, 1.0, 1.0), (-22.5, -22.5, -11.5))
    fields = [gaussian_filter(rng.normal(size=grid.shape), 2.5, mode="wrap") for _ in range(9)]
    labels = np.where(fields[0] > 0, 2, 1).astype(np.uint8)
    sitk.WriteImage(grid.to_image(labels), str(folder / "habitats" / "habitats.nii.gz"))
    sitk.WriteImage(grid.to_image(np.ones(grid.shape, np.uint8)), str(folder / "mask.nii.gz"))
    names = [f"hit{n}" for n in range(4)] + [f"smooth{n}" for n in range(8)] + [f"g{n}" for n in range(40)]
    smooth = np.stack([one / one.std() for one in fields[1:]], axis=-1)
    for number, z in enumerate((-7.5, -2.5, 2.5, 7.5), start=1):
        x, y = np.meshgrid(np.arange(-19.0, 20.0, 2.0), np.arange(-19.0, 20.0, 2.0))
        points = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, z)])
        index = np.rint(grid.index_from_patient(points)).astype(int)
        inside = labels[index[:, 2], index[:, 1], index[:, 0]] == 1
        level = np.zeros((len(points), len(names)))
        level[:, :2], level[:, 2:4] = 0.9 * inside[:, None], 0.9 * ~inside[:, None]
        level[:, 4:12] = 0.5 * linear(smooth, grid, points)
        counts = rng.poisson(6 * np.exp(level)).astype(np.float32)
        spots = ad.AnnData(counts, pd.DataFrame(index=[f"S{number}-{n}" for n in range(len(points))]))
        spots.var_names = names
        spots.obs["section"] = f"S{number}"
        spots.obsm["spatial_patient"] = points
        spots.obsm["spatial_patient_sd"] = np.full(points.shape, 0.3)
        spots.obsm["spatial_patient_samples"] = points[:, None] + rng.normal(0, 0.3, (1, 3 + number, 3))
        spots.write_h5ad(folder / "spots" / f"S{number}.h5ad")
    verdicts = {f"S{n}": {"verdict": "reject" if n == 4 else "accept"} for n in range(1, 5)}
    manifest = {"format": "comould.registered_case", "simulated": True, "sections": verdicts}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder

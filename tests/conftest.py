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

"""Fixtures every room may use."""

import os
from pathlib import Path

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

"""Studies with a known truth."""

import numpy as np
import pandas as pd
import pytest

from comould.baseline import BaselineOptions, Columns


@pytest.fixture(scope="session")
def study():
    """Make a table: ``f0`` and ``f1`` follow the outcome by ``signal`` sd, all features the centre by ``shift``."""

    def make(n=90, p=12, *, signal=1.2, shift=0.0, confounded=0.0, seed=0, centres="ABC"):
        rng = np.random.default_rng(seed)
        home = np.arange(n) % len(centres)
        share = 0.5 + confounded * (home - (len(centres) - 1) / 2)
        event = (rng.random(n) < share).astype(int)
        values = rng.normal(size=(n, p)) + shift * rng.normal(size=(len(centres), p))[home]
        values[:, 0] += signal * event
        values[:, 1] -= signal * event
        table = pd.DataFrame(values, columns=[f"f{k}" for k in range(p)])
        return table.assign(
            event=event, score=values[:, 0] + values[:, 1] + 0.5 * rng.normal(size=n),
            patient=[f"P{k:03d}" for k in range(n)], centre=np.array(list(centres))[home],
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def named():
    """The columns of a study."""
    return Columns("event", "patient", "centre")


@pytest.fixture(scope="session")
def quick():
    """Settings that take little time."""
    return BaselineOptions(
        folds=4, inner_folds=2, repeats=1, sizes=(1, 4), strengths=(1.0,), n_permutations=0, n_bootstrap=300
    )

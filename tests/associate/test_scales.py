"""scales.py: one table of several scales, each as if made by hand."""

import numpy as np
import pandas as pd
import pytest

from comould import associate
from comould.errors import ComouldWarning, InputError
from comould.space import Grid

# Slabs reach from edge to edge, which the nulls remark on.
pytestmark = pytest.mark.filterwarnings("ignore:.*read its p-values with care:comould.errors.ComouldWarning")
FEW = {"n_surrogates": 99, "min_spots": 5, "min_effective": 3}


def habitats():
    """Three slabs along x over the whole specimen of ``make_spots``."""
    grid = Grid((20, 24, 20), (1.0, 1.0, 1.0), (3.0, -44.0, 3.0))
    labels = np.broadcast_to(np.arange(20) // 6, grid.shape).clip(0, 2) + 1
    return grid.to_image(labels.astype(np.uint8))


@pytest.fixture(scope="module")
def specimen(make_spots):
    """Gene ``own_H1`` follows the first slab: its counts are four times as high there."""
    spots = make_spots(3, n_smooth=2, n_flat=2)
    associate.sample(spots, habitats(), key_added="slab")
    counts = spots.X.toarray()
    counts[:, 0] = np.random.default_rng(0).poisson(np.where(spots.obs["slab"] == "H1", 4.0, 1.0))
    spots.X = type(spots.X)(counts)
    return spots


def test_every_scale_is_what_aggregate_sample_and_test_give(specimen):
    before = (list(specimen.obs), list(specimen.uns["comould"]))
    table = associate.scales(specimen, habitats(), (0, 2.0), shape="squares", seed=4, **FEW)
    assert (list(specimen.obs), list(specimen.uns["comould"])) == before
    assert table["scale_mm"].unique().tolist() == [0, 2]
    by_hand = associate.aggregate(specimen, "squares", size_mm=2.0)
    associate.sample(by_hand, habitats())
    expected = associate.test(by_hand, seed=4, **FEW)
    found = table[table["scale_mm"] == 2].drop(columns=["scale_mm", "n_places"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_like=True)
    assert table.loc[table["scale_mm"] == 0, "n_places"].unique().tolist() == [900]
    assert table.loc[table["scale_mm"] == 2, "n_places"].unique().tolist() == [by_hand.n_obs]
    assert set(table.attrs) == {"0 mm", "2 mm"}


def test_noise_averages_away_and_a_true_effect_grows(specimen):
    table = associate.scales(specimen, habitats(), (0, 3.0), **FEW)
    own = table[(table["feature"] == "own_H1") & (table["habitat"] == "H1")].set_index("scale_mm")["statistic"]
    assert own[3.0] > own[0] + 0.05


def test_scales_that_leave_too_few_places_are_told(specimen):
    with pytest.warns(ComouldWarning, match="places of 40 mm in habitats, 10 needed: not tested"):
        table = associate.scales(specimen, habitats(), (2.0, 40.0), **FEW)
    assert table["scale_mm"].unique().tolist() == [2]
    with pytest.warns(ComouldWarning, match="not tested"), pytest.raises(InputError, match="scales to test"):
        associate.scales(specimen, habitats(), (40.0,), **FEW)


@pytest.mark.parametrize("sizes", [(), (-1.0,), (np.nan,)])
def test_sizes_that_are_none_are_errors(specimen, sizes):
    with pytest.raises(InputError, match="sizes_mm: expected sizes in mm, from 0"):
        associate.scales(specimen, habitats(), sizes)

"""aggregate.py: nothing is lost or counted twice, nothing is made dense, sections stay apart."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from comould import associate
from comould.errors import ComouldWarning, InputError
from comould.space import Grid

U, V = np.array([0.8, 0.6, 0.0]), np.array([-0.48, 0.64, 0.6])


def bins(count=400, seed=0, sections=2) -> ad.AnnData:
    """Bins of oblique, parallel sections, 3 mm apart."""
    rng = np.random.default_rng(seed)
    flat = rng.uniform(-5, 5, (count, 2))
    which = rng.integers(0, sections, count)
    table = ad.AnnData(
        sp.random_array((count, 30), density=0.2, rng=rng, data_sampler=lambda size: rng.integers(1, 9, size)).tocsr(),
        obs=pd.DataFrame({"section": pd.Categorical([f"S{n}" for n in which])}, index=[f"b{n}" for n in range(count)]),
    )
    table.obsm["spatial"] = flat * 100
    table.obsm["spatial_patient"] = flat @ np.stack([U, V]) + 3.0 * which[:, None] * np.cross(U, V) + [7, -40, 2]
    table.obsm["spatial_patient_sd"] = rng.uniform(0.1, 0.5, (count, 3))
    return table


@given(st.floats(0.3, 15), st.sampled_from(["squares", "hexagons"]), st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_every_count_and_every_spot_is_in_one_place(size, to, seed):
    table = bins(seed=seed)
    made = associate.aggregate(table, to, size_mm=size)
    assert made.obs["n_spots"].sum() == table.n_obs
    for name in ("S0", "S1"):
        here, there = (each[(each.obs["section"] == name).to_numpy()].X.toarray().sum(axis=0) for each in (made, table))
        np.testing.assert_array_equal(here, there)
    weighted = (made.obsm["spatial_patient"] * made.obs["n_spots"].to_numpy()[:, None]).sum(axis=0)
    np.testing.assert_allclose(weighted, table.obsm["spatial_patient"].sum(axis=0), rtol=1e-9)


@pytest.mark.parametrize(("to", "widest"), [("squares", np.sqrt(2)), ("hexagons", 2 / np.sqrt(3))])
def test_places_have_the_size_asked_for(to, widest):
    table = bins(8000, sections=1)
    points = table.obsm["spatial_patient"]
    table.obs_names = table.obs_names.astype(str)
    table.obs["number"] = np.arange(8000)
    made = associate.aggregate(table, to, size_mm=1.2)
    full = made[made.obs["n_spots"] > 60]
    area = 1.44 if to == "squares" else 1.44 * np.sqrt(3) / 2
    assert np.median(full.obs["n_spots"]) == pytest.approx(8000 * area / 100, rel=0.1)
    gaps = np.linalg.norm(points[:, None] - made.obsm["spatial_patient"][None], axis=2).min(axis=1)
    assert gaps.max() < 1.2 * widest / 2 * 1.5
    assert made.uns["comould"]["spot_diameter_um"] == pytest.approx(2000 * np.sqrt(area / np.pi))


def test_hexagons_are_nearest_to_their_own_middle():
    """In a lattice of hexagons a point belongs to the nearest centre: no point may be wrongly rounded."""
    from comould.associate.support.aggregate import _lattice

    points = np.random.default_rng(3).uniform(-6, 6, (5000, 2))
    points -= points.mean(axis=0)
    row, column = _lattice(points, np.zeros(5000, np.intp), "hexagons", 1.5).T
    centres = 1.5 * np.column_stack([column + row / 2, row * np.sqrt(3) / 2])
    r, c = np.meshgrid(np.arange(-12, 13), np.arange(-12, 13))
    every = 1.5 * np.column_stack([(c + r / 2).ravel(), (r * np.sqrt(3) / 2).ravel()])
    nearest = np.linalg.norm(points[:, None] - every[None], axis=2).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(points - centres, axis=1), nearest, atol=1e-9)


def test_sums_are_those_of_a_loop_over_voxels():
    table = bins(300)
    grid = Grid((7, 9, 5), (2.0, 1.5, 3.0), (0.0, -46.0, -3.0))
    with pytest.warns(ComouldWarning, match="spots lie in no place and are left out") as told:
        made = associate.aggregate(table, "voxels", image=grid.to_image())
    index = np.floor(grid.index_from_patient(table.obsm["spatial_patient"]) + 0.5).astype(int)
    inside = ((index >= 0) & (index < grid.size)).all(axis=1)
    assert f"{(~inside).sum()} spots" in str(told[0].message)
    number = np.ravel_multi_index(index[inside].T[::-1], grid.shape)
    expected = (
        pd.DataFrame(table.X.toarray()[inside])
        .groupby([table.obs["section"].astype(str).to_numpy()[inside], number])
        .sum()
    )
    np.testing.assert_array_equal(made.X.toarray(), expected.to_numpy())
    assert made.obs_names.tolist() == [f"{name}:{voxel}" for name, voxel in expected.index]


def test_regions_and_sections_together_when_asked():
    table = bins(200)
    grid = Grid((30, 30, 30), (1.0, 1.0, 1.0), (-8, -55, -10))
    labels = (np.arange(30)[:, None, None] // 4 % 4 * np.ones((1, 30, 30))).astype(np.uint8)
    image = grid.to_image(labels)
    with pytest.warns(ComouldWarning, match="left out"):
        made = associate.aggregate(table, "labels", image=image, across_sections=True)
    where = labels[tuple(np.floor(grid.index_from_patient(table.obsm["spatial_patient"]) + 0.5).astype(int).T[::-1])]
    assert made.obs["place"].tolist() == [str(each) for each in np.unique(where) if each]
    assert made.obs["n_spots"].tolist() == [(where == each).sum() for each in np.unique(where) if each]
    np.testing.assert_array_equal(made.X.toarray()[0], table.X.toarray()[where == where[where > 0].min()].sum(axis=0))
    assert "section" not in made.obs


def test_the_position_s_uncertainty_is_not_averaged_away():
    made = associate.aggregate(bins(sections=1), "squares", size_mm=100)
    own = bins(sections=1).obsm["spatial_patient_sd"]
    corner = np.sqrt((own**2).mean(axis=0))
    weights = made.obs["n_spots"].to_numpy()[:, None]
    np.testing.assert_allclose(
        np.sqrt((made.obsm["spatial_patient_sd"] ** 2 * weights).sum(axis=0) / weights.sum()), corner
    )


def test_flat_positions_need_no_plane_and_spots_without_one_are_left_out():
    table = bins(100)
    table.obsm["mm"] = table.obsm["spatial"] / 100
    table.obsm["mm"][:4] = np.nan
    with pytest.warns(ComouldWarning, match="4 spots lie in no place"):
        made = associate.aggregate(table, size_mm=1.0, positions="mm")
    assert made.obs["n_spots"].sum() == 96


def test_a_large_table_is_never_dense(monkeypatch):
    count = 60_000
    rng = np.random.default_rng(1)
    table = ad.AnnData(
        sp.random_array((count, 500), density=0.01, rng=rng, format="csr", data_sampler=lambda size: np.full(size, 1.0))
    )
    side = np.arange(count)
    table.obsm["spatial_patient"] = np.column_stack([side % 250 * 0.008, side // 250 * 0.008, np.zeros(count)])
    for kind in (sp.csr_array, sp.csr_matrix, sp.csc_array):
        monkeypatch.setattr(kind, "toarray", lambda *_: pytest.fail("made dense"))
    made = associate.aggregate(table, size_mm=0.1)
    assert made.X.sum() == table.X.nnz
    assert sp.issparse(made.X)


def test_what_was_made_survives_an_h5ad_file(tmp_path):
    made = associate.aggregate(bins(), "hexagons", size_mm=2)
    made.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    assert back.uns["comould"]["aggregate"]["parameters"]["size_mm"] == 2
    assert back.obs["place"].tolist() == made.obs["place"].tolist()


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("circles", {}, "'circles' are not one of squares, hexagons"),
        ("squares", {}, "squares need size_mm above 0, not None"),
        ("squares", {"size_mm": 1, "across_sections": True}, "across_sections has no meaning"),
        ("voxels", {}, "voxels need a three-dimensional image"),
        ("labels", {"size_mm": 1.0}, "2 problems: .*not size_mm"),
    ],
)
def test_places_that_are_not_told_are_errors(to, options, message):
    with pytest.raises(InputError, match=message):
        associate.aggregate(bins(20), to, **options)


def test_counts_that_are_not_raw_and_places_without_spots_are_errors():
    table = bins(50)
    with pytest.raises(InputError, match="spots to add up: expected some within"):
        associate.aggregate(table, "voxels", image=Grid((2, 2, 2), origin_mm=(900, 0, 0)).to_image())
    table.X = table.X * 0.5
    with pytest.raises(InputError, match="counts to add up: expected raw counts"):
        associate.aggregate(table, size_mm=1.0)

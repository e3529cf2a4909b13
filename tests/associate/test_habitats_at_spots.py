"""support.py: the right voxel, the right weights, and nothing made up outside."""

from types import SimpleNamespace

import anndata as ad
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from comould import associate
from comould.errors import ComouldWarning, GeometryError, InputError
from comould.space import Grid


def oblique(size=(8, 7, 5)) -> Grid:
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return Grid(size, (0.6, 0.8, 3.0), (-20.0, 11.0, 30.0), turn)


def at(points) -> ad.AnnData:
    spots = ad.AnnData(np.zeros((len(points), 1), dtype=np.float32))
    spots.obsm["spatial_patient"] = np.asarray(points, dtype=np.float64)
    return spots


def two_habitats(grid: Grid) -> SimpleNamespace:
    """Habitat 1 for i < 4, 2 beyond; the probability of 2 runs with i; nothing at j = 0."""
    i = np.broadcast_to(np.arange(grid.size[0]), grid.shape)
    j = np.broadcast_to(np.arange(grid.size[1])[:, None], grid.shape)
    labels = np.where(j == 0, 0, np.where(i < 4, 1, 2)).astype(np.uint8)
    second = i / (grid.size[0] - 1)
    probabilities = np.stack([1 - second, second], axis=-1).astype(np.float32)
    return SimpleNamespace(labels=grid.to_image(labels), probabilities=grid.to_image(probabilities))


def test_every_voxel_centre_gets_its_own_label_on_an_oblique_grid():
    grid = oblique()
    labels = np.random.default_rng(0).integers(1, 6, grid.shape).astype(np.uint8)
    index = np.argwhere(labels > 0)[:, ::-1]
    spots = at(grid.patient_from_index(index))
    associate.sample(spots, grid.to_image(labels))
    assert (spots.obs["habitat"].cat.codes.to_numpy() + 1 == labels[tuple(index[:, ::-1].T)]).all()
    assert list(spots.obs["habitat"].cat.categories) == ["H1", "H2", "H3", "H4", "H5"]
    assert spots.obs["habitat"].cat.ordered
    np.testing.assert_allclose(spots.obsm["habitat_probability"].max(axis=1), 1)


@given(st.floats(0.01, 6.99), st.floats(1.0, 5.99), st.floats(0.0, 3.99))
def test_probabilities_are_interpolated_linearly(i, j, k):
    grid = oblique()
    spots = at(grid.patient_from_index([[i, j, k]]))
    associate.sample(spots, two_habitats(grid))
    np.testing.assert_allclose(spots.obsm["habitat_probability"][0], [1 - i / 7, i / 7], atol=1e-6)


def test_near_the_border_only_voxels_of_the_mask_count_and_rows_sum_to_one():
    grid = oblique()
    spots = at(grid.patient_from_index([[3.0, 0.6, 2.0], [2.5, 6.4, 2.0]]))
    associate.sample(spots, two_habitats(grid))
    np.testing.assert_allclose(spots.obsm["habitat_probability"], [[4 / 7, 3 / 7], [4.5 / 7, 2.5 / 7]], atol=1e-6)


def test_spots_outside_mask_grid_or_without_position_get_nothing_and_are_counted():
    grid = oblique()
    points = np.vstack(
        [grid.patient_from_index([[1, 0, 2], [-0.7, 3, 2], [1, 3, 2], [1, 3, 90]]), np.full((1, 3), np.nan)]
    )
    spots = at(points)
    with pytest.warns(ComouldWarning, match="4 of 5 spots lie outside the habitat mask"):
        associate.sample(spots, two_habitats(grid))
    assert spots.obs["habitat"].isna().tolist() == [True, True, False, True, True]
    assert np.isnan(spots.obsm["habitat_probability"]).all(axis=1).tolist() == [True, True, False, True, True]
    assert spots.uns["comould"]["habitat"]["n_outside"] == 4


def test_blur_averages_over_the_position_s_uncertainty():
    grid = Grid((41, 5, 5), (0.5, 1.0, 1.0))
    labels = np.ones(grid.shape, dtype=np.uint8)
    labels[:, :, 20:] = 2
    spots = at(grid.patient_from_index([[19.5, 2, 2], [18.0, 2, 2], [2.0, 2, 2]]))
    spots.obsm["spatial_patient_sd"] = np.full((3, 3), 1.0)
    associate.sample(spots, grid.to_image(labels), key_added="sharp")
    associate.sample(spots, grid.to_image(labels), blur=True)
    second = spots.obsm["habitat_probability"][:, 1]
    assert second[0] == pytest.approx(0.5)
    assert 0.02 < second[1] < 0.45
    assert spots.obsm["sharp_probability"][1, 1] == 0
    assert second[2] == 0
    np.testing.assert_allclose(spots.obsm["habitat_probability"].sum(axis=1), 1)


def test_blur_of_a_linear_map_changes_nothing():
    grid = oblique((30, 9, 9))
    spots = at(grid.patient_from_index([[12.0, 4, 4], [15.3, 4.2, 3.9]]))
    spots.obsm["spatial_patient_sd"] = np.full((2, 3), 0.3)
    habitats = two_habitats(grid)
    associate.sample(spots, habitats, key_added="sharp")
    associate.sample(spots, habitats, blur=True)
    np.testing.assert_allclose(spots.obsm["habitat_probability"], spots.obsm["sharp_probability"], atol=1e-6)


def test_blur_without_uncertainty_is_an_error():
    spots = at([[0, 0, 0]])
    with pytest.raises(InputError, match=r"position uncertainty obsm\[\"spatial_patient_sd\"\].*map_spots"):
        associate.sample(spots, Grid((2, 2, 2)).to_image(np.ones((2, 2, 2), np.uint8)), blur=True)


def test_a_continuous_map_is_interpolated_and_nan_voxels_do_not_enter():
    grid = oblique()
    values = np.broadcast_to(np.arange(8.0), grid.shape).copy()
    values[:, :, 7] = np.nan
    spots = at(grid.patient_from_index([[2.25, 3, 2], [6.4, 3, 2], [7, 3, 2]]))
    with pytest.warns(ComouldWarning, match="1 of 3 spots lie outside the map"):
        associate.sample_map(spots, grid.to_image(values), key_added="adc")
    np.testing.assert_allclose(spots.obs["adc"], [2.25, 6.0, np.nan])
    mask = np.ones(grid.shape, dtype=np.uint8)
    mask[:, :, :3] = 0
    with pytest.warns(ComouldWarning, match="2 of 3"):
        associate.sample_map(spots, grid.to_image(values), key_added="adc", mask=grid.to_image(mask))
    np.testing.assert_allclose(spots.obs["adc"], [np.nan, 6.0, np.nan])


def test_what_was_written_survives_an_h5ad_file(tmp_path):
    grid = oblique()
    spots = at(grid.patient_from_index([[1, 3, 2], [6, 3, 2], [1, 0, 2]]))
    with pytest.warns(ComouldWarning, match="1 of 3"):
        associate.sample(spots, two_habitats(grid))
    spots.write_h5ad(tmp_path / "spots.h5ad")
    back = ad.read_h5ad(tmp_path / "spots.h5ad")
    assert back.obs["habitat"].equals(spots.obs["habitat"])
    np.testing.assert_array_equal(back.obsm["habitat_probability"], spots.obsm["habitat_probability"])
    assert back.uns["comould"]["habitat"]["n_habitats"] == 2
    assert back.uns["comould"]["habitat"]["positions"] == "spatial_patient"


def test_missing_or_flat_positions_are_an_error_with_the_remedy():
    spots = ad.AnnData(np.zeros((2, 1), dtype=np.float32), obsm={"spatial": np.zeros((2, 2))})
    image = Grid((2, 2, 2)).to_image(np.ones((2, 2, 2), np.uint8))
    with pytest.raises(InputError, match=r"found only spatial\. .*map_spots"):
        associate.sample(spots, image)
    with pytest.raises(InputError, match=r"found shape \(2, 2\)"):
        associate.sample(spots, image, positions="spatial")


def test_a_view_is_refused():
    spots = at([[0, 0, 0], [1, 1, 1]])
    with pytest.raises(InputError, match="found a view"):
        associate.sample(spots[:1], Grid((2, 2, 2)).to_image(np.ones((2, 2, 2), np.uint8)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2, 2), np.uint8), "found 0 to 0"),
        (np.full((2, 2, 2), 0.5, np.float32), "Use sample_map"),
        (np.full((2, 2, 2), -1, np.int16), "found -1 to -1"),
    ],
)
def test_labels_that_are_none_are_an_error(labels, message):
    with pytest.raises(InputError, match=message):
        associate.sample(at([[0, 0, 0]]), Grid((2, 2, 2)).to_image(labels))


def test_things_that_are_not_habitats_or_maps_are_an_error():
    with pytest.raises(InputError, match="found dict"):
        associate.sample(at([[0, 0, 0]]), {})
    vector = Grid((2, 2, 2)).to_image(np.zeros((2, 2, 2, 3), np.float32))
    with pytest.raises(InputError, match="3 values"):
        associate.sample_map(at([[0, 0, 0]]), vector, key_added="x")


def test_whole_float_labels_are_taken():
    spots = at([[0, 0, 0]])
    associate.sample(spots, Grid((2, 2, 2)).to_image(np.full((2, 2, 2), 2, np.float32)))
    assert spots.obs["habitat"].tolist() == ["H2"]


def test_labels_and_probabilities_must_share_grid_and_number():
    grid = oblique()
    habitats = two_habitats(grid)
    habitats.probabilities.SetOrigin((0, 0, 0))
    with pytest.raises(GeometryError, match="habitat probabilities: expected the grid"):
        associate.sample(at([[0, 0, 0]]), habitats)
    habitats = two_habitats(grid)
    habitats.labels = sitk.Cast(habitats.labels > 0, sitk.sitkUInt8)
    with pytest.raises(InputError, match="expected 1 components, one a label, found 2"):
        associate.sample(at([[0, 0, 0]]), habitats)

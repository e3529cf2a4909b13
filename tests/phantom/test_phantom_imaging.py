"""The volumes: geometry, truth on the grid, contrast, noise, surroundings."""

import numpy as np
import pytest
import SimpleITK as sitk

from comould import phantom
from comould.phantom.imaging import acquisition_grid
from comould.phantom.options import SpecimenOptions
from comould.space import Grid


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def centres(grid: Grid) -> np.ndarray:
    k, j, i = (axis.ravel() for axis in np.meshgrid(*map(np.arange, grid.shape), indexing="ij"))
    return grid.patient_from_index(np.column_stack([i, j, k]))


def test_all_volumes_share_one_grid(specimen):
    grid = Grid.from_image(specimen.mask)
    assert grid.spacing_mm == (0.6, 0.6, 3.0)
    for image in (*specimen.images.values(), specimen.habitats):
        assert Grid.from_image(image) == grid
    assert set(specimen.images) == {"T2", "ADC"}
    assert all(image.GetPixelID() == sitk.sitkFloat32 for image in specimen.images.values())
    assert specimen.mask.GetPixelID() == specimen.habitats.GetPixelID() == sitk.sitkUInt8


def test_specimen_lies_off_centre_in_the_patient(specimen):
    points = centres(Grid.from_image(specimen.mask))[array(specimen.mask).ravel() > 0]
    assert np.linalg.norm(points.mean(axis=0) - [-35.0, 12.0, -140.0]) < 8.0


@pytest.mark.parametrize("acquisition", [(0.0, 0.0, 0.0), (12.0, -20.0, 35.0)])
def test_mask_and_labels_are_the_truth_at_voxel_centres(acquisition):
    made = phantom.specimen(4, volume_ml=8.0, acquisition_deg=acquisition, subsamples=1, margin_mm=4.0)
    grid = Grid.from_image(made.habitats)
    labels = made.habitat_at(centres(grid)).reshape(grid.shape)
    assert np.array_equal(array(made.habitats), labels)
    assert np.array_equal(array(made.mask), labels > 0)
    assert np.array_equal(labels.ravel() > 0, made.level_mm(centres(grid)) <= 0)
    if any(acquisition):
        assert np.abs(grid.axes - np.eye(3)).max() > 0.1
        assert np.linalg.det(grid.axes) == pytest.approx(1.0)


def test_mask_volume_and_border(specimen):
    mask = array(specimen.mask)
    assert mask.sum() * Grid.from_image(specimen.mask).voxel_ml == pytest.approx(60.0, rel=0.01)
    outer = mask.copy()
    outer[3:-3, 15:-15, 15:-15] = 0
    assert not outer.any()


@pytest.mark.parametrize("seed", range(2))
def test_every_habitat_has_its_share(seed):
    made = phantom.specimen(seed, subsamples=1, spacing_mm=(1.5, 1.5, 3.0), margin_mm=3.0)
    labels = array(made.habitats)
    shares = np.bincount(labels[labels > 0], minlength=5)[1:] / (labels > 0).sum()
    assert len(shares) == 4
    assert shares.min() >= 0.10


def test_three_habitats():
    made = phantom.specimen(1, habitats=("hypoxic", "stromal", "immune-hot"), subsamples=1, spacing_mm=(1.5, 1.5, 3.0))
    assert made.habitat_names == ("hypoxic", "stromal", "immune-hot")
    assert set(np.unique(array(made.habitats))) == {0, 1, 2, 3}
    assert set(made.genes["habitat"]) == {"", "hypoxic", "stromal", "immune-hot"}


def test_habitats_are_no_function_of_depth(specimen):
    """Within thin shells of equal depth, habitats still mix."""
    points = specimen.tissue.body.interior(np.random.default_rng(0), 20000)
    depth, labels = -specimen.level_mm(points), specimen.habitat_at(points)
    order = np.argsort(depth)
    entropy = []
    for shell in np.array_split(order, 8):
        share = np.bincount(labels[shell], minlength=5)[1:] / len(shell)
        entropy.append(-np.sum(share * np.log(np.maximum(share, 1e-12))) / np.log(4))
    assert np.median(entropy) > 0.8


def test_habitats_are_apart_in_both_images_together(specimen):
    labels = array(specimen.habitats).ravel()
    stacked = np.column_stack([array(specimen.images[name]).ravel() for name in ("T2", "ADC")])
    means = np.array([np.median(stacked[labels == label], axis=0) for label in range(1, 5)])
    spread = np.array([60.0, 180.0])
    gaps = np.linalg.norm((means[:, None] - means[None]) / spread, axis=-1)
    assert gaps[np.triu_indices(4, 1)].min() > 1.5
    # But not by thresholds on one image alone: neighbours overlap.
    assert np.diff(np.sort(means[:, 0])).min() < 2.0 * spread[0]


def test_units_and_ranges(specimen):
    adc = array(specimen.images["ADC"])[array(specimen.mask) > 0]
    assert 700 < np.median(adc) < 1700
    assert adc.min() >= 0.0
    assert all(np.isfinite(array(image)).all() for image in specimen.images.values())


def test_noise_is_as_asked():
    options = {"volume_ml": 8.0, "subsamples": 1, "margin_mm": 4.0, "bias": 0.0}
    clean = phantom.specimen(2, t2_snr=1e6, adc_noise=0.0, **options)
    noisy = phantom.specimen(2, t2_snr=20.0, adc_noise=80.0, **options)
    inside = array(clean.mask) > 0
    assert np.array_equal(inside, array(noisy.mask) > 0)
    adc = (array(noisy.images["ADC"]) - array(clean.images["ADC"]))[inside]
    assert adc.std() == pytest.approx(80.0, rel=0.05)
    t2 = (array(noisy.images["T2"]) - array(clean.images["T2"]))[inside]
    assert t2.std() == pytest.approx(array(clean.images["T2"])[inside].mean() / 20.0, rel=0.1)


def test_partial_volume_softens_the_outline():
    """At the caps, where the outline slants through slices, subsampling leaves fewer hard steps between voxels."""
    options = {
        "volume_ml": 8.0,
        "spacing_mm": (1.0, 1.0, 3.0),
        "t2_snr": 1e6,
        "adc_noise": 0.0,
        "bias": 0.0,
        "margin_mm": 4.0,
        "vessels": 0,
    }
    one = array(phantom.specimen(5, subsamples=1, **options).images["T2"])
    many = array(phantom.specimen(5, subsamples=7, **options).images["T2"])
    assert np.mean(np.diff(many, axis=2) ** 2) < 0.9 * np.mean(np.diff(one, axis=2) ** 2)


def test_bias_is_smooth_and_bounded():
    options = {"volume_ml": 6.0, "spacing_mm": (1.0, 1.0, 3.0), "subsamples": 1, "margin_mm": 4.0, "t2_snr": 1e6}
    ratio = array(phantom.specimen(2, bias=0.2, **options).images["T2"]) / array(
        phantom.specimen(2, bias=0.0, **options).images["T2"]
    )
    assert np.abs(np.log(ratio)).max() == pytest.approx(0.2, abs=0.01)
    assert np.abs(np.diff(ratio, axis=2)).max() < 0.02


def test_grid_margin_holds_on_every_side(specimen):
    options = SpecimenOptions(acquisition_deg=(5.0, 10.0, -25.0), margin_mm=9.0)
    grid = acquisition_grid(specimen.tissue.body, options)
    index = grid.index_from_patient(specimen.tissue.body.surface_mm()) * grid.spacing_mm
    assert index.min() > 9.0 - 0.2
    assert (np.array(grid.size) * grid.spacing_mm - index.max(axis=0)).min() > 9.0 - 0.2

"""What holds still under perturbations whose effect is known."""

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import ComouldWarning, InputError
from comould.habitats import (
    Perturbation,
    classify,
    edge_distance,
    feature_stability,
    fit,
    habitat_stability,
)
from comould.habitats.perturb import moved_contour, noise_sd, perturbed, sampled
from comould.space import Grid

OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


def array(image):
    return sitk.GetArrayFromImage(image)


def volume_ml(mask):
    return float((array(mask) > 0).sum()) * float(np.prod(mask.GetSpacing())) / 1000.0


def radius_mm(mask):
    return (750.0 * volume_ml(mask) / np.pi) ** (1 / 3)


def ball(radius=9.0, spacing=(1.0, 1.0, 2.5), size=(31, 33, 13)):
    grid = Grid(size, spacing, (4.0, -7.0, 30.0), OBLIQUE)
    middle = grid.patient_from_index([(n - 1) / 2 for n in size])[0]
    index = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), axis=-1).reshape(-1, 3)
    inside = np.linalg.norm(grid.patient_from_index(index) - middle, axis=1) < radius
    return grid.to_image(np.ascontiguousarray(inside.reshape(size).T.astype(np.uint8))), middle


def ramp(grid, direction=(1.0, 2.0, 3.0)):
    """An image that is a linear function of the place in the patient: resampling it linearly changes nothing."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), axis=-1).reshape(-1, 3)
    values = grid.patient_from_index(index) @ np.asarray(direction)
    return grid.to_image(np.ascontiguousarray(values.reshape(grid.size).T))


def test_noise_is_measured_through_structure():
    mask, _ = ball()
    grid = Grid.from_image(mask)
    rng = np.random.default_rng(0)
    image = grid.to_image(array(ramp(grid)) * 5.0 + rng.normal(0, 3.0, grid.shape))
    assert noise_sd(image, mask) == pytest.approx(3.0, rel=0.05)
    assert noise_sd(ramp(grid), mask) == pytest.approx(0.0, abs=1e-9)
    (more,) = perturbed({"a": image}, mask, Perturbation("noise", 1.0))[0].values()
    assert (array(more) - array(image)).std() == pytest.approx(noise_sd(image, mask), rel=0.03)


@pytest.mark.parametrize("how", [Perturbation("rotation", 20.0), Perturbation("translation", 0.5)])
def test_another_grid_moves_nothing_in_the_patient(how):
    mask, middle = ball()
    images, moved = perturbed({"a": ramp(Grid.from_image(mask))}, mask, how)
    assert images["a"] is not None
    grid = Grid.from_image(moved)
    inside = np.argwhere(array(moved) > 0)[:, ::-1]
    np.testing.assert_allclose(grid.patient_from_index(inside).mean(axis=0), middle, atol=0.3)
    assert radius_mm(moved) == pytest.approx(radius_mm(mask), abs=0.4)
    assert Grid.from_image(mask).difference(grid)
    assert not array(moved)[0].any()
    assert not array(moved)[:, 0].any()


def test_a_rotation_turns_the_grid_about_the_slice_normal_and_a_translation_by_parts_of_a_voxel():
    mask, _ = ball()
    before = Grid.from_image(mask)
    turned = Grid.from_image(perturbed({}, mask, Perturbation("rotation", 30.0))[1])
    relative = before.axes.T @ turned.axes
    np.testing.assert_allclose(relative[:, 2], [0, 0, 1], atol=1e-9)
    assert np.rad2deg(np.arctan2(relative[1, 0], relative[0, 0])) == pytest.approx(30.0)
    moved = Grid.from_image(perturbed({}, mask, Perturbation("translation", 0.25))[1])
    offset = before.index_from_patient(moved.patient_from_index([0, 0, 0]))[0]
    np.testing.assert_allclose(offset % 1.0, 0.25, atol=1e-6)


@pytest.mark.parametrize("outward", [-2.0, -1.0, 1.5])
def test_a_contour_moves_by_millimetres(outward):
    mask, _ = ball(spacing=(1.0, 1.0, 1.0), size=(31, 33, 29))
    moved = moved_contour(mask, outward)
    # The staircase of voxels makes depths up to half a voxel smaller.
    assert radius_mm(moved) == pytest.approx(9.0 + outward, abs=0.5)
    distance = array(edge_distance(mask))
    assert ((array(moved) > 0) == (distance > -outward)).all()


def test_maps_are_read_between_voxels_linearly():
    mask, middle = ball()
    grid = Grid.from_image(mask)
    mask_idx = np.argwhere(array(mask) > 0)
    values = array(ramp(grid))[tuple(mask_idx.T)][:, None]
    points = middle + np.random.default_rng(0).uniform(-4, 4, (50, 3))
    np.testing.assert_allclose(sampled(values, grid, mask_idx, points)[:, 0], points @ [1, 2, 3], atol=1e-6)
    assert np.isnan(sampled(values, grid, mask_idx, middle + np.array([[100.0, 0.0, 0.0]]))).all()
    holed = values.copy()
    holed[::2] = np.nan
    assert np.isfinite(sampled(holed, grid, mask_idx, points)).mean() > 0.9


# Features


@pytest.fixture(scope="module")
def steady(tumour):
    images, mask, _ = tumour(1)
    grid = Grid.from_image(mask)
    white = grid.to_image(np.random.default_rng(5).normal(size=grid.shape))
    return images | {"noise": white}, mask


def test_noise_alone_is_told_from_structure(steady):
    images, mask = steady
    told = []
    found = feature_stability(
        images, mask, features=["firstorder.mean"], radius_mm=3.0, progress=lambda *step: told.append(step)
    )
    table = found.table
    assert list(table.index) == ["T2/firstorder.mean", "ADC/firstorder.mean", "noise/firstorder.mean"]
    assert table.loc["T2/firstorder.mean", "kept"]
    assert table.loc["ADC/firstorder.mean", "kept"]
    assert found.unstable == ("noise/firstorder.mean",)
    assert (table["icc_low"] <= table["icc"]).all()
    assert (table["icc"] <= table["icc_high"]).all()
    assert table.loc["noise/firstorder.mean", "icc_noise"] < 0.75
    assert set(table.columns) >= {"icc_noise", "icc_rotation", "icc_translation", "icc_contour", "icc_bins"}
    assert told[0] == (0, 10, "noise 1")
    assert told[-1] == (10, 10, "")


def test_noise_of_known_size_gives_the_known_correlation():
    """White noise measured again with as much more: of two measurements, half of the variance is common."""
    mask, _ = ball(12.0, size=(41, 41, 15))
    image = Grid.from_image(mask).to_image(np.random.default_rng(11).normal(size=Grid.from_image(mask).shape))
    found = feature_stability(
        {"a": image}, mask, radius_mm=1.1, perturbations=[Perturbation("noise", 1.0)], least_icc=0.5
    )
    # Variances 1 and 2, covariance 1: agreement 2·1 / (1 + 2).
    assert found.table["icc"].iloc[0] == pytest.approx(2 / 3, abs=0.05)


def test_a_linear_image_keeps_its_value_on_any_grid():
    mask, _ = ball()
    image = ramp(Grid.from_image(mask))
    ways = [Perturbation("rotation", 12.0), Perturbation("translation", 0.3), Perturbation("contour", -1.0)]
    found = feature_stability({"a": image}, mask, perturbations=ways)
    assert found.table["icc_low"].iloc[0] > 0.998


def test_more_bins_shift_entropy_but_keep_its_order(steady):
    images, mask = steady
    ways = [Perturbation("bins", 16), Perturbation("bins", 64)]
    found = feature_stability(
        {"T2": images["T2"]},
        mask,
        features=["firstorder.mean", "firstorder.entropy"],
        radius_mm=3.0,
        perturbations=ways,
    )
    assert found.table.loc["T2/firstorder.mean", "icc_bins"] == 1.0
    assert 0.3 < found.table.loc["T2/firstorder.entropy", "icc_bins"] < 0.99
    assert np.isnan(found.table.loc["T2/firstorder.mean", "icc"])


def test_unstable_features_are_left_out_before_clustering(tumour, steady):
    images, mask = steady
    _, _, truth = tumour(1)
    found = feature_stability(images, mask, least_icc=0.7)
    assert found.unstable == ("noise/intensity.voxel",)
    habitats = fit(images, mask, n_habitats=3, without=found.unstable)
    assert habitats.model.settings.columns == ("T2/intensity.voxel", "ADC/intensity.voxel")
    assert (array(habitats.labels)[truth > 0] == truth[truth > 0]).mean() > 0.93
    with pytest.raises(InputError, match="all 3 left out"):
        fit(images, mask, n_habitats=3, without=tuple(found.table.index))
    with pytest.raises(InputError, match=r"feature map 'T2/glcm\.contrast': expected one of T2/intensity\.voxel"):
        fit(images, mask, without=("T2/glcm.contrast",))


# Habitats


@pytest.fixture(scope="module")
def clear(tumour):
    images, mask, truth = tumour(1)
    return images, mask, truth, fit(images, mask, n_habitats=3)


@pytest.mark.parametrize("refit", [True, False])
def test_clear_habitats_hold_still(clear, refit):
    images, mask, _, habitats = clear
    found = habitat_stability(images, mask, habitats, refit=refit)
    assert len(found.table) == 8
    # Half a voxel off in all axes blurs most; a millimetre more takes in what surrounds the tumour.
    assert found.table["rand_index"].min() > 0.6
    assert found.table["rand_index"].median() > 0.9
    assert (found.habitats["dice_mean"] > 0.8).all()
    assert (found.habitats["dice_least"] <= found.habitats["dice_mean"]).all()
    kept, inside = array(found.kept), array(mask) > 0
    assert not kept[~inside].any()
    assert kept[inside].mean() > 0.93
    assert kept.max() == 1.0
    same = [f"dice_{name}" for name in habitats.names]
    assert set(same) <= set(found.table.columns)


def test_arbitrary_cuts_do_not_hold_still():
    grid = Grid((20, 20, 10))
    mask = grid.to_image(np.ones(grid.shape, np.uint8))
    images = {n: grid.to_image(np.random.default_rng(s).normal(size=grid.shape)) for s, n in enumerate("ab")}
    with pytest.warns(ComouldWarning, match="arbitrary cuts"):
        habitats = fit(images, mask, n_habitats=3, radius_mm=1.0)
    found = habitat_stability(images, mask, habitats, perturbations=[Perturbation("noise", 1.0)])
    assert found.table["rand_index"].iloc[0] < 0.5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_habitats_of_a_noisy_tumour_are_found(tumour, seed):
    """Medium noise: contrast of 60 between neighbours in each image, noise of 20."""
    images, mask, truth = tumour(seed, noise=20.0)
    from comould.habitats.agreement import rand_index

    for settings in ({}, {"method": "fcm"}, {"method": "kmeans"}):
        habitats = fit(images, mask, **settings)
        assert len(habitats.names) == 3
        assert rand_index(array(habitats.labels)[truth > 0], truth[truth > 0]) > 0.8


# Bad input


@pytest.mark.parametrize(
    ("kind", "amount", "message"),
    [
        ("blur", 1.0, "one of noise, rotation"),
        ("noise", 0.0, "not 0, found 0"),
        ("rotation", 90.0, "from -45 to 45"),
        ("translation", 3.0, "of a voxel along each axis"),
    ],
)
def test_bad_perturbations_are_refused(kind, amount, message):
    with pytest.raises(InputError, match=message):
        Perturbation(kind, amount)


def test_what_cannot_be_measured_again_is_refused(clear):
    images, mask, _, _ = clear
    with pytest.raises(InputError, match="mask shrunk by 30 mm"):
        feature_stability(images, mask, perturbations=[Perturbation("contour", -30.0)])
    with pytest.raises(InputError, match="expected at least one, found none"):
        feature_stability(images, mask, perturbations=[])
    with pytest.raises(InputError, match="least_icc: expected between 0 and 1"):
        feature_stability(images, mask, least_icc=1.5)
    with pytest.raises(InputError, match="found classes by thresholds"):
        habitat_stability(images, mask, classify(images, mask, {"a": {"T2": (None, 900.0)}}))
    tiny = array(mask)
    tiny[np.cumsum(tiny.ravel()).reshape(tiny.shape) > 12] = 0
    with pytest.raises(InputError, match="at least 20 voxels that all measurements share"):
        feature_stability(images, Grid.from_image(mask).to_image(tiny), perturbations=[Perturbation("noise", 1.0)])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_mask_that_is_not_finite_is_refused(tumour, bad):
    images, mask, _ = tumour(1)
    values = array(mask).astype(np.float64)
    values[5, 11, 12] = bad
    with pytest.raises(InputError, match=r"mask: expected one label, found labels 1, (nan|inf)"):
        fit(images, Grid.from_image(mask).to_image(values), n_habitats=2)


def test_images_that_cannot_be_compared_are_refused(tumour):
    images, mask, _ = tumour(1)
    grid = Grid.from_image(mask)
    far = Grid(grid.size, grid.spacing_mm, (900.0, 0.0, 0.0), grid.direction).to_image(array(images["ADC"]))
    for change, message in (
        ({"ADC": far}, "image 'ADC': expected it to cover the mask, found 0%"),
        ({"ADC": grid.to_image(np.full(grid.shape, 3.0))}, "image 'ADC': expected intensities that vary"),
        ({"ADC": sitk.Image([24, 22, 10, 2], sitk.sitkFloat32)}, "image 'ADC'.*3"),
        ({"ADC": grid.to_image(np.zeros((*grid.shape, 2), np.float32))}, "one number per voxel"),
    ):
        for job in (fit, feature_stability):
            with pytest.raises(InputError, match=message):
                job(images | change, mask)
    one = array(mask) * 0
    one[5, 11, 12] = 1
    with pytest.raises(InputError, match=r"at least|two voxels"):
        fit(images, grid.to_image(one), n_habitats=2)

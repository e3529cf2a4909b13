"""Normalisation, windows, units and one grid: what went in is known, so is what must come out."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.habitats import prepare
from comould.habitats.prepare import IntensityStandard, adc, bias_corrected, on_one_grid, window, zscore
from comould.space import Grid


def array(image):
    return sitk.GetArrayFromImage(image)


def noise(shape=(8, 10, 12), seed=0):
    return np.random.default_rng(seed).normal(size=shape)


GRID = Grid((12, 10, 8), (1.0, 1.0, 2.0))


def half(grid=GRID):
    mask = np.zeros(grid.shape, np.uint8)
    mask[:, :, : grid.size[0] // 2] = 1
    return grid.to_image(mask)


@pytest.mark.parametrize("robust", [False, True])
def test_zscore_is_that_of_the_reference_whatever_the_scanner_multiplied(robust):
    values = 5.0 + 2.0 * noise()
    found = array(zscore(GRID.to_image(values), half(), robust=robust))
    again = array(zscore(GRID.to_image(300.0 * values + 17.0), half(), robust=robust))
    np.testing.assert_allclose(found, again, atol=1e-9)
    inside = array(half()) > 0
    middle = np.median if robust else np.mean
    assert middle(found[inside]) == pytest.approx(0.0, abs=1e-9)
    assert found[inside].std() == pytest.approx(1.0, abs=0.1 if robust else 1e-9)


def test_robust_zscore_does_not_see_an_outlier():
    values = noise()
    spoilt = values.copy()
    spoilt[0, 0, :3] = 1e6
    one, other = (array(zscore(GRID.to_image(v), half(), robust=True)) for v in (values, spoilt))
    assert np.abs(one - other)[1:].max() < 0.05


def test_reference_on_another_grid():
    values = noise()
    coarse = Grid((6, 5, 4), (2.0, 2.0, 4.0), (0.5, 0.5, 1.0))
    found = array(zscore(GRID.to_image(values), half(coarse)))
    np.testing.assert_allclose(found, array(zscore(GRID.to_image(values), half())), atol=1e-9)


def test_references_that_say_nothing():
    with pytest.raises(InputError, match="reference region: expected intensities that vary, found 3 for all"):
        zscore(GRID.to_image(np.full(GRID.shape, 3.0)), half())
    few = np.zeros(GRID.shape, np.uint8)
    few[0, 0, :5] = 1
    with pytest.raises(InputError, match="at least 20 voxels of the image in it, found 5"):
        zscore(GRID.to_image(noise()), GRID.to_image(few))
    broken = noise()
    broken[0, 0, 0] = np.inf
    with pytest.raises(InputError, match="1 voxels with NaN or infinity"):
        zscore(GRID.to_image(broken), half())


def shaded():
    """Two tissues under a smooth field of ± 40 %."""
    grid = Grid((32, 32, 16), (3.0, 3.0, 5.0))
    k, j, i = np.indices(grid.shape) / np.reshape(np.array(grid.shape) - 1.0, (3, 1, 1, 1)) * 2 - 1
    body = i**2 + j**2 + (0.5 * k) ** 2 < 0.8
    tissue = np.where(body, np.where(i * j > 0, 100.0, 200.0), 0.0)
    field = np.exp(0.4 * (i + 0.5 * j**2) * 0.9)
    values = tissue * field + np.where(body, np.random.default_rng(3).normal(0.0, 2.0, grid.shape), 0.0)
    return grid, values, body, tissue, field


def test_bias_field_is_found_and_taken_out():
    grid, values, body, tissue, field = shaded()
    found = bias_corrected(grid.to_image(values), grid.to_image(body), field_mm=30.0, iterations=20)
    corrected, sought = array(found.image), array(found.field)
    for level in (100.0, 200.0):
        before, after = (a[tissue == level].std() / a[tissue == level].mean() for a in (values, corrected))
        assert after < 0.3 * before
    assert np.corrcoef(np.log(sought[body]), np.log(field[body]))[0, 1] > 0.97
    np.testing.assert_allclose(corrected * sought, values, atol=1e-9)
    assert corrected[body].mean() == pytest.approx(values[body].mean())
    assert found.parameters["mask"] == "given"
    json.dumps(found.parameters)


def test_bias_field_repeats_bit_for_bit_and_finds_its_own_foreground():
    grid, values, body, _, field = shaded()
    one, other = (bias_corrected(grid.to_image(np.maximum(values, 0)), field_mm=50.0, iterations=20) for _ in range(2))
    assert (array(one.image) == array(other.image)).all()
    assert np.corrcoef(np.log(array(one.field)[body]), np.log(field[body]))[0, 1] > 0.9
    assert one.parameters["mask"] == "Otsu foreground"


def test_bias_needs_positive_intensities_where_it_is_sought():
    with pytest.raises(InputError, match="expected positive intensities in the mask"):
        bias_corrected(GRID.to_image(noise()), half())
    with pytest.raises(InputError, match=r"a positive field_mm and number of iterations, found 0\.0, 50"):
        bias_corrected(GRID.to_image(noise() + 10), half(), field_mm=0.0)


def cohort(n=4):
    """The same tissues under another gain, offset and gamma each."""
    truth = np.abs(noise(seed=5)) + 0.1
    gains = [(100.0, 3.0, 1.0), (7.0, 0.0, 1.0), (900.0, 50.0, 1.0), (30.0, 5.0, 1.0)][:n]
    return truth, [GRID.to_image(g * truth**gamma + o) for g, o, gamma in gains]


def test_nyul_brings_linear_scanners_to_one_scale():
    _, images = cohort()
    whole = GRID.to_image(np.ones(GRID.shape, np.uint8))
    standard = IntensityStandard.fit(images, [whole] * 4, contrast="T2w")
    found = [array(standard.apply(image, whole, contrast="T2w")) for image in images]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-8)
    np.testing.assert_allclose(np.percentile(found[0], [1, 99]), [0.0, 100.0], atol=1e-8)
    # Beyond the outer percentiles the outer pieces go on: nothing is clipped.
    assert found[0].max() > 100.0
    assert (np.argsort(found[0].ravel()) == np.argsort(array(images[0]).ravel())).all()


def test_nyul_brings_bent_scales_close_and_the_new_image_to_the_landmarks():
    truth, images = cohort()
    whole = GRID.to_image(np.ones(GRID.shape, np.uint8))
    standard = IntensityStandard.fit(images, [whole] * 4, contrast="T2w")
    bent = array(standard.apply(GRID.to_image(50.0 * np.sqrt(truth)), whole, contrast="T2w"))
    straight = array(standard.apply(images[0], whole, contrast="T2w"))
    np.testing.assert_allclose(np.percentile(bent, standard.percentiles), standard.landmarks, atol=0.5)
    middle = (straight > 5) & (straight < 95)
    assert np.abs(bent - straight)[middle].max() < 2.0


def test_nyul_is_kept_in_a_file(tmp_path):
    _, images = cohort()
    standard = IntensityStandard.fit(images, [half()] * 4, contrast="T2w")
    path = standard.save(tmp_path / "t2.json")
    assert IntensityStandard.load(path) == standard
    assert standard.n_images == 4
    path.write_text('{"kind": "mould"}')
    with pytest.raises(InputError, match="a saved intensity standard"):
        IntensityStandard.load(path)
    path.write_text(
        json.dumps({"kind": "x", "landmarks": [0, 1], "percentiles": [1, 99], "contrast": "T2w", "n_images": 1})
    )
    with pytest.raises(InputError, match="expected a file of kind 'comould intensity standard', found 'x'"):
        IntensityStandard.load(path)
    with pytest.raises(InputError, match="a saved intensity standard, found FileNotFoundError"):
        IntensityStandard.load(tmp_path / "none.json")


def test_nyul_refuses_other_contrasts_and_flat_histograms():
    _, images = cohort()
    standard = IntensityStandard.fit(images, [half()] * 4, contrast="T2w")
    with pytest.raises(InputError, match="expected an image of contrast 'T2w', found 'T1w'"):
        standard.apply(images[0], half(), contrast="T1w")
    empty = np.zeros(GRID.shape)
    empty[0] = noise(GRID.shape[1:])
    with pytest.raises(InputError, match="Leave the background out of the mask"):
        standard.apply(GRID.to_image(empty), half(), contrast="T2w")
    with pytest.raises(InputError, match="expected one mask for each image, found 4 images and 1 masks"):
        IntensityStandard.fit(images, [half()], contrast="T2w")
    with pytest.raises(InputError, match="landmarks are not rising numbers; 2 landmarks for 11 percentiles"):
        IntensityStandard((1.0, 1.0), "T2w")


def ct():
    values = np.linspace(-1000.0, 1500.0, np.prod(GRID.shape)).reshape(GRID.shape)
    return GRID.to_image(values)


def test_window_clips_hounsfield_units():
    found = array(window(ct(), modality="CT"))
    np.testing.assert_allclose(found, np.clip(array(ct()), -160.0, 240.0))
    assert array(window(ct(), (-50, 50), modality="ct")).max() == 50.0
    with pytest.warns(ComouldWarning, match="the window of 0 to 80 HU clips 9.% of the mask"):
        window(ct(), "brain", modality="CT", mask=half())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"modality": "MR"}, "only CT has Hounsfield units, found modality 'MR'"),
        ({"modality": "CT", "limits": "spleen"}, "window 'spleen': expected one of soft_tissue"),
        ({"modality": "CT", "limits": (50, 50)}, "a lowest and a higher highest HU"),
    ],
)
def test_windows_that_cannot_be(call, message):
    with pytest.raises(InputError, match=message):
        window(ct(), **call)


@pytest.mark.parametrize("shift", [1000.0, -1500.0])
def test_numbers_that_are_no_hounsfield_units(shift):
    with pytest.raises(InputError, match="CT image: expected Hounsfield units"):
        window(GRID.to_image(array(ct()) + shift), modality="CT")


def tissue_adc(factor):
    return GRID.to_image((1200.0 + 200.0 * noise()) * factor)


@pytest.mark.parametrize(("unit", "factor"), [("1e-6 mm2/s", 1.0), ("1e-3 mm2/s", 1e-3), ("mm2/s", 1e-6)])
def test_adc_units_are_found_told_and_converted(unit, factor):
    with pytest.warns(ComouldWarning, match=f"taken to be in {unit}"):
        found = adc(tissue_adc(factor), half())
    np.testing.assert_allclose(array(found), array(tissue_adc(1.0)))
    np.testing.assert_allclose(array(adc(tissue_adc(factor), half(), unit=unit)), array(found))


def test_adc_that_is_not_one():
    with pytest.raises(InputError, match=r"in mm2/s, found 1\.\d+, which would fit 1e-3 mm2/s"):
        adc(GRID.to_image(1.2 + 0.01 * noise()), half(), unit="mm2/s")
    with pytest.raises(InputError, match=r"found 3e\+04 in whatever unit"):
        adc(GRID.to_image(30000.0 + noise()), half())
    with pytest.raises(InputError, match="ADC unit: expected one of"):
        adc(tissue_adc(1.0), half(), unit="um2/ms")
    failed = array(tissue_adc(1.0))
    failed[0] = 0.0
    with pytest.warns(ComouldWarning, match="12% of the mask's voxels have an ADC of zero or less"):
        adc(GRID.to_image(failed), half(), unit="1e-6 mm2/s")


def test_one_grid_resamples_what_differs_once_and_says_so():
    linear = Grid((30, 30, 20), (0.5, 0.5, 1.0), (-1.0, -1.0, -1.0))
    i, j, k = (linear.patient_from_index(np.argwhere(np.ones(linear.shape))[:, ::-1])).T
    plane = (2.0 * i - j + 0.5 * k).reshape(linear.shape)
    found = on_one_grid({"T2": GRID.to_image(noise()), "ADC": linear.to_image(plane)}, GRID.to_image())
    assert found.table["resampled"].tolist() == [False, True]
    assert "against" in found.table.loc["ADC", "difference"]
    assert found.table.loc["ADC", "coarsening"] == pytest.approx(2.0)
    np.testing.assert_allclose(array(found.images["T2"]), noise())
    covered = array(found.coverage) == 2
    x, y, z = GRID.patient_from_index(np.argwhere(covered)[:, ::-1]).T
    np.testing.assert_allclose(array(found.images["ADC"])[covered], 2.0 * x - y + 0.5 * z, atol=1e-9)


def test_partial_coverage_is_a_map_and_leaves_the_mask():
    part = Grid((12, 10, 4), (1.0, 1.0, 2.0))
    found = on_one_grid([GRID.to_image(noise()), part.to_image(noise(part.shape))], GRID.to_image())
    coverage = array(found.coverage)
    assert (coverage[:4] == 2).all()
    assert (coverage[4:] == 1).all()
    assert found.table["covered_fraction"].tolist() == [1.0, 0.5]
    assert np.isnan(array(found.images["image2"])[4:]).all()
    kept = array(found.covered(half()))
    assert kept.sum() == 4 * 10 * 6
    top = np.zeros(GRID.shape, np.uint8)
    top[6:] = 1
    with pytest.raises(InputError, match="a part that every image covers, found none"):
        found.covered(GRID.to_image(top))
    with pytest.raises(InputError, match="mask: expected the grid of the images"):
        found.covered(part.to_image(np.ones(part.shape, np.uint8)))


def test_images_that_share_no_grid():
    away = Grid((12, 10, 8), origin_mm=(100.0, 0.0, 0.0)).to_image(noise())
    with pytest.raises(
        InputError, match=r"image 'T1': expected it to overlap the grid, found no common voxel \(centres 1"
    ):
        on_one_grid({"T1": away}, GRID.to_image())
    with pytest.raises(GeometryError, match="expected 3 dimensions, found 4"):
        on_one_grid([sitk.Image([4, 4, 4, 3], sitk.sitkFloat32)], GRID.to_image())
    with pytest.raises(InputError, match="one number per voxel, found 2"):
        on_one_grid([sitk.Image([4, 4, 4], sitk.sitkVectorFloat32, 2)], GRID.to_image())
    with pytest.raises(InputError, match="interpolator: expected one of linear"):
        on_one_grid([away], GRID.to_image(), interpolator="sinc")


def test_everything_is_at_the_door():
    assert set(prepare.__all__) >= {"zscore", "bias_corrected", "IntensityStandard", "window", "adc", "on_one_grid"}

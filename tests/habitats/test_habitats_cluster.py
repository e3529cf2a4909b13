"""Habitats: found again in synthetic tumours, the same every time, written and read back; bad input."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from sklearn.metrics import adjusted_rand_score

import comould as cm
from comould.errors import ComouldWarning, InputError
from comould.habitats import fit
from comould.habitats._mixture import MixtureSettings, fit_mixture, log_density
from comould.habitats.inputs import align
from comould.habitats.selection import _silhouette
from comould.habitats.smoothing import Smoother
from comould.space import Grid

SPACING = (1.0, 1.0, 2.0)
MEANS = {
    2: ((100, 50), (160, 20)),
    3: ((100, 50), (160, 20), (160, 80)),
    4: ((100, 50), (160, 20), (160, 80), (220, 50)),
}


def tumour(k=3, seed=0, noise=12.0, shape=(12, 28, 30)):
    """An egg of k smooth habitats seen in two images; returns images, mask and truth (0 outside)."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    mask = x**2 + y**2 + (z - 0.1 * x) ** 2 < 0.9
    fields = [gaussian_filter(rng.normal(size=shape), (2.0, 4.0, 4.0)) for _ in range(k)]
    truth = np.argmax([f / f[mask].std() - f[mask].mean() / f[mask].std() for f in fields], axis=0) + 1
    truth[~mask] = 0
    grid = Grid(shape[::-1], SPACING, (10.0, -20.0, 5.0))
    images = {
        name: grid.to_image(np.array([0, *[m[n] for m in MEANS[k]]])[truth] + rng.normal(0, noise, shape))
        for n, name in enumerate(("T2", "ADC"))
    }
    return images, grid.to_image(mask), truth


def array(image):
    return sitk.GetArrayFromImage(image)


@pytest.fixture(scope="module")
def found():
    images, mask, truth = tumour()
    return fit(images, mask, seed=3), images, mask, truth


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("method", ["gmm", "kmeans", "fcm"])
def test_habitats_and_their_number_are_recovered(k, method):
    images, mask, truth = tumour(k, seed=k)
    habitats = fit(images, mask, method=method)
    assert len(habitats.names) == k
    assert adjusted_rand_score(truth[truth > 0], array(habitats.labels)[truth > 0]) > 0.9


def test_neighbours_help_when_noise_is_strong():
    images, mask, truth = tumour(noise=22.0)
    inside = truth > 0
    with_, without = (
        adjusted_rand_score(truth[inside], array(fit(images, mask, n_habitats=3, spatial_weight=w).labels)[inside])
        for w in (8.0, 0.0)
    )
    assert with_ > 0.92
    assert with_ > without + 0.1


def test_outliers_follow_their_neighbours():
    images, mask, truth = tumour()
    rng = np.random.default_rng(0)
    spots = (rng.random(truth.shape) < 0.03) & (truth > 0)
    spoiled = {}
    for name, image in images.items():
        values = array(image)
        values[spots] = 900.0
        spoiled[name] = Grid.from_image(image).to_image(values)
    labels = array(fit(spoiled, mask, n_habitats=3).labels)
    assert adjusted_rand_score(truth[spots], labels[spots]) > 0.7
    assert adjusted_rand_score(truth[truth > 0], labels[truth > 0]) > 0.9


def test_labels_probabilities_and_table_agree(found):
    habitats, images, mask, _ = found
    labels, probabilities, inside = array(habitats.labels), array(habitats.probabilities), array(mask) > 0
    assert habitats.labels.GetPixelID() == sitk.sitkUInt8
    assert habitats.probabilities.GetPixelID() == sitk.sitkVectorFloat32
    assert habitats.probabilities.GetNumberOfComponentsPerPixel() == 3
    assert Grid.from_image(habitats.labels) == Grid.from_image(mask) == Grid.from_image(habitats.probabilities)
    assert ((labels > 0) == inside).all()
    np.testing.assert_allclose(probabilities[inside].sum(axis=1), 1.0, atol=1e-5)
    assert not probabilities[~inside].any()
    np.testing.assert_array_equal(probabilities[inside].argmax(axis=1) + 1, labels[inside])
    table = habitats.table
    assert habitats.names == ("H1", "H2", "H3") == tuple(table.index)
    assert table["voxels"].sum() == inside.sum()
    np.testing.assert_allclose(table["volume_ml"].sum(), inside.sum() * 0.002)
    np.testing.assert_allclose(table["fraction"].sum(), 1.0)
    t2 = array(images["T2"])
    for name, row in table.iterrows():
        assert row["T2_mean"] == pytest.approx(t2[labels == int(name[1:])].mean())
        assert row["T2_sd"] == pytest.approx(t2[labels == int(name[1:])].std())
    assert (np.diff(table["T2_mean"]) > 0).all()


def test_the_whole_curve_is_kept(found):
    selection = found[0].selection
    assert selection["n_habitats"].tolist() == [2, 3, 4, 5, 6]
    assert selection["chosen"].sum() == 1
    assert selection.loc[selection["chosen"], "excess"].iloc[0] == selection["excess"].max()
    np.testing.assert_allclose(selection["excess"], selection["silhouette"] - selection["silhouette_null"])
    assert selection["stability"].between(-0.1, 1.0).all()
    given = fit(found[1], found[2], n_habitats=2).selection
    assert given["n_habitats"].tolist() == [2]
    assert given["chosen"].all()


def test_same_seed_same_bits_and_other_seeds_same_habitats(found):
    habitats, images, mask, _ = found
    again, other = fit(images, mask, seed=3), fit(images, mask, seed=4)
    np.testing.assert_array_equal(array(habitats.labels), array(again.labels))
    np.testing.assert_array_equal(array(habitats.probabilities), array(again.probabilities))
    pd.testing.assert_frame_equal(habitats.selection, again.selection)
    inside = array(mask) > 0
    assert adjusted_rand_score(array(habitats.labels)[inside], array(other.labels)[inside]) > 0.98


def test_scale_of_an_image_does_not_matter(found):
    habitats, images, mask, _ = found
    grid = Grid.from_image(mask)
    scaled = {"T2": grid.to_image(array(images["T2"]) * 1000.0 + 5.0), "ADC": images["ADC"]}
    inside = array(mask) > 0
    other = array(fit(scaled, mask, seed=3).labels)[inside]
    assert adjusted_rand_score(array(habitats.labels)[inside], other) > 0.999


def test_mirrored_tumour_mirrored_habitats(found):
    habitats, images, mask, _ = found
    grid = Grid.from_image(mask)

    def flipped(image):
        return grid.to_image(array(image)[:, :, ::-1].copy())

    other = fit({n: flipped(i) for n, i in images.items()}, flipped(mask), n_habitats=3)
    inside = array(mask) > 0
    assert adjusted_rand_score(array(habitats.labels)[inside], array(flipped(other.labels))[inside]) > 0.98


def test_features_of_texture_can_be_clustered(found):
    _, images, mask, truth = found
    wanted = ["firstorder.mean", "firstorder.entropy"]
    habitats = fit(images, mask, n_habitats=3, features=wanted, radius_mm=2.0)
    assert habitats.feature_maps.names == tuple(f"{i}/{f}" for i in ("T2", "ADC") for f in wanted)
    assert habitats.parameters["feature_maps"]["kernel_voxels"] == [5, 5, 3]
    assert adjusted_rand_score(truth[truth > 0], array(habitats.labels)[truth > 0]) > 0.4


def test_voxels_without_features_are_left_out_and_counted(found):
    _, images, mask, _ = found
    grid = Grid.from_image(mask)
    more = array(mask)
    more[0, 0, 0] = 1
    with pytest.warns(ComouldWarning, match=r"1 of .* voxels have an undefined feature"):
        habitats = fit(images, grid.to_image(more), n_habitats=2, features="glcm.contrast")
    assert array(habitats.labels)[0, 0, 0] == 0
    assert habitats.parameters["n_voxels_left_out"] == 1


def test_habitats_of_plain_intensities_need_no_compiler():
    """The default path never waits for numba."""
    code = (
        "import sys, numpy as np, comould as cm; g = cm.space.Grid((12, 12, 6)); r = np.random.default_rng(0); "
        "i = (np.arange(12) > 5) * 9.0 + r.normal(size=g.shape); "
        "cm.habitats.fit([g.to_image(i)], g.to_image(np.ones(g.shape, np.uint8)), n_habitats=2); "
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_groups_are_said_so():
    grid = Grid((20, 20, 10))
    rng = np.random.default_rng(1)
    images = {n: grid.to_image(rng.normal(size=grid.shape)) for n in ("a", "b")}
    mask = grid.to_image(np.ones(grid.shape, np.uint8))
    with pytest.warns(ComouldWarning) as told:
        fit(images, mask, radius_mm=1.0)
    assert any("hardly better than a cloud without groups" in str(w.message) for w in told)


def test_the_largest_number_tried_is_said_so():
    images, mask, _ = tumour(4, seed=4)
    with pytest.warns(ComouldWarning, match="largest number of habitats tried, 3, was chosen"):
        fit(images, mask, max_habitats=3)


# Writing


def test_written_and_read_back(found, tmp_path):
    habitats, _, mask, _ = found
    source = tmp_path / "patient_name.txt"
    source.write_text("x")
    folder = habitats.write(tmp_path / "out", inputs={"mask": source})
    assert sorted(p.name for p in folder.iterdir()) == [
        "habitats.csv", "habitats.nii.gz", "manifest.json", "model.json", "probabilities.nii.gz", "selection.csv"
    ]  # fmt: skip
    labels = cm.io.read_image(folder / "habitats.nii.gz")
    np.testing.assert_array_equal(array(labels), array(habitats.labels))
    assert not Grid.from_image(labels).difference(Grid.from_image(mask))
    probabilities = sitk.ReadImage(str(folder / "probabilities.nii.gz"))
    np.testing.assert_array_equal(array(probabilities), array(habitats.probabilities))
    pd.testing.assert_frame_equal(pd.read_csv(folder / "habitats.csv", index_col="habitat"), habitats.table,
                                  check_names=False)  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_csv(folder / "selection.csv"), habitats.selection)
    text = (folder / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    assert manifest["habitats"] == ["H1", "H2", "H3"]
    assert manifest["provenance"]["seed"] == 3
    assert manifest["provenance"]["parameters"]["spatial_weight"] == 8.0
    assert list(manifest["provenance"]["inputs"]) == ["mask"]
    assert "patient_name" not in text


def test_writing_over_something_is_refused_and_overwrite_replaces(found, tmp_path):
    habitats = found[0]
    habitats.write(tmp_path / "out")
    with pytest.raises(InputError, match="files in it"):
        habitats.write(tmp_path / "out")
    (tmp_path / "out" / "old").write_text("x")
    habitats.write(tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "old").exists()


def test_a_failed_write_leaves_nothing(found, tmp_path):
    broken = dataclasses.replace(found[0], probabilities=None)
    with pytest.raises((AttributeError, TypeError, InputError), match=r"."):
        broken.write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# Bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "som"}, "method 'som' is none of gmm, kmeans, fcm"),
        ({"n_habitats": 1}, "n_habitats 1 is not between 2 and 20"),
        ({"max_habitats": 40}, "max_habitats 40 is not"),
        ({"spatial_weight": -1.0}, "spatial_weight -1.0 is not 0 or more"),
        ({"outlier_fraction": 0.7}, "outlier_fraction 0.7"),
        ({"radius_mm": 0.0}, "radius_mm 0.0 is not a positive length"),
        ({"colour": 1}, "habitat setting 'colour': expected one of bins, max_habitats, outlier_fraction, rule"),
        ({"features": "texture"}, "'texture' is unknown"),
    ],
)
def test_bad_settings_are_refused(found, settings, message):
    with pytest.raises(InputError, match=message):
        fit(found[1], found[2], **settings)


def test_too_small_a_mask_is_refused(found):
    _, images, mask, _ = found
    tiny = array(mask)
    tiny[tiny.cumsum().reshape(tiny.shape) > 100] = 0
    small = Grid.from_image(mask).to_image(tiny)
    with pytest.raises(InputError, match="at least 180 voxels with features for up to 6 habitats, found 100"):
        fit(images, small)
    assert len(fit(images, small, n_habitats=3).names) <= 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(found, bad):
    _, images, mask, _ = found
    values = array(images["ADC"])
    values[6, 14, 15] = bad
    spoiled = images | {"ADC": Grid.from_image(mask).to_image(values)}
    with pytest.raises(InputError, match="image 'ADC': expected finite intensities in the mask, found 1 voxels"):
        fit(spoiled, mask)


# Pieces


@pytest.mark.parametrize("k", [2, 3, 5])
def test_silhouette_is_the_known_one(k):
    from scipy.spatial.distance import cdist
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(k)
    data = rng.normal(size=(200, 2))
    labels = rng.integers(0, k, 200)
    labels[0] = k
    assert _silhouette(cdist(data, data), labels) == pytest.approx(silhouette_score(data, labels))
    assert _silhouette(cdist(data, data), np.zeros(200, dtype=int)) == 0.0


def test_log_density_is_the_normal_one():
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(0)
    data, mean = rng.normal(size=(20, 3)), rng.normal(size=3)
    root = rng.normal(size=(3, 3))
    covariance = root @ root.T + np.eye(3)
    expected = multivariate_normal(mean, covariance).logpdf(data)
    np.testing.assert_allclose(log_density(data, mean[None], covariance[None])[:, 0], expected)


def test_without_neighbours_the_mixture_finds_plain_gaussians():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [2000, 1000])
    data = np.where(labels[:, None], [4.0, 0.0], [0.0, 0.0]) + rng.normal(size=(3000, 2)) * [1.0, 0.5]
    start = (data[:, 0] > 3.0).astype(int)
    mixture = fit_mixture(data, start, None, MixtureSettings(0.0, outlier_fraction=0.001))
    np.testing.assert_allclose(mixture.means, [[0, 0], [4, 0]], atol=0.1)
    np.testing.assert_allclose(mixture.covariances[0], [[1, 0], [0, 0.25]], atol=0.1)
    assert mixture.n_parameters == 4 + 6 + 1


def test_neighbours_exclude_the_voxel_itself_and_the_outside():
    mask = np.zeros((5, 5, 5), np.uint8)
    mask[2, 2, 1:4] = 1
    mask[0, 0, 0] = 1
    grid = Grid((5, 5, 5))
    image = grid.to_image(np.random.default_rng(0).normal(size=(5, 5, 5)))
    smoother = Smoother(align({"a": image}, grid.to_image(mask)), 0.4, centre=False)
    # Mask order: the lonely voxel, then three in a row.
    np.testing.assert_allclose(smoother(np.array([9.0, 1.0, 0.0, 0.0])), [0.0, 0.0, 0.5, 0.0], atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_phantom(seed):
    """Noise, bias, texture, cysts and thick slices: even the true distributions, smoothed alike, give 0.6 to 0.7."""
    specimen = cm.phantom.specimen(seed)
    truth = array(specimen.habitats)
    habitats = fit(specimen.images, specimen.mask)
    assert len(habitats.names) == len(specimen.habitat_names)
    assert adjusted_rand_score(truth[truth > 0], array(habitats.labels)[truth > 0]) > 0.58

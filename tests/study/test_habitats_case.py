"""Habitats from files to folder: what is written, what it says, and mistakes that leave nothing behind."""

import json
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

import comould as cm
from comould.errors import ComouldWarning, GeometryError, InputError
from comould.habitats import HabitatModel, Perturbation, perturb
from comould.space import Grid
from comould.study import HabitatOptions, run_habitats
from comould.study.habitats_case import STEPS
from comould.study.load_habitats import load_images

SHAPE = (9, 24, 26)
MEANS = np.array([[0, 0], [100, 50], [170, 20]])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two habitats in T2 and ADC, and a third image of noise; the file names name somebody."""
    folder = tmp_path_factory.mktemp("Doe^Jane")
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    mask = x**2 + y**2 + z**2 < 0.8
    fields = [gaussian_filter(rng.normal(size=SHAPE), (2.0, 4.0, 4.0)) for _ in range(2)]
    truth = np.where(mask, 1 + np.argmax(fields, axis=0), 0)
    grid = Grid(SHAPE[::-1], (1.0, 1.0, 2.0), (10.0, -20.0, 5.0))
    arrays = {
        "T2": 300 + MEANS[truth, 0] + rng.normal(0, 12, SHAPE),
        "ADC": 900 + 5 * MEANS[truth, 1] + rng.normal(0, 30, SHAPE),
        "noise": rng.normal(0, 1, SHAPE),
    }
    for name, array in arrays.items():
        cm.io.write_image(grid.to_image(array.astype(np.float32)), folder / f"{name}.nii.gz")
    cm.io.write_image(grid.to_image(mask.astype(np.uint8)), folder / "mask.nii.gz")
    return {name: folder / f"{name}.nii.gz" for name in (*arrays, "mask")}, truth


@pytest.fixture(scope="module")
def done(files, tmp_path_factory):
    paths, truth = files
    told = []
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        patch.setattr("comould.habitats.stability.DEFAULT", (Perturbation("noise", 1.0), Perturbation("rotation", 5.0)))
        result = run_habitats(
            {name: paths[name] for name in ("T2", "ADC", "noise")},
            paths["mask"],
            tmp_path_factory.mktemp("run") / "out",
            options=HabitatOptions(max_habitats=3, prepare={"ADC": "adc", "T2": "zscore"}),
            progress=lambda *step: told.append(step),
        )
    return result, truth, told


def test_habitats_are_found_without_the_noise(done):
    result, truth, _ = done
    labels = sitk.GetArrayFromImage(result.habitats.labels)
    assert (labels[truth > 0] == truth[truth > 0]).mean() > 0.9
    assert result.left_out == ("noise/intensity.voxel",)
    assert result.habitats.model.settings.columns == ("T2/intensity.voxel", "ADC/intensity.voxel")
    assert result.stability.table["kind"].tolist() == ["noise", "rotation"]


def test_everything_is_written_and_reads_back(done):
    result, truth, _ = done
    folder = result.folder
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "habitats.nii.gz", "probabilities.nii.gz", "stability.nii.gz", "supervoxels.h5ad", "habitats.csv",
        "selection.csv", "measures.csv", "interaction.csv", "pieces.csv", "borders.csv", "feature_stability.csv",
        "habitat_stability.csv", "model.json", "planes", "report.html", "manifest.json",
    }  # fmt: skip
    labels = sitk.GetArrayFromImage(cm.io.read_image(folder / "habitats.nii.gz"))
    np.testing.assert_array_equal(labels, sitk.GetArrayFromImage(result.habitats.labels))
    held = [k for k in range(SHAPE[0]) if (truth[k] > 0).any()]
    assert sorted(p.name for p in (folder / "planes").iterdir()) == [f"slice_{k:03d}.png" for k in held]
    table = pd.read_csv(folder / "feature_stability.csv", index_col="feature")
    assert table["kept"].tolist() == [True, True, False]
    assert HabitatModel.load(folder / "model.json").names == ("H1", "H2")
    cells = ad.read_h5ad(folder / "supervoxels.h5ad")
    assert cells.obs["voxels"].sum() == (truth > 0).sum()
    measures = pd.read_csv(folder / "measures.csv", index_col=0)["value"]
    assert measures["volume_ml"] == pytest.approx((truth > 0).sum() * 0.002)
    assert 0 <= measures["ith_score"] < 1


def test_manifest_says_all_but_names(done):
    result, _, _ = done
    manifest = json.loads((result.folder / "manifest.json").read_text())
    assert manifest["format"] == "comould.habitats"
    assert set(manifest["provenance"]["inputs"]) == {"image T2", "image ADC", "image noise", "mask"}
    assert manifest["provenance"]["parameters"]["options"]["prepare"] == {"ADC": "adc", "T2": "zscore"}
    assert manifest["provenance"]["parameters"]["left_out"] == ["noise/intensity.voxel"]
    assert set(manifest["files"]) == {p.name for p in result.folder.iterdir()} - {"manifest.json"}
    for path in result.folder.rglob("*"):
        if path.suffix in {".json", ".html", ".csv"}:
            assert "Jane" not in path.read_text()


def test_progress_is_told_step_by_step(done):
    _, _, told = done
    steps = list(dict.fromkeys(step for step, _, _ in told))
    assert steps == list(STEPS)
    assert [fraction for step, fraction, _ in told if step == STEPS[1]][-1] == 1.0
    assert (STEPS[3], 0.0, "noise 1") in told


def test_a_model_is_applied_to_another_case(done, files, tmp_path):
    result, truth, _ = done
    paths, _ = files
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        again = run_habitats(
            {name: paths[name] for name in ("T2", "ADC", "noise")},
            paths["mask"],
            tmp_path / "out",
            options=HabitatOptions(
                model=result.folder / "model.json", stability=False, prepare={"ADC": "adc", "T2": "zscore"}
            ),
        )
    labels = sitk.GetArrayFromImage(again.habitats.labels)
    assert (labels[truth > 0] == truth[truth > 0]).mean() > 0.9
    assert "model" in json.loads((again.folder / "manifest.json").read_text())["provenance"]["inputs"]


# Bad input


def run(files, tmp_path, images=("T2",), mask="mask", **options):
    paths = files[0] if isinstance(files, tuple) else files
    named = images if isinstance(images, dict) else {name: paths[name] for name in images}
    roi = options.pop("roi", None)
    try:
        run_habitats(
            named, paths.get(mask, mask), tmp_path / "out", roi=roi,
            options=HabitatOptions(**({"stability": False} | options)),
        )  # fmt: skip
    finally:
        assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "som"}, "method 'som' is none of gmm, kmeans, fcm"),
        ({"n_habitats": 1}, "n_habitats 1 is not between 2 and 20"),
        ({"least_icc": 2.0}, "least_icc 2 is not between 0 and 1"),
        ({"bins": 1}, "bins 1 is not between"),
        ({"prepare": {"T2": "blur"}}, "preparation 'blur' of T2 is none of hu, adc, zscore, n4"),
        ({"prepare": {"PET": "zscore"}}, "preparation of 'PET': expected one of T2, found no such image"),
        ({"features": ("texture",)}, "'texture' is unknown"),
        ({"prepare": {"T2": "hu"}}, "image 'T2', CT image: expected Hounsfield units"),
        ({"prepare": {"T2": "hu:teeth"}}, "image 'T2', window 'teeth': expected one of"),
        ({"roi": "Liver"}, "Liver"),
    ],
)
def test_bad_options_leave_nothing(files, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run(files, tmp_path, **options)


def spoiled(files, tmp_path, change, mask=None):
    """Write a changed copy of T2, or of the mask."""
    image = cm.io.read_image(files[0][mask or "T2"])
    array, grid = change(sitk.GetArrayFromImage(image), Grid.from_image(image))
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    sitk.WriteImage(grid.to_image(array), str(folder / "x.nii.gz"))
    return folder / "x.nii.gz"


def constant(array, grid):
    return np.full_like(array, 7.0), grid


def holed(array, grid):
    array[4, 12, 13] = np.nan
    return array, grid


def far(array, grid):
    return array, Grid(grid.size, grid.spacing_mm, (900.0, 0.0, 0.0), grid.direction)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (constant, "image 'T2': expected intensities that vary within the mask, found 7 everywhere"),
        (holed, "expected finite voxels, found 1 NaN or infinite"),
        (far, "image 'T2': expected it to cover the mask, found 0%"),
    ],
)
def test_bad_images_leave_nothing(files, tmp_path, change, message):
    path = spoiled(files, tmp_path, change)
    with pytest.raises(InputError, match=message):
        run(files, tmp_path, {"T2": path})


def one_voxel(array, grid):
    array[:] = 0
    array[4, 12, 13] = 1
    return array, grid


def empty(array, grid):
    return array * 0, grid


def two_labels(array, grid):
    array[4] *= 2
    return array, grid


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (one_voxel, "mask: expected at least .* voxels|mask: expected at least two voxels, found one"),
        (empty, "no label|none|nothing|empty"),
        (two_labels, "label 1|2 regions|Choose"),
    ],
)
def test_bad_masks_leave_nothing(files, tmp_path, change, message):
    path = spoiled(files, tmp_path, change, mask="mask")
    with pytest.raises(InputError, match=message):
        run(files, tmp_path, mask=path)


def test_more_habitats_than_voxels_bear(files, tmp_path):
    def few(array, grid):
        array[np.cumsum(array.ravel()).reshape(array.shape) > 100] = 0
        return array, grid

    path = spoiled(files, tmp_path, few, mask="mask")
    with pytest.raises(InputError, match="at least 600 voxels with features for up to 20 habitats, found 100"):
        run(files, tmp_path, mask=path, n_habitats=20)


def test_four_dimensions_and_no_image_at_all(files, tmp_path):
    (tmp_path / "in").mkdir()
    series = sitk.JoinSeries([sitk.ReadImage(str(files[0]["T2"]))] * 2)
    sitk.WriteImage(series, str(tmp_path / "in" / "x.nii.gz"))
    with pytest.raises((InputError, GeometryError), match="3"):
        run(files, tmp_path, {"T2": tmp_path / "in" / "x.nii.gz"})
    (tmp_path / "in" / "x.txt").write_text("x")
    with pytest.raises(InputError, match="no DICOM content"):
        run(files, tmp_path, {"T2": tmp_path / "in" / "x.txt"})
    with pytest.raises(InputError, match="no such file or folder"):
        run(files, tmp_path, {"T2": tmp_path / "nowhere"})


def test_nothing_that_holds_still(files, tmp_path, monkeypatch):
    monkeypatch.setattr("comould.habitats.stability.DEFAULT", (Perturbation("noise", 1.0),))
    with pytest.raises(InputError, match=r"at least one that holds still \(ICC 0\.75 or more\), found none of 1"):
        run(files, tmp_path, ("noise",), stability=True)
    assert perturb.DEFAULT


def test_a_model_that_is_none(files, tmp_path):
    (tmp_path / "m.json").write_text("{}")
    with pytest.raises(InputError, match=r"habitat model m\.json: expected format"):
        run(files, tmp_path, model=tmp_path / "m.json")


def test_a_window_of_hounsfield_units_for_mr_is_refused(tmp_path, test_data):
    folder = test_data / "prostatex0000"
    with pytest.raises(InputError, match=r"image 'T2', window 'soft_tissue': expected a CT .* found modality 'MR'"):
        run({}, tmp_path, {"T2": folder / "t2"}, folder / "masks" / "gland_Bosma22b.nii.gz", prepare={"T2": "hu"})


def test_a_mask_with_a_float32_header_lies_on_its_series(test_data):
    """A NIfTI header's quaternion turns this T2's grid by 0.06 mm at the corners: the same voxels all the same."""
    folder = test_data / "prostatex0000"
    images = {"ADC": folder / "adc", "T2": folder / "t2"}
    loaded = load_images(images, folder / "masks" / "gland_Bosma22b.nii.gz")
    assert loaded.series_of_mask == folder / "t2"
    assert Grid.from_image(loaded.mask) == Grid.from_image(loaded.images["T2"])


@pytest.mark.slow
def test_real_prostate_lesion(tmp_path, test_data):
    """Oblique T2, ADC and b-value image of another grid; the SEG comes back voxel for voxel."""
    folder = test_data / "prostatex0000"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        result = run_habitats(
            {"T2": folder / "t2", "ADC": folder / "adc"},
            folder / "masks" / "gland_Bosma22b.nii.gz",
            tmp_path / "out",
            options=HabitatOptions(n_habitats=3, stability=False, prepare={"ADC": "adc"}),
        )
    labels = sitk.GetArrayFromImage(result.habitats.labels)
    image = cm.io.read_image(folder / "t2")
    for n, name in enumerate(result.habitats.names, start=1):
        back = cm.io.read_segmentation(result.folder / "habitats.dcm", image=image, roi=name)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back) > 0, labels == n)

"""Supervoxels as AnnData: places, features, neighbours; scanpy and squidpy run on them."""

import json
import subprocess
import sys
import textwrap

import anndata as ad
import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import InputError
from comould.habitats import fit, to_anndata
from comould.space import Grid


def array(image):
    return sitk.GetArrayFromImage(image)


@pytest.fixture(scope="module")
def found(tumour):
    images, mask, truth = tumour(1)
    return fit(images, mask, n_habitats=3, supervoxel_mm=3.0), images, truth


def test_observations_are_the_supervoxels(found):
    habitats, images, truth = found
    spots = to_anndata(habitats)
    numbers, grid = array(habitats.supervoxels), Grid.from_image(habitats.labels)
    assert spots.n_obs == numbers.max()
    assert list(spots.var_names) == ["T2/intensity.voxel", "ADC/intensity.voxel"]
    assert spots.var["image"].tolist() == ["T2", "ADC"]
    for n in (1, 7, spots.n_obs):
        inside = np.argwhere(numbers == n)
        np.testing.assert_allclose(spots.obsm["spatial"][n - 1], grid.patient_from_index(inside[:, ::-1]).mean(axis=0))
        raw = array(images["T2"])[numbers == n].mean()
        assert spots.layers["raw"][n - 1, 0] == pytest.approx(raw, rel=1e-5)
        back = spots.X[n - 1, 0] * spots.var["spread"].iloc[0] + spots.var["centre"].iloc[0]
        assert back == pytest.approx(raw, rel=1e-4)
        label = np.unique(array(habitats.labels)[numbers == n])
        assert spots.obs["habitat"].iloc[n - 1] == f"H{label[0]}"
    assert (spots.obs["purity"] == 1.0).all()
    assert spots.obs["voxels"].sum() == (truth > 0).sum()
    np.testing.assert_allclose(spots.obsm["habitat_probability"].sum(axis=1), 1.0, atol=1e-5)
    assert (spots.obs["depth_mm"] > 0).all()
    # The deepest lies in the middle of the egg.
    middle = grid.patient_from_index([(n - 1) / 2 for n in grid.size])[0]
    deepest = spots.obsm["spatial"][spots.obs["depth_mm"].argmax()]
    assert np.linalg.norm(deepest - middle) < 4.0


def test_neighbours_share_a_face(found):
    habitats, _, _ = found
    spots = to_anndata(habitats)
    touching = spots.obsp["spatial_connectivities"]
    assert abs(touching - touching.T).nnz == 0
    assert touching.diagonal().sum() == 0
    numbers = array(habitats.supervoxels)
    a, b = numbers[5, 11, :-1], numbers[5, 11, 1:]
    for first, second in zip(a, b, strict=True):
        if first and second and first != second:
            assert touching[first - 1, second - 1] == 1
            distance = np.linalg.norm(spots.obsm["spatial"][first - 1] - spots.obsm["spatial"][second - 1])
            assert spots.obsp["spatial_distances"][first - 1, second - 1] == pytest.approx(distance)


def test_habitats_of_voxels_get_supervoxels_of_their_own(tumour):
    images, mask, _ = tumour(1)
    habitats = fit(images, mask, n_habitats=3)
    small, large = to_anndata(habitats, supervoxel_mm=3.0), to_anndata(habitats)
    assert small.n_obs > 1.5 * large.n_obs
    assert 0.8 < small.obs["purity"].mean() <= 1.0


def test_written_read_back_and_nobody_named(found, tmp_path):
    habitats, _, _ = found
    spots = to_anndata(habitats)
    spots.write_h5ad(tmp_path / "supervoxels.h5ad")
    back = ad.read_h5ad(tmp_path / "supervoxels.h5ad")
    np.testing.assert_array_equal(back.X, spots.X)
    made = json.loads(back.uns["comould"]["provenance"])
    assert made["parameters"]["supervoxel_mm"] == 3.0
    assert back.uns["comould"]["frame"] == "patient"


@pytest.mark.slow
def test_scanpy_and_squidpy_run_on_them(found, tmp_path):
    """In a process of its own: their warnings are not ours to answer for."""
    to_anndata(found[0]).write_h5ad(tmp_path / "s.h5ad")
    code = """
    import sys, warnings; warnings.simplefilter("ignore")
    import anndata as ad, scanpy as sc, squidpy as sq
    spots = ad.read_h5ad(sys.argv[1])
    sq.gr.nhood_enrichment(spots, cluster_key="habitat", n_perms=20, show_progress_bar=False, n_jobs=1)
    sq.gr.spatial_autocorr(spots, mode="moran", n_perms=None)
    sc.pp.neighbors(spots, n_neighbors=10, use_rep="X")
    sc.tl.umap(spots)
    assert spots.obsm["X_umap"].shape == (spots.n_obs, 2)
    z = spots.uns["habitat_nhood_enrichment"]["zscore"]
    assert (z.diagonal() > 0).all()
    assert spots.uns["moranI"]["I"].min() > 0.1
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "s.h5ad")], check=False, capture_output=True
    )
    assert run.returncode == 0, run.stderr.decode()[-2000:]


def test_another_size_than_the_habitats_own_is_refused(found):
    with pytest.raises(InputError, match="found on supervoxels, which are used, found 5"):
        to_anndata(found[0], supervoxel_mm=5.0)

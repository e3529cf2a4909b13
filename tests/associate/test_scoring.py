"""scoring.py: our score is the mean of z-scores; others' are others' own; what is missing is told."""

import importlib.util

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import zscore

from comould import associate
from comould.errors import ComouldWarning, InputError


def expected(spots, genes):
    counts = spots.X.toarray().astype(np.float64)
    logged = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    return zscore(logged[:, spots.var_names.get_indexer(genes)], axis=0).mean(axis=1)


def test_mean_is_the_mean_of_z_scored_log_expression(spots):
    genes = [f"smooth_{number}" for number in range(5)]
    associate.score(spots, {"mine": genes, "one/two": ["own_H1"]})
    np.testing.assert_allclose(spots.obsm["score"]["mine"], expected(spots, genes), atol=1e-10)
    np.testing.assert_allclose(spots.obs["score_mine"], spots.obsm["score"]["mine"])
    np.testing.assert_allclose(spots.obs["score_one|two"], expected(spots, ["own_H1"]), atol=1e-10)


def test_aliases_are_used_and_missing_genes_told(spots):
    mine = associate.GeneSet("mine", ("OLD", "smooth_1", "GONE"), aliases={"OLD": ["smooth_0"]})
    with pytest.warns(ComouldWarning, match=r"gene set mine: 1 of 3 genes are not measured: GONE"):
        associate.score(spots, {"mine": mine})
    np.testing.assert_allclose(spots.obs["score_mine"], expected(spots, ["smooth_0", "smooth_1"]), atol=1e-10)
    assert spots.uns["comould"]["score"]["genesets"]["mine"]["missing"].tolist() == ["GONE"]
    assert spots.uns["comould"]["score"]["genesets"]["mine"]["found"].tolist() == ["smooth_0", "smooth_1"]


def test_spots_without_counts_have_no_score_and_files_keep_what_was_written(spots, tmp_path):
    spots.X = sp.csr_matrix(spots.X.toarray() * (np.arange(spots.n_obs) != 3)[:, None])
    with pytest.warns(ComouldWarning, match="not measured"):
        associate.score(spots, {"a": ["own_H1", "own_H2"], "b": ["none"]}, key_added="set")
    assert np.isnan(spots.obs["set_a"].iloc[3])
    assert spots.obs["set_a"].notna().sum() == spots.n_obs - 1
    assert spots.obs["set_b"].isna().all()
    spots.write_h5ad(tmp_path / "spots.h5ad")
    back = ad.read_h5ad(tmp_path / "spots.h5ad")
    np.testing.assert_array_equal(back.obsm["set"].to_numpy(), spots.obsm["set"].to_numpy())
    assert back.uns["comould"]["set"]["parameters"]["method"] == "mean"


@pytest.fixture(scope="module")
def many(make_spots):
    """Enough genes that controls can be found."""
    return make_spots(1, n_smooth=60, n_flat=240)


def test_scanpy_s_score_is_scanpy_s_own(many):
    import scanpy as sc

    spots = many.copy()
    genes = [f"smooth_{number}" for number in range(4)]
    associate.score(spots, {"mine": genes}, method="scanpy", seed=3)
    own = spots.copy()
    sc.pp.normalize_total(own, target_sum=1e4)
    sc.pp.log1p(own)
    sc.tl.score_genes(own, genes, random_state=3)
    np.testing.assert_allclose(spots.obs["score_mine"], own.obs["score"], atol=1e-5)


def test_scanpy_without_control_genes_is_an_error(spots):
    with pytest.raises(InputError, match=r"gene set mine: expected other genes.*whole transcriptome"):
        associate.score(spots, {"mine": [f"smooth_{number}" for number in range(4)]}, method="scanpy")


def test_scores_of_other_methods_agree_on_what_is_high(many):
    spots = many.copy()
    genes = [f"smooth_{number}" for number in range(5)]
    associate.score(spots, {"mine": genes})
    for method in ("scanpy", *(("ulm", "aucell") if importlib.util.find_spec("decoupler") else ())):
        associate.score(spots, {"mine": genes}, method=method, key_added=method)
        assert np.corrcoef(spots.obs["score_mine"], spots.obs[f"{method}_mine"])[0, 1] > 0.4


@pytest.mark.skipif(importlib.util.find_spec("decoupler") is not None, reason="decoupler is installed")
def test_without_decoupler_the_extra_is_named(spots):
    with pytest.raises(InputError, match=r"comould\[decoupler\]"):
        associate.score(spots, {"mine": ["own_H1"]}, method="ulm")


def test_what_cannot_be_scored_is_an_error(spots):
    with pytest.raises(InputError, match="scoring method: expected one of mean, scanpy, ulm, aucell, found 'gsva'"):
        associate.score(spots, {"mine": ["own_H1"]}, method="gsva")
    with pytest.raises(InputError, match=r"found none of 1 \(they are there in another letter case"):
        associate.score(spots, {"mine": ["OWN_H1"]})
    with pytest.raises(InputError, match="found a view"):
        associate.score(spots[:40], {"mine": ["own_H1"]})
    spots.X = spots.X * 0.5
    with pytest.raises(InputError, match="raw counts"):
        associate.score(spots, {"mine": ["own_H1"]})


@pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")
def test_sets_of_the_same_cells_agree_on_real_spots(test_data):
    from comould.io import read_spots

    root = test_data / "her2st"
    spots = read_spots(root / "counts" / "C2.tsv.gz", positions=root / "spots" / "C2_selection.tsv", pitch_um=200)
    associate.score(spots, associate.genesets("all"))
    alike = spots.obsm["score"].corr()
    assert not spots.obsm["score"].isna().any().any()
    assert alike.loc["MCP_Fibroblasts", "pan_F_TBRS_19"] > 0.4
    assert alike.loc["MCP_T_cells", "T_cell_inflamed_18"] > 0.3
    assert alike.loc["MCP_T_cells", "Buffa_hypoxia_15"] < 0.1

"""claims.py: the table a user gets, what it claims, and what it refuses to."""

import subprocess
import sys
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats
from statsmodels.stats.multitest import multipletests

from comould import associate
from comould.associate.measures import neighbour_weights
from comould.errors import ComouldWarning, InputError

SETS = {"H1 set": ["own_H1", "smooth_0"], "flat set": ["flat_0", "flat_1", "flat_2"]}


@pytest.fixture(scope="module")
def tested(make_spots):
    spots = make_spots(0)
    return spots, associate.test(spots, genesets=SETS, n_surrogates=199, seed=3)


def row(table, feature, habitat):
    return table[(table["feature"] == feature) & (table["habitat"] == habitat)].iloc[0]


def test_there_is_one_row_for_each_habitat_and_feature_smallest_p_first(tested):
    spots, table = tested
    assert len(table) == 3 * (spots.n_vars + 2)
    assert not table.duplicated(["feature", "kind", "habitat"]).any()
    assert table["kind"].value_counts().to_dict() == {"gene": 3 * spots.n_vars, "geneset": 6}
    assert table["p_spatial"].is_monotonic_increasing
    assert table["testable"].all()
    assert (table["reason"] == "").all()
    assert table["n_spots"].dtype.kind == "i"


def test_genes_that_follow_a_habitat_are_found_with_the_right_sign(tested):
    _, table = tested
    for habitat in ("H1", "H2", "H3"):
        found = row(table, f"own_{habitat}", habitat)
        assert found["q_spatial"] < 0.05
        assert found["log2_fold_change"] > 0.8
        assert found["statistic"] > 0.3
    assert row(table, "H1 set", "H1")["q_spatial"] < 0.05


def test_the_naive_test_is_fooled_by_smooth_genes_and_the_spatial_one_is_not(make_spots):
    smooth = []
    for seed in range(4):
        table = associate.test(make_spots(seed, sigma=2.0), n_surrogates=199, seed=seed)
        smooth.append(table[table["feature"].str.startswith("smooth")])
    rows = pd.concat(smooth)
    assert (rows["p_naive"] <= 0.05).mean() > 0.3
    assert (rows["p_spatial"] <= 0.05).mean() < 0.11
    assert (rows["q_naive"] <= 0.1).sum() > 8 * max((rows["q_spatial"] <= 0.1).sum(), 1)


def test_columns_are_what_they_say(tested):
    spots, table = tested
    counts = spots.X.toarray().astype(np.float64)
    log = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    inside = (spots.obs["habitat"] == "H2").to_numpy()
    gene = spots.var_names.get_loc("smooth_4")
    found = row(table, "smooth_4", "H2")
    expected = stats.ttest_ind(log[inside, gene], log[~inside, gene], equal_var=False).pvalue
    assert found["p_naive"] == pytest.approx(expected)
    assert found["n_spots"] == inside.sum()
    assert 3 < found["n_effective"] <= spots.n_obs
    for kind, rows in table.groupby("kind"):
        for flavour in ("naive", "spatial"):
            expected = multipletests(rows[f"p_{flavour}"], method="fdr_bh")[1]
            np.testing.assert_allclose(rows[f"q_{flavour}"], expected, atol=1e-12, err_msg=kind)


def test_a_set_s_row_is_the_mean_of_its_genes(tested):
    spots, table = tested
    members = [row(table, gene, "H1")["log2_fold_change"] for gene in SETS["flat set"]]
    assert row(table, "flat set", "H1")["log2_fold_change"] == pytest.approx(np.mean(members))
    counts = spots.X.toarray().astype(np.float64)
    log = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    score = stats.zscore(log[:, spots.var_names.get_indexer(SETS["flat set"])], axis=0).mean(axis=1)
    score -= pd.Series(score).groupby(spots.obs["section"].to_numpy()).transform("mean").to_numpy()
    inside = pd.Series((spots.obs["habitat"] == "H1").to_numpy(dtype=float))
    inside -= inside.groupby(spots.obs["section"].to_numpy()).transform("mean")
    assert row(table, "flat set", "H1")["statistic"] == pytest.approx(np.corrcoef(score, inside)[0, 1])


def test_the_same_seed_gives_the_same_table_and_chunks_change_nothing(tested, make_spots):
    _, table = tested
    again = associate.test(make_spots(0), genesets=SETS, n_surrogates=199, seed=3, chunk=1)
    pd.testing.assert_frame_equal(table, again, check_exact=True)
    other = associate.test(make_spots(0), genesets=SETS, n_surrogates=199, seed=4)
    assert not other["p_spatial"].equals(table["p_spatial"])


def test_dense_and_sparse_counts_give_the_same_table(make_spots):
    spots = make_spots(0)
    dense = spots.copy()
    dense.X = spots.X.toarray().astype(np.int64)
    one, two = (associate.test(each, n_surrogates=49) for each in (spots, dense))
    pd.testing.assert_frame_equal(one, two)


def test_the_record_says_how_and_survives_a_file(tested, tmp_path):
    spots, table = tested
    record = table.attrs
    assert record["seed"] == 3
    assert record["parameters"]["null"] == "variogram"
    assert set(record["nulls"]) == {"H1", "H2", "H3"}
    assert record["nulls"]["H1"]["n_surrogates"] == 199
    assert record["nulls"]["H1"]["n_effective"] > 5
    assert record["versions"]["comould"]
    spots.write_h5ad(tmp_path / "spots.h5ad")
    back = ad.read_h5ad(tmp_path / "spots.h5ad").uns["comould"]["test"]
    assert back["seed"] == 3
    assert back["parameters"]["min_spots"] == 20
    assert len(back["nulls"]["H2"]["observed"]) == len(back["nulls"]["H2"]["lags_mm"])
    assert back["genesets"]["H1 set"]["n_genes"] == 2


def test_surrogates_made_before_give_the_same_table(make_spots):
    spots = make_spots(1)
    nulls = associate.make_nulls(spots, n_surrogates=49, seed=2)
    given = associate.test(spots, null=nulls)
    pd.testing.assert_frame_equal(given, associate.test(spots, n_surrogates=49, seed=2))
    with pytest.raises(InputError, match=r"surrogates given: .*H2 has none; H3 has surrogates of \d+ spots, not"):
        associate.test(
            spots, null={"H1": nulls["H1"], "H3": associate.make_nulls(spots[:500].copy(), n_surrogates=3)["H3"]}
        )


def test_shuffled_spots_claim_as_much_as_the_naive_test(make_spots):
    table = associate.test(make_spots(2, sigma=2.0), null="shuffle", n_surrogates=199)
    smooth = table[table["feature"].str.startswith("smooth")]
    assert (smooth["p_spatial"] <= 0.05).mean() > 0.25


def test_a_section_s_own_level_is_no_evidence(make_spots):
    spots = make_spots(0)
    levels = spots.obs["section"].cat.codes.to_numpy()
    counts = spots.X.toarray()
    rng = np.random.default_rng(0)
    counts[:, 25] = rng.poisson(1 + 6 * (levels == 2))
    spots.X = sp.csr_matrix(counts)
    within = row(associate.test(spots, n_surrogates=99), spots.var_names[25], "H1")
    across = row(associate.test(spots, n_surrogates=99, within_sections=False), spots.var_names[25], "H1")
    assert abs(within["statistic"]) < 0.1
    assert within["n_effective"] > across["n_effective"]


def test_a_continuous_map_is_tested_too(make_spots):
    spots = make_spots(0)
    spots.obs["adc"] = (spots.obs["habitat"] == "H1") + 0.1 * np.random.default_rng(0).standard_normal(spots.n_obs)
    table = associate.test(spots, "adc", n_surrogates=99)
    assert set(table["habitat"]) == {"adc"}
    best = table.iloc[0]
    assert best["feature"] == "own_H1"
    assert best["log2_fold_change"] > 0
    assert best["q_spatial"] < 0.05


def test_strings_serve_as_annotation_and_spots_without_are_left_out(make_spots):
    spots = make_spots(0)
    spots.obs["region"] = np.where(spots.obs["habitat"] == "H1", "hot", "cold").astype(object)
    spots.obs.loc[spots.obs_names[:30], "region"] = None
    spots.obsm["spatial_patient"][40:45] = np.nan
    table = associate.test(spots, "region", n_surrogates=19)
    assert set(table["habitat"]) == {"hot", "cold"}
    assert table.attrs["n_spots_left_out"] == 35


def test_layers_can_hold_the_raw_counts(make_spots):
    spots = make_spots(0)
    expected = associate.test(spots, n_surrogates=19)
    spots.layers["counts"] = spots.X
    spots.X = np.log1p(spots.X)
    pd.testing.assert_frame_equal(associate.test(spots, layer="counts", n_surrogates=19), expected)
    with pytest.raises(InputError, match=r"counts in X: expected raw counts.*fractional values.*layer=\"counts\""):
        associate.test(spots)
    with pytest.raises(InputError, match="layer 'raw': expected one of counts"):
        associate.test(spots, layer="raw")


def test_progress_runs_from_small_to_one(spots):
    told = []
    associate.test(spots, n_surrogates=9, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


# What else could explain it.


def test_a_covariate_takes_its_part_of_the_evidence(make_spots):
    spots = make_spots(0)
    rng = np.random.default_rng(1)
    inside = (spots.obs["habitat"] == "H1").to_numpy(dtype=float)
    spots.obs["cellularity"] = inside + 0.4 * rng.standard_normal(spots.n_obs)
    counts = spots.X.toarray()
    counts[:, 20] = rng.poisson(2 * np.exp(0.8 * spots.obs["cellularity"]))
    spots.X = sp.csr_matrix(counts)
    gene = spots.var_names[20]
    plain = row(associate.test(spots, n_surrogates=199), gene, "H1")
    given = associate.test(spots, n_surrogates=199, covariates=["cellularity"])
    assert plain["q_spatial"] < 0.01
    assert row(given, gene, "H1")["p_spatial"] > 0.05
    assert row(given, "own_H1", "H1")["q_spatial"] < 0.05
    assert given.attrs["parameters"]["covariates"] == ["cellularity"]


def test_covariates_may_be_categories_and_log_counts_and_must_be_there(make_spots):
    spots = make_spots(0)
    rng = np.random.default_rng(0)
    spots.obs["slab"] = rng.choice(["a", "b", "c"], spots.n_obs)
    spots.obs["purity"] = rng.random(spots.n_obs)
    spots.obs.loc[spots.obs_names[:5], "purity"] = np.nan
    spots.obs["same"] = 1.0
    with pytest.warns(ComouldWarning, match="5 spots without slab, purity, log_counts are left out"):
        table = associate.test(spots, n_surrogates=19, covariates=["slab", "purity", "log_counts"])
    assert table.attrs["n_spots_left_out"] == 5
    assert row(table, "own_H1", "H1")["statistic"] > 0.3
    with pytest.raises(InputError, match=r"covariates: .*there is no 'depth'; 'same' does not vary.*log_counts"):
        associate.test(spots, covariates=["depth", "same"])
    with pytest.raises(InputError, match="is a text, not a list"):
        associate.test(spots, covariates="purity")
    spots.obs["itself"] = (spots.obs["habitat"] == "H1").astype(float)
    none = associate.test(spots, n_surrogates=19, covariates=["itself"])
    assert (none.loc[none["habitat"] == "H1", "reason"] == "the covariates say all of the habitat").all()


@pytest.mark.parametrize("statistic", ["spearman", "lee"])
def test_other_statistics_find_the_same_genes(make_spots, statistic):
    spots = make_spots(0)
    table = associate.test(spots, n_surrogates=199, statistic=statistic)
    for habitat in ("H1", "H2", "H3"):
        assert row(table, f"own_{habitat}", habitat)["q_spatial"] < 0.05
    smooth = table[table["feature"].str.startswith(("smooth", "flat"))]
    assert (smooth["p_spatial"] <= 0.05).mean() < 0.12


def test_spearman_is_scipy_s_and_lee_s_l_is_its_formula(make_spots):
    spots = make_spots(0)
    spots.obs["section"] = "all"
    counts = spots.X.toarray().astype(np.float64)
    log = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)[:, 4]
    inside = (spots.obs["habitat"] == "H1").to_numpy(dtype=float)
    table = associate.test(spots, n_surrogates=9, statistic="spearman")
    assert row(table, spots.var_names[4], "H1")["statistic"] == pytest.approx(
        stats.spearmanr(inside, log.round(9)).statistic
    )
    weights = (6 * neighbour_weights(spots.obsm["spatial_patient"], k=6).toarray() + np.eye(spots.n_obs)) / 7
    x, y = inside - inside.mean(), log - log.mean()
    lee = (
        len(x)
        / (weights.sum(axis=1) ** 2).sum()
        * ((weights @ x) @ (weights @ y))
        / np.linalg.norm(x)
        / np.linalg.norm(y)
    )
    table = associate.test(spots, n_surrogates=9, statistic="lee")
    assert row(table, spots.var_names[4], "H1")["statistic"] == pytest.approx(lee)


def test_competitive_p_values_ask_for_more_than_the_rest(make_spots):
    spots = make_spots(0)
    rng = np.random.default_rng(3)
    inside = (spots.obs["habitat"] == "H1").to_numpy(dtype=float)
    # Every gene but the flat ones follows H1: a set of such genes follows it too, but no more than the rest.
    everywhere = rng.poisson(np.exp(0.8 * inside)[:, None] * rng.uniform(1, 4, 60))
    reference = rng.poisson(150, (spots.n_obs, 1))
    spots = ad.AnnData(
        sp.csr_matrix(np.hstack([everywhere, reference]).astype(np.float32)), obs=spots.obs, obsm=spots.obsm
    )
    spots.var_names = [f"g{number}" for number in range(60)] + ["reference"]
    table = associate.test(spots, genesets={"some": [f"g{number}" for number in range(10)]}, n_surrogates=199)
    found = row(table, "some", "H1")
    assert found["p_spatial"] < 0.001
    assert found["p_competitive"] > 0.01
    assert table.loc[table["kind"] == "gene", "p_competitive"].isna().all()


def test_max_t_is_stricter_than_each_test_and_finds_what_is_strong(tested):
    _, table = tested
    genes = table[table["kind"] == "gene"]
    assert (genes["p_max_t"] >= genes["p_spatial"] - 0.02).all()
    assert row(table, "own_H1", "H1")["p_max_t"] < 0.05
    assert (genes.loc[genes["feature"].str.startswith("smooth"), "p_max_t"] < 0.05).mean() < 0.05


@pytest.mark.parametrize("null", ["shift", "moran", "dutilleul"])
def test_every_null_tests(make_spots, null):
    spots = make_spots(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        table = associate.test(spots, n_surrogates=199, null=null)
    assert row(table, "own_H1", "H1")["p_spatial"] < 0.01
    smooth = table[table["feature"].str.startswith("smooth")]
    assert (smooth["p_spatial"] <= 0.05).mean() < 0.16
    assert table["p_max_t"].notna().any() == (null != "dutilleul")


def test_genes_of_two_species_are_an_error(spots):
    spots.var_names = [f"{'GRCh38' if n % 2 else 'mm10'}_{name}" for n, name in enumerate(spots.var_names)]
    with pytest.raises(InputError, match=r"genes of one species, found those of mm10, GRCh38"):
        associate.test(spots)


# What cannot be tested is marked so, with the reason; never a p-value that means nothing.


def test_genes_without_or_with_hardly_any_counts_are_not_testable(make_spots):
    spots = make_spots(0)
    counts = spots.X.toarray()
    counts[:, 30] = 0
    counts[:, 31] = 0
    counts[:4, 31] = 1
    spots.X = sp.csr_matrix(counts)
    table = associate.test(spots, n_surrogates=19)
    none, few = row(table, spots.var_names[30], "H1"), row(table, spots.var_names[31], "H1")
    assert none["reason"] == "no counts"
    assert few["reason"] == "detected in 4 spots, 10 needed"
    for each in (none, few):
        assert not each["testable"]
        assert np.isnan(each["p_spatial"])
        assert np.isnan(each["q_spatial"])


def test_a_habitat_with_too_few_spots_is_not_testable(make_spots):
    spots = make_spots(0)
    labels = spots.obs["habitat"].astype(str)
    labels.iloc[:7] = "H4"
    spots.obs["habitat"] = pd.Categorical(labels)
    table = associate.test(spots, n_surrogates=19)
    rare = table[table["habitat"] == "H4"]
    assert (rare["reason"] == "7 spots in the habitat, 20 needed").all()
    assert rare[["p_naive", "q_naive", "p_spatial", "q_spatial"]].isna().all(axis=None)
    assert table.loc[table["habitat"] == "H1", "testable"].all()


def test_a_map_too_smooth_for_its_support_is_not_testable(make_spots):
    spots = make_spots(0)
    z = spots.obsm["spatial_patient"]
    spots.obs["habitat"] = pd.Categorical(
        np.where(z[:, 0] + 0.3 * z[:, 1] > z[:, 0].mean() + 0.3 * z[:, 1].mean(), "H1", "H2")
    )
    counts = spots.X.toarray()
    trend = 4 * (z[:, 0] - z[:, 0].min())
    counts[:, 20] = np.random.default_rng(0).poisson(trend)
    spots.X = sp.csr_matrix(counts)
    found = row(associate.test(spots, n_surrogates=199), spots.var_names[20], "H1")
    assert not found["testable"]
    assert "effective samples, 20 needed: too smooth to tell" in found["reason"]
    assert found["n_effective"] < 20
    assert np.isnan(found["p_spatial"])
    assert found["p_naive"] < 1e-10


def test_habitats_that_never_meet_in_a_section_are_not_testable(make_spots):
    spots = make_spots(0)
    spots.obs["habitat"] = pd.Categorical(np.where(spots.obs["section"].isin(["S0", "S4"]), "H1", "H2"))
    table = associate.test(spots, n_surrogates=19)
    assert (table["reason"] == "no section holds spots both in and outside the habitat").all()
    # Across sections it can be, and such bands fit no stationary field: that is said, or refused.
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        across = associate.test(spots, n_surrogates=19, within_sections=False)
    told = {str(each.message)[:2] for each in warned if "read its p-values with care" in str(each.message)}
    refused = {name for name, fit in across.attrs["nulls"].items() if fit["refusal"]}
    assert told | refused == {"H1", "H2"}
    assert not across["reason"].str.startswith("no section").any()


def test_missing_genes_of_a_set_are_reported_and_too_few_are_not_tested(make_spots):
    sets = {"half": ["own_H1", "GONE"], "few": ["own_H1", "A", "B"], "case": ["OWN_H1"], "none": ()}
    spots = make_spots(0)
    with pytest.warns(ComouldWarning, match="are not measured") as warned:
        table = associate.test(spots, genesets=sets, n_surrogates=19)
    assert any("half: 1 of 2 genes are not measured: GONE" in str(each.message) for each in warned)
    assert row(table, "half", "H1")["testable"]
    assert row(table, "few", "H1")["reason"] == "1 of its 3 genes measured"
    assert row(table, "case", "H1")["reason"].endswith("in another letter case: another species?)")
    assert row(table, "none", "H1")["reason"] == "the set is empty"
    assert table.attrs["genesets"]["few"]["missing"] == ["A", "B"]


def test_ensembl_ids_are_recognised_when_a_set_finds_nothing(make_spots):
    spots = make_spots(0)
    spots.var_names = [f"ENSG{number:011d}" for number in range(spots.n_vars)]
    sets = {"T_cell_inflamed_18": associate.genesets("immune")["T_cell_inflamed_18"]}
    with pytest.warns(ComouldWarning, match="18 of 18 genes are not measured"):
        table = associate.test(spots, genesets=sets, n_surrogates=9)
    assert "named by Ensembl id: use symbols" in row(table, "T_cell_inflamed_18", "H1")["reason"]
    assert table.attrs["genesets"]["T_cell_inflamed_18"]["doi"] == "10.1172/JCI91190"


def test_spots_without_counts_are_left_out_with_a_warning(make_spots):
    spots = make_spots(0)
    counts = spots.X.toarray()
    counts[3:5] = 0
    spots.X = sp.csr_matrix(counts)
    with pytest.warns(ComouldWarning, match="2 spots without any count"):
        associate.test(spots, n_surrogates=9)


# Input that cannot be right is an error with a remedy.


def test_missing_positions_name_the_remedy(spots):
    del spots.obsm["spatial_patient"]
    with pytest.raises(InputError, match=r"obsm\[\"spatial_patient\"\].*found only none.*map_spots"):
        associate.test(spots)


def test_missing_habitats_name_the_remedy(spots):
    with pytest.raises(InputError, match=r"habitats obs\[\"h\"\].*found only section, habitat.*associate.sample"):
        associate.test(spots, "h")


def test_one_habitat_only_is_an_error(spots):
    spots.obs["habitat"] = pd.Categorical(["H1"] * spots.n_obs, categories=["H1", "H2"])
    with pytest.raises(InputError, match="at least two among the spots, found H1 only"):
        associate.test(spots)


def test_repeated_gene_names_are_an_error(spots):
    names = spots.var_names.tolist()
    names[5] = names[4]
    spots.var_names = names
    with pytest.raises(InputError, match=rf"gene names: .*1 more than once, such as {names[4]}.*var_names_make_unique"):
        associate.test(spots)


def test_too_few_spots_are_an_error(spots):
    spots.obs.loc[spots.obs_names[30:], "habitat"] = np.nan
    with pytest.raises(InputError, match="at least 40 with habitat, position and counts, found 30 of 900"):
        associate.test(spots)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_spot": 3}, "expected some of section_key, .*found min_spot"),
        ({"min_effective": 1}, "min_effective 1 is below 3"),
        ({"min_coverage": 0}, "min_coverage 0 is not above 0"),
        ({"section_key": "slide"}, "section key 'slide': expected one of section, habitat"),
        ({"null": "torus"}, "kind 'torus'"),
        ({"n_surrogates": 0}, "0 surrogates"),
    ],
)
def test_options_that_cannot_be_are_an_error(spots, options, message):
    with pytest.raises(InputError, match=message):
        associate.test(spots, **options)


def test_spots_without_a_section_are_an_error(spots):
    spots.obs["section"] = spots.obs["section"].where(np.arange(spots.n_obs) > 3)
    with pytest.raises(InputError, match="4 spots without"):
        associate.test(spots)


def test_constant_or_infinite_maps_are_an_error(spots):
    spots.obs["flat"] = 1.0
    with pytest.raises(InputError, match="expected finite values that vary"):
        associate.test(spots, "flat")


def test_two_dimensional_positions_serve_without_registration(spots):
    spots.obsm["spatial"] = spots.obsm["spatial_patient"][:, :2] * 100
    table = associate.test(spots, positions="spatial", n_surrogates=99)
    assert row(table, "own_H1", "H1")["q_spatial"] < 0.05


def test_importing_the_room_loads_nothing_heavy():
    heavy = ("scanpy", "squidpy", "itk", "SimpleITK", "anndata", "pandas")
    code = f"import sys, comould.associate; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""normalise.py and statistics.py against scipy and statsmodels, gene by gene."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from comould.associate.claims.blocks import Blocks, unit
from comould.associate.claims.chance import chance, t_test
from comould.associate.claims.normalise import LogExpression, raw_counts
from comould.associate.claims.products import Design, Prepared, against_features, against_genes, see
from comould.associate.claims.statistics import analytic_effective, benjamini_hochberg, fold_change, welch, z_scores
from comould.associate.nulls import Surrogates
from comould.associate.nulls.variogram import sample_pairs
from comould.errors import InputError

N_SPOTS, N_GENES = 90, 150


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    counts = rng.poisson(rng.gamma(2, 1, N_GENES), (N_SPOTS, N_GENES))
    counts[:, 7] = 0
    labels = rng.integers(0, 3, N_SPOTS)
    maps = (labels[:, None] == np.arange(3)).astype(float)
    surrogates = [np.array([rng.permutation(column) for _ in range(99)], dtype=np.float32) for column in maps.T]
    return counts, maps, surrogates, Blocks(rng.integers(0, 4, N_SPOTS))


def one_block():
    return Blocks(np.zeros(N_SPOTS, dtype=int))


def all_genes(counts, maps, surrogates, blocks, **more):
    """What is seen of every gene, and what chance says of it, map by map."""
    expression, design = LogExpression(counts), Design.make(maps, blocks)
    seen = see(expression, design, **more)
    more.pop("members", None)
    found = [
        against_genes(expression, design, seen, number, prepared(rows, design, number), counted=every, **more)
        for number, rows in enumerate(surrogates)
    ]
    return seen, found


def prepared(rows, design, number):
    return Prepared.of(Surrogates(rows, None), design, number)


def every(here, effective):
    return np.isfinite(effective)


def log_expression(counts):
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_array, sp.coo_array])
def test_expression_is_log1p_of_counts_per_ten_thousand(data, kind):
    counts = data[0]
    expression = LogExpression(kind(counts))
    raw, log = expression.tile(5, 20)
    np.testing.assert_allclose(log.toarray(), log_expression(counts)[:, 5:20])
    assert (raw.toarray() == counts[:, 5:20]).all()


def test_library_size_can_be_that_of_more_genes_than_given(data):
    counts = data[0]
    expression = LogExpression(counts[:, :10], counts.sum(axis=1))
    np.testing.assert_allclose(expression.tile(0, 10)[1].toarray(), log_expression(counts)[:, :10])


@pytest.mark.parametrize(
    ("value", "message"),
    [(-1.0, "negative values"), (0.5, r"fractional values \(such as 0.5\)"), (np.nan, "NaN"), (np.inf, "infinite")],
)
def test_counts_that_are_not_raw_are_refused_with_the_remedy(value, message):
    with pytest.raises(InputError, match=rf"raw counts.*{message}.*layer=\"counts\""):
        raw_counts(np.array([[1.0, 2.0], [value, 3.0]]))


def test_a_spot_without_counts_is_refused():
    with pytest.raises(InputError, match="1 spots without any"):
        LogExpression(np.array([[1, 2], [0, 0]]))


def test_statistic_is_pearson_s_correlation(data):
    counts, maps, surrogates, _ = data
    seen, _ = all_genes(counts, maps, surrogates, one_block())
    log = log_expression(counts)
    for gene in (0, 63, 64, 149):
        for number in range(3):
            expected = stats.pearsonr(maps[:, number], log[:, gene]).statistic
            assert seen.statistic[number, gene] == pytest.approx(expected, abs=1e-12)
    assert (seen.detected == (counts > 0).sum(axis=0)).all()


def test_within_sections_it_is_the_partial_correlation_given_the_section(data):
    counts, maps, surrogates, blocks = data
    effects, _ = all_genes(counts, maps, surrogates, blocks)
    dummies = (blocks.codes[:, None] == np.arange(4)).astype(float)
    log = log_expression(counts)
    for gene in (1, 70):
        left = [column - dummies @ np.linalg.lstsq(dummies, column)[0] for column in (maps[:, 1], log[:, gene])]
        assert effects.statistic[1, gene] == pytest.approx(stats.pearsonr(*left).statistic, abs=1e-12)


@pytest.mark.parametrize("with_covariates", [False, True])
def test_chance_is_that_of_residual_surrogates_against_residual_genes(data, with_covariates):
    counts, maps, surrogates, blocks = data
    if with_covariates:
        blocks = Blocks(blocks.codes, np.random.default_rng(5).standard_normal((N_SPOTS, 2)))
    seen, found = all_genes(counts, maps, surrogates, blocks)
    features = unit(log_expression(counts), blocks)
    for number in range(3):
        random = unit(surrogates[number].astype(np.float64).T, blocks).T @ features
        p, effective = chance(seen.statistic[number], random, N_SPOTS)
        np.testing.assert_allclose(found[number][0].n_effective, effective, rtol=1e-4)
        np.testing.assert_allclose(found[number][0].p_spatial, p, rtol=2e-2)
        standing = np.abs(random) / np.sqrt((random**2).mean(axis=0, where=True)).clip(1e-9)
        np.testing.assert_allclose(found[number][1], np.nanmax(standing[:, seen.detected > 0], axis=1), rtol=1e-4)


def test_covariates_are_taken_off_as_a_linear_model_does(data):
    counts, maps, _, blocks = data
    rng = np.random.default_rng(2)
    covariates = np.column_stack([rng.standard_normal(N_SPOTS), np.zeros(N_SPOTS), rng.random(N_SPOTS)])
    covariates[:, 1] = 3 * covariates[:, 0] + 1
    whole = Blocks(blocks.codes, covariates)
    assert whole.freedom == 4 + 2
    model = np.column_stack([blocks.codes[:, None] == np.arange(4), covariates]).astype(float)
    seen = see(LogExpression(counts), Design.make(maps, whole))
    log = log_expression(counts)
    left = [column - model @ np.linalg.lstsq(model, column)[0] for column in (maps[:, 0], log[:, 3])]
    assert seen.statistic[0, 3] == pytest.approx(stats.pearsonr(*left).statistic, abs=1e-12)


def test_a_moved_surrogate_is_divided_by_its_own_scale(data):
    counts, maps, surrogates, _ = data
    blocks = one_block()
    design = Design.make(maps, blocks)
    rows = surrogates[0].copy()
    rows[:, 60:] = 0
    rows[:, :60] -= rows[:, :60].mean(axis=1, keepdims=True)
    scale = np.linspace(1, 2, 99)
    made = Prepared.of(Surrogates(rows, None, scale=scale), design, 0)
    feature = log_expression(counts)[:, [4]]
    expected = (rows.astype(np.float64) @ unit(feature, blocks))[:, 0] / scale
    statistic = (design.maps[:, 0] @ unit(feature, blocks))[0]
    p, _ = chance(np.array([statistic]), expected[:, None], N_SPOTS)
    found, _ = against_features(feature, design, 0, made)
    assert found.p_spatial[0] == pytest.approx(p[0], rel=1e-3)


def test_naive_test_is_welch_s(data):
    counts, maps, _, _ = data
    log = log_expression(counts)
    ours = welch(log, maps)
    for number in range(3):
        inside = maps[:, number] > 0
        expected = stats.ttest_ind(log[inside], log[~inside], equal_var=False).pvalue
        np.testing.assert_allclose(ours[number], expected, rtol=1e-9)


def test_fold_change_is_that_of_pooled_counts(data):
    counts, maps, _, _ = data
    inside = maps[:, 0] > 0
    found = fold_change(counts[:, 3:4].astype(float), counts.sum(axis=1).astype(float), maps)[0, 0]
    one = (counts[inside, 3].sum() + 0.5) / (counts[inside].sum() + 1)
    other = (counts[~inside, 3].sum() + 0.5) / (counts[~inside].sum() + 1)
    assert found == pytest.approx(np.log2(one / other))


def test_a_gene_without_counts_has_no_p_value(data):
    counts, maps, surrogates, blocks = data
    seen, found = all_genes(counts, maps, surrogates, blocks)
    for number, (chances, _) in enumerate(found):
        assert np.isnan(chances.p_spatial[7])
        assert np.isnan(seen.p_naive[number, 7])
        assert seen.statistic[number, 7] == 0
        assert np.isfinite(np.delete(chances.p_spatial, 7)).all()


@pytest.mark.parametrize("chunk", [1, 64, 65, 128])
def test_chunks_do_not_change_one_bit(data, chunk):
    counts, maps, surrogates, blocks = data
    members = np.random.default_rng(0).random((N_GENES, 2)) < 0.2
    whole = all_genes(sp.csr_array(counts), maps, surrogates, blocks, chunk=10_000, members=members)
    parts = all_genes(sp.csr_array(counts), maps, surrogates, blocks, chunk=chunk, members=members)
    for name in ("statistic", "log2_fold_change", "p_naive", "scores", "contrasts"):
        np.testing.assert_array_equal(getattr(whole[0], name), getattr(parts[0], name))
    for one, other in zip(whole[1], parts[1], strict=True):
        np.testing.assert_array_equal(one[0].p_spatial, other[0].p_spatial)
        np.testing.assert_array_equal(one[1], other[1])


def test_set_scores_are_means_of_z_scores_and_contrasts_set_genes_against_the_rest(data):
    counts, maps, _, blocks = data
    members = np.zeros((N_GENES, 1), dtype=bool)
    members[[2, 80, 149]] = True
    seen = see(LogExpression(counts), Design.make(maps, blocks), members=members)
    log = log_expression(counts)
    np.testing.assert_allclose(seen.scores[:, 0], stats.zscore(log[:, [2, 80, 149]], axis=0).mean(axis=1), atol=1e-12)
    residuals = unit(log, blocks)
    expected = residuals[:, members[:, 0]].mean(axis=1) - residuals[:, ~members[:, 0]].mean(axis=1)
    np.testing.assert_allclose(blocks.centre(seen.contrasts)[:, 0], expected, atol=1e-12)


def test_no_features_give_no_effects(data):
    _, maps, surrogates, blocks = data
    design = Design.make(maps, blocks)
    found, _ = against_features(np.empty((N_SPOTS, 0)), design, 0, prepared(surrogates[0], design, 0))
    assert found.p_spatial.shape == (0,)


def test_progress_reaches_one(data):
    counts, maps, _, blocks = data
    told = []
    see(LogExpression(counts), Design.make(maps, blocks), chunk=64, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


def test_ranks_decide_where_they_can():
    random = np.linspace(-1, 1, 999)[:, None].astype(np.float32)
    for observed in (0.0, 0.3, 0.9):
        expected = (1 + (np.abs(random) >= observed).sum()) / 1000
        assert chance(np.array([observed]), random, 500)[0][0] == pytest.approx(expected)


def test_beyond_the_surrogates_the_tail_goes_on_and_agrees_with_the_t_distribution():
    rng = np.random.default_rng(0)
    effective = 50
    normal = rng.standard_normal((4999, effective))
    normal -= normal.mean(axis=1, keepdims=True)
    random = (normal[:, 0] / np.linalg.norm(normal, axis=1))[:, None]
    observed = np.array([0.2, 0.4, 0.5, 0.6, 0.7])
    p, found = chance(observed, np.repeat(random, 5, axis=1), 10_000)
    np.testing.assert_allclose(found, effective, rtol=0.06)
    expected = t_test(observed, np.full(5, float(effective)))
    assert (np.diff(p) < 0).all()
    np.testing.assert_allclose(np.log10(p), np.log10(expected), atol=0.8)
    assert p[-1] < 1e-6


def test_p_values_fall_as_the_correlation_grows_also_across_the_splice():
    random = np.random.default_rng(1).normal(0, 0.1, (199, 1))
    grid = np.linspace(0, 0.9, 400)
    p = chance(grid, np.repeat(random, 400, axis=1), 1000)[0]
    assert (np.diff(p) <= 1e-12).all()
    assert p[0] == 1
    assert (p > 0).all()


def test_t_test_is_scipy_s_for_independent_spots():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 40))
    found = stats.pearsonr(x, y)
    assert t_test(np.array([found.statistic]), np.array([40.0]))[0] == pytest.approx(found.pvalue)


def test_analytic_effective_size_is_the_number_of_spots_without_pattern_and_far_less_with_one():
    rng = np.random.default_rng(0)
    positions = np.argwhere(np.ones((20, 20))).astype(float)
    pairs = sample_pairs(positions)
    noise = rng.standard_normal((400, 2))
    assert analytic_effective(noise[:, 0], noise[:, 1:], pairs)[0] > 250
    trend = positions[:, 0] / 19 + 0.1 * noise[:, 0]
    assert analytic_effective(trend, trend[:, None], pairs)[0] < 15


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(0, 5))
def test_benjamini_hochberg_is_statsmodels_s_and_passes_over_nan(p, n_missing):
    values = np.array(p + [np.nan] * n_missing)
    np.random.default_rng(0).shuffle(values)
    q = benjamini_hochberg(values)
    kept = ~np.isnan(values)
    assert np.isnan(q[~kept]).all()
    np.testing.assert_allclose(q[kept], multipletests(values[kept], method="fdr_bh")[1], atol=1e-12)


def test_z_scores_leave_constant_columns_at_zero():
    scored = z_scores(np.column_stack([np.full(5, 3.3), np.arange(5.0)]))
    assert (scored[:, 0] == 0).all()
    np.testing.assert_allclose(scored[:, 1], stats.zscore(np.arange(5.0)))


@given(st.lists(st.integers(0, 4), min_size=3, max_size=40))
def test_centring_leaves_every_block_with_mean_zero(codes):
    codes = np.array(codes)
    values = np.random.default_rng(0).standard_normal((len(codes), 3))
    centred = Blocks(codes).centre(values)
    for code in np.unique(codes):
        np.testing.assert_allclose(centred[codes == code].mean(axis=0), 0, atol=1e-12)
    rows = values.T.astype(np.float32) + 1000
    lengths = Blocks(codes).centre_rows(rows)
    np.testing.assert_allclose(rows, centred.T, atol=2e-3)
    np.testing.assert_allclose(lengths, np.linalg.norm(centred, axis=0), atol=2e-3)

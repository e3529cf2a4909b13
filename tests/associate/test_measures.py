"""measures.py: against scipy, scikit-learn, and the papers' formulas written out spot by spot."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import adjusted_mutual_info_score, roc_auc_score

from comould.associate import measures
from comould.errors import InputError

RNG = np.random.default_rng(7)


def tables(n=60, m=2, f=3, ties=True):
    maps, features = RNG.normal(size=(n, m)), RNG.normal(size=(n, f))
    features[:, 0] += maps[:, 0]
    if ties:
        features[:, 1] = np.round(features[:, 1])
        maps[:, -1] = np.round(maps[:, -1])
    return maps, features


def test_pearson_and_spearman_are_scipy_s():
    maps, features = tables()
    for ours, theirs in ((measures.pearson, stats.pearsonr), (measures.spearman, stats.spearmanr)):
        expected = [[theirs(x, y)[0] for y in features.T] for x in maps.T]
        np.testing.assert_allclose(ours(maps, features), expected, atol=1e-12)


def test_what_does_not_vary_has_no_correlation():
    maps, features = tables()
    features[:, 2] = 0.1
    assert np.isnan(measures.pearson(maps, features)[:, 2]).all()
    assert np.isnan(measures.spearman(maps, features)[:, 2]).all()
    assert np.isfinite(measures.pearson(maps, features)[:, :2]).all()


def brute_lee(x, y, weights):
    n, num, scale = len(x), 0.0, 0.0
    for i in range(n):
        num += sum(weights[i, j] * (x[j] - x.mean()) for j in range(n)) * sum(
            weights[i, j] * (y[j] - y.mean()) for j in range(n)
        )
        scale += sum(weights[i, j] for j in range(n)) ** 2
    return n / scale * num / np.sqrt(((x - x.mean()) ** 2).sum() * ((y - y.mean()) ** 2).sum())


@pytest.mark.parametrize("standardised", [True, False])
def test_lees_l_is_the_paper_s_formula(standardised):
    maps, features = tables(n=25)
    weights = measures.neighbour_weights(RNG.uniform(size=(25, 2)), k=4).toarray()
    if not standardised:
        weights *= RNG.uniform(0.5, 2, size=(25, 1))
    expected = [[brute_lee(x, y, weights) for y in features.T] for x in maps.T]
    np.testing.assert_allclose(measures.lees_l(maps, features, sp.csr_array(weights)), expected, atol=1e-12)


def test_lees_l_with_itself_alone_is_pearson():
    maps, features = tables()
    np.testing.assert_allclose(
        measures.lees_l(maps, features, sp.eye_array(60)), measures.pearson(maps, features), atol=1e-12
    )


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_auc_is_mann_whitney_s_u_with_ties(seed, levels):
    rng = np.random.default_rng(seed)
    inside = np.zeros((30, 2))
    inside[: rng.integers(1, 29), 0] = 1
    inside[::2, 1] = 1
    features = rng.integers(0, levels, size=(30, 2)).astype(float)
    found = measures.auc(inside, features)
    for row, map_ in enumerate(inside.T):
        for column, feature in enumerate(features.T):
            u = stats.mannwhitneyu(feature[map_ == 1], feature[map_ == 0]).statistic
            assert found[row, column] == pytest.approx(u / map_.sum() / (30 - map_.sum()))
            assert found[row, column] == pytest.approx(roc_auc_score(map_, feature))


def test_auc_of_a_map_that_is_everywhere_is_unknown():
    assert np.isnan(measures.auc(np.ones(5), np.arange(5.0))).all()
    with pytest.raises(InputError, match="inside: expected 0 or 1"):
        measures.auc(np.arange(5), np.arange(5.0))


def test_kruskal_is_scipy_s_with_ties_and_its_share_is_that_of_the_ranks():
    _, features = tables(f=4)
    labels = RNG.choice(["a", "b", "c"], 60)
    found = measures.kruskal(labels, features)
    for column, feature in enumerate(features.T):
        groups = [feature[labels == each] for each in "abc"]
        assert found.h[column] == pytest.approx(stats.kruskal(*groups).statistic)
        ranks = stats.rankdata(feature)
        between = sum(
            len(g) * (ranks[labels == e].mean() - ranks.mean()) ** 2 for e, g in zip("abc", groups, strict=True)
        )
        assert found.epsilon_squared[column] == pytest.approx(between / ((ranks - ranks.mean()) ** 2).sum())
    assert np.isnan(measures.kruskal(labels, np.ones(60)).h).all()
    with pytest.raises(InputError, match="groups to compare: expected two or more"):
        measures.kruskal(np.zeros(60), features)


def test_fold_change_pools_counts():
    counts = np.array([[4.0, 0], [2, 2], [1, 3], [1, 1]])
    library, inside = np.array([10.0, 10, 20, 20]), np.array([1.0, 1, 0, 0])
    expected = np.log2(((np.array([6, 2]) + 0.5) / 21) / ((np.array([2, 4]) + 0.5) / 41))
    np.testing.assert_allclose(measures.log2_fold_change(inside, counts, library)[0], expected)


def test_mutual_information_is_scikit_learn_s_and_knows_no_names():
    labels, annotation = RNG.integers(0, 3, 80), RNG.integers(0, 4, 80)
    found = measures.adjusted_mutual_information(labels, annotation)
    assert found == pytest.approx(adjusted_mutual_info_score(labels, annotation))
    renamed = np.array(["x", "y", "z"])[labels]
    assert measures.adjusted_mutual_information(renamed, labels) == pytest.approx(1)
    with pytest.raises(InputError, match="annotation: expected 80 labels, found 3"):
        measures.adjusted_mutual_information(labels, [1, 2, 3])


def test_rv_coefficient_of_single_columns_is_the_squared_correlation():
    maps, features = tables()
    expected = stats.pearsonr(maps[:, 0], features[:, 0])[0] ** 2
    assert measures.rv_coefficient(maps[:, 0], features[:, 0]) == pytest.approx(expected)


def test_rv_coefficient_knows_no_rotation_scale_or_shift_and_both_ways_agree():
    x, y = RNG.normal(size=(12, 4)), RNG.normal(size=(12, 50))
    turn = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    assert measures.rv_coefficient(x, 3 * x @ turn + 5) == pytest.approx(1)
    x_c, y_c = x - x.mean(0), y - y.mean(0)
    gram_x, gram_y = x_c @ x_c.T, y_c @ y_c.T
    expected = np.trace(gram_x @ gram_y) / np.sqrt(np.trace(gram_x @ gram_x) * np.trace(gram_y @ gram_y))
    assert measures.rv_coefficient(x, y) == pytest.approx(expected)
    assert np.isnan(measures.rv_coefficient(x, np.ones(12)))


def brute_dcor(x, y):
    def centred(v):
        d = np.array([[np.linalg.norm(a - b) for b in v] for a in v])
        return d - d.mean(0) - d.mean(1)[:, None] + d.mean()

    a, b = centred(x), centred(y)
    return np.sqrt((a * b).mean() / np.sqrt((a * a).mean() * (b * b).mean()))


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_distance_correlation_is_the_paper_s_in_blocks_of_any_size(block):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 2))
    y = np.column_stack([x[:, 0] ** 2, rng.normal(size=40), rng.normal(size=40)])
    assert measures.distance_correlation(x, y, block=block) == pytest.approx(brute_dcor(x, y), abs=1e-10)


def test_distance_correlation_sees_a_parabola_that_pearson_does_not():
    x = np.linspace(-1, 1, 201)
    assert abs(measures.pearson(x, x**2)[0, 0]) < 1e-10
    assert measures.distance_correlation(x, x**2) > 0.45
    assert measures.distance_correlation(x, -2 * x + 1) == pytest.approx(1)
    assert np.isnan(measures.distance_correlation(x, np.full(201, 0.1)))


def test_neighbours_stay_in_their_section_and_rows_sum_to_one():
    points = RNG.uniform(size=(40, 3))
    sections = np.repeat(["a", "b"], [37, 3])
    weights = measures.neighbour_weights(points, sections, k=5)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    rows, columns = weights.nonzero()
    assert (sections[rows] == sections[columns]).all()
    assert (rows != columns).all()
    assert (np.bincount(rows) == np.where(sections == "a", 5, 2)).all()
    nearest = np.argsort(np.linalg.norm(points[:37] - points[0], axis=1))[1:6]
    assert set(columns[rows == 0]) == set(nearest)


def test_neighbours_within_a_radius_may_be_none():
    weights = measures.neighbour_weights([[0.0, 0], [1, 0], [2, 0], [9, 0]], radius=1.5)
    np.testing.assert_allclose(weights.toarray(), [[0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 1, 0, 0], [0, 0, 0, 0]])


def test_spots_at_one_place_are_neighbours_but_not_their_own():
    weights = measures.neighbour_weights(np.zeros((5, 2)), k=2)
    assert weights.diagonal().sum() == 0
    assert (np.diff(weights.indptr) == 2).all()


@pytest.mark.parametrize("wrong", [{}, {"k": 2, "radius": 1.0}, {"k": 0}, {"radius": -1.0}])
def test_neighbours_need_one_rule(wrong):
    with pytest.raises(InputError, match="neighbours: expected one of k and radius"):
        measures.neighbour_weights(np.zeros((4, 2)), **wrong)


def test_arrays_that_do_not_fit_are_errors():
    with pytest.raises(InputError, match=r"found shapes \(3, 1\) and \(4, 1\)"):
        measures.pearson(np.zeros(3), np.zeros(4))
    with pytest.raises(InputError, match="expected finite values"):
        measures.rv_coefficient([1, np.nan, 2], [1, 2, 3])
    with pytest.raises(InputError, match=r"neighbour weights: expected shape \(3, 3\), not all 0, found no neighbours"):
        measures.lees_l([1, 2, 3], [1, 2, 4], sp.csr_array((3, 3)))

"""whole_map.py: maps of known agreement are found, unrelated smooth ones are not, and the naive test says otherwise."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from comould.associate import measures, whole_map
from comould.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*read its p-value:comould.errors.ComouldWarning")


def annotated(spots, share, seed=0):
    """Annotation that is the habitat at a share of the spots and another smooth map elsewhere."""
    spots = spots.copy()
    rng = np.random.default_rng(seed)
    other = spots.X.toarray()[:, 5] > np.median(spots.X.toarray()[:, 5])
    same = rng.random(spots.n_obs) < share
    names = np.where(same, spots.obs["habitat"].astype(str), np.where(other, "H1", "H2"))
    spots.obs["annotation"] = pd.Categorical(names)
    return spots


def test_against_counts_surrogates_that_reach_the_map():
    statistic, p, chance = whole_map.against(np.sum, np.array([1.0, 2.0]), [[0, 1], [2, 2], [3, 0], [1, 1]])
    assert statistic == 3
    assert p == (1 + 2) / 5
    np.testing.assert_array_equal(chance, [1, 4, 3, 2])


def test_an_annotation_that_follows_the_habitats_is_found(spots):
    found = whole_map.test_annotation(annotated(spots, 0.6), n_surrogates=99)
    table = annotated(spots, 0.6)
    assert found.statistic == pytest.approx(adjusted_mutual_info_score(table.obs["habitat"], table.obs["annotation"]))
    assert found.testable
    assert found.p_spatial == pytest.approx(0.01)
    assert found.p_naive < 1e-10
    assert 5 < found.n_effective < found.n_spots == 900
    assert found.to_dict()["measure"] == "ami"


def test_smooth_maps_that_are_unrelated_fool_the_naive_test_only(make_spots):
    """Habitats of one specimen against those of others: nothing to find, by construction."""
    p = []
    for seed in range(6):
        one, other = make_spots(seed, n_smooth=0, n_flat=1), make_spots(seed + 100, n_smooth=0, n_flat=1)
        one.obs["annotation"] = other.obs["habitat"].to_numpy()
        found = whole_map.test_annotation(one, n_surrogates=29, seed=seed)
        p.append((found.p_spatial, found.p_naive))
    spatial, naive = np.transpose(p)
    assert (naive < 0.05).mean() >= 0.5
    assert (spatial < 0.05).sum() <= 1


def test_spots_without_a_category_do_not_count_and_one_category_cannot_be_tested(spots):
    table = annotated(spots, 0.6)
    table.obs.loc[table.obs_names[:100], "annotation"] = np.nan
    assert whole_map.test_annotation(table, n_surrogates=19).n_spots == 800
    table.obs["annotation"] = "all"
    found = whole_map.test_annotation(table)
    assert not found.testable
    assert np.isnan(found.p_spatial)
    assert "annotation has fewer than two categories" in found.reason
    with pytest.raises(InputError, match=r'categories obs\["nothing"\]: expected a column'):
        whole_map.test_annotation(table, annotation="nothing")


def test_given_surrogates_must_be_of_the_same_spots(spots):
    from comould.associate.nulls import make_label_null

    table = annotated(spots, 0.6)
    null = make_label_null(table.obs["habitat"], table.obsm["spatial_patient"], table.obs["section"], n=19)
    assert whole_map.test_annotation(table, null=null).n_surrogates == 19
    with pytest.raises(InputError, match="surrogates given: expected maps of 899 spots"):
        whole_map.test_annotation(table[1:], null=null)


@pytest.fixture(scope="module")
def mapped(make_spots):
    """Two maps: noisy log counts of genes that follow H1 and of a smooth gene no other gene knows of."""
    spots = make_spots(5, n_smooth=12)
    counts = spots.X.toarray()
    rng = np.random.default_rng(0)
    spots.obs["adc"] = np.log1p(counts[:, 0]) + rng.normal(0, 0.3, spots.n_obs)
    spots.obs["t2"] = np.log1p(counts[:, 4]) + rng.normal(0, 0.3, spots.n_obs)
    spots.obs["noise"] = rng.normal(size=spots.n_obs)
    spots.obs["noise2"] = rng.normal(size=spots.n_obs)
    return spots


def centred(values, sections):
    return values - pd.DataFrame(values).groupby(sections.to_numpy()).transform("mean").to_numpy()


def test_maps_that_go_with_expression_are_found_and_noise_is_not(mapped):
    found = whole_map.test_multivariate(mapped, ["adc", "t2", "habitat"], n_surrogates=99)
    assert found.testable
    assert found.p_spatial <= 0.02
    assert found.map == "adc, t2, habitat"
    idle = whole_map.test_multivariate(mapped, ["noise", "noise2"], n_surrogates=99)
    assert idle.p_spatial > 0.05
    assert idle.p_naive > 0.05
    assert idle.n_effective > 400


def test_the_statistic_is_the_measure_of_centred_scaled_maps(mapped):
    mapped.obsm["own"] = mapped.X.toarray()[:, :3].astype(float)
    x = centred(mapped.obs[["adc", "t2"]].to_numpy(), mapped.obs["section"])
    y = centred(mapped.obsm["own"], mapped.obs["section"])
    found = whole_map.test_multivariate(mapped, ["adc", "t2"], "own", n_surrogates=19)
    assert found.statistic == pytest.approx(measures.rv_coefficient(x / x.std(0), y))
    some = mapped[::9].copy()
    x, y = (centred(v[::9], some.obs["section"]) for v in (mapped.obs[["adc", "t2"]].to_numpy(), mapped.obsm["own"]))
    found = whole_map.test_multivariate(some, ["adc", "t2"], "own", measure="dcor", n_surrogates=19)
    assert found.statistic == pytest.approx(measures.distance_correlation(x / x.std(0), y) ** 2)
    assert found.measure == "dcor²"
    assert found.p_spatial == pytest.approx(1 / 20)


def test_same_seed_same_answer(mapped):
    first, second = (whole_map.test_multivariate(mapped, ["adc", "t2"], n_surrogates=19, seed=3) for _ in range(2))
    assert first == second


def test_joint_surrogates_keep_the_correlation_between_columns(mapped):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 2)) @ np.array([[1, 0.9], [0, 0.4]])
    scaled, components, turn = whole_map._turned(x - x.mean(0))
    mixed = np.column_stack([rng.permutation(column) for column in components.T]) @ turn
    np.testing.assert_allclose(np.corrcoef(mixed.T), np.corrcoef(scaled.T), atol=0.1)
    np.testing.assert_allclose(components @ turn, scaled, atol=1e-9)


def test_what_cannot_be_compared_is_told(mapped):
    flat = mapped.copy()
    flat.obs["level"] = flat.obs["section"].cat.codes.astype(float)
    found = whole_map.test_multivariate(flat, ["level"], n_surrogates=9)
    assert found.reason == "no map varies within sections"
    with pytest.raises(InputError, match="keys of maps: expected a list"):
        whole_map.test_multivariate(mapped, "adc")
    with pytest.raises(InputError, match=r'features obsm\["pca"\]'):
        whole_map.test_multivariate(mapped, ["adc"], "pca")
    with pytest.raises(InputError, match="measure: expected rv or dcor"):
        whole_map.test_multivariate(mapped, ["adc"], measure="cca")
    with pytest.raises(InputError, match="options: expected section_key or layer, found sections"):
        whole_map.test_multivariate(mapped, ["adc"], sections="x")

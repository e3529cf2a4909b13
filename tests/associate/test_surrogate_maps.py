"""variogram.py and nulls.py: surrogates look like the map in every way but where things are."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from comould.associate.claims.blocks import Blocks, unit
from comould.associate.claims.chance import chance
from comould.associate.claims.statistics import welch
from comould.associate.nulls import make_null, pairs_of
from comould.associate.nulls.variogram import FieldModel, fit_field, rank_correlation_table, sample_pairs
from comould.errors import InputError

SIDE = 24


def lattice(side=SIDE, sections=1, gap=3.0):
    z, y, x = np.mgrid[:sections, :side, :side]
    return np.column_stack([x.ravel(), y.ravel(), z.ravel() * gap]).astype(float)


def gaussian_maps(positions, model, n, seed=0):
    """Draw fields exactly, by Cholesky."""
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    covariance = model.correlation(distance) + model.nugget * np.eye(len(positions)) + 1e-8 * np.eye(len(positions))
    return (np.linalg.cholesky(covariance) @ np.random.default_rng(seed).standard_normal((len(positions), n))).T


def test_variogram_is_half_the_mean_squared_difference():
    positions = lattice(6)
    values = np.random.default_rng(0).standard_normal(36)
    pairs = sample_pairs(positions)
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    squares = 0.5 * (values[:, None] - values[None]) ** 2
    near = np.isclose(distance, 1)
    assert pairs.variogram(values)[0] == pytest.approx(squares[near].mean())
    assert pairs.lags_mm[0] == pytest.approx(1)
    assert pairs.share.sum() == pytest.approx(1)
    # Over all pairs it is the variance, with n - 1, whatever the pattern.
    assert (pairs.variogram(values) * pairs.share).sum() == pytest.approx(values.var(ddof=1))


def test_large_supports_are_sampled_but_keep_their_near_pairs():
    positions = lattice(60)
    pairs = sample_pairs(positions, seed=1)
    assert pairs.counts.sum() < 8e5
    assert pairs.counts[0] > 1000
    assert pairs.nearest_mm == 1


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.7])
def test_indicator_correlation_follows_the_bivariate_normal(fraction):
    latent, ranked = rank_correlation_table((np.arange(2000) < fraction * 2000).astype(float))
    threshold = norm.ppf(fraction)
    for rho in (0.2, 0.6, 0.95):
        both = multivariate_normal.cdf([threshold, threshold], cov=[[1, rho], [rho, 1]])
        expected = (both - fraction**2) / (fraction * (1 - fraction))
        assert np.interp(rho, latent, ranked) == pytest.approx(expected, abs=0.01)
    assert ranked[0] == 0
    assert ranked[-1] == 1
    assert (np.diff(ranked) > 0).all()


def test_a_normal_map_keeps_its_latent_correlation():
    latent, ranked = rank_correlation_table(norm.ppf((np.arange(3000) + 0.5) / 3000))
    np.testing.assert_allclose(ranked, latent, atol=2e-3)


@pytest.mark.parametrize("scale", [1.2, 2.5])
@pytest.mark.parametrize("smoothness", [0.5, np.inf])
def test_the_fit_recovers_the_range_of_known_fields(scale, smoothness):
    positions = lattice()
    model = FieldModel(smoothness, scale, 0.0)
    pairs = sample_pairs(positions)
    maps = gaussian_maps(positions, model, 12)
    found = [fit_field(pairs, (field > 0.3).astype(float)).range_mm for field in maps]
    assert np.median(found) == pytest.approx(model.range_mm, rel=0.35)


def test_the_fit_sees_a_nugget():
    positions = lattice()
    maps = gaussian_maps(positions, FieldModel(np.inf, 3.0, 0.5), 12)
    pairs = sample_pairs(positions)
    assert 0.3 < np.median([fit_field(pairs, field).nugget for field in maps]) < 0.7


def test_surrogates_of_a_habitat_keep_its_fraction_and_its_variogram():
    positions = lattice()
    habitat = (gaussian_maps(positions, FieldModel(np.inf, 2.5, 0.0), 1)[0] > 0.4).astype(float)
    made = make_null(habitat, positions, n=99)
    assert made.maps.shape == (99, SIDE**2)
    assert (made.maps.sum(axis=1) == habitat.sum()).all()
    assert set(np.unique(made.maps)) == {0.0, 1.0}
    assert made.fit.variogram_distance < 0.3
    assert 2 < made.fit.range_mm < 15
    assert 10 < made.fit.n_effective < 120
    assert len(np.unique(made.maps, axis=0)) == 99


def test_surrogates_of_a_continuous_map_keep_its_histogram():
    positions = lattice()
    values = np.exp(gaussian_maps(positions, FieldModel(1.5, 2.0, 0.1), 1)[0])
    made = make_null(values, positions, n=19)
    np.testing.assert_allclose(np.sort(made.maps, axis=1), np.sort(values)[None].repeat(19, 0), rtol=1e-6)
    assert made.fit.variogram_distance < 0.4


def test_sections_close_together_agree_as_they_do_in_the_patient():
    positions = lattice(16, sections=3, gap=1.0)
    habitat = (gaussian_maps(positions, FieldModel(np.inf, 3.0, 0.0), 1)[0] > 0).astype(float)
    maps = make_null(habitat, positions, np.repeat([0, 1, 2], 256), n=99).maps
    first, second = maps[:, :256], maps[:, 256:512]
    agreement = np.mean(
        [np.corrcoef(a, b)[0, 1] for a, b in zip(first, second, strict=True) if np.ptp(a) and np.ptp(b)]
    )
    assert agreement > 0.6


def test_flat_positions_of_several_sections_are_taken_as_unrelated():
    positions = lattice(16, sections=3)[:, :2]
    sections = np.repeat(["a", "b", "c"], 256)
    habitat = (gaussian_maps(positions[:256], FieldModel(np.inf, 2.0, 0.0), 3).ravel() > 0).astype(float)
    maps = make_null(habitat, positions, sections, n=199).maps
    agreement = np.mean([np.corrcoef(row[:256], row[256:512])[0, 1] for row in maps])
    assert abs(agreement) < 0.15
    near = np.mean([np.corrcoef(row[:255], row[1:256])[0, 1] for row in maps])
    assert near > 0.5


def test_shuffled_spots_stay_in_their_section():
    positions = lattice(5, sections=2)
    values = np.concatenate([np.arange(25.0), 100 + np.arange(25.0)])
    made = make_null(values, positions, np.repeat([0, 1], 25), kind="shuffle", n=9)
    assert (np.sort(made.maps[:, :25], axis=1) == np.arange(25)).all()
    assert made.fit.range_mm == 0


@pytest.mark.parametrize("kind", ["variogram", "shuffle"])
def test_the_same_seed_gives_the_same_maps_and_another_seed_others(kind):
    positions = lattice(12)
    values = (positions[:, 0] + positions[:, 1] > 11).astype(float)
    one, two = (make_null(values, positions, kind=kind, n=15, seed=np.random.SeedSequence(4)).maps for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (make_null(values, positions, kind=kind, n=15, seed=5).maps != one).any()


def test_pairs_made_before_serve_every_map():
    positions = lattice(12)
    values = (positions[:, 0] > 5).astype(float)
    alone = make_null(values, positions, n=9)
    shared = make_null(values, positions, n=9, pairs=pairs_of(positions))
    np.testing.assert_array_equal(alone.maps, shared.maps)


def test_the_record_is_plain_and_names_an_infinite_smoothness():
    positions = lattice(12)
    record = make_null((positions[:, 0] > 5).astype(float), positions, n=9).fit.to_dict()
    assert record["smoothness"] in {0.5, 1.5, "gaussian"}
    assert {"n_effective", "range_mm", "variogram_distance", "observed", "imitated", "lags_mm"} <= set(record)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.ones(144)}, "the same everywhere"),
        ({"values": np.full(144, np.nan)}, "not finite"),
        ({"values": np.zeros(10)}, r"positions have shape \(144, 3\), not \(10, 2 or 3\)"),
        ({"positions": np.zeros((144, 5))}, r"positions have shape \(144, 5\)"),
        ({"positions": np.zeros((144, 3))}, "all spots at one place"),
        ({"kind": "torus"}, "kind 'torus' is not one of variogram, shift"),
        ({"n": 0}, "0 surrogates"),
        ({"sections": np.zeros(3)}, r"144 labels, one a spot, found shape \(3,\)"),
    ],
)
def test_input_that_is_no_map_is_an_error(change, message):
    positions = lattice(12)
    given = {"values": (positions[:, 0] > 5).astype(float), "positions": positions, "n": 3} | change
    with pytest.raises(InputError, match=message):
        make_null(**given)


def test_false_positives_of_smooth_maps_are_near_their_nominal_rate_where_the_naive_test_s_are_not():
    """A small run of benchmarks/false_positive_rate.py, with bounds as wide as its error."""
    positions = lattice(20)
    model = FieldModel(np.inf, 2.5, 0.0)
    fields = gaussian_maps(positions, model, 40 * 12, seed=1).reshape(40, 12, -1)
    pairs, blocks = pairs_of(positions), Blocks(np.zeros(400, dtype=int))
    spatial, naive = [], []
    for number, (first, second, *genes) in enumerate(fields):
        habitat = (first > second).astype(float)
        features = unit(np.array(genes).T, blocks)
        made = make_null(habitat, positions, n=199, seed=number, pairs=pairs)
        random = unit(made.maps.T.copy(), blocks).T @ features
        spatial.append(chance(unit(habitat[:, None], blocks)[:, 0] @ features, random, 400)[0])
        naive.append(welch(np.array(genes).T, habitat[:, None])[0])
    assert 0.02 <= np.mean(np.array(spatial) <= 0.05) <= 0.09
    assert np.mean(np.array(naive) <= 0.05) > 0.4

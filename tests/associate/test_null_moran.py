"""nulls/moran.py: spectral randomisation keeps the map's own share of each smoothness and moves it elsewhere."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from comould.associate.nulls import make_null
from comould.associate.nulls import moran as module
from comould.associate.nulls.moran import neighbour_weights, patterns
from comould.associate.nulls.variogram import FieldModel, fit_field, sample_pairs
from comould.errors import InputError

SIDE = 16


def square(side=SIDE):
    y, x = np.mgrid[:side, :side].astype(float)
    return np.column_stack([x.ravel(), y.ravel()])


def smooth(side=SIDE, sigma=2.0, seed=0):
    pad = int(4 * sigma)
    return gaussian_filter(np.random.default_rng(seed).standard_normal((side + 2 * pad,) * 2), sigma)[
        pad:-pad, pad:-pad
    ].ravel()


def morans_i(weights, rows):
    centred = rows - rows.mean(axis=-1, keepdims=True)
    along = np.einsum("...i,...i->...", centred @ weights, centred)
    return along / (centred**2).sum(axis=-1) * rows.shape[-1] / weights.sum()


MODEL = FieldModel(np.inf, 2.0, 0.0)


def test_morans_i_and_the_variance_are_kept():
    values = smooth()
    made = make_null(values, square(), kind="moran", n=60)
    model = fit_field(sample_pairs(square()), values)
    weights = neighbour_weights(square(), model, 1.0)
    found, expected = morans_i(weights, made.maps.astype(float)), morans_i(weights, values)
    np.testing.assert_allclose(found, expected, rtol=0.2)  # patterns of a pair differ a little
    assert found.mean() == pytest.approx(expected, rel=0.05)
    np.testing.assert_allclose(made.maps.var(axis=1), values.var(), rtol=1e-4)
    np.testing.assert_allclose(made.maps.mean(axis=1), 0, atol=1e-5)
    assert len(np.unique(made.maps.round(4), axis=0)) == 60


def test_patterns_are_orthonormal_sum_to_zero_and_come_smoothest_first():
    weights = neighbour_weights(square(9), MODEL, 1.0)
    vectors = patterns(weights)
    assert vectors.shape == (81, 80)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(80), atol=1e-10)
    np.testing.assert_allclose(vectors.sum(axis=0), 0, atol=1e-9)
    size = morans_i(weights, vectors.T)
    assert (np.diff(size) <= 1e-9).all()
    assert size[0] > 0.5


def test_weights_are_the_field_s_correlation_as_far_as_its_range():
    points = np.column_stack([np.tile(square(6), (2, 1)), np.repeat([0.0, 2.0], 36)])
    weights = neighbour_weights(points, MODEL, 1.0)
    np.testing.assert_array_equal(weights, weights.T)
    assert (np.diag(weights) == 0).all()
    np.testing.assert_allclose(np.diag(weights[:36, 36:]), np.exp(-0.5))
    assert weights[0, 5] == 0
    assert MODEL.range_mm < 5


def test_a_map_without_smoothness_still_has_neighbours():
    weights = neighbour_weights(square(5), FieldModel(0.5, 0.01, 0.0), 1.0)
    assert ((weights > 0).sum(axis=1) >= 3).all()
    assert (weights > 0).sum(axis=1).max() == 8


def test_unrelated_sections_are_randomised_apart():
    values = np.concatenate([smooth(12), 50 + smooth(12, seed=1)])
    made = make_null(values, np.tile(square(12), (2, 1)), np.repeat(["a", "b"], 144), kind="moran", n=200)
    first, second = made.maps[:, :144], made.maps[:, 144:]
    np.testing.assert_allclose(first.sum(axis=1), 0, atol=1e-3)
    np.testing.assert_allclose(second.var(axis=1), values[144:].var(), rtol=1e-3)
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(first, second, strict=True)]
    assert abs(np.mean(agreement)) < 0.1


def test_a_hole_has_no_patterns_of_its_own():
    points = square(14)
    keep = np.hypot(*(points - 6.5).T) > 3
    made = make_null(smooth(14)[keep], points[keep], kind="moran", n=20)
    assert made.maps.shape == (20, keep.sum())
    assert np.isfinite(made.maps).all()


def test_more_spots_than_can_be_solved_for_are_an_error_with_a_way_out(monkeypatch):
    monkeypatch.setattr(module, "MOST_SPOTS", 100)
    with pytest.raises(InputError, match=r"at most 100 that hang together, found 256\. Take kind='variogram'"):
        make_null(smooth(), square(), kind="moran", n=3)
    flat = np.tile(square(9), (2, 1))
    made = make_null(np.tile(smooth(9), 2), flat, np.repeat([0, 1], 81), kind="moran", n=3)
    assert made.maps.shape == (3, 162)


def test_the_same_seed_gives_the_same_maps():
    one, two, other = (make_null(smooth(), square(), kind="moran", n=8, seed=seed).maps for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 0.1

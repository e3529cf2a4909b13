"""Random fields: their moments, their covariance, and their quick evaluation on lattices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.phantom.fields import RandomFields


@pytest.fixture(scope="module")
def fields() -> RandomFields:
    return RandomFields.draw(np.random.default_rng(0), 200, 6.0)


def test_moments(fields):
    values = fields.at(np.random.default_rng(1).uniform(-200, 200, (2000, 3)))
    assert values.shape == (2000, 200)
    assert abs(values.mean()) < 0.02
    assert values.var() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("lag", [2.0, 6.0, 10.0, 18.0])
def test_covariance_is_gaussian_with_the_stated_length(fields, lag):
    rng = np.random.default_rng(2)
    points = rng.uniform(-300, 300, (1500, 3))
    step = rng.standard_normal((1500, 3))
    step *= lag / np.linalg.norm(step, axis=1, keepdims=True)
    covariance = np.mean(fields.at(points) * fields.at(points + step))
    assert covariance == pytest.approx(np.exp(-(lag**2) / (2 * 6.0**2)), abs=0.04)


def test_siblings_are_independent_of_identical_covariance(fields):
    others = fields.siblings(np.random.default_rng(9), 50)
    assert np.array_equal(others.frequencies, fields.frequencies)
    correlation = np.corrcoef(fields.weights.T, others.weights.T)[:200, 200:]
    assert abs(correlation.mean()) < 0.005
    assert np.abs(correlation).max() < 0.2


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6)),
    origin=st.tuples(*[st.floats(-200, 200)] * 3),
)
def test_lattice_equals_points(seed, shape, origin):
    rng = np.random.default_rng(seed)
    few = RandomFields.draw(rng, 2, 5.0, 40)
    steps = rng.normal(size=(3, 3))
    k, j, i = (axis.ravel() for axis in np.meshgrid(*map(np.arange, shape), indexing="ij"))
    points = np.column_stack([i, j, k]) @ steps.T + np.array(origin)
    expected = few.at(points).T.reshape(2, *shape)
    exact = few.on_lattice(np.array(origin), steps, shape, np.float64)
    np.testing.assert_allclose(exact, expected, atol=1e-9)
    np.testing.assert_allclose(few.on_lattice(np.array(origin), steps, shape), expected, atol=2e-5)


def test_chunks_do_not_show():
    few = RandomFields.draw(np.random.default_rng(4), 3, 5.0, 30)
    points = np.random.default_rng(5).uniform(-50, 50, (9000, 3))
    np.testing.assert_allclose(few.at(points)[4090:4102], few.at(points[4090:4102]), atol=1e-12)
    assert few.at(np.empty((0, 3))).shape == (0, 3)
    assert len(few) == 3

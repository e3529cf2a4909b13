"""nulls/labels.py: label maps with the right number of spots of every class, each as smooth as its own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from comould.associate.nulls import make_label_null
from comould.associate.nulls.labels import within
from comould.associate.nulls.variogram import sample_pairs
from comould.errors import InputError

SIDE = 28


def square(side=SIDE):
    y, x = np.mgrid[:side, :side].astype(float)
    return np.column_stack([x.ravel(), y.ravel()])


def habitats(side=SIDE, sigmas=(1.5, 2.5, 3.5), seed=0):
    rng = np.random.default_rng(seed)
    fields = []
    for sigma in sigmas:
        pad = int(4 * sigma)
        field = gaussian_filter(rng.standard_normal((side + 2 * pad,) * 2), sigma)[pad:-pad, pad:-pad].ravel()
        fields.append(field / field.std())
    return np.array(["core", "oedema", "rim", "necrosis"])[np.argmax(fields, axis=0)]


def test_every_class_keeps_its_spots_and_its_variogram():
    labels, points = habitats(), square()
    made = make_label_null(labels, points, n=80)
    names, counts = np.unique(labels, return_counts=True)
    assert made.fit.names == tuple(names)
    for number, count in enumerate(counts):
        assert ((made.codes == number).sum(axis=1) == count).all()
    np.testing.assert_allclose(made.fit.fractions, counts / len(labels))
    assert made.fit.variogram_distance.max() < 0.35
    assert not made.fit.refusal
    assert len(np.unique(made.codes, axis=0)) == 80
    assert np.array(made.fit.names)[made.observed].tolist() == labels.tolist()


def test_classes_are_laid_down_smallest_first_and_a_smoother_one_stays_smoother():
    labels = habitats(sigmas=(1.0, 4.0, 4.0))
    made = make_label_null(labels, square(), n=60)
    sizes = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    assert list(made.fit.order) == sorted(made.fit.names, key=sizes.get)
    assert np.isnan(made.fit.range_mm[made.fit.names.index(made.fit.order[-1])])

    def borders(row):
        grid = (row == made.fit.names.index("core")).reshape(SIDE, SIDE)
        return (grid[:, 1:] != grid[:, :-1]).sum() + (grid[1:] != grid[:-1]).sum()

    expected = borders(made.observed)
    assert np.mean([borders(row) for row in made.codes]) == pytest.approx(expected, rel=0.25)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=5), st.integers(0, 1000))
def test_fractions_are_exact_for_any_class_sizes(sizes, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    if len(labels) < 4:
        labels = np.repeat(labels, 4)
    points = np.random.default_rng(seed).uniform(0, 10, (len(labels), 3))
    made = make_label_null(labels, points, n=3, seed=seed)
    for code in range(len(sizes)):
        assert ((made.codes == code).sum(axis=1) == (labels == code).sum()).all()


def test_classes_in_surrogates_have_nothing_to_do_with_where_they_were():
    labels = habitats()
    made = make_label_null(labels, square(), n=150)
    for number, fraction in enumerate(made.fit.fractions):
        there = (made.codes == number)[:, made.observed == number].mean()
        assert there == pytest.approx(fraction, abs=0.06)


def test_unrelated_sections_and_sections_of_one_patient():
    labels = np.concatenate([habitats(18, seed=1), habitats(18, seed=2)])
    flat = make_label_null(labels, np.tile(square(18), (2, 1)), np.repeat(["a", "b"], 324), n=60)
    stacked = np.column_stack([np.tile(square(18), (2, 1)), np.repeat([0.0, 0.5], 324)])
    near = make_label_null(np.tile(habitats(18, seed=1), 2), stacked, np.repeat(["a", "b"], 324), n=60)

    def agreement(made):
        return (made.codes[:, :324] == made.codes[:, 324:]).mean()

    assert agreement(flat) == pytest.approx((flat.fit.fractions**2).sum(), abs=0.06)
    assert agreement(near) > 0.8


def test_pairs_within_a_part_are_its_own():
    points = square(8)
    pairs = sample_pairs(points)
    keep = points[:, 0] < 3
    part = within(pairs, keep)
    values = np.random.default_rng(0).standard_normal(64)
    distance = np.linalg.norm(points[keep][:, None] - points[keep][None], axis=-1)
    squares = 0.5 * (values[keep][:, None] - values[keep][None]) ** 2
    assert part.variogram(values)[0] == pytest.approx(squares[np.isclose(distance, 1)].mean())
    assert part.counts.sum() == keep.sum() * (keep.sum() - 1) / 2
    assert (part.variogram(values) * part.share).sum() == pytest.approx(values[keep].var(ddof=1))


def test_the_record_is_plain_and_seeds_tell():
    one, two, other = (make_label_null(habitats(), square(), n=4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.codes, two.codes)
    assert (one.codes != other.codes).any()
    assert len(one) == 4
    assert {"names", "fractions", "variogram_distance", "order"} <= set(one.fit.to_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["a"] * 25}, "all spots have the label a"),
        ({"labels": np.array(["a"] * 24 + [None], dtype=object)}, "1 missing"),
        ({"labels": np.zeros((5, 5))}, r"shape \(5, 5\)"),
        ({"positions": np.zeros((25, 5))}, r"positions have shape \(25, 5\)"),
        ({"positions": np.full((25, 2), np.nan)}, "not finite"),
        ({"positions": np.zeros((25, 2))}, "all spots at one place"),
        ({"sections": ["a"]}, r"25 labels, one a spot, found shape \(1,\)"),
        ({"n": 0}, "0 surrogates"),
    ],
)
def test_input_that_is_no_label_map_is_an_error(change, message):
    given = {"labels": np.arange(25) % 3, "positions": square(5), "n": 2} | change
    with pytest.raises(InputError, match=message):
        make_label_null(**given)

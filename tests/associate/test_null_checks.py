"""nulls/checks.py and the record: a map that its surrogates do not look like says so; an ordinary one does not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from comould.associate.claims.statistics import analytic_effective
from comould.associate.nulls import KINDS, make_null, pairs_of
from comould.errors import InputError

SIDE = 26


def disc(side=SIDE):
    y, x = np.mgrid[:side, :side].astype(float)
    points = np.column_stack([x.ravel(), y.ravel()])
    return points[np.hypot(*(points - (side - 1) / 2).T) < side / 2]


def smooth(points, sigma=1.5, seed=0):
    size, pad = int(points.max()) + 1, int(4 * sigma)
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((size + 2 * pad,) * 2), sigma)[pad:, pad:]
    picked = field[points[:, 1].astype(int), points[:, 0].astype(int)]
    return picked / picked.std()


def doubts(values, points, kind="variogram", **options):
    return " ".join(make_null(values, points, kind=kind, n=150, **options).fit.doubts)


def test_stationary_maps_raise_doubts_about_once_in_a_hundred():
    points = disc()
    pairs = pairs_of(points)
    raised = [bool(doubts((smooth(points, seed=seed) > 0.3).astype(float), points, pairs=pairs)) for seed in range(40)]
    assert sum(raised) <= 3


@pytest.mark.parametrize("kind", ["variogram", "shift", "dutilleul"])
def test_a_rim_follows_the_edge(kind):
    points = disc()
    depth = np.hypot(*(points - (SIDE - 1) / 2).T) / (SIDE / 2)
    rim = (depth + 0.08 * smooth(points) > 0.75).astype(float)
    assert "take edge distance as a covariate" in doubts(rim, points, kind)


def test_a_gradient_counts_for_little_or_is_refused():
    """Its variogram never levels off, so its surrogates have gradients too: the price is paid in effective spots."""
    points = disc()
    gradient = (points[:, 0] - points[:, 0].mean()) / points[:, 0].std()
    some, much = (
        make_null(share * gradient + np.sqrt(1 - share**2) * smooth(points, 1.0), points, n=150).fit
        for share in (0.5, 0.98)
    )
    none = make_null(smooth(points, 1.0), points, n=150).fit
    assert none.n_effective > some.n_effective > much.n_effective
    assert "independent spots" in much.refusal
    assert not none.refusal


def test_a_dome_is_a_trend_that_stationary_maps_do_not_have():
    points = disc()
    dome = -((points - points.mean(axis=0)) ** 2).sum(axis=1)
    told = make_null(dome / dome.std() + 0.3 * smooth(points, 1.0), points, n=150).fit
    assert "covariate" in " ".join(told.doubts)


def test_a_map_rough_on_one_side_is_uneven():
    points = disc()
    fine, coarse = smooth(points, 0.6), smooth(points, 3.5, seed=1)
    assert "rougher in some parts" in doubts(np.where(points[:, 0] < SIDE / 2, fine, coarse), points)


def test_doubts_do_not_hang_on_the_unit_of_map_or_positions():
    points = disc()
    rim = (np.hypot(*(points - (SIDE - 1) / 2).T) / (SIDE / 2) + 0.08 * smooth(points) > 0.75).astype(float)
    assert doubts(rim, points) == doubts(100 + 7 * rim, points * 0.1)


def test_few_spots_are_not_judged():
    points = disc(8)
    assert not make_null(points[:, 0], points, n=150).fit.doubts


def test_a_map_as_smooth_as_the_support_is_wide_is_refused_with_a_remedy():
    points = disc()
    fit = make_null(points[:, 0] + 0.3 * points[:, 1], points, n=150).fit
    assert fit.n_effective < 6
    assert "6 needed: more sections, or a larger specimen" in fit.refusal


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sections", [1, 3])
def test_every_kind_keeps_the_interface(kind, sections):
    flat = disc(18)
    points = np.column_stack([np.tile(flat, (sections, 1)), np.repeat(4.0 * np.arange(sections), len(flat))])
    labels = np.repeat([f"S{number}" for number in range(sections)], len(flat))
    values = np.concatenate([(smooth(flat, seed=number) > 0.2).astype(float) for number in range(sections)])
    made = make_null(values, points, labels, kind=kind, n=25)
    again = make_null(values, points, labels, kind=kind, n=25)
    np.testing.assert_array_equal(made.maps, again.maps)
    assert made.maps.dtype == np.float32
    assert made.maps.shape == (0 if kind == "dutilleul" else 25, len(values))
    assert made.fit.n_surrogates == len(made)
    assert (made.pairs is not None) == (kind == "dutilleul")
    assert (made.scale is not None) == (kind in {"shift", "rotate", "rotate_reflect"})
    assert made.fit.n_effective > 3
    assert np.isfinite(made.fit.variogram_distance)
    assert {"kind", "refusal", "doubts"} <= set(made.fit.to_dict())


def test_the_analytic_null_hands_over_what_its_test_needs():
    points = disc()
    habitat = (smooth(points) > 0).astype(float)
    made = make_null(habitat, points, kind="dutilleul")
    genes = np.column_stack([smooth(points, seed=seed) for seed in (1, 2)])
    effective = analytic_effective(habitat, genes, made.pairs)
    assert (effective < len(points) / 2).all()
    variogram = make_null(habitat, points, n=150)
    assert made.fit.n_effective == pytest.approx(variogram.fit.n_effective, rel=0.5)


def test_chunks_of_points_do_not_change_a_field(monkeypatch):
    """Memory is bounded by chunks; a field without nugget must not know of them."""
    from comould.associate.nulls import fields
    from comould.associate.nulls.variogram import FieldModel

    points, model = disc(), FieldModel(np.inf, 3.0, 0.0)

    def drawn(chunk):
        monkeypatch.setattr(fields, "_POINTS", chunk)
        out = np.empty((5, len(points)), dtype=np.float32)
        fields.gaussian_fields(model, points, np.random.default_rng(0), out)
        return out

    np.testing.assert_allclose(drawn(100), drawn(10**6), atol=1e-4)


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(InputError, match="not one of variogram, shift, rotate, rotate_reflect, moran, dutilleul"):
        make_null(disc()[:, 0], disc(), kind="torus")

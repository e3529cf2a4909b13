"""Stain and sharpness vary as asked, and the tissue stays where it is."""

import numpy as np
import pytest

from comould.phantom import CutOptions
from comould.phantom.stain import GLASS, Stain

QUICK = {"image_pixel_um": 100.0, "spot_pitch_um": 4000.0}


def drawn(seed=0, **options):
    return Stain.draw(CutOptions(**options), np.random.default_rng(seed))


def test_nothing_asked_changes_nothing():
    stain = drawn()
    np.testing.assert_array_equal(stain.gains, 1.0)
    np.testing.assert_array_equal(stain.background, GLASS)
    assert (stain.strength((7, 5)) == 1.0).all()
    assert stain.strength((7, 5)).shape == (2, 35)


def test_gains_have_the_stated_spread_and_vary_apart():
    gains = np.log([drawn(seed, stain_sd=0.3).gains for seed in range(300)])
    np.testing.assert_allclose(gains.std(axis=0), 0.3, rtol=0.12)
    assert abs(np.corrcoef(gains.T)[0, 1]) < 0.2


@pytest.mark.parametrize("seed", range(5))
def test_fade_runs_from_full_to_the_rest(seed):
    strength = drawn(seed, fade=0.4).strength((90, 60))
    assert strength.max() == pytest.approx(1.0)
    assert strength.min() == pytest.approx(0.6)


def test_tint_takes_the_stated_share_of_one_colour():
    lost = np.array([1.0 - drawn(seed, tint=0.1).background / GLASS for seed in range(20)])
    np.testing.assert_allclose(lost.max(axis=1), 0.1)
    np.testing.assert_allclose(lost.min(axis=1), 0.0, atol=1e-12)
    assert len(set(lost.argmax(axis=1))) == 3


@pytest.fixture(scope="module")
def cuts(small, make_plan):
    plan = make_plan(small, (0.5,))
    options = {"plain": {}, "blur": {"blur_um": 150.0}, "tint": {"tint": 0.2}, "pale": {"fade": 0.9}}
    return {name: small.cut(plan, **QUICK, **given)[0] for name, given in options.items()}


def test_picture_shows_what_was_asked_and_nothing_else_moves(cuts):
    plain = cuts["plain"]
    for cut in cuts.values():
        np.testing.assert_array_equal(cut.spots_patient_mm, plain.spots_patient_mm)
        assert (cut.spots.X != plain.spots.X).nnz == 0
        assert cut.section.image.shape == plain.section.image.shape
    image = {name: cut.section.image.astype(float) for name, cut in cuts.items()}
    sharpness = {name: np.abs(np.diff(value, axis=1)).mean() for name, value in image.items()}
    assert sharpness["blur"] < 0.5 * sharpness["plain"]
    assert image["blur"].mean() == pytest.approx(image["plain"].mean(), abs=1.0)
    assert image["pale"].mean() > image["plain"].mean() + 5
    corner = image["tint"][:8, :8].mean(axis=(0, 1))
    assert (corner / image["plain"][:8, :8].mean(axis=(0, 1))).min() == pytest.approx(0.8, abs=0.01)

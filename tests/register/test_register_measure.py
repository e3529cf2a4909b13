from dataclasses import replace

import numpy as np
import pytest

from comould.register.canonical import canonical_pictures
from comould.register.maps import PlanarMap
from comould.register.measure import Judge, bilinear, classes, hd95_mm, mutual_information
from comould.register.raster import Raster, block_mean, smooth_inside


def disc(radius=15.0, spacing=0.5, centre=(0.0, 0.0), seed=None):
    n = int(50 / spacing)
    origin = (-25.0 + spacing / 2, -25.0 + spacing / 2)
    grid = Raster(np.zeros((1, n, n), np.float32), np.ones((n, n), bool), spacing, origin)
    points = grid.points_mm() - np.array(centre)
    mask = (np.hypot(*points.T) < radius).reshape(n, n)
    angle = np.arctan2(points[:, 1], points[:, 0]).reshape(n, n)
    channels = np.stack([np.cos(angle), np.sin(2 * angle)]).astype(np.float32)
    return Raster(channels, mask, spacing, origin)


def test_identity_is_a_perfect_fit():
    judge = Judge(disc(), disc())
    fit = judge.judge(PlanarMap(np.eye(3)))
    assert fit.dice > 0.98
    turned = np.eye(3)
    turned[:2, :2] = [[0, -1], [1, 0]]
    other = judge.judge(PlanarMap(turned))
    assert other.dice == pytest.approx(fit.dice, abs=0.01)
    assert other.information < fit.information - 0.3


def test_dice_of_shifted_discs_follows_the_lens_formula():
    shift, radius = 6.0, 15.0
    moved = np.eye(3)
    moved[0, 2] = shift
    half = shift / (2 * radius)
    lens = (2 * np.arccos(half) - 2 * half * np.sqrt(1 - half**2)) / np.pi
    assert Judge(disc(), disc()).judge(PlanarMap(moved)).dice == pytest.approx(lens, abs=0.01)


def test_dice_counts_the_area_change():
    grown = np.diag([1.25, 1.25, 1.0])
    fit = Judge(disc(radius=12.0), disc(radius=15.0)).judge(PlanarMap(grown))
    assert fit.dice > 0.97


def test_hd95_of_discs_of_different_radius():
    assert hd95_mm(disc(12.0), disc(15.0), PlanarMap(np.eye(3))) == pytest.approx(3.0, abs=0.4)


def test_mutual_information_of_known_tables():
    assert mutual_information(np.eye(4)) == pytest.approx(np.log(4))
    assert mutual_information(np.outer([1, 2, 3], [4, 5])) == pytest.approx(0, abs=1e-12)
    assert mutual_information(np.zeros((3, 3))) == 0


def test_bilinear_is_exact_for_planes():
    rows, columns = np.indices((9, 7)).astype(float)
    image = (2 * rows - columns)[..., None]
    at = np.random.default_rng(0).uniform(0, 5.9, (2, 50))
    np.testing.assert_allclose(bilinear(image, at)[:, 0], 2 * at[0] - at[1])


def test_classes_cover_the_mask_and_nothing_else():
    raster = disc()
    labels = classes(raster, 5, 1.0)
    assert set(np.unique(labels[raster.mask])) == {1, 2, 3, 4, 5}
    assert not labels[~raster.mask].any()


def test_canonical_pictures_find_what_both_see():
    plane = disc()
    rng = np.random.default_rng(0)
    noise = rng.normal(size=plane.mask.shape)
    # What the plane's first channel shows, the section shows squared, upside down, and beside a channel of its own.
    section = replace(plane, channels=np.stack([noise, -(plane.channels[1] ** 2)]).astype(np.float32))
    mine, theirs, correlations = canonical_pictures(section, plane, 0.3)
    assert correlations[0] > 0.8
    inside = plane.mask
    assert np.corrcoef(mine[0][inside], theirs[0][inside])[0, 1] == pytest.approx(correlations[0], abs=0.1)


def test_smoothing_knows_nothing_of_the_outside():
    raster = disc()
    image = np.where(raster.mask, 3.0, 1e6)
    np.testing.assert_allclose(smooth_inside(image, raster.mask, 2.0)[raster.mask], 3.0)


@pytest.mark.parametrize("factor", [1, 2, 3, 7])
def test_block_mean_keeps_constants_and_means(factor):
    image = np.random.default_rng(0).normal(size=(21, 42))
    small = block_mean(image, factor)
    assert small.shape == (-(-21 // factor), -(-42 // factor))
    if 21 % factor == 0:
        assert small.mean() == pytest.approx(image.mean(), abs=1e-5)
    np.testing.assert_allclose(block_mean(np.full((10, 11, 3), 5, np.uint8), factor), 5)


def test_coarser_stays_in_place():
    raster = disc(centre=(3.0, -2.0))
    small = raster.coarser(1.6)
    assert small.spacing_mm == pytest.approx(1.5)
    np.testing.assert_allclose(small.centroid_mm, raster.centroid_mm, atol=0.15)
    assert small.area_mm2 == pytest.approx(raster.area_mm2, rel=0.05)
    assert raster.coarser(0.3) is raster

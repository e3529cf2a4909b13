from dataclasses import replace

import numpy as np
import pytest

from comould.register import StageSettings
from comould.register.maps import PlanarMap, Spline, similarity
from comould.register.measure import Fit, Judge
from comould.register.raster import Raster
from comould.register.stages import _stage, lay, parameter_map, refine


def picture(linear=None, spacing=0.4):
    """A textured specimen, seen through ``plane_from_slide``."""
    n = int(60 / spacing)
    grid = Raster(np.zeros((1, n, n), np.float32), np.ones((n, n), bool), spacing, (-30.0, -30.0))
    points = grid.points_mm()
    if linear is not None:
        points = points @ linear[:2, :2].T + linear[:2, 2]
    x, y = points.T
    mask = np.hypot(x / 1.15, y + 0.02 * x**2) < 17
    texture = np.sin(x / 2.1 + np.cos(y / 4)) + np.cos(y / 2.7 + 0.03 * x**2)
    second = np.sin((x + y) / 3.3)
    channels = np.stack([texture, second]).reshape(2, n, n).astype(np.float32)
    return replace(grid, channels=channels, mask=mask.reshape(n, n))


TRUTH = similarity(3.0, 1.03, flipped=False, centre_from=np.zeros(2), centre_to=np.array([1.2, -0.8]))
TRUTH[0, 1] += 0.03


def test_a_known_affine_map_is_recovered(worker):
    judge = Judge(picture(TRUTH), picture())
    outcome = refine(judge, PlanarMap(np.eye(3)), worker, seed=3, settings=StageSettings(), names=("affine",))
    apart = outcome.planar.apply(judge.points) - PlanarMap(TRUTH).apply(judge.points)
    assert [stage.name for stage in outcome.stages if stage.kept] == ["similarity", "affine"]
    assert np.median(np.hypot(*apart.T)) < 0.15


def test_a_stage_that_does_not_help_is_not_kept(worker):
    judge = Judge(picture(TRUTH), picture())
    settings = StageSettings(gain=0.05)
    outcome = refine(judge, PlanarMap(TRUTH), worker, seed=3, settings=settings)
    assert outcome.planar.spline is None
    np.testing.assert_array_equal(outcome.planar.linear, TRUTH)
    assert all("no gain" in stage.reason for stage in outcome.stages[1:])


def test_folding_and_overstretching_are_refused():
    judge = Judge(picture(), picture())
    settings = StageSettings()
    before = Fit(0.1, 0.0, -1.0)
    rng = np.random.default_rng(0)
    folded = PlanarMap(np.eye(3), Spline(rng.normal(0, 8, (2, 14, 14)), (6.0, 6.0), (-39.0, -39.0)))
    stage = _stage(judge, "bspline", folded, judge.judge(folded), before, settings)
    assert not stage.kept
    assert stage.unbelievable
    assert stage.folding_fraction > 0
    assert "folds" in stage.reason
    wide = PlanarMap(np.diag([2.8, 1.0, 1.0]))
    stage = _stage(judge, "affine", wide, judge.judge(wide), before, settings)
    assert not stage.kept
    assert stage.stretch_range == pytest.approx((1.0, 2.8))
    assert "stretches by 1.00 to 2.80" in stage.reason


def test_losing_overlap_is_refused_even_when_the_score_rises():
    judge = Judge(picture(), picture())
    planar = PlanarMap(np.eye(3))
    stage = _stage(judge, "bspline", planar, Fit(0.88, 0.9, 1.8), Fit(0.95, 0.1, 1.05), StageSettings())
    assert not stage.kept
    assert "overlap falls" in stage.reason


def test_a_mirror_image_does_not_count_as_folding():
    judge = Judge(picture(), picture())
    mirrored = PlanarMap(np.diag([-1.0, 1.0, 1.0]))
    stage = _stage(judge, "similarity", mirrored, judge.judge(mirrored), None, StageSettings())
    assert stage.folding_fraction == 0
    assert stage.jacobian_range == pytest.approx((1.0, 1.0))


def test_laying_a_section_on_the_plane_moves_it_as_the_map_says():
    section, plane = picture(TRUTH), picture()
    laid = lay(section, plane, TRUTH, 4.0)
    inside = laid.points_mm(laid.mask)
    assert laid.spacing_mm == plane.spacing_mm
    seen = laid.channels[0][laid.mask]
    truth = plane.sample(plane.channels[0], inside)
    assert np.corrcoef(seen, truth)[0, 1] > 0.98
    np.testing.assert_allclose(laid.centroid_mm, plane.centroid_mm, atol=0.1)


def test_parameter_map_repeats_bits_and_never_threads_metrics():
    settings = StageSettings()
    for name in ("affine", "bspline"):
        found = parameter_map(name, 2, 7, settings)
        n = len(found["Metric"])
        assert found["UseMultiThreadingForMetrics"] == ["false"]
        assert found["RandomSeed"] == [7]
        assert all(len(found[key]) == n for key in ("ImageSampler", "Interpolator", "FixedImagePyramid"))
        assert ("TransformBendingEnergyPenalty" in found["Metric"]) == (name == "bspline")

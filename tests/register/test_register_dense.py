from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comould.errors import InputError, RegistrationError
from comould.register.dense.deform import match_field
from comould.register.dense.describe import describe, likeness, ranked, self_similarity
from comould.register.dense.linear import NEAR, Votes, fit_linear, match_linear
from comould.register.dense.splines import fit_spline
from comould.register.landmark_fit import fit_landmarks
from comould.register.maps import similarity
from comould.register.measure import Judge
from comould.register.raster import Raster
from comould.register.stages import StageSettings, refine

BOUNDS = (0.75, 1.1)


def picture(move=None, contrast=1.0, spacing=0.5):
    """A textured disc, seen where ``move`` takes its pixels, its contrast turned by ``contrast``."""
    n = int(44 / spacing)
    grid = Raster(np.zeros((1, n, n), np.float32), np.ones((n, n), bool), spacing, (-22.0, -22.0))
    points = grid.points_mm()
    x, y = (points if move is None else move(points)).T
    mask = np.hypot(x / 1.1, y) < 16
    texture = np.sin(x / 1.6 + np.cos(y / 3)) + np.cos(y / 1.9 + 0.03 * x**2)
    channels = (contrast * texture).reshape(1, n, n).astype(np.float32)
    return replace(grid, channels=channels, mask=mask.reshape(n, n))


def test_self_similarity_does_not_care_for_contrast():
    raster = ranked(picture())
    upside_down = replace(raster, channels=-3.0 * raster.channels)
    a, b = (self_similarity(one.channels, one.mask, 1) for one in (raster, upside_down))
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_likeness_is_one_for_equals_and_about_zero_for_strangers():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 8, 60, 60)).astype(np.float32)
    weight = np.ones((60, 60))
    assert likeness(a, a, weight) == pytest.approx(1.0)
    assert abs(likeness(a, b, weight)) < 0.05
    assert likeness(a, b, np.zeros((60, 60))) == 0.0


def test_normal_scores_forget_the_curve():
    raster = picture()
    bent = replace(raster, channels=np.exp(raster.channels))
    np.testing.assert_allclose(ranked(raster).channels, ranked(bent).channels, atol=1e-5)


def test_a_bent_picture_of_opposite_contrast_is_straightened():
    def bend(points):
        x, y = points.T
        return points + np.column_stack([1.2 * np.sin(y / 7), 1.0 * np.cos(x / 8)])

    section, plane = ranked(picture(bend, contrast=-1.0)), ranked(picture())
    field = match_field(section, plane, np.eye(3), outline_weight=0.2, shared_weight=0.03)
    points = section.points_mm(section.mask)
    found = points + field.spline(1.5, 0.01).displacement(points)
    error = np.linalg.norm(found - bend(points), axis=1)
    assert np.median(error) < 0.25  # half a pixel
    assert np.median(error) < 0.2 * np.median(np.linalg.norm(points - bend(points), axis=1))


def test_left_out_squares_are_not_seen():
    raster = ranked(picture())
    out = np.zeros(raster.mask.shape, bool)
    out[:40] = True
    assert not describe(raster, out).weight[:40].any()


@given(st.floats(-170, 170), st.floats(0.92, 1.3), st.booleans(), st.integers(3, 20), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_exact_landmarks_give_back_their_similarity(angle, scale, flipped, count, seed):
    source = np.random.default_rng(seed).uniform(-20, 20, (count, 2))
    truth = similarity(angle, scale, flipped=flipped, centre_from=np.zeros(2), centre_to=np.array([3.0, -4.0]))
    target = source @ truth[:2, :2].T + truth[:2, 2]
    found = fit_landmarks(source, target, BOUNDS)
    np.testing.assert_allclose(found.apply(source), target, atol=1e-5)
    assert found.flipped == flipped


def test_many_bent_landmarks_get_a_spline_that_predicts():
    source = np.random.default_rng(2).uniform(-20, 20, (60, 2))

    def bend(points):
        return points + np.column_stack([np.sin(points[:, 1] / 8), np.cos(points[:, 0] / 9)])

    found = fit_landmarks(source[:40], bend(source[:40]), BOUNDS)
    plain = fit_landmarks(source[:40], bend(source[:40]), BOUNDS, linear=True)
    error, before = (
        np.median(np.linalg.norm(m.apply(source[40:]) - bend(source[40:]), axis=1)) for m in (found, plain)
    )
    assert found.spline is not None
    assert plain.spline is None
    assert error < 0.5 * before


def test_bad_landmarks_are_refused():
    points = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 7.0]])
    with pytest.raises(InputError, match=r"landmarks: expected \(n, 2\) twice"):
        fit_landmarks(points, points[:2], BOUNDS)
    with pytest.raises(InputError, match="landmarks: expected finite coordinates"):
        fit_landmarks(points * np.nan, points, BOUNDS)
    with pytest.raises(InputError, match="landmarks: expected 3 or more to tell the faces apart, found 2"):
        fit_landmarks(points[:2], points[:2], BOUNDS)
    with pytest.raises(InputError, match="not on one line"):
        fit_landmarks(points * [1, 0], points * [1, 0], BOUNDS)
    with pytest.raises(InputError, match="expected different places"):
        fit_landmarks(np.ones((3, 2)), points, BOUNDS)
    with pytest.raises(RegistrationError, match="landmarks: expected a scale of"):
        fit_landmarks(points, 10 * points, BOUNDS)


def test_a_lost_vote_does_not_pull():
    rng = np.random.default_rng(1)
    source = rng.uniform(-10, 10, (60, 2))
    target = source + np.array([1.0, 2.0])
    target[:8] += 15.0
    found = fit_linear(Votes(source, target, np.ones(60)), "similarity")
    np.testing.assert_allclose(found[:2, 2], [1.0, 2.0], atol=0.1)


def test_a_rigid_match_keeps_its_scale():
    section, plane = ranked(picture()), ranked(picture())
    start = similarity(4.0, 1.0, flipped=False, centre_from=np.zeros(2), centre_to=np.array([0.8, -0.5]))
    found = match_linear(section, plane, start, [(NEAR, "rigid")] * 3, scale_bounds=(1.0, 1.0))
    assert np.linalg.det(found[:2, :2]) == pytest.approx(1.0)
    points = section.points_mm(section.mask)
    assert np.median(np.linalg.norm(points @ found[:2, :2].T + found[:2, 2] - points, axis=1)) < 0.25


def test_a_spline_through_its_own_displacements_is_exact():
    points = np.random.default_rng(0).uniform(-10, 10, (400, 2))
    moved = points @ [[0.02, 0.01], [-0.03, 0.05]] + 0.5
    spline = fit_spline(
        points, moved, np.ones(400), bounds_mm=(points.min(axis=0), points.max(axis=0)), grid_mm=4.0, bending=1.0
    )
    np.testing.assert_allclose(spline.displacement(points), moved, atol=1e-4)


def test_rigid_may_win_and_unknown_stages_are_refused():
    judge = Judge(picture(), picture())
    start = fit_landmarks(np.eye(3)[:, :2], np.eye(3)[:, :2], BOUNDS)
    outcome = refine(judge, start, None, seed=0, settings=StageSettings(gain=0.2), names=("rigid", "similarity"))
    assert [stage.name for stage in outcome.stages] == ["rigid", "similarity"]
    assert outcome.planar.scale == pytest.approx(1.0)
    with pytest.raises(InputError, match="stages: expected rigid, similarity, affine, bspline, found elastic"):
        refine(judge, start, None, seed=0, settings=StageSettings(), names=("elastic",))
    with pytest.raises(InputError, match="engine: expected 'both', 'dense' or 'elastix'"):
        StageSettings(engine="magic")
    with pytest.raises(InputError, match="stage settings: expected 0 or more, found grid_mm=-1"):
        StageSettings(grid_mm=-1)

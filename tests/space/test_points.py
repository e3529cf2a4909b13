"""Many points: as ITK maps them, border included, and the same bits whatever maps them."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from comould.errors import FrameMismatchError
from comould.space import Frame, Transform, _points, bspline

SEEDS = st.integers(0, 2**32 - 1)


def spline(rng, *, flat=False, oblique=True, whole=False):
    """A random cubic B-spline over an oblique box, or one of whole numbers, whose border points are exact."""
    size = rng.integers(4, 9, 3)
    spacing = rng.integers(1, 5, 3).astype(float) if whole else rng.uniform(0.7, 9.0, 3)
    origin = rng.integers(-30, 30, 3).astype(float) if whole else rng.uniform(-30.0, 30.0, 3)
    turn = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix() if oblique and not whole else np.eye(3)
    images = []
    for _ in range(3):
        layers = rng.normal(0.0, 3.0, size[::-1])
        image = sitk.GetImageFromArray(np.broadcast_to(layers[:1], layers.shape).copy() if flat else layers)
        image.SetSpacing(spacing.tolist())
        image.SetOrigin(origin.tolist())
        image.SetDirection(turn.ravel().tolist())
        images.append(image)
    return sitk.BSplineTransform(images, 3)


def places(rng, itk, count, *, margin=0.5):
    """Points inside and outside of a spline's domain, and their distance to its border in cells."""
    image = itk.GetCoefficientImages()[0]
    last = np.array(image.GetSize()) - 2.0
    index = rng.uniform(1.0 - margin, last + margin, (count, 3))
    cloud = np.array([image.TransformContinuousIndexToPhysicalPoint(i) for i in index.tolist()])
    return cloud, np.minimum(np.abs(index - 1.0), np.abs(index - last)).min(axis=1)


def affine(rng):
    itk = sitk.AffineTransform(3)
    turn = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    itk.SetMatrix((turn * rng.uniform(0.3, 3.0, 3)).ravel().tolist())
    itk.SetTranslation(rng.uniform(-300.0, 300.0, 3).tolist())
    itk.SetCenter(rng.uniform(-50.0, 50.0, 3).tolist() if rng.random() < 0.5 else (0.0, 0.0, 0.0))
    return itk


def by_itk(itk, cloud):
    return np.array([itk.TransformPoint(point) for point in cloud.tolist()]).reshape(-1, 3)


def both_ways(itk, cloud):
    """The image of points, after making sure that numpy and the compiled loops agree in every bit."""
    answers = []
    for fast in (False, True):
        moved = cloud.copy()
        _points.PointMap(itk).move(moved, fast=fast)
        answers.append(moved)
    np.testing.assert_array_equal(*answers)
    return answers[0]


@given(SEEDS, st.booleans(), st.booleans())
def test_chains_equal_itk_inside_and_outside(seed, flat, oblique):
    rng = np.random.default_rng(seed)
    deform, first, last = spline(rng, flat=flat, oblique=oblique), affine(rng), affine(rng)
    cloud, edge = places(rng, deform, 40)
    # The rounding of the first part alone decides on which side of the border these fall.
    cloud = cloud[edge > 1e-9]
    assume(len(cloud))
    start = by_itk(first.GetInverse(), cloud)
    chain = sitk.CompositeTransform([last, affine(rng), deform, first])
    np.testing.assert_allclose(both_ways(chain, start), by_itk(chain, start), rtol=0, atol=1e-9)


@given(SEEDS, st.booleans())
def test_the_border_itself_is_where_itk_has_it(seed, flat):
    rng = np.random.default_rng(seed)
    itk = spline(rng, flat=flat, whole=True)
    image = itk.GetCoefficientImages()[0]
    size, spacing, origin = (np.array(v, float) for v in (image.GetSize(), image.GetSpacing(), image.GetOrigin()))
    near, far = origin + spacing, origin + spacing * (size - 2.0)
    ticks = []
    for low, high, inner in zip(near, far, rng.uniform(near, far), strict=True):
        ulps = [high + k * np.spacing(high) for k in (-2, -1, 0, 1, 2, 3, 6, 12, 40)]
        ticks.append([np.nextafter(low, -np.inf), low, np.nextafter(low, np.inf), inner, *ulps])
    cloud = np.column_stack([rng.choice(axis, 120) for axis in ticks])
    np.testing.assert_allclose(both_ways(itk, cloud), by_itk(itk, cloud), rtol=0, atol=1e-9)


@given(SEEDS)
def test_a_spline_of_equal_layers_is_flat_and_any_other_is_not(seed):
    rng = np.random.default_rng(seed)
    itk = spline(rng, flat=True)
    assert bspline.CubicBSpline.from_itk(itk).flat
    images = [sitk.Image(image) for image in itk.GetCoefficientImages()]
    last = tuple(n - 1 for n in images[0].GetSize())
    images[int(rng.integers(3))][last] = np.nextafter(images[0][last], np.inf) + 1e-12
    assert not bspline.CubicBSpline.from_itk(sitk.BSplineTransform(images, 3)).flat


def test_axes_that_do_not_move_stay_in_every_bit():
    itk = spline(np.random.default_rng(3), flat=True)
    images = list(itk.GetCoefficientImages())
    images[2] = images[2] * 0.0
    cloud, _ = places(np.random.default_rng(4), itk, 100)
    moved = both_ways(sitk.BSplineTransform(images, 3), cloud)
    np.testing.assert_array_equal(moved[:, 2], cloud[:, 2])
    nothing = sitk.BSplineTransform([image * 0.0 for image in images], 3)
    np.testing.assert_array_equal(both_ways(nothing, cloud), cloud)


def chain(seed=0):
    rng = np.random.default_rng(seed)
    deform = spline(rng, flat=True)
    cloud, _ = places(rng, deform, 30_011)
    return Transform(Frame.SECTION_PX, Frame.PATIENT, sitk.CompositeTransform([affine(rng), deform])), cloud


def test_threads_and_company_change_no_bit():
    transform, cloud = chain()
    one = transform.apply(cloud, threads=1)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(transform.apply(cloud, threads=threads), one)
    np.testing.assert_array_equal(transform.apply(cloud), one)
    np.testing.assert_array_equal(transform.apply(cloud[12345:12350]), one[12345:12350])
    bspline.prepare()
    np.testing.assert_array_equal(transform.apply(cloud, threads=2), one)
    np.testing.assert_array_equal(transform.apply(cloud[7]), one[[7]])


def test_a_large_offset_takes_nothing_from_a_matrix():
    turn = sitk.Euler3DTransform((900.0, -800.0, 700.0), 0.3, -0.2, 0.9, (2e5, -3e5, 1e5))
    far = np.random.default_rng(0).uniform(-1e5, 1e5, (50, 3))
    np.testing.assert_allclose(both_ways(turn, far), by_itk(turn, far), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", [np.uint16, np.int64, np.float32, np.float64])
def test_any_numbers_flat_or_not(kind):
    transform, _ = chain()
    given = np.random.default_rng(1).uniform(0, 40, (500, 2)).astype(kind)
    flat = np.column_stack([given.astype(float), np.zeros(500)])
    kept = given.copy()
    np.testing.assert_array_equal(transform.apply(given), transform.apply(flat))
    np.testing.assert_array_equal(transform.apply(given[::-1].tolist()), transform.apply(flat)[::-1])
    np.testing.assert_array_equal(given, kept)


def test_points_that_are_not_finite_stay_so():
    transform, cloud = chain()
    odd = cloud[:6].copy()
    odd[0, 0], odd[1, 1], odd[2, 2] = np.nan, np.inf, -np.inf
    for cloud_of in (transform.itk, sitk.Transform(transform.itk.GetNthTransform(1))):
        moved = both_ways(cloud_of, odd)
        assert not np.isfinite(moved[:3]).all(axis=1).any()
        assert np.isfinite(moved[3:]).all()


def test_spread_is_the_mean_square_of_the_differences():
    transform, cloud = chain()
    rng = np.random.default_rng(8)
    shifts = [Transform.from_matrix("patient", "patient", shifted(rng.normal(0, 1, 3))) for _ in range(5)]
    others = [shift @ transform for shift in shifts]
    found, spread = transform.apply_with_spread(cloud, others, threads=2)
    np.testing.assert_array_equal(found, transform.apply(cloud))
    each = np.stack([other.apply(cloud) for other in others])
    np.testing.assert_allclose(spread, np.mean((each - found) ** 2, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(transform.apply_with_spread(cloud, others, threads=1)[1], spread)
    alone, nothing = transform.apply_with_spread(cloud, [])
    np.testing.assert_array_equal(alone, found)
    assert not nothing.any()
    with pytest.raises(FrameMismatchError, match="expected transforms of the same frames, found plane_from_section_px"):
        transform.apply_with_spread(cloud, [Transform(Frame.SECTION_PX, Frame.PLANE, transform.itk)])


def shifted(offset):
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return matrix


def test_memory_is_the_answer_and_little_more():
    transform, _ = chain()
    cloud = np.random.default_rng(2).uniform(-40, 40, (400_000, 2)).astype(np.float32)
    tracemalloc.start()
    try:
        transform.apply(cloud, threads=2)
        single = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        transform.apply_with_spread(cloud, [transform] * 8, threads=2)
        spread = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    answer = 400_000 * 24
    assert single < 1.6 * answer
    assert spread < 2.6 * answer


def test_few_points_do_not_wait_for_a_compiler():
    code = (
        "import sys, numpy as np; from comould.register.maps import PlanarMap, Spline;"
        "t = PlanarMap(np.eye(3), Spline(np.ones((2, 8, 8)), (9.0, 9.0), (-9.0, -9.0))).to_transform();"
        "t.apply(np.random.default_rng(0).uniform(0, 40, (5000, 2))); sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

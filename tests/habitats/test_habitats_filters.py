"""Filters: impulses, waves and polynomials have known answers; scipy is the second oracle."""

from itertools import product

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.habitats import filters
from comould.habitats.filters import Gabor, LaplacianOfGaussian, Laws, Mean, Riesz, Simoncelli, Wavelet
from comould.habitats.filters._coefficients import known_wavelets, wavelet_kernels
from comould.habitats.filters.separable import turned
from comould.space import Grid

ALL = [
    Mean(3),
    LaplacianOfGaussian(1.5),
    Laws("E5L5S5", energy_delta=2, pooling="max"),
    Gabor(2.0, 4.0, 0.8, theta_step_deg=45.0, pooling="mean"),
    Wavelet("db2", "LHL", level=2, pooling="mean"),
    Simoncelli(1),
    Riesz((1, 0, 1), of=Simoncelli(2)),
]


def noise(shape=(12, 14, 16), seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def apply(one, array, spacing=(1.0, 1.0, 1.0)):
    return sitk.GetArrayFromImage(one(Grid(array.shape[::-1], spacing).to_image(array)))


def impulse(shape=(15, 15, 15)):
    array = np.zeros(shape)
    array[tuple(n // 2 for n in shape)] = 1.0
    return array


def places(shape, spacing):
    """Positions in mm along k, j, i from the middle."""
    return np.meshgrid(*[(np.arange(n) - n // 2) * s for n, s in zip(shape, spacing[::-1], strict=True)], indexing="ij")


@pytest.mark.parametrize(
    ("boundary", "mode"), [("zero", "constant"), ("nearest", "nearest"), ("periodic", "wrap"), ("mirror", "reflect")]
)
def test_mean_is_that_of_scipy_at_every_boundary(boundary, mode):
    array = noise()
    np.testing.assert_allclose(
        apply(Mean(5, boundary=boundary), array), ndimage.uniform_filter(array, 5, mode=mode), atol=1e-12
    )


def test_two_dimensions_are_the_planes_of_the_image():
    array = noise((3, 9, 9))
    found = apply(Mean(3, dimension=2), array)
    np.testing.assert_allclose(found[1], ndimage.uniform_filter(array[1], 3, mode="reflect"), atol=1e-12)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.9, 1.4)])
def test_laplacian_of_a_quadratic_is_its_curvature(spacing):
    shape = (25, 31, 41)
    z, y, x = places(shape, spacing)
    found = apply(LaplacianOfGaussian(1.8, truncate=6.0), x**2 + 2.0 * y**2 - 4.0 * z**2 + 3.0 * x * y, spacing)
    side2 = np.prod(spacing) ** (2 / 3)
    assert found[12, 15, 20] == pytest.approx(2.0 * (1.0 + 2.0 - 4.0) * side2, rel=1e-5)


def test_laplacian_of_gaussian_is_that_of_scipy():
    array = ndimage.gaussian_filter(noise((20, 20, 20)), 1.0)
    mine = apply(LaplacianOfGaussian(3.0), array, (1.5, 1.5, 1.5))
    # scipy normalises the truncated Gaussian, the standard does not.
    assert np.abs(mine - ndimage.gaussian_laplace(array, 2.0, mode="reflect")).max() < 2e-3 * np.ptp(mine)


def test_laplacian_is_the_same_blob_in_mm_whatever_the_voxels():
    peak = []
    for spacing in ((1.0, 1.0, 1.0), (0.5, 0.5, 2.0)):
        shape = tuple(int(40 / s) + 1 for s in spacing[::-1])
        z, y, x = places(shape, spacing)
        blob = np.exp(-(x**2 + y**2 + z**2) / (2 * 3.0**2))
        side2 = np.prod(spacing) ** (2 / 3)
        peak.append(apply(LaplacianOfGaussian(3.0), blob, spacing)[tuple(n // 2 for n in shape)] / side2)
    # Of a Gaussian σ filtered with σ the Laplacian at its middle is −3 σ³ / (√2 σ)³ / (2 σ²).
    np.testing.assert_allclose(peak, -3.0 / 2**1.5 / (2 * 3.0**2), rtol=5e-3)


@pytest.mark.parametrize("kernels", ["E5L5S5", "R5W5S3", "E3L3L5"])
def test_laws_kernels_have_unit_length_and_ignore_a_constant(kernels):
    response = apply(Laws(kernels, boundary="zero"), impulse())
    assert (response**2).sum() == pytest.approx(1.0)
    np.testing.assert_allclose(apply(Laws(kernels), np.full((9, 9, 9), 7.0)), 0.0, atol=1e-12)


def test_laws_energy_is_a_mean_of_absolute_responses():
    array = noise()
    response = np.abs(apply(Laws("L5E5S5"), array))
    np.testing.assert_allclose(
        apply(Laws("L5E5S5", energy_delta=2), array), ndimage.uniform_filter(response, 5, mode="reflect"), atol=1e-12
    )


def test_there_are_24_right_angled_rotations_and_8_of_a_symmetric_pair():
    three = tuple(np.array(k, float) for k in ([1, 2, 4], [1, 0, 7], [3, 1, 0]))
    assert len(list(turned(three))) == 24
    assert len(list(turned(three[:2]))) == 4
    assert len(list(turned((np.array([1.0, 2.0, 1.0]),) * 3))) == 1


@pytest.mark.parametrize("family", known_wavelets())
def test_wavelets_are_orthonormal_and_their_moments_vanish(family):
    low, high = wavelet_kernels(family)
    n = len(low)
    assert low.sum() == pytest.approx(np.sqrt(2.0), abs=1e-9)
    for shift in range(0, n, 2):
        wanted = 1.0 if shift == 0 else 0.0
        assert low[shift:] @ low[: n - shift] == pytest.approx(wanted, abs=1e-8)
        assert high[shift:] @ high[: n - shift] == pytest.approx(wanted, abs=1e-8)
        assert low[shift:] @ high[: n - shift] == pytest.approx(0.0, abs=1e-8)
    moments = {"haar": 1, "coif1": 2, "coif2": 4}.get(family) or int(family[2:])
    t = (np.arange(n) - n / 2) / n
    for power in range(moments):
        assert (high * t**power).sum() == pytest.approx(0.0, abs=1e-6)


def test_daubechies_2_is_the_published_one():
    root = np.sqrt(3.0)
    wanted = np.array([1 + root, 3 + root, 3 - root, 1 - root]) / (4 * np.sqrt(2.0))
    np.testing.assert_allclose(wavelet_kernels("db2")[0], wanted[::-1], atol=1e-12)
    np.testing.assert_allclose(wavelet_kernels("db1")[0], wavelet_kernels("haar")[0])


@pytest.mark.parametrize("family", ["haar", "db3", "coif1"])
def test_subbands_share_the_image_among_them(family):
    array = noise((8, 8, 8))
    total = sum(
        (apply(Wavelet(family, "".join(s), boundary="periodic"), array) ** 2).sum() for s in product("LH", repeat=3)
    )
    # Undecimated: each axis counts everything twice.
    assert total == pytest.approx(8.0 * (array**2).sum())


def test_second_level_of_haar_is_a_mean_of_four_pairs():
    array = noise((8, 8, 8))
    found = apply(Wavelet("haar", "LLL", level=2, boundary="periodic"), array)
    mean = sum(np.roll(array, shift, (0, 1, 2)) for shift in product(range(4), repeat=3)) / 64 * 8
    np.testing.assert_allclose(np.sort(found.ravel()), np.sort(mean.ravel()), atol=1e-10)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.0, 1.0)])
def test_gabor_answers_a_wave_of_its_own_with_half_its_envelope(spacing):
    one = Gabor(3.0, 5.0, 0.7, 30.0, truncate=6.0, dimension=2, boundary="zero")
    shape = (1, 91, 121)
    _, y, x = places(shape, spacing)
    along = x * np.cos(np.pi / 6) + y * np.sin(np.pi / 6)
    half_envelope = 0.5 * 2 * np.pi * 3.0**2 / 0.7 / np.prod(spacing[:2])
    found = apply(one, np.cos(2 * np.pi * along / 5.0), spacing)[0, 45, 60]
    assert found == pytest.approx(half_envelope, rel=1e-3)
    across = apply(one, np.cos(2 * np.pi * (x * np.sin(np.pi / 6) - y * np.cos(np.pi / 6)) / 5.0), spacing)[0, 45, 60]
    assert across < 1e-2 * half_envelope


def test_gabor_convolution_is_that_of_scipy():
    array = noise((2, 30, 26))
    one = Gabor(1.5, 3.0, 1.2, 20.0, part="real", dimension=2)
    kernel = one._kernel(np.deg2rad(20.0), np.ones(2))
    wanted = [ndimage.convolve(plane, kernel.real, mode="reflect") for plane in array]
    np.testing.assert_allclose(apply(one, array), wanted, atol=1e-10)


@pytest.mark.parametrize("pooling", ["max", "mean", "min"])
def test_opposite_directions_are_left_out_only_where_nothing_is_lost(pooling):
    array = noise((1, 20, 20))
    half = Gabor(1.5, 3.0, 1.0, theta_step_deg=60.0, pooling=pooling, dimension=2)
    assert len(half.angles_rad) == 3
    parts = [apply(Gabor(1.5, 3.0, 1.0, 60.0 * n, dimension=2), array) for n in range(6)]
    pooled = {"max": np.max, "mean": np.mean, "min": np.min}[pooling](parts, axis=0)
    np.testing.assert_allclose(apply(half, array), pooled, atol=1e-10)


@pytest.mark.parametrize("boundary", ["mirror", "periodic"])
@pytest.mark.parametrize("order", [(1, 0, 0), (0, 1, 1), (0, 2, 1), (3, 0, 0)])
def test_fourier_filters_see_the_mirror_image_that_mirror_promises(boundary, order):
    array = noise((6, 7, 8))
    double = array
    if boundary == "mirror":
        for axis in range(3):
            double = np.concatenate([double, np.flip(double, axis)], axis)
    for one in (Riesz(order, boundary=boundary), Simoncelli(1, boundary=boundary)):
        doubled = type(one)(**({"order": order} if isinstance(one, Riesz) else {}), boundary="periodic")
        whole = apply(doubled, double)[:6, :7, :8]
        np.testing.assert_allclose(apply(one, array), whole, atol=1e-10)


def test_riesz_makes_sines_of_cosines():
    n = 32
    wave = 2 * np.pi * 3 * np.arange(n) / n
    array = np.broadcast_to(np.cos(wave), (4, 6, n)).copy()
    found = apply(Riesz((1, 0, 0), boundary="periodic"), array)
    np.testing.assert_allclose(found, np.broadcast_to(np.sin(wave), array.shape), atol=1e-10)
    np.testing.assert_allclose(apply(Riesz((0, 1, 0), boundary="periodic"), array), 0.0, atol=1e-10)


def test_riesz_directions_are_true_in_mm():
    # A wave at 45° in the patient on voxels of 1 × 2 mm: both first orders are equally strong.
    j, i = np.meshgrid(np.arange(16) * 2.0, np.arange(32) * 1.0, indexing="ij")
    array = np.broadcast_to(np.cos(2 * np.pi * (i + j) / 32.0 * 2), (4, 16, 32)).copy()
    along_i, along_j = (
        apply(Riesz(order, boundary="periodic"), array, (1.0, 2.0, 1.0)) for order in ((1, 0, 0), (0, 1, 0))
    )
    np.testing.assert_allclose(along_i, along_j, atol=1e-10)
    assert along_i.max() == pytest.approx(np.sqrt(0.5), rel=1e-6)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_riesz_orders_share_the_band_among_them(total):
    array = noise((9, 9, 9))
    band = apply(Simoncelli(1, boundary="periodic"), array)
    orders = [o for o in product(range(total + 1), repeat=3) if sum(o) == total]
    parts = [apply(Riesz(o, of=Simoncelli(1, boundary="periodic"), boundary="periodic"), array) for o in orders]
    assert sum((part**2).sum() for part in parts) == pytest.approx((band**2).sum())


@pytest.mark.parametrize(("cycles", "gain"), [(0, 0.0), (8, 1.0), (16, 0.0), (6, np.cos(np.pi / 2 * np.log2(0.75)))])
def test_simoncelli_passes_half_the_highest_frequency_whole(cycles, gain):
    wave = np.cos(2 * np.pi * cycles * np.arange(32) / 32)
    array = np.broadcast_to(wave, (4, 4, 32)).copy()
    np.testing.assert_allclose(apply(Simoncelli(1, boundary="periodic"), array), gain * array, atol=1e-10)


def test_simoncelli_levels_add_up_to_everything_but_the_slowest():
    array = noise((16, 16, 16))
    spectrum = np.fft.fftn(array)
    f = np.fft.fftfreq(16)
    radius = np.sqrt(f[:, None, None] ** 2 + f[None, :, None] ** 2 + f[None, None] ** 2)
    within = (radius < 0.25) & (radius >= 0.0625)
    array = np.fft.ifftn(np.where(within, spectrum, 0.0)).real
    energy = sum((apply(Simoncelli(level, boundary="periodic"), array) ** 2).sum() for level in (1, 2, 3, 4))
    assert energy == pytest.approx((array**2).sum())


@pytest.mark.parametrize("one", ALL, ids=lambda f: f.name)
def test_a_mask_saves_time_and_changes_nothing(one):
    array = noise((20, 30, 40))
    grid = Grid((40, 30, 20))
    mask = np.zeros(array.shape, np.uint8)
    mask[4:9, 8:14, 20:31] = 1
    whole, part = (sitk.GetArrayFromImage(one(grid.to_image(array), m)) for m in (None, grid.to_image(mask)))
    np.testing.assert_allclose(part[mask > 0], whole[mask > 0], atol=1e-10)
    assert np.isnan(part[0, 0, 0])


@given(axes=st.sampled_from([(0, 1), (0, 2), (1, 2)]), seed=st.integers(0, 99))
def test_pooled_filters_turn_with_the_image(axes, seed):
    array = noise((9, 9, 9), seed)
    for one in (
        Mean(3),
        LaplacianOfGaussian(1.2),
        Laws("E5L5S3", pooling="max"),
        Wavelet("db2", "LHH", pooling="mean"),
        Gabor(1.5, 3.0, 0.5, theta_step_deg=90.0, pooling="max"),
        Simoncelli(1),
    ):
        turned_first = apply(one, np.ascontiguousarray(np.rot90(array, axes=axes)))
        np.testing.assert_allclose(turned_first, np.rot90(apply(one, array), axes=axes), atol=1e-9, err_msg=one.name)


@given(axis=st.integers(0, 2), seed=st.integers(0, 99))
def test_even_filters_flip_with_the_image(axis, seed):
    array = noise((8, 9, 10), seed)
    for one in (Mean(3), LaplacianOfGaussian(1.2), Simoncelli(2), Gabor(1.5, 3.0, theta_step_deg=45.0, pooling="mean")):
        flipped = apply(one, np.ascontiguousarray(np.flip(array, axis)))
        np.testing.assert_allclose(flipped, np.flip(apply(one, array), axis), atol=1e-9, err_msg=one.name)
    odd = Riesz(tuple(int(2 - a == axis) for a in range(3)))
    flipped = apply(odd, np.ascontiguousarray(np.flip(array, axis)))
    np.testing.assert_allclose(flipped, -np.flip(apply(odd, array), axis), atol=1e-9)


@pytest.mark.parametrize("one", ALL, ids=lambda f: f.name)
def test_filters_are_linear_or_at_least_scale(one):
    array = noise((9, 10, 11))
    np.testing.assert_allclose(apply(one, 3.0 * array), 3.0 * apply(one, array), atol=1e-9)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("log:3", LaplacianOfGaussian(3)),
        ("laws:E5L5S5,energy_delta=7,pooling=max", Laws("E5L5S5", 7, "max")),
        ("mean:support=5,dimension=2,boundary=zero", Mean(5, dimension=2, boundary="zero")),
        ("wavelet:db3,LLH", Wavelet("db3", "LLH")),
        ("simoncelli", Simoncelli()),
        (
            "riesz:1-0-0 of log:3,boundary=zero",
            Riesz((1, 0, 0), LaplacianOfGaussian(3, boundary="zero"), boundary="zero"),
        ),
        ("riesz:0-2 of simoncelli:2,dimension=2", Riesz((0, 2), Simoncelli(2, dimension=2), dimension=2)),
    ],
)
def test_filters_in_words(text, wanted):
    assert filters.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sobel:3", "expected one of mean, log"),
        ("log", "expected sigma_mm, found none"),
        ("log:3,size=2", "expected settings sigma_mm, truncate, found 'size=2'"),
        ("mean:4", "support 4 is not an odd count"),
        ("log:-1", "sigma_mm -1 is not positive"),
        ("log:3,boundary=wrap", "boundary 'wrap' is none of zero"),
        ("laws:E5L5", "kernels 'E5L5' are not 3 of L5"),
        ("laws:E5L5Q5", "are not 3 of L5"),
        ("wavelet:sym2,LLL", "family 'sym2' is none of haar"),
        ("wavelet:haar,LL", "is not 3 letters L or H"),
        ("gabor:3,2,theta_step_deg=45", "needs a pooling"),
        ("gabor:3,2,theta_step_deg=50,pooling=max", "does not divide the full turn"),
        ("laws:E5L5S5,pooling=median", "pooling 'median' is none of max, min, mean"),
        ("simoncelli:0", "level 0 is not a positive count"),
        ("simoncelli:1,sampling=half", "sampling 'half' is none of exact, ibsi"),
        ("riesz:0-0-0", "one of them positive"),
        ("mean:3 of log:3", "expected riesz before 'of'"),
        ("mean:3,dimension=4", "dimension 4 is neither 2 nor 3"),
    ],
)
def test_filters_that_cannot_be(text, message):
    with pytest.raises(InputError, match=message):
        filters.parse(text)


def test_riesz_and_its_filter_agree_about_the_border():
    with pytest.raises(InputError, match="the filter log_3mm has another boundary"):
        Riesz((1, 0, 0), LaplacianOfGaussian(3.0, boundary="zero"))


def test_response_maps_come_beside_the_images_and_are_named():
    image = Grid((9, 9, 9)).to_image(noise((9, 9, 9)))
    found = filters.filtered({"T2": image}, ["mean:3", LaplacianOfGaussian(1.0)])
    assert list(found) == ["T2", "T2.mean_3", "T2.log_1mm"]
    assert list(filters.filtered([image], ["mean:3"], keep=False)) == ["image1.mean_3"]
    with pytest.raises(InputError, match=r"response map 'T2\.mean_3': expected one filter of that name"):
        filters.filtered({"T2": image}, ["mean:3", "mean:3,boundary=zero"])
    with pytest.raises(InputError, match="filters: expected at least one"):
        filters.filtered({"T2": image}, [])


def test_settings_are_told_for_provenance():
    told = Riesz((1, 0, 0), LaplacianOfGaussian(3.0)).said()
    assert told["ibsi_code"] == "AYRS"
    assert told["ibsi_boundary_code"] == "ZDTV"
    assert told["of"]["sigma_mm"] == 3.0


def test_images_a_filter_cannot_take():
    grid = Grid((9, 9, 9))
    array = noise((9, 9, 9))
    array[4, 4, 4] = np.nan
    with pytest.raises(InputError, match="1 voxels with NaN or infinity"):
        Mean(3)(grid.to_image(array))
    with pytest.raises(GeometryError, match="expected 3 dimensions, found 4"):
        Mean(3)(sitk.Image([4, 4, 4, 2], sitk.sitkFloat32))
    elsewhere = Grid((9, 9, 9), origin_mm=(100.0, 0.0, 0.0)).to_image(np.ones((9, 9, 9), np.uint8))
    with pytest.raises(InputError, match="mask: expected to overlap"):
        Mean(3)(grid.to_image(noise((9, 9, 9))), elsewhere)


def test_nan_out_of_sight_does_no_harm():
    array = noise((9, 9, 30))
    array[:, :, 25:] = np.nan
    mask = np.zeros(array.shape, np.uint8)
    mask[3:6, 3:6, 5:10] = 1
    grid = Grid((30, 9, 9))
    found = sitk.GetArrayFromImage(Mean(5)(grid.to_image(array), grid.to_image(mask)))
    assert np.isfinite(found[mask > 0]).all()


def test_unequal_voxels_are_told():
    image = Grid((9, 9, 9), (1.0, 1.0, 3.0)).to_image(noise((9, 9, 9)))
    with pytest.warns(ComouldWarning, match="mean_3 is counted in voxels, and these are 1 × 1 × 3 mm"):
        Mean(3)(image)
    Mean(3, dimension=2)(image)
    LaplacianOfGaussian(2.0)(image)

"""The radiomic vector of a region: shape of known bodies, intensity features by hand, processing, bad input."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from comould.errors import ComouldWarning, InputError
from comould.habitats import Processing, feature_maps, feature_names, process, region_features
from comould.habitats.catalogue import HISTOGRAM, INTENSITY_VOLUME
from comould.habitats.enclosing import ellipsoid_area, least_box, least_ellipsoid
from comould.habitats.intensity import histogram, intensity_volume
from comould.habitats.processing import PEAK_RADIUS_MM, region_of, regrid
from comould.space import Grid


def values(table):
    return {f"{row.family}.{row.feature}": row.value for row in table.itertuples()}


def body(radii_mm, spacing=(1.0, 1.0, 1.0)):
    """Ellipsoid with a smooth intensity, in a grid with room around it."""
    half = [int(np.ceil(r / s)) + 2 for r, s in zip(radii_mm, spacing, strict=True)]
    grid = Grid(tuple(2 * h + 1 for h in half), spacing)
    z, y, x = np.indices(grid.shape) - np.array(half[::-1])[:, None, None, None]
    scaled = [(axis * s / r) for axis, s, r in zip((x, y, z), spacing, radii_mm, strict=True)]
    return grid, 100.0 + 3.0 * x + 1.0 * y - 2.0 * z, sum(a**2 for a in scaled) <= 1.0


def run(grid, image, mask, **options):
    return region_features({"a": grid.to_image(image)}, grid.to_image(mask.astype(np.uint8)), **options)


# Shape


def test_an_ellipsoid_has_the_shape_of_an_ellipsoid():
    radii = (18.0, 14.0, 10.0)
    found = values(run(*body(radii, (1.0, 1.0, 2.0)), features="morphology"))
    volume = 4 / 3 * np.pi * np.prod(radii)
    assert found["morphology.volume_mesh"] == pytest.approx(volume, rel=0.02)
    assert found["morphology.volume_voxel_counting"] == pytest.approx(volume, rel=0.02)
    # Axes of the voxels are 2 √5 standard deviations of a full ellipsoid, IBSI takes 4: 2 r × 2 / √5.
    for name, radius in zip(("major", "minor", "least"), radii, strict=True):
        assert found[f"morphology.{name}_axis_length"] == pytest.approx(4 * radius / np.sqrt(5), rel=0.03)
    assert found["morphology.maximum_3d_diameter"] == pytest.approx(36.0, abs=2.0)
    assert found["morphology.elongation"] == pytest.approx(14 / 18, rel=0.02)
    assert found["morphology.flatness"] == pytest.approx(10 / 18, rel=0.03)
    # The least ellipsoid is drawn around the corners of the steps, 2 mm high.
    assert 0.8 < found["morphology.volume_density_minimum_volume_enclosing_ellipsoid"] < 0.95
    assert found["morphology.volume_density_convex_hull"] > 0.9
    assert found["morphology.centre_of_mass_shift"] > 0
    box = found["morphology.volume_density_axis_aligned_bounding_box"]
    assert box == pytest.approx(volume / (37 * 29 * 22), rel=0.02)
    assert found["morphology.volume_density_oriented_minimum_bounding_box"] >= box * (1 - 1e-9)


def test_shape_ratios_agree_with_each_other():
    found = values(run(*body((9.0, 6.0, 5.0)), features="morphology"))
    assert found["morphology.sphericity"] * found["morphology.spherical_disproportion"] == pytest.approx(1.0)
    assert found["morphology.compactness_2"] == pytest.approx(found["morphology.sphericity"] ** 3)
    assert found["morphology.asphericity"] == pytest.approx(found["morphology.spherical_disproportion"] - 1.0)


def test_axes_a_plane_does_not_have_are_nan():
    grid, image, mask = body((6.0, 5.0, 4.0))
    mask[: grid.shape[0] // 2] = mask[grid.shape[0] // 2 + 1 :] = False
    found = values(run(grid, image, mask, features="morphology"))
    assert found["morphology.least_axis_length"] == pytest.approx(0.0, abs=1e-6)
    assert np.isnan(found["morphology.volume_density_approximate_enclosing_ellipsoid"])
    assert found["morphology.volume_mesh"] > 0


@given(angles=st.tuples(*[st.floats(-1.5, 1.5)] * 3), edges=st.tuples(*[st.floats(1.0, 5.0)] * 3))
def test_the_least_box_of_a_box_is_that_box(angles, edges):
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * np.array(edges)
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        one = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        one[a, a], one[a, b], one[b, a], one[b, b] = c, -s, s, c
        turn = turn @ one
    assert np.sort(least_box(corners @ turn.T)) == pytest.approx(np.sort(edges), rel=1e-4)


def test_the_least_ellipsoid_of_points_on_an_ellipsoid_is_that_ellipsoid():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert least_ellipsoid(points * [5.0, 3.0, 2.0] @ turn.T + 7.0) == pytest.approx([5.0, 3.0, 2.0], rel=0.01)


def test_the_surface_of_a_sphere():
    assert ellipsoid_area(np.full(3, 2.5)) == pytest.approx(4 * np.pi * 2.5**2, rel=1e-12)
    assert ellipsoid_area(np.array([2.0, 2.0, 1.0])) < 16 * np.pi


def test_autocorrelation_equals_the_sum_over_pairs():
    grid, image, mask = body((3.0, 2.5, 4.0), (1.0, 0.8, 2.0))
    rng = np.random.default_rng(1)
    image = rng.normal(size=mask.shape)
    found = values(run(grid, image, mask, features=["morphology.moran_i_index", "morphology.geary_c_measure"]))
    points = np.argwhere(mask) * np.array(grid.spacing_mm[::-1])
    x = image[mask] - image[mask].mean()
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    weight = np.divide(1.0, apart, out=np.zeros_like(apart), where=apart > 0)
    moran = len(x) / weight.sum() * (weight * np.outer(x, x)).sum() / (x**2).sum()
    geary = (len(x) - 1) / (2 * weight.sum()) * (weight * (x[:, None] - x[None]) ** 2).sum() / (x**2).sum()
    assert found["morphology.moran_i_index"] == pytest.approx(moran, rel=1e-9)
    assert found["morphology.geary_c_measure"] == pytest.approx(geary, rel=1e-9)


@settings(max_examples=8)
@given(flips=st.tuples(*[st.booleans()] * 3), axes=st.permutations([0, 1, 2]))
def test_flips_and_rotations_by_90_degrees_change_nothing(flips, axes):
    grid, image, mask = body((4.0, 3.0, 2.0))
    image = image + np.random.default_rng(2).normal(size=mask.shape)

    def moved(array):
        for axis, flip in enumerate(flips):
            array = np.flip(array, axis) if flip else array
        return np.ascontiguousarray(array.transpose(axes))

    turned = moved(image)
    one = values(run(grid, image, mask, bins=8))
    other = values(run(Grid(turned.shape[::-1]), turned, moved(mask), bins=8))
    # The mesh of ambiguous cells depends on the axes, and the ellipsoid's search ends at a tolerance.
    for name, value in one.items():
        exact = "mesh" not in name and not name.startswith("morphology")
        assert other[name] == pytest.approx(value, rel=1e-9 if exact else 0.02, abs=1e-9), name


# Intensity


def test_local_peaks_are_means_within_one_cubic_centimetre():
    grid, _, mask = body((12.0, 12.0, 12.0), (2.0, 2.0, 3.0))
    image = np.random.default_rng(3).normal(size=mask.shape)
    found = values(run(grid, image, mask, features="local_intensity"))
    points = np.argwhere(np.ones_like(mask)) * np.array(grid.spacing_mm[::-1])
    means = {}
    for voxel in np.argwhere(mask):
        near = np.linalg.norm(points - voxel * np.array(grid.spacing_mm[::-1]), axis=1) <= PEAK_RADIUS_MM
        means[tuple(voxel)] = image.ravel()[near].mean()
    brightest = max(means, key=lambda voxel: image[voxel])
    assert found["local_intensity.local_intensity_peak"] == pytest.approx(means[brightest], abs=1e-12)
    assert found["local_intensity.global_intensity_peak"] == pytest.approx(max(means.values()), abs=1e-12)


def test_the_histograms_mode_is_the_one_nearest_the_mean():
    levels = np.array([1, 1, 4, 4, 5, 6], dtype=np.uint16)
    found = dict(zip(HISTOGRAM, histogram(levels, 6), strict=True))
    assert found["mode"] == 4
    assert found["maximum_gradient"] == 1.0
    assert found["maximum_gradient_intensity"] == 3
    assert found["minimum_gradient_intensity"] == 1


def test_the_intensity_volume_histogram_of_the_reference_manual():
    """Table of the digital phantom: ν = 1, .324, .324, .311, .095, .095 at 1 … 6."""
    shares = [50, 0, 1, 16, 0, 7]
    intensities = np.repeat(np.arange(1.0, 7.0), shares)
    found = dict(
        zip(INTENSITY_VOLUME, intensity_volume(intensities, Processing(), bin_width=None, bins=None), strict=True)
    )
    assert found["volume_at_intensity_fraction_10"] == pytest.approx(24 / 74)
    assert found["intensity_at_volume_fraction_10"] == 5
    assert found["intensity_at_volume_fraction_90"] == 2
    nu = np.array([74, 24, 24, 23, 7, 7]) / 74
    assert found["area_under_curve"] == pytest.approx(((nu[1:] + nu[:-1]) / 2).mean())


def test_intensities_without_a_unit_get_a_thousand_bins():
    intensities = np.random.default_rng(4).random(5000)
    by_default, asked = (
        intensity_volume(intensities, Processing(), bin_width=None, bins=bins) for bins in (None, 1000)
    )
    np.testing.assert_array_equal(by_default, asked)
    assert by_default[2] == pytest.approx(900, abs=20)


# Processing


def test_a_new_grid_covers_the_old_one_about_the_same_centre():
    grid = Grid((204, 201, 60), (0.977, 0.977, 3.0), (-10.0, 5.0, 7.0))
    new = regrid(grid, 2.0)
    assert new.size == (100, 99, 90)
    assert new.corners_mm().mean(axis=0) == pytest.approx(grid.corners_mm().mean(axis=0))
    kept = regrid(grid, (2.0, None, None))
    assert kept.spacing_mm == (2.0, 0.977, 3.0)
    assert kept.size == (100, 201, 60)


def test_interpolation_of_a_plane_is_exact_and_rounds_half_up():
    grid, image, mask = body((8.0, 8.0, 8.0), (1.0, 1.0, 2.0))
    volume, region = grid.to_image(image), grid.to_image(mask.astype(np.uint8))
    found = region_of(volume, region, Processing(1.0))
    points = found.aligned.grid.patient_from_index(found.aligned.mask_idx[:, ::-1])
    index = grid.index_from_patient(points) - (np.array(grid.size) - 1) / 2
    np.testing.assert_allclose(found.intensities, 100 + index @ [3.0, 1.0, -2.0], atol=1e-9)
    rounded = region_of(volume, region, Processing(1.0, round_intensities=True))
    np.testing.assert_array_equal(rounded.intensities, np.floor(found.intensities + 0.5))


def test_re_segmentation_leaves_the_shape_alone():
    grid, image, mask = body((8.0, 8.0, 8.0))
    whole = run(grid, image, mask, features=["morphology.volume_mesh", "firstorder"])
    kept = run(
        grid,
        image,
        mask,
        features=["morphology.volume_mesh", "firstorder"],
        processing=Processing(intensity_range=(90.0, None)),
    )
    assert values(kept)["morphology.volume_mesh"] == values(whole)["morphology.volume_mesh"]
    assert values(kept)["firstorder.minimum"] == image[mask & (image >= 90)].min()
    assert kept.attrs["n_voxels"]["a"] == (mask.sum(), (mask & (image >= 90)).sum())


def test_outliers_are_counted_from_what_the_range_keeps():
    grid, image, mask = body((8.0, 8.0, 8.0))
    image[grid.shape[0] // 2, grid.shape[1] // 2, grid.shape[2] // 2] = 1e6
    both = run(
        grid,
        image,
        mask,
        features="firstorder.maximum",
        processing=Processing(intensity_range=(None, 1e5), outlier_sd=2),
    )
    rest = image[mask & (image < 1e5)]
    assert both.value[0] == rest[np.abs(rest - rest.mean()) <= 2 * rest.std()].max()


def test_fixed_bins_begin_at_the_lower_bound_of_the_range():
    grid, image, mask = body((6.0, 6.0, 6.0))
    found = run(
        grid,
        image,
        mask,
        features="histogram.minimum",
        bin_width=10.0,
        processing=Processing(intensity_range=(0.0, 400.0)),
    )
    assert found.value[0] == np.floor(image[mask].min() / 10) + 1


def test_maps_see_the_same_intensities_as_the_region():
    grid, image, mask = body((8.0, 7.0, 6.0), (1.0, 1.0, 2.0))
    image += np.random.default_rng(5).normal(size=image.shape)
    settings = Processing(1.5, round_intensities=True, intensity_range=(90.0, 115.0))
    volume, whole, kept = process(grid.to_image(image), grid.to_image(mask.astype(np.uint8)), settings)
    assert Grid.from_image(volume) == Grid.from_image(whole) == Grid.from_image(kept)
    table = run(grid, image, mask, features="glcm", bins=8, processing=settings)
    counts = [int(sitk.GetArrayViewFromImage(one).sum()) for one in (whole, kept)]
    assert tuple(counts) == table.attrs["n_voxels"]["a"]
    assert 0 < counts[1] < counts[0]
    with pytest.warns(ComouldWarning, match="covers the whole mask"):
        maps = feature_maps({"a": volume}, kept, features="glcm", radius_voxels=40, shape="box", bins=8)
    np.testing.assert_allclose(maps.values[0], table.value, rtol=1e-12, atol=1e-12)


# The table


def test_the_table_is_tidy():
    grid, image, mask = body((5.0, 4.0, 4.0))
    table = run(grid, image, mask, aggregation=["2D, averaged", "3D, averaged", "3D, merged"], bins=8)
    assert list(table.columns) == ["image", "family", "feature", "code", "aggregation", "value"]
    assert not table.duplicated(["image", "family", "feature", "aggregation"]).any()
    counts = table.groupby("family").size()
    assert counts["glcm"] == 3 * 25
    assert counts["glszm"] == 2 * 16
    assert counts["morphology"] == 29
    assert set(table.aggregation[table.family == "ngtdm"]) == {"2D", "3D"}
    assert len(run(grid, image, mask, bins=8)) == len(feature_names()) - 2


def test_shape_needs_no_grey_levels():
    grid, image, mask = body((5.0, 4.0, 4.0))
    assert len(run(grid, image, mask, features=["morphology", "ivh"], bin_width=1e-4)) == 29 + 7
    with pytest.raises(InputError, match="at most 512 levels"):
        run(grid, image, mask, features="histogram", bin_width=1e-4)


def test_one_intensity_left_by_re_segmentation_is_measured():
    grid, image, mask = body((5.0, 4.0, 4.0))
    image = np.where(image > 100, 200.0, 50.0)
    found = values(run(grid, image, mask, processing=Processing(intensity_range=(100.0, None)), bins=4))
    assert found["firstorder.variance"] == found["glcm.joint_entropy"] == found["histogram.range"] == 0.0
    assert found["ivh.volume_at_intensity_fraction_90"] == 1.0
    assert found["ngtdm.coarseness"] == 1e6
    assert np.isnan(found["morphology.moran_i_index"])


def test_settings_by_image():
    grid, image, mask = body((5.0, 4.0, 4.0))
    images = {"CT": grid.to_image(image), "MR": grid.to_image(image)}
    table = region_features(
        images,
        grid.to_image(mask.astype(np.uint8)),
        features="firstorder.minimum",
        processing={"CT": Processing(intensity_range=(100, 400))},
    )
    assert table.value.tolist() == [image[mask & (image >= 100)].min(), image[mask].min()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aggregation": "4D"}, "aggregation '4D' is unknown.*Aggregations: '2D, averaged'"),
        ({"aggregation": []}, "no aggregation is asked for"),
        ({"distance": 0}, "distance 0 is not a positive count"),
        ({"coarseness": -1}, "coarseness -1 is not a count"),
        ({"kernel": 3}, "setting 'kernel': expected one of coarseness"),
        ({"features": "intensity"}, "'intensity' has no value for a region"),
        ({"ivh_bins": 1, "features": "ivh"}, "ivh_bins: expected at least two"),
        ({"ivh_bin_width": -1.0, "features": "ivh"}, "ivh_bin_width: expected a positive width"),
        ({"ivh_bin_width": 1e-6, "features": "ivh"}, "expected at most 1000000 steps"),
        ({"processing": Processing(intensity_range=(1e6, None))}, "re-segmentation of image 'a'.*Widen the range"),
    ],
)
def test_bad_requests_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        run(*body((5.0, 4.0, 4.0)), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spacing_mm": 0.0}, "spacing_mm 0.0 is not a positive length"),
        ({"spacing_mm": (1.0, 2.0)}, "is not a positive length, or three"),
        ({"interpolator": "sinc"}, "interpolator 'sinc' is none of"),
        ({"intensity_range": (4.0, 4.0)}, "is empty"),
        ({"outlier_sd": -3}, "outlier_sd -3 is not positive"),
    ],
)
def test_bad_processing_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        Processing(**options)


def test_a_mask_that_interpolation_loses_is_told():
    grid, image, mask = body((8.0, 8.0, 8.0))
    mask[:] = False
    mask[2, 2, 2:4] = True
    with pytest.raises(InputError, match="expected voxels left after interpolation, found none of the mask at"):
        run(grid, image, mask, processing=Processing(5.0))


def test_one_voxel_is_no_region():
    grid, image, mask = body((5.0, 4.0, 4.0))
    mask[:] = False
    mask[5, 5, 5] = True
    with pytest.raises(InputError, match="at least two voxels, found one"):
        run(grid, image, mask)


def test_an_image_on_another_grid_is_told():
    grid, image, mask = body((6.0, 6.0, 6.0))
    other = Grid(grid.size, grid.spacing_mm, (0.25, 0.0, 0.0))
    with pytest.warns(ComouldWarning, match="was resampled"):
        table = region_features(
            {"a": other.to_image(image)},
            grid.to_image(mask.astype(np.uint8)),
            features=["firstorder", "local_intensity"],
        )
    assert values(table)["firstorder.mean"] == pytest.approx(image[mask].mean() - 0.75)
    assert np.isfinite(table.value).all()


def test_the_mask_must_be_an_image():
    grid, image, mask = body((6.0, 6.0, 6.0))
    with pytest.raises(InputError, match="expected a SimpleITK image, found ndarray"):
        region_features({"a": grid.to_image(image)}, mask)
    four = sitk.Image((3, 3, 3, 2), sitk.sitkFloat32)
    with pytest.raises(InputError, match="expected 3 dimensions, found 4"):
        region_features({"a": four}, grid.to_image(mask.astype(np.uint8)))

"""Feature maps: a slow reference, equivariance, threads, settings and bad input."""

import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.habitats import feature_code, feature_maps, feature_names, region_features
from comould.habitats.discretise import discretise
from comould.habitats.neighbourhood import Neighbourhood, directions
from comould.space import Grid

pytestmark = pytest.mark.filterwarnings("ignore:.*have an undefined feature:comould.errors.ComouldWarning")


def example(seed=0, shape=(4, 6, 7), spacing=(1.0, 1.0, 1.0), levels=5):
    """Integer image and ragged mask (two pieces, a hole) on one grid."""
    rng = np.random.default_rng(seed)
    grid = Grid(shape[::-1], spacing)
    mask = rng.random(shape) < 0.75
    mask[1, 2, 2], mask[0, 0, 0] = False, True
    return rng.integers(0, levels, shape).astype(float), mask, grid


def reference(image, mask, voxel, offsets, steps, n_levels):
    """First-order mean, variance, entropy and the symmetric matrix, from the definitions, in plain Python."""
    low, high = image[mask].min(), image[mask].max()
    inside = [tuple(np.add(voxel, o)) for o in offsets]
    inside = [v for v in inside if all(0 <= c < n for c, n in zip(v, image.shape, strict=True)) and mask[v]]
    level = {v: min(int(n_levels * (image[v] - low) / (high - low)) + 1, n_levels) for v in inside}
    matrices = []
    for step in steps:
        matrix = np.zeros((n_levels, n_levels))
        for first in inside:
            second = tuple(np.add(first, step))
            if second in level:
                matrix[level[first] - 1, level[second] - 1] += 1
                matrix[level[second] - 1, level[first] - 1] += 1
        matrices.append(matrix)
    return [image[v] for v in inside], list(level.values()), matrices


def glcm_reference(matrix):
    """Six features straight from the probability matrix."""
    p = matrix / matrix.sum()
    i, j = np.meshgrid(*[np.arange(1, len(p) + 1)] * 2, indexing="ij")
    mean = (i * p).sum()
    variance = ((i - mean) ** 2 * p).sum()
    seen = p[p > 0]
    return {
        "joint_entropy": -(seen * np.log2(seen)).sum(),
        "contrast": ((i - j) ** 2 * p).sum(),
        "inverse_difference_moment": (p / (1 + (i - j) ** 2)).sum(),
        "correlation": ((i - mean) * (j - mean) * p).sum() / variance if variance > 0 else 1.0,
        "cluster_shade": ((i + j - 2 * mean) ** 3 * p).sum(),
        "joint_maximum": p.max(),
    }


@pytest.mark.parametrize(
    ("shape", "dimension", "aggregation", "spacing", "distance"),
    [
        ("ball", 3, "merged", (1.0, 1.0, 1.0), 1),
        ("box", 3, "averaged", (1.0, 1.0, 1.0), 1),
        ("ball", 2, "merged", (1.0, 0.7, 3.0), 1),
        ("ball", 3, "averaged", (1.2, 0.8, 2.0), 1),
        ("box", 3, "merged", (1.0, 1.0, 1.0), 2),
    ],
)
def test_maps_equal_the_slow_reference(shape, dimension, aggregation, spacing, distance):
    image, mask, grid = example(spacing=spacing)
    wanted = [f"glcm.{n}" for n in glcm_reference(np.ones((2, 2)))]
    maps = feature_maps(
        {"a": grid.to_image(image)},
        grid.to_image(mask),
        features=["firstorder.mean", "firstorder.variance", "firstorder.entropy", *wanted],
        radius_mm=2.0,
        bins=4,
        shape=shape,
        dimension=dimension,
        aggregation=aggregation,
        distance=distance,
    )
    steps = directions(dimension, distance)
    reach = [int(np.floor(2.0 / s + 1e-9)) for s in spacing[::-1]]
    offsets = [
        o
        for o in product(*[range(-r, r + 1) for r in reach])
        if (dimension == 3 or o[0] == 0)
        and (shape == "box" or sum((d * s) ** 2 for d, s in zip(o, spacing[::-1], strict=True)) <= 4.0 + 1e-9)
    ]
    assert maps.parameters["kernel_size"] == len(offsets)
    for row, voxel in enumerate(map(tuple, maps.mask_idx)):
        values, levels, matrices = reference(image, mask, voxel, offsets, steps, 4)
        share = np.bincount(levels) / len(levels)
        expected = {
            "firstorder.mean": np.mean(values),
            "firstorder.variance": np.var(values),
            "firstorder.entropy": -sum(p * np.log2(p) for p in share if p > 0),
        }
        used = [sum(matrices)] if aggregation == "merged" else matrices
        each = [glcm_reference(m) for m in used if m.sum()]
        for name in wanted:
            expected[name] = np.mean([e[name[5:]] for e in each]) if each else np.nan
        found = [maps.column(f"a/{name}")[row] for name in expected]
        np.testing.assert_allclose(found, list(expected.values()), rtol=1e-9, atol=1e-12)
        assert maps.coverage[row] == pytest.approx(len(values) / len(offsets))


ALL = ["firstorder", "glcm", "intensity"]


@given(seed=st.integers(0, 10_000), flips=st.tuples(*[st.booleans()] * 3), axes=st.permutations([0, 1, 2]))
def test_flips_and_rotations_by_90_degrees_move_the_maps_with_the_image(seed, flips, axes):
    image, mask, _ = example(seed)

    def moved(array):
        return np.flip(np.transpose(array, axes), [a for a in range(3) if flips[a]]).copy()

    def maps_of(image, mask):
        own = Grid(mask.shape[::-1])
        images = {"a": own.to_image(image)}
        found = feature_maps(images, own.to_image(mask), features=ALL, radius_voxels=1, shape="box", bins=4, threads=1)
        return found, [sitk.GetArrayFromImage(found.image(n)) for n in found.names]

    (plain, arrays), (_, turned) = maps_of(image, mask), maps_of(moved(image), moved(mask))
    for name, one, other in zip(plain.names, arrays, turned, strict=True):
        if "gaussian" in name:
            np.testing.assert_allclose(moved(one), other, rtol=1e-9)
        else:
            np.testing.assert_array_equal(moved(one), other, err_msg=name)


@pytest.mark.parametrize("aggregation", ["merged", "averaged"])
def test_thread_count_changes_no_bit(aggregation):
    image, mask, grid = example(3, (9, 12, 13), (0.7, 0.7, 1.5))
    images = {"a": grid.to_image(image + np.random.default_rng(1).normal(size=image.shape))}
    found = [
        feature_maps(
            images, grid.to_image(mask), features=ALL, radius_mm=2.1, aggregation=aggregation, threads=t
        ).values
        for t in (1, 2, 5)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_outside_of_the_mask_never_enters():
    image, mask, grid = example(5)
    other = np.where(mask, image, 1e6)
    both = [
        feature_maps({"a": grid.to_image(i)}, grid.to_image(mask), features=ALL, radius_voxels=2, bins=4).values
        for i in (image, other)
    ]
    np.testing.assert_array_equal(*both)


def test_coverage_is_the_same_however_it_is_counted():
    image, mask, grid = example(7)
    found = [
        feature_maps({"a": grid.to_image(image)}, grid.to_image(mask), features=wanted, radius_voxels=2)
        for wanted in ("firstorder.mean", "intensity.voxel", "glcm.contrast")
    ]
    np.testing.assert_array_equal(found[0].coverage, found[1].coverage)
    np.testing.assert_array_equal(found[0].coverage, found[2].coverage)
    assert found[0].coverage.min() > 0
    assert found[0].coverage.max() <= 1


def test_names_order_and_images():
    image, mask, grid = example()
    images = {"T2": grid.to_image(image), "ADC": grid.to_image(-image)}
    wanted = ["glcm.contrast", "firstorder.mean", "glcm.contrast"]
    maps = feature_maps(images, grid.to_image(mask), features=wanted, radius_voxels=1)
    assert maps.names == ("T2/glcm.contrast", "T2/firstorder.mean", "ADC/glcm.contrast", "ADC/firstorder.mean")
    assert maps.values.dtype == np.float64
    np.testing.assert_array_equal(maps.mask_idx, np.argwhere(mask))
    picture = sitk.GetArrayFromImage(maps.image("T2/firstorder.mean"))
    assert np.isnan(picture[~mask]).all()
    np.testing.assert_array_equal(picture[mask], maps.column("T2/firstorder.mean"))
    np.testing.assert_allclose(maps.column("ADC/firstorder.mean"), -maps.column("T2/firstorder.mean"))
    assert Grid.from_image(maps.image("coverage")) == grid
    with pytest.raises(InputError, match=r"feature map 'T2/x': expected one of T2/glcm.contrast"):
        maps.column("T2/x")


def test_a_list_of_images_gets_names():
    image, mask, grid = example()
    maps = feature_maps([grid.to_image(image)] * 2, grid.to_image(mask), features="intensity.voxel", radius_voxels=1)
    assert maps.names == ("image1/intensity.voxel", "image2/intensity.voxel")
    np.testing.assert_array_equal(maps.values[:, 0], image[mask])


def test_gaussian_of_a_constant_region_stays_constant_at_the_edge():
    """A normalised convolution: no darkening towards the mask's border."""
    _, mask, grid = example(2)
    image = np.full(mask.shape, 7.0)
    image[0, 0, 0] = 7.5
    maps = feature_maps({"a": grid.to_image(image)}, grid.to_image(mask), features="intensity", radius_mm=1.0)
    assert maps.column("a/intensity.gaussian").min() >= 7.0 - 1e-9


def test_isolated_voxels_are_nan_and_told():
    mask = np.zeros((1, 5, 9), dtype=np.uint8)
    mask[0, 0, :3] = mask[0, 4, 8] = 1
    grid = Grid((9, 5, 1))
    image = grid.to_image(np.arange(45.0).reshape(1, 5, 9))
    with pytest.warns(ComouldWarning, match="1 of 4 voxels have an undefined feature"):
        maps = feature_maps({"a": image}, grid.to_image(mask), features="glcm.contrast", radius_voxels=1)
    np.testing.assert_array_equal(np.isnan(maps.values[:, 0]), [False, False, False, True])


def test_a_neighbourhood_of_one_level_has_the_stated_conventions():
    image = np.ones((1, 5, 9))
    image[..., 8] = 2.0
    grid = Grid((9, 5, 1))
    maps = feature_maps({"a": grid.to_image(image)}, grid.to_image(np.ones((1, 5, 9), np.uint8)), features=ALL,
                        radius_voxels=1, bins=4)  # fmt: skip
    flat = {name.partition("/")[2]: maps.values[0, n] for n, name in enumerate(maps.names)}
    assert flat["glcm.correlation"] == 1.0
    assert flat["glcm.information_correlation_1"] == flat["glcm.information_correlation_2"] == 0.0
    assert flat["glcm.joint_entropy"] == flat["firstorder.skewness"] == flat["firstorder.kurtosis"] == 0.0


# Settings


@given(values=st.lists(st.floats(-1e4, 1e4, allow_subnormal=False), min_size=2, max_size=50), bins=st.integers(2, 64))
def test_fixed_bin_number_covers_one_to_n_and_keeps_order(values, bins):
    array = np.array(values)
    levels, n_levels = discretise(array, bins=bins)
    assert n_levels == bins
    assert levels.min() == 1
    if array.max() > array.min():
        assert levels.max() == bins
    order = np.argsort(array)
    assert (np.diff(levels[order].astype(int)) >= 0).all()


def test_fixed_bin_size_by_the_formula():
    levels, n_levels = discretise(np.array([-1000.0, -975.1, -975.0, 400.0]), bin_width=25.0, lower_bound=-1000.0)
    np.testing.assert_array_equal(levels, [1, 1, 2, 57])
    assert n_levels == 57


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bins": 1}, "expected 2 to 512 bins, found 1"),
        ({"bin_width": 0.0}, "expected a positive bin width"),
        ({"bin_width": 1.0, "lower_bound": 1.0}, r"no intensity below the lower bound 1, found \d+ voxels, down to 0"),
        ({"bin_width": 1e-3}, "at most 512 levels, found 4001"),
        ({"aggregation": "summed"}, "aggregation 'summed' is neither"),
        ({"distance": 0}, "distance 0 is not a positive"),
        ({"threads": 0}, "threads 0 is not positive"),
        ({"dimension": 4}, "dimension 4 is neither 2 nor 3"),
        ({"shape": "star"}, "shape 'ball' or 'box'"),
        ({"radius_voxels": None}, "exactly one of radius_mm and radius_voxels, found neither"),
        ({"radius_mm": 1.0}, "found both"),
        ({"radius_voxels": 0}, "positive length or count"),
        ({"radius_voxels": (1, 1)}, "positive length or count"),
        ({"radius_voxels": None, "radius_mm": 0.5}, "reaches a neighbouring voxel, found a spacing of 1 × 1 × 1 mm"),
        ({"features": "glcm.entropi"}, "'glcm.entropi' is unknown .nearest: 'glcm"),
        ({"features": []}, "none asked for"),
        ({"kernel": 3}, "setting 'kernel': expected one of aggregation"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    image, mask, grid = example()
    settings = {"radius_voxels": 1} | settings
    with pytest.raises(InputError, match=message):
        feature_maps({"a": grid.to_image(image)}, grid.to_image(mask), **settings)


def test_bin_width_by_image_leaves_the_others_at_bins():
    image, mask, grid = example()
    images = {"CT": grid.to_image(image), "MR": grid.to_image(image)}
    chosen = {"features": "glcm.contrast", "bins": 3}
    per_image = region_features(images, grid.to_image(mask), bin_width={"CT": 1.0}, **chosen).value.tolist()
    fixed = region_features(images, grid.to_image(mask), features="glcm.contrast", bin_width=1.0).value.tolist()
    number = region_features(images, grid.to_image(mask), **chosen).value.tolist()
    assert per_image == [fixed[0], number[1]]


def test_the_catalogue_knows_ibsi_codes():
    assert feature_code("T2/glcm.joint_entropy") == "TU9B"
    assert feature_code("firstorder.mean") == "Q4LE"
    assert len(feature_names("glcm")) == 25
    assert [len(feature_names(family)) for family in ("morphology", "histogram", "glrlm", "ngldm")] == [29, 23, 16, 17]
    assert len(feature_names()) == len(set(feature_names())) == 29 + 2 + 20 + 23 + 7 + 25 + 3 * 16 + 5 + 17 + 2


@given(
    radius=st.floats(1.0, 4.0),
    spacing=st.tuples(*[st.floats(0.5, 3.0)] * 3),
    step=st.sampled_from(directions(3).tolist()),
)
def test_sliding_pairs_lose_and_gain_what_the_step_changes(radius, spacing, step):
    try:
        kernel = Neighbourhood.around(spacing, radius_mm=radius)
    except InputError:
        return
    every, lost, gained = (set(map(tuple, part.tolist())) for part in kernel.pairs(step))
    shifted = {(k, j, i + 1) for k, j, i in every}
    assert lost == every - shifted
    assert {(k, j, i + 1) for k, j, i in gained} == shifted - every


def test_directions_are_half_of_all_neighbours():
    for dimension, count in ((3, 13), (2, 4)):
        steps = directions(dimension)
        both = {tuple(s) for s in np.concatenate([steps, -steps])}
        assert len(steps) == count
        assert len(both) == 2 * count


# Images and masks


def ball(shape=(8, 10, 12), spacing=(1.0, 1.0, 2.0)):
    grid = Grid(shape[::-1], spacing, (5.0, -3.0, 10.0))
    image = np.random.default_rng(0).normal(100, 10, shape)
    mask = np.zeros(shape, np.uint8)
    mask[2:6, 2:8, 3:9] = 1
    return grid, image, mask


def run(image, mask, **settings):
    return feature_maps({"T2": image}, mask, **({"radius_mm": 2.0, "features": "firstorder.mean"} | settings))


def test_an_image_on_another_grid_is_resampled_and_told():
    grid, _, mask = ball()
    fine = Grid((40, 36, 30), (0.5, 0.5, 1.0), (3.0, -5.0, 8.0))
    k, j, i = np.indices(fine.shape)
    ramp = fine.patient_from_index(np.stack([i, j, k], -1).reshape(-1, 3)) @ [1.0, 2.0, 3.0]
    with pytest.warns(ComouldWarning, match=r"image 'T2' was resampled \(linear\) to the mask's grid: size"):
        maps = run(fine.to_image(ramp.reshape(fine.shape)), grid.to_image(mask), features="intensity.voxel")
    expected = grid.patient_from_index(maps.mask_idx[:, ::-1]) @ [1.0, 2.0, 3.0]
    np.testing.assert_allclose(maps.values[:, 0], expected, atol=1e-6)
    assert list(maps.parameters["resampled"]) == ["T2"]


def test_voxels_an_image_does_not_cover_are_left_out_and_told():
    grid, image, mask = ball()
    short = Grid((12, 10, 5), grid.spacing_mm, grid.origin_mm)
    with pytest.warns(ComouldWarning) as told:
        maps = run(short.to_image(image[:5]), grid.to_image(mask))
    assert any("36 of 144 voxels of the mask are left out" in str(w.message) for w in told)
    assert maps.mask_idx[:, 0].max() == 4
    assert maps.parameters["n_voxels_not_covered_by_all_images"] == 36


def test_an_oblique_grid_changes_nothing_but_the_place():
    grid, image, mask = ball()
    turned = Grid(grid.size, grid.spacing_mm, (1.0, 2.0, 3.0), np.array(sitk.Euler3DTransform(
        (0, 0, 0), 0.3, -0.2, 0.5).GetMatrix()).reshape(3, 3))  # fmt: skip
    plain, oblique = (run(g.to_image(image), g.to_image(mask)) for g in (grid, turned))
    np.testing.assert_array_equal(plain.values, oblique.values)
    assert Grid.from_image(oblique.image("T2/firstorder.mean")) == turned


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda g, i, m: (g.to_image(np.where(i > 90, i, np.nan)), g.to_image(m)), r"voxels with NaN or infinity"),
        (lambda g, i, m: (g.to_image(np.full_like(i, 3.0)), g.to_image(m)), "vary within the mask, found 3 everywhere"),
        (lambda g, i, m: (g.to_image(i), g.to_image(m * 0)), "mask: expected voxels inside, found none"),
        (
            lambda g, i, m: (g.to_image(i), g.to_image(m * (1 + (i > 100)).astype(np.uint8))),
            "one label, found labels 1, 2",
        ),
        (lambda g, i, m: (g.to_image(i), m), "mask: expected a SimpleITK image, found ndarray"),
        (lambda g, i, m: (g.to_image(np.stack([i, i], -1)), g.to_image(m)), "one number per voxel, found 2"),
        (lambda g, i, m: (sitk.Image((3, 3, 3, 2), sitk.sitkFloat32), g.to_image(m)), "expected 3 dimensions, found 4"),
        (
            lambda g, i, m: (Grid(g.size, g.spacing_mm, (900, 0, 0)).to_image(i), g.to_image(m)),
            "0% of the mask's voxels",
        ),
    ],
    ids=["nan", "constant", "empty", "labels", "array", "vector", "4-D", "elsewhere"],
)
def test_bad_images_are_refused(spoil, message):
    image, mask = spoil(*ball())
    with pytest.raises((InputError, GeometryError), match=message):
        run(image, mask)


def test_a_mask_of_one_voxel_is_refused():
    grid, image, mask = ball()
    mask[:] = 0
    mask[3, 3, 3] = 1
    with pytest.raises(InputError, match="at least two voxels, found one"):
        run(grid.to_image(image), grid.to_image(mask))


def test_no_images_and_bad_names_are_refused():
    grid, image, mask = ball()
    for images, message in (
        ({}, "at least one, found none"),
        ({"a/b": grid.to_image(image)}, "a name without '/'"),
        (grid.to_image(image), "mapping of names to images, or a list"),
    ):
        with pytest.raises(InputError, match=message):
            feature_maps(images, grid.to_image(mask), radius_mm=2.0)


def test_a_region_has_no_intensity_map():
    grid, image, mask = ball()
    with pytest.raises(InputError, match="'intensity' has no value for a region"):
        region_features({"a": grid.to_image(image)}, grid.to_image(mask), features="intensity")


def test_importing_the_room_imports_no_heavy_library():
    code = (
        "import sys, comould.habitats; heavy = {'numba', 'sklearn', 'pandas', 'SimpleITK', 'scipy.ndimage', 'scanpy'}; "
        "sys.exit(' '.join(heavy & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr.strip() == ""
    )

"""Maps of run lengths, zones, grey tones and dependences: the region's value at every voxel, equivariance, tiles."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import ComouldWarning, InputError
from comould.habitats import feature_maps, lattice, region_features
from comould.habitats.catalogue import FAMILIES
from comould.habitats.neighbourhood import Neighbourhood, neighbours
from comould.habitats.textures import LevelBox, texture
from comould.space import Grid

pytestmark = pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")

TEXTURES = ["glcm", "glrlm", "glszm", "ngtdm", "ngldm"]


def example(seed=0, shape=(4, 6, 7), spacing=(1.0, 1.0, 1.0), levels=5):
    """Integer image and ragged mask (a hole, loose voxels) on one grid."""
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.75
    return rng.integers(0, levels, shape).astype(float), mask, Grid(shape[::-1], spacing)


@pytest.mark.parametrize(
    ("settings", "spacing"),
    [
        ({"radius_voxels": 2, "shape": "box"}, (1.0, 1.0, 1.0)),
        ({"radius_mm": 2.1, "aggregation": "averaged"}, (1.2, 0.8, 2.0)),
        ({"radius_mm": 2.1, "dimension": 2}, (1.0, 0.7, 3.0)),
        ({"radius_voxels": (1, 2, 1), "distance": 2, "coarseness": 1}, (1.0, 1.0, 1.0)),
    ],
    ids=["box", "ball in mm, averaged", "planar", "distance 2"],
)
def test_every_voxel_holds_the_value_of_its_kernel_as_a_region(settings, spacing):
    image, mask, grid = example(4, spacing=spacing)
    volume = grid.to_image(image)
    maps = feature_maps({"a": volume}, grid.to_image(mask), features=TEXTURES, bin_width=1.0, **settings)
    shared = {key: settings.pop(key) for key in ("distance", "coarseness") if key in settings}
    dimension, way = settings.pop("dimension", 3), settings.pop("aggregation", "merged")
    kernel = Neighbourhood.around(spacing, dimension=dimension, **settings)
    aggregation = f"3D, {way}" if dimension == 3 else "2.5D, merged"
    for row in np.random.default_rng(0).choice(len(maps.values), 12, replace=False):
        around = maps.mask_idx[row] + kernel.offsets
        around = around[np.all((around >= 0) & (around < mask.shape), axis=1)]
        part = np.zeros_like(mask)
        part[tuple(around.T)] = True
        part &= mask
        if part.sum() < 2 or np.ptp(image[part]) == 0:
            continue
        table = region_features(
            {"a": volume},
            grid.to_image(part),
            features=TEXTURES,
            bin_width=1.0,
            lower_bound=0.0,
            aggregation=aggregation,
            **shared,
        )
        by_levels = ~table.feature.str.startswith("normalised_inverse").to_numpy()
        expected = table.value.to_numpy()
        np.testing.assert_allclose(maps.values[row][by_levels], expected[by_levels], rtol=1e-10, atol=1e-12)


def test_runs_and_zones_of_a_small_plane_by_hand():
    """
    1 1 2
    2 1 2
    1 3 3
    """
    levels = np.array([[[1, 1, 2], [2, 1, 2], [1, 3, 3]]], dtype=np.uint16)
    box = LevelBox.around(levels, levels > 0, 3)
    rows = dict(zip(FAMILIES["glrlm"], texture(box, "glrlm", "2D, averaged"), strict=True))
    # Runs along rows 2 + 3 + 2, columns 3 + 2 + 2, one diagonal 2 + 2 + 2 + 1 + 1, the other 1 + 2 + 2 + 2 + 1.
    percentage = np.mean([7, 7, 8, 8]) / 9
    assert rows["run_percentage"] == pytest.approx(percentage)
    zones = dict(zip(FAMILIES["glszm"], texture(box, "glszm", "2D"), strict=True))
    # By eight neighbours: the ones hang together (size 4), the twos on the right (2) and left (1), the threes (2).
    assert zones["zone_percentage"] == pytest.approx(4 / 9)
    assert zones["large_zone_emphasis"] == pytest.approx((16 + 4 + 1 + 4) / 4)
    assert zones["zone_size_entropy"] == pytest.approx(2.0)


def test_distance_zones_count_steps_to_the_outline():
    levels = np.ones((5, 5, 5), dtype=np.uint16)
    levels[2, 2, 2] = 2
    box = LevelBox.around(levels, levels > 0, 2)
    found = dict(zip(FAMILIES["gldzm"], texture(box, "gldzm", "3D"), strict=True))
    assert found["large_distance_emphasis"] == pytest.approx((1 + 9) / 2)
    # An outline larger than the levels makes the same zones deeper.
    wider = LevelBox.around(np.pad(levels, 1), np.ones((7, 7, 7), dtype=bool), 2)
    assert texture(wider, "gldzm", "3D")[1] == pytest.approx((4 + 16) / 2)


def test_tones_of_a_row_by_hand():
    levels = np.array([[[1, 2, 4]]], dtype=np.uint16)
    box = LevelBox.around(levels, levels > 0, 4)
    found = dict(zip(FAMILIES["ngtdm"], texture(box, "ngtdm", "3D"), strict=True))
    s = {1: 1.0, 2: 0.5, 4: 2.0}
    assert found["coarseness"] == pytest.approx(1 / (sum(s.values()) / 3))
    assert found["strength"] == pytest.approx(2 * (2 / 3) * (1 + 9 + 4) / 3.5)
    assert found["complexity"] == pytest.approx(2 * (1 * 1.5 + 3 * 3.0 + 2 * 2.5) / 2 / 3)


def test_coarseness_lets_neighbours_differ():
    levels = np.array([[[1, 2, 4]]], dtype=np.uint16)
    images = {"a": Grid((3, 1, 1)).to_image(levels.astype(float))}
    mask = Grid((3, 1, 1)).to_image(np.ones((1, 1, 3), np.uint8))
    found = [
        region_features(images, mask, features="ngldm.high_dependence_emphasis", bin_width=1.0, coarseness=c).value[0]
        for c in (0, 1, 2)
    ]
    assert found == pytest.approx([1.0, (4 + 4 + 1) / 3, (4 + 9 + 4) / 3])


@given(seed=st.integers(0, 10_000), flips=st.tuples(*[st.booleans()] * 3), axes=st.permutations([0, 1, 2]))
def test_flips_and_rotations_by_90_degrees_move_the_maps_with_the_image(seed, flips, axes):
    image, mask, _ = example(seed)
    mask[0, 0, :2] = True
    image[0, 0, :2] = 0, 1

    def moved(array):
        for axis, flip in enumerate(flips):
            array = np.flip(array, axis) if flip else array
        return np.ascontiguousarray(array.transpose(axes))

    def arrays_of(image, mask):
        grid = Grid(image.shape[::-1])
        images = {"a": grid.to_image(image)}
        found = feature_maps(images, grid.to_image(mask), features=TEXTURES, radius_voxels=1, shape="box", bins=4)
        return {name: sitk.GetArrayFromImage(found.image(name)) for name in found.names}

    plain, turned = arrays_of(image, mask), arrays_of(moved(image), moved(mask))
    for name, one in plain.items():
        np.testing.assert_allclose(moved(one), turned[name], rtol=1e-11, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("aggregation", ["merged", "averaged"])
def test_neither_threads_nor_tiles_change_a_bit(aggregation, monkeypatch):
    image, mask, grid = example(3, (7, 10, 11), (0.7, 0.7, 1.5))
    images = {"a": grid.to_image(image + np.random.default_rng(1).normal(size=image.shape))}
    found = []
    for threads, blocks in ((1, 64), (2, 64), (5, 7), (2, 1), (1, 1000)):
        monkeypatch.setattr(lattice, "_BLOCKS", blocks)
        maps = feature_maps(
            images,
            grid.to_image(mask),
            features=["firstorder", *TEXTURES],
            radius_mm=1.6,
            aggregation=aggregation,
            threads=threads,
        )
        found.append(maps.values)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_a_part_of_the_request_gives_the_same_columns():
    image, mask, grid = example(6)
    images = {"a": grid.to_image(image), "b": grid.to_image(image[::-1].copy())}
    settings = {"radius_voxels": 1, "bins": 4}
    whole = feature_maps(images, grid.to_image(mask), features=["firstorder", *TEXTURES, "intensity"], **settings)
    wanted = [
        "ngldm.dependence_count_entropy",
        "glcm.contrast",
        "glrlm.run_entropy",
        "intensity.voxel",
        "ngtdm.busyness",
    ]
    part = feature_maps(images, grid.to_image(mask), features=wanted, **settings)
    assert part.names == tuple(f"{image}/{name}" for image in ("a", "b") for name in wanted)
    for name in part.names:
        np.testing.assert_array_equal(part.column(name), whole.column(name), err_msg=name)


def test_a_lonely_voxel_has_no_tones_but_is_a_run_and_a_zone():
    mask = np.zeros((1, 5, 9), dtype=np.uint8)
    mask[0, 0, :3] = mask[0, 4, 8] = 1
    grid = Grid((9, 5, 1))
    image = grid.to_image(np.arange(45.0).reshape(1, 5, 9))
    wanted = ["ngtdm.contrast", "glszm.zone_percentage", "glrlm.run_percentage"]
    with pytest.warns(ComouldWarning, match="1 of 4 voxels have an undefined feature"):
        maps = feature_maps({"a": image}, grid.to_image(mask), features=wanted, radius_voxels=1)
    assert np.isnan(maps.values[3, 0])
    np.testing.assert_array_equal(maps.values[3, 1:], 1.0)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("gldzm", "'gldzm' has no value for a voxel"),
        ("morphology.sphericity", "'morphology.sphericity' has no value for a voxel"),
        ("glrlm.run_entrop", "nearest: 'glrlm.run_entropy'"),
    ],
)
def test_families_without_maps_are_refused(features, message):
    image, mask, grid = example()
    with pytest.raises(InputError, match=message):
        feature_maps({"a": grid.to_image(image)}, grid.to_image(mask), features=features, radius_voxels=1)


def test_coarseness_must_be_a_count():
    image, mask, grid = example()
    with pytest.raises(InputError, match="coarseness -1 is not a count"):
        feature_maps({"a": grid.to_image(image)}, grid.to_image(mask), features="ngldm", radius_voxels=1, coarseness=-1)


def test_neighbours_are_all_within_the_distance():
    assert [len(neighbours(d, n)) for d, n in ((2, 1), (3, 1), (2, 2), (3, 2))] == [8, 26, 24, 124]

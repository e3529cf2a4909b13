"""Two volumes of one patient, moved by a known amount: where each point must come to lie is known."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import GeometryError, InputError, RegistrationError
from comould.register.imaging import VolumeSettings, parameter_map, register_volumes
from comould.register.imaging_frame import Stage, mutual_information
from comould.space import Grid, Transform

CENTRE = np.array([10.0, -30.0, 200.0])
QUICK = {"iterations": 120, "samples": 2500, "resolutions": 2, "voxel_mm": 3.0}


def waves(seed=0, n=30, longest_mm=14.0):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * rng.uniform(0.5, 1.0, (n, 1)) * 2 * np.pi / longest_mm / 2, rng.uniform(0, 2 * np.pi, n)


def body(place):
    """Tissue contrast and the inside of an ellipsoid of 36 × 30 × 28 mm."""
    vectors, phases = waves()
    texture = np.cos((place - CENTRE) @ vectors.T + phases).sum(axis=1) / 4.0
    depth = 1.0 - np.linalg.norm((place - CENTRE) / [36.0, 30.0, 28.0], axis=1)
    return texture, depth > 0


def points_of(grid):
    k, j, i = np.indices(grid.shape)
    return grid.patient_from_index(np.stack([i, j, k], -1).reshape(-1, 3))


def grid_around(centre, spacing, tilt_deg=0.0, half=(44.0, 38.0, 36.0)):
    t = np.deg2rad(tilt_deg)
    axes = np.array([[np.cos(t), 0.0, np.sin(t)], [0.0, 1.0, 0.0], [-np.sin(t), 0.0, np.cos(t)]])
    size = tuple(int(2 * h / s) + 1 for h, s in zip(half, spacing, strict=True))
    return Grid(size, spacing, tuple(centre - axes @ (np.array(spacing) * (np.array(size) - 1) / 2)), axes)


def rigid(angles_deg, shift):
    a, b, c = np.deg2rad(angles_deg)
    euler = sitk.Euler3DTransform(CENTRE.tolist(), a, b, c, list(shift))
    return Transform("patient", "patient", euler)


def bend(place, mm=4.0):
    wave = 2 * np.pi / 90.0
    x, y, z = (place - CENTRE).T
    return place + mm * np.stack([np.sin(wave * y), np.sin(wave * z + 1.0), np.cos(wave * x)], axis=1)


def volumes(move, *, bent_mm=0.0, lesion=True, far=0.0):
    """Fixed and moving volume and masks: other contrast, other voxels, and a lesion that has changed."""
    fixed_grid = grid_around(CENTRE, (1.5, 1.5, 3.0))
    moving_grid = grid_around(move.apply(CENTRE[None])[0] + far, (1.8, 1.8, 2.4), tilt_deg=8.0)
    rng = np.random.default_rng(5)
    place = points_of(fixed_grid)
    back = move.inverse().apply(points_of(moving_grid) - far)
    if bent_mm:
        # Inverse of the bend by fixed-point iteration.
        source = back.copy()
        for _ in range(30):
            source = back - (bend(source, bent_mm) - source)
        back = source
    images, masks = [], []
    for grid, where, later in ((fixed_grid, place, False), (moving_grid, back, True)):
        texture, inside = body(where)
        spot = np.linalg.norm(where - CENTRE - [12.0, 5.0, 0.0], axis=1) < (9.0 if later else 6.0)
        value = (500.0 - 160.0 * np.tanh(texture)) if later else (200.0 + 90.0 * texture)
        if lesion:
            value = np.where(spot, 700.0 if later else 150.0, value)
        value = np.where(inside, value, 20.0) + rng.normal(0.0, 12.0, len(where))
        images.append(grid.to_image(value.reshape(grid.shape).astype(np.float32)))
        masks.append(grid.to_image(inside.reshape(grid.shape).astype(np.uint8)))
    return images, masks


def inner_points():
    place = points_of(grid_around(CENTRE, (6.0, 6.0, 6.0), half=(30.0, 24.0, 22.0)))
    return place[body(place)[1]]


@pytest.fixture(scope="module")
def found(worker):
    move = rigid((6.0, -5.0, 9.0), (8.0, -6.0, 5.0))
    images, masks = volumes(move)
    made = register_volumes(*images, fixed_mask=masks[0], moving_mask=masks[1], settings=VolumeSettings(**QUICK))
    return move, images, masks, made


def test_a_known_rigid_motion_is_found_through_other_contrast_and_a_changed_lesion(found):
    move, _, _, made = found
    points = inner_points()
    error = np.linalg.norm(made.moving_from_fixed.apply(points) - move.apply(points), axis=1)
    assert error.mean() < 0.4
    assert error.max() < 0.8
    assert made.moving_from_fixed.is_linear


def test_the_fit_is_told(found):
    move, _, _, made = found
    quality = made.quality
    points = inner_points()
    assert quality.verdict == "good"
    assert quality.consistency_mean_mm < 0.6
    assert quality.information_after > quality.information_before + 0.02
    assert quality.information_after > quality.information_misplaced + 0.1
    assert quality.overlap > 0.85
    assert quality.rotation_deg == pytest.approx(12.0, abs=1.0)
    assert quality.moved_mean_mm == pytest.approx(np.linalg.norm(move.apply(points) - points, axis=1).mean(), abs=1.5)
    assert quality.volume_change_low == pytest.approx(1.0, abs=1e-6)
    assert quality.folded == 0.0
    assert "both ways apart by 0." in quality.sentence()
    json.dumps({"quality": quality.said(), "parameters": made.parameters})


def test_same_seed_same_bits(found, worker):
    _, images, masks, made = found
    again = register_volumes(*images, fixed_mask=masks[0], moving_mask=masks[1], settings=VolumeSettings(**QUICK))
    assert (again.moving_from_fixed.matrix == made.moving_from_fixed.matrix).all()


def test_coordinates_far_apart_do_not_matter(worker):
    move = rigid((0.0, 4.0, 0.0), (2.0, 0.0, 0.0))
    images, masks = volumes(move, far=np.array([300.0, -200.0, 500.0]))
    made = register_volumes(*images, fixed_mask=masks[0], moving_mask=masks[1], settings=VolumeSettings(**QUICK))
    points = inner_points()
    wanted = move.apply(points) + np.array([300.0, -200.0, 500.0])
    assert np.linalg.norm(made.moving_from_fixed.apply(points) - wanted, axis=1).mean() < 0.6


def test_a_bend_is_found_by_the_deformable_registration_only(worker):
    move = rigid((3.0, 0.0, -4.0), (3.0, 2.0, 0.0))
    images, masks = volumes(move, bent_mm=4.0, lesion=False)
    points = inner_points()
    wanted = move.apply(bend(points, 4.0))
    error = {}
    for kind in ("rigid", "deformable"):
        settings = VolumeSettings(kind=kind, **(QUICK | {"samples": 1000, "iterations": 100}))
        made = register_volumes(*images, fixed_mask=masks[0], moving_mask=masks[1], settings=settings)
        error[kind] = np.linalg.norm(made.moving_from_fixed.apply(points) - wanted, axis=1).mean()
    assert error["deformable"] < 1.2
    assert error["deformable"] < 0.5 * error["rigid"]
    assert made.quality.verdict == "good"
    assert made.quality.volume_change_low < 1.0 < made.quality.volume_change_high


def test_volumes_of_nothing_in_common_are_refused(worker):
    images, masks = volumes(rigid((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
    grid = Grid.from_image(images[1])
    noise = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    with pytest.raises(RegistrationError, match="registration of two volumes: expected a fit that both ways agree on"):
        register_volumes(images[0], grid.to_image(noise), fixed_mask=masks[0], settings=VolumeSettings(**QUICK))


def test_what_elastix_writes_is_read_as_itk_reads_it():
    rng = np.random.default_rng(1)
    found = Stage.read(
        {
            "Transform": ["BSplineTransform"],
            "TransformParameters": [str(v) for v in rng.normal(size=3 * 5 * 6 * 7)],
            "GridSize": ["5", "6", "7"],
            "GridSpacing": ["10", "11", "12"],
            "GridOrigin": ["-10", "-11", "-12"],
        }
    )
    assert found.itk.GetTransformDomainMeshSize() == (2, 3, 4)
    euler = Stage.read(
        {
            "Transform": ["EulerTransform"],
            "TransformParameters": ["0", "0", str(np.pi / 2), "1", "2", "3"],
            "CenterOfRotationPoint": ["10", "0", "0"],
        }
    )
    np.testing.assert_allclose(euler.itk.TransformPoint((11.0, 0.0, 0.0)), (11.0, 3.0, 3.0), atol=1e-12)


def test_mutual_information_of_itself_is_one_and_of_noise_nothing():
    a, b = np.random.default_rng(0).normal(size=(2, 20_000)).astype(np.float32)
    assert mutual_information(a, -(a**3)) == pytest.approx(1.0, abs=0.01)
    assert mutual_information(a, b) < 0.01
    assert mutual_information(a, np.zeros_like(a)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "affine"}, "kind 'affine' is neither 'rigid' nor 'deformable'"),
        ({"grid_mm": 0.0}, "grid_mm 0 is not positive"),
        ({"voxel_mm": -1.0, "samples": 0}, "voxel_mm -1 is not 0 or more; samples 0 is not positive"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        VolumeSettings(**settings)


def test_the_parameter_map_keeps_the_metrics_on_one_thread():
    for stage in ("rigid", "bspline"):
        assert parameter_map(stage, VolumeSettings())["UseMultiThreadingForMetrics"] == ["false"]
    assert parameter_map("bspline", VolumeSettings())["ImagePyramidSchedule"] == [4, 4, 4, 2, 2, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"moving": sitk.Image([9, 9, 9], sitk.sitkFloat32)}, "moving volume: expected finite intensities that vary"),
        ({"fixed": sitk.Image([9, 9, 9], sitk.sitkVectorFloat32, 2)}, "fixed volume: expected one number per voxel"),
        ({"moving": sitk.Image([4, 4, 4, 4], sitk.sitkFloat32)}, "expected 3 dimensions, found 4"),
        ({"fixed_mask": sitk.Image([9, 9, 9], sitk.sitkUInt8)}, "mask of the fixed volume: expected the grid of its"),
    ],
)
def test_volumes_that_cannot_be_registered(change, message):
    images, _ = volumes(rigid((0, 0, 0), (0, 0, 0)))
    given = {"fixed": images[0], "moving": images[1]} | change
    with pytest.raises((InputError, GeometryError), match=message):
        register_volumes(given.pop("fixed"), given.pop("moving"), **given)


def test_an_empty_mask_is_told():
    images, masks = volumes(rigid((0, 0, 0), (0, 0, 0)))
    with pytest.raises(InputError, match="fixed volume: expected at least 200 voxels"):
        register_volumes(*images, fixed_mask=masks[0] * 0)

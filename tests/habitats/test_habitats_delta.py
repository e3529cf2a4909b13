"""Two time points of a phantom that was moved and changed by a known amount."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import ComouldWarning, InputError
from comould.habitats.delta import delta_habitats, delta_maps, outline_of, transitions
from comould.space import Grid, Transform

RADIUS = 11.0
CENTRE = np.array([20.0, -5.0, 40.0])
CHANGE = 60.0


def array(image):
    return sitk.GetArrayFromImage(image)


def motion(angle_deg=12.0, shift=(6.0, -9.0, 4.0)):
    t = np.deg2rad(angle_deg)
    matrix = np.eye(4)
    matrix[:3, :3] = [[np.cos(t), -np.sin(t), 0.0], [np.sin(t), np.cos(t), 0.0], [0.0, 0.0, 1.0]]
    matrix[:3, 3] = CENTRE + shift - matrix[:3, :3] @ CENTRE
    return Transform.from_matrix("patient", "patient", matrix)


def grid_around(centre, spacing, half=16.0, tilt_deg=0.0):
    size = tuple(int(2 * half / s) + 1 for s in spacing)
    t = np.deg2rad(tilt_deg)
    axes = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(t), -np.sin(t)], [0.0, np.sin(t), np.cos(t)]])
    origin = centre - axes @ (np.array(spacing) * (np.array(size) - 1) / 2)
    return Grid(size, spacing, tuple(origin), axes)


def points_of(grid):
    k, j, i = np.indices(grid.shape)
    return grid.patient_from_index(np.stack([i, j, k], -1).reshape(-1, 3))


def scene(place):
    """Intensity of the baseline patient at places ``(n, 3)``, and which part of the tumour changes."""
    x, y, z = (place - CENTRE).T
    smooth = 200.0 + 40.0 * np.sin(x / 6.0) + 30.0 * np.cos(y / 7.0) + 20.0 * np.sin(z / 8.0)
    return smooth, np.linalg.norm(place - CENTRE, axis=1) < RADIUS, x > 2.5


def case(sigma=0.0, change=CHANGE, spacing=(1.0, 1.0, 2.0), later=(1.0, 1.0, 1.5), seed=0):
    """Images and masks at both times; the follow-up is moved, tilted, on other voxels, and its right part brighter."""
    rng = np.random.default_rng(seed)
    move = motion()
    grids = grid_around(CENTRE, spacing), grid_around(move.apply(CENTRE[None])[0], later, tilt_deg=10.0)
    places = points_of(grids[0]), move.inverse().apply(points_of(grids[1]))
    found = []
    for grid, place, rise in zip(grids, places, (0.0, change), strict=True):
        value, inside, part = scene(place)
        value = value + rise * part + rng.normal(0.0, sigma, len(value)) if sigma else value + rise * part
        found.append((grid.to_image(value.reshape(grid.shape)), grid.to_image(inside.reshape(grid.shape))))
    (image, mask), (later_image, later_mask) = found
    return image, later_image, mask, later_mask, move


def test_only_what_changed_shows_a_change():
    image, later, mask, later_mask, move = case()
    found = delta_maps({"T2": image}, {"T2": later}, mask, later_mask, move, features="intensity.voxel", error_mm=0.5)
    assert found.names == ("T2/intensity.voxel",)
    _, _, part = scene(found.grid.patient_from_index(found.mask_idx[:, ::-1]))
    x = found.grid.patient_from_index(found.mask_idx[:, ::-1])[:, 0] - CENTRE[0]
    off_border = np.abs(x - 2.5) > 2.0
    delta = found.delta[:, 0]
    assert found.stayed.mean() > 0.95
    still, risen = found.stayed & off_border & ~part, found.stayed & off_border & part
    for off in (delta[still], delta[risen] - CHANGE):
        assert np.quantile(np.abs(off), 0.99) < 2.0
        # At the edge a voxel is read from one side only.
        assert np.abs(off).max() < 4.0
    table = found.table().loc["T2/intensity.voxel"]
    assert table["delta_mean"] == pytest.approx(CHANGE * part[found.stayed].mean(), abs=1.5)
    # The rise is far beyond half a millimetre of misregistration; nearly all that stayed is not.
    assert table["beyond_spread"] == pytest.approx(part[found.stayed].mean(), abs=0.08)
    json.dumps(found.parameters)


def test_spread_is_what_half_a_millimetre_off_would_make():
    image, later, mask, later_mask, move = case(change=0.0)
    right = delta_maps([image], [later], mask, later_mask, move, features="intensity.voxel", error_mm=0.6)
    shifts = 0.6 / np.sqrt(3.0) * np.random.default_rng(2).normal(size=(40, 3))
    values = []
    for shift in shifts:
        matrix = move.matrix.copy()
        matrix[:3, 3] += shift
        wrong = Transform.from_matrix("patient", "patient", matrix)
        values.append(delta_maps([image], [later], mask, later_mask, wrong, features="intensity.voxel").delta[:, 0])
    deep = np.isfinite(values).all(axis=0)
    sd = np.std(values, axis=0)[deep]
    assert np.median(right.spread[deep, 0] / sd) == pytest.approx(1.0, abs=0.15)


def test_texture_of_noise_alone_does_not_change_with_the_grid():
    """Interpolating the follow-up's intensities first would lower its variance by half."""
    image, later, mask, later_mask, move = case(sigma=20.0, change=0.0, spacing=(1.5, 1.5, 1.5), later=(1.5, 1.5, 1.5))
    flat = [
        grid.to_image(array(i) - array(j))
        for grid, i, j in zip(
            [Grid.from_image(image), Grid.from_image(later)],
            (image, later),
            case(change=0.0, spacing=(1.5, 1.5, 1.5), later=(1.5, 1.5, 1.5))[:2],
            strict=True,
        )
    ]
    found = delta_maps(
        [flat[0]],
        [flat[1]],
        mask,
        later_mask,
        move,
        features=["firstorder.variance", "glcm.joint_entropy"],
        radius_mm=4.0,
    )
    table = found.table()
    assert table.loc["image1/firstorder.variance", "baseline_mean"] == pytest.approx(400.0, rel=0.05)
    assert table.loc["image1/firstorder.variance", "follow_up_mean"] == pytest.approx(400.0, rel=0.05)
    entropy = table.loc["image1/glcm.joint_entropy"]
    assert entropy["follow_up_mean"] == pytest.approx(entropy["baseline_mean"], rel=0.02)


def test_delta_habitats_find_the_part_that_changed():
    image, later, mask, later_mask, move = case(sigma=15.0)
    found = delta_maps({"T2": image}, {"T2": later}, mask, later_mask, move, features="intensity.gaussian")
    habitats = delta_habitats(found, n_habitats=2, seed=1)
    labels = array(habitats.labels)[tuple(found.mask_idx.T)]
    x = found.grid.patient_from_index(found.mask_idx[:, ::-1])[:, 0] - CENTRE[0]
    clear = found.stayed & (np.abs(x - 2.5) > 2.0)
    assert (labels[clear] == np.where(x[clear] > 2.5, 2, 1)).mean() > 0.97


def test_a_tumour_that_shrank_leaves_voxels_without_follow_up():
    image, later, mask, _, move = case()
    place = move.inverse().apply(points_of(Grid.from_image(later)))
    small = (np.linalg.norm(place - CENTRE, axis=1) < 8.0).reshape(array(later).shape)
    small_mask = Grid.from_image(later).to_image(small)
    with pytest.warns(ComouldWarning, match="of the baseline's voxels lie in the follow-up's mask"):
        found = delta_maps([image], [later], mask, small_mask, move, features="intensity.voxel")
    share = (8.0 / RADIUS) ** 3
    assert found.stayed.mean() == pytest.approx(share, abs=0.04)
    assert np.isnan(found.follow_up[~found.stayed]).all()
    assert found.parameters["baseline_ml_with_follow_up"] == pytest.approx(
        share * found.parameters["baseline_ml"], rel=0.1
    )
    assert array(found.mask()).sum() == found.stayed.sum()
    assert np.isnan(array(found.image("image1/intensity.voxel"))[tuple(found.mask_idx[~found.stayed][0])])


def test_transitions_are_the_volumes_that_went_from_one_habitat_to_another():
    move = motion()
    grids = (
        grid_around(CENTRE, (1.0, 1.0, 1.0)),
        grid_around(move.apply(CENTRE[None])[0], (0.8, 0.8, 1.2), tilt_deg=15.0),
    )
    places = [p - CENTRE for p in (points_of(grids[0]), move.inverse().apply(points_of(grids[1])))]
    labels = [[np.linalg.norm(place, axis=1), place[:, 0]] for place in places]
    was = np.where(labels[0][0] < 10.0, np.where(labels[0][1] > 0.5, 2, 1), 0)
    # Grown by 2 mm, and the border between the habitats moved by 3 mm.
    now = np.where(labels[1][0] < 12.0, np.where(labels[1][1] > 3.5, 2, 1), 0)
    images = [g.to_image(x.reshape(g.shape).astype(np.uint8)) for g, x in zip(grids, (was, now), strict=True)]
    table = transitions(*images, move)
    low, border, later_border, high = (np.pi * (100.0 * x - x**3 / 3) / 1000 for x in (-10.0, 0.5, 3.5, 10.0))
    wanted = {
        (1, 1): border - low,
        (2, 1): later_border - border,
        (2, 2): high - later_border,
        (1, 2): 0.0,
        (1, 0): 0.0,
        (2, 0): 0.0,
    }
    for (row, column), volume in wanted.items():
        assert table.loc[row, column] == pytest.approx(volume, abs=0.06), (row, column)
    assert table.attrs["new_ml"] == pytest.approx(4 / 3 * np.pi * (12.0**3 - 10.0**3) / 1000, rel=0.03)
    assert table.attrs["lost_ml"] == 0.0
    assert table.attrs["stayed_ml"] + table.attrs["changed_ml"] == pytest.approx(high - low, rel=0.02)


def test_an_outline_is_laid_on_the_follow_up():
    _, later, mask, later_mask, move = case()
    found, wanted = array(outline_of(mask, later, move)) > 0, array(later_mask) > 0
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.93
    away = motion(shift=(500.0, 0.0, 0.0))
    with pytest.raises(InputError, match="baseline mask: expected to fall on the follow-up's image"):
        outline_of(mask, later, away)


def test_a_deformable_registration_serves_as_well():
    image, later, mask, later_mask, move = case()
    zero = sitk.BSplineTransformInitializer(later, [4, 4, 4], 3)
    deformable = Transform("patient", "patient", zero) @ move
    assert not deformable.is_linear
    one, other = (
        delta_maps([image], [later], mask, later_mask, m, features="intensity.voxel") for m in (move, deformable)
    )
    np.testing.assert_allclose(other.delta, one.delta, atol=1e-6)
    assert (array(outline_of(mask, later, deformable)) == array(outline_of(mask, later, move))).all()


def test_other_scales_are_told():
    image, later, mask, later_mask, move = case()
    with pytest.warns(ComouldWarning, match="image 'T2' has interquartile ranges of .* bring both to one scale"):
        delta_maps({"T2": image}, {"T2": later * 7.0}, mask, later_mask, move, features="intensity.voxel")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"follow_up": "T1"}, "the same names in the same order, found T2 and T1"),
        ({"transform": Transform.identity("section_mm", "patient")}, "expected a transform from patient to patient"),
        ({"transform": motion(shift=(300.0, 0.0, 0.0))}, "to meet the registered baseline mask, found no common voxel"),
        ({"error_mm": -1.0}, "error_mm: expected a length of 0 mm or more"),
        ({"bin_width": 5.0}, "setting 'bin_width': expected bins over both times"),
    ],
)
def test_time_points_that_cannot_be_compared(change, message):
    image, later, mask, later_mask, move = case()
    move = change.pop("transform", move)
    with pytest.raises(InputError, match=message):
        delta_maps(
            {"T2": image},
            {change.pop("follow_up", "T2"): later},
            mask,
            later_mask,
            move,
            features="intensity.voxel",
            **change,
        )


def test_labels_and_names_that_are_not_there():
    image, later, mask, later_mask, move = case()
    with pytest.raises(
        InputError, match="baseline habitats: expected integer labels, some above 0, found 64-bit float"
    ):
        transitions(image, later_mask, move)
    with pytest.raises(InputError, match="follow-up habitats: expected integer labels, some above 0, found none"):
        transitions(mask, Grid((3, 3, 3)).to_image(), move)
    found = delta_maps([image], [later], mask, later_mask, move, features="intensity.voxel")
    with pytest.raises(InputError, match=r"delta map: expected one of image1/intensity\.voxel"):
        found.image("T1/intensity.voxel")

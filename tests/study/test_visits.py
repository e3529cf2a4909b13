"""Two visits of a phantom: moved by a known amount, and the lesion's half brighter by a known amount."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import ComouldWarning, InputError
from comould.habitats.delta import delta_habitats
from comould.register.elastix import shared_worker
from comould.register.imaging import VolumeSettings
from comould.space import Grid, Transform
from comould.study.visits import TimePoint, follow_up

CENTRE = np.array([0.0, 0.0, 50.0])
QUICK = VolumeSettings(iterations=120, samples=2500, resolutions=2, voxel_mm=3.0)
CHANGE = 80.0


@pytest.fixture(scope="module")
def worker():
    yield shared_worker().start()
    shared_worker().close()


def points_of(grid):
    k, j, i = np.indices(grid.shape)
    return grid.patient_from_index(np.stack([i, j, k], -1).reshape(-1, 3))


def visits():
    move = sitk.Euler3DTransform(CENTRE.tolist(), 0.06, -0.05, 0.1, [5.0, -4.0, 3.0])
    there = Transform("patient", "patient", move)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(24, 3)) * 0.14
    phase = rng.uniform(0, 6, 24)
    grids = (
        Grid((50, 44, 26), (1.6, 1.6, 2.5), tuple(CENTRE - [39.0, 34.0, 31.0])),
        Grid((46, 42, 30), (1.8, 1.8, 2.2), tuple(CENTRE - [35.0, 40.0, 30.0])),
    )
    made = []
    for grid, place, later in zip(
        grids, (points_of(grids[0]), there.inverse().apply(points_of(grids[1]))), (False, True), strict=True
    ):
        here = place - CENTRE
        depth = 1.0 - np.linalg.norm(here / [33.0, 28.0, 27.0], axis=1)
        value = 300.0 + 40.0 * np.cos(here @ direction.T + phase).sum(axis=1) / 3.0
        lesion = np.linalg.norm(here, axis=1) < 12.0
        value = value + (CHANGE if later else 0.0) * (lesion & (here[:, 0] > 0)) + rng.normal(0, 4.0, len(here))
        value = np.where(depth > 0, value, 30.0)
        images = [a.reshape(grid.shape) for a in (value.astype(np.float32), lesion, depth > 0)]
        image, tumour, organ = (grid.to_image(a) for a in images)
        made.append(TimePoint({"T2": image}, tumour, organ))
    return *made, there


@pytest.fixture(scope="module")
def found(worker):
    baseline, later, there = visits()
    return baseline, later, there, follow_up(baseline, later, settings=QUICK, features="intensity.gaussian")


def test_the_change_is_found_where_it_is(found):
    _, _, there, made = found
    place = made.delta.grid.patient_from_index(made.delta.mask_idx[:, ::-1])
    error = np.linalg.norm(made.registration.moving_from_fixed.apply(place) - there.apply(place), axis=1)
    assert error.mean() < 0.5
    x = place[:, 0] - CENTRE[0]
    delta = made.delta.delta[:, 0]
    stayed = made.delta.stayed
    assert np.median(delta[stayed & (x > 4)]) == pytest.approx(CHANGE, abs=6.0)
    assert np.median(delta[stayed & (x < -4)]) == pytest.approx(0.0, abs=6.0)
    beyond = np.abs(delta) > 2 * made.delta.spread[:, 0]
    assert beyond[stayed & (x > 4)].mean() > 0.9
    habitats = delta_habitats(made.delta, n_habitats=2)
    labels = sitk.GetArrayFromImage(habitats.labels)[tuple(made.delta.mask_idx.T)]
    clear = stayed & (np.abs(x) > 3)
    assert (labels[clear] == np.where(x[clear] > 0, 2, 1)).mean() > 0.95


def test_the_quality_of_the_registration_goes_with_the_maps(found):
    made = found[-1]
    told = made.delta.parameters["registration"]
    assert told["by"] == "T2"
    assert told["quality"]["verdict"] == "good"
    assert made.delta.parameters["error_mm"] == 1.0
    json.dumps(made.delta.parameters)


def test_a_follow_up_without_an_outline_takes_the_baselines(found):
    baseline, later, _, _ = found
    with pytest.warns(ComouldWarning, match="the baseline's outline is taken, so growth is not seen"):
        made = follow_up(
            baseline, TimePoint(later.images, organ=later.organ), settings=QUICK, features="intensity.voxel"
        )
    assert made.delta.stayed.mean() > 0.97


def test_without_an_organ_the_surroundings_are_registered(found):
    baseline, later, there, _ = found
    made = follow_up(
        TimePoint(baseline.images, baseline.tumour),
        TimePoint(later.images, later.tumour),
        settings=QUICK,
        features="intensity.voxel",
    )
    place = made.delta.grid.patient_from_index(made.delta.mask_idx[:, ::-1])
    error = np.linalg.norm(made.registration.moving_from_fixed.apply(place) - there.apply(place), axis=1)
    assert error.mean() < 0.8
    elsewhere = Grid((9, 9, 9), origin_mm=(900.0, 0.0, 0.0)).to_image(np.ones((9, 9, 9), np.uint8))
    with pytest.raises(InputError, match="baseline tumour: expected to overlap the image to register by"):
        follow_up(TimePoint(baseline.images, elsewhere), later, settings=QUICK)


def test_visits_that_lack_something():
    image = Grid((4, 4, 4)).to_image(np.ones((4, 4, 4)))
    with pytest.raises(InputError, match="baseline: expected a tumour mask, found none"):
        follow_up(TimePoint({"T2": image}), TimePoint({"T2": image}))
    with pytest.raises(
        InputError, match="image 'T2' to register by: expected it at both visits, found none at follow-up"
    ):
        follow_up(TimePoint({"T2": image}, image), TimePoint({"T1": image}))
    with pytest.raises(InputError, match=r"image 'ADC' to register by: .* found none at baseline"):
        follow_up(TimePoint({"T2": image}, image), TimePoint({"T2": image}), register_by="ADC")

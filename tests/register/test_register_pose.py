"""The plane's offset and tilt against a cut that is known: smooth imaging, read off exactly where the knife went."""

from dataclasses import replace

import numpy as np
import pytest

from comould.register.maps import PlanarMap
from comould.register.pose import PlanePose, PoseSettings, fit_pose
from comould.register.raster import Raster
from comould.register.volume import Volume
from comould.space import CutPlane, Grid

QUICK = PoseSettings(sample_mm=1.0)
PLANE = CutPlane.from_normal("P01", (2.0, -3.0, 40.0), (0.2, 0.1, 1.0), kerf_mm=0.8)
GRID = Grid((70, 66, 40), (1.0, 1.0, 1.5), (-33.0, -36.0, 10.0))


def fields(points, seed):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(2):
        waves, phase = rng.normal(0, 0.22, (20, 3)), rng.uniform(0, 7, 20)
        found.append(np.cos(points @ waves.T + phase).mean(axis=1) * 4)
    return np.array(found)


def volumes(seed):
    points = GRID.patient_from_index(np.argwhere(np.ones(GRID.shape))[:, ::-1])
    middle = np.array([2.0, -3.0, 40.0])
    depth = 22.0 - np.linalg.norm(points - middle, axis=1)
    specimen = Volume(depth.reshape(GRID.shape).astype(np.float32), GRID)
    return [Volume(f.reshape(GRID.shape).astype(np.float32), GRID) for f in fields(points, seed)], specimen


def known(offset_mm, tilt_deg):
    return PlanePose(offset_mm, tilt_deg, (0.0, 0.0), ((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0,), (0.0,), 1.0)


def cut_section(pose, seed, noise=0.35):
    """A slide painted from the fields on the true cut; slide mm are plane mm."""
    n, spacing = 84, 0.5
    rows, columns = np.indices((n, n))
    uv = np.column_stack([columns.ravel(), rows.ravel()]) * spacing - 21.0
    patient = pose.plane(PLANE).patient_from_plane.apply(uv)
    inside = np.linalg.norm(patient - [2.0, -3.0, 40.0], axis=1) < 20.5
    a, b = fields(patient, seed)
    rng = np.random.default_rng([seed, 1])
    channels = np.array([np.tanh(a) - 0.3 * b, b + 0.2 * a**2]) + noise * rng.standard_normal((2, n * n))
    shaped = np.where(inside, channels, 0).reshape(2, n, n).astype(np.float32)
    return Raster(shaped, inside.reshape(n, n), spacing, (-21.0, -21.0))


@pytest.mark.parametrize(
    ("offset", "tilt"), [(0.0, (0.0, 0.0)), (1.0, (0.0, 5.0)), (-1.2, (4.0, -3.0)), (2.0, (-2.0, 1.0))]
)
def test_offset_and_tilt_are_found(offset, tilt):
    images, specimen = volumes(1)
    section = cut_section(known(offset, tilt), 1)
    found = fit_pose(section, PlanarMap(np.eye(3)), PLANE, images, specimen)
    assert abs(found.offset_mm - offset) < 0.25
    assert np.abs(np.subtract(found.tilt_deg, tilt)).max() < 1.2
    best = found.offsets_mm[int(np.argmax(found.log_likelihood))]
    assert abs(best - found.offset_mm) <= 0.5
    assert max(found.log_likelihood) == 0.0


def test_stated_uncertainty_is_of_the_errors_size():
    z = []
    for seed in range(7):
        images, specimen = volumes(seed)
        rng = np.random.default_rng([seed, 9])
        offset, tilt = rng.normal(0, 0.7), rng.normal(0, 2.0, 2)
        section = cut_section(known(offset, tuple(tilt)), seed, noise=1.0)
        found = fit_pose(section, PlanarMap(np.eye(3)), PLANE, images, specimen, settings=QUICK)
        error = np.array([found.offset_mm - offset, *np.subtract(found.tilt_deg, tilt)])
        z.append(error / np.sqrt(np.diag(found.covariance)))
    assert 0.3 < np.sqrt(np.mean(np.square(z))) < 1.8


def test_pictures_that_tell_nothing_leave_the_plan():
    images, specimen = volumes(3)
    section = cut_section(known(0.0, (0.0, 0.0)), 77)
    blind = replace(section, channels=np.random.default_rng(0).standard_normal((2, 84, 84)).astype(np.float32))
    found = fit_pose(blind, PlanarMap(np.eye(3)), PLANE, images, specimen)
    assert abs(found.offset_mm) < 0.6
    assert found.tilt_size_deg < 3.0
    assert found.offset_sd_mm > 0.15


def test_too_little_tissue_is_no_answer():
    images, specimen = volumes(4)
    section = cut_section(known(0.0, (0.0, 0.0)), 4)
    mask = np.zeros_like(section.mask)
    mask[40:44, 40:44] = True
    assert fit_pose(replace(section, mask=mask), PlanarMap(np.eye(3)), PLANE, images, specimen) is None


def test_a_stated_offset_is_where_the_search_starts():
    images, specimen = volumes(5)
    section = cut_section(known(2.5, (0.0, 0.0)), 5)
    found = fit_pose(
        section, PlanarMap(np.eye(3)), PLANE, images, specimen, base_offset_mm=2.5, settings=PoseSettings(reach_mm=1.0)
    )
    assert abs(found.offset_mm - 2.5) < 0.25
    assert found.offsets_mm[0] == pytest.approx(1.5)


def test_the_posed_plane_keeps_its_centre_and_turns_about_it():
    pose = replace(known(1.5, (3.0, -4.0)), centre_mm=(5.0, -2.0))
    plane = pose.plane(PLANE)
    centre = plane.patient_from_plane.apply([[5.0, -2.0]])[0]
    np.testing.assert_allclose(centre, PLANE.patient_from_plane.apply([[5.0, -2.0, 1.5]])[0], atol=1e-9)
    angle = np.degrees(np.arccos(np.dot(plane.normal, PLANE.normal)))
    assert angle == pytest.approx(5.0, abs=1e-6)
    # Turned about u by +3°, what lies along v rises.
    rise = PLANE.distance_mm(plane.patient_from_plane.apply([[5.0, 8.0]]))[0]
    assert rise == pytest.approx(1.5 + 10 * np.sin(np.deg2rad(3.0)), abs=0.02)


def test_poses_drawn_spread_as_stated_and_plain_data_comes_back():
    covariance = ((0.04, 0.1, 0.0), (0.1, 1.0, 0.0), (0.0, 0.0, 2.0))
    pose = replace(known(0.5, (1.0, 2.0)), covariance=covariance)
    rng = np.random.default_rng(3)
    drawn = [pose.draw(rng) for _ in range(4000)]
    table = np.array([(one.offset_mm, *one.tilt_deg) for one in drawn])
    np.testing.assert_allclose(np.cov(table.T), covariance, atol=0.12)
    assert PlanePose.from_dict(pose.to_dict()) == pose

from dataclasses import replace

import numpy as np
import pytest

from comould.errors import InputError, RegistrationError
from comould.register import plane_raster
from comould.space import CutPlane, Grid

GRID = Grid((60, 50, 14), (0.8, 0.8, 3.0), (10.0, -20.0, 5.0))
CENTRE = GRID.patient_from_index([[29.5, 24.5, 6.5]])[0]


def volume(grid=GRID):
    points = grid.patient_from_index(np.argwhere(np.ones(grid.shape))[:, ::-1])
    radius = np.linalg.norm((points - CENTRE) / [1.0, 0.9, 1.0], axis=1).reshape(grid.shape)
    ramp = (points[:, 0] + 2 * points[:, 1]).reshape(grid.shape).astype(np.float32)
    return grid.to_image(ramp), grid.to_image((radius < 16).astype(np.uint8))


def test_section_of_a_ball_is_a_disc_of_the_right_area_without_holes():
    image, mask = volume()
    for shift in (0.0, 1.0, 4.7, -9.0):
        plane = CutPlane.from_normal("P", CENTRE + np.array([0, 0, shift]), (0, 0, 1))
        raster = plane_raster(plane, image, mask)
        area = np.pi * 0.9 * (16**2 - shift**2)
        assert raster.area_mm2 == pytest.approx(area, rel=0.06)
        np.testing.assert_allclose(raster.centroid_mm, 0, atol=0.35)
        rows = np.flatnonzero(raster.mask.any(axis=1))
        filled = sum(np.ptp(np.flatnonzero(raster.mask[row])) + 1 for row in rows)
        assert filled == raster.mask.sum()


def test_pixels_are_where_they_say_they_are():
    image, mask = volume()
    plane = CutPlane.from_normal("P", CENTRE + np.array([1.0, 2.0, 0.5]), (0.1, -0.2, 1.0), u_hint=(0.3, 1.0, 0.0))
    raster = plane_raster(plane, image, mask)
    uv = raster.points_mm(raster.mask)
    patient = plane.patient_from_plane.apply(uv)
    truth = patient[:, 0] + 2 * patient[:, 1]
    assert np.corrcoef(raster.channels[0][raster.mask], truth)[0, 1] > 0.9999


def test_offset_runs_along_the_normal():
    image, mask = volume()
    plane = CutPlane.from_normal("P", CENTRE, (0, 0, 1))
    moved = replace(plane, origin_mm=tuple(CENTRE + np.array([0, 0, 5.0])))
    a, b = plane_raster(plane, image, mask, offset_mm=5.0), plane_raster(moved, image, mask)
    np.testing.assert_array_equal(a.mask, b.mask)
    np.testing.assert_allclose(a.channels, b.channels, atol=1e-5)


def test_several_volumes_of_their_own_grids():
    image, mask = volume()
    finer, _ = volume(Grid((120, 100, 14), (0.4, 0.4, 3.0), (9.8, -20.2, 5.0)))
    raster = plane_raster(CutPlane.from_normal("P", CENTRE, (0, 0, 1)), {"a": image, "b": finer}, mask)
    assert raster.channels.shape[0] == 2
    assert np.abs(raster.channels[0] - raster.channels[1])[raster.mask].max() < 0.05


def test_plane_beside_the_specimen_is_refused():
    image, mask = volume()
    with pytest.raises(
        RegistrationError, match=r"cut plane 'P9': expected a plane through the specimen, found no voxel"
    ):
        plane_raster(CutPlane.from_normal("P9", CENTRE + np.array([0, 0, 60]), (0, 0, 1)), image, mask)
    with pytest.raises(RegistrationError, match="at offset 40 mm"):
        plane_raster(CutPlane.from_normal("P9", CENTRE, (0, 0, 1)), image, mask, offset_mm=40.0)


def test_bad_volumes_are_refused():
    image, mask = volume()
    plane = CutPlane.from_normal("P", CENTRE, (0, 0, 1))
    flat = GRID.to_image(np.ones(GRID.shape, np.float32))
    with pytest.raises(InputError, match="volume 'T2' at P: expected a picture, found one constant value"):
        plane_raster(plane, {"T2": flat}, mask)
    holed = np.ones(GRID.shape, np.float32) * np.arange(60)
    holed[6, 20:30, 20:30] = np.nan
    with pytest.raises(InputError, match="NaN"):
        plane_raster(plane, GRID.to_image(holed), mask)
    elsewhere = Grid(GRID.size, GRID.spacing_mm, (300.0, 0.0, 0.0)).to_image(holed)
    with pytest.raises(InputError, match="to cover the specimen at plane P, found 0% of it"):
        plane_raster(plane, elsewhere, mask)
    with pytest.raises(InputError, match="at least one volume"):
        plane_raster(plane, {}, mask)
    with pytest.raises(InputError, match="no voxel above 0"):
        plane_raster(plane, image, GRID.to_image())

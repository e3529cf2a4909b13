"""Windows on the patient: letters, millimetres and sampling, also for oblique grids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from comould.errors import InputError
from comould.pl import decor
from comould.pl.style import new_figure
from comould.pl.view import View, grey_window, letters, mask_points, overview, radiological
from comould.space import CutPlane, Grid, SlicePlan, anatomical_letter

EDGES = {
    "axial": ((0, 0, 1), ("R", "L", "A", "P")),
    "coronal": ((0, 1, 0), ("R", "L", "S", "I")),
    "sagittal": ((1, 0, 0), ("A", "P", "S", "I")),
}


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_radiological_letters_whatever_way_the_plane_is_written(name, sign, turn):
    normal, expected = EDGES[name]
    plane = CutPlane.from_normal("P1", (3, 4, 5), sign * np.array(normal))
    spin = Rotation.from_rotvec(np.deg2rad(turn) * np.array(plane.normal)).as_matrix()
    turned = CutPlane("P1", plane.origin_mm, plane.normal, tuple(spin @ plane.u), tuple(spin @ plane.v))
    edges = View.of_plane(turned, np.array([[0, 0, 0], [9, 9, 9]])).edge_letters
    assert tuple(edges[e] for e in ("left", "right", "top", "bottom")) == expected


def test_oblique_letters_name_what_they_lean_to():
    lean = np.deg2rad(30.0)
    plane = CutPlane.from_normal("P1", (0, 0, 0), (0.0, -np.sin(lean), np.cos(lean)), u_hint=(1, 0, 0))
    edges = View.of_plane(plane, np.eye(3)).edge_letters
    assert edges == {"left": "R", "right": "L", "top": "AI", "bottom": "PS"}


def test_letters_need_more_than_fifteen_degrees():
    for degrees, expected in ((14.0, "L"), (16.0, "LP"), (74.0, "PL"), (76.0, "P")):
        assert letters((np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees)), 0.0)) == expected


@given(st.tuples(*[st.floats(-180, 180)] * 3))
def test_view_axes_are_the_planes_own_and_letters_point_where_they_say(angles):
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    right, down = radiological(axes[:, 0], axes[:, 1])
    assert abs(right @ down) < 1e-9
    assert abs(abs(np.cross(right, down) @ axes[:, 2]) - 1) < 1e-9
    view = View(np.zeros(3), right, down, (-1, 1), (-1, 1))
    assert view.edge_letters["right"][0] == anatomical_letter(right)
    assert view.edge_letters["left"][0] == anatomical_letter(-right)
    assert view.edge_letters["top"][0] == anatomical_letter(-down)


def test_points_and_pixels_agree_on_an_oblique_plane(oblique):
    plane = CutPlane.from_normal("P1", oblique.grid.patient_from_index([20, 18, 6])[0], oblique.axes[:, 2])
    view = View.of_plane(plane, oblique.grid.corners_mm())
    points = view.points_mm(1.0)
    np.testing.assert_allclose(plane.distance_mm(points.reshape(-1, 3)), 0.0, atol=1e-9)
    flat = view.from_patient(points.reshape(-1, 3)).reshape(*points.shape[:2], 2)
    step = view.grid(1.0).spacing_mm
    np.testing.assert_allclose(np.diff(flat[..., 0], axis=1), step[0], atol=1e-9)
    np.testing.assert_allclose(np.diff(flat[..., 1], axis=0), step[1], atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sampling_an_oblique_volume_gives_the_value_at_that_place(oblique, axis):
    image = oblique.grid.to_image(oblique.points[..., axis].copy())
    plane = CutPlane.from_normal("P1", oblique.grid.patient_from_index([20, 18, 6])[0], (0.2, 0.3, 0.9))
    view = View.of_plane(plane, oblique.points.reshape(-1, 3))
    found, points = view.sample(image, 0.7), view.points_mm(0.7)
    known = np.isfinite(found)
    assert known.mean() > 0.2
    inside = oblique.grid.index_from_patient(points.reshape(-1, 3))
    core = np.all((inside >= 0) & (inside <= np.array(oblique.grid.size) - 1), axis=1).reshape(known.shape)
    np.testing.assert_allclose(found[known & core], points[known & core][:, axis], atol=1e-3)


def test_the_right_half_of_the_patient_is_on_the_left(oblique):
    """A volume that is bright where the patient's right is, shown axially, is bright on the left."""
    middle = oblique.points.reshape(-1, 3).mean(axis=0)
    image = oblique.grid.to_image((oblique.points[..., 0] < middle[0]).astype(np.float32))
    view = View.of_plane(CutPlane.from_normal("P1", middle, (0, 0, -1)), oblique.points.reshape(-1, 3))
    shown = view.sample(image, 0.8)
    centre = shown.shape[1] // 2
    assert np.nanmean(shown[:, :centre]) > 0.9
    assert np.nanmean(shown[:, centre + 1 :]) < 0.1


def test_widened_keeps_the_middle_and_loses_nothing():
    view = View(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (-2.0, 8.0), (0.0, 4.0))
    for aspect in (0.5, 1.0, 4.0):
        wide = view.widened(aspect)
        assert wide.size_mm[0] / wide.size_mm[1] == pytest.approx(aspect)
        assert wide.x_mm[0] <= -2.0 and wide.x_mm[1] >= 8.0 and wide.y_mm[0] <= 0.0 and wide.y_mm[1] >= 4.0  # noqa: PT018
        assert sum(wide.x_mm) == pytest.approx(6.0)


def test_overview_sees_planes_edge_on():
    plan = SlicePlan(tuple(CutPlane.from_normal(f"P{n}", (0, 0, 5.0 * n), (0, 0, 1)) for n in range(3)))
    view = overview(plan, np.array([[-10, -20, 0], [10, 20, 12.0]]))
    assert view.edge_letters == {"left": "R", "right": "L", "top": "S", "bottom": "I"}


def test_grey_window_looks_at_the_specimen_only():
    grid = Grid((20, 20, 20), (1.0, 1.0, 1.0))
    values = np.full(grid.shape, 1e6)
    values[4:16, 4:16, 4:16] = np.linspace(0, 100, 12)[:, None, None]
    mask = np.zeros(grid.shape, np.uint8)
    mask[6:14, 6:14, 6:14] = 1
    low, high = grey_window(grid.to_image(values), grid.to_image(mask), margin_mm=1.0)
    assert 0 <= low < high <= 100
    assert grey_window(grid.to_image(np.full(grid.shape, 7.0))) == (7.0, 8.0)


def test_empty_mask_is_refused():
    with pytest.raises(InputError, match="at least one voxel"):
        mask_points(Grid((3, 3, 3)).to_image())


@pytest.mark.parametrize(("width", "expected"), [(5.0, 1.0), (34.0, 10.0), (70.0, 20.0), (1000.0, 200.0), (0.1, 0.1)])
def test_scale_bar_is_a_round_length(width, expected):
    assert decor.bar_length_mm(width) == expected


def test_scale_bar_is_as_long_as_it_says_and_letters_are_at_their_edges():
    ax = new_figure(3, 3).add_subplot()
    view = View(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (-20.0, 30.0), (-10.0, 25.0))
    decor.finish(ax, view, "P01 $x$")
    (bar,) = [line for line in ax.lines if line.get_gid() == "scale-bar"]
    assert np.ptp(bar.get_xdata()) == pytest.approx(10.0)
    assert {"10 mm", "P01 $x$"} <= {t.get_text() for t in ax.texts}
    places = {
        t.get_gid(): (t.get_text(), t.get_position()) for t in ax.texts if (t.get_gid() or "").startswith("letter")
    }
    assert places["letter-left"][0] == "R"
    assert places["letter-left"][1][0] < 0.1
    assert places["letter-top"][0] == "A"
    assert places["letter-top"][1][1] > 0.9
    assert ax.get_xlim() == (-20.0, 30.0)
    assert ax.get_ylim() == (25.0, -10.0)

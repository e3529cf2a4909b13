"""The renderer draws what is there: place, order, shape, never a mirror image."""

import numpy as np
import pytest
import trimesh

from comould.pl.render import Body, Camera, rasterise, render

RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)
ABOVE = Camera.orbit(-90.0, 90.0)


def box(low, high):
    return trimesh.creation.box(bounds=[low, high])


def joined(*meshes):
    return trimesh.util.concatenate(meshes)


def at(picture, x, y):
    """Pixel at camera x right, y down, mm."""
    left, right, bottom, top = picture.extent
    h, w = picture.rgba.shape[:2]
    return picture.rgba[int((y - top) / (bottom - top) * h), int((x - left) / (right - left) * w)]


@pytest.mark.parametrize("azimuth", [-130.0, 0.0, 45.0])
@pytest.mark.parametrize("elevation", [-20.0, 0.0, 35.0, 90.0])
def test_camera_is_a_proper_rotation(azimuth, elevation):
    matrix = Camera.orbit(azimuth, elevation).matrix
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


def test_from_above_x_is_right_and_y_is_up():
    np.testing.assert_allclose(ABOVE.right, (1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(ABOVE.down, (0, -1, 0), atol=1e-12)


def test_a_cube_covers_its_square_and_nothing_else():
    picture = render([Body(box((-5, -5, 0), (5, 5, 10)), RED)], ABOVE, width_px=220, margin=0.1)
    alpha = picture.rgba[..., 3]
    assert picture.extent == pytest.approx((-6.0, 6.0, 6.0, -6.0), abs=0.06)
    pixel_mm = 12.0 / 220
    assert alpha.sum() * pixel_mm**2 == pytest.approx(100.0, rel=0.01)
    rows, columns = np.nonzero(alpha > 0.5)
    assert (rows.max() - rows.min() + 1) * pixel_mm == pytest.approx(10.0, abs=0.1)
    assert (columns.max() - columns.min() + 1) * pixel_mm == pytest.approx(10.0, abs=0.1)
    inside = picture.rgba[40:-40, 40:-40]
    assert (inside[..., 0] > 3 * inside[..., 2]).all()


@pytest.mark.parametrize("order", [0, 1])
def test_the_nearer_body_hides_the_farther_whatever_the_order(order):
    low, high = Body(box((-10, -10, 0), (10, 10, 5)), RED), Body(box((-4, -4, 8), (4, 4, 9)), BLUE)
    picture = render([low, high][:: 1 - 2 * order], ABOVE, width_px=160)
    assert at(picture, 0, 0)[2] > at(picture, 0, 0)[0]
    assert at(picture, 7, 7)[0] > at(picture, 7, 7)[2]
    below = render([low, high], Camera.orbit(-90.0, -90.0), width_px=160)
    assert at(below, 0, 0)[0] > at(below, 0, 0)[2]


def test_interpenetrating_bodies_meet_at_the_right_place():
    flat = Body(box((-10, -10, -1), (10, 10, 5.0)), RED)
    slope = Body(box((0, -10, -1), (10, 10, 6.0)), BLUE)
    picture = render([flat, slope], ABOVE, width_px=200)
    assert at(picture, -2, 0)[0] > 0.3 > at(picture, -2, 0)[2]
    assert at(picture, 2, 0)[2] > 0.3 > at(picture, 2, 0)[0]


def test_letter_l_is_not_mirrored():
    letter = joined(box((0, 0, 0), (3, 20, 2)), box((3, 0, 0), (12, 3, 2)))
    picture = render([Body(letter, RED)], ABOVE, width_px=160)
    cover = [at(picture, x, -y)[3] for x, y in ((1.5, 18), (10, 1.5), (10, 18))]
    assert [round(float(c)) for c in cover] == [1, 1, 0]


def test_rigid_motion_of_scene_and_camera_changes_nothing():
    from scipy.spatial.transform import Rotation

    rotation = Rotation.from_euler("xyz", (20, -40, 70), degrees=True).as_matrix()
    mesh = joined(box((0, 0, 0), (3, 20, 2)), box((3, 0, 0), (12, 3, 2)))
    camera = Camera.orbit(30.0, 25.0)
    turned = trimesh.Trimesh(mesh.vertices @ rotation.T, mesh.faces, process=False)
    moved = Camera(*(rotation @ row for row in camera.matrix))
    a, b = (render([Body(m, RED)], c, width_px=120).rgba for m, c in ((mesh, camera), (turned, moved)))
    assert a.shape == b.shape
    assert np.abs(a - b).mean() < 2e-3


def test_cut_surface_is_flat_and_solid():
    """Cut open, a solid box shows a flat face at the cutting plane; what lies behind it stays hidden."""
    solid = Body(box((-10, -10, -10), (10, 10, 10)), RED, cut=((0.0, -1.0, 0.0), 0.0))
    hidden = Body(box((-2, 2, -2), (2, 6, 2)), BLUE)
    shown = Body(box((4, -6, -2), (8, -2, 2)), BLUE)
    front = Camera.orbit(-90.0, 0.0)
    picture = render([solid, hidden, shown], front, width_px=200)
    assert at(picture, 0, 0)[0] > at(picture, 0, 0)[2]
    assert at(picture, 6, 0)[2] > at(picture, 6, 0)[0]
    cap = picture.rgba[60:140, 20:60, :3]
    assert np.ptp(cap.reshape(-1, 3), axis=0).max() < 0.05


def test_glass_lets_the_specimen_through():
    block, inner = box((-10, -10, -10), (10, 10, 10)), box((-3, -3, -3), (3, 3, 3))
    glass = render([Body(block, (0.8, 0.8, 0.8), alpha=0.3), Body(inner, RED)], ABOVE, width_px=120)
    assert at(glass, 0, 0)[0] > at(glass, 0, 0)[2] + 0.2
    assert at(glass, 0, 0)[3] == pytest.approx(1.0)
    assert 0.25 < at(glass, 8, 8)[3] < 0.5


def test_shift_moves_a_body():
    picture = render([Body(box((0, 0, 0), (2, 2, 2)), RED, shift=(10.0, 0.0, 0.0))], ABOVE, margin=0.0, width_px=40)
    assert picture.extent[:2] == pytest.approx((10.0, 12.0))


def test_neighbouring_triangles_leave_no_gap():
    rng = np.random.default_rng(0)
    from scipy.spatial import Delaunay

    points = np.vstack([rng.uniform(0, 60, (200, 2)), [[0, 0], [60, 0], [0, 60], [60, 60]]])
    faces = Delaunay(points).simplices
    corners = np.concatenate([points[faces], np.zeros((*faces.shape, 1))], axis=2)
    pixel, face, depth = rasterise(corners, (61, 61))
    assert len(pixel) == 61 * 61
    y, x = np.divmod(pixel, 61)
    inside = Delaunay(points).find_simplex(np.column_stack([x, y]) + 1e-9)
    assert (depth == 0).all()
    assert np.mean(face == inside) > 0.9


def test_bodies_partly_off_screen_and_slivers_are_harmless():
    corners = np.array(
        [
            [[-50, -50, 1], [200, -50, 1], [-50, 200, 1]],
            [[5, 5, 0], [5, 5, 0], [5, 5, 0]],
            [[1, 1, 0], [9, 1, 0], [5, 1, 0]],
        ],
        dtype=float,
    )
    pixel, face, depth = rasterise(corners, (20, 30))
    assert len(pixel) == 600
    assert set(face) == {0}
    np.testing.assert_allclose(depth, 1.0)


def test_nothing_to_draw_gives_nothing():
    pixel, face, depth = rasterise(np.zeros((0, 3, 3)), (4, 5))
    assert len(pixel) == len(face) == len(depth) == 0

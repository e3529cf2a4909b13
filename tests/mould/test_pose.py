"""How it lies: the least undercut, ties, and directions that were asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comould.errors import GeometryError, InputError
from comould.mould.lesion import find_lesion
from comould.mould.planes import resolve_view
from comould.mould.pose import choose_pose, up_direction
from comould.mould.surface import distance_field


@pytest.fixture(scope="module")
def arms(arms_image):
    lesion = find_lesion(arms_image)
    return lesion, resolve_view("axial", lesion.grid)


@pytest.mark.parametrize(
    ("up", "angle", "direction"),
    [
        ("anterior", 0, (0, -1, 0)),
        ("left", 90, (1, 0, 0)),
        ("Posterior", 180, (0, 1, 0)),
        ("right", 270, (-1, 0, 0)),
        (90, 90, (1, 0, 0)),
        ("-45", 315, (-np.sqrt(0.5), -np.sqrt(0.5), 0)),
    ],
)
def test_asked_direction(arms, up, angle, direction):
    pose = choose_pose(*arms, up)
    assert pose.angle_deg == pytest.approx(angle)
    assert np.allclose(pose.rotation[2], direction)
    assert len(pose.tried) == 1


@pytest.mark.parametrize("up", ["skywards", float("nan"), "x", float("inf")])
def test_unknown_direction(arms, up):
    with pytest.raises(InputError, match="auto, an angle in degrees, or one of left, right"):
        choose_pose(*arms, up)


def test_direction_across_the_planes(arms):
    with pytest.raises(GeometryError, match="one along their normal"):
        choose_pose(*arms, "superior")


@settings(max_examples=15)
@given(st.floats(0, 360), st.sampled_from(["axial", "coronal", "sagittal"]))
def test_mould_axes_are_a_proper_rotation(angle, plane):
    from comould.space import Grid

    view = resolve_view(plane, Grid((5, 5, 5)))
    z = up_direction(view, angle)
    rotation = np.array([view.normal, np.cross(z, view.normal), z])
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert z @ view.normal == pytest.approx(0.0, abs=1e-12)


def test_a_wedge_lies_with_its_edge_down(shapes):
    """Widest at the front of the patient: only with anterior up does nothing overhang."""

    def wedge(points):
        return np.max(
            [
                np.abs(points[:, 2]) - 15,
                np.abs(points[:, 0]) * np.cos(0.5) - (10 - points[:, 1]) * np.sin(0.5) + 0.0,
                -points[:, 1] - 14,
            ],
            axis=0,
        )

    lesion = find_lesion(shapes.sampled(wedge, (16, 15, 16), (1, 1, 2.5)))
    pose = choose_pose(lesion, resolve_view("axial", lesion.grid))
    assert pose.angle_deg == 0
    worst = max(option.undercut_ml for option in pose.tried)
    assert pose.undercut_ml < 0.07 * worst


def test_ties_go_to_the_lowest_lie(shapes):
    def lens(points):
        return np.linalg.norm(points / (18.0, 9.0, 14.0), axis=1) - 1

    lesion = find_lesion(shapes.sampled(lens, (18, 9, 14), (1, 1, 2)))
    pose = choose_pose(lesion, resolve_view("axial", lesion.grid))
    assert pose.angle_deg in {0, 180}


def test_estimate_agrees_with_a_fine_field(arms):
    lesion, view = arms
    for angle in (0.0, 105.0, 270.0):
        pose = choose_pose(lesion, view, angle)
        field = distance_field(lesion, pose.rotation, step_mm=0.5, margin_mm=2, above_mm=0)
        top = float(field.mesh()[0][:, 2].max())
        fine = field.swept_up().volume_ml(0.0, top) - field.volume_ml()
        assert pose.undercut_ml == pytest.approx(fine, abs=0.03 * lesion.volume_ml)

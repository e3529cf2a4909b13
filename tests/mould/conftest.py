"""Shapes with known truth, as label images."""

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk

from comould.space import Grid


def sampled(
    distance: Callable,
    reach_mm,
    spacing=(1.0, 1.0, 2.5),
    direction=None,
    centre=(11.0, -23.0, 47.0),
    jitter=(0.0, 0.0, 0.0),
) -> sitk.Image:
    """Voxelise ``distance(points) < 0`` (points from the centre, patient axes) on a grid that leaves room all round."""
    rotation = np.eye(3) if direction is None else np.asarray(direction, float)
    spacing = np.array(spacing, float)
    reach = np.abs(rotation.T) @ np.broadcast_to(np.asarray(reach_mm, float), 3)
    size = 2 * np.ceil((reach + 2.5 * spacing) / spacing).astype(int) + 1
    origin = np.array(centre) - rotation @ (spacing * ((size - 1) / 2 + np.array(jitter)))
    grid = Grid(tuple(size), tuple(spacing), tuple(origin), rotation)
    index = np.indices(grid.shape).reshape(3, -1)[::-1].T
    inside = distance(grid.patient_from_index(index) - np.array(centre)) < 0
    return grid.to_image(inside.reshape(grid.shape))


def ball(points, radius=10.0, centre=(0, 0, 0)):
    return np.linalg.norm(points - np.array(centre, float), axis=1) - radius


def capsule(points, a, b, radius):
    a, b = np.array(a, float), np.array(b, float)
    along = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return np.linalg.norm(points - a - along[:, None] * (b - a), axis=1) - radius


def arms(points):
    """A long arm to the left, a middling one to the back, a short one upwards: its mirror image is another body."""
    return np.min(
        [
            ball(points, 14.0),
            capsule(points, (0, 0, 0), (24, 0, 0), 9.0),
            capsule(points, (0, 0, 0), (0, 18, 0), 9.0),
            capsule(points, (0, 0, 0), (0, 0, 13), 9.0),
        ],
        axis=0,
    )


ARMS_REACH = {"L": 33.0, "R": 14.0, "P": 27.0, "A": 14.0, "S": 22.0, "I": 14.0}


@pytest.fixture(scope="session")
def shapes():
    """The helpers above, for test modules (which import nothing from each other)."""

    class Shapes:
        pass

    Shapes.sampled, Shapes.ball, Shapes.capsule, Shapes.arms, Shapes.reach = (
        staticmethod(sampled),
        staticmethod(ball),
        staticmethod(capsule),
        staticmethod(arms),
        ARMS_REACH,
    )
    return Shapes


@pytest.fixture(scope="session")
def arms_image():
    return sampled(arms, 34.0)


@pytest.fixture(scope="session")
def arms_mould(arms_image):
    """One finished mould that many tests look at."""
    from comould.mould import build

    return build(arms_image, plane="axial", spacing_mm=5, up="anterior")

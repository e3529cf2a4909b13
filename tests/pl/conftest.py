"""A small phantom, cut; and simple bodies to look at."""

from types import SimpleNamespace

import numpy as np
import pytest

from comould.space import CutPlane, Grid, SlicePlan, Transform


@pytest.fixture(scope="session")
def case():
    """The phantom with two planes and their sections; registrations are the truth."""
    from comould import phantom
    from comould.pl.view import mask_points

    made = phantom.specimen(seed=3, volume_ml=8.0)
    centre = mask_points(made.mask).mean(axis=0)
    planes = [
        CutPlane.from_normal(f"P{n:02d}", centre + np.array([0, 0, 6.0 * n - 9.0]), (0, 0, 1), kerf_mm=0.4)
        for n in (1, 2)
    ]
    plan = SlicePlan(tuple(planes))
    cuts = made.cut(plan)
    registrations = [
        SimpleNamespace(
            section_id=cut.section.id,
            plane_id=cut.section.plane_id,
            patient_from_section_px=cut.patient_from_section_px,
            quality=SimpleNamespace(
                verdict=verdict, dice=0.97, angle_deg=cut.angle_deg, flipped=cut.flipped, reasons=[]
            ),
        )
        for cut, verdict in zip(cuts, ("accept", "review"), strict=True)
    ]
    return SimpleNamespace(
        phantom=made, image=made.images["T2"], mask=made.mask, plan=plan, cuts=cuts, registrations=registrations
    )


@pytest.fixture
def oblique():
    """A label volume of half spaces on a grid tilted about two axes: its values tell where one is."""
    from scipy.spatial.transform import Rotation

    axes = Rotation.from_euler("xyz", (25.0, 20.0, 10.0), degrees=True).as_matrix()
    grid = Grid((40, 36, 12), (0.8, 0.9, 3.0), (5.0, -7.0, 11.0), axes)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size), indexing="ij"), -1).reshape(-1, 3)
    points = grid.patient_from_index(index).reshape(*grid.size, 3).transpose(2, 1, 0, 3)
    return SimpleNamespace(grid=grid, axes=axes, points=points)


@pytest.fixture(scope="session")
def mould():
    """A block with a specimen in it, cut along patient z, which is the mould's x."""
    from trimesh.creation import box

    centre = np.array([10.0, -20.0, 30.0])
    matrix = np.eye(4)
    matrix[:3, :3] = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    matrix[:3, 3] = -matrix[:3, :3] @ centre
    plan = SlicePlan(
        tuple(CutPlane.from_normal(f"P{n}", centre + np.array([0, 0, 5.0 * n]), (0, 0, 1)) for n in range(-1, 2))
    )
    return SimpleNamespace(
        bodies={"mould": box(bounds=[(-30, -20, -15), (30, 20, 0)])},
        specimen=box(bounds=[(-15, -8, -8), (15, 8, 10)]),
        plan=plan,
        mould_from_patient=Transform.from_matrix("patient", "mould", matrix),
    )

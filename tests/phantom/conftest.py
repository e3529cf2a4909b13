"""One specimen and a few cuts of it, shared by the room's tests."""

import numpy as np
import pytest

from comould import phantom
from comould.phantom import CutSection, Phantom
from comould.space import CutPlane, SlicePlan


def plan_through(specimen: Phantom, fractions: tuple[float, ...], normal=(0.0, 0.0, 1.0), face="-") -> SlicePlan:
    """Planes at shares of the specimen's extent along a normal."""
    direction = np.array(normal) / np.linalg.norm(normal)
    surface = specimen.tissue.body.surface_mm(800)
    low, high = (surface @ direction).min(), (surface @ direction).max()
    centre = surface.mean(axis=0)
    planes = []
    for number, share in enumerate(fractions, start=1):
        origin = centre + direction * (low + share * (high - low) - centre @ direction)
        planes.append(CutPlane.from_normal(f"P{number:02d}", origin, direction, face=face))
    return SlicePlan(tuple(planes))


@pytest.fixture(scope="session")
def make_plan():
    return plan_through


@pytest.fixture(scope="session")
def specimen() -> Phantom:
    return phantom.specimen(seed=3)


@pytest.fixture(scope="session")
def plan(specimen: Phantom) -> SlicePlan:
    return plan_through(specimen, (0.25, 0.5, 0.7))


@pytest.fixture(scope="session")
def sections(specimen: Phantom, plan: SlicePlan) -> list[CutSection]:
    return specimen.cut(plan, image_pixel_um=100.0)


@pytest.fixture(scope="session")
def small() -> Phantom:
    """A specimen that is made and cut quickly."""
    return phantom.specimen(5, volume_ml=12.0, margin_mm=4.0, subsamples=1, spacing_mm=(1.0, 1.0, 3.0))

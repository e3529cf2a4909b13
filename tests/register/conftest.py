"""A small specimen of our own (the phantom is a neighbour's room) and one worker for the whole folder."""

from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

import comould.register
from comould.io.section import Section
from comould.register import RegisterSettings
from comould.register.elastix import shared_worker
from comould.space import CutPlane, Grid, SlicePlan


@dataclass(frozen=True)
class Pair:
    """A specimen, its plan, and a section whose way back to the patient is known."""

    images: dict[str, sitk.Image]
    mask: sitk.Image
    plan: SlicePlan
    section: Section
    angle_deg: float
    flipped: bool
    spots_px: np.ndarray
    spots_patient_mm: np.ndarray


GRID = Grid((110, 96, 12), (0.6, 0.6, 3.0), (-40.0, 15.0, 100.0))
PLANE = CutPlane.from_normal("P02", (-7.0, 44.0, 116.5), (0, 0, 1), kerf_mm=0.8)


def tissue(points, seed):
    """Signed depth (mm, positive inside) and two smooth contrasts at patient points."""
    rng = np.random.default_rng(seed)
    x, y, z = (points - [-7.0, 44.0, 116.0]).T
    turn = np.arctan2(y, x)
    height, phase = rng.uniform(0.4, 1.6, 3), rng.uniform(0, 6, 3)
    wobble = sum(height[k] * np.cos((k + 2) * turn + phase[k]) for k in range(3))
    depth = (20 + wobble) * np.sqrt(np.clip(1 - (z / 17) ** 2, 1e-9, None)) - np.hypot(x / 1.12, y / 0.92)
    fields = []
    for _ in range(2):
        waves = rng.normal(0, 0.14, (14, 3)) * [1, 1, 0.5]
        phase = rng.uniform(0, 2 * np.pi, 14)
        fields.append(np.cos(np.column_stack([x, y, z]) @ waves.T + phase).mean(axis=1) * 3)
    return depth, np.array(fields)


def specimen(seed):
    points = GRID.patient_from_index(np.argwhere(np.ones(GRID.shape))[:, ::-1])
    depth, (a, b) = tissue(points, seed)
    rng = np.random.default_rng([seed, 1])
    t2 = 300 + 120 * np.tanh(2 * a) + 20 * b + rng.normal(0, 12, len(a))
    adc = 1200 - 300 * np.tanh(2 * b) + rng.normal(0, 60, len(a))
    images = {
        name: GRID.to_image(np.where(depth > 0, v, 50).reshape(GRID.shape).astype(np.float32))
        for name, v in {"T2": t2, "ADC": adc}.items()
    }
    return images, GRID.to_image((depth > 0).reshape(GRID.shape).astype(np.uint8))


def plane_from_slide(xy, *, angle_deg, flipped, shrink, bend_mm, seed):
    """The truth: slide mm (centred) to plane mm."""
    rng = np.random.default_rng([seed, 2])
    t = np.deg2rad(angle_deg)
    turned = xy @ np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
    if flipped:
        turned = turned * [-1, 1]
    p = turned / shrink
    phase, wave = rng.uniform(0, 6, (2, 3)), rng.uniform(0.08, 0.16, (2, 3))
    for axis in range(2):
        p = (
            p
            + bend_mm
            * np.eye(2)[axis]
            * np.sin(wave[axis] @ np.vstack([p.T, p.sum(axis=1)]) / 2 + phase[axis].sum())[:, None]
        )
    return p


def make_pair(seed=0, *, angle_deg=None, flipped=None, shrink=0.95, bend_mm=0.5, plane_id="P02", face=None):
    rng = np.random.default_rng([seed, 3])
    angle_deg = float(rng.uniform(0, 360)) if angle_deg is None else angle_deg
    flipped = bool(rng.integers(2)) if flipped is None else flipped
    how = {"angle_deg": angle_deg, "flipped": flipped, "shrink": shrink, "bend_mm": bend_mm, "seed": seed}
    n, pixel_mm, shift = 520, 0.11, rng.uniform(-3, 3, 2)
    index = np.argwhere(np.ones((n, n)))[:, ::-1]
    slide = (index - n / 2) * pixel_mm + shift
    patient = PLANE.patient_from_plane.apply(plane_from_slide(slide, **how))
    depth, (a, b) = tissue(patient, seed)
    mix = np.clip(0.5 + 0.4 * np.tanh(2 * a) - 0.2 * b, 0, 1)[:, None]
    density = mix * [0.75, 1.1, 0.35] + (1 - mix) * [0.15, 0.55, 0.3]
    grain = ndimage.gaussian_filter(rng.normal(size=(n, n)), 1.0).reshape(-1, 1)
    colour = 244 * np.exp(-np.where(depth[:, None] > 0, density * (1 + 0.5 * grain), 0)) + rng.normal(0, 2, (n * n, 3))
    image = np.clip(colour, 0, 255).astype(np.uint8).reshape(n, n, 3)
    downsample, size_um = 4.0, pixel_mm * 250
    section = Section("S1", image, size_um, downsample, plane_id=plane_id, face=face)
    spots = index[(depth > 0) & (index % 12 == 0).all(axis=1)]
    spots_mm = (spots - n / 2) * pixel_mm + shift
    truth = PLANE.patient_from_plane.apply(plane_from_slide(spots_mm, **how))
    images, mask = specimen(seed)
    plan = SlicePlan((CutPlane.from_normal("P01", (-7, 44, 110.5), (0, 0, 1)), PLANE))
    spots_px = (spots + 0.5) * downsample - 0.5
    return Pair(images, mask, plan, section, angle_deg, flipped, spots_px, truth)


@pytest.fixture(scope="session")
def make():
    return make_pair


@pytest.fixture(scope="session")
def pair():
    return make_pair(3)


@pytest.fixture(scope="session")
def registered(pair, worker):
    return comould.register.section(
        pair.section, plan=pair.plan, image=pair.images, mask=pair.mask, seed=5, n_samples=2
    )


@pytest.fixture(scope="session")
def plain(pair, worker):
    """The pair brought home by search and affine alone, on the plan, without an ensemble: nothing is left to chance."""
    settings = RegisterSettings(deformable=False, plane="plan", round_trip=False)
    given = {"plan": pair.plan, "image": pair.images, "mask": pair.mask}
    return comould.register.section(pair.section, n_samples=0, settings=settings, **given)


@pytest.fixture(scope="session")
def worker():
    yield shared_worker().start()
    shared_worker().close()

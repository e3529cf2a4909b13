"""The phantom knows the truth: here registration is held to it."""

import numpy as np
import pytest
import SimpleITK as sitk

import comould.register
from comould import phantom
from comould.space import CutPlane, Grid, SlicePlan


def plan_of(mask, spacing_mm):
    """Planes on slice centres, about ``spacing_mm`` apart, through the specimen."""
    grid = Grid.from_image(mask)
    filled = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)[:, ::-1]
    step = max(1, round(spacing_mm / grid.spacing_mm[2]))
    slices = range(filled[:, 2].min() + step // 2 + 1, filled[:, 2].max(), step)
    i, j = filled[:, :2].mean(axis=0)
    origins = grid.patient_from_index([[i, j, k] for k in slices])
    u, normal = grid.axes[:, 0], grid.axes[:, 2]
    return SlicePlan(
        tuple(
            CutPlane.from_normal(f"P{n:02d}", origin, normal, u_hint=u, image_index=k, kerf_mm=0.6)
            for n, (k, origin) in enumerate(zip(slices, origins, strict=True), 1)
        )
    )


def outcome(cut, registration, plan):
    """Median spot error, that of doing nothing, whether face and turn are right, and 95 % coverage in the plane."""
    position, sd = registration.map_points(cut.spots.obsm["spatial"])
    error = position - cut.spots_patient_mm
    slide = cut.section.section_mm_from_section_px.apply(cut.spots.obsm["spatial"])
    plane = plan[cut.section.plane_id]
    centre = plane.plane_from_patient.apply(cut.spots_patient_mm).mean(axis=0)
    nothing = plane.patient_from_plane.apply(slide - slide.mean(axis=0) + centre) - cut.spots_patient_mm
    quality = registration.quality
    turned = abs((quality.angle_deg - cut.angle_deg + 180) % 360 - 180)
    covered = np.mean(np.abs(error[:, :2]) < 1.96 * sd[:, :2])
    found = np.median(np.linalg.norm(error, axis=1)), np.median(np.linalg.norm(nothing, axis=1))
    return *found, quality.flipped == cut.flipped and turned < 12, covered


def test_a_section_of_the_phantom_comes_home(worker):
    specimen = phantom.specimen(seed=0)
    whole = plan_of(specimen.mask, 5.0)
    plan = SlicePlan((whole.planes[len(whole) // 2],))
    (cut,) = specimen.cut(plan)
    registration = comould.register.section(
        cut.section, plan=plan, image=specimen.images, mask=specimen.mask, n_samples=1
    )
    error, nothing, placed, _ = outcome(cut, registration, plan)
    assert placed
    assert error < 0.7
    assert error < 0.3 * nothing or nothing < 2
    assert registration.quality.verdict == "accept"


@pytest.mark.slow
def test_spot_error_over_many_specimens(worker):
    results = []
    for seed in range(5):
        specimen = phantom.specimen(seed=seed)
        plan = plan_of(specimen.mask, 5.0)
        cuts = specimen.cut(plan)
        found = comould.register.sections(
            [cut.section for cut in cuts],
            plan=plan,
            image=specimen.images,
            mask=specimen.mask,
            workers=[worker],
        )
        results += [outcome(cut, found[cut.section.id], plan) for cut in cuts]
    error, nothing, placed, covered = np.array(results, dtype=float).T
    assert np.median(error) <= 0.5
    assert np.quantile(error, 0.95) <= 1.0
    assert np.median(nothing) > 5.0
    assert placed.mean() >= 0.97
    assert 0.8 < covered.mean() <= 1.0

"""The whole sampling of a simulated specimen, against its analytic habitats, which no image grid has blurred."""

import warnings

import numpy as np
import pytest

from comould.errors import ComouldWarning
from comould.mould import CoreOptions, plan_blocks, plan_cores, plates, slabs
from comould.mould.lesion import find_lesion
from comould.mould.planes import plan_cuts, resolve_view


@pytest.fixture(scope="module", params=[(12.0, -20.0, 8.0)], ids=["oblique"])
def made(request):
    from comould import phantom

    specimen = phantom.specimen(seed=2, volume_ml=14.0, spacing_mm=(0.8, 0.8, 2.0), acquisition_deg=request.param)
    lesion = find_lesion(specimen.mask, "largest")
    plan = plan_cuts(
        lesion.points_mm(),
        resolve_view("image", lesion.grid),
        lesion.grid,
        spacing_mm=6.0,
        slot_mm=1.0,
        min_rib_mm=1.5,
        min_end_slab_mm=2.0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        sampling = plan_cores(
            plan,
            specimen.mask,
            specimen.habitats,
            names=specimen.habitat_names,
            options=CoreOptions(diameter_mm=3.0, unphotographed=True),
        )
    return specimen, plan, sampling


def test_cores_hit_their_analytic_habitats(made):
    specimen, _, sampling = made
    assert len(sampling.cores) > 15
    hit = specimen.habitat_at([core.face_mm for core in sampling.cores]) == [core.label for core in sampling.cores]
    # The labels' voxels are 2 mm high: a border may run between a face and the slice that speaks for it.
    assert np.mean(hit) >= 0.95
    assert all(specimen.habitat_names[core.label - 1] == core.habitat for core in sampling.cores)


def test_purity_agrees_with_the_analytic_cylinder(made):
    specimen, _, sampling = made
    rng = np.random.default_rng(1)
    wrong = []
    for core in sampling.cores:
        slab = next(slab for slab in sampling.slabs if slab.id == core.slab)
        radius, turn = 1.5 * np.sqrt(rng.random(400)), 2 * np.pi * rng.random(400)
        offset = np.column_stack([radius * np.cos(turn), radius * np.sin(turn), slab.thickness_mm * rng.random(400)])
        labels = specimen.habitat_at(np.array(core.face_mm) + offset @ slab.patient_from_face[:3, :3].T)
        wrong.append(core.purity - np.mean(labels[labels > 0] == core.label))
    assert np.mean(np.abs(wrong)) < 0.06
    assert abs(np.mean(wrong)) < 0.03


def test_every_habitat_that_is_there_is_sampled_or_reported(made):
    specimen, plan, sampling = made
    rng = np.random.default_rng(0)
    points = rng.uniform(-30, 30, (60_000, 3)) + specimen.options.centre_mm
    labels = specimen.habitat_at(points)
    depth = points @ plan.normal
    known = {(core.slab, core.label) for core in sampling.cores} | {(gap.slab, gap.label) for gap in sampling.short}
    for slab in slabs(plan, specimen.mask):
        inside = (depth > slab.low_mm) & (depth < slab.high_mm)
        found = np.bincount(labels[inside], minlength=5)
        # More than a handful of the random points: about 20 mm³.
        assert {(slab.id, int(label)) for label in range(1, 5) if found[label] > 5} <= known


def test_plates_and_blocks_of_all_slabs(made):
    specimen, plan, sampling = made
    printed = plates(sampling, specimen.mask)
    assert set(printed) == {core.slab for core in sampling.cores}
    for name, plate in printed.items():
        at = plate.patient_from_plate.inverse().apply([core.face_mm for core in sampling.of(name)])
        low, high = plate.mesh.bounds
        assert (at[:, :2] > low[:2] + 5.0).all()
        assert (at[:, :2] < high[:2] - 5.0).all()
        assert plate.unmarked == ()
    blocks = plan_blocks(plan, specimen.mask)
    assert {block.slab for block in blocks.blocks} == {slab.id for slab in sampling.slabs}
    assert not any(block.crumb for block in blocks.blocks)
    # The slabs' tissue cannot be more than their outlines times their thickness, nor much less.
    voxels = find_lesion(specimen.mask, "largest").volume_ml * 1000.0
    boxed = sum(block.area_mm2 * (block.thickness_mm + 1.0) for block in blocks.blocks)
    assert 0.95 * voxels < boxed < 1.4 * voxels

"""The specimen as a whole: same seed same bits, sections that depend on nothing but themselves."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from comould import phantom
from comould.errors import InputError
from comould.space import CutPlane, SlicePlan

SMALL = {"volume_ml": 12.0, "margin_mm": 4.0, "subsamples": 2, "spacing_mm": (1.0, 1.0, 3.0)}
QUICK = {"image_pixel_um": 200.0, "spot_pitch_um": 1500.0}


@pytest.fixture(scope="module")
def small() -> phantom.Phantom:
    return phantom.specimen(5, **SMALL)


def same(one, other) -> bool:
    return (
        np.array_equal(one.section.image, other.section.image)
        and (one.spots.X != other.spots.X).nnz == 0
        and np.array_equal(one.spots_patient_mm, other.spots_patient_mm)
        and one.spots.obs_names.equals(other.spots.obs_names)
    )


def test_same_seed_same_bits(small, make_plan):
    one, other = small, phantom.specimen(5, **SMALL)
    for name in ("T2", "ADC"):
        assert sitk.Hash(one.images[name]) == sitk.Hash(other.images[name])
    assert sitk.Hash(one.habitats) == sitk.Hash(other.habitats)
    assert one.genes.equals(other.genes)
    plan = make_plan(one, (0.4, 0.6))
    assert all(same(a, b) for a, b in zip(one.cut(plan, **QUICK), other.cut(plan, **QUICK), strict=True))


def test_another_seed_is_another_specimen(small):
    one, other = small, phantom.specimen(6, **SMALL)
    assert sitk.Hash(one.images["T2"]) != sitk.Hash(other.images["T2"])
    points = np.random.default_rng(0).normal([-35, 12, -140], 6, (500, 3))
    assert np.mean(one.habitat_at(points) == other.habitat_at(points)) < 0.6
    assert not one.genes["log2_fold_change"].equals(other.genes["log2_fold_change"])


def test_sections_do_not_depend_on_each_other(small, make_plan):
    plan = make_plan(small, (0.3, 0.5, 0.7))
    together = small.cut(plan, **QUICK)
    alone = small.cut(SlicePlan((plan["P02"],)), **QUICK)
    assert same(together[1], alone[0])
    again = small.cut(SlicePlan((plan["P02"],)), seed=1, **QUICK)[0]
    assert not np.array_equal(again.section.image, alone[0].section.image)


def test_options_leave_other_chance_alone(small, make_plan):
    """Unbent and bent sections lie at one angle and face: only what was asked to change does."""
    plan = make_plan(small, (0.5,))
    bent, flat = (small.cut(plan, bending_mm=bending, **QUICK)[0] for bending in (0.6, 0.0))
    assert bent.angle_deg == flat.angle_deg
    assert bent.flipped == flat.flipped
    assert flat.patient_from_section_px.is_linear
    assert not bent.patient_from_section_px.is_linear


def test_oblique_plan_and_missing_planes(small, make_plan):
    plan = make_plan(small, (-0.3, 0.5, 1.4), normal=(0.4, -0.7, 0.6))
    sections = small.cut(plan, **QUICK)
    assert [cut.section.plane_id for cut in sections] == ["P02"]
    assert [cut.section.id for cut in sections] == ["S-P02"]


def test_known_face_is_told(small, make_plan):
    for face, flipped in (("-", False), ("+", True)):
        cut = small.cut(make_plan(small, (0.5,), face=face), flip=False, **QUICK)[0]
        assert cut.section.face == face
        assert cut.flipped is flipped


def test_plan_that_misses_is_an_error(small):
    plan = SlicePlan((CutPlane.from_normal("far", (0, 0, 300), (0, 0, 1)),))
    with pytest.raises(InputError, match=r"slice plan: expected a plane that meets the phantom, found 1 that miss it"):
        small.cut(plan)


def test_unknown_cut_option(specimen, plan):
    with pytest.raises(InputError, match=r"Phantom.cut: expected options among shrinkage"):
        specimen.cut(plan, shrink=0.1)
    with pytest.raises(InputError, match="phantom seed"):
        specimen.cut(plan, seed=-2)


def test_habitat_at_takes_any_points(specimen):
    assert specimen.habitat_at([-35.0, 12.0, -140.0]).shape == (1,)
    assert specimen.habitat_at([[500.0, 0.0, 0.0]]).tolist() == [0]
    assert specimen.habitat_at(np.empty((0, 3))).shape == (0,)
    assert specimen.volume_ml == pytest.approx(60.0)
    with pytest.raises(dataclasses.FrozenInstanceError, match="seed"):
        specimen.seed = 4


def test_import_is_light():
    code = (
        "import sys, comould.phantom\n"
        "heavy = {'SimpleITK', 'anndata', 'scanpy', 'itk', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "print(*sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "")


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_difficulty_and_truth_of_the_cut(small, make_plan, difficulty):
    plan = make_plan(small, (0.35, 0.6))
    shares = []
    cuts = small.cut(plan, difficulty=difficulty, progress=shares.append, **QUICK)
    assert shares == [0.5, 1.0]
    for cut in cuts:
        wanted = phantom.PRESETS[difficulty]
        assert cut.shrinkage == cut.options.shrinkage == wanted["shrinkage"]
        np.testing.assert_allclose(cut.true_plane.distance_mm(cut.spots_patient_mm), 0.0, atol=1e-9)
        np.testing.assert_allclose(cut.locate(cut.spots.obsm["spatial"])[0], cut.spots_patient_mm)
        plane = plan[cut.true_plane_id]
        angle = np.rad2deg(np.arccos(np.clip(np.dot(plane.normal, cut.true_plane.normal), -1.0, 1.0)))
        assert angle == pytest.approx(np.hypot(*cut.plane_tilt_deg), abs=1e-5)
        if difficulty == "hard":
            assert (abs(cut.plane_offset_mm), np.hypot(*cut.plane_tilt_deg)) == pytest.approx((1.0, 5.0))
    with pytest.raises(InputError, match="difficulty: expected one of easy, medium, hard, found 'harder'"):
        small.cut(plan, difficulty="harder")


KNOBS = {
    "shrinkage": 0.12,
    "anisotropy": 0.05,
    "bending_mm": 0.0,
    "stain_sd": 0.3,
    "blur_um": 60.0,
    "tears": 1,
    "missing": 0.2,
    "dust": 20,
    "tell_face": "right",
    "photo": True,
    "tilt_deg": 4.0,
}


@pytest.mark.parametrize("knob", KNOBS)
def test_no_knob_turns_another(small, make_plan, knob):
    """Turn, face, plane and stain of a section stay as they were, whatever else is asked for."""
    plan = make_plan(small, (0.5,))
    options = {"offset_sd_mm": 0.3, "tint": 0.1, "image_pixel_um": 400.0, "spot_pitch_um": 4000.0}
    before, after = (small.cut(plan, **options, **more)[0] for more in ({}, {knob: KNOBS[knob]}))
    assert (before.angle_deg, before.flipped, before.plane_offset_mm) == (
        after.angle_deg,
        after.flipped,
        after.plane_offset_mm,
    )
    glass = [cut.section.image[:3, :3].mean(axis=(0, 1)) for cut in (before, after)]
    np.testing.assert_allclose(*glass, atol=2.0)
    if knob != "tilt_deg":
        assert before.true_plane == after.true_plane

"""A specimen's sections together: common shrinkage, and planes that were mixed up are told, never moved."""

from dataclasses import replace

import numpy as np
import pytest

import comould as cm
from comould.errors import InputError
from comould.register import RegisterSettings
from comould.register.stack import _robust_line, stack

QUICK = RegisterSettings(deformable=False, plane="plan", round_trip=False)


@pytest.fixture(scope="module")
def specimen():
    return cm.phantom.specimen(seed=21, volume_ml=25, spacing_mm=(0.8, 0.8, 3.0), cysts=6)


@pytest.fixture(scope="module")
def swapped(specimen, worker):
    plan = specimen.plan(spacing_mm=5.0)
    cuts = specimen.cut(plan, seed=3, difficulty="easy", swapped=1, image_pixel_um=80)
    found = stack(
        [cut.section for cut in cuts],
        plan=plan,
        image=specimen.images,
        mask=specimen.mask,
        n_samples=0,
        settings=QUICK,
        workers=[worker],
    )
    return cuts, found


def test_swapped_sections_are_told_and_stay_where_they_are(swapped):
    cuts, found = swapped
    for cut in cuts:
        registration = found.registrations[cut.section.id]
        assert registration.plane_id == cut.section.plane_id
        told = [reason for reason in registration.quality.reasons if "fits better" in reason]
        if cut.true_plane_id != cut.section.plane_id:
            assert found.table.loc[cut.section.id, "best_plane"] == cut.true_plane_id
            assert told
            assert cut.true_plane_id in told[0]
            assert registration.quality.verdict != "accept"
    right = [cut for cut in cuts if cut.true_plane_id == cut.section.plane_id]
    wrongly_told = [
        cut
        for cut in right
        if any("fits better" in reason for reason in found.registrations[cut.section.id].quality.reasons)
    ]
    assert len(wrongly_told) <= 1


def test_common_shrinkage(swapped):
    cuts, found = swapped
    assert found.shrinkage == pytest.approx(1 - 0.04, abs=0.03)
    assert list(found.table.index) == [cut.section.id for cut in cuts]
    assert np.isfinite(found.table["expected_scale"]).all()


def test_a_missing_section_shifts_nobody(specimen, swapped, worker):
    cuts, found = swapped
    some = [cut.section for cut in (cuts[1], cuts[3])]
    again = stack(
        some,
        plan=specimen.plan(spacing_mm=5.0),
        image=specimen.images,
        mask=specimen.mask,
        n_samples=0,
        settings=QUICK,
        workers=[worker],
    )
    for section in some:
        assert again.registrations[section.id].plane_id == found.registrations[section.id].plane_id


def test_few_sections_have_no_common_shrinkage_and_bad_ones_are_told(specimen, swapped, worker):
    cuts, _ = swapped
    given = {"plan": specimen.plan(spacing_mm=5.0), "image": specimen.images, "mask": specimen.mask}
    one = stack([cuts[2].section], n_samples=0, settings=QUICK, workers=[worker], **given)
    assert np.isnan(one.shrinkage)
    with pytest.raises(InputError, match="section 'S-P01' has plane_id 'P99'"):
        stack([replace(cuts[0].section, id="S-P01", plane_id="P99")], **given)
    with pytest.raises(InputError, match=r"registration: expected options of seed, n_samples, .* found sed"):
        stack([cuts[0].section], sed=1, **given)
    with pytest.raises(InputError, match="there are clues for 'S9', which is no section"):
        stack([cuts[0].section], clues={"S9": cm.register.Clues()}, **given)


def test_the_line_is_not_moved_by_one_odd_section():
    x = np.arange(9.0)
    y = 0.05 + 0.001 * (x - 4)
    y[2] += 0.5
    slope, level = _robust_line(x - 4, y)
    assert level == pytest.approx(0.05, abs=0.003)
    assert abs(slope) < 0.0015

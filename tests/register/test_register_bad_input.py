"""Bad input of every kind ends in a clear error or a verdict, never in a quiet wrong answer."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

import comould.register
from comould.errors import ComouldError, InputError, RegistrationError
from comould.register import RegisterSettings

QUICK = RegisterSettings(deformable=False, plane="plan", round_trip=False)


def run(pair, section=None, **changed):
    given = {"plan": pair.plan, "image": pair.images, "mask": pair.mask, "n_samples": 0, "settings": QUICK, **changed}
    return comould.register.section(section or pair.section, **given)


def test_a_blank_slide_is_an_error(pair):
    blank = np.full_like(pair.section.image, 243)
    with pytest.raises(RegistrationError, match="section 'S1': expected tissue on an empty background, found a blank"):
        run(pair, replace(pair.section, image=blank))


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_a_pixel_size_off_by_ten_is_an_error_that_names_it(pair, factor):
    with pytest.raises(InputError, match=r"times its area\. Is the pixel size of .* µm right\?"):
        run(pair, replace(pair.section, pixel_size_um=pair.section.pixel_size_um * factor))


def test_two_pieces_are_told(pair):
    image = pair.section.image.copy()
    image[:, 250:275] = 244
    found = run(pair, replace(pair.section, image=image))
    assert len(found.quality.pieces_mm2) == 2
    assert found.quality.verdict != "accept"
    assert any(reason.startswith("2 pieces of tissue") for reason in found.quality.reasons)


def test_noise_is_never_accepted(pair):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, pair.section.image.shape, dtype=np.uint8)
    section = replace(pair.section, image=noise)
    assert run(pair, section).quality.verdict != "accept"


def test_a_section_of_another_specimen_is_never_accepted(make, pair):
    for seed in (11, 12):
        stranger = make(seed).section
        assert run(pair, replace(stranger, image=stranger.image[:, ::1])).quality.verdict != "accept"


def test_an_unknown_plane_lists_the_known(pair):
    with pytest.raises(InputError, match="plane id 'P7': expected one of P01, P02"):
        run(pair, replace(pair.section, plane_id="P7"))


def test_an_empty_mask_a_constant_volume_and_a_short_volume_are_errors(pair):
    empty = pair.mask * 0
    with pytest.raises(InputError, match="mask: expected a specimen, found no voxel above 0"):
        run(pair, mask=empty)
    constant = pair.images["T2"] * 0 + 5
    with pytest.raises(InputError, match="volume 'T2' at P02: expected a picture, found one constant value"):
        run(pair, image={"T2": constant})
    short = pair.images["T2"][:40, :, :]
    with pytest.raises(InputError, match="volume 'T2': expected to cover the specimen at plane P02"):
        run(pair, image={"T2": short})


def test_voxels_that_are_no_numbers_are_an_error(pair):
    voxels = sitk.GetArrayFromImage(pair.images["T2"])
    voxels[:, 40:50, 40:50] = np.nan
    broken = sitk.GetImageFromArray(voxels)
    broken.CopyInformation(pair.images["T2"])
    with pytest.raises(ComouldError, match="finite"):
        run(pair, image={"T2": broken})

"""Bad input of every kind ends in a clear error or a verdict, never in a quiet wrong answer."""

import re
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from anndata import AnnData

import comould.io
import comould.register
from comould.errors import ComouldError, ComouldWarning, InputError, RegistrationError
from comould.register import Clues, LandmarkPairs, RegisterSettings

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
    noise = rng.integers(0, 255, (260, 260, 3), dtype=np.uint8)
    section = replace(pair.section, image=noise, downsample=2.0 * pair.section.downsample)
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


# What is wrong with the picture, or with what was said of it: the truth is known, so quiet errors are found out.


def honest(pair, found, spots_px=None, rows=slice(None)):
    """Say whether a registration is right within a millimetre as a rule, or else says that it may not be."""
    position, _ = found.map_points((pair.spots_px if spots_px is None else spots_px)[rows])
    error = np.linalg.norm(position - pair.spots_patient_mm[rows], axis=1)
    right = np.median(error) < 1.0 and np.quantile(error, 0.9) < 2.0
    return bool(right or (found.quality.verdict != "accept" and found.quality.reasons))


def said(found, words):
    return any(words in reason for reason in found.quality.reasons)


@pytest.fixture(scope="module")
def tissue(pair):
    return comould.register.tissue_mask(pair.section.image)


def around(pair, tissue, positions):
    """Angle and distance (px of the picture) of positions from the tissue's middle."""
    middle = np.argwhere(tissue).mean(axis=0)[::-1]
    x, y = (positions - middle).T
    return np.arctan2(y, x), np.hypot(x, y)


def in_picture(pair):
    """Spots in px of the working picture."""
    return (pair.spots_px + 0.5) / pair.section.downsample - 0.5


def test_a_section_larger_than_its_plane_is_told(pair):
    found = run(pair, replace(pair.section, pixel_size_um=1.6 * pair.section.pixel_size_um))
    assert honest(pair, found)
    assert found.quality.verdict != "accept"
    assert said(found, "times as large as the specimen there")


def test_a_section_too_small_for_any_shrinkage_is_told(pair):
    found = run(pair, replace(pair.section, pixel_size_um=0.6 * pair.section.pixel_size_um))
    assert found.quality.verdict != "accept"
    assert said(found, "is beyond 0.75 to 1.10; is the pixel size right?")


def test_a_face_wrongly_named_is_told(pair):
    found = run(pair, replace(pair.section, face="-" if pair.flipped else "+"))
    assert found.quality.flipped != pair.flipped
    assert found.quality.verdict != "accept"
    assert said(found, "the other face fits better than the one named")


def test_a_face_rightly_named_is_not_doubted(pair, tissue):
    found = run(pair, replace(pair.section, face="+" if pair.flipped else "-", tissue=tissue))
    assert found.quality.verdict == "accept"
    assert found.quality.reasons == ()
    assert found.quality.face_lead < -0.1


def test_forty_percent_lost_as_a_wedge_is_told(pair, tissue):
    rows, columns = np.indices(tissue.shape)
    angle, _ = around(pair, tissue, np.column_stack([columns.ravel(), rows.ravel()]))
    image = pair.section.image.copy()
    image[np.abs(angle.reshape(tissue.shape)) < 0.4 * np.pi] = 244
    left = np.abs(around(pair, tissue, in_picture(pair))[0]) > 0.4 * np.pi
    found = run(pair, replace(pair.section, image=image))
    assert found.quality.area_ratio < 0.7
    assert found.quality.verdict != "accept"
    assert said(found, "on one side the outlines lie")
    assert honest(pair, found, rows=left)


def test_a_torn_section_is_told(pair, tissue):
    """A quarter of it lies 4 mm off."""
    cut = round(np.quantile(np.nonzero(tissue)[1], 0.72))
    shift = round(4.0 / pair.section.image_pixel_mm)
    image = np.full_like(pair.section.image, 244)
    image[:, :cut] = pair.section.image[:, :cut]
    image[:, cut + shift :] = pair.section.image[:, cut:-shift]
    away = in_picture(pair)[:, 0] >= cut
    spots = pair.spots_px + np.outer(away, [shift * pair.section.downsample, 0.0])
    found = run(pair, replace(pair.section, image=image))
    assert found.quality.verdict != "accept"
    assert said(found, "2 pieces of tissue")
    assert honest(pair, found, spots)
    # One map for both parts is a compromise, better than either part's own distance.
    error = errors_mm(pair, found, spots)
    assert max(np.median(error[away]), np.median(error[~away])) < 3.0


def errors_mm(pair, found, spots_px):
    return np.linalg.norm(found.map_points(spots_px)[0] - pair.spots_patient_mm, axis=1)


def test_a_section_of_another_plane_is_told_by_the_stack(pair, worker):
    given = {"plan": pair.plan, "image": pair.images, "mask": pair.mask, "n_samples": 0, "settings": QUICK}
    found = comould.register.stack([replace(pair.section, plane_id="P01")], workers=[worker], **given)
    one = found.registrations["S1"]
    assert one.plane_id == "P01"
    assert one.quality.verdict != "accept"
    assert said(one, "plane P02 fits better")


def test_a_drawn_mask_of_another_size_or_empty_is_an_error(pair, tissue):
    with pytest.raises(InputError, match=r"section 'S1': .*tissue mask is \(260, 520\) bool, not bool of the picture"):
        replace(pair.section, tissue=tissue[::2])
    with pytest.raises(InputError, match="the tissue mask is empty"):
        replace(pair.section, tissue=np.zeros_like(tissue))


@pytest.mark.parametrize("wrong", ["all of the picture", "the glass"])
def test_a_drawn_mask_that_covers_the_glass_is_told(pair, tissue, wrong):
    mask = np.ones_like(tissue) if wrong == "all of the picture" else ~tissue
    found = run(pair, replace(pair.section, tissue=mask))
    assert found.quality.verdict != "accept"
    assert said(found, "of the tissue mask given lies on bare slide")


def test_a_drawn_mask_of_half_the_tissue_is_told(pair, tissue):
    half = tissue.copy()
    half[:, : round(np.median(np.nonzero(tissue)[1]))] = False
    found = run(pair, replace(pair.section, tissue=half))
    assert honest(pair, found)
    assert found.quality.verdict != "accept"
    assert re.search("the tissue mask given leaves out (49|50|51)% of the tissue", " ".join(found.quality.reasons))


def test_a_picture_cut_off_at_its_border_is_told(pair, tissue):
    rows = np.nonzero(tissue.any(axis=1))[0]
    columns = np.nonzero(tissue.any(axis=0))[0]
    box = slice(rows[0] + 60, rows[-1] + 20), slice(columns[0] + 40, columns[-1] + 20)
    found = run(pair, replace(pair.section, image=np.ascontiguousarray(pair.section.image[box])))
    assert found.quality.verdict != "accept"
    assert said(found, "part of it may be cut off")


def marks(pair, count=9):
    rows = np.linspace(0, len(pair.spots_px) - 1, count).round().astype(int)
    return tuple(f"L{n}" for n in range(count)), pair.spots_px[rows].astype(float), pair.spots_patient_mm[rows].copy()


def test_exchanged_landmarks_are_an_error_that_names_them(pair):
    names, px, target = marks(pair)
    target[[0, 8]] = target[[8, 0]]
    with pytest.raises(InputError, match=r"'L0' and 'L8' do not go with the others.* 'L0' and 'L8' seem to be exchang"):
        run(pair, clues=Clues(landmarks=LandmarkPairs(names, px, target)))


def test_a_stray_landmark_is_told_by_name(pair):
    names, px, target = marks(pair)
    target[5] += [9.0, 3.0, 0.0]
    stray = LandmarkPairs(names, px, target)
    alone = run(pair, clues=Clues(landmarks=stray, landmarks_only=True))
    assert alone.quality.verdict != "accept"
    assert said(alone, "landmarks 'L5' do not go with the others")
    held = run(
        pair, clues=Clues(landmarks=LandmarkPairs(*marks(pair, 8)), landmarks_only=True, held_out=stray_as(stray))
    )
    assert held.quality.verdict != "accept"
    assert said(held, "held-out landmark 'h5' is")


def stray_as(pairs):
    return LandmarkPairs(tuple(f"h{name[1:]}" for name in pairs.names), pairs.section_px, pairs.target)


def test_landmarks_that_show_the_other_face_are_told(pair):
    given = Clues(landmarks=LandmarkPairs(*marks(pair)), landmarks_only=True)
    found = run(pair, replace(pair.section, face="-" if pair.flipped else "+"), clues=given)
    assert found.quality.verdict != "accept"
    assert said(found, "the landmarks show the other face than the one named")
    assert honest(pair, found)


def test_landmarks_and_spots_that_are_no_numbers_are_errors(pair, tmp_path):
    names, px, target = marks(pair)
    target[3, 1] = np.nan
    with pytest.raises(InputError, match="landmark pairs: expected finite coordinates, found none at L3"):
        LandmarkPairs(names, px, target)
    path = tmp_path / "points.csv"
    path.write_text("name,x,y\nL0,1,2\nL1,nan,4\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"landmarks points.csv: .*first data row 2 \(L1: 'nan', '4'\)"):
        comould.io.read_landmarks(path)


def test_spots_without_a_place_or_off_the_picture_are_told(pair):
    found = run(pair, clues=Clues(landmarks=LandmarkPairs(*marks(pair)), landmarks_only=True))
    for wrong, words in ((np.nan, "finite positions, found 1 spots without"), (-4000.0, "all")):
        spots = pair.spots_px[:30].copy()
        spots[0 if np.isnan(wrong) else slice(None)] = wrong
        with pytest.raises(InputError, match=words):
            comould.register.map_spots(AnnData(obsm={"spatial": spots}), found)
    spots = pair.spots_px[:30].copy()
    spots[:2] += 1e4
    with pytest.warns(ComouldWarning, match="2 of 30 positions lie outside the section's picture"):
        comould.register.map_spots(AnnData(obsm={"spatial": spots}), found)

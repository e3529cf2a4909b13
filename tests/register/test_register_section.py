from dataclasses import replace

import numpy as np
import pytest

import comould.register
from comould.errors import InputError, RegistrationError
from comould.register import RegisterSettings, SectionRegistration
from comould.space import Frame


def errors_mm(pair, registration):
    position, _ = registration.map_points(pair.spots_px)
    return np.linalg.norm(position - pair.spots_patient_mm, axis=1)


def transforms(registration):
    return [registration.patient_from_section_px, *registration.samples]


def run(pair, section=None, **options):
    options = {"seed": 5, "n_samples": 0, **options}
    return comould.register.section(
        section or pair.section, plan=pair.plan, image=pair.images, mask=pair.mask, **options
    )


def test_spots_come_home(pair, registered):
    found = errors_mm(pair, registered)
    slide = pair.section.section_mm_from_section_px.apply(pair.spots_px)
    plane = pair.plan["P02"]
    nothing = plane.patient_from_plane.apply(slide - slide.mean(axis=0)) - pair.spots_patient_mm
    assert np.median(found) < 0.8
    assert np.median(found) < 0.2 * np.median(np.linalg.norm(nothing, axis=1))
    assert registered.patient_from_section_px.source == Frame.SECTION_PX
    assert registered.patient_from_section_px.target == Frame.PATIENT


def test_quality_says_what_happened(pair, registered):
    quality = registered.quality
    assert quality.verdict in {"accept", "review"}
    assert quality.dice > 0.94
    assert quality.flipped == pair.flipped
    assert quality.folding_fraction == 0
    assert 0 < quality.jacobian_range[0] <= quality.jacobian_range[1]
    assert [stage.name for stage in quality.stages][:3] == ["similarity", "affine", "bspline"]
    assert quality.stage == [stage.name for stage in quality.stages if stage.kept][-1]
    assert all(stage.reason for stage in quality.stages if not stage.kept)


def test_uncertainty_is_never_below_its_floor(pair, registered):
    _, sd = registered.map_points(pair.spots_px)
    assert sd.shape == (len(pair.spots_px), 3)
    assert (sd**2 >= registered.uncertainty.variance() - 1e-12).all()


def test_a_plane_that_is_not_searched_is_as_uncertain_as_kerf_and_slice(plain):
    # Slices are 3 mm and the kerf 0.8 mm; the plane's normal is patient z.
    assert plain.uncertainty.normal_mm == pytest.approx(np.hypot(3.0, 0.8) / np.sqrt(12))
    assert plain.quality.pose is None
    assert np.isnan(plain.quality.round_trip_mm)


def test_members_differ_and_their_spread_is_the_covariance(pair, registered):
    assert len(registered.samples) == 2
    moved = [sample.apply(pair.spots_px) for sample in registered.samples]
    assert np.abs(moved[0] - moved[1]).max() > 0.01
    _, sd = registered.map_points(pair.spots_px)
    np.testing.assert_allclose(np.diagonal(registered.covariance(pair.spots_px), axis1=1, axis2=2), sd**2, atol=1e-12)


def test_same_seed_same_bits_whatever_the_workers(pair, worker):
    second = replace(pair.section, id="S2")
    options = {"plan": pair.plan, "image": pair.images, "mask": pair.mask, "n_samples": 1, "seed": 11}
    options["settings"] = RegisterSettings(round_trip=False)
    seen = []
    one = comould.register.sections(
        [pair.section], workers=[worker], progress=lambda *args: seen.append(args), **options
    )
    # Two threads share the process: what matters is that order and company change nothing.
    two = comould.register.sections([second, pair.section], workers=[worker, worker], **options)
    assert seen == [("S1", 1, 1)]
    assert list(two) == ["S2", "S1"]
    for a, b in zip(transforms(one["S1"]), transforms(two["S1"]), strict=True):
        np.testing.assert_array_equal(a.apply(pair.spots_px), b.apply(pair.spots_px))
    # Another id is another stream of chance.
    assert np.abs(two["S2"].samples[0].apply(pair.spots_px) - two["S1"].samples[0].apply(pair.spots_px)).max() > 0


def test_offset_moves_along_the_normal(pair, worker):
    options = {"settings": RegisterSettings(deformable=False, plane="plan", round_trip=False)}
    moved = run(pair, replace(pair.section, offset_mm=0.4), **options)
    position, _ = moved.map_points(pair.spots_px)
    np.testing.assert_allclose(pair.plan["P02"].distance_mm(position), 0.4, atol=1e-9)
    assert moved.quality.stage in {"similarity", "affine"}
    assert moved.patient_from_section_px.is_linear


def test_saved_and_loaded_is_the_same(pair, registered, tmp_path):
    registered.save(tmp_path / "r")
    again = SectionRegistration.load(tmp_path / "r")
    assert again.quality == registered.quality
    assert again.uncertainty == registered.uncertainty
    for mine, theirs in zip(registered.map_points(pair.spots_px), again.map_points(pair.spots_px), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(InputError, match=r"registration folder .*: expected what SectionRegistration.save wrote"):
        SectionRegistration.load(tmp_path)
    (tmp_path / "registration.json").write_text('{"format": "other"}')
    with pytest.raises(InputError, match="format 'other'"):
        SectionRegistration.load(tmp_path)


def test_planes_are_found_by_id_only(pair, worker):
    with pytest.raises(InputError, match=r"plane id 'P77': expected one of P01, P02"):
        run(pair, replace(pair.section, plane_id="P77"))
    with pytest.raises(InputError, match=r"section 'S1': expected the id of its cutting plane.* one of P01, P02"):
        run(pair, replace(pair.section, plane_id=None))
    listed = [pair.section, replace(pair.section, plane_id=None), replace(pair.section, id="S3", plane_id="X")]
    with pytest.raises(InputError, match=r"3 problems: id 'S1' is used twice; .*None; section 'S3' has plane_id 'X'"):
        comould.register.sections(listed, plan=pair.plan, image=pair.images, mask=pair.mask, workers=[worker])


def test_bad_arguments_are_refused(pair, worker):
    blank = replace(pair.section, image=np.full((300, 300, 3), 243, np.uint8))
    with pytest.raises(RegistrationError, match=r"section 'S1': expected tissue on an empty background, found a blank"):
        run(pair, blank)
    with pytest.raises(InputError, match="n_samples: expected 0 or more"):
        run(pair, n_samples=-1)
    with pytest.raises(InputError, match="shrinkage: expected two rising ratios"):
        RegisterSettings(shrinkage=(1.1, 0.8))


def test_a_scrap_of_tissue_is_rejected(pair, worker):
    image = pair.section.image.copy()
    image[:, 170:] = 243
    image[:230] = 243
    result = run(pair, replace(pair.section, image=image), settings=RegisterSettings(deformable=False))
    assert result.quality.verdict == "reject"
    assert any("below" in reason or "covers" in reason for reason in result.quality.reasons)

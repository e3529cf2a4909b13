from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from comould.errors import ComouldWarning, InputError, RegistrationError
from comould.register import SectionRegistration, Uncertainty, map_spots
from comould.register.quality import RegistrationQuality
from comould.space import Frame, Transform


def registration(section_id="S1", verdict="accept", shift=0.0):
    matrix = np.diag([0.01, 0.01, 1.0, 1.0])
    matrix[:3, 3] = [shift, -20, 150]
    moved = matrix.copy()
    moved[0, 3] += 0.3
    quality = RegistrationQuality(
        verdict=verdict,
        reasons=() if verdict == "accept" else ("overlap (Dice) 0.40 is below 0.70",),
        dice=0.95,
        hd95_mm=1.0,
        information=0.4,
        flipped=False,
        angle_deg=10.0,
        scale=1.05,
        margin=1.0,
        ambiguous=False,
        second_best={},
        stage="bspline",
        stages=(),
        folding_fraction=0.0,
        jacobian_range=(0.9, 1.1),
        spread_mm=float("nan"),
    )
    frames = (Frame.SECTION_PX, Frame.PATIENT)
    return SectionRegistration(
        section_id=section_id,
        plane_id="P01",
        patient_from_section_px=Transform.from_matrix(*frames, matrix),
        samples=(Transform.from_matrix(*frames, moved),),
        quality=quality,
        uncertainty=Uncertainty(0.2, 0.9, (0.0, 0.0, 1.0)),
        seed=4,
    )


def spots(sections=("S1",), each=5):
    n = each * len(sections)
    adata = ad.AnnData(np.ones((n, 2), np.float32), obs=pd.DataFrame(index=[f"b{i}" for i in range(n)]))
    adata.obsm["spatial"] = np.random.default_rng(0).uniform(0, 2000, (n, 2))
    adata.obs["section"] = pd.Categorical(np.repeat(sections, each))
    return adata


def test_positions_and_deviations_are_written():
    adata = spots()
    pixels = adata.obsm["spatial"].copy()
    assert map_spots(adata, registration()) is None
    np.testing.assert_allclose(adata.obsm["spatial_patient"][:, :2], pixels * 0.01 + [0, -20])
    np.testing.assert_allclose(adata.obsm["spatial_patient"][:, 2], 150)
    np.testing.assert_allclose(adata.obsm["spatial_patient_sd"], np.tile([np.hypot(0.2, 0.3), 0.2, 0.9], (5, 1)))
    np.testing.assert_array_equal(adata.obsm["spatial"], pixels)
    assert adata.uns["comould"]["registration"]["S1"]["verdict"] == "accept"


def test_several_sections_each_by_their_own(tmp_path):
    adata = spots(("S2", "S1"))
    both = [registration("S1"), registration("S2", shift=50.0)]
    copied = map_spots(adata, both, key_added="home", copy=True)
    assert "home" not in adata.obsm
    shift = copied.obsm["home"][:, 0] - copied.obsm["spatial"][:, 0] * 0.01
    np.testing.assert_allclose(shift, np.repeat([50.0, 0.0], 5), atol=1e-9)
    by_name = map_spots(adata, {one.section_id: one for one in both}, copy=True)
    np.testing.assert_array_equal(by_name.obsm["spatial_patient"], copied.obsm["home"])
    copied.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    assert again.uns["comould"]["registration"]["S2"]["dice"] == pytest.approx(0.95)
    np.testing.assert_array_equal(again.obsm["home_sd"], copied.obsm["home_sd"])


def test_a_registered_section_end_to_end(pair, registered, tmp_path):
    adata = ad.AnnData(np.ones((len(pair.spots_px), 1), np.float32))
    adata.obsm["spatial"] = pair.spots_px
    adata.uns["comould"] = {"pixel_size_um": pair.section.pixel_size_um}
    map_spots(adata, registered)
    assert np.median(np.linalg.norm(adata.obsm["spatial_patient"] - pair.spots_patient_mm, axis=1)) < 0.8
    adata.write_h5ad(tmp_path / "b.h5ad")
    assert ad.read_h5ad(tmp_path / "b.h5ad").uns["comould"]["pixel_size_um"] == pytest.approx(27.5)


def test_rejected_registrations_are_refused_unless_forced():
    adata = spots(("S1", "S2"))
    pair = [registration("S1"), registration("S2", "reject")]
    with pytest.raises(RegistrationError, match=r"found rejected: S2: overlap \(Dice\) 0\.40"):
        map_spots(adata, pair)
    assert "spatial_patient" not in adata.obsm
    with pytest.warns(ComouldWarning, match="rejected registrations are used because force was given"):
        map_spots(adata, pair, force=True)
    assert adata.uns["comould"]["registration"]["S2"]["verdict"] == "reject"
    # A rejected section whose spots are not here is nobody's harm.
    map_spots(spots(("S1",)), pair)


def test_mismatches_are_refused():
    with pytest.raises(InputError, match=r"found S9"):
        map_spots(spots(("S9",)), registration("S1"))
    with pytest.raises(InputError, match="one per section, found several of S1"):
        map_spots(spots(), [registration(), registration()])
    with pytest.raises(InputError, match="'S5' holds that of 'S1'"):
        map_spots(spots(), {"S5": registration()})
    with pytest.raises(InputError, match="at least one"):
        map_spots(spots(), [])
    nameless = spots(("S1", "S2"))
    del nameless.obs["section"]
    with pytest.raises(InputError, match="to tell the sections apart"):
        map_spots(nameless, [registration("S1"), registration("S2")])


def test_bad_positions_are_refused():
    adata = spots()
    adata.obsm["spatial"][2, 0] = np.nan
    with pytest.raises(InputError, match="finite positions, found 1 spots without"):
        map_spots(adata, registration())
    adata.obsm["spatial"] = np.zeros((5, 3))
    with pytest.raises(InputError, match=r"shape \(n, 2\)"):
        map_spots(adata, registration())
    del adata.obsm["spatial"]
    with pytest.raises(InputError, match=r"expected obsm\[.spatial.\]"):
        map_spots(adata, registration())


def test_earlier_facts_are_kept():
    adata = spots(("S1", "S2"))
    adata.uns["comould"] = {"pixel_size_um": 0.5, "registration": {"S0": {"dice": 0.9}}}
    before = adata.uns["comould"]
    map_spots(adata, [registration("S1"), registration("S2")])
    assert set(adata.uns["comould"]["registration"]) == {"S0", "S1", "S2"}
    assert adata.uns["comould"]["pixel_size_um"] == 0.5
    assert set(before["registration"]) == {"S0"}


def test_floor_follows_the_normal():
    tilted = Uncertainty(0.1, 1.0, (0.6, 0.0, 0.8))
    np.testing.assert_allclose(tilted.variance(), [0.01 * 0.64 + 0.36, 0.01, 0.01 * 0.36 + 0.64])
    bare = replace(registration(), samples=())
    _, sd = bare.map_points([[10.0, 10.0]])
    np.testing.assert_allclose(sd, [[0.2, 0.2, 0.9]])


def test_plausible_positions_are_written_when_asked_for(tmp_path):
    adata = spots(("S2", "S1"))
    both = [registration("S1"), registration("S2", shift=50.0)]
    map_spots(adata, both, samples=1)
    found = adata.obsm["spatial_patient_samples"]
    assert found.shape == (10, 1, 3)
    # The member lies 0.3 mm away; the floor adds one shift for all of a section.
    shift = found[:, 0] - adata.obsm["spatial_patient"] - [0.3, 0, 0]
    np.testing.assert_allclose(shift[5:], np.broadcast_to(shift[5], (5, 3)), atol=1e-9)
    assert np.abs(shift).max() < 6 * max(both[0].uncertainty.in_plane_mm, both[0].uncertainty.normal_mm)
    adata.write_h5ad(tmp_path / "c.h5ad")
    np.testing.assert_array_equal(ad.read_h5ad(tmp_path / "c.h5ad").obsm["spatial_patient_samples"], found)
    np.testing.assert_array_equal(both[0].plausible_points(adata.obsm["spatial"][5:])[0], found[5:, 0])


def test_more_plausible_positions_than_members_are_refused():
    for asked in (2, -1):
        with pytest.raises(InputError, match=f"plausible positions of S1: expected 1 to 1, found {asked} asked for"):
            map_spots(spots(), registration(), samples=asked)
    bare = replace(registration(), samples=())
    with pytest.raises(InputError, match="plausible positions of S1: expected an ensemble, found none"):
        bare.plausible_points([[1.0, 2.0]])


def test_deviation_is_of_all_members_from_the_one_used():
    one = registration()
    rng = np.random.default_rng(1)
    members = []
    for _ in range(7):
        matrix = one.patient_from_section_px.matrix
        matrix[:3, 3] += rng.normal(0, 1, 3)
        members.append(Transform.from_matrix(Frame.SECTION_PX, Frame.PATIENT, matrix))
    one = replace(one, samples=tuple(members))
    points = rng.integers(0, 2000, (40, 2)).astype(np.uint16)
    position, sd = one.map_points(points)
    layers = one.plausible_points(points)
    alone = np.array([member.apply(points) for member in members])
    expected = np.mean((alone - position) ** 2, axis=0) + one.uncertainty.variance()
    np.testing.assert_allclose(sd, np.sqrt(expected), rtol=1e-12)
    shifts = layers - alone
    np.testing.assert_allclose(shifts, np.broadcast_to(shifts[:, :1], shifts.shape), atol=1e-9)
    np.testing.assert_array_equal(one.plausible_points(points, 3), layers[:3])


def test_spots_off_the_picture_are_told_and_all_of_them_refused():
    adata = spots(("S1", "S2"))
    framed = [replace(registration("S1"), extent_px=(2001.0, 2001.0)), registration("S2")]
    map_spots(adata, framed)
    adata.obsm["spatial"][:2] = [[-0.6, 5.0], [10.0, 2001.0]]
    # Pixel centres lie on integers: the picture begins and ends half a pixel beyond.
    adata.obsm["spatial"][2:4] = [[-0.5, 5.0], [10.0, 2000.5]]
    said = "spots of S1: 2 of 5 positions lie outside the section's picture of 2001 × 2001 px"
    with pytest.warns(ComouldWarning, match=said) as told:
        map_spots(adata, framed)
    assert told[0].filename == __file__
    adata.obsm["spatial"][:5] += 5000.0
    with pytest.raises(InputError, match=r"spots of S1: .*found all 5 outside\. Are they full-resolution pixels"):
        map_spots(adata, framed)


def test_the_extent_travels_with_the_registration(tmp_path):
    for extent in (None, (4000.0, 3000.0)):
        saved = replace(registration(), extent_px=extent).save(tmp_path / f"{extent is None}")
        assert SectionRegistration.load(saved).extent_px == extent


def test_points_that_are_no_positions_are_refused():
    one = registration()
    for method in (one.map_points, one.plausible_points):
        with pytest.raises(InputError, match="points of S1: expected finite positions, found 2 points without"):
            method([[1.0, np.nan], [2.0, 3.0], [np.inf, 0.0]])
        with pytest.raises(InputError, match=r"points of S1: expected shape \(n, 2\): x, y, found \(1, 3\)"):
            method([[1.0, 2.0, 3.0]])
        with pytest.raises(InputError, match="points of S1: expected numbers, found <U1"):
            method([["a", "b"]])

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

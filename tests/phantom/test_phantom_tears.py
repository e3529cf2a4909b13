"""Torn and lost tissue: every bit is shown once or is gone, parts move rigidly, and the truth holds on each."""

import numpy as np
import pytest

from comould.errors import InputError
from comould.phantom import CutOptions, deform
from comould.phantom.knife import LATTICE_MM, specimen_in_cut, true_cut
from comould.phantom.shape import Body
from comould.phantom.tears import lose, tear
from comould.space import CutPlane

BODY = Body.draw(np.random.default_rng(0), 60.0, np.array([50.0, 45.0, 40.0]), np.array([-35.0, 12.0, -140.0]))
PLANE = CutPlane.from_normal("P01", (-35.0, 12.0, -142.0), (0.1, -0.2, 1.0))
TISSUE = specimen_in_cut(BODY, PLANE.patient_from_plane)
QUICK = {"image_pixel_um": 100.0, "spot_pitch_um": 900.0}


def placed(seed=0, **options) -> deform.Placement:
    chosen = CutOptions(**options)
    rng = np.random.default_rng(seed)
    cut = true_cut(PLANE, BODY, chosen, rng)
    return deform.place(cut, TISSUE, chosen, rng, np.random.default_rng(seed + 1))


def lattice(placement, n=260):
    x, y = (np.linspace(0.0, size * 5.0 - 1.0, n) for size in placement.size_px)
    points = np.column_stack([axis.ravel() for axis in np.meshgrid(x, y)])
    return points, (x[1] - x[0]) * (y[1] - y[0]) * 0.01**2


@pytest.mark.parametrize("options", [{"tears": 1}, {"tears": 3}, {"pieces": 2}, {"tears": 1, "missing": 0.25}])
def test_every_bit_of_tissue_is_shown_once_or_is_lost(options):
    placement = placed(2, bending_mm=0.0, anisotropy=0.0, shrinkage=0.0, **options)
    points, cell = lattice(placement)
    patient, part = placement.locate(points)
    shown = (part >= 0) & (BODY.level_mm(patient) <= 0.0)
    whole = len(TISSUE) * LATTICE_MM**2 * (1.0 - options.get("missing", 0.0))
    assert shown.sum() * cell == pytest.approx(whole, rel=0.02)
    # No place of the patient is seen twice.
    bins = np.unique(np.round(placement.patient_from_cut.inverse().apply(patient[shown])[:, :2] / 2.0), axis=0)
    assert len(bins) * 4.0 < whole * 1.25
    assert set(part[shown]) == set(range(1 + options.get("tears", 0) + options.get("pieces", 1) - 1))


@pytest.mark.parametrize("options", [{"tears": 2, "tear_mm": 2.0}, {"pieces": 2, "piece_gap_mm": 5.0}])
def test_parts_move_rigidly_and_leave_glass_between(options):
    from scipy.spatial import cKDTree

    placement = placed(3, bending_mm=0.0, anisotropy=0.0, shrinkage=0.1, **options)
    points, _ = lattice(placement)
    patient, part = placement.locate(points)
    shown = (part >= 0) & (BODY.level_mm(patient) <= 0.0)
    main = placement.cut_from(0).matrix[:2, :2]
    for number in range(1, len(placement.parts)):
        turn = placement.cut_from(number).matrix[:2, :2] @ np.linalg.inv(main)
        np.testing.assert_allclose(turn @ turn.T, np.eye(2), atol=1e-9)
        assert np.linalg.det(turn) == pytest.approx(1.0)
        limit = 20.0 if "pieces" in options else 4.0
        assert abs(np.rad2deg(np.arctan2(turn[1, 0], turn[0, 0]))) <= limit
        gap = cKDTree(points[shown & (part == 0)]).query(points[shown & (part == number)])[0].min() * 0.01
        asked = options.get("tear_mm", options.get("piece_gap_mm"))
        assert gap > (asked - 0.6) * 0.9
        assert gap < asked + 3.0


def test_whole_sections_have_one_part():
    placement = placed(1)
    assert len(placement.parts) == len(placement.ways) == 1
    assert placement.lost is None
    patient, part = placement.locate(np.array([[0.0, 0.0], [900.0, 900.0]]))
    np.testing.assert_array_equal(patient, placement.patient_from_section_px.apply([[0.0, 0.0], [900.0, 900.0]]))
    assert part.tolist() == [0, 0]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_a_wedge_holds_the_asked_share(share):
    for seed in range(5):
        wedge = lose(TISSUE, CutOptions(missing=share), np.random.default_rng(seed))
        assert np.mean(wedge.depth_mm(TISSUE) < 0.0) == pytest.approx(share, abs=0.01)


def test_tears_that_cannot_lie_side_by_side_are_refused():
    crumbs = np.array([[0.0, 0.0], [0.0, 0.0]])
    with pytest.raises(InputError, match="tears 3, pieces 1: expected parts that can lie side by side"):
        tear(crumbs, CutOptions(tears=3), np.random.default_rng(0))


@pytest.fixture(scope="module")
def cuts(small, make_plan):
    plan = make_plan(small, (0.5,))
    options = {"whole": {}, "torn": {"tears": 2}, "halves": {"pieces": 2}, "wedge": {"missing": 0.3, "tears": 1}}
    return small, {name: small.cut(plan, **QUICK, **given)[0] for name, given in options.items()}


@pytest.mark.parametrize("name", ["whole", "torn", "halves", "wedge"])
def test_picture_spots_and_truth_agree(cuts, name):
    made, found = cuts
    cut = found[name]
    height, width = cut.section.image.shape[:2]
    y, x = (axis.ravel() for axis in np.indices((height, width)))
    patient, part = cut.locate((np.column_stack([x, y]) + 0.5) * cut.section.downsample - 0.5)
    assert np.isnan(patient[part < 0]).all()
    colour = cut.section.image[y, x, 1].astype(float)
    tissue = np.zeros(len(part), dtype=bool)
    there = part >= 0
    tissue[there] = (made.level_mm(patient[there]) < -0.3) & (made.tissue.lumen_at(patient[there]) < 0.01)
    assert np.mean(colour[tissue] < 225) > 0.97
    nothing = part < 0
    nothing[there] = made.level_mm(patient[there]) > 0.3
    assert np.mean(colour[nothing] > 228) > 0.99
    spots, piece = cut.locate(cut.spots.obsm["spatial"])
    assert (piece >= 0).all()
    np.testing.assert_array_equal(spots, cut.spots_patient_mm)
    np.testing.assert_array_equal(made.habitat_at(spots), cut.spots_habitat)
    for number, way in enumerate(cut.parts_patient_from_section_px):
        mine = piece == number
        np.testing.assert_allclose(way.apply(cut.spots.obsm["spatial"][mine]), spots[mine], atol=1e-9)


def test_tearing_leaves_turn_face_and_cut_alone(cuts):
    _, found = cuts
    whole = found["whole"]
    for cut in found.values():
        assert (cut.angle_deg, cut.flipped) == (whole.angle_deg, whole.flipped)
        assert cut.true_plane == whole.true_plane
        if cut is not whole and len(cut.parts_patient_from_section_px) > 1:
            assert len(cut.spots) <= len(whole.spots) * 1.05
    assert len(found["wedge"].spots) < 0.8 * len(whole.spots)

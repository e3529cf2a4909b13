"""Pictures on the way home: each shows the specimen exactly where its own truth says."""

import numpy as np
import pytest

from comould.errors import InputError
from comould.phantom import CutImage, CutOptions, deform, gross
from comould.phantom.knife import TrueCut, specimen_in_cut
from comould.space import Frame

QUICK = {"image_pixel_um": 100.0, "spot_pitch_um": 2000.0}


@pytest.fixture(scope="module")
def made(small):
    return small


@pytest.fixture(scope="module")
def plans(made, make_plan):
    return {face: make_plan(made, (0.5,), face=face) for face in "-+"}


@pytest.fixture(scope="module")
def cut(made, plans):
    return made.cut(plans["+"], adjacent=True, photo=True, photo_tilt_deg=6.0, tears=1, missing=0.2, **QUICK)[0]


@pytest.fixture(scope="module")
def plain(made, plans):
    return made.cut(plans["+"], **QUICK)[0]


def pixels(picture: CutImage):
    """Every working pixel: its colour and its patient position by the truth."""
    section = picture.section
    y, x = (axis.ravel() for axis in np.indices(section.image.shape[:2]))
    full = (np.column_stack([x, y]) + 0.5) * section.downsample - 0.5
    return section.image[y, x].astype(float), picture.patient_from_section_px.apply(full)


def test_none_unless_asked_for(plain):
    assert plain.adjacent is None
    assert plain.photo is None


def test_hops_leave_the_section_alone_but_for_its_stain(made, plans, plain):
    with_photo = made.cut(plans["+"], photo=True, **QUICK)[0]
    np.testing.assert_array_equal(with_photo.section.image, plain.section.image)
    with_both = made.cut(plans["+"], photo=True, adjacent=True, **QUICK)[0]
    np.testing.assert_array_equal(with_both.photo.section.image, with_photo.photo.section.image)
    np.testing.assert_array_equal(with_both.spots_patient_mm, plain.spots_patient_mm)
    assert with_both.section.image.mean() > plain.section.image.mean() + 5


def test_adjacent_section_lies_5_to_50_um_beside_and_goes_its_own_way(made, plans, cut):
    beside = cut.adjacent
    distance = cut.true_plane.distance_mm([beside.true_plane.origin_mm])[0]
    assert 0.005 <= abs(distance) <= 0.050
    np.testing.assert_allclose(beside.true_plane.distance_mm(pixels(beside)[1]), 0.0, atol=1e-9)
    assert beside.section.id == f"{cut.section.id}-HE"
    assert beside.section.plane_id == cut.section.plane_id
    assert beside.angle_deg != cut.angle_deg
    other = [made.cut(plans["-"], seed=seed, adjacent=True, **QUICK)[0] for seed in range(4)]
    assert {one.flipped == one.adjacent.flipped for one in other} == {True, False}


def test_adjacent_section_is_whole_and_painted_where_its_truth_says(made, cut):
    colour, patient = pixels(cut.adjacent)
    level, lumen = made.level_mm(patient), made.tissue.lumen_at(patient)
    assert colour[level > 0.3].min() > 225
    assert np.mean(colour[(level < -0.3) & (lumen < 0.01), 1] < 220) > 0.99


def test_photo_shows_the_unshrunken_face_in_its_own_colours(made, cut):
    photo = cut.photo
    assert (photo.section.pixel_size_um, photo.section.downsample) == (100.0, 1.0)
    assert (photo.section.face, photo.flipped) == ("+", True)
    assert photo.true_plane == cut.true_plane
    assert (photo.patient_from_section_px.source, photo.patient_from_section_px.target) == (
        Frame.SECTION_PX,
        Frame.PATIENT,
    )
    colour, patient = pixels(photo)
    np.testing.assert_allclose(cut.true_plane.distance_mm(patient), 0.0, atol=1e-9)
    level = made.level_mm(patient)
    inside = (level < -0.5) & (made.tissue.lumen_at(patient) < 0.01)
    redness = colour[:, 0] - colour[:, 2]
    assert redness[inside].mean() > 25
    assert redness[level > 0.5].mean() < 10
    # The outline is sharp to a pixel or two.
    assert np.mean(redness[(level > -0.5) & (level < -0.2)] > 15) > 0.9
    # A tenth of a millimetre a pixel: area without any shrinkage, but for the slight perspective.
    side = cut.true_plane.patient_from_plane
    grid = np.stack(np.meshgrid(*[np.arange(-40.0, 40.0, 0.4)] * 2), axis=-1).reshape(-1, 2)
    area = (made.level_mm(side.apply(grid)) < 0.0).sum() * 0.16
    assert (level < 0.0).sum() * 0.01 == pytest.approx(area, rel=0.03)


def test_photo_without_tilt_is_a_rigid_picture(made, plans):
    photo = made.cut(plans["-"], photo=True, **QUICK)[0].photo
    assert photo.patient_from_section_px.is_linear
    linear = photo.patient_from_section_px.matrix[:3, :2] / 0.1
    np.testing.assert_allclose(linear.T @ linear, np.eye(2), atol=1e-9)
    assert photo.flipped is False


def cross_ratio(points: np.ndarray) -> float:
    def gap(a: int, b: int) -> float:
        return np.linalg.norm(points[a] - points[b])

    return gap(0, 2) * gap(1, 3) / (gap(1, 2) * gap(0, 3))


def test_tilted_view_is_a_perspective(made, cut):
    """Cross-ratios of collinear points are kept, which no other smooth warp does."""
    body, exact = made.tissue.body, TrueCut(cut.true_plane, 0.0, (0.0, 0.0))
    outline = specimen_in_cut(body, exact.patient_from_cut)
    placement = deform.place(exact, outline, gross.photo_options(CutOptions()), np.random.default_rng(0))
    view = gross.tilted_view(placement, 8.0, np.random.default_rng(1))
    middle = placement.flat_from_section_px.apply([np.array(placement.size_px) / 2.0])[0, :2]
    for angle in np.linspace(0.0, 3.0, 7):
        along = np.array([np.cos(angle), np.sin(angle)])
        points = middle + np.array([-12.0, -3.0, 5.0, 14.0])[:, None] * along
        seen = view.apply(points)[:, :2]
        assert np.abs(seen - points).max() > 1e-3
        assert cross_ratio(seen) == pytest.approx(cross_ratio(points), abs=1e-6)
    assert gross.tilted_view(placement, 0.0, np.random.default_rng(1)) is None


@pytest.mark.parametrize("bad", [{"photo": 1}, {"adjacent": "yes"}, {"flip": None}])
def test_switches_are_true_or_false(bad):
    with pytest.raises(InputError, match="is not true or false"):
        CutOptions(**bad)

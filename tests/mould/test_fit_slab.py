"""A slab's mask against the plan: known shifts, turns, shrinkage and tilts are found; symmetry is admitted."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.draw import polygon2mask
from skimage.measure import marching_cubes

from comould.errors import ComouldWarning, InputError
from comould.mould import fit_slab
from comould.mould.fit.photo import read_slab
from comould.mould.fit.planned import Planned
from comould.mould.fit.tilt import tilted_about
from comould.space import CutPlane, SlicePlan, Transform

PIXEL_MM = 0.2


def surface(inside, reach, step=0.8):
    """Closed surface of a signed distance, facing outwards."""
    axis = np.arange(-reach, reach + step, step)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    vertices, faces, _, _ = marching_cubes(inside(points.reshape(-1, 3)).reshape(points.shape[:3]) + 1e-4, 0.0)
    vertices = vertices * step - reach
    corners = vertices[faces]
    if np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) < 0:
        faces = faces[:, ::-1]
    return vertices.astype(np.float64), faces.astype(np.int64)


def ball(points, centre, radius):
    return np.linalg.norm(points - np.array(centre, float), axis=1) - radius


def lumpy(points):
    """Five balls in the mould frame: no two of its cuts are alike, and none is its own mirror image."""
    lumps = [((0, 0, 0), 13), ((6, 12, -3), 8), ((-9, -8, 8), 8), ((10, -7, -8), 7), ((-7, 5, -11), 6), ((3, 3, 14), 6)]
    return np.min([ball(points, *lump) for lump in lumps], axis=0)


def planned_of(inside, reach=26.0):
    """A body in its mould, the cuts across mould x, the mould askew in the patient."""
    normal = np.array([0.2, -0.1, 1.0]) / np.linalg.norm([0.2, -0.1, 1.0])
    up = np.cross(normal, (1.0, 0.3, 0.0))
    up /= np.linalg.norm(up)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([normal, np.cross(up, normal), up])
    matrix[:3, 3] = (4.0, -9.0, 21.0)
    transform = Transform.from_matrix("patient", "mould", matrix)
    middle = transform.inverse().apply([[0.0, 0.0, 0.0]])[0]
    planes = [
        CutPlane.from_normal(f"P{n:02d}", middle + at * normal, normal, kerf_mm=1.0)
        for n, at in enumerate((-10.0, -5.0, 0.0, 5.0, 10.0), 1)
    ]
    return Planned(*surface(inside, reach), SlicePlan(tuple(planes)), transform)


@pytest.fixture(scope="module")
def plan():
    return planned_of(lumpy)


@pytest.fixture(scope="module")
def sphere():
    return planned_of(lambda points: ball(points, (0, 0, 0), 16.0))


def photograph(lines, turn_deg=0.0, scale=1.0, mirror=False, room_mm=4.0, pixel_mm=PIXEL_MM):
    """Mask of outlines that were turned (clockwise as seen), scaled, and perhaps seen from behind."""
    a = np.radians(turn_deg)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    lines = [scale * (line * ((-1, 1) if mirror else (1, 1))) @ turn.T for line in lines]
    low = np.concatenate(lines).min(axis=0) - room_mm
    shape = np.ceil((np.concatenate(lines).max(axis=0) + room_mm - low) / pixel_mm).astype(int)[::-1]
    mask = np.zeros(shape, dtype=bool)
    for line in lines:
        mask ^= polygon2mask(tuple(shape), ((line - low) / pixel_mm)[:, ::-1])
    return mask


def cut(plan, plane_id="P03", moved=None):
    return plan.cutter(plan.plan[plane_id], moved).at(0.0)


def up_deg(plan):
    """Turn that brings the mould's up to the top of the photograph."""
    u, v = plan.up_uv(plan.plan["P03"])
    return -float(np.degrees(np.arctan2(u, -v)))


def fitted(plan, mask, plane_id="P03", **rest):
    return fit_slab(mask, planned=plan, plane_id=plane_id, pixel_size_um=1000 * PIXEL_MM, **rest)


@given(st.floats(-180.0, 180.0), st.floats(0.9, 1.0))
@settings(max_examples=4)
def test_any_turn_and_shrinkage_is_as_planned(plan, turn, scale):
    fit = fitted(plan, photograph(cut(plan), turn, scale))
    assert fit.sat_well
    assert fit.size_ratio == pytest.approx(scale, abs=0.01)
    assert fit.turned_deg is None
    assert fit.shape_hd95_mm < 0.3
    assert "wrong face" not in fit.undecided


def test_a_good_slab_is_measured_well(plan):
    fit = fitted(plan, photograph(cut(plan), 25.0))
    assert fit.dice > 0.985
    assert fit.hd95_mm < 0.25
    assert fit.mean_mm < 0.12
    assert fit.verdict == "as planned"
    assert fit.undecided == ()


def test_pixels_are_brought_to_their_place(plan):
    lines = cut(plan)
    mask = photograph(lines, 40.0)
    fit = fitted(plan, mask)
    rows, columns = np.nonzero(mask)
    there = np.column_stack([columns, rows, np.ones(len(rows))]) @ fit.plane_from_px.T
    expected = np.concatenate(lines)
    assert there[:, :2].min(axis=0) == pytest.approx(expected.min(axis=0), abs=0.4)
    assert there[:, :2].max(axis=0) == pytest.approx(expected.max(axis=0), abs=0.4)


def test_the_other_side_of_a_cut_is_its_mirror_image(plan):
    mask = photograph(cut(plan), 70.0, mirror=True)
    assert fitted(plan, mask).verdict == "wrong face"
    assert fitted(plan, mask, face="+").sat_well
    assert fitted(plan, photograph(cut(plan), 70.0), face="+").verdict == "wrong face"


@pytest.mark.parametrize("scale", [1.0, 0.93])
def test_another_plane_is_named(plan, scale):
    fit = fitted(plan, photograph(cut(plan, "P02"), 15.0, scale))
    assert fit.verdict == "plane P02"
    assert "P02" in fit.sentence()
    assert not fit.sat_well


def test_a_specimen_turned_round_is_told(plan):
    turned = plan.cutter(plan.plan["P02"], plan.turned_about(2, 180.0)).at(0.0)
    fit = fitted(plan, photograph(turned, up_deg(plan)), "P02", up="mould")
    assert fit.verdict == "turned 180°"
    assert fit.turned_deg is None


def test_the_middle_plane_of_a_specimen_turned_round_is_its_own_other_face(plan):
    turned = cut(plan, moved=plan.turned_about(2, 180.0))
    fit = fitted(plan, photograph(turned, up_deg(plan)), up="mould")
    assert {fit.verdict, *fit.undecided} == {"wrong face", "turned 180°"}
    assert not fit.sat_well


@given(st.floats(25.0, 335.0))
@settings(max_examples=3)
def test_a_roll_within_the_plane_is_measured(plan, turn):
    fit = fitted(plan, photograph(cut(plan), up_deg(plan) + turn), up="mould")
    assert fit.verdict == "rolled"
    assert (fit.turned_deg - turn + 180) % 360 - 180 == pytest.approx(0.0, abs=1.5)


def test_a_small_turn_is_no_roll(plan):
    fit = fitted(plan, photograph(cut(plan), up_deg(plan) - 6.0), up="mould")
    assert fit.sat_well
    assert fit.turned_deg == pytest.approx(-6.0, abs=1.0)


def test_up_as_imaged(plan):
    assert fitted(plan, photograph(cut(plan)), up="image").turned_deg == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("tilt", [(0.0, -11.0), (8.0, 8.0)])
def test_a_tilt_is_measured(plan, tilt):
    plane = plan.plan["P03"]
    middle = np.concatenate(cut(plan)).mean(axis=0)
    lines = cut(plan, moved=tilted_about(plan, plane, tilt, tuple(middle)))
    fit = fitted(plan, photograph(lines, 20.0, 0.96))
    assert fit.verdict == "tilted"
    expected = np.degrees(np.arccos(np.prod(np.cos(np.radians(tilt)))))
    assert fit.tilt.degrees == pytest.approx(expected, abs=2.5)


def test_a_sphere_cannot_tell(sphere):
    fit = fitted(sphere, photograph(cut(sphere)), up="mould")
    assert fit.sat_well
    assert {"wrong face", "turned 180°"} <= set(fit.undecided)
    assert "cannot exclude" in fit.sentence()


def test_another_shape_matches_nothing(plan):
    mask = np.zeros((300, 300), dtype=bool)
    mask[130:180, 20:280] = True
    fit = fitted(plan, mask)
    assert not fit.sat_well
    assert fit.to_dict()["sat_well"] is False


@pytest.mark.parametrize("kind", ["L", "1", "RGBA", "P", "I;16", "LA"])
def test_kinds_of_pictures(plan, tmp_path, kind):
    mask = photograph(cut(plan), pixel_mm=0.4)
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    if kind in {"RGBA", "LA"}:
        picture = Image.new(kind, grey.size, 0)
        picture.putalpha(grey)
    elif kind == "I;16":
        picture = Image.fromarray(mask.astype(np.uint16) * 40000)
    else:
        picture = grey.convert(kind)
    path = tmp_path / ("mask.tif" if kind == "I;16" else "mask.png")
    picture.save(path)
    photo = read_slab(path, 400.0)
    assert photo.area_mm2 == pytest.approx(mask.sum() * 0.16, rel=1e-3)


def test_a_large_mask_is_averaged_down(plan):
    mask = photograph(cut(plan)).repeat(10, axis=0).repeat(10, axis=1)
    photo = read_slab(mask, 20.0)
    assert mask.size > 1_000_000
    assert photo.pixel_mm > 0.02
    assert photo.area_mm2 == pytest.approx(mask.sum() * 0.0004, rel=1e-3)
    rows, columns = np.nonzero(mask)
    middle = photo.photo_from_px @ (columns.mean(), rows.mean(), 1.0)
    assert middle[:2] == pytest.approx([0, 0], abs=0.02)


def test_specks_are_left_out_and_told(plan):
    mask = photograph(cut(plan))
    mask[3:6, 3:6] = True
    with pytest.warns(ComouldWarning, match="1 speck"):
        assert read_slab(mask, 200.0).area_mm2 == pytest.approx((mask.sum() - 9) * 0.04)


def bad(change):
    mask = np.zeros((120, 150))
    mask[30:90, 40:110] = 1
    return change(mask)


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (bad(lambda m: m * 0), "one value"),
        (bad(lambda m: m + np.linspace(0, 1, 150)), "mask of two values"),
        (bad(lambda m: 1 - m), "white on black"),
        (bad(lambda m: m[40:]), "whole slab"),
        (bad(lambda m: m * np.nan), "NaN"),
        (bad(lambda m: np.stack([m] * 5, axis=-1)), "shape"),
    ],
    ids=["empty", "photograph", "inverted", "cut off", "nan", "channels"],
)
def test_bad_masks(plan, mask, match):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(InputError, match=match):
            fitted(plan, mask)


@pytest.mark.parametrize("pixel_size_um", [0.0, -3.0, float("nan")])
def test_pixel_size_is_never_guessed(plan, pixel_size_um):
    with pytest.raises(InputError, match="ruler"):
        fit_slab(photograph(cut(plan)), planned=plan, plane_id="P03", pixel_size_um=pixel_size_um)


def test_a_size_that_cannot_be_right(plan):
    with pytest.raises(InputError, match="pixel size"):
        fit_slab(photograph(cut(plan)), planned=plan, plane_id="P03", pixel_size_um=0.2)


@pytest.mark.parametrize(
    ("rest", "match"),
    [({"plane_id": "P09"}, "P01, P02"), ({"face": "front"}, "'-' or"), ({"up": "sky"}, "'mould' or")],
)
def test_bad_words(plan, rest, match):
    with pytest.raises(InputError, match=match):
        fitted(plan, photograph(cut(plan)), **rest)


def test_no_such_picture(plan, tmp_path):
    with pytest.raises(InputError, match="no file"):
        fitted(plan, tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="PNG, TIFF"):
        fitted(plan, tmp_path / "text.png")

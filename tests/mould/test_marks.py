"""Engraved text reads, and reads the right way round."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.mould import _font, marks

SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALIKE = {frozenset("1I"), frozenset("0O"), frozenset("0D"), frozenset("OD"), frozenset("0Q"), frozenset("OQ")}
FRONT = {"at": np.array([0.0, -10.0, 0.0]), "right": np.array([1.0, 0.0, 0.0]), "up": np.array([0.0, 0.0, 1.0])}


def raster(section, size=48):
    """Even-odd picture of a cross-section, row 0 at the top, scaled to its own box."""
    polygons = section.to_polygons()
    low = np.min([p.min(axis=0) for p in polygons], axis=0)
    high = np.max([p.max(axis=0) for p in polygons], axis=0)
    x, y = np.meshgrid(np.linspace(low[0], high[0], size) + 1e-7, np.linspace(high[1], low[1], size) + 1e-7)
    inside = np.zeros(x.shape, bool)
    for polygon in polygons:
        for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            cut = (ay > y) != (by > y)
            with np.errstate(divide="ignore", invalid="ignore"):
                inside ^= cut & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return inside


@cache
def font_raster(sign, size=48):
    """The same sign in a printed font."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    path = TextPath((0, 0), sign, size=50, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    (x0, y0), (x1, y1) = path.get_extents().min, path.get_extents().max
    x, y = np.meshgrid(np.linspace(x0, x1, size), np.linspace(y1, y0, size))
    points = np.column_stack([x.ravel(), y.ravel()])
    inside = np.zeros(len(points), bool)
    for polygon in path.to_polygons():
        inside ^= Path(polygon).contains_points(points)
    return inside.reshape(x.shape)


def alike(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("sign", list(SIGNS))
def test_signs_look_like_print(sign):
    height = 10.0
    ours = raster(marks.section(marks.strokes(sign, height, 1.6)[: len(marks.GLYPHS[sign])], 1.6))
    printed = font_raster(sign)
    best = max(SIGNS, key=lambda other: alike(ours, font_raster(other)))
    assert alike(ours, printed) > 0.55
    # Ours is an upright W, as its M is, where print spreads its arms; the printed J hangs below the line.
    assert best == sign or frozenset((sign, best)) in ALIKE or sign in "JW"
    if sign in "BCDEFGJKLNPRSZ2345679":
        assert alike(ours, printed) > alike(ours[:, ::-1], printed) + 0.05


@pytest.mark.parametrize("sign", list(SIGNS))
@pytest.mark.parametrize("stroke", [0.8, 1.5])
def test_size(sign, stroke):
    solid = marks.section(marks.strokes(sign, 6.0, stroke)[: len(marks.GLYPHS[sign])], stroke)
    x0, y0, x1, y1 = solid.bounds()
    assert y1 - y0 == pytest.approx(6.0, abs=0.1)
    assert x1 - x0 <= marks.text_width(sign, 6.0, stroke) + 0.05
    assert abs(y0 + y1) < 0.1


def test_width_of_lines_and_centring():
    for text in ("1", "12", "RAS"):
        x0, _, x1, _ = marks.section(marks.strokes(text, 5.0, 0.8), 0.8).bounds()
        assert x1 - x0 <= marks.text_width(text, 5.0, 0.8) + 1e-6
        assert abs(x0 + x1) < 0.8


@pytest.mark.parametrize("text", ["6", "9", "66", "16", "98", "60", "10", "18", "IS", "M8X", "3H"])
def test_text_that_turns_into_other_text_is_underlined(text):
    low = marks.section(marks.strokes(text, 5.0, 0.8), 0.8).bounds()[1]
    assert low < -2.5 - 0.8


@pytest.mark.parametrize("text", ["1", "8", "69", "88", "12", "26", "7", "3", "R", "L", "S", "LA", "7KX-4HT", "HXH"])
def test_others_are_not(text):
    assert marks.section(marks.strokes(text, 5.0, 0.8), 0.8).bounds()[1] > -2.55


def test_unknown_sign():
    with pytest.raises(ValueError, match=r"no \['x'\]"):
        marks.strokes("Rx", 5.0, 0.8)


@given(st.text(alphabet=sorted(marks.GLYPHS), min_size=1, max_size=6))
def test_turning_twice_gives_the_text_back(text):
    turned = marks.upside_down(text)
    if turned is not None:
        assert len(turned) == len(text)
        assert marks.upside_down(turned) == text


@pytest.mark.parametrize("sign", list("068HINOSXZMW9"))
def test_signs_said_to_turn_into_another_do(sign):
    turned = raster(marks.section(marks.strokes(sign, 10.0, 1.2)[: len(marks.GLYPHS[sign])], 1.2))[::-1, ::-1]
    other = _font.UPSIDE_DOWN[sign]
    found = raster(marks.section(marks.strokes(other, 10.0, 1.2)[: len(marks.GLYPHS[other])], 1.2))
    assert alike(turned, found) > 0.75


def test_every_sign_an_id_may_have_can_be_engraved():
    assert set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-/>") <= set(marks.GLYPHS)
    assert not set(marks.ID_SIGNS) & set("01DOQILZSGBUWAE9")


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4), st.integers(3, 9))
def test_ids_are_short_and_the_same_every_time(parts, signs):
    name = marks.make_id(*parts, signs=signs)
    assert name == marks.make_id(*parts, signs=signs)
    assert set(name) <= set(marks.ID_SIGNS) | {"-"}
    assert len(name.replace("-", "")) == signs
    assert len(name) <= 12
    assert marks.upside_down(name) in {None, name}


def test_ids_differ_when_anything_differs():
    names = {marks.make_id(b"mask", f"plan {n}") for n in range(300)}
    assert len(names) == 300
    assert marks.make_id("ab", "c") != marks.make_id("a", "bc")
    assert marks.make_id("mask") == marks.make_id(b"mask")


@pytest.mark.parametrize(("parts", "signs"), [((), 6), (("a",), 2), (("a",), 10)])
def test_an_id_of_nothing(parts, signs):
    with pytest.raises(ValueError, match="an ID needs parts and 3 to 9 signs"):
        marks.make_id(*parts, signs=signs)


@pytest.mark.parametrize(
    ("right", "up", "out"), [((1, 0, 0), (0, 0, 1), (0, -1, 0)), ((0, 1, 0), (-1, 0, 0), (0, 0, 1))]
)
def test_engraving_goes_into_the_face(right, up, out):
    solid = marks.engraving(
        "L",
        at=np.array([5.0, 6.0, 7.0]),
        right=np.array(right, float),
        up=np.array(up, float),
        height_mm=5.0,
        stroke_mm=1.0,
        depth_mm=1.0,
    )
    assert solid.volume() > 0
    box = np.array(solid.bounding_box()).reshape(2, 3)
    depth = (box - (5.0, 6.0, 7.0)) @ np.array(out)
    assert depth.min() == pytest.approx(-1.0)
    assert depth.max() == pytest.approx(0.5)


def engraved(text, *, height=5.0, stroke=0.8, depth=1.0, mirror=False):
    """Triangles of a block with text in the face that looks towards -y."""
    from manifold3d import Manifold

    cut = marks.engraving(text, **FRONT, height_mm=height, stroke_mm=stroke, depth_mm=depth)
    solid = Manifold.cube((44.0, 10.0, 24.0)).translate((-22.0, -10.0, -12.0)) - (
        cut.mirror((1.0, 0.0, 0.0)) if mirror else cut
    )
    mesh = solid.to_mesh()
    return np.asarray(mesh.vert_properties, float)[:, :3][np.asarray(mesh.tri_verts)]


def measured(triangles, text, height=5.0, stroke=0.8):
    return marks.measure_engraving(triangles, text, **FRONT, height_mm=height, stroke_mm=stroke)


@pytest.mark.parametrize(
    ("text", "height", "stroke", "depth"),
    [
        ("7KX-4HT", 5.0, 0.8, 1.0),
        ("16", 5.0, 0.8, 0.6),
        ("R", 10.0, 1.25, 1.0),
        ("8", 4.0, 0.8, 1.4),
        ("W", 8.0, 1.5, 1.0),
    ],
)
def test_depth_and_stroke_measured_on_the_mesh(text, height, stroke, depth):
    found = measured(engraved(text, height=height, stroke=stroke, depth=depth), text, height, stroke)
    assert found.depth_mm == pytest.approx(depth, abs=1e-4)
    assert found.stroke_mm == pytest.approx(stroke, abs=0.06)
    assert found.likeness > 0.95
    assert found.faults(stroke, depth) == []
    assert found.faults(stroke + 0.2, depth)[0].startswith(f"text {text!r}: strokes")
    assert "mm deep, needed" in found.faults(stroke, depth + 0.1)[0]


@pytest.mark.parametrize("text", ["R", "L", "P", "S", "12", "7KX-4HT"])
def test_mirrored_text_is_seen_on_the_mesh(text):
    assert measured(engraved(text), text).faults(0.8, 1.0) == []
    found = measured(engraved(text, mirror=True), text)
    assert found.mirrored > 0.95 > found.likeness
    assert found.faults(0.8, 1.0) == [
        f"text {text!r}: mirrored (Dice {found.mirrored:.2f} against {found.likeness:.2f})"
    ]


def test_other_text_and_no_text_are_seen_on_the_mesh():
    assert "not readable" in measured(engraved("RAS"), "PIL").faults(0.8, 1.0)[0]
    assert measured(engraved("R")[:0], "R").faults(0.8, 1.0) == ["text 'R': nothing engraved there"]
    far = marks.measure_engraving(
        engraved("R"), "R", **FRONT | {"at": np.array([15.0, -10.0, 0.0])}, height_mm=5.0, stroke_mm=0.8
    )
    assert (far.depth_mm, far.stroke_mm, far.likeness) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("shift", [(3.0, -2.0, 7.0), (-40.0, 11.0, 0.5)])
@pytest.mark.parametrize("axis", [(0.0, 0.0, 1.0), (1.0, 2.0, 3.0)])
def test_the_face_may_look_anywhere(shift, axis):
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec(1.1 * np.array(axis) / np.linalg.norm(axis)).as_matrix()
    found = marks.measure_engraving(
        engraved("R4") @ turn.T + np.array(shift),
        "R4",
        at=turn @ FRONT["at"] + np.array(shift),
        right=turn @ FRONT["right"],
        up=turn @ FRONT["up"],
        height_mm=5.0,
        stroke_mm=0.8,
    )
    assert found.faults(0.8, 1.0 - 1e-4) == []


@pytest.mark.parametrize("sign", [sign for sign in SIGNS if sign not in "0OQD1I"])
def test_signs_stay_apart_at_the_least_height(sign):
    """Painted as small as is allowed, every sign is still nearest to itself."""
    stroke = 0.8
    height = marks.least_height(stroke)

    def painted(text):
        return raster(marks.section(marks.strokes(text, height, stroke)[: len(marks.GLYPHS[text])], stroke))

    ours = painted(sign)
    near = {other: alike(ours, painted(other)) for other in SIGNS if other not in sign}
    assert max(near.values()) < 0.985, max(near, key=near.get)


def test_every_number_wall_letter_and_name_of_a_finished_mould_is_read_off_its_mesh(arms_mould):
    records = [mark for mark in arms_mould.report["marks"] if mark["kind"] != "direction" or abs(mark["up"][2]) > 0.9]
    size = arms_mould.template.parameters
    found = marks.measure_engravings(arms_mould.bodies["mould"], records)
    assert [one.text for one in found] == [record["text"] for record in records]
    assert {"number", "direction", "id"} <= {record["kind"] for record in records}
    for one in found:
        assert one.faults(size.stroke_mm, size.engrave_mm) == []
        assert one.depth_mm == pytest.approx(size.engrave_mm, abs=0.01)


@pytest.mark.parametrize("beyond", [0.6, 1.2])
def test_text_over_the_edge_of_its_face_is_seen(beyond):
    from manifold3d import Manifold

    half = 0.5 * marks.text_width("R", 5.0, 0.8)
    place = FRONT | {"at": np.array([22.0 - half + beyond, -10.0, 0.0])}
    cut = marks.engraving("R", **place, height_mm=5.0, stroke_mm=0.8, depth_mm=1.0)
    mesh = (Manifold.cube((44.0, 10.0, 24.0)).translate((-22.0, -10.0, -12.0)) - cut).to_mesh()
    triangles = np.asarray(mesh.vert_properties, float)[:, :3][np.asarray(mesh.tri_verts)]
    found = marks.measure_engraving(triangles, "R", **place, height_mm=5.0, stroke_mm=0.8)
    assert found.whole < 0.99
    assert "of it missing (over the edge of its face?)" in found.faults(0.5, 1.0, min_likeness=0.5)[0]


def test_the_next_step_of_a_face_is_no_text():
    """A lower face beside the text, near enough to lie in the picture."""
    from manifold3d import Manifold

    cut = marks.engraving("2", **FRONT, height_mm=5.0, stroke_mm=0.8, depth_mm=1.0)
    step = Manifold.cube((10.0, 2.0, 24.0)).translate((2.3, -11.0, -12.0))
    mesh = (Manifold.cube((44.0, 10.0, 24.0)).translate((-22.0, -10.0, -12.0)) - cut - step).to_mesh()
    triangles = np.asarray(mesh.vert_properties, float)[:, :3][np.asarray(mesh.tri_verts)]
    assert measured(triangles, "2").faults(0.8, 1.0) == []

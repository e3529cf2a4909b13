"""Engraved text reads, and reads the right way round."""

import numpy as np
import pytest

from comould.mould import marks

SIGNS = "0123456789RLAPSI"


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
    assert best == sign or (sign, best) in {("I", "1"), ("1", "I")}
    if sign in "RLPS2345679":
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


@pytest.mark.parametrize("text", ["6", "9", "66", "16", "98", "60"])
def test_numbers_that_turn_into_others_are_underlined(text):
    low = marks.section(marks.strokes(text, 5.0, 0.8), 0.8).bounds()[1]
    assert low < -2.5 - 0.8


@pytest.mark.parametrize("text", ["1", "8", "10", "12", "26", "R"])
def test_others_are_not(text):
    assert marks.section(marks.strokes(text, 5.0, 0.8), 0.8).bounds()[1] > -2.55


def test_unknown_sign():
    with pytest.raises(ValueError, match=r"no \['X'\]"):
        marks.strokes("RX", 5.0, 0.8)


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

"""Cassette blocks: every piece fits, together they are the slab, none overlaps, and none is a crumb without a word."""

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comould.errors import ComouldWarning, InputError
from comould.mould import block_slab, plan_blocks, slabs
from comould.mould.sampling.blocking import _even, _greedy, _letters
from comould.space import CutPlane, SlicePlan

CENTRE = np.array([11.0, -23.0, 47.0])


def plan(offsets, faces="-"):
    return SlicePlan(
        tuple(
            CutPlane.from_normal(f"P{n:02d}", CENTRE + np.array([0, 0, offset]), (0, 0, 1), kerf_mm=1.0, face=faces)
            for n, offset in enumerate(offsets, 1)
        )
    )


def section(lines):
    from manifold3d import CrossSection, FillRule

    return CrossSection([line[:-1] for line in lines], FillRule.EvenOdd)


def check(blocks, truth_mm2, share=0.03):
    """Hold the promises of a split against its own outlines; returns the union."""
    from manifold3d import CrossSection, OpType

    areas = [section(block.outlines_uv_mm) for block in blocks.blocks]
    for block, area in zip(blocks.blocks, areas, strict=True):
        assert np.isclose(area.area(), block.area_mm2, rtol=1e-6)
        x0, y0, x1, y1 = area.bounds()
        assert np.allclose((x1 - x0, y1 - y0), block.size_mm, atol=1e-6)
        assert np.allclose((0.5 * (x0 + x1), 0.5 * (y0 + y1)), block.centre_uv_mm, atol=1e-6)
        fits = [block.size_mm[0] <= w + 1e-6 and block.size_mm[1] <= h + 1e-6 for w, h in both(blocks.format_mm)]
        assert any(fits)
    union = CrossSection.batch_boolean(areas, OpType.Add)
    # No overlap: together they are as large as all of them; and that is the slab.
    total = sum(area.area() for area in areas)
    assert np.isclose(union.area(), total, rtol=1e-4)
    assert abs(total - truth_mm2) <= share * truth_mm2
    assert len({block.id for block in blocks.blocks}) == len(blocks.blocks)
    return union


def both(size):
    return size, size[::-1]


def tile(shapes, half, **rest):
    """A brick of the given half sides, multiples of 0.5 mm: half a voxel is lost all round."""
    half = np.array(half, float)
    return shapes.sampled(lambda p: np.abs(p / half).max(axis=1) - 1.0, half, spacing=(0.5, 0.5, 1.0), **rest)


def test_small_slabs_stay_whole(shapes):
    body = shapes.sampled(lambda p: shapes.ball(p, 9.5), 10.0)
    blocks = plan_blocks(plan((-3, 3)), body)
    assert [block.id for block in blocks.blocks] == ["S01-A1", "S02-A1", "S03-A1"]
    assert [block.plane for block in blocks.blocks] == ["P01", "P01", "P02"]
    check(block_slab(slabs(plan((-3, 3)), body)[1], body), np.pi * 9.5**2)
    # A small slab is no crumb: there is no larger piece to be had.
    assert not any(block.crumb for block in blocks.blocks)


def test_a_turned_cassette_counts_as_fitting(shapes):
    for half in ((9.0, 12.0, 6.0), (12.0, 9.0, 6.0)):
        body = tile(shapes, half)
        assert len(block_slab(slabs(plan((0,)), body)[1], body).blocks) == 1


@pytest.mark.parametrize(
    ("half", "format", "pieces"),
    [
        ((25.5, 9.5, 4.0), "cassette", 2),
        ((25.5, 19.5, 4.0), "cassette", 4),
        # 58 × 24: three across and the cassette upright; lying it would be 3 × 2.
        ((29.0, 12.5, 4.0), "cassette", 3),
        ((38.0, 29.0, 4.0), "mega", 2),
        ((14.0, 14.0, 4.0), (10.0, 10.0), 9),
    ],
)
def test_bricks_need_as_few_pieces_as_they_can(shapes, half, format, pieces):
    body = tile(shapes, half)
    blocks = block_slab(slabs(plan((0,)), body)[1], body, format=format)
    assert len(blocks.blocks) == pieces
    check(blocks, (2 * half[0] - 0.5) * (2 * half[1] - 0.5), share=0.01)


@settings(max_examples=20)
@given(
    a=st.floats(8.0, 45.0),
    b=st.floats(8.0, 30.0),
    bite=st.floats(0.0, 0.8),
    face=st.sampled_from("-+"),
    size=st.sampled_from([(26.0, 20.0), (75.0, 50.0), (15.0, 15.0)]),
)
def test_any_slab_is_covered_once_by_pieces_that_fit(a, b, bite, face, size):
    body, truth = _bitten(a, b, bite)
    cut = plan((0,), face)
    slab = next(slab for slab in slabs(cut, body) if slab.photographed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        blocks = block_slab(slab, body, format=size)
    check(blocks, truth, share=0.06)
    # Not wasteful: on average each piece is well filled, but for what the rim of a round slab leaves.
    least = math.ceil(truth / (size[0] * size[1]))
    assert len(blocks.blocks) <= 2.5 * least + 2


def _bitten(a, b, bite):
    """An ellipse with a bite taken out of it, as a flat body; and its area."""
    from comould.space import Grid

    step = 0.8
    grid = Grid((int(2 * a / step) + 7, int(2 * b / step) + 7, 9), (step, step, 1.0), (0, 0, 0))
    origin = CENTRE - 0.5 * (np.array(grid.size) - 1) * (step, step, 1.0)
    grid = Grid(grid.size, grid.spacing_mm, tuple(origin))
    z, y, x = np.indices(grid.shape)
    x, y, z = (value * s + o - c for value, s, o, c in zip((x, y, z), grid.spacing_mm, origin, CENTRE, strict=True))
    flat = (x / a) ** 2 + (y / b) ** 2 < 1
    kept = flat & ~((np.abs(x) < 0.2 * a) & (y < b * (2 * bite - 1))) & (np.abs(z) < 3.6)
    return grid.to_image(kept), float(kept[4].sum()) * step**2


def test_ids_run_from_the_upper_left_of_the_face_as_it_is_seen(shapes):
    body = tile(shapes, (25.5, 19.5, 8.0))
    minus = block_slab(slabs(plan((0,), "-"), body)[1], body).blocks
    plus = block_slab(slabs(plan((0,), "+"), body)[0], body).blocks
    assert [block.id[:3] for block in minus + plus] == ["S02"] * 4 + ["S01"] * 4
    first, last = minus[0].centre_uv_mm, minus[-1].centre_uv_mm
    assert first[0] < 0 < last[0]
    assert first[1] < 0 < last[1]
    # Seen from the other side, left is where u is large.
    first, last = plus[0].centre_uv_mm, plus[-1].centre_uv_mm
    assert first[0] > 0 > last[0]
    assert first[1] < 0 < last[1]
    for block in minus:
        at = plan((0,)).planes[0].plane_from_patient.apply([block.centre_mm])[0]
        assert np.allclose(at, (*block.centre_uv_mm, 0.5))


def test_parts_apart_are_not_cut_and_crumbs_are_told(shapes):
    def crumbs(p):
        return np.minimum(shapes.ball(p, 12.0, (-20, 0, 0)), shapes.ball(p, 2.6, (28, 0, 0)))

    body = shapes.sampled(crumbs, 34.0, spacing=(0.6, 0.6, 1.0))
    slab = slabs(plan((0,)), body)[1]
    with pytest.warns(ComouldWarning, match=r"blocks: 1 smaller than 42 mm² could not be avoided: S02-"):
        blocks = block_slab(slab, body)
    small = [block for block in blocks.blocks if block.crumb]
    assert len(small) == 1
    assert abs(small[0].area_mm2 - np.pi * 2.6**2) < 3
    assert not any(block.crumb for block in block_slab(slab, body, min_piece_mm2=5.0).blocks)
    check(block_slab(slab, body, min_piece_mm2=0.0), np.pi * (144 + 2.6**2))


def test_crumbs_are_avoided_where_they_can_be(shapes):
    """A brick a little longer than two cassettes: three even pieces, not two and a sliver."""
    body = tile(shapes, (26.8, 9.0, 4.0))
    blocks = block_slab(slabs(plan((0,)), body)[1], body)
    areas = [block.area_mm2 for block in blocks.blocks]
    assert len(areas) == 3
    assert min(areas) > 0.9 * max(areas)


def test_table(shapes):
    body = tile(shapes, (25.5, 19.5, 8.0))
    table = plan_blocks(plan((0,)), body).table()
    assert table["block"].tolist() == [
        f"{slab}-{row}{column}" for slab in ("S01", "S02") for row in "AB" for column in "12"
    ]
    assert np.allclose(table.groupby("slab")["area_mm2"].sum(), 50.5 * 38.5, rtol=0.01)
    assert (table["thickness_mm"] > 5).all()


@pytest.mark.parametrize("format", ["casette", (26.0,), (1.0, 20.0), (26.0, float("nan"))])
def test_unknown_formats(shapes, format):
    body = shapes.sampled(lambda p: shapes.ball(p, 8.0), 8.0)
    with pytest.raises(InputError, match="expected cassette, mega or width and height from 3 to 300 mm"):
        plan_blocks(plan((0,)), body, format=format)


def test_impossible_crumbs(shapes):
    body = shapes.sampled(lambda p: shapes.ball(p, 8.0), 8.0)
    with pytest.raises(InputError, match=r"min_piece_mm2: expected 0 to 260 \(half the format\), found 900"):
        plan_blocks(plan((0,)), body, min_piece_mm2=900)


@given(
    parts=st.lists(st.tuples(st.floats(0.5, 40.0), st.floats(0.1, 20.0)), min_size=1, max_size=5),
    most=st.floats(3.0, 30.0),
)
def test_intervals_cover_a_shadow_with_the_fewest(parts, most):
    shadow, at = [], 0.0
    for length, gap in parts:
        shadow.append((at, at + length))
        at += length + gap
    even, greedy = _even(shadow, most), _greedy(shadow, most)
    assert len(even) == len(greedy)
    assert all(high - low <= most + 1e-9 for low, high in even)
    assert all(b >= a - 1e-9 for (_, a), (b, _) in pairwise(even))
    for low, high in shadow:
        for point in np.linspace(low + 1e-6, high - 1e-6, 7):
            assert any(a - 1e-9 <= point <= b + 1e-9 for a, b in even)


def test_letters_go_on_after_z():
    assert [_letters(n) for n in (0, 25, 26, 27, 51, 52, 701, 702)] == ["A", "Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA"]

"""Walls and ribs of known thickness."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifold3d import CrossSection, Manifold

from comould.mould.printing.thickness import walls


def triangles_of(body):
    raw = body.to_mesh()
    return raw.vert_properties[:, :3].astype(np.float64)[raw.tri_verts]


def measured(body, limit_mm=1.2, **options):
    return walls(triangles_of(body), limit_mm, **options)


def slotted(count=6, spacing=5.0, slot=1.0, size=(60, 40, 30)):
    block = Manifold.cube(size)
    for n in range(count):
        x = 10 + n * spacing
        block -= Manifold.cube((slot, size[1] - 10, size[2])).translate((x, 5, 5))
    return block


@pytest.mark.parametrize("thick", [0.4, 0.8, 1.2, 3.0])
def test_plate(thick):
    found = measured(Manifold.cube((40, 30, thick)))
    assert found.minimum_mm == pytest.approx(thick, abs=1e-4)
    assert found.percentile_1_mm == pytest.approx(thick, abs=1e-4)
    expected = 12.0 if thick < 1.2 else 0.0
    assert found.thin_area_cm2 == pytest.approx(expected, rel=0.02, abs=0.01)
    assert found.place_mm[2] == pytest.approx(thick / 2, abs=1e-4)


@given(st.floats(0, 180), st.floats(0, 180), st.sampled_from([0.8, 2.0]))
def test_plate_in_any_direction(one, two, thick):
    found = measured(Manifold.cube((40, 30, thick), True).rotate((one, two, 0)))
    assert found.minimum_mm == pytest.approx(thick, rel=1e-3)
    assert found.thin_area_cm2 == pytest.approx(12.0 if thick < 1.2 else 0.0, rel=0.15)


@pytest.mark.parametrize("turn", [(0, 0, 0), (90, 0, 0), (0, 90, 0), (30, 50, 0)])
def test_tube(turn):
    tube = Manifold.cylinder(50, 15, 15, 128, True) - Manifold.cylinder(60, 13.5, 13.5, 128, True)
    found = measured(tube.rotate(turn))
    assert found.minimum_mm == pytest.approx(1.5, rel=0.06)
    assert found.thin_area_cm2 == 0.0


def test_hollow_ball():
    found = measured(Manifold.sphere(20, 96) - Manifold.sphere(19.2, 96))
    assert found.minimum_mm == pytest.approx(0.8, rel=0.06)
    assert found.thin_area_cm2 == pytest.approx(4 * np.pi * 19.6**2 / 100, rel=0.15)


def test_corners_chamfers_and_wedges_are_no_walls():
    box = Manifold.cube((30, 20, 20))
    assert measured(box).minimum_mm == pytest.approx(20, abs=1e-3)
    prism = CrossSection([np.array([(0, 0), (30, 0), (0, 20)])]).extrude(25)
    found = measured(prism)
    assert found.minimum_mm > 5.0
    assert found.thin_area_cm2 == 0.0


def test_a_long_feather_is_a_thin_wall():
    feather = CrossSection([np.array([(0, 0), (60, 0), (60, 4)])]).extrude(30)
    found = measured(feather)
    # Its slope is 1:15; up to 1.2 mm thick it is 18 mm long, 3 mm of them count as rim.
    assert 0.0 < found.minimum_mm < 0.4
    assert found.thin_area_cm2 == pytest.approx(18 * 30 / 100, rel=0.25)


def test_engraved_text_makes_no_wall():
    block = Manifold.cube((40, 40, 20))
    for n in range(8):
        block -= Manifold.cube((0.8, 10, 1)).translate((5 + 1.6 * n, 5, 19))
    found = measured(block)
    assert found.minimum_mm == pytest.approx(19, abs=1.01)
    assert found.rib_mm is None


def test_a_thin_fin_on_a_thick_body_is_found_at_its_place():
    fin = Manifold.cube((20, 0.7, 12)).translate((5, 10, 10))
    found = measured(Manifold.cube((30, 20, 10)) + fin)
    assert found.minimum_mm == pytest.approx(0.7, abs=1e-3)
    assert found.place_mm[1] == pytest.approx(10.35, abs=0.01)
    assert 10 < found.place_mm[2] < 22
    # Next to the body it is part of the body's edge.
    assert 0.6 * 2.4 < found.thin_area_cm2 <= 2.4 + 0.1


@given(st.floats(1.7, 9.0), st.floats(0.4, 1.2))
def test_ribs_are_spacing_less_slot(spacing, slot):
    found = measured(slotted(5, spacing, slot))
    assert found.rib_mm == pytest.approx(spacing - slot, abs=1e-4)
    assert found.slots == 5


def test_ribs_along_y_too():
    found = measured(slotted().rotate((0, 0, 90)))
    assert found.rib_mm == pytest.approx(4.0, abs=1e-3)
    assert found.slots == 6


def test_two_slots_have_one_rib_and_one_slot_none():
    assert measured(slotted(2)).slots == 2
    single = measured(slotted(1))
    assert (single.rib_mm, single.slots) == (None, 0)


def test_wide_pockets_are_no_slots():
    assert measured(slotted(4, spacing=12.0, slot=8.0)).rib_mm is None


def test_nothing_that_faces_is_no_wall():
    tetrahedron = Manifold.tetrahedron().scale((30, 30, 30))
    found = measured(tetrahedron)
    assert (found.minimum_mm, found.percentile_1_mm, found.place_mm) == (None, None, None)


def test_slots_that_no_single_ray_meets_all_of():
    block = slotted(6)
    low = block - Manifold.cube((30, 60, 40)).translate((36, -5, 15))
    assert measured(low).slots == 6


def test_a_chain_of_ribs_under_the_limit():
    found = measured(slotted(8, 1.8, 1.0))
    assert found.rib_mm == pytest.approx(0.8, abs=1e-4)
    assert found.minimum_mm == pytest.approx(0.8, abs=1e-4)
    assert found.thin_area_cm2 > 7 * 0.7 * 30 * 25 / 100 * 0.8

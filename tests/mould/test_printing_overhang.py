"""Overhangs, bridges and juts of known size."""

import numpy as np
import pytest
from manifold3d import CrossSection, Manifold

from comould.mould.printing.columns import cast
from comould.mould.printing.overhang import overhang


def measured(body, **options):
    raw = body.to_mesh()
    triangles = raw.vert_properties[:, :3].astype(np.float64)[raw.tri_verts]
    return overhang(triangles, cast(triangles, 2, 0.5), **options)


def table(span, depth=20.0):
    legs = Manifold.cube((5, depth, 10)) + Manifold.cube((5, depth, 10)).translate((5 + span, 0, 0))
    return legs + Manifold.cube((10 + span, depth, 3)).translate((0, 0, 10))


def wedge(angle_deg, length=20.0, width=10.0):
    """A block whose side leans out over its foot by an angle from the vertical."""
    out = length * np.tan(np.deg2rad(angle_deg))
    profile = CrossSection([np.array([(0, 0), (20, 0), (20 + out, length), (0, length)])])
    return profile.extrude(width).rotate((90, 0, 0))


def test_a_box_on_the_bed_has_none():
    found = measured(Manifold.cube((20, 30, 10)).translate((0, 0, 7)))
    assert (found.area_cm2, found.bridge_mm, found.support) == (0.0, 0.0, False)


@pytest.mark.parametrize("span", [4.0, 8.0, 10.0, 14.0, 25.0])
def test_bridge(span):
    found = measured(table(span))
    assert found.area_cm2 == pytest.approx(span * 20 / 100, rel=1e-3)
    assert found.bridge_mm == pytest.approx(span, abs=0.51)
    assert found.jutting_cm2 == 0.0
    assert found.support is (span > 10)


def test_a_bridge_takes_the_short_way():
    pocket = Manifold.cube((60, 30, 20)) - Manifold.cube((50, 6, 10)).translate((5, 12, -1))
    assert measured(pocket).bridge_mm == pytest.approx(6.0, abs=0.51)
    assert measured(pocket.rotate((0, 0, 90))).bridge_mm == pytest.approx(6.0, abs=0.51)
    assert not measured(pocket).support


def test_a_shelf_juts_out():
    shelf = Manifold.cube((10, 20, 30)) + Manifold.cube((8, 20, 4)).translate((10, 0, 20))
    found = measured(shelf)
    assert found.area_cm2 == pytest.approx(1.6, rel=1e-3)
    assert found.bridge_mm == 0.0
    assert 1.0 < found.jutting_cm2 < 1.6
    assert found.support


def test_a_rim_holds_by_itself():
    rim = Manifold.cube((10, 20, 30)) + Manifold.cube((1, 20, 4)).translate((10, 0, 20))
    found = measured(rim)
    assert found.area_cm2 == pytest.approx(0.2, rel=1e-3)
    assert (found.jutting_cm2, found.support) == (0.0, False)


@pytest.mark.parametrize(
    ("angle", "over", "support"), [(30, False, False), (45, False, False), (48, True, False), (55, True, True)]
)
def test_slopes(angle, over, support):
    found = measured(wedge(angle))
    exact = 20.0 * 10.0 / np.cos(np.deg2rad(angle)) / 100.0
    assert found.area_cm2 == pytest.approx(exact if over else 0.0, rel=1e-4)
    assert found.support is support
    if support:
        assert 0.7 * exact < found.sloping_cm2 <= exact * 1.05


def test_printers_differ():
    assert not measured(wedge(60), steepest_deg=71.0).support
    assert not measured(table(18), bridge_mm=21.0).support
    powder = measured(table(40), steepest_deg=None, bridge_mm=None)
    assert powder.area_cm2 > 0
    assert not powder.support


def test_a_floating_part_needs_support():
    floating = Manifold.cube((10, 10, 5)) + Manifold.cube((10, 10, 5)).translate((20, 0, 10))
    found = measured(floating)
    assert found.jutting_cm2 == pytest.approx(1.0, rel=0.05)
    assert found.support

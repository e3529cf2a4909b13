"""Fluid in vessels of known volume."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifold3d import Manifold

from comould.mould.printing.columns import cast
from comould.mould.printing.trapped import trapped_fluid


def measured(body):
    raw = body.to_mesh()
    return trapped_fluid(cast(raw.vert_properties[:, :3].astype(np.float64)[raw.tri_verts], 2, 0.5))


def cup(inner=20.0, deep=30.0, wall=3.0):
    outside = Manifold.cylinder(deep + wall, inner + wall, inner + wall, 96)
    return outside - Manifold.cylinder(deep + 1, inner, inner, 96).translate((0, 0, wall))


def test_cup():
    found = measured(cup())
    exact = np.pi * 20**2 * 30 / 1000
    assert found.trapped_ml == pytest.approx(exact, rel=0.01)
    assert found.largest_pool_ml == pytest.approx(exact, rel=0.01)
    assert found.drain_recommended


@pytest.mark.parametrize("hole", ["bottom", "low side"])
def test_a_hole_drains_it(hole):
    drill = Manifold.cylinder(10, 2, 2, 32, True)
    if hole == "low side":
        drill = drill.rotate((0, 90, 0)).translate((21, 0, 7))
    found = measured(cup() - drill)
    # Below a side hole stands a film up to its lower edge.
    left = 0.0 if hole == "bottom" else np.pi * 400 * 2 / 1000
    assert found.trapped_ml == pytest.approx(left, abs=0.02 * left + 0.01)
    assert found.drain_recommended is (left > 1)


@given(st.floats(4.0, 28.0))
def test_a_side_hole_drains_down_to_its_lower_edge(height):
    drill = Manifold.cube((20, 6, 40), True).translate((20, 0, height + 3 + 20))
    found = measured(cup() - drill)
    assert found.trapped_ml == pytest.approx(np.pi * 400 * height / 1000, rel=0.02)


def test_a_solid_and_a_table_hold_nothing():
    assert measured(Manifold.cube((20, 20, 20))).trapped_ml == 0.0
    upside_down = cup().rotate((180, 0, 0))
    assert measured(upside_down).trapped_ml == pytest.approx(0.0, abs=1e-9)


def test_a_closed_hollow_cannot_be_filled():
    assert measured(Manifold.cube((30, 30, 30)) - Manifold.cube((20, 20, 20)).translate((5, 5, 5))).trapped_ml == 0.0


def test_a_pocket_under_a_ledge_fills():
    block = Manifold.cube((40, 20, 30)) - Manifold.cube((10, 10, 30)).translate((5, 5, 5))
    block -= Manifold.cube((20, 10, 10)).translate((15, 5, 5))
    found = measured(block)
    assert found.trapped_ml == pytest.approx(10 * 10 * 25 / 1000 + 20 * 10 * 10 / 1000, rel=0.03)


def test_two_pools():
    tray = Manifold.cube((50, 20, 20))
    tray -= Manifold.cube((10, 10, 20)).translate((5, 5, 10))
    tray -= Manifold.cube((20, 10, 20)).translate((25, 5, 10))
    found = measured(tray)
    assert found.trapped_ml == pytest.approx(3.0, rel=0.03)
    assert found.largest_pool_ml == pytest.approx(2.0, rel=0.03)


def test_a_siphon_keeps_its_trap():
    # A channel that goes down and up again: the outlet's lip sets the level, not the channel's floor.
    block = Manifold.cube((60, 20, 40)) - Manifold.cube((20, 10, 40)).translate((5, 5, 5))
    block -= Manifold.cube((20, 6, 6)).translate((20, 7, 5))
    block -= Manifold.cube((6, 6, 20)).translate((34, 7, 5))
    block -= Manifold.cube((40, 6, 5)).translate((34, 7, 20))
    exact = (20 * 10 * 15 + 9 * 6 * 6 + 6 * 6 * 15) / 1000
    assert measured(block).trapped_ml == pytest.approx(exact, rel=0.06)

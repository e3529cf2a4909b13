"""The parts of a pose's record, each on a field written down by hand: turning, sweeping, pockets, half turns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comould.mould.parameters import Parameters
from comould.mould.pose_score import Lie, Turntable, both_ways, crossings, deepest, occupied
from comould.mould.pose_turns import turned_dice, turned_room
from comould.mould.surface import DistanceField

SIZE = Parameters.model_validate({})
UPS = (np.array([0.0, -1.0, 0.0]), np.array([0.0, 1.0, 0.0]))


def field(distance, half=(20, 20, 20), step=1.0):
    """Distances ``(z, y, x)`` of a body about the middle of its field."""
    z, y, x = np.meshgrid(*(step * np.arange(-n, n + 1) for n in half), indexing="ij")
    return distance(x, y, z).astype(np.float32)


def brick(x, y, z, half, centre=(0, 0, 0)):
    parts = [np.abs(c - m) - h for c, m, h in zip((x, y, z), centre, half, strict=True)]
    return np.max(parts, axis=0)


def cone(x, y, z):
    """Its tip at the bottom, 18 mm below its base of 12 mm radius; its centroid in the middle."""
    return np.maximum((np.hypot(x, y) - 12 * (z + 13.5) / 18) * 0.83, z - 4.5)


def turntable(distance, **rest):
    return Turntable(DistanceField(field(distance, **rest), np.zeros(3), rest.get("step", 1.0)))


def test_crossings_lie_between_samples():
    assert crossings(np.array([3.0, 1.0, -1.0, -2.0, -0.5, 1.5], np.float32)) == pytest.approx((1.5, 4.25))
    # Against the border, or thinner than a sample, there is nothing to interpolate with.
    assert crossings(np.array([-1.0, -1.0, 2.0], np.float32)) == pytest.approx((0.0, 1 + 1 / 3))
    assert crossings(np.array([2.0, 0.2, 2.0], np.float32)) == (1.0, 1.0)


def test_a_right_angle_swaps_height_and_width():
    table = turntable(lambda x, y, z: brick(x, y, z, (5.3, 7.3, 11.3)))
    tall, flat = table.lie(0.0), table.lie(90.0)
    for lie, heights in ((tall, (11.3, 7.3)), (flat, (7.3, 11.3))):
        for axis, half in zip(((1, 2), (0, 2)), heights, strict=True):
            low, high = crossings(lie.values.min(axis=axis))
            assert high - low == pytest.approx(2 * half, abs=1e-3)
    assert np.allclose(tall.values[::-1, ::-1], table.lie(180.0).values, atol=1e-4)


def test_a_body_that_touches_the_field_s_border_ends_there():
    table = turntable(lambda x, y, z: brick(x, y, z, (5.3, 7.3, 11.3)), half=(11, 20, 20))
    values = table.lie(90.0).values
    low, high = crossings(values.min(axis=(0, 2)))
    assert 22 <= high - low <= 24


def test_turning_runs_clockwise():
    """A knob on the body's low-y side, the picture's right: at 90° the right faces up, so it comes to lie on top."""

    def knobbed(x, y, z):
        return np.minimum(brick(x, y, z, (6, 6, 6)), brick(x, y, z, (2, 3, 2), (0, -8, 0)))

    lie = turntable(knobbed).lie(90.0)
    inside = np.argwhere(lie.values < 0)
    middle = 0.5 * (np.array(lie.values.shape) - 1)
    top = inside[inside[:, 0] == inside[:, 0].max()] - middle
    assert inside[:, 0].max() - middle[0] > middle[0] - inside[:, 0].min()
    assert np.abs(top[:, 1:]).max() <= 2.5


@settings(max_examples=10)
@given(st.floats(0, 360), st.tuples(*[st.floats(-4, 4)] * 3))
def test_a_ball_is_a_ball_at_any_angle_wherever_it_lies(angle, centre):
    def ball(x, y, z):
        return np.sqrt(sum((c - m) ** 2 for c, m in zip((x, y, z), centre, strict=True))) - 9.0

    lie = turntable(ball).lie(angle)
    volume = float(occupied(lie.values, 1.0).sum())
    assert volume == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.03)
    share = occupied(lie.values, 1.0)
    for axis, count in enumerate(share.shape):
        along = share.sum(axis=tuple({0, 1, 2} - {axis}))
        assert along @ np.arange(count) / volume == pytest.approx(0.5 * (count - 1), abs=0.05)


def test_both_ways_up_are_the_two_seats_of_a_cone():
    values = field(cone)
    volume = np.pi * 12**2 * 18 / 3 / 1000
    down, up = both_ways(Lie(values, 1.0), 30.0, UPS, volume, SIZE)
    assert (down.angle_deg, up.angle_deg) == (30.0, 210.0)
    assert (down.up_patient, up.up_patient) == ((0, -1, 0), (0, 1, 0))
    # Tip down the mould holds all of it; tip up it stands in a cylinder three times its size.
    assert down.loose_percent < 6
    assert up.loose_percent == pytest.approx(200, rel=0.1)
    assert max(down.undercut_percent, up.undercut_percent) < 0.1
    assert down.support_cm2 == up.support_cm2 == pytest.approx(np.pi * 1.44, rel=0.07)
    assert down.plastic_ml - up.plastic_ml == pytest.approx(up.loose_ml - down.loose_ml, rel=0.4)
    turned, _ = both_ways(Lie(values[::-1, ::-1], 1.0), 210.0, UPS[::-1], volume, SIZE)
    assert turned.loose_ml == pytest.approx(up.loose_ml)
    assert turned.plastic_ml == pytest.approx(up.plastic_ml)


@pytest.mark.parametrize(("wide", "long"), [(6, 15), (9, 4), (2, 15)])
def test_the_nearest_way_out_counts(wide, long):
    """A pocket ``wide`` deep from the right, open at both ends of its length ``2 × long``: out is the shorter way."""

    def pocketed(x, y, z):
        body = brick(x, y, z, (long + 0.5, 12.5, 12.5))
        return np.maximum(body, -brick(x, y, z, (40, wide, 3.5), (0, 12.5, 0)))

    values = field(pocketed)
    swept, other = np.minimum.accumulate(values, axis=0), np.minimum.accumulate(values[::-1], axis=0)[::-1]
    found = deepest(values, np.maximum(swept, other), 1.0)
    assert found == pytest.approx(min(wide, long + 0.5), abs=1.0)
    assert deepest(values, values, 1.0) == 0


def test_half_turns_of_a_brick_and_of_a_cone():
    block = Lie(field(lambda x, y, z: brick(x, y, z, (9.3, 6.3, 4.3))), 1.0)
    upright = Lie(field(cone), 1.0)
    for axis in "xyz":
        assert turned_dice(block, axis) == pytest.approx(1.0, abs=1e-3)
        assert turned_room(block, axis) == pytest.approx(1.0, abs=1e-3)
    assert turned_dice(upright, "z") == pytest.approx(1.0, abs=1e-3)
    # Tip to base: where two equal cones overlap best, each keeps its middle.
    assert turned_dice(upright, "x") == pytest.approx(turned_dice(upright, "y"), abs=0.01)
    assert turned_dice(upright, "x") < 0.75
    # A mould for the tip has no room for the base; the cylinder that stands round the base has room for the tip.
    assert turned_room(upright, "x") < 0.7
    assert turned_room(Lie(field(cone)[::-1], 1.0), "x") == pytest.approx(1.0, abs=0.01)


def test_overlap_is_looked_for_beside_the_centroid():
    """A small lobe far out moves the centroid; half a turn still lays the large part on itself, all but the lobe."""

    def lobed(x, y, z):
        stalk = brick(x, y, z, (6.3, 1.3, 1.3), (10 - 2.2, 0, 0))
        return np.minimum(brick(x, y, z, (8.3, 8.3, 8.3), (-2.2, 0, 0)), stalk)

    lie = turntable(lobed).lie(0.0)
    body, lobe = 16.6**3, (14.1 - 6.1) * 2.6**2
    assert turned_dice(lie, "z") > body / (body + lobe) - 0.02
    assert turned_dice(lie, "x") == pytest.approx(1.0, abs=1e-3)

"""Fine structure: distances, soft edges, walls, and that culling by boxes never shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.phantom import structures
from comould.phantom.options import SpecimenOptions
from comould.phantom.shape import Body
from comould.phantom.structures import KINDS, Sheet, Tube, membership


def test_tube_distance():
    tube = Tube("vessel", np.array([[0.0, 0, 0], [10.0, 0, 0]]), 1.5)
    points = np.array([[5.0, 0, 0], [5.0, 3.0, 0], [-2.0, 0, 0], [12.5, 0, 0]])
    np.testing.assert_allclose(tube.distance_mm(points), [-1.5, 1.5, 0.5, 1.0])


def test_sheet_is_thickest_in_the_middle_and_ends_at_its_reach():
    sheet = Sheet("septum", np.zeros(3), np.array([0.0, 0, 1.0]), np.array([0.2, 0, 0]), 0.0, 2.0, 10.0)
    np.testing.assert_allclose(
        sheet.distance_mm(np.array([[0.0, 0, 0], [0, 0, 1.0], [10.0, 0, 0]])), [-1, 0, 0], atol=0.011
    )
    assert sheet.distance_mm(np.array([[12.0, 0, 0]]))[0] > 0


def body() -> Body:
    return Body.draw(np.random.default_rng(0), 60.0, np.array([50.0, 45, 40]), np.zeros(3))


def test_draw_counts_and_sizes():
    options = SpecimenOptions(cysts=5, vessels=3, necroses=4, septa=2)
    found = structures.draw(np.random.default_rng(1), body(), options)
    count = {kind: sum(s.kind == kind for s in found) for kind in KINDS}
    assert count == {"septum": 2, "necrosis": 4, "wall": 0, "cyst": 5, "vessel": 15}
    for tube in found:
        if isinstance(tube, Tube):
            assert 2.0 <= 2.0 * tube.radius_mm <= 6.0


def test_none_at_all():
    options = SpecimenOptions(cysts=0, vessels=0, necroses=0, septa=0)
    found = structures.draw(np.random.default_rng(1), body(), options)
    assert found == ()
    assert all(not share.any() for share in membership(found, np.zeros((4, 3))).values())


@given(seed=st.integers(0, 2**32 - 1))
def test_membership_of_many_points_equals_that_of_each(seed):
    rng = np.random.default_rng(seed)
    found = structures.draw(np.random.default_rng(1), body(), SpecimenOptions())
    points = rng.uniform(-20, 20, (20, 3))
    together = membership(found, points)
    for kind in KINDS:
        apart = [membership(found, point[None])[kind][0] for point in points[:4]]
        np.testing.assert_allclose(together[kind][:4], apart, atol=1e-12)
        assert together[kind].min() >= 0.0
        assert together[kind].max() <= 1.0


def test_lumen_has_a_wall_around_it_and_nothing_further_out():
    tube = Tube("cyst", np.array([[0.0, 0, 0], [0.1, 0, 0]]), 2.0)
    share = membership((tube,), np.array([[0.0, 0, 0], [0.0, 2.15, 0], [0.0, 3.0, 0]]))
    assert share["cyst"].tolist() == pytest.approx([1.0, 0.0, 0.0])
    assert share["wall"].tolist() == pytest.approx([1.0, 1.0, 0.0])


def test_no_points():
    assert membership((), np.empty((0, 3)))["cyst"].shape == (0,)

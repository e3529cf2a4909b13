"""Planes without a mould: parallel to the slices, evenly about the middle, on the specimen."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from comould.errors import InputError
from comould.phantom.planning import plan_slices, spread_over
from comould.space import Grid


def box(angle=(0.0, 0.0, 0.0), slices=20, thickness=3.0) -> sitk.Image:
    """A block 5 × 7 voxels wide and so many slices high, in a turned grid."""
    from comould.phantom.shape import rotation

    array = np.zeros((slices + 6, 15, 13), dtype=np.uint8)
    array[3 : 3 + slices, 4:11, 4:9] = 1
    return Grid((13, 15, slices + 6), (1.0, 0.8, thickness), (12.0, -7.0, 90.0), rotation(np.array(angle))).to_image(
        array
    )


@settings(max_examples=15)
@given(
    angle=st.tuples(*[st.floats(-40.0, 40.0)] * 3),
    slices=st.integers(1, 25),
    spacing=st.floats(1.0, 12.0),
)
def test_planes_are_parallel_even_and_centred(angle, slices, spacing):
    mask = box(angle, slices)
    grid = Grid.from_image(mask)
    plan = plan_slices(mask, spacing)
    assert len(plan) == max(int(slices * 3.0 / spacing + 1e-9), 1)
    np.testing.assert_allclose(plan.normal, grid.axes[:, 2], atol=1e-9)
    np.testing.assert_allclose(plan.spacings_mm, spacing, atol=1e-6)
    origins = np.array([plane.origin_mm for plane in plan])
    middle = grid.patient_from_index([[6.0, 7.0, 2.5 + slices / 2.0]])[0]
    np.testing.assert_allclose(origins.mean(axis=0), middle, atol=1e-6)
    for plane in plan:
        np.testing.assert_allclose(plane.u, grid.axes[:, 0], atol=1e-9)
        np.testing.assert_allclose(grid.index_from_patient([plane.origin_mm])[0, 2], plane.image_index, atol=1e-6)
    reach = slices * 3.0 / 2.0 - spacing / 2.0
    assert np.abs((origins - middle) @ plan.normal).max() <= max(reach, 0.0) + 1e-6


def test_every_plane_of_a_phantom_meets_it(small):
    plan = small.plan(6.0)
    assert [plane.id for plane in plan] == [f"P{n + 1:02d}" for n in range(len(plan))]
    cuts = small.cut(plan, image_pixel_um=400.0, spot_pitch_um=4000.0)
    assert len(cuts) == len(plan) >= 4


def test_some_planes_spread_over_all():
    plan = plan_slices(box(), 5.0)
    assert len(plan) == 12
    assert [plane.id for plane in spread_over(plan, 3)] == ["P03", "P07", "P11"]
    assert spread_over(plan, 12) == plan
    assert [plane.id for plane in spread_over(plan, 1)] == ["P07"]
    for count in (0, 13):
        with pytest.raises(InputError, match=f"{count} sections: expected 1 to 12, the planes of the plan"):
            spread_over(plan, count)


@pytest.mark.parametrize("spacing", [0.0, -5.0, float("nan"), True])
def test_impossible_spacing(spacing):
    with pytest.raises(InputError, match=r"spacing_mm: expected 0.5 mm or more"):
        plan_slices(box(), spacing)


def test_empty_mask():
    with pytest.raises(InputError, match="mask: expected a specimen, found no voxel"):
        plan_slices(box() * 0)

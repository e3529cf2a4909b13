"""Anatomical letters and the shapes points may have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.space import DIRECTIONS, Frame, anatomical_letter, as_points


@pytest.mark.parametrize(("name", "vector"), DIRECTIONS.items())
def test_letters_follow_lps(name, vector):
    assert anatomical_letter(vector) == name[0].upper()
    assert anatomical_letter(np.array(vector) * 17.0 + 0.3) == name[0].upper()


@pytest.mark.parametrize("vector", [(0, 0, 0), (np.nan, 0, 1), (1, 0), (np.inf, 0, 0)])
def test_no_letter_for_no_direction(vector):
    with pytest.raises(ValueError, match="finite, non-zero vector"):
        anatomical_letter(vector)


@given(st.integers(1, 5), st.sampled_from([2, 3]))
def test_points_become_n_by_3(count, width):
    points = as_points(np.arange(count * width).reshape(count, width))
    assert points.shape == (count, 3)
    assert points.dtype == np.float64
    assert points.flags.c_contiguous
    if width == 2:
        assert not points[:, 2].any()


def test_one_point_and_no_points():
    assert as_points((1, 2)).tolist() == [[1.0, 2.0, 0.0]]
    assert as_points(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("shape", [(3, 4), (2, 2, 2), (4,), (2, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"points are \(n, 3\) or \(n, 2\)"):
        as_points(np.zeros(shape))


def test_frames_are_their_names():
    assert f"{Frame.PATIENT}_from_{Frame.SECTION_PX}" == "patient_from_section_px"
    with pytest.raises(ValueError, match="scanner"):
        Frame("scanner")

"""Section: what it refuses, and where its pixels are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import InputError
from comould.io import Section


def picture(height=4, width=6):
    return np.zeros((height, width, 3), np.uint8)


@given(st.floats(0.1, 20.0), st.floats(1.0, 64.0))
def test_working_pixels_and_slide_millimetres_agree(pixel_size_um, downsample):
    section = Section("S1", picture(), pixel_size_um, downsample)
    x_full = (5 + 0.5) * downsample - 0.5
    (x_mm, y_mm, z_mm) = section.section_mm_from_section_px.apply([[x_full, -0.5]])[0]
    assert x_mm == pytest.approx(section.image_origin_mm + 5 * section.image_pixel_mm)
    assert y_mm == pytest.approx(-pixel_size_um / 2000)
    assert z_mm == 0.0


def test_at_full_resolution_the_first_pixel_is_the_origin():
    section = Section("S1", picture(), 0.5)
    assert section.image_origin_mm == 0.0
    assert section.image_pixel_mm == 0.0005


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((4, 6), np.uint8)}, "not .h, w, 3. uint8"),
        ({"image": np.zeros((4, 6, 4), np.uint8)}, "not .h, w, 3. uint8"),
        ({"image": np.zeros((4, 6, 3))}, "not .h, w, 3. uint8"),
        ({"image": np.zeros((0, 6, 3), np.uint8)}, "has no pixels"),
        ({"pixel_size_um": 0.0}, "pixel_size_um 0.0 is not a positive number"),
        ({"pixel_size_um": float("nan")}, "is not a positive number"),
        ({"downsample": -1.0}, "downsample -1.0 is not"),
        ({"face": "front"}, "face 'front' is not"),
        ({"offset_mm": float("inf")}, "offset_mm inf is not a number"),
    ],
)
def test_impossible_sections_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        Section(**{"id": "S1", "image": picture(), "pixel_size_um": 0.5, **change})


def test_all_problems_at_once():
    with pytest.raises(InputError, match="section 'S1': found 2 problems"):
        Section("S1", picture(), -1.0, 0.0)

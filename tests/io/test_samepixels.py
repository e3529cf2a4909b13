"""Pictures and spots that do not count the same pixels are found out."""

from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData

from comould.errors import ComouldWarning, InputError
from comould.io import Section, check_same_pixels, read_section, read_spots


def section(pixel_size_um=0.5, downsample=16.0):
    return Section("S1", np.full((100, 150, 3), 230, np.uint8), pixel_size_um, downsample)


def spots(points=None, pixel_size_um=0.5, n=200):
    rng = np.random.default_rng(0)
    data = AnnData(np.ones((n if points is None else len(points), 1), np.float32))
    data.obsm["spatial"] = rng.uniform([100, 200], [2300, 1500], (n, 2)) if points is None else np.array(points, float)
    data.uns["comould"] = {"pixel_size_um": pixel_size_um}
    return data


@pytest.mark.parametrize("size", [0.5, 0.49, 0.514])
def test_pixels_that_agree_pass(size):
    check_same_pixels(section(), spots(pixel_size_um=size))


@pytest.mark.parametrize(
    ("size", "told"), [(5.0, "10 times as large"), (0.05, "10 times smaller"), (0.53, "1.06 times as large")]
)
def test_pixel_sizes_that_differ_are_both_named(size, told):
    with pytest.raises(InputError, match=rf"found 0.5 µm in the picture and {size:.4g} µm for the spots: {told}"):
        check_same_pixels(section(), spots(pixel_size_um=size))


def test_positions_of_a_larger_picture_lie_outside():
    data = spots()
    data.obsm["spatial"] = data.obsm["spatial"] * 10
    with pytest.raises(InputError, match=r"expected spots on the picture \(2400 × 1600 .* of 200 outside, up to x 2"):
        check_same_pixels(section(), data)


def test_positions_of_a_reduced_picture_are_told():
    data = spots()
    data.obsm["spatial"] = data.obsm["spatial"] / 10
    with pytest.warns(ComouldWarning, match="the spots span only 9 % of the picture"):
        check_same_pixels(section(), data)


def test_few_spots_outside_are_told():
    data = spots()
    data.obsm["spatial"][:3, 0] = -40
    with pytest.warns(ComouldWarning, match="3 of 200 spots lie outside the picture"):
        check_same_pixels(section(), data)


def test_only_the_section_s_own_spots_count():
    data = spots()
    data.obs["section"] = ["S1"] * 150 + ["S2"] * 50
    data.obsm["spatial"][150:] += 1e5
    check_same_pixels(section(), data)
    data.obs["section"] = "S2"
    with pytest.raises(InputError, match="expected spots of this section, found none"):
        check_same_pixels(section(), data)


def test_what_is_missing_is_told():
    data = spots()
    data.obsm["spatial"][7] = np.nan
    with pytest.raises(InputError, match="expected finite positions, found 1 spots without"):
        check_same_pixels(section(), data)
    data = spots()
    data.uns.clear()
    with pytest.raises(InputError, match=r"Read them with comould.io.read_spots"):
        check_same_pixels(section(), data)
    del data.obsm["spatial"]
    with pytest.raises(InputError, match=r"expected obsm\[.spatial.\]"):
        check_same_pixels(section(), data)


def test_real_pictures_and_spots(test_data):
    root = test_data / "her2st"
    data = read_spots(root / "counts" / "C2.tsv.gz", positions=root / "spots" / "C2_selection.tsv", pitch_um=200)
    size = data.uns["comould"]["pixel_size_um"]
    found = read_section(root / "images" / "C2.jpg", id="C2", pixel_size_um=size, resolution_um=32)
    check_same_pixels(found, data)
    with pytest.raises(InputError, match="10 times smaller"):
        check_same_pixels(replace(found, pixel_size_um=10 * size), data)

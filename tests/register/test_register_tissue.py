import numpy as np
import pytest

from comould.errors import RegistrationError
from comould.io.section import Section
from comould.register import section_raster, tissue_mask


def disc(n=300, radius=80, ground=(240, 240, 240), tissue=(170, 90, 160), centre=(150, 140)):
    rows, columns = np.indices((n, n))
    inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    image = np.where(inside[..., None], tissue, ground)
    noise = np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), inside


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("ground", [(240, 240, 240), (230, 215, 235), (3, 3, 3)])
@pytest.mark.parametrize("tissue", [(170, 90, 160), (120, 120, 120), (200, 150, 190)])
def test_tissue_is_found_on_white_pink_and_black(ground, tissue):
    image, inside = disc(ground=ground, tissue=tissue)
    assert dice(tissue_mask(image), inside) > 0.98


def test_holes_belong_to_the_tissue_and_specks_do_not():
    image, inside = disc()
    image[140:155, 120:135] = 242
    image[10:14, 10:14] = (150, 60, 140)
    found = tissue_mask(image)
    assert found[147, 127]
    assert not found[5:20, 5:20].any()
    assert dice(found, inside) > 0.98


def test_two_pieces_are_both_kept():
    image, inside = disc(radius=60, centre=(90, 90))
    other, second = disc(radius=30, centre=(230, 230))
    both = np.where(second[..., None], other, image)
    assert dice(tissue_mask(both), inside | second) > 0.97


def test_large_picture_gives_a_mask_of_its_own_size():
    image, inside = disc(n=1501, radius=400, centre=(700, 720))
    found = tissue_mask(image)
    assert found.shape == (1501, 1501)
    assert dice(found, inside) > 0.98


@pytest.mark.parametrize("value", [255, 240, 0])
def test_blank_slide_is_refused(value):
    noise = np.random.default_rng(1).normal(0, 2, (200, 220, 3))
    blank = np.clip(value + noise, 0, 255).astype(np.uint8)
    with pytest.raises(RegistrationError, match=r"section 'S7': .*(blank slide|tissue on)"):
        tissue_mask(blank, subject="section 'S7'")


def test_channels_are_standardised_and_lie_where_the_slide_is():
    image, inside = disc(n=200, radius=60, centre=(100, 90))
    image[:, :90] = np.where(inside[:, :90, None], (90, 60, 150), image[:, :90])
    section = Section("S1", image, pixel_size_um=25.0, downsample=4.0)
    raster = section_raster(section, 0.21)
    assert raster.spacing_mm == pytest.approx(0.2)
    values = raster.channels[0][raster.mask]
    assert abs(values.mean()) < 0.1
    assert 0.8 < values.std() < 1.3
    # Working pixel (x, y) has its centre at full-resolution pixel (x + 0.5) * 4 - 0.5 of 25 µm.
    expected = (np.array([90, 100]) + 0.5) * 0.1 - 0.0125
    np.testing.assert_allclose(raster.centroid_mm, expected, atol=0.1)
    assert np.isfinite(raster.channels).all()

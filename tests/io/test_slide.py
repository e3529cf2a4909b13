"""Section images: every format gives the same picture, at the size asked for, with a pixel size that is known."""

import tracemalloc

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comould.errors import ComouldWarning, InputError
from comould.io import read_section
from comould.io._slide_pixels import Block, BlockMean, rgb

UM = {"pixel_size_um": 0.5}
CM_05 = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}


def painting(height=240, width=330, seed=0):
    """A smooth, asymmetric picture with a tissue-coloured patch."""
    y, x = np.mgrid[:height, :width].astype(float)
    colours = [120 + 100 * np.sin(x / 40 + seed), 90 + 80 * np.cos(y / 30), 60 + 0.5 * x]
    image = np.stack(colours, axis=-1).clip(0, 255).astype(np.uint8)
    image[20:60, 30:120] = (200, 80, 160)
    return image


def shrunk(image, factor):
    """Block means over whole cells, the partial ones at the border included."""
    height, width = image.shape[:2]
    rows, columns = np.arange(0, height, factor), np.arange(0, width, factor)
    sums = np.add.reduceat(np.add.reduceat(image.astype(float), rows, axis=0), columns, axis=1)
    counts = np.diff([*rows, height])[:, None] * np.diff([*columns, width])[None, :]
    return np.rint(sums / counts[:, :, None]).astype(np.uint8)


# --- averaging -----------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 40), st.floats(1.0, 9.0), st.integers(3, 17), st.integers(0, 99))
def test_means_do_not_depend_on_how_the_picture_is_cut_up(height, width, factor, tile, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    whole = BlockMean(width, height, factor, np.uint8)
    whole.add(Block(picture, 0, 0))
    tiled = BlockMean(width, height, factor, np.uint8)
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            padded = np.zeros((tile, tile, 3), np.uint8)
            part = picture[y : y + tile, x : x + tile]
            padded[: part.shape[0], : part.shape[1]] = part
            tiled.add(Block(padded, y, x))
    assert np.abs(whole.image().astype(int) - tiled.image()).max() <= 1
    assert whole.image().shape[:2] == tiled.image().shape[:2]


@given(st.integers(5, 60), st.integers(5, 60), st.floats(1.0, 7.0), st.integers(0, 255))
def test_an_even_colour_stays_what_it_is(height, width, factor, grey):
    mean = BlockMean(width, height, factor, np.uint8)
    mean.add(Block(np.full((height, width, 3), grey, np.uint8), 0, 0))
    assert np.abs(mean.image().astype(int) - grey).max() <= (1 if grey else 0)


@given(st.floats(1.0, 6.0))
def test_fractional_cells_keep_positions(factor):
    """The centroid of a blob, read back with the stated convention, is where it was."""
    y, x = np.mgrid[:90, :120]
    weight = 200.0 * np.exp(-((x - 70.3) ** 2 + (y - 38.6) ** 2) / (2 * 12.0**2))
    mean = BlockMean(120, 90, factor, np.uint8)
    mean.add(Block(np.repeat(np.rint(weight).astype(np.uint8)[:, :, None], 3, 2), 0, 0))
    small = mean.image()[:, :, 0].astype(float)
    full = np.rint(weight)
    # The last cells are cut by the border and stand for less than a cell; the blob is dark there.
    rows, columns = (np.arange(n) for n in small.shape)
    x_full = ((columns + 0.5) * factor - 0.5) @ small.sum(axis=0) / small.sum()
    y_full = ((rows + 0.5) * factor - 0.5) @ small.sum(axis=1) / small.sum()
    assert x_full == pytest.approx((full * x).sum() / full.sum(), abs=0.25)
    assert y_full == pytest.approx((full * y).sum() / full.sum(), abs=0.25)


def test_transparency_is_laid_on_white():
    pixels = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [100, 100, 100, 51]]], np.uint8)
    assert rgb(pixels, alpha="straight").tolist() == [[[255, 255, 255], [10, 20, 30], [224, 224, 224]]]
    assert rgb(pixels, alpha="premultiplied").tolist()[0][2] == [255, 255, 255]
    assert rgb(pixels).tolist()[0][2] == [100, 100, 100]
    assert rgb(np.array([[[7, 0]]], np.uint8), alpha="straight").tolist() == [[[255, 255, 255]]]


# --- formats -------------------------------------------------------------------------------------------------------


def write(kind, path, image):
    options = {"photometric": "rgb", **CM_05}
    if kind == "tiled":
        tifffile.imwrite(path, image, tile=(64, 64), compression="deflate", **options)
    elif kind == "strips":
        tifffile.imwrite(path, image, rowsperstrip=7, compression="lzw", **options)
    elif kind == "planar":
        tifffile.imwrite(path, np.moveaxis(image, -1, 0), planarconfig="separate", tile=(32, 32), **options)
    elif kind == "bigtiff":
        tifffile.imwrite(path, image, bigtiff=True, byteorder=">", **options)
    elif kind == "png":
        Image.fromarray(image).save(path, "PNG")
    elif kind == "ome":
        metadata = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        tifffile.imwrite(path, image, ome=True, photometric="rgb", metadata=metadata, tile=(64, 64))
    elif kind == "ome_channels":
        metadata = {"axes": "CYX", "PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 5e-4}
        metadata["PhysicalSizeYUnit"] = "mm"
        tifffile.imwrite(path, np.moveaxis(image, -1, 0), ome=True, photometric="minisblack", metadata=metadata)
    elif kind == "imagej":
        tifffile.imwrite(
            path, image[None, None], imagej=True, resolution=(2, 2), metadata={"unit": "um", "axes": "ZCYXS"}
        )
    return path


KINDS = ["tiled", "strips", "planar", "bigtiff", "png", "ome", "ome_channels", "imagej"]


@pytest.mark.parametrize("kind", KINDS)
def test_formats_without_loss_give_the_same_section(tmp_path, kind):
    image = painting()
    # The suffix says nothing: files are told apart by their content.
    path = write(kind, tmp_path / "section.img", image)
    stated = UM if kind == "png" else {}
    full = read_section(path, id="S1", resolution_um=0.1, **stated)
    assert (full.id, full.downsample, full.pixel_size_um) == ("S1", 1.0, 0.5)
    np.testing.assert_array_equal(full.image, image)
    small = read_section(path, id="S1", resolution_um=4.0, **stated)
    assert small.downsample == 8.0
    assert small.image_pixel_mm == pytest.approx(0.004)
    assert np.abs(small.image.astype(int) - shrunk(image, 8)).max() <= 1


def test_where_the_section_was_taken_is_kept(tmp_path):
    path = write("tiled", tmp_path / "s.tif", painting())
    section = read_section(path, id="S1", plane_id="P03", face="+", offset_mm=0.3)
    assert (section.plane_id, section.face, section.offset_mm) == ("P03", "+", 0.3)
    assert section.downsample == 16.0


@pytest.mark.parametrize("quality", [95, 60])
@pytest.mark.parametrize("resolution_um", [0.5, 1.3, 3.0, 6.0])
def test_jpeg_decoded_small_is_the_picture_decoded_whole(tmp_path, quality, resolution_um):
    image = painting(301, 407)
    Image.fromarray(image).save(tmp_path / "s.jpg", quality=quality)
    section = read_section(tmp_path / "s.jpg", id="S1", resolution_um=resolution_um, **UM)
    assert section.downsample == pytest.approx(max(1.0, resolution_um / 0.5))
    with Image.open(tmp_path / "s.jpg") as picture:
        decoded = np.asarray(picture.convert("RGB"))
    mean = BlockMean(407, 301, section.downsample, np.uint8)
    mean.add(Block(decoded, 0, 0))
    expected = mean.image()
    assert section.image.shape == expected.shape
    difference = np.abs(section.image.astype(float) - expected)
    assert np.median(difference) <= 1.0
    assert difference.mean() < 2.0


def test_pyramid_levels_are_used_and_their_true_factors_kept(tmp_path):
    image = painting(1000, 1303)
    # Levels of other colours tell which one was read.
    levels = [np.full((500, 651, 3), 50, np.uint8), np.full((250, 325, 3), 100, np.uint8)]
    for name, subifds in (("sub.tif", True), ("pages.tif", False)):
        with tifffile.TiffWriter(tmp_path / name) as tif:
            tif.write(image, tile=(128, 128), photometric="rgb", subifds=2 if subifds else 0, metadata=None, **CM_05)
            for level in levels:
                tif.write(level, tile=(128, 128), photometric="rgb", subfiletype=1, metadata=None)
        for resolution_um, grey, downsample in ((1.0, 50, 2.0), (1.9, 50, 3.8), (2.0, 100, 4.0), (8.0, 100, 16.0)):
            section = read_section(tmp_path / name, id="S1", resolution_um=resolution_um)
            assert section.downsample == pytest.approx(downsample)
            assert np.abs(section.image.astype(int) - grey).max() <= 1
        assert read_section(tmp_path / name, id="S1", resolution_um=0.9).image.std() > 10


def test_a_label_picture_is_not_taken_for_the_section(tmp_path):
    with tifffile.TiffWriter(tmp_path / "s.tif") as tif:
        tif.write(np.zeros((40, 60, 3), np.uint8), photometric="rgb", metadata=None)
        tif.write(painting(), photometric="rgb", metadata=None, **CM_05)
    section = read_section(tmp_path / "s.tif", id="S1", resolution_um=0.5)
    np.testing.assert_array_equal(section.image, painting())


def test_grey_palette_white_is_zero_and_bilevel(tmp_path):
    grey = painting()[:, :, 0]
    table = (np.arange(256, dtype=np.uint16)[None, ::-1] * 257).repeat(3, axis=0)
    pictures = {
        "minisblack": ({"data": grey, "photometric": "minisblack"}, grey),
        "miniswhite": ({"data": grey, "photometric": "miniswhite"}, 255 - grey),
        "palette": ({"data": grey, "photometric": "palette", "colormap": table}, 255 - grey),
        "bilevel": ({"data": grey > 100, "photometric": "minisblack"}, (grey > 100) * np.uint8(255)),
    }
    for name, (options, expected) in pictures.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", **options, **CM_05)
        section = read_section(tmp_path / f"{name}.tif", id="S1", resolution_um=0.5)
        np.testing.assert_array_equal(section.image, np.repeat(expected[:, :, None], 3, 2), err_msg=name)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_png_modes(tmp_path, mode):
    Image.fromarray(painting()).convert(mode).save(tmp_path / "s.png")
    section = read_section(tmp_path / "s.png", id="S1", resolution_um=0.5, **UM)
    with Image.open(tmp_path / "s.png") as picture:
        np.testing.assert_array_equal(section.image, np.asarray(picture.convert("RGB")))


def test_transparent_background_becomes_white(tmp_path):
    image = np.dstack([painting(), np.zeros((240, 330), np.uint8)])
    image[20:60, 30:120, 3] = 255
    Image.fromarray(image).save(tmp_path / "s.png")
    tifffile.imwrite(tmp_path / "s.tif", image, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64))
    for name in ("s.png", "s.tif"):
        section = read_section(tmp_path / name, id="S1", resolution_um=0.5, **UM)
        assert section.image[40, 60].tolist() == [200, 80, 160]
        assert section.image[200, 300].tolist() == [255, 255, 255]
    tifffile.imwrite(tmp_path / "x.tif", image, photometric="rgb", extrasamples=["unspecified"])
    with pytest.warns(ComouldWarning, match="not declared as transparency and is dropped"):
        section = read_section(tmp_path / "x.tif", id="S1", resolution_um=0.5, **UM)
    np.testing.assert_array_equal(section.image, image[:, :, :3])


def test_sixteen_bits_are_scaled_by_their_range_and_never_stretched(tmp_path):
    image = painting().astype(np.uint16)
    full = image * 257
    full[0, 0] = 65535
    tifffile.imwrite(tmp_path / "16.tif", full, photometric="rgb", **CM_05)
    section = read_section(tmp_path / "16.tif", id="S1", resolution_um=0.5)
    np.testing.assert_array_equal(section.image[5:], image[5:])
    tifffile.imwrite(tmp_path / "12.tif", image * 16, photometric="rgb", **CM_05)
    Image.fromarray(image[:, :, 0] * 16).save(tmp_path / "12.png")
    for name, stated in (("12.tif", {}), ("12.png", UM)):
        with pytest.warns(ComouldWarning, match=r"taken as 12-bit and scaled to 8-bit"):
            section = read_section(tmp_path / name, id="S1", resolution_um=4.0, **stated)
        expected = shrunk(image, 8)[:, :, 0] * 255.0 * 16 / 4095
        assert np.abs(section.image[:, :, 0] - expected).max() <= 1.5


def test_orientation_tags_are_told_and_not_applied(tmp_path):
    image = painting()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / "s.jpg", quality=95, exif=exif)
    tifffile.imwrite(tmp_path / "s.tif", image, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    for name in ("s.jpg", "s.tif"):
        with pytest.warns(ComouldWarning, match=r"its orientation tag \(6\) is not applied, pixels stay as stored"):
            section = read_section(tmp_path / name, id="S1", resolution_um=0.5, **UM)
        assert section.image.shape == image.shape
        assert np.abs(section.image.astype(int) - image).mean() < 3


# --- pixel size ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dpi", [72, 96, 300, 600, 1200])
def test_printing_resolutions_are_no_pixel_size(tmp_path, dpi):
    tifffile.imwrite(tmp_path / "s.tif", painting(), photometric="rgb", resolution=(dpi, dpi), resolutionunit="INCH")
    with pytest.raises(InputError, match=f"found resolution tags of {dpi} dpi.* Give pixel_size_um="):
        read_section(tmp_path / "s.tif", id="S1")
    assert read_section(tmp_path / "s.tif", id="S1", pixel_size_um=0.5).pixel_size_um == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no resolution tags|resolution tags"),
        ({"resolution": (20000, 20000), "resolutionunit": "NONE"}, "without a unit"),
        ({"ome": True, "metadata": {"axes": "YXS"}}, "no PhysicalSizeX and PhysicalSizeY in the OME-XML"),
        (
            {
                "ome": True,
                "metadata": {"axes": "YXS", "PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 1},
            },
            "unit 'pixel' is no length",
        ),
    ],
)
def test_no_pixel_size_is_an_error_that_says_how_to_give_it(tmp_path, options, message):
    tifffile.imwrite(tmp_path / "s.tif", painting(), photometric="rgb", **options)
    with pytest.raises(
        InputError, match=rf"pixel size of s.tif: expected a size in µm, found .*({message}).*Give pixel"
    ):
        read_section(tmp_path / "s.tif", id="S1")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_png_and_jpeg_never_state_a_pixel_size(tmp_path, suffix):
    Image.fromarray(painting()).save(tmp_path / f"s.{suffix}", dpi=(50800, 50800))
    with pytest.raises(InputError, match="PNG and JPEG carry no trustworthy one"):
        read_section(tmp_path / f"s.{suffix}", id="S1")


def test_stated_and_stored_pixel_sizes_must_agree(tmp_path):
    path = write("ome", tmp_path / "s.tif", painting())
    assert read_section(path, id="S1", pixel_size_um=0.51).pixel_size_um == 0.51
    with pytest.raises(InputError, match=r"expected 0.5 µm as in the PhysicalSizeX of the OME-XML .*found 0.52 µm"):
        read_section(path, id="S1", pixel_size_um=0.52)


def test_oblong_pixels_are_refused(tmp_path):
    for ratio, fine in ((1.005, True), (1.02, False)):
        resolution = (20000, 20000 * ratio)
        tifffile.imwrite(tmp_path / "s.tif", painting(), resolution=resolution, resolutionunit="CENTIMETER")
        if fine:
            assert read_section(tmp_path / "s.tif", id="S1").pixel_size_um == pytest.approx(0.5, rel=0.005)
        else:
            with pytest.raises(InputError, match=r"expected square pixels .within 1 %., found 0.5 × 0.4902 µm"):
                read_section(tmp_path / "s.tif", id="S1")


@pytest.mark.parametrize("name", ["pixel_size_um", "resolution_um"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_sizes_are_positive(tmp_path, name, value):
    with pytest.raises(InputError, match=f"{name} of section 'S1': expected a positive number"):
        read_section(tmp_path / "s.png", id="S1", **{name: value})


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": np.zeros((5, 64, 64), np.uint8), "metadata": {"axes": "ZYX"}, "ome": True}, "found 5 along Z"),
        ({"data": np.zeros((5, 64, 64), np.uint8), "metadata": {"axes": "CYX"}, "ome": True}, "found 5 channels"),
        ({"data": np.zeros((64, 64), np.float32)}, "expected 8- or 16-bit unsigned pixels, found float32"),
        ({"data": np.zeros((64, 64, 4), np.uint8), "photometric": "separated"}, "found SEPARATED"),
    ],
)
def test_pictures_of_another_kind_are_refused(tmp_path, options, message):
    tifffile.imwrite(tmp_path / "s.tif", **{"photometric": "minisblack", **options})
    with pytest.raises(InputError, match=message):
        read_section(tmp_path / "s.tif", id="S1", **UM)


def test_missing_foreign_and_damaged_files(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.tif").write_text("no picture")
    good = write("tiled", tmp_path / "good.tif", painting()).read_bytes()
    (tmp_path / "cut.tif").write_bytes(good[: len(good) // 2])
    Image.fromarray(painting()).save(tmp_path / "good.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:900])
    Image.fromarray(painting()).save(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:900])
    for name, message in {
        "none.svs": "expected an image file, found no file",
        ".": "expected an image file, found a folder",
        "empty.png": "found an empty file",
        "text.tif": "expected SVS, OME-TIFF, TIFF, PNG or JPEG, found another format",
        "cut.tif": "expected",
        "cut.jpg": "expected a readable picture",
        "cut.png": "expected a readable picture",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            read_section(tmp_path / name, id="S1", **UM)
        assert "\n" not in str(caught.value)


# --- memory and real slides ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [{"tile": (256, 256)}, {"rowsperstrip": 16}])
def test_memory_stays_far_below_the_full_slide(tmp_path, layout):
    side = 3072
    image = np.tile(painting(512, 512), (side // 512, side // 512, 1))
    tifffile.imwrite(tmp_path / "s.tif", image, photometric="rgb", compression="deflate", **CM_05, **layout)
    size = image.nbytes
    expected = shrunk(image, 16)
    del image
    tracemalloc.start()
    section = read_section(tmp_path / "s.tif", id="S1")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.abs(section.image.astype(int) - expected).max() <= 1
    assert peak < size / 5, f"{peak / 1e6:.0f} MB for a slide of {size / 1e6:.0f} MB"


def test_aperio_slide(test_data):
    path = test_data / "svs_small" / "cmu-1-small-region.svs"
    full = read_section(path, id="CMU", resolution_um=0.4)
    assert full.pixel_size_um == pytest.approx(0.499)
    assert full.image.shape == (2967, 2220, 3)
    section = read_section(path, id="CMU")
    assert section.image_pixel_mm == pytest.approx(0.008)
    np.testing.assert_allclose(section.image.mean((0, 1)), full.image.mean((0, 1)), atol=0.6)
    tiffslide = pytest.importorskip("tiffslide")
    with tiffslide.TiffSlide(path) as slide:
        patch = slide.read_region((700, 900), 0, (64, 48), as_array=True)
    np.testing.assert_array_equal(full.image[900:948, 700:764], patch)
    with pytest.raises(InputError, match="as in the mpp of the aperio metadata"):
        read_section(path, id="CMU", pixel_size_um=0.25)


def test_large_histology_jpeg_is_no_bomb(test_data):
    section = read_section(test_data / "her2st" / "images" / "C2.jpg", id="C2", pixel_size_um=0.688)
    assert section.image_pixel_mm == pytest.approx(0.008)
    assert section.image.shape[0] == pytest.approx(9911 / section.downsample, abs=1)
    # Tissue in the middle, bright glass around it.
    assert section.image[:40, :40].mean() > 200
    assert section.image.min() < 120

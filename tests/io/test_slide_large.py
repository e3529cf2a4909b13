"""Whole slides of 100,000 × 100,000 pixels pass through bounded memory in seconds, with or without a pyramid."""

import itertools
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from comould.errors import InputError
from comould.io import read_section

SIDE, TILE, STEP = 100_000, 1024, 97
UM = 0.25


def slide(path, steps, *, side=SIDE, every=STEP, compression="zlib"):
    """A slide whose levels are ``steps`` apart: one tile in 97 is tissue, the rest is absent.

    A tile of a coarse level shows what the full resolution shows there, so that every level gives the same picture.
    """
    options = {"tile": (TILE, TILE), "photometric": "rgb", "compression": compression, "dtype": np.uint8}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for level, step in enumerate(steps):
            n = -(-side // step)
            count = -(-n // TILE)
            tiles = (level_tile(r, c, step, every) for r, c in itertools.product(range(count), repeat=2))
            extra = {"subfiletype": 1} if level else {"subifds": len(steps) - 1 if len(steps) > 1 else None}
            density = 1e4 / (UM * step)
            writer.write(
                tiles,
                shape=(n, n, 3),
                resolution=(density, density),
                resolutionunit="CENTIMETER",
                metadata=None,
                **options,
                **extra,
            )
    return path


def level_tile(row, column, step, every):
    if step == 1:
        if (row + 2 * column) % every:
            return None
        return np.broadcast_to(np.array(colour(row, column), np.uint8), (TILE, TILE, 3)).copy()
    blank = None
    for r, c in itertools.product(range(row * step, (row + 1) * step), range(column * step, (column + 1) * step)):
        if not (r + 2 * c) % every:
            blank = np.full((TILE, TILE, 3), 255, np.uint8) if blank is None else blank
            y, x = (slice(int((n % step) * TILE / step), int((n % step + 1) * TILE / step)) for n in (r, c))
            blank[y, x] = colour(r, c)
    return blank


def colour(row, column):
    return (200 - row, 30 + column, 90)


def check_against_truth(section, side=SIDE, every=STEP):
    """The middles of all full-resolution tiles have the colour they were given."""
    count = -(-side // TILE)
    rows, columns = (n.ravel() for n in np.mgrid[:count, :count])
    centres = (np.stack([rows, columns]) + 0.5) * TILE
    inside = (centres < side - TILE).all(axis=0)
    y, x = (centres / section.downsample).astype(int)
    found = section.image[y[inside], x[inside]].astype(int)
    tiles = zip(rows, columns, strict=True)
    expected = np.array([(255,) * 3 if (r + 2 * c) % every else colour(r, c) for r, c in tiles])[inside]
    assert (expected < 255).any()
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize(
    "steps",
    [(1, 4, 16, 64), pytest.param((1, 64), marks=pytest.mark.slow), pytest.param((1,), marks=pytest.mark.slow)],
    ids=["pyramid", "huge step", "flat"],
)
def test_a_slide_of_ten_thousand_megapixels(tmp_path, steps):
    """30 GB of pixels; the working picture of 3125 × 3125 takes 29 MB, its sums 117 MB."""
    path = slide(tmp_path / "slide.tif", steps)
    start = time.perf_counter()
    section = read_section(path, id="S1")
    assert time.perf_counter() - start < 20
    assert section.image.shape == (3125, 3125, 3)
    assert section.downsample == 32.0
    assert section.pixel_size_um == pytest.approx(UM)
    check_against_truth(section)


def test_memory_holds_the_working_picture_and_a_tile(tmp_path):
    path = slide(tmp_path / "slide.tif", (1,), side=40_960, every=97)
    read_section(path, id="S1", resolution_um=200)
    tracemalloc.start()
    section = read_section(path, id="S1", resolution_um=40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert section.image.shape == (256, 256, 3)
    # 5 GB of pixels: a decoded tile is 3 MB, and 12 as float32 while it is averaged.
    assert peak < 40e6


def test_the_step_between_levels_does_not_change_the_picture(tmp_path):
    pictures = [
        read_section(slide(tmp_path / f"{n}.tif", steps, side=16_384, every=29), id="S1", resolution_um=16).image
        for n, steps in enumerate([(1, 4, 16), (1, 16), (1, 128), (1,)])
    ]
    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture, pictures[0])


def test_a_request_for_all_of_it_is_refused_before_it_is_tried(tmp_path):
    path = slide(tmp_path / "slide.tif", (1,), every=9973)
    with pytest.raises(InputError, match=r"found 100000 × 100000. Give a larger resolution_um"):
        read_section(path, id="S1", resolution_um=UM)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak of a process is read from Linux' /proc")
def test_peak_of_a_whole_process(tmp_path):
    """Filled to the last tile, 38,416 JPEG tiles: everything a process needs, libraries included."""
    imagecodecs = pytest.importorskip("imagecodecs")
    tile = np.kron(np.random.default_rng(0).integers(100, 255, (32, 32, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    data = imagecodecs.jpeg8_encode(tile, level=60, colorspace="RGB", outcolorspace="YCbCr")
    path = tmp_path / "full.tif"
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(
            (data for _ in range(196 * 196)),
            shape=(SIDE, SIDE, 3),
            dtype=np.uint8,
            tile=(512, 512),
            photometric="ycbcr",
            subsampling=(2, 2),
            compression="jpeg",
            resolution=(1e4 / UM, 1e4 / UM),
            resolutionunit="CENTIMETER",
            metadata=None,
        )
    code = (
        "import pathlib, re, sys; from comould.io import read_section; "
        "s = read_section(sys.argv[1], id='S1'); "
        "status = pathlib.Path('/proc/self/status').read_text(); "
        "print(s.image.shape[0], int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024)"
    )
    out = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    size, peak_mb = (int(word) for word in out.stdout.split())
    assert size == 3125
    assert peak_mb < 400

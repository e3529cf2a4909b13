"""Drawn tissue: masks of any size and QuPath polygons land on the right working pixels."""

import json

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comould.errors import InputError
from comould.io import Section, read_section, read_tissue

ROWS, COLUMNS, DOWNSAMPLE = 60, 90, 4.0


def section(rows=ROWS, columns=COLUMNS, downsample=DOWNSAMPLE):
    return Section("S1", np.full((rows, columns, 3), 240, np.uint8), 0.5, downsample)


def inside(shape, rows=ROWS, columns=COLUMNS, downsample=DOWNSAMPLE):
    """Truth: where the centres of working pixels, in full-resolution px from the corner, fulfil ``shape(x, y)``."""
    y, x = np.mgrid[:rows, :columns]
    return shape((x + 0.5) * downsample, (y + 0.5) * downsample)


def disc(x, y):
    return (x - 150) ** 2 + (y - 110) ** 2 < 70**2


def feature(coordinates, kind="Polygon", **properties):
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


def ring(centre, radius, corners=400):
    angle = np.linspace(0, 2 * np.pi, corners)
    return (np.array(centre) + radius * np.column_stack([np.cos(angle), np.sin(angle)])).tolist()


def geojson(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


@pytest.mark.parametrize("scale", [4.0, 1.0, 2.0, 8.0, 1.3, 0.37])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_masks_of_any_size_are_scaled(tmp_path, scale, suffix):
    """A mask drawn at ``scale`` mask pixels per working pixel."""
    rows, columns = round(ROWS * scale), round(COLUMNS * scale)
    y, x = np.mgrid[:rows, :columns]
    full = DOWNSAMPLE / scale
    mask = disc((x + 0.5) * full, (y + 0.5) * full).astype(np.uint8) * 255
    path = tmp_path / f"m{suffix}"
    if suffix == ".png":
        Image.fromarray(mask).save(path)
    else:
        tifffile.imwrite(path, mask, compression="deflate")
    found = read_tissue(path, section())
    truth = inside(disc)
    assert found.dtype == np.bool_
    assert found.shape == truth.shape
    if scale in {1.0}:
        np.testing.assert_array_equal(found, truth)
    # Only pixels at the rim may differ, by the mask's own coarseness.
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > (0.99 if scale >= 1 else 0.95)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "uint16"])
def test_masks_of_every_kind(tmp_path, mode):
    truth = inside(disc)
    mask = truth.astype(np.uint8)
    path = tmp_path / "m.png"
    if mode == "uint16":
        Image.fromarray(mask.astype(np.uint16) * 60000).save(path)
    elif mode == "P":
        picture = Image.fromarray(mask, "L").convert("P")
        picture.putdata(mask.ravel().tolist())
        picture.save(path)
    elif mode == "RGBA":
        Image.fromarray(np.dstack([mask * 200, mask * 0, mask * 10, np.full_like(mask, 255)])).save(path)
    elif mode == "RGB":
        Image.fromarray(np.dstack([mask * 255] * 3)).save(path)
    else:
        Image.fromarray(mask * 255).convert(mode).save(path)
    np.testing.assert_array_equal(read_tissue(path, section()), truth)


def test_polygons_with_holes_and_islands(tmp_path):
    path = geojson(
        tmp_path / "t.geojson",
        feature([ring((150, 110), 70), ring((150, 110), 30)], objectType="annotation"),
        feature([[ring((150, 110), 15)], [ring((310, 60), 25)]], "MultiPolygon", classification={"name": "Tumor"}),
    )

    def truth(x, y):
        r = np.hypot(x - 150, y - 110)
        return ((r < 70) & (r > 30)) | (r < 15) | (np.hypot(x - 310, y - 60) < 25)

    found = read_tissue(path, section())
    assert (found != inside(truth)).sum() <= 2


def test_overlapping_polygons_are_joined_not_cut_out(tmp_path):
    path = geojson(tmp_path / "t.geojson", feature([ring((150, 110), 70)]), feature([ring((170, 110), 70)]))
    truth = inside(lambda x, y: disc(x, y) | disc(x - 20, y))
    assert (read_tissue(path, section()) != truth).sum() <= 4


@given(
    st.floats(1.0, 9.0), st.integers(0, 40), st.integers(0, 20), st.integers(5, 40), st.integers(5, 35), st.booleans()
)
def test_rectangles_cover_the_pixels_whose_centres_they_hold(tmp_path_factory, downsample, x, y, width, height, swap):
    left, top, right, bottom = (n * downsample + 0.25 for n in (x, y, x + width, y + height))
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    path = geojson(tmp_path_factory.mktemp("r") / "t.geojson", feature([corners[::-1] if swap else corners]))
    found = read_tissue(path, section(downsample=downsample))
    expected = np.zeros((ROWS, COLUMNS), bool)
    expected[y : y + height, x : x + width] = True
    np.testing.assert_array_equal(found, expected)


def test_read_section_takes_the_mask_along(tmp_path):
    picture = np.full((240, 360, 3), 230, np.uint8)
    Image.fromarray(picture).save(tmp_path / "s.png")
    path = geojson(tmp_path / "t.geojson", feature([ring((150, 110), 70)]))
    found = read_section(tmp_path / "s.png", id="S1", pixel_size_um=2.0, tissue=path)
    assert found.downsample == DOWNSAMPLE
    np.testing.assert_array_equal(found.tissue, read_tissue(path, section()))
    assert read_section(tmp_path / "s.png", id="S1", pixel_size_um=2.0).tissue is None


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((60, 90)), "expected tissue on part of the picture, found no tissue on it"),
        (np.full((60, 90), 255), "found tissue everywhere"),
        (np.eye(60), "expected the picture's aspect ratio .working picture 90 × 60., found 60 × 60"),
        (np.eye(90, 60) * 255, "found 60 × 90"),
        (np.arange(60 * 90).reshape(60, 90) % 256, "expected two values, 0 for no tissue, found 256 values"),
        (np.eye(60, 90) + 3, "found 2 values from 3 to 4"),
    ],
)
def test_masks_that_cannot_be_right_are_refused(tmp_path, mask, message):
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=message):
        read_tissue(tmp_path / "m.png", section())


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            [feature([ring((1000, 900), 50)])],
            "expected polygons on the picture .* found one that reaches 710 px beyond",
        ),
        ([feature([ring((0.2, 0.2), 0.1)])], "found no tissue on it"),
        ([feature([[[0, 0], [400, 0], [400, 400], [0, 400]]])], "found one that reaches"),
        ([feature([[[0, 0], [360, 0], [360, 240], [0, 240]]])], "found tissue everywhere"),
        ([feature([[[0, 0], [1, 1]]], name="line")], "feature 1 .line. with others"),
        ([feature([[[0, 0], [1, None], [3, 3]]])], "feature 1 .unnamed. with others"),
        ([feature([])], "expected polygons of at least 3 finite points"),
        ([feature([1, 2], "Point")], "expected Polygon or MultiPolygon features, found Point"),
    ],
)
def test_polygons_that_cannot_be_right_are_refused(tmp_path, features, message):
    with pytest.raises(InputError, match=message):
        read_tissue(geojson(tmp_path / "t.geojson", *features), section())


def test_files_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(InputError, match="expected PNG, TIFF or GeoJSON, found no file"):
        read_tissue(tmp_path / "none.png", section())
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    with pytest.raises(InputError, match="expected a readable PNG or TIFF"):
        read_tissue(tmp_path / "m.png", section())
    (tmp_path / "m.jpg").write_bytes(b"\xff\xd8\xffrubbish")
    with pytest.raises(InputError, match="expected a readable PNG or TIFF"):
        read_tissue(tmp_path / "m.jpg", section())


def test_huge_masks_are_refused_before_they_are_decoded(tmp_path):
    with tifffile.TiffWriter(tmp_path / "m.tif", bigtiff=True) as writer:
        tile = np.zeros((4096, 4096, 1), np.uint8)
        tiles = (tile if n == 0 else None for n in range(256))
        options = {"photometric": "minisblack", "compression": "zlib"}
        writer.write(tiles, shape=(65536, 65536), dtype=np.uint8, tile=(4096, 4096), **options)
    with pytest.raises(InputError, match="65536 × 65536 pixels, more than a mask needs"):
        read_tissue(tmp_path / "m.tif", section(90, 90))

"""The printed plate is the plate that is looked for: sizes, places and codes to a hundredth of a millimetre."""

import re
import shutil
import subprocess
import zlib

import numpy as np
import pytest

from comould.errors import InputError
from comould.register.photo import MarkerPlate, rectify_photo
from comould.report import write_marker_plate

MM = 72.0 / 25.4
A5 = MarkerPlate.of_size("A5")


def content(pdf):
    """The drawing commands of the first page."""
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        if match[1][:1] == b"x":
            data = zlib.decompressobj().decompress(match[1])
            if b" l\n" in data:
                return data
    pytest.fail("no page found")


def filled(page, height_mm):
    """Filled polygons of the page but its ground, as points in mm, y down."""
    shapes = []
    for block in re.findall(rb"((?:[-\d.]+ [-\d.]+ [ml]\s)+)(?:h\s+)?f\s", page):
        points = np.array(re.findall(rb"([-\d.]+) ([-\d.]+) [ml]", block), dtype=float) / MM
        shapes.append(np.column_stack([points[:, 0], height_mm - points[:, 1]]))
    return [shape for shape in shapes if np.ptp(shape[:, 0]) < 20]


@pytest.mark.parametrize("size", ["A6", "A5", "A4", "A3"])
def test_page_has_the_sheets_size_and_is_not_to_be_scaled(tmp_path, size):
    plate = MarkerPlate.of_size(size)
    pdf = write_marker_plate(tmp_path / "plate.pdf", plate).read_bytes()
    box = [float(v) for v in re.search(rb"/MediaBox\s*\[\s*([\d.\s]+)\]", pdf)[1].split()]
    np.testing.assert_allclose(box[2:], np.array([plate.width_mm, plate.height_mm]) * MM, atol=0.02)
    assert b"/PrintScaling /None" in pdf


def test_dots_and_sectors_lie_where_the_plate_says(tmp_path):
    pdf = write_marker_plate(tmp_path / "plate.pdf", A5).read_bytes()
    shapes = filled(content(pdf), 210.0)
    middles = np.array([0.5 * (shape.min(0) + shape.max(0)) for shape in shapes])
    sizes = np.array([np.ptp(shape, axis=0) for shape in shapes])
    for target in A5.targets:
        here = np.flatnonzero(np.linalg.norm(middles - [target.x_mm, target.y_mm], axis=1) < 0.01)
        dots = [k for k in here if np.allclose(sizes[k], 2 * 0.36 * 6.0, atol=0.01)]
        assert len(dots) == 1
        near = [s for s in shapes if np.abs(np.linalg.norm(s - [target.x_mm, target.y_mm], axis=1) - 5).max() < 1.5]
        black = sum(_turn(s - [target.x_mm, target.y_mm]) for s in near) / (2 * np.pi / 16)
        assert black == pytest.approx(sum(target.code), abs=0.01)


def _turn(shape):
    """Angle that a ring's sector covers, from its area."""
    x, y = shape.T
    area = 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    return 2 * area / (6.0**2 - (0.64 * 6.0) ** 2)


def test_drawn_plate_is_found_without_error(tmp_path):
    """Rasterised from the PDF's own polygons, the plate is read like a photograph from straight above."""
    from skimage.draw import polygon2mask

    pdf = write_marker_plate(tmp_path / "plate.pdf", A5).read_bytes()
    per_mm = 6
    page = np.full((210 * per_mm, 148 * per_mm), 235.0)
    for shape in filled(content(pdf), 210.0):
        page[polygon2mask(page.shape, shape[:, ::-1] * per_mm - 0.5)] = 15
    found = rectify_photo(np.repeat(page[..., None], 3, axis=2).astype(np.uint8), plate=A5)
    assert found.scale.n_targets == 14
    assert found.scale.residual_mm < 0.05
    corner = found.mm_from_photo(np.array([[-0.5, -0.5], [148 * per_mm - 0.5, 210 * per_mm - 0.5]]))
    np.testing.assert_allclose(corner, [[0, 0], [148, 210]], atol=0.05)


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="poppler-utils are not installed")
def test_rasterised_page_is_found(tmp_path):
    from PIL import Image

    pdf = write_marker_plate(tmp_path / "plate.pdf", A5)
    subprocess.run(["pdftoppm", "-r", "150", "-singlefile", "-png", str(pdf), str(tmp_path / "page")], check=True)
    with Image.open(tmp_path / "page.png") as image:
        found = rectify_photo(np.asarray(image.convert("RGB")), plate=A5)
    assert found.scale.n_targets == 14
    assert found.scale.residual_mm < 0.05


def test_svg_is_in_millimetres_and_the_same_each_time(tmp_path):
    first = write_marker_plate(tmp_path / "a.svg", A5).read_bytes()
    assert first == write_marker_plate(tmp_path / "b.svg", A5).read_bytes()
    head = first[:1500].decode()
    width, height = (float(re.search(rf'{side}="([\d.]+)pt"', head)[1]) / MM for side in ("width", "height"))
    np.testing.assert_allclose([width, height], [148, 210], atol=0.01)
    pdfs = [write_marker_plate(tmp_path / f"{n}.pdf", A5).read_bytes() for n in "ab"]
    assert pdfs[0] == pdfs[1]


def test_print_scale_changes_nothing_on_paper(tmp_path):
    nominal = write_marker_plate(tmp_path / "a.svg", A5).read_bytes()
    assert write_marker_plate(tmp_path / "b.svg", A5.as_printed(98.0)).read_bytes() == nominal


@pytest.mark.parametrize("name", ["plate.png", "none/plate.pdf", "plate"])
def test_places_that_cannot_be(tmp_path, name):
    with pytest.raises(InputError, match=r"\.pdf or \.svg file in a folder that exists"):
        write_marker_plate(tmp_path / name, A5)

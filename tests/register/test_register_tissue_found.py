"""Tissue is found whatever lies beside it: simulated slides and slabs whose outline is known exactly, and real ones."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from comould.errors import InputError, RegistrationError
from comould.io.section import Section
from comould.io.slide import read_section
from comould.register.tissue import TissueReport, find_tissue, tissue_mask, tissue_report

DATA = Path(os.environ.get("COMOULD_TEST_DATA", "none"))
SHAPE, LARGER = (330, 390), (480, 560)

STAINS = np.array([[0.65, 0.70, 0.29], [0.09, 0.95, 0.28], [0.27, 0.57, 0.78]])
DISTURBANCES = (
    "clean",
    "fold",
    "pen blue",
    "pen green",
    "pen black",
    "pen red",
    "frame",
    "grid",
    "haze",
    "dust",
    "bubble",
    "light",
    "border",
    "pieces",
    "pale",
    "pale zone",
)
GROUNDS = ("white board", "green cloth", "blue cloth", "black felt", "gradient board")


def smooth(rng, shape, sigma):
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    return field / field.std()


def blob(rng, shape, centre, radius):
    y, x = np.indices(shape)
    dy, dx = y - centre[0], x - centre[1]
    turn = np.arctan2(dy, dx)
    edge = 1 + sum(
        a * np.cos(k * turn + p)
        for k, a, p in zip(range(2, 9), rng.normal(0, 0.16, 7) / np.arange(2, 9), rng.uniform(0, 7, 7), strict=True)
    )
    return np.hypot(dx, dy) < radius * edge


def outline(rng, shape, how):
    h, w = shape
    if how == "pieces":
        return blob(rng, shape, (0.3 * h, 0.28 * w), 0.2 * h) | blob(rng, shape, (0.68 * h, 0.7 * w), 0.19 * h)
    if how == "border":
        return blob(rng, shape, (0.5 * h, rng.uniform(0.0, 0.15) * w), 0.34 * h)
    return blob(rng, shape, rng.uniform(0.45, 0.55, 2) * shape, rng.uniform(0.24, 0.32) * h)


def stained(rng, shape, stain="he"):
    """Densities of haematoxylin, eosin, DAB: (h, w, 3)."""
    cells = np.clip(0.5 + 0.5 * smooth(rng, shape, 1.3), 0, 1.5)
    zones = 1 / (1 + np.exp(-2.5 * smooth(rng, shape, 30)))
    if stain == "he":
        return np.stack([(0.1 + 0.6 * zones) * cells, 0.25 + 0.35 * (1 - zones) * (0.6 + 0.4 * cells), 0 * cells], -1)
    return np.stack([0.12 + 0.3 * cells * (1 - 0.5 * zones), 0 * cells, 0.9 * np.clip(zones - 0.5, 0, 1) * cells], -1)


def slide(seed, how="clean", stain="he", shape=SHAPE):
    rng = np.random.default_rng(seed)
    inside = outline(rng, shape, how)
    soft = ndimage.gaussian_filter(inside.astype(float), 0.8)
    density = stained(rng, shape, stain) * soft[..., None]
    y, x = np.indices(shape)
    h, w = shape
    if how == "pale":
        density *= 0.3
    if how == "pale zone":
        zone = ndimage.gaussian_filter((x - 0.5 * w + 30 * np.sin(y / 50) > 0).astype(float), 3)[..., None]
        density = density * (1 - zone) + zone * soft[..., None] * [0.03, 0.16, 0.0]
    if how == "fold":
        t, c = rng.uniform(0, np.pi), np.array(ndimage.center_of_mass(inside))
        across = (x - c[1]) * np.cos(t) + (y - c[0]) * np.sin(t) + 8 * np.sin((y - x) / 40)
        density *= (1 + 2.2 * (np.abs(across) < 0.012 * w))[..., None]
    light = np.array([243.0, 242.0, 245.0]) * np.ones((h, w, 1))
    if how == "light":
        t = rng.uniform(0, 7)
        light = light * (0.86 + 0.14 * (np.cos(t) * (x / w - 0.5) + np.sin(t) * (y / h - 0.5)) * 1.4)[..., None]
    if how == "haze":
        rim = np.argwhere(inside & ~ndimage.binary_erosion(inside))
        c = rim[rng.integers(len(rim))]
        fog = rng.uniform(0.1, 0.22) * np.exp(-0.5 * ((y - c[0]) ** 2 + (x - c[1]) ** 2) / (0.1 * w) ** 2) + 0.04
        density[..., 1] += fog * (1 - soft)
    picture = light * np.exp(-density @ STAINS)
    picture = disturb(rng, picture, inside, how)
    picture = ndimage.gaussian_filter(picture, (0.6, 0.6, 0)) + rng.normal(0, 2, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8), inside


PENS = {"blue": (40, 60, 190), "green": (30, 130, 70), "black": (25, 24, 28), "red": (205, 30, 45)}


def line(rng, shape, start, angle, length):
    s = np.linspace(0, length, 200)
    bend = 12 * np.sin(s / 45 + rng.uniform(0, 6))
    pts = (
        np.array(start) + np.outer(s, (np.sin(angle), np.cos(angle))) + np.outer(bend, (np.cos(angle), -np.sin(angle)))
    )
    m = np.zeros(shape, bool)
    i = np.round(pts).astype(int)
    ok = ((i >= 0) & (i < shape)).all(1)
    m[tuple(i[ok].T)] = True
    return ndimage.distance_transform_edt(~m)


def dot(picture, y, x, r, colour, strength=1.0):
    near = tuple(slice(max(0, int(c - r - 2)), int(c + r + 3)) for c in (y, x))
    part = picture[near]
    yy, xx = np.indices(part.shape[:2])
    a = strength * np.clip(r + 0.5 - np.hypot(yy + near[0].start - y, xx + near[1].start - x), 0, 1)[..., None]
    part[...] = part * (1 - a) + np.array(colour) * a


def disturb(rng, picture, inside, how):
    h, w = inside.shape
    if how.startswith("pen"):
        rim = np.argwhere(inside & ~ndimage.binary_erosion(inside))
        c = np.array(ndimage.center_of_mass(inside))
        p = rim[rng.integers(len(rim))]
        out = (p - c) / np.linalg.norm(p - c)
        touch = rng.integers(2)
        start = p + out * (3 if touch else 25)
        angle = np.arctan2(out[0], out[1]) + rng.uniform(0.7, 1.4) * rng.choice([-1, 1])
        d = line(rng, inside.shape, start, angle, rng.uniform(100, 260))
        a = (np.clip(rng.uniform(4, 8) - d, 0, 1) * rng.uniform(0.85, 1.0))[..., None]
        a = a * (~inside[..., None])
        return picture * (1 - a) + np.array(PENS[how[4:]]) * a
    if how == "frame":
        for s in np.arange(0.06, 0.941, 0.0293):
            for y, x in ((0.06, s), (0.94, s), (s, 0.06), (s, 0.94)):
                dot(picture, y * h, x * w, 3.2, (70, 60, 75))
        for y in (0.06, 0.94):
            for x in (0.06, 0.94):
                dot(picture, y * h, x * w, 7, (70, 60, 75))
    if how == "grid":
        for y in np.arange(12, h, 21):
            for x in np.arange(12, w, 21):
                dot(picture, y, x, 2.6, (205, 205, 225), 0.8)
    if how == "dust":
        for _ in range(25):
            dot(picture, rng.uniform(0, h), rng.uniform(0, w), rng.uniform(1, 4), (60, 55, 50))
    if how == "bubble":
        yy, xx = np.indices(inside.shape)
        for _ in range(3):
            y, x, r = rng.uniform(0, h), rng.uniform(0, w), rng.uniform(18, 45)
            a = 0.75 * np.exp(-0.5 * ((np.hypot(yy - y, xx - x) - r) / 1.2) ** 2)[..., None]
            picture = picture * (1 - a) + 90 * a
    return picture


def fluorescent(seed, shape=SHAPE):
    rng = np.random.default_rng(seed)
    inside = outline(rng, shape, "clean")
    soft = ndimage.gaussian_filter(inside.astype(float), 0.8)
    base = 30 + 40 / (1 + np.exp(-2 * smooth(rng, shape, 25)))
    nuclei = 120 * np.clip(smooth(rng, shape, 1.3) - 0.5, 0, 2)
    glow = 10 * ndimage.gaussian_filter(inside.astype(float), 20)
    picture = (6 + glow)[..., None] + soft[..., None] * np.stack([0.3 * base, base, base + nuclei], -1)
    return np.clip(rng.poisson(picture * 2) / 2 + rng.normal(0, 1.5, picture.shape), 0, 255).astype(np.uint8), inside


def gross(seed, ground="green cloth", shape=SHAPE):
    rng = np.random.default_rng(seed)
    inside = outline(rng, shape, "clean")
    soft = ndimage.gaussian_filter(inside.astype(float), 1.0)[..., None]
    y, x = np.indices(shape)
    colour = {
        "white board": (225, 225, 220),
        "green cloth": (40, 110, 75),
        "blue cloth": (50, 90, 160),
        "black felt": (28, 28, 30),
        "gradient board": (200, 195, 180),
    }[ground]
    weave = {"white board": 1.5, "green cloth": 9, "blue cloth": 9, "black felt": 6, "gradient board": 4}[ground]
    t = rng.uniform(0, 7)
    amount = 0.5 if ground == "gradient board" else 0.2
    light = 1 - amount * (0.5 + np.cos(t) * (x / shape[1] - 0.5) + np.sin(t) * (y / shape[0] - 0.5))
    back = np.array(colour) + weave * smooth(rng, shape, 1.0)[..., None]
    shadow = 1 - 0.25 * np.clip(ndimage.gaussian_filter(np.roll(inside, (8, 8), (0, 1)).astype(float), 5), 0, 1)
    flesh = (
        np.array([170, 95, 80])
        + smooth(rng, shape, 20)[..., None] * (16, 14, 10)
        + smooth(rng, shape, 3)[..., None] * (10, 8, 8)
    )
    fat = (smooth(rng, shape, 25) > 1.2)[..., None]
    flesh = np.where(fat, np.array([215, 180, 110]) + 5 * smooth(rng, shape, 3)[..., None], flesh)
    picture = light[..., None] * (flesh * soft + back * shadow[..., None] * (1 - soft))
    return np.clip(picture + rng.normal(0, 2.5, picture.shape), 0, 255).astype(np.uint8), inside


def dice(a, b):
    return 2 * (a & b).sum() / max(1, a.sum() + b.sum())


@pytest.mark.parametrize("stain", ["he", "ihc"])
@pytest.mark.parametrize("how", DISTURBANCES)
def test_slide_with_one_disturbance(how, stain):
    image, inside = slide(11 if stain == "he" else 12, how, stain)
    found = find_tissue(image)
    assert found.report.kind == "brightfield"
    assert dice(found.mask, inside) > (0.97 if how == "clean" else 0.955)


@pytest.mark.parametrize("ground", GROUNDS)
def test_slab_on_any_ground(ground):
    image, inside = gross(21, ground)
    assert dice(tissue_mask(image), inside) > 0.95


def test_fluorescence():
    image, inside = fluorescent(31)
    found = find_tissue(image)
    assert found.report.kind == "fluorescence"
    assert dice(found.mask, inside) > 0.97


@pytest.mark.slow
def test_many_seeds():
    cases = {how: lambda seed, how=how: slide(seed, how, ("he", "ihc")[seed % 2], LARGER) for how in DISTURBANCES}
    cases |= {ground: lambda seed, ground=ground: gross(seed, ground, LARGER) for ground in GROUNDS}
    for name, make in cases.items():
        scores = []
        for seed in range(40):
            image, inside = make(seed)
            scores.append(dice(tissue_mask(image), inside))
        assert np.quantile(scores, 0.05) > (0.97 if name == "clean" else 0.93), name


@settings(max_examples=8, deadline=None)
@given(quarter=st.integers(0, 3), flip=st.booleans(), seed=st.integers(0, 99))
def test_turned_and_mirrored_pictures_give_turned_masks(quarter, flip, seed):
    image, _ = slide(seed, shape=(160, 200))
    turned = np.rot90(image[::-1] if flip else image, quarter)
    mask = tissue_mask(image)
    expected = np.rot90(mask[::-1] if flip else mask, quarter)
    assert dice(tissue_mask(np.ascontiguousarray(turned)), expected) > 0.99


def test_ink_over_tissue_hides_no_tissue():
    image, inside = slide(7)
    y, x = np.argwhere(inside).mean(axis=0)
    dot(picture := image.astype(float), y, x, 9, PENS["black"])
    assert dice(tissue_mask(picture.astype(np.uint8)), inside) > 0.97


@pytest.mark.parametrize("colour", [(205, 35, 40), (45, 40, 42), (40, 60, 190), (35, 125, 70)])
def test_a_specimen_of_an_inks_colour_is_no_ink(colour):
    image, inside = slide(7)
    painted = np.where(inside[..., None], np.array(colour) + np.random.default_rng(0).normal(0, 3, image.shape), image)
    painted = ndimage.gaussian_filter(painted, (0.7, 0.7, 0))
    half = np.where((np.arange(SHAPE[1]) < 195)[None, :, None], painted, image)
    for picture in (painted, half):
        assert dice(tissue_mask(picture.clip(0, 255).astype(np.uint8)), inside) > 0.97


def test_a_cyst_with_a_thin_wall_is_no_bubble():
    image, inside = slide(7)
    y, x = np.indices(SHAPE)
    depth = ndimage.distance_transform_edt(inside)
    rim = np.argwhere((depth > 26) & (depth < 27))
    for row, column in rim[:: max(1, len(rim) // 4)]:
        picture = np.where((np.hypot(y - row, x - column) < 22.0)[..., None], 243, image).astype(np.uint8)
        assert dice(tissue_mask(picture), inside) > 0.98


def test_ink_alone_is_a_blank_slide():
    rng = np.random.default_rng(3)
    spot = blob(rng, SHAPE, (160, 190), 60)
    marked = disturb(rng, np.full((*SHAPE, 3), 242.0), spot, "pen blue") + rng.normal(0, 2, (*SHAPE, 3))
    with pytest.raises(RegistrationError, match="blank slide"):
        tissue_mask(marked.clip(0, 255).astype(np.uint8))


def test_haze_grid_and_ink_together():
    image, inside = slide(11, "haze")
    picture = disturb(np.random.default_rng(5), image.astype(float), inside, "grid")
    picture = disturb(np.random.default_rng(6), picture, inside, "pen green")
    assert dice(tissue_mask(picture.clip(0, 255).astype(np.uint8)), inside) > 0.93


def test_report_says_what_was_taken_away():
    pen = find_tissue(slide(11, "pen blue")[0]).report
    assert 0.002 < pen.pen_fraction < 0.05
    frame = find_tissue(slide(11, "frame")[0]).report
    assert frame.frame_dots > 80
    assert find_tissue(slide(15, "bubble")[0]).report.bubbles >= 1
    clean = find_tissue(slide(11)[0]).report
    assert (clean.pen_fraction, clean.frame_dots, clean.bubbles) == (0.0, 0, 0)
    assert clean.contrast > 1.15
    assert clean.findings() == ()


def test_two_pieces_are_a_finding_in_square_millimetres():
    image, inside = slide(11, "pieces")
    report = tissue_report(Section("S1", image, pixel_size_um=50.0))
    assert len(report.pieces) == 2
    assert report.areas_mm2[0] >= report.areas_mm2[1]
    assert sum(report.areas_mm2) == pytest.approx(inside.sum() * 0.0025, rel=0.03)
    (text,) = report.findings()
    assert text.startswith("two pieces of tissue: ")
    assert text.count("mm²") == 2


def test_largest_piece_alone():
    image, _ = slide(11, "pieces")
    both, one = find_tissue(image), find_tissue(image, keep="largest")
    assert len(one.report.pieces) == 1
    assert one.report.pieces[0].area_px == both.report.pieces[0].area_px == one.mask.sum()
    assert not one.report.several


def test_places_of_pieces_in_large_pictures():
    image, inside = slide(11)
    big = np.kron(image, np.ones((4, 4, 1), np.uint8))
    (piece,) = find_tissue(big).report.pieces
    rows, columns = np.nonzero(np.kron(inside, np.ones((4, 4), bool)))
    np.testing.assert_allclose(piece.centre_px, (columns.mean(), rows.mean()), atol=4)
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_allclose(piece.box_px, expected, atol=14)


def test_drawn_mask_is_reported_as_it_is():
    image, _ = slide(11)
    drawn = np.zeros(SHAPE, bool)
    drawn[10:40, 10:50] = drawn[100:130, 10:50] = True
    report = tissue_report(Section("S1", image, 100.0, tissue=drawn))
    assert report.kind == "given"
    assert report.areas_mm2 == pytest.approx((12.0, 12.0))
    assert report.findings() == ("two pieces of tissue: 12 mm² and 12 mm²",)


def test_tissue_cut_off_by_the_border_is_a_finding():
    rng = np.random.default_rng(0)
    density = stained(rng, SHAPE)
    density[:, 280:] = 0
    picture = 243 * np.exp(-density @ STAINS) + rng.normal(0, 2, (*SHAPE, 3))
    report = find_tissue(np.clip(picture, 0, 255).astype(np.uint8)).report
    assert any("may be cut off" in text for text in report.findings())


def test_picture_full_of_tissue_is_refused():
    rng = np.random.default_rng(0)
    picture = 243 * np.exp(-(stained(rng, SHAPE) + 0.1) @ STAINS)
    with pytest.raises(RegistrationError, match=r"section 'S3': .*(tissue on \d+|blank slide|nothing but)"):
        tissue_mask(picture.astype(np.uint8), subject="section 'S3'")


@pytest.mark.parametrize("ground", [(240, 240, 242), (235, 215, 228), (5, 5, 6), (40, 110, 75), (60, 60, 60)])
def test_blank_pictures_are_refused(ground):
    rng = np.random.default_rng(1)
    x = np.indices(SHAPE)[1]
    light = (1 - 0.1 * x / 390)[..., None]
    picture = np.clip(np.array(ground) * light + rng.normal(0, 2.5, (*SHAPE, 3)), 0, 255).astype(np.uint8)
    with pytest.raises(RegistrationError, match="blank slide"):
        tissue_mask(picture)


def test_frame_alone_is_a_blank_slide():
    rng = np.random.default_rng(2)
    blank = disturb(rng, np.full((*SHAPE, 3), 242.0), np.zeros(SHAPE, bool), "frame")
    with pytest.raises(RegistrationError, match=r"tissue on 0\.00%|blank slide"):
        tissue_mask((blank + rng.normal(0, 2, blank.shape)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("image", "options", "text"),
    [
        (np.zeros((50, 50), np.uint8), {}, r"not \(h, w, 3\)"),
        (np.zeros((50, 50, 3), np.float32), {}, "uint8"),
        (np.zeros((0, 50, 3), np.uint8), {}, "at least 8"),
        (np.zeros((50, 50, 3), np.uint8), {"kind": "xray"}, "kind 'xray'"),
        (np.zeros((50, 50, 3), np.uint8), {"keep": "two"}, "keep 'two'"),
    ],
)
def test_bad_input(image, options, text):
    with pytest.raises(InputError, match=text):
        tissue_mask(image, **options)


needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="COMOULD_TEST_DATA is not set")


def picture_of(path, side=900):
    from PIL import Image

    with Image.open(DATA / path) as image:
        image.draft("RGB", (side, side))
        image.thumbnail((side, side))
        return np.asarray(image.convert("RGB"))


@needs_data
@pytest.mark.parametrize("name", ["C2", "C3"])
def test_breast_section_with_haze_and_printed_grid_is_one_triangle(name):
    """Every spot that the authors kept lies on the mask; the mask is no larger than their spots' area by much."""
    import pandas as pd

    section = read_section(DATA / f"her2st/images/{name}.jpg", id=name, pixel_size_um=1.0, resolution_um=10.0)
    small = section.image
    found = find_tissue(small)
    assert len(found.report.pieces) == 1
    spots = pd.read_csv(DATA / f"her2st/spots/{name}_selection.tsv", sep="\t")
    xy = np.round(spots[["pixel_x", "pixel_y"]].to_numpy() / section.downsample).astype(int)
    assert found.mask[xy[:, 1], xy[:, 0]].mean() > 0.97
    assert 0.12 < found.report.fraction < 0.22


@needs_data
def test_lung_lesions_agree_in_two_stains_and_say_that_the_ground_is_not_empty():
    folder = "birl_landmarks/lesions_/scale-5pc/Izd2-29-041-w35_"
    first, second = (find_tissue(picture_of(f"{folder}{stain}.jpg")).report for stain in ("HE", "proSPC"))
    assert first.fraction == pytest.approx(second.fraction, rel=0.1)
    for report in (first, second):
        assert any("background is not empty" in text for text in report.findings())


@needs_data
def test_grey_brain_on_black_agrees_with_its_labels():
    for number in ("020", "056"):
        folder = "allen_histology_mri/histo"
        image, labels = (picture_of(f"{folder}/{part}/slice_{number}.png") for part in ("images", "labels"))
        found = find_tissue(image)
        assert found.report.kind == "fluorescence"
        assert dice(found.mask, ndimage.binary_fill_holes(labels.max(axis=2) > 0)) > 0.9


def test_ink_and_bubbles_are_notes_until_ink_hides_tissue():
    plain = TissueReport("brightfield", (), fraction=0.3, border_fraction=0.0)
    assert (plain.doubts(), plain.notes()) == ((), ())
    inked = replace(plain, pen_fraction=0.02, bubbles=2)
    assert inked.notes() == ("ink was taken away (2.0% of the picture)", "2 bubbles were taken away")
    assert inked.doubts() == ()
    hidden = replace(plain, pen_fraction=0.1)
    assert hidden.doubts() == ("ink on 10% of the picture may hide tissue",)
    assert hidden.notes() == ()

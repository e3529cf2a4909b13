"""Photographs of a marker plate by a camera that is known exactly: millimetres come back, mirror images do not."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from comould.errors import ComouldWarning, InputError, RegistrationError
from comould.register.photo import MarkerPlate, RulerPoints, RulerTicks, read_photo, rectify_photo
from comould.register.photo import camera as cam
from comould.register.photo.plate import BITS, codes, decode
from comould.register.photo.targets import find_targets, grey_of

A5 = MarkerPlate.of_size("A5")


class Camera:
    """A pinhole looking at the middle of a plate; x right, y down, z forward."""

    def __init__(self, plate, *, tilt=0.0, toward=0.0, turn=0.0, shape=(600, 800), focal_35mm=26.0, fill=0.8, k1=0.0):
        self.shape, self.k1 = shape, k1
        self.focal = focal_35mm / 43.27 * np.hypot(*shape)
        middle = 0.5 * np.array([*plate.sheet_mm[2:], 0.0])
        self.distance = np.hypot(*plate.sheet_mm[2:]) * self.focal / (fill * np.hypot(*shape)) * 1.15
        lean = Rotation.from_euler("z", toward, degrees=True)
        tilted = lean * Rotation.from_euler("x", tilt, degrees=True) * lean.inv()
        self.R = (tilted * Rotation.from_euler("z", turn, degrees=True)).as_matrix()
        self.t = np.array([0, 0, self.distance]) - self.R @ middle
        self.middle_px = 0.5 * (np.array(shape[::-1]) - 1)
        self.scale = 0.5 * np.hypot(*shape)

    def project(self, points_mm, height_mm=0.0):
        """Pixels of points of the plane that lies height_mm above the plate, towards the camera."""
        x = np.column_stack([points_mm, np.full(len(points_mm), -height_mm)]) @ self.R.T + self.t
        away = self.focal * x[:, :2] / x[:, 2:] / self.scale
        return self.middle_px + away * (1 + self.k1 * (away**2).sum(axis=1, keepdims=True)) * self.scale

    def plane(self, points_px, height_mm=0.0):
        """Plate mm under pixels."""
        away = (points_px - self.middle_px) / self.scale
        flat = away.copy()
        for _ in range(12 if self.k1 else 0):
            flat = away / (1 + self.k1 * (flat**2).sum(axis=1, keepdims=True))
        rays = np.column_stack([flat * self.scale / self.focal, np.ones(len(flat))]) @ self.R
        origin = -self.R.T @ self.t
        return (origin + rays * ((-height_mm - origin[2]) / rays[:, 2])[:, None])[:, :2]


def target_ink(target, plate, mm):
    """Whether points (..., 2) of the plate are black, from the target's geometry alone."""
    d = mm - [target.x_mm, target.y_mm]
    r = np.hypot(d[..., 0], d[..., 1]) / plate.radius_mm
    sector = np.floor(np.arctan2(d[..., 1], d[..., 0]) % (2 * np.pi) / (2 * np.pi) * BITS).astype(int) % BITS
    return (r < 0.36) | ((r > 0.64) & (r < 1.0) & np.array(target.code)[sector])


def shoot(camera, plate, *, slab=None, height_mm=0.0, noise=0.01, blur=0.7, uneven=0.3, seed=0, mirror=False):
    """Take a photograph; ``slab(mm) -> (inside, colour)`` lies on the plate."""
    h, w = camera.shape
    rng = np.random.default_rng(seed)
    y, x = np.indices((h, w), dtype=float)
    mm = camera.plane(np.column_stack([x.ravel(), y.ravel()]))
    on_sheet = ((mm > 0) & (mm < plate.sheet_mm[2:])).all(axis=1).reshape(h, w)
    grey = np.where(on_sheet, 0.92, 0.45)
    for target in plate.targets:
        turn = np.linspace(0, 2 * np.pi, 24)
        ring = [target.x_mm, target.y_mm] + 1.1 * plate.radius_mm * np.column_stack([np.cos(turn), np.sin(turn)])
        seen = camera.project(ring)
        (x0, y0), (x1, y1) = np.maximum(seen.min(0).astype(int), 0), seen.max(0).astype(int) + 2
        part = np.stack([x[y0:y1, x0:x1], y[y0:y1, x0:x1]], axis=-1)
        if not part.size:
            continue
        shifts = np.stack(np.meshgrid([-0.375, -0.125, 0.125, 0.375], [-0.375, -0.125, 0.125, 0.375]), -1).reshape(
            -1, 2
        )
        points = (part[..., None, :] + shifts).reshape(-1, 2)
        black = target_ink(target, plate, camera.plane(points)).reshape(*part.shape[:2], -1).mean(axis=-1)
        grey[y0:y1, x0:x1] -= 0.85 * black
    picture = np.repeat(grey[..., None], 3, axis=2)
    if slab is not None:
        mm = camera.plane(np.column_stack([x.ravel(), y.ravel()]), height_mm)
        inside, paint = slab(mm)
        picture.reshape(-1, 3)[inside] = paint[inside]
    picture *= (1 - uneven * (0.5 + 0.5 * np.cos(2.1) * (x / w - 0.5) + 0.8 * (y / h - 0.5)))[..., None]
    picture = ndimage.gaussian_filter(picture, (blur, blur, 0)) + rng.normal(0, noise, picture.shape)
    out = np.clip(255 * picture, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(out[:, ::-1]) if mirror else out


def jpeg(picture, quality=80):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "jpeg", quality=quality)
    return np.asarray(Image.open(stream))


def grid_of(plate):
    x0, y0, x1, y1 = plate.free_mm
    return np.stack(np.meshgrid(np.linspace(x0, x1, 7), np.linspace(y0, y1, 9)), axis=-1).reshape(-1, 2)


def errors_mm(found, camera, plate, height_mm=0.0):
    points = grid_of(plate)
    return np.linalg.norm(found.mm_from_photo(camera.project(points, height_mm)) - points, axis=1)


@pytest.mark.parametrize(
    ("tilt", "toward", "turn"), [(0, 0, 0), (12, 200, 90), (25, 70, 213), (40, 310, 31), (40, 90, 180)]
)
def test_millimetres_from_any_side(tilt, toward, turn):
    camera = Camera(A5, tilt=tilt, toward=toward, turn=turn)
    found = rectify_photo(jpeg(shoot(camera, A5, seed=turn)), plate=A5)
    away = errors_mm(found, camera, A5)
    assert away.max() < 0.1
    assert found.scale.n_targets >= 12
    assert found.scale.residual_mm < 0.05
    assert found.scale.tilt_deg == pytest.approx(tilt, abs=4)
    assert found.scale.scale_sd < 3e-3


def test_rectified_picture_shows_what_lies_there():
    """Discs on the plate come out round, at their places, with their true area."""
    camera = Camera(A5, tilt=30, toward=40, turn=140, shape=(900, 1200))
    places = np.array([[40.0, 50.0], [100.0, 60.0], [60.0, 140.0], [110.0, 150.0]])

    def discs(mm):
        inside = (np.linalg.norm(mm[:, None] - places, axis=2) < 6.0).any(axis=1)
        return inside, np.broadcast_to([0.5, 0.15, 0.2], (len(mm), 3))

    found = rectify_photo(shoot(camera, A5, slab=discs), plate=A5, pixel_mm=0.2)
    x0, y0, x1, y1 = A5.free_mm
    assert found.image.shape[:2] == (round((y1 - y0) / 0.2), round((x1 - x0) / 0.2))
    red = found.image[..., 0].astype(float) - found.image[..., 1] > 25
    labels, count = ndimage.label(red)
    assert count == 4
    centres = np.array(ndimage.center_of_mass(red, labels, range(1, 5)))[:, ::-1] * 0.2 + found.origin_mm
    order = np.argmin(np.linalg.norm(centres[:, None] - places, axis=2), axis=0)
    np.testing.assert_allclose(centres[order], places, atol=0.1)
    areas = np.bincount(labels.ravel())[1:] * 0.04
    np.testing.assert_allclose(areas, np.pi * 36, rtol=0.04)


@settings(max_examples=4, deadline=None)
@given(
    tilt=st.floats(0, 38),
    toward=st.floats(0, 360),
    turn=st.floats(0, 360),
    seed=st.integers(0, 1000),
)
def test_random_cameras(tilt, toward, turn, seed):
    camera = Camera(A5, tilt=tilt, toward=toward, turn=turn, fill=0.75)
    found = rectify_photo(shoot(camera, A5, noise=0.02, seed=seed), plate=A5)
    assert errors_mm(found, camera, A5).max() < 0.2


@pytest.mark.parametrize("turn", [0, 100])
def test_mirrored_photograph_is_refused(turn):
    camera = Camera(A5, tilt=15, turn=turn)
    with pytest.raises(RegistrationError, match=r"photograph 'S1': .*mirror image \(1\d targets\)"):
        rectify_photo(shoot(camera, A5, mirror=True), plate=A5, subject="photograph 'S1'")


def test_hidden_targets_and_a_slab_over_the_edge():
    camera = Camera(A5, tilt=20, toward=120, turn=10)

    def slab(mm):
        inside = (mm[:, 0] > 70) & (mm[:, 1] > 40) & (mm[:, 1] < 230)
        return inside, np.broadcast_to([0.45, 0.2, 0.18], (len(mm), 3))

    found = rectify_photo(shoot(camera, A5, slab=slab), plate=A5)
    assert 5 <= found.scale.n_targets <= 9
    assert errors_mm(found, camera, A5).max() < 0.3


def test_too_few_targets_are_refused():
    camera = Camera(A5)
    picture = shoot(camera, A5)
    picture[:, 180:] = 128
    with pytest.raises(RegistrationError, match=r"at least 4 of the 14 targets"):
        rectify_photo(picture, plate=A5)
    with pytest.raises(RegistrationError, match="found 0 targets"):
        rectify_photo(np.full((300, 400, 3), 200, np.uint8), plate=A5)


def test_targets_on_one_line_are_refused():
    camera = Camera(A5)
    picture = shoot(camera, A5)
    edge = camera.project(np.array([[25.0, 0.0], [25.0, 210.0]]))[:, 0].max()
    picture[:, int(edge) :] = 128
    with pytest.raises(RegistrationError, match="on one line"):
        rectify_photo(picture, plate=A5)


def test_another_plate_than_was_printed_is_refused():
    other = MarkerPlate("wide", 180.0, 210.0, pitch_mm=60.0)
    picture = shoot(Camera(other), other)
    with pytest.raises(RegistrationError, match=r"within 0.5 mm of plate 'A5', found"):
        rectify_photo(picture, plate=A5)


def test_too_steep_a_view_is_refused():
    camera = Camera(A5, tilt=62, shape=(900, 1200))
    with pytest.raises(RegistrationError, match=r"aside|at least 4"):
        rectify_photo(shoot(camera, A5), plate=A5)


def test_lens_distortion_is_found_and_taken_out():
    camera = Camera(A5, tilt=15, toward=30, turn=4, k1=-0.06, fill=0.85)
    found = rectify_photo(shoot(camera, A5), plate=A5)
    assert found.scale.k1 == pytest.approx(-0.06, abs=0.015)
    assert errors_mm(found, camera, A5).max() < 0.2
    straight = rectify_photo(shoot(Camera(A5, tilt=15), A5), plate=A5)
    assert abs(straight.scale.k1) < 0.01


@pytest.mark.parametrize("tilt", [3, 30])
def test_height_of_the_slab_is_corrected_with_a_known_lens(tilt):
    camera = Camera(A5, tilt=tilt, toward=50, turn=75)
    picture = shoot(camera, A5)
    found = rectify_photo(picture, plate=A5, slab_height_mm=10.0, focal_35mm=26.0)
    assert errors_mm(found, camera, A5, 10.0).max() < 0.25
    without = rectify_photo(picture, plate=A5)
    assert errors_mm(without, camera, A5, 10.0).max() > 1.5
    assert found.scale.camera_height_mm == pytest.approx(camera.distance * np.cos(np.radians(tilt)), rel=0.02)


def test_lens_is_told_by_the_perspective():
    camera = Camera(A5, tilt=35, toward=50, turn=75, focal_35mm=50.0)
    found = rectify_photo(shoot(camera, A5), plate=A5, slab_height_mm=10.0)
    assert errors_mm(found, camera, A5, 10.0).max() < 0.4
    assert found.scale.notes == ()


@pytest.mark.parametrize("focal", [22.0, 26.0, 32.0])
def test_unknown_lens_says_how_wrong_the_scale_may_be(focal):
    camera = Camera(A5, tilt=0.5, focal_35mm=focal)
    found = rectify_photo(shoot(camera, A5), plate=A5, slab_height_mm=12.0)
    points = grid_of(A5)
    seen = found.mm_from_photo(camera.project(points, 12.0))
    stretch = np.linalg.norm(seen - seen.mean(0)) / np.linalg.norm(points - points.mean(0)) - 1
    assert abs(stretch) < 2.0 * found.scale.scale_sd
    assert 0.003 < found.scale.scale_sd < 0.03
    assert any("focal length is unknown" in note for note in found.scale.notes)


def test_a_scaled_print_is_measured_and_allowed_for():
    printed = A5.as_printed(97.0)
    camera = Camera(printed, tilt=10)
    picture = shoot(camera, printed)
    assert errors_mm(rectify_photo(picture, plate=printed), camera, printed).max() < 0.1
    wrong = rectify_photo(picture, plate=A5)
    assert errors_mm(wrong, camera, printed).max() > 2.0


@pytest.mark.parametrize("size", ["A6", "A4", "A3"])
def test_other_sizes(size):
    plate = MarkerPlate.of_size(size)
    camera = Camera(plate, tilt=20, toward=33, turn=200, shape=(900, 1200))
    found = rectify_photo(shoot(camera, plate), plate=plate)
    assert found.scale.n_targets >= len(plate.targets) - 4
    assert errors_mm(found, camera, plate).max() < 0.2


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, len(codes()) - 1), st.integers(0, BITS - 1), st.booleans(), st.sets(st.integers(0, 15), max_size=2)
)
def test_codes_are_read_from_any_angle_and_no_two_misread_sectors_make_another(number, turn, mirrored, flips):
    code = np.roll(np.array(codes()[number])[:: -1 if mirrored else 1], turn)
    code[list(flips)] ^= True
    assert decode(code) == ((number, mirrored) if not flips else (None, False))


def test_no_targets_in_noise_and_text():
    rng = np.random.default_rng(0)
    speckle = (ndimage.gaussian_filter(rng.normal(size=(500, 700)), 3) > 0.03).astype(np.float32)
    assert find_targets(speckle) == []


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_direct_transform_gives_the_homography_back(seed):
    rng = np.random.default_rng(seed)
    H = np.eye(3) + np.vstack([rng.normal(0, 0.2, (2, 3)), [*rng.normal(0, 5e-4, 2), 0]])
    points = rng.uniform(0, 200, (6, 2))
    np.testing.assert_allclose(
        cam.apply(cam.direct(points, cam.apply(H, points)), points), cam.apply(H, points), atol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"width_mm": 60.0, "height_mm": 200.0}, "no free area"),
        ({"width_mm": -1.0, "height_mm": 200.0}, "width_mm -1"),
        ({"width_mm": 400.0, "height_mm": 600.0, "pitch_mm": 20.0}, "larger pitch_mm"),
        ({"width_mm": 148.0, "height_mm": 210.0, "pitch_mm": 10.0}, "touch"),
        ({"width_mm": 148.0, "height_mm": 210.0, "print_scale": 2.0}, "print_scale"),
    ],
)
def test_impossible_plates(options, text):
    with pytest.raises(InputError, match=text):
        MarkerPlate("mine", **options)


def test_unknown_size():
    with pytest.raises(InputError, match="'B5'"):
        MarkerPlate.of_size("B5")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"slab_height_mm": -1.0}, "slab_height_mm"),
        ({"slab_height_mm": float("nan")}, "slab_height_mm"),
        ({"pixel_mm": 0.0}, "pixel_mm"),
        ({"focal_35mm": -3.0}, "focal_35mm"),
        ({"region": "all"}, "region 'all'"),
    ],
)
def test_bad_settings(options, text):
    with pytest.raises(InputError, match=text):
        rectify_photo(np.zeros((100, 100, 3), np.uint8), plate=A5, **options)


def ruler_picture(mm_per_px=0.137, angle=12.0, tilt=0.0, noise=0.02, seed=0):
    """A steel rule: ticks of 1, 5 and 10 mm above a base line through the picture's middle."""
    shape = (360, 720)
    y, x = np.indices(shape, dtype=float)
    t = np.radians(angle)
    px, py = x - 360, y - 180
    along, across = px * np.cos(t) + py * np.sin(t), -px * np.sin(t) + py * np.cos(t)
    shrink = 1 - tilt * along / 720
    mm = along * mm_per_px / shrink
    nearest = np.round(mm)
    long = np.where(nearest % 10 == 0, 60, np.where(nearest % 5 == 0, 45, 30))
    ink = (np.abs(mm - nearest) < 0.12) & (across > -long) & (across < 0)
    picture = ndimage.gaussian_filter(np.where(ink, 0.1, 0.8), 0.8)
    picture = picture * (1 - 0.3 * x / 720) + np.random.default_rng(seed).normal(0, noise, shape)
    ends = [(360 + s * 280 * np.cos(t) + 15 * np.sin(t), 180 + s * 280 * np.sin(t) - 15 * np.cos(t)) for s in (-1, 1)]
    return np.repeat((np.clip(picture, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2), ends


@settings(max_examples=15, deadline=None)
@given(st.floats(0.04, 0.22), st.floats(-40, 40), st.integers(0, 99))
def test_ticks_are_read_to_a_fraction_of_a_pixel(mm_per_px, angle, seed):
    picture, (start, end) = ruler_picture(mm_per_px, angle, seed=seed)
    start, end = np.clip([start, end], 0, [719, 359])
    found, scale = RulerTicks(tuple(start), tuple(end)).measure(picture)
    assert found == pytest.approx(mm_per_px, rel=2e-3)
    assert scale.method == "ruler ticks"
    assert 0.01 < scale.scale_sd < 0.03


def test_perspective_along_the_ruler_is_warned_about():
    picture, (start, end) = ruler_picture(tilt=0.1)
    with pytest.warns(ComouldWarning, match="the camera was tilted"):
        _, scale = RulerTicks(start, end).measure(picture)
    assert scale.scale_sd > 0.02
    assert any("tilted" in note for note in scale.notes)


def test_no_ticks():
    noise = np.random.default_rng(0).integers(90, 160, (200, 500, 3)).astype(np.uint8)
    with pytest.raises(InputError, match="evenly spaced ticks"):
        RulerTicks((10, 100), (480, 100)).measure(noise)
    with pytest.raises(InputError, match="leaves it"):
        RulerTicks((10, 100), (580, 100)).measure(noise)


def test_points_on_a_ruler():
    size, scale = RulerPoints(((10, 10), (410, 10), (410, 310)), (40.0, 30.0)).measure()
    assert size == pytest.approx(0.1)
    assert scale.residual_mm == pytest.approx(0.0, abs=1e-9)
    assert 0.01 < scale.scale_sd < 0.02
    with pytest.warns(ComouldWarning, match=r"differs by 9\.5% along it"):
        _, tilted = RulerPoints(((10, 10), (410, 10), (810, 10)), (40.0, 44.0)).measure()
    assert tilted.scale_sd > 0.04


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RulerPoints(((0, 0),), ()), "two or more"),
        (lambda: RulerPoints(((0, 0), (100, 0)), (10.0, 5.0)), "one positive length"),
        (lambda: RulerPoints(((0, 0), (100, 0)), (-10.0,)), "one positive length"),
        (lambda: RulerPoints(((0, 0), (float("nan"), 0)), (10.0,)), "finite"),
        (lambda: RulerPoints(((0, 0), (3, 0)), (10.0,)), "10 pixels apart"),
        (lambda: RulerTicks((0, 0), (10, 0)), "shorter than 40"),
        (lambda: RulerTicks((0, 0), (100, 0), tick_mm=0.0), "tick_mm"),
        (lambda: RulerTicks((0, float("inf")), (100, 0)), "finite"),
    ],
)
def test_bad_rulers(make, text):
    with pytest.raises(InputError, match=text):
        make()


def test_read_photo_on_a_plate(tmp_path):
    camera = Camera(A5, tilt=20, turn=30)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA405] = 26
    # Stored lying: the tag says to turn it upright.
    stored = np.rot90(shoot(camera, A5), 1)
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "slab.jpg", quality=90, exif=exif)
    made = read_photo(tmp_path / "slab.jpg", id="S1", plate=A5, slab_height_mm=8.0, plane_id="P02", face="+")
    assert made.scale.method == "plate"
    assert made.scale.notes == ()
    assert made.scale.camera_height_mm == pytest.approx(camera.distance * np.cos(np.radians(20)), rel=0.03)
    section = made.section
    assert (section.plane_id, section.face, section.downsample) == ("P02", "+", 1.0)
    x0, _, x1, _ = A5.free_mm
    assert section.image.shape[1] * section.image_pixel_mm == pytest.approx(x1 - x0, abs=0.3)


def test_read_photo_otherwise(tmp_path):
    picture, (start, end) = ruler_picture(0.1)
    Image.fromarray(picture).save(tmp_path / "slab.png")
    ticks = read_photo(tmp_path / "slab.png", id="S1", ruler=RulerTicks(start, end))
    assert ticks.section.pixel_size_um == pytest.approx(100.0, rel=2e-3)
    points = read_photo(tmp_path / "slab.png", id="S1", ruler=RulerPoints(((10, 10), (210, 10)), (20.0,)))
    assert points.section.pixel_size_um == pytest.approx(100.0)
    stated = read_photo(tmp_path / "slab.png", id="S1", pixel_size_um=50.0)
    assert stated.section.pixel_size_um == 50.0
    assert stated.scale.method == "stated"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "0 of them"),
        ({"pixel_size_um": 50.0, "plate": A5}, "2 of them"),
        ({"pixel_size_um": 50.0, "slab_height_mm": 5.0}, "without one"),
        ({"pixel_size_um": -50.0}, "pixel_size_um"),
    ],
)
def test_read_photo_needs_one_scale(tmp_path, options, text):
    Image.new("RGB", (80, 60)).save(tmp_path / "slab.png")
    with pytest.raises(InputError, match=text):
        read_photo(tmp_path / "slab.png", id="S1", **options)


def test_unreadable_photographs(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_photo(tmp_path / "none.jpg", id="S1", pixel_size_um=10.0)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(InputError, match="on reading"):
        read_photo(tmp_path / "text.jpg", id="S1", pixel_size_um=10.0)


def test_grey_is_luminance():
    assert grey_of(np.full((2, 2, 3), 255, np.uint8)) == pytest.approx(1.0)

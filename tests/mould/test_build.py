"""The whole mould: never mirrored, always one body, fits, and is written whole or not at all."""

import hashlib
import json
from itertools import pairwise

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from comould.errors import ComouldWarning, GeometryError, InputError, PrintabilityError
from comould.mould import _cast, build, check, marks, result
from comould.mould.design import open_block
from comould.mould.form import solid_of
from comould.mould.surface import DistanceField
from comould.space import Frame, SlicePlan, anatomical_letter

QUIET = pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")


def in_patient(mould):
    return mould.mould_from_patient.inverse().apply(np.asarray(mould.specimen.vertices))


def depths(mould, out, up, at, half, pitch):
    """How far what a reader facing a wall sees lies behind it: rows from the top, columns to the right."""
    look = -np.asarray(out, float)
    right = np.cross(look, up)
    n = round(2 * half / pitch)
    frame = np.array([right, up, look])
    local = (np.asarray(mould.bodies["mould"].triangles) - at) @ frame.T
    local = (local + np.array([half, half, 0])) / (pitch, pitch, 1.0)
    x, y, z, _ = _cast.hits(local, (n, n))
    first = np.full((n, n), np.inf)
    np.minimum.at(first, (n - 1 - y, x), z)
    return first


def drawn(text, height, stroke, half, pitch):
    """The text as it should be seen, painted from the font's strokes."""
    n = round(2 * half / pitch)
    x, y = np.meshgrid(np.arange(n) * pitch - half, half - pitch - np.arange(n) * pitch)
    points = np.column_stack([x.ravel(), y.ravel()])
    near = np.full(len(points), np.inf)
    for line in marks.strokes(text, height, stroke):
        for a, b in pairwise(line):
            t = np.clip((points - a) @ (b - a) / max((b - a) @ (b - a), 1e-12), 0, 1)
            near = np.minimum(near, np.linalg.norm(points - a - t[:, None] * (b - a), axis=1))
    return near.reshape(n, n) <= stroke / 2


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_every_check_passed_and_is_reported(arms_mould):
    checks = {item["name"]: item for item in arms_mould.report["checks"]}
    assert all(item["passed"] for item in checks.values())
    assert checks["free space matches segmentation + clearance"]["measured"] >= 0.97
    assert checks["segmentation lies in free space"]["measured"] >= 0.995
    assert checks["not the mirror image"]["measured"] < 0.9
    assert checks["clearance as asked"]["measured"]["p95_mm"] < 0.2
    assert checks["cut outlines match the segmentation"]["measured"]["hd95_voxels"] <= 1.0


def test_one_watertight_body_on_the_bed(arms_mould):
    mesh = arms_mould.bodies["mould"]
    report = check(mesh)
    assert report.printable
    assert (report.bodies, report.voids, report.touching_vertices, report.degenerate_faces) == (1, 0, 0, 0)
    assert report.volume_ml == pytest.approx(arms_mould.report["volumes_ml"]["plastic"], rel=1e-4)
    assert mesh.bounds[0][2] == pytest.approx(0.0, abs=1e-6)
    assert np.abs(mesh.bounds[:, :2].sum(axis=0)).max() < 8


def test_frames(arms_mould):
    transform = arms_mould.mould_from_patient
    assert (transform.source, transform.target) == (Frame.PATIENT, Frame.MOULD)
    rotation = transform.matrix[:3, :3]
    assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-12)
    for plane in arms_mould.plan:
        assert np.allclose(rotation @ plane.normal, (1, 0, 0), atol=1e-12)


def test_specimen_lies_where_the_patient_has_it(arms_mould, shapes):
    """Arms of three lengths: any flip, swap or turn would put a long one where a short one belongs."""
    points = in_patient(arms_mould) - np.array((11.0, -23.0, 47.0))  # where the shape was put
    found = dict(zip("LPS", points.max(axis=0), strict=True)) | dict(zip("RAI", -points.min(axis=0), strict=True))
    for letter, reach in shapes.reach.items():
        assert found[letter] == pytest.approx(reach, abs=1.3), letter


def test_letters_say_where_walls_face(arms_mould):
    inverse = arms_mould.mould_from_patient.matrix[:3, :3].T
    letters = arms_mould.report["letters"]
    assert set(letters) == {"-x", "+x", "-y", "+y", "+z"}
    for wall, letter in letters.items():
        out = np.eye(3)["xyz".index(wall[1])] * (1 if wall[0] == "+" else -1)
        assert anatomical_letter(inverse @ out) == letter
    assert letters["+z"] == "A"
    assert letters["+x"] == "S"


def test_every_mark_reads_from_its_side(arms_mould):
    """Look straight at each mark: what is engraved is the text, not its mirror image, as deep as asked."""
    said = arms_mould.report["marks"]
    assert sorted(m["text"] for m in said if m["kind"] == "direction") == sorted(arms_mould.report["letters"].values())
    assert [m["text"] for m in said if m["kind"] == "number"] == [str(n + 1) for n in range(len(arms_mould.plan))]
    assert [m["text"] for m in said if m["kind"] == "id"] == [arms_mould.report["mould_id"]]
    pitch = 0.1
    for mark in said:
        half = 0.5 * max(marks.text_width(mark["text"], mark["height_mm"], mark["stroke_mm"]), mark["height_mm"]) + 1.0
        out = np.cross(mark["right"], mark["up"])
        seen = depths(arms_mould, out, np.array(mark["up"]), np.array(mark["at_mm"]), half, pitch)
        expected = drawn(mark["text"], mark["height_mm"], mark["stroke_mm"], half, pitch)
        assert np.median(seen[expected]) == pytest.approx(mark["depth_mm"], abs=0.05), mark["text"]
        near = np.abs(seen) < 1.5
        assert dice((seen > 0.5) & near, expected & near) > 0.85, mark["text"]


def test_letters_stand_on_the_wall_they_name(arms_mould):
    """Carried back to the patient, the reader of a letter looks at the side of the patient it names."""
    inverse = arms_mould.mould_from_patient.matrix[:3, :3].T
    for mark in arms_mould.report["marks"]:
        if mark["kind"] == "direction":
            out = inverse @ np.cross(mark["right"], mark["up"])
            assert anatomical_letter(out) == mark["text"]


def test_numbers_stand_at_their_slots(arms_mould):
    numbers = [mark for mark in arms_mould.report["marks"] if mark["kind"] == "number"]
    for mark, plane in zip(numbers, arms_mould.plan, strict=True):
        assert mark["at_mm"][0] == pytest.approx(arms_mould.mould_from_patient.apply([plane.origin_mm])[0, 0], abs=1e-6)


@QUIET
@pytest.mark.parametrize("outline", ["hull", "block"])
def test_one_corner_is_the_key(arms_image, outline):
    """Seen from above the foot is not its own mirror image nor its half turn: the key shows which way round it is."""
    mould = build(arms_image, spacing_mm=8, up="anterior", outline=outline)
    body = solid_of((mould.bodies["mould"].vertices, mould.bodies["mould"].faces))
    foot = body.slice(0.5)
    x0, y0, x1, y1 = foot.bounds()
    turned = foot.translate((-(x0 + x1) / 2, -(y0 + y1) / 2))
    for other in (turned.rotate(180.0), turned.mirror((1.0, 0.0)), turned.mirror((0.0, 1.0))):
        assert ((turned - other).area() + (other - turned).area()) > 25.0


def test_slots_are_where_the_plan_says(arms_mould):
    triangles = np.asarray(arms_mould.bodies["mould"].triangles)
    rays = _cast.Rays(triangles)
    rotation = arms_mould.mould_from_patient
    tissue = np.asarray(arms_mould.specimen.vertices)
    for plane, slot in zip(arms_mould.plan, arms_mould.report["slots"]["each"], strict=True):
        x = float(rotation.apply([plane.origin_mm])[0, 0])
        assert slot["x_mm"] == pytest.approx(x, abs=1e-6)
        here = tissue[np.abs(tissue[:, 0] - x) < 0.3]
        assert slot["y_mm"][0] <= here[:, 1].min() - 5.0
        assert slot["y_mm"][1] >= here[:, 1].max() + 5.0
        assert slot["floor_z_mm"] <= here[:, 2].min() - 1.5 + 1e-3
        assert slot["top_z_mm"] >= here[:, 2].max() + 5.0 - 0.1
        for y in (slot["y_mm"][0] + 1.0, slot["y_mm"][1] - 1.0):
            crossed = rays.along(np.array([0.0, y, slot["top_z_mm"] - 2.0]), 0)
            left, right = crossed[crossed < x].max(), crossed[crossed > x].min()
            assert right - left == pytest.approx(plane.kerf_mm, abs=1e-4)
            assert (right + left) / 2 == pytest.approx(x, abs=1e-4)
            floor = rays.along(np.array([x, y, 0.0]), 2)
            assert floor[-1] == pytest.approx(slot["floor_z_mm"], abs=1e-4)
            assert floor[-1] - floor[-2] >= arms_mould.template.parameters.base_mm - 1e-3


def test_virtual_cut_shows_the_mask_of_that_slice(arms_image, shapes):
    """What each slot cuts is the outline drawn on the image slice it names."""
    mould = build(arms_image, plane="image", spacing_mm=5)
    array = sitk.GetArrayFromImage(arms_image)
    plane_to_patient = mould.mould_from_patient.inverse()
    specimen = np.asarray(mould.specimen.triangles)
    triangles = plane_to_patient.apply(specimen.reshape(-1, 3))
    index = np.array(
        [arms_image.TransformPhysicalPointToContinuousIndex(point) for point in triangles.tolist()]
    ).reshape(-1, 3, 3)
    solid = _cast.inside(index, arms_image.GetSize())
    for plane in mould.plan:
        k = round(plane.image_index)
        assert dice(solid[k], array[k] > 0) > 0.96


def _stored(image, order, flips):
    """The same voxels stored with their axes permuted and flipped, as another scanner or converter would."""
    image = sitk.PermuteAxes(image, order)
    return sitk.Flip(image, flips)


@pytest.mark.parametrize(
    ("order", "flips"),
    [
        ((1, 2, 0), (False, False, False)),
        ((0, 1, 2), (True, True, False)),
        ((2, 1, 0), (False, True, False)),
        ((1, 0, 2), (True, True, True)),
    ],
)
def test_storage_order_does_not_matter(arms_image, arms_mould, order, flips):
    stored = _stored(arms_image, order, flips)
    assert np.linalg.det(np.reshape(stored.GetDirection(), (3, 3))) > 0
    other = build(stored, plane="axial", spacing_mm=5, up="anterior")
    assert np.allclose(other.mould_from_patient.matrix, arms_mould.mould_from_patient.matrix, atol=0.05)
    assert np.allclose([p.origin_mm for p in other.plan], [p.origin_mm for p in arms_mould.plan], atol=1e-6)
    from scipy.spatial import cKDTree

    apart = cKDTree(in_patient(arms_mould)).query(in_patient(other))[0]
    assert np.percentile(apart, 99) < 0.25
    assert other.report["volumes_ml"]["plastic"] == pytest.approx(arms_mould.report["volumes_ml"]["plastic"], rel=2e-3)


def test_a_mirrored_mould_would_be_refused(arms_image, monkeypatch):
    """Mirror the cavity on purpose: the independent check must see it."""
    genuine = DistanceField.swept_up

    def mirrored(self):
        swept = genuine(self)
        return DistanceField(np.ascontiguousarray(swept.values[:, ::-1]), swept.origin_mm, swept.step_mm)

    monkeypatch.setattr(DistanceField, "swept_up", mirrored)
    with pytest.raises(
        PrintabilityError, match=r"specimen lifts straight out.*clearance as asked.*segmentation lies in free space"
    ):
        build(arms_image, plane="axial", up="anterior")


def test_a_shrunken_cavity_would_be_refused(arms_image, monkeypatch):
    monkeypatch.setattr(open_block, "solid_of", lambda surface: solid_of(surface).scale((0.9, 0.9, 0.9)))
    with pytest.raises(PrintabilityError, match="segmentation lies in free space"):
        build(arms_image, plane="axial", up="anterior")


def _sausage(points):
    return np.linalg.norm(points / (40.0, 8.0, 8.0), axis=1) - 1.0


@QUIET
def test_a_thin_specimen_is_accepted_by_its_outlines(shapes):
    """A gap of half a pixel is a large share of a sausage's volume, and less than a voxel at every cut."""
    mould = build(shapes.sampled(_sausage, (41, 9, 9), (1, 1, 3)), plane="sagittal")
    checks = {item["name"]: item for item in mould.report["checks"]}
    assert checks["free space matches segmentation + clearance"]["measured"] < 0.97
    assert checks["cut outlines match the segmentation"]["measured"]["hd95_voxels"] <= 1.0
    assert checks["clearance as asked"]["measured"]["p95_mm"] < 0.2


@QUIET
@pytest.mark.parametrize("factors", [(1.25, 1.0, 1.0), (1.0, 1.25, 1.0), (1.0, 1.0, 1.25)])
def test_a_stretched_thin_or_small_specimen_is_refused(shapes, monkeypatch, factors):
    """As when slice thickness is taken for slice spacing: the gap allowed for thin ones must not let it pass."""
    image = shapes.sampled(lambda p: np.linalg.norm(p / (14.0, 8.0, 9.0), axis=1) - 1.0, (15, 9, 10), (1, 1, 2))
    genuine = solid_of

    def stretched(surface):
        solid = genuine(surface)
        box = np.array(solid.bounding_box()).reshape(2, 3)
        middle = 0.5 * box.sum(axis=0)
        return solid.translate(tuple(-middle)).scale(factors).translate(tuple(middle))

    monkeypatch.setattr(open_block, "solid_of", stretched)
    with pytest.raises(PrintabilityError, match="clearance as asked"):
        build(image, plane="sagittal")


@QUIET
def test_spacings_a_rounding_apart_give_the_same_mould(shapes):
    """3 mm slices on 1.2 mm pixels are 2.5 to 1: float32 headers must not tip the rounding."""
    image = shapes.sampled(lambda p: np.linalg.norm(p / (14.0, 9.0, 11.0), axis=1) - 1.0, (15, 10, 12), (1.2, 1.2, 3))
    other = sitk.Image(image)
    other.SetSpacing((float(np.float32(1.2)), float(np.float32(1.2)), 3.0))
    one, two = build(image), build(other)
    assert one.report["pose"]["angle_deg"] == two.report["pose"]["angle_deg"]
    assert one.report["checks"][-3]["measured"] == pytest.approx(two.report["checks"][-3]["measured"], abs=2e-3)


@QUIET
def test_one_cut_has_a_summary(arms_image):
    mould = build(arms_image, plane="axial", spacing_mm=60)
    assert len(mould.plan) == 1
    assert dict(mould.summary())["cutting planes"] == "1"


def test_border_without_an_image_points_to_it(arms_image):
    array = sitk.GetArrayFromImage(arms_image)
    drawn = np.flatnonzero(array.any(axis=(1, 2)))
    tight = arms_image[:, :, int(drawn[0]) : int(drawn[-1]) + 1]
    with pytest.raises(GeometryError, match=r"inferior, superior sides.*Give the image it was drawn on \(--image\)"):
        build(tight)


@QUIET
def test_oblique_walls_get_two_letters(arms_image):
    mould = build(arms_image, plane=(0.3, 0.5, 1.0), spacing_mm=6)
    assert len(mould.report["letters"]["+x"]) == 2
    assert mould.report["letters"]["+x"][0] == "S"
    assert mould.plan.planes[0].image_index is None


@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])
@given(
    seed=st.integers(0, 10_000),
    plane=st.sampled_from(["axial", "coronal", "sagittal", "image", (1.0, 0.4, 0.7)]),
    slot=st.sampled_from([0.8, 1.0, 1.6]),
)
@QUIET
def test_random_bodies(shapes, seed, plane, slot):
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    centres = rng.uniform(-9, 9, (4, 3))
    radii = rng.uniform(12, 16, 4)

    def blob(points):
        return np.min([shapes.ball(points, r, c) for r, c in zip(radii, centres, strict=True)], axis=0)

    image = shapes.sampled(blob, 32.0, (1.0, 1.0, 2.0), direction=Rotation.random(rng=rng).as_matrix())
    mould = build(image, plane=plane, spacing_mm=6, slot_mm=slot)
    report = check(mould.bodies["mould"])
    assert report.printable
    assert report.bodies == 1
    checks = {item["name"]: item["measured"] for item in mould.report["checks"]}
    assert checks["slot width"] < 1e-3
    assert checks["slots open from above"] < 1e-3
    assert checks["slot depth below the specimen"] >= 1.5 - 1e-3
    assert np.linalg.det(mould.mould_from_patient.matrix[:3, :3]) == pytest.approx(1.0)
    body = solid_of((mould.bodies["mould"].vertices, mould.bodies["mould"].faces))
    specimen = solid_of((mould.specimen.vertices, mould.specimen.faces))
    for lift in (0.0, 2.0, 7.0, 20.0):
        assert (body ^ specimen.translate((0, 0, lift))).volume() < 0.5, lift


@QUIET
@pytest.mark.parametrize("clearance", [0.25, 0.4, 2.0])
def test_clearance_measured_on_the_mould(arms_image, clearance):
    mould = build(arms_image, spacing_mm=8, clearance_mm=clearance, up="anterior")
    specimen = np.asarray(mould.specimen.vertices)
    normals = np.asarray(mould.specimen.vertex_normals)
    slots = [mould.mould_from_patient.apply([plane.origin_mm])[0, 0] for plane in mould.plan]
    beside = np.min(np.abs(specimen[:, :1] - slots), axis=1) > 1.5
    rays = _cast.Rays(np.asarray(mould.bodies["mould"].triangles))
    gaps = []
    for n in np.flatnonzero((normals[:, 2] < -0.8) & beside)[::61]:
        top = rays.along(specimen[n], 2).max()
        gaps.append((specimen[n, 2] - top) * -normals[n, 2])
    assert len(gaps) > 15
    assert np.median(gaps) == pytest.approx(clearance, abs=0.05)
    assert np.percentile(gaps, [10, 90]) == pytest.approx(clearance, abs=0.3)


@QUIET
def test_two_lesions(shapes):
    def two(points):
        return np.minimum(shapes.ball(points, 14.0, (0, 0, 18)), shapes.ball(points, 13.0, (3, 4, -18)))

    image = shapes.sampled(two, (18, 18, 34), (1, 1, 2))
    with pytest.raises(InputError, match=r"2 lesions \(1: .* ml, 2: .* ml\)"):
        build(image)
    largest, both = build(image, lesion="largest"), build(image, lesion="all")
    assert largest.report["segmentation"]["parts"] == 1
    assert both.report["segmentation"]["parts"] == 2
    assert both.report["volumes_ml"]["mask"] > 1.5 * largest.report["volumes_ml"]["mask"]


def test_bad_settings(arms_image):
    with pytest.raises(InputError, match="slot_mmm"):
        build(arms_image, slot_mmm=1)
    with pytest.raises(InputError, match=r"expected at least 2.5 mm"):
        build(arms_image, spacing_mm=2)
    with pytest.raises(InputError, match="plane 'diagonal'"):
        build(arms_image, plane="diagonal")
    other = sitk.Image(arms_image)
    other.SetOrigin((0, 0, 0))
    with pytest.raises(GeometryError, match="origin_mm"):
        build(arms_image, image=other)


def test_warnings_reach_the_caller_and_the_manifest(arms_image):
    array = sitk.GetArrayFromImage(arms_image)
    array[2, 2, 2] = 1
    specked = sitk.GetImageFromArray(array)
    specked.CopyInformation(arms_image)
    with pytest.warns(ComouldWarning, match="1 speck "):
        mould = build(specked, spacing_mm=5)
    assert any("1 speck " in text for text in mould.manifest()["warnings"])


def test_progress_is_told(arms_image):
    told = []
    build(arms_image, spacing_mm=10, up=0, progress=told.append)
    assert told[0].startswith("Checking")
    assert len(told) == 5


def test_same_input_same_mesh(arms_image, arms_mould):
    again = build(arms_image, plane="axial", spacing_mm=5, up="anterior")
    assert np.array_equal(again.bodies["mould"].vertices, arms_mould.bodies["mould"].vertices)
    assert again.report == arms_mould.report


def test_summary(arms_mould):
    rows = dict(arms_mould.summary())
    assert rows["faces up"] == "A"
    passed, of, total, word = rows["checks"].split()
    assert (passed, of, word) == (total, "of", "passed")
    assert rows["specimen"].endswith("ml")


@pytest.fixture(scope="module")
def written(arms_mould, arms_image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mould")
    sitk.WriteImage(arms_image, str(folder / "secret_name.nii.gz"))
    out = arms_mould.write(folder / "out", inputs={"segmentation": folder / "secret_name.nii.gz"})
    return folder, out


def test_files(written, arms_mould):
    from comould.io.mesh import read_mesh

    _, out = written
    assert {"mould.stl", "mould.3mf", "specimen.stl", "manifest.json"} <= {path.name for path in out.iterdir()}
    for name in ("mould.stl", "mould.3mf"):
        mesh = read_mesh(out / name)
        assert check(mesh).printable
        assert np.allclose(np.ptp(mesh.bounds, axis=0), np.ptp(arms_mould.bodies["mould"].bounds, axis=0), atol=1e-3)


def test_manifest(written, arms_mould):
    folder, out = written
    text = (out / "manifest.json").read_text()
    manifest = json.loads(text)
    assert (manifest["units"], manifest["frame"]) == ("mm", "mould")
    assert np.allclose(manifest["mould_from_patient"], arms_mould.mould_from_patient.matrix)
    assert {"origin_mm", "normal", "u", "v", "image_index", "kerf_mm", "face", "id"} <= set(manifest["planes"][0])
    assert set(manifest["volumes_ml"]) == {"specimen", "mask", "plastic", "bounding_block", "loose"}
    assert manifest["parameters"]["spacing_mm"] == 5
    assert {"bounding_box_mm", "checks", "warnings", "version", "template", "design", "pose"} <= set(manifest)
    digest = hashlib.sha256((folder / "secret_name.nii.gz").read_bytes()).hexdigest()
    assert manifest["provenance"]["inputs"]["segmentation"]["sha256"] == digest
    assert "secret_name" not in text
    assert str(folder) not in text
    assert SlicePlan.load(out / "manifest.json") == arms_mould.plan


def test_writing_is_all_or_nothing(written, arms_mould, monkeypatch):
    folder, out = written
    with pytest.raises(InputError, match="overwrite"):
        arms_mould.write(out)
    arms_mould.write(out, overwrite=True)

    def broken(*_, **__):
        raise PrintabilityError(subject="test", found="a fault on the way")

    monkeypatch.setattr(result, "_check_written", broken)
    with pytest.raises(PrintabilityError, match="a fault on the way"):
        arms_mould.write(folder / "other")
    assert {path.name for path in folder.iterdir()} == {"secret_name.nii.gz", "out"}

"""The sheet is exact: 1:1 to a hundredth of a millimetre, never mirrored unawares, and silent about the patient."""

import re
import shutil
import subprocess
import warnings
import zlib
from itertools import pairwise
from types import SimpleNamespace as Namespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import GeometryError, InputError
from comould.report import CuttingSheet, cutting_sheet
from comould.report.sheet import inks
from comould.report.sheet.document import actual_size
from comould.report.sheet.facts import Facts
from comould.report.sheet.layout import OVERLAP, choose, paper_needed
from comould.report.sheet.page import legible
from comould.report.sheet.scene import Scene, Turn, as_imaged, cores_of, slab_at, volume_ml
from comould.space import CutPlane, Grid, SlicePlan, Transform

MM = 72.0 / 25.4
CENTRE = np.array([10.0, -20.0, 30.0])
CRIMSON = b"0.768627451 0 0.1843137255 RG"
needs_poppler = pytest.mark.skipif(
    shutil.which("pdftoppm") is None or shutil.which("pdftotext") is None, reason="poppler-utils are not installed"
)


def box(size):
    half = 0.5 * np.asarray(size, float)
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * half
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [tri for a, b, c, d in quads for tri in ((a, b, c), (a, c, d))]
    return Namespace(vertices=corners, faces=np.array(faces))


def box_mould(size=(30.0, 60.0, 40.0), *, count=2, normal=(0, 0, 1), face="-", u_hint=None, apart=6.0):
    """A box cut along its first side; its second lies along u, its third along v."""
    first = CutPlane.from_normal("P00", CENTRE, normal, u_hint=u_hint)
    matrix = np.eye(4)
    matrix[:3, :3] = [first.normal, first.u, first.v]
    matrix[:3, 3] = -matrix[:3, :3] @ CENTRE
    ahead = [(k - 0.5 * (count - 1)) * apart * np.array(first.normal) for k in range(count)]
    plan = SlicePlan(
        tuple(
            CutPlane.from_normal(f"P{k + 1:02d}", CENTRE + a, normal, u_hint=u_hint, kerf_mm=1.0, face=face)
            for k, a in enumerate(ahead)
        )
    )
    return Namespace(
        bodies={"mould": box(np.array(size) + 20.0)},
        specimen=box(size),
        plan=plan,
        mould_from_patient=Transform.from_matrix("patient", "mould", matrix),
        report={"mould_id": "AB-12", "slots": {"length_mm": 74.0}},
        template=Namespace(name="soft_tissue", parameters=Namespace(key_mm=8.0)),
    )


def half_bright(left=0.0, step=0.5):
    """A volume that is bright where the patient's left begins, 20 mm of it inside the box's 60."""
    size = (200, 160, 80)
    grid = Grid(size, (step, step, step), tuple(CENTRE - 0.5 * step * (np.array(size) - 1)))
    x = grid.patient_from_index(np.column_stack([np.arange(size[0]), np.zeros((size[0], 2))]))[:, 0]
    values = np.broadcast_to(np.where(x > CENTRE[0] + left, 100.0, 20.0), grid.shape)
    return grid.to_image(np.ascontiguousarray(values, dtype=np.float32))


def pages_of(pdf):
    """Content streams of the pages, in order."""
    found = []
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        if match[1][:1] != b"x":
            continue
        # Not zlib.decompress: data may end in what looks like a line break, which the pattern takes away.
        data = zlib.decompressobj().decompress(match[1])
        if b"BT\n" in data and b" Tf\n" in data:
            found.append(data)
    return found


def strokes(page):
    """Paths as arrays of points in mm, in the order drawn."""
    out = []
    for path in re.findall(rb"((?:[-\d.]+ [-\d.]+ [ml]\s)+)", page):
        numbers = re.findall(rb"([-\d.]+) ([-\d.]+) [ml]", path)
        out.append(np.array(numbers, dtype=float) / MM)
    return out


def bars_in(page):
    """How many lying and standing strokes measure exactly 50 mm."""
    two = [s for s in strokes(page) if len(s) == 2]
    lengths = [np.abs(s[1] - s[0]) for s in two]
    return tuple(sum(bool(np.abs(d - want).max() < 1e-4) for d in lengths) for want in ((50.0, 0.0), (0.0, 50.0)))


def outlines_in(page):
    """Sizes (width, height) in mm of what is drawn in the outline's colour."""
    return [np.ptp(strokes(part)[0], axis=0) for part in page.split(CRIMSON)[1:]]


def words(pdf, path, page):
    path.write_bytes(pdf)
    run = subprocess.run(
        ["pdftotext", "-bbox", "-f", str(page), "-l", str(page), str(path), "-"], capture_output=True, check=True
    )
    rows = re.findall(r'xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">([^<]*)<', run.stdout.decode())
    return [(word, (float(a) + float(c)) / 2 / MM, (float(b) + float(d)) / 2 / MM) for a, b, c, d, word in rows]


def raster(pdf, path, page, dpi=300):
    from PIL import Image

    path.write_bytes(pdf)
    subprocess.run(
        ["pdftoppm", "-r", str(dpi), "-f", str(page), "-l", str(page), "-singlefile", "-png", str(path), str(path)],
        check=True,
    )
    return np.asarray(Image.open(f"{path}.png").convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def plain():
    return cutting_sheet(box_mould())


@pytest.fixture(scope="module")
def mirrored():
    """Photographed on the + face, with an image whose left part is bright."""
    return cutting_sheet(box_mould(face="+", count=1), image=half_bright(left=10.0))


def test_pages_and_what_they_are_printed_on(plain):
    assert isinstance(plain, CuttingSheet)
    assert (plain.pages, plain.paper, plain.one_to_one) == (4, "A4", True)
    assert len(pages_of(plain.pdf)) == 4
    assert plain.pdf.count(b"/MediaBox [ 0 0 595.2755905512 841.8897637795 ]") == 4


def test_every_picture_at_one_to_one_has_bars_of_fifty_millimetres(plain):
    cover, *cuts, lists = pages_of(plain.pdf)
    assert all(bars_in(page) == (1, 1) for page in (cover, *cuts))
    assert bars_in(lists) == (0, 0)


def test_outlines_have_the_size_of_the_specimen(plain):
    for page in pages_of(plain.pdf)[1:3]:
        both = [size for size in outlines_in(page) if size.min() > 1.0]
        assert len(both) == 2
        assert np.abs(np.array(both) - (60.0, 40.0)).max() < 1e-3


@needs_poppler
def test_measured_on_the_printed_page(plain, tmp_path):
    """As a ruler would: 300 dpi, colours found by eye, within 0.1 mm."""
    pixels = raster(plain.pdf, tmp_path / "sheet.pdf", 2)
    pitch = 25.4 / 300
    red = (pixels[..., 0] > 150) & (pixels[..., 1] < 110) & (pixels[..., 2] < 130)
    # The longest red strokes are the box's sides; the line itself is 1.1 points wide.
    across, along = max(_longest_run(row) for row in red), max(_longest_run(column) for column in red.T)
    assert across * pitch == pytest.approx(60.0 + 1.1 / MM, abs=0.1)
    assert along * pitch == pytest.approx(40.0 + 1.1 / MM, abs=0.1)
    dark = pixels.sum(axis=2) < 250
    foot = dark[-round(26 / pitch) : -round(17 / pitch)]
    assert max(_longest_run(row) for row in foot) * pitch == pytest.approx(50.0, abs=0.1)
    side = dark[:, round(10 / pitch) : round(20 / pitch)]
    assert max(_longest_run(column) for column in side.T) * pitch == pytest.approx(50.0, abs=0.25)


def _longest_run(row):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0)) if len(edges) else 0


@needs_poppler
def test_the_image_lies_exactly_under_the_outline_and_the_mirror_is_the_mirror(mirrored, tmp_path):
    pixels = raster(mirrored.pdf, tmp_path / "sheet.pdf", 2)
    pitch = 25.4 / 300
    (first, second) = _frames(pages_of(mirrored.pdf)[1])
    height = pixels.shape[0] * pitch
    for (left, right, low, high), bright_right in ((first, False), (second, True)):
        row = pixels[round((height - 0.5 * (low + high)) / pitch), :, 1]
        inside = row[round((left + 2) / pitch) : round((right - 2) / pitch)]
        bright = inside > 160
        assert bright[-5:].all() == bright_right
        assert bright[:5].all() != bright_right
        edge = (np.argmax(bright) if bright_right else len(bright) - np.argmax(bright[::-1])) * pitch + 2.0
        # The patient's left is bright from 10 mm beyond the middle of 60 mm.
        assert edge == pytest.approx(40.0 if bright_right else 20.0, abs=0.35)


def _frames(page):
    """Left, right, bottom, top in page mm of both outlines."""
    rings = [strokes(part)[0] for part in page.split(CRIMSON)[1:]]
    return [(r[:, 0].min(), r[:, 0].max(), r[:, 1].min(), r[:, 1].max()) for r in rings if np.ptp(r[:, 0]) > 10][:2]


@needs_poppler
@pytest.mark.parametrize(
    ("normal", "u_hint", "top"),
    [
        ((0, 0, 1), (1, 0, 0), "A"),
        ((0, 1, 0), (1, 0, 0), "S"),
        ((0.0, -0.35, 0.94), (1, 0, 0), "AI"),
    ],
    ids=["axial", "coronal", "oblique"],
)
def test_right_is_on_the_left_as_imaged_and_on_the_right_in_the_mirror(normal, u_hint, top, tmp_path):
    sheet = cutting_sheet(box_mould(normal=normal, u_hint=u_hint, count=1, size=(30.0, 50.0, 40.0)))
    found = words(sheet.pdf, tmp_path / "sheet.pdf", 2)
    for frame, (left, right) in zip(_frames(pages_of(sheet.pdf)[1]), ("RL", "LR"), strict=True):
        middle = 297.0 - 0.5 * (frame[2] + frame[3])
        beside = {word: x for word, x, y in found if abs(y - middle) < 4.0 and frame[0] - 16 < x < frame[1] + 16}
        assert beside[left] < frame[0] < frame[1] < beside[right]
        above = [w for w, x, y in found if frame[0] < x < frame[1] and 0 < 297.0 - frame[3] - y < 16]
        assert top in above


@pytest.mark.parametrize(("face", "slabs"), [("-", ("S02", "S01")), ("+", ("S01", "S02"))])
def test_the_photographed_face_comes_first_and_belongs_to_the_right_slab(face, slabs):
    mould = box_mould(face=face, count=1)
    facts = Facts(mould, Scene(mould).specimen_mm).planes["P01"]
    assert (facts.photographed, facts.opposite) == slabs
    assert (facts.before, facts.after) == ("S01", "S02")
    assert slab_at(0, face) == slabs[0]


def test_a_plane_whose_normal_points_away_is_still_shown_as_imaged():
    """Looking down from the head, the - face is the mirror image of a radiologist's picture."""
    up, down = (CutPlane.from_normal("P", CENTRE, (0, 0, sign), u_hint=(1, 0, 0)) for sign in (1, -1))
    assert as_imaged(up).edge_letters() == as_imaged(down).edge_letters()
    assert (as_imaged(up).face, as_imaged(down).face) == ("-", "+")


@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda n: np.linalg.norm(n) > 0.2), st.sampled_from("-+"))
def test_a_turn_shows_the_face_it_names(normal, face):
    plane = CutPlane.from_normal("P", CENTRE, normal)
    turn = as_imaged(plane)
    turn = turn if turn.face == face else turn.mirrored()
    assert turn.face == face
    assert turn.looks @ np.array(plane.normal) == pytest.approx(1.0 if face == "-" else -1.0)
    letters, other = turn.edge_letters(), turn.mirrored().edge_letters()
    assert (letters["left"], letters["top"]) == (other["right"], other["top"])


def test_depths_slabs_and_walls():
    mould = box_mould(size=(30.0, 60.0, 40.0), count=3, apart=6.0)
    facts = Facts(mould, Scene(mould).specimen_mm)
    assert [facts.planes[p].depth_mm for p in ("P01", "P02", "P03")] == pytest.approx([9.0, 15.0, 21.0])
    assert facts.planes["P01"].wall_mm == pytest.approx(19.0)
    assert [slab.thickness_mm for slab in facts.slabs] == pytest.approx([8.5, 5.0, 5.0, 8.5])
    assert [slab.photographed_at for slab in facts.slabs] == ["none", "P01", "P02", "P03"]
    assert [slab.id for slab in facts.slabs] == ["S01", "S02", "S03", "S04"]
    assert (facts.first_end, facts.end(1.0), facts.spacing) == ("I", "S", "6.00 mm")


def test_each_slots_own_length_and_the_shortest_of_all():
    mould = box_mould(count=2)
    assert Facts(mould, Scene(mould).specimen_mm).blade_mm == 74.0
    mould.report = {"slots": {"length_mm": 80.0, "each": [{"y_mm": [-10.0, 25.0]}, {"y_mm": [-40.0, 40.0]}]}}
    facts = Facts(mould, Scene(mould).specimen_mm)
    assert [plane.slot_mm for plane in facts.planes.values()] == [35.0, 80.0]
    assert facts.blade_mm == 35.0
    mould.report = {}
    assert Facts(mould, Scene(mould).specimen_mm).blade_mm is None


def test_the_orientation_slit_is_drawn_where_the_mould_has_it():
    """Mould y is u here and mould z is v: the slit runs at u = 12 from below the surface up and out."""
    mould = box_mould(count=2)
    mould.report = {"orientation_slit": {"y_mm": 12.0, "floor_z_mm": 15.0, "depth_mm_per_plane": [5.0, 5.0]}}
    for cut in Scene(mould).cuts:
        assert np.allclose(cut.slit, [(12.0, 15.0), (12.0, 22.0)])
    assert Scene(box_mould(count=1)).cuts[0].slit is None


def test_planes_with_origins_of_their_own_share_one_window():
    mould = box_mould(count=2)
    moved = CutPlane.from_normal(
        "P02", np.add(mould.plan["P02"].origin_mm, (150.0, -80.0, 0.0)), (0, 0, 1), u_hint=(0, 1, 0), kerf_mm=1.0
    )
    mould.plan = SlicePlan((mould.plan["P01"], moved))
    core = Namespace(id="c1", plane_id="P02", uv_mm=(80.0, 150.0), diameter_mm=4.0)
    scene = Scene(mould, cores=cores_of([core], mould))
    assert scene.size == pytest.approx((72.0, 52.0))
    patient = moved.patient_from_plane.apply([[80.0, 150.0, 0.0]])[0]
    at = scene.cuts[1].lay.patient_from_plane.apply([[*scene.cuts[1].cores[0].uv_mm, 0.0]])[0]
    assert np.allclose(at, patient)


def a_core(id="S02-1", plane="P01", **rest):
    return Namespace(**({"id": id, "plane_id": plane, "uv_mm": (5.0, 5.0), "diameter_mm": 4.0, "habitat": 2} | rest))


def test_cores_are_drawn_on_the_face_they_are_taken_from():
    cores = [a_core(face="-", diameter_mm=4.0), a_core("S01-1", face="+", diameter_mm=6.0)]
    page = pages_of(cutting_sheet(box_mould(count=1), cores=Namespace(cores=cores)).pdf)[1]
    for frame, diameter, across in zip(_frames(page), (4.0, 6.0), (5.0, -5.0), strict=True):
        rounds = [c for c in _curves(page) if abs(np.ptp(c[:, 0]) - diameter) < 0.02]
        assert len(rounds) == 2  # The white ring beneath, and the line: on one face only.
        middle = rounds[1][:, 0].min() + 0.5 * diameter
        assert middle - 0.5 * (frame[0] + frame[1]) == pytest.approx(across, abs=0.02)
        assert frame[2] < rounds[1][:, 1].min() < rounds[1][:, 1].max() < frame[3]


def _curves(page):
    """Curved paths: their end points in mm."""
    found = re.findall(rb"((?:[-\d.]+ [-\d.]+ m\s)(?:(?:[-\d.]+ ){6}c\s)+)", page)
    return [
        np.array([re.findall(rb"([-\d.]+) ([-\d.]+) [mc]", line)[-1] for line in path.strip().split(b"\n")], float) / MM
        for path in found
    ]


def test_cores_of_the_sampling_room_and_of_the_agreed_shape_both_fit():
    mould = box_mould()
    taken = Namespace(
        id="S03-1", plane="P02", face="-", slab="S03", uv_mm=(1, 2), diameter_mm=4, habitat="rim", label=1
    )
    found = cores_of(Namespace(cores=[a_core(), taken]), mould)
    assert [(c.id, c.slab, c.face, c.habitat) for plane in found.values() for c in plane] == [
        ("S02-1", "S02", "-", "H2"),
        ("S03-1", "S03", "-", "rim"),
    ]


def test_cores_that_do_not_fit_are_all_named():
    lacking = Namespace(id="c9", plane_id="P01")
    with pytest.raises(InputError, match=r"core c1 names plane 'P77'; core c9 has no uv_mm, diameter_mm.*P01, P02"):
        cutting_sheet(box_mould(), cores=[a_core("c1", "P77"), lacking])


def test_habitats_and_a_structure_inside_the_specimen(tmp_path):
    mould = box_mould(count=1)
    grid = Grid((80, 60, 40), (1.0, 1.0, 1.0), tuple(CENTRE - (39.5, 29.5, 19.5)))
    k, j, i = np.indices(grid.shape)
    points = grid.patient_from_index(np.column_stack([i.ravel(), j.ravel(), k.ravel()])) - CENTRE
    inside = (np.abs(points) < (30, 20, 15)).all(axis=1).reshape(grid.shape)
    labels = np.where(inside, 1 + (points[:, 0] > 0).reshape(grid.shape), 0).astype(np.uint8)
    part = (np.linalg.norm(points, axis=1) < 10).reshape(grid.shape)
    scene = Scene(mould, mask=grid.to_image(part), labels=grid.to_image(labels))
    (cut,) = scene.cuts
    assert np.ptp(cut.mask[0], axis=0) == pytest.approx([20.0, 20.0], abs=0.8)
    assert [region.number for region in cut.regions] == [1, 2]
    assert all(len(region.names_at) == 1 for region in cut.regions)
    assert cut.regions[0].names_at[0, 0] < 0 < cut.regions[1].names_at[0, 0]
    whole = Scene(mould, mask=grid.to_image(inside), labels=None)
    assert whole.cuts[0].mask == []
    sheet = cutting_sheet(mould, mask=grid.to_image(part), habitats=Namespace(labels=grid.to_image(labels)))
    assert sheet.pages == 3


def test_nothing_about_the_patient_or_the_machine(tmp_path, monkeypatch):
    image = half_bright()
    for key in ("0010|0010", "PatientName", "filename"):
        image.SetMetaData(key, "DOE^JANE")
    monkeypatch.setenv("USER", "somebody-here")
    sheet = cutting_sheet(box_mould(count=1), image=image)
    everything = sheet.pdf + b"".join(
        zlib.decompressobj().decompress(m[1])
        for m in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", sheet.pdf, re.DOTALL)
        if m[1][:1] == b"x"
    )
    for secret in (
        b"DOE",
        b"JANE",
        b"somebody-here",
        b"/home",
        b"/tmp",
        b"/root",
        b"Author",
        b"CreationDate",
        b"Producer",
    ):
        assert secret not in everything


def test_the_same_input_gives_the_same_bytes(plain):
    assert cutting_sheet(box_mould()).pdf == plain.pdf


def test_fonts_are_embedded_and_nothing_is_scaled_by_the_print_dialogue(plain):
    assert plain.pdf.count(b"/FontFile2") == 2
    assert b"/Type3" not in plain.pdf
    assert b"/ViewerPreferences << /PrintScaling /None >>" in plain.pdf
    update = plain.pdf.rindex(b"startxref\n") + len(b"startxref\n")
    at = int(plain.pdf[update:].split()[0])
    assert plain.pdf[at : at + 4] == b"xref"
    assert actual_size(b"not a pdf") == b"not a pdf"


def test_a_specimen_too_large_for_the_paper_comes_in_tiles(tmp_path):
    sheet = cutting_sheet(box_mould((30.0, 400.0, 330.0), count=1))
    assert (sheet.paper, sheet.one_to_one, sheet.pages) == ("A3", False, 7)
    _, overview, *tiles, _ = pages_of(sheet.pdf)
    assert bars_in(overview) == (0, 0)
    assert [bars_in(tile) for tile in tiles] == [(1, 1)] * 4
    if shutil.which("pdftotext"):
        assert "NOT" in [word for word, _, _ in words(sheet.pdf, tmp_path / "sheet.pdf", 2)]


def test_a_quarter_metre_fits_one_sheet_of_a3_at_full_size():
    layout = choose((262.0, 182.0))
    assert (layout.paper, layout.main.scale, layout.tiles) == ("A3", 1.0, ())
    assert paper_needed((412.0, 342.0)) == "A1"
    assert choose((60.0, 60.0), "letter").paper == "letter"


@given(st.floats(8.0, 700.0), st.floats(8.0, 700.0), st.sampled_from(["auto", "A4", "A3", "letter", "tabloid"]))
def test_pictures_stay_on_the_paper_apart_from_each_other(width, height, paper):
    layout = choose((width, height), paper)
    boxes = []
    for slot in (layout.main, layout.other):
        x0, y0 = slot.x - 7.9, slot.y - 18.9
        x1, y1 = slot.x + width * slot.scale + 7.9, slot.y + height * slot.scale + 7.9
        assert x0 >= layout.body.x - 1e-6
        assert y0 >= layout.body.y - 1e-6
        assert x1 <= layout.body.right + 1e-6
        assert y1 <= layout.body.bottom + 1e-6
        boxes.append((x0, y0, x1, y1))
    boxes.append((layout.form.x, layout.form.y, layout.form.right, layout.form.bottom))
    for n, a in enumerate(boxes):
        for b in boxes[n + 1 :]:
            assert a[2] <= b[0] + 1e-6 or b[2] <= a[0] + 1e-6 or a[3] <= b[1] + 1e-6 or b[3] <= a[1] + 1e-6
    if not layout.tiles:
        assert layout.main.scale == 1.0


@given(st.floats(150.0, 900.0), st.floats(150.0, 900.0))
def test_tiles_cover_the_picture_and_overlap(width, height):
    layout = choose((width, height), "A4")
    if not layout.tiles:
        return
    for axis, total in ((0, width), (1, height)):
        spans = sorted({(t.x_mm, t.y_mm)[axis] for t in layout.tiles})
        assert spans[0][0] == 0.0
        assert spans[-1][1] == pytest.approx(total)
        assert all(a[1] - b[0] == pytest.approx(OVERLAP) for a, b in pairwise(spans))
        held = (layout.body.width, layout.body.height)[axis] - 16.0
        assert all(b - a <= held + 1e-6 for a, b in spans)


def test_written_whole_or_not_at_all(plain, tmp_path):
    path = plain.write(tmp_path / "cutting_sheet.pdf")
    assert path.read_bytes() == plain.pdf
    assert [p.name for p in tmp_path.iterdir()] == ["cutting_sheet.pdf"]
    with pytest.raises(InputError, match=r"expected a \.pdf file in a folder that exists"):
        plain.write(tmp_path / "nowhere" / "sheet.pdf")
    with pytest.raises(InputError, match=r"expected a \.pdf file"):
        plain.write(tmp_path / "sheet.txt")


def test_inks_are_completed_and_checked():
    assert inks.scheme({"right": "purple", "A": "#aabbcc"})["R"] == "purple"
    assert inks.scheme()["L"] == "red"
    with pytest.raises(InputError, match=r"2 problems: 'up' is no direction.*left is 'nocolour'"):
        inks.scheme({"up": "red", "L": "nocolour"})
    with pytest.raises(InputError, match="green stands for right and left"):
        inks.scheme({"L": "green"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"title": "x" * 61}, "1 to 60 printable characters"),
        ({"title": " "}, "1 to 60 printable characters"),
        ({"paper": "B5"}, "expected one of auto, A4"),
        ({"habitats": 3}, "expected a label image or habitats with labels, found int"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        cutting_sheet(box_mould(), **settings)


def test_a_volume_of_another_patient_is_refused():
    far = Grid((5, 5, 5), (1.0, 1.0, 1.0), (900.0, 0.0, 0.0)).to_image(np.ones((5, 5, 5), np.float32))
    with pytest.raises(GeometryError, match="0 % of the specimen lies on the image"):
        cutting_sheet(box_mould(), image=far)


def test_a_plan_that_misses_the_specimen_is_refused():
    mould = box_mould()
    mould.plan = SlicePlan((CutPlane.from_normal("P01", np.add(CENTRE, (0, 0, 99.0)), (0, 0, 1)),))
    with pytest.raises(GeometryError, match="none that meets it"):
        cutting_sheet(mould)


def test_odd_signs_in_names_neither_warn_nor_vanish():
    assert legible("Niere\t\N{CJK UNIFIED IDEOGRAPH-814E}  µm") == "Niere ? µm"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cutting_sheet(box_mould(count=1), title="$\\frac$ & <b> \N{CJK UNIFIED IDEOGRAPH-814E}").pages == 3


def test_small_parts():
    assert volume_ml(box((10, 20, 30))) == pytest.approx(6.0)
    turn = Turn(np.eye(2), CutPlane.from_normal("P", CENTRE, (0, 0, 1), u_hint=(1, 0, 0)))
    assert turn.mirrored().mirrored().matrix == pytest.approx(turn.matrix)


def test_the_phantoms_mould_on_paper():
    """The real thing, from mask to PDF: image, habitats and every plane on its page."""
    from comould import mould, phantom

    made = phantom.specimen(seed=3, volume_ml=8.0)
    built = mould.build(made.mask, plane="image", spacing_mm=9.0)
    sheet = cutting_sheet(built, image=made.images["T2"], mask=made.mask, habitats=made.habitats)
    assert sheet.one_to_one
    assert sheet.pages == 2 + len(built.plan)
    assert all(bars_in(page) == (1, 1) for page in pages_of(sheet.pdf)[: 1 + len(built.plan)])

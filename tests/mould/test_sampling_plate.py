"""Sampling plates: closed, printable, holes where the cores are in the patient, and readable, never mirrored."""

import json
import shutil
import subprocess
import warnings
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from comould.errors import ComouldWarning, GeometryError, InputError
from comould.mould import (
    CoreOptions,
    PlateOptions,
    check,
    plan_blocks,
    plan_cores,
    plate,
    plates,
    slabs,
    write_sampling,
)
from comould.mould._cast import Rays
from comould.mould.marks import measure_engravings
from comould.mould.outline import of_mesh
from comould.mould.sampling._labels import Label, place_labels
from comould.space import CutPlane, Grid, SlicePlan, anatomical_letter

CENTRE = np.array([11.0, -23.0, 47.0])


def plan(offsets, *, faces="-", normal=(0, 0, 1), ids="P{:02d}"):
    normal = np.array(normal, float) / np.linalg.norm(normal)
    return SlicePlan(
        tuple(
            CutPlane.from_normal(ids.format(n), CENTRE + offset * normal, normal, kerf_mm=1.0, face=faces)
            for n, offset in enumerate(offsets, 1)
        )
    )


def inside(polygons, points):
    """Even-odd rule, point by point."""
    count = np.zeros(len(points), int)
    for line in polygons:
        (x0, y0), (x1, y1) = line[:-1].T, line[1:].T
        for n, (x, y) in enumerate(points):
            crosses = (y0 <= y) != (y1 <= y)
            count[n] += int((x0 + (y - y0) / np.where(y1 == y0, 1, y1 - y0) * (x1 - x0) > x)[crosses].sum())
    return count % 2 == 1


class Case:
    """A lopsided specimen cut on one face, its cores and plates."""

    def __init__(self, body, face, normal):
        self.body = body
        self.plan = plan((-7, 0, 7), faces=face, normal=normal)
        labels = sitk.Cast(self.body, sitk.sitkUInt8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ComouldWarning)
            self.sampling = plan_cores(self.plan, self.body, labels, options=CoreOptions(per_habitat=5))
        self.plates = plates(self.sampling, self.body)

    def each(self):
        for slab in self.sampling.slabs:
            if slab.id in self.plates:
                yield slab, self.plates[slab.id], self.sampling.of(slab)


@pytest.fixture(scope="module")
def arms(shapes):
    return shapes.sampled(shapes.arms, 34.0, spacing=(0.8, 0.8, 1.2))


@pytest.fixture(
    scope="module",
    params=[("-", (0, 0, 1)), ("+", (0, 0, 1)), ("+", (-0.2, 1, 0.3))],
    ids=["axial -", "axial +", "oblique +"],
)
def case(request, arms):
    return Case(arms, *request.param)


def triangles(made):
    return np.asarray(made.mesh.vertices)[np.asarray(made.mesh.faces)]


def test_every_plate_is_one_closed_body_on_the_bed(case):
    assert len(case.plates) == 3
    for slab, made, _ in case.each():
        report = check(made.mesh)
        assert report.printable
        assert report.watertight
        assert (report.bodies, report.voids) == (1, 0)
        low, high = made.mesh.bounds
        assert np.isclose(low[2], 0.0)
        assert np.isclose(high[2], 3.0 + made.rim_mm)
        assert made.rim_mm <= slab.thickness_mm - 1.0
        assert made.unmarked == ()


def test_way_to_the_patient_is_no_mirror_and_lies_on_the_face(case):
    for slab, made, _ in case.each():
        matrix = made.patient_from_plate.matrix
        assert np.isclose(np.linalg.det(matrix[:3, :3]), 1.0)
        assert (made.patient_from_plate.source, made.patient_from_plate.target) == ("mould", "patient")
        # The plate's tissue side is the face; the rim goes into the slab, the read side looks out of it.
        under = made.patient_from_plate.apply([[0, 0, 3.0]])[0]
        assert np.isclose(abs(slab.plane.distance_mm(under)[0]), 0.5)
        rim = float(made.patient_from_plate.apply([[0, 0, 3.0 + made.rim_mm]])[0] @ np.array(slab.plane.normal))
        assert slab.low_mm < rim < slab.high_mm


def test_holes_are_where_the_cores_are_in_the_patient(case):
    """Rays through the mesh at patient positions: free within each hole, solid all round it, and nowhere else free."""
    for _, made, cores in case.each():
        rays = Rays(triangles(made))
        centres = made.patient_from_plate.inverse().apply([core.face_mm for core in cores])
        assert np.allclose(centres[:, 2], 3.0)
        turn = np.linspace(0, 2 * np.pi, 12, endpoint=False) + 0.05
        circle = np.column_stack([np.cos(turn), np.sin(turn), 0 * turn])
        for core, centre in zip(cores, centres, strict=True):
            radius = 0.5 * (core.diameter_mm + 0.3)
            assert rays.along(centre, 2).size == 0
            assert all(rays.along(centre + 0.98 * radius * at, 2).size == 0 for at in circle)
            for at in circle:
                crossed = np.sort(rays.along(centre + (radius + 0.1) * at, 2))
                # At least the plate below its engraving is there.
                assert crossed.size
                assert np.isclose(crossed.max(), 3.0, atol=1e-4)
        holes = sum(_holes(made))
        assert holes == len(cores)


def _holes(made):
    """Which outlines in the middle of the plate's thickness are holes: those run round the other way."""
    lines = of_mesh(made.mesh, np.eye(4), offset_mm=2.0)
    areas = [line[:-1, 0] @ np.roll(line[:-1, 1], -1) - line[:-1, 1] @ np.roll(line[:-1, 0], -1) for line in lines]
    outer = np.sign(areas[int(np.argmax(np.abs(areas)))])
    return [np.sign(area) != outer for area in areas]


def test_rim_leaves_the_slab_free_and_is_close_to_it(case):
    """Voxels of the specimen, brought to the plate: none in the rim, none outside it; and the rim fits."""
    grid = Grid.from_image(case.body)
    voxels = grid.patient_from_index(np.argwhere(sitk.GetArrayViewFromImage(case.body))[:, ::-1])
    for _, made, _ in case.each():
        at = made.patient_from_plate.inverse().apply(voxels)
        # A voxel reaches half its height beyond its centre.
        near = at[(at[:, 2] > 2.4) & (at[:, 2] < 3.6 + made.rim_mm)][:, :2]
        at = at[(at[:, 2] > 3.0) & (at[:, 2] < 3.0 + made.rim_mm)][:, :2]
        rim = of_mesh(made.mesh, np.eye(4), offset_mm=3.0 + 0.5 * made.rim_mm)
        chosen = at[np.random.default_rng(0).choice(len(at), 400, replace=False)]
        assert not inside(rim, chosen).any()
        hull = max(rim, key=lambda line: np.ptp(line[:, 0]))
        assert inside([hull], chosen).all()
        # From the inner wall to the nearest voxel centre: clearance, half a voxel, and the widening over the rim.
        inner = sorted(rim, key=lambda line: -np.ptp(line[:, 0]))[1]
        gap = np.array([np.linalg.norm(near - point, axis=1).min() for point in inner[::7]])
        assert gap.min() > 0.2
        assert np.median(gap) < 0.4 + 0.8


def test_letters_name_the_patient_sides_and_read_the_right_way_round(case):
    """Each letter's strokes are looked up in the mesh: a letter R, L, P or S drawn mirrored would not match."""
    probes = {
        # On the 4 × 6 box, x right and y up from the middle: points on strokes, and points free of them.
        "L": (((-2, 0), (0, -3)), ((2, 0), (0.5, 1.5))),
        "R": (((-2, 0), (-2, -2.5)), ((2, 0), (0, -2.4))),
        "P": (((-2, 0), (-2, -2.5)), ((2, -2), (0.5, -2))),
        "A": (((0, 3), (0, -0.9)), ((-2, 3), (2, 3), (0, -3))),
        "S": (((-1.8, 1.5), (1.9, -1.5)), ((1.9, 0.4), (-1.9, -0.5))),
        "I": (((0, 0), (0, 2)), ((-1.8, 0), (1.8, 0))),
    }
    options = PlateOptions()
    unit = (options.letter_mm - options.stroke_mm) / 6.0
    for _, made, _ in case.each():
        rays = Rays(triangles(made))
        low, high = made.mesh.bounds[:, :2]
        middle, inset = 0.5 * (low + high), 1.5 + 0.5 * options.letter_mm
        rotation = made.patient_from_plate.matrix[:3, :3]
        for axis, sign in ((0, -1), (0, 1), (1, -1), (1, 1)):
            at = middle.copy()
            at[axis] = (low, high)[sign > 0][axis] - sign * inset
            letter = anatomical_letter(sign * rotation[:, axis])
            for points, depth in zip(probes[letter], (options.engrave_mm, 0.0), strict=True):
                for x, y in points:
                    # Read with x to the right and y downwards.
                    first = rays.along(np.array([at[0] + x * unit, at[1] - y * unit, 0.0]), 2).min()
                    assert np.isclose(first, depth, atol=1e-3), (letter, x, y)


def test_every_mark_is_found_on_the_mesh_deep_wide_and_readable(case):
    """All names, letters and numbers, measured by the mould's own judge of engravings."""
    slab, made, cores = next(iter(case.each()))
    texts = [mark["text"] for mark in made.marks]
    assert texts[4:] == [slab.id, slab.plane.id, *(str(core.number) for core in cores)]
    for found in measure_engravings(made.mesh, made.marks, pitch_mm=0.08):
        assert found.faults(0.8, 0.8) == []


def test_keyed_corner_is_the_upper_right_as_read(case):
    for _, made, _ in case.each():
        rays = Rays(triangles(made))
        low, high = made.mesh.bounds[:, :2]
        corners = {(x, y): np.array([(low, high)[x][0], (low, high)[y][1]]) for x in (0, 1) for y in (0, 1)}
        inward = {key: 2.2 * np.where(np.array(key) > 0, -1, 1) for key in corners}
        solid = {key: rays.along(np.array([*(at + inward[key]), 0.0]), 2).size > 0 for key, at in corners.items()}
        assert solid == {(0, 0): True, (0, 1): True, (1, 1): True, (1, 0): False}


@pytest.mark.skipif(shutil.which("prusa-slicer") is None, reason="prusa-slicer is not installed")
def test_a_slicer_agrees(case, tmp_path):
    write_sampling(tmp_path, case.sampling, case.plates)
    name, made = next(iter(case.plates.items()))
    said = subprocess.run(
        ["prusa-slicer", "--info", str(tmp_path / "sampling" / f"plate_{name}.stl")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    facts = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    assert facts["manifold"] == "yes"
    assert facts["number_of_parts"] == "1"
    assert np.isclose(float(facts["volume"]), made.mesh.volume, rtol=1e-3)


def test_both_faces_of_one_cut_are_each_others_mirror_images(arms):
    """The same cut seen from its two sides: outlines in the patient are alike, on the plates mirrored."""
    body = arms
    cut = replace(plan((0,)).planes[0], kerf_mm=0.0)
    minus = plate(slabs(SlicePlan((cut,)), body)[1], body)
    plus = plate(slabs(SlicePlan((replace(cut, face="+"),)), body)[0], body)
    lines = []
    for made in (minus, plus):
        rim = of_mesh(made.mesh, np.eye(4), offset_mm=3.3)
        lines.append(np.vstack(rim)[:, :2])
    apart = np.abs(np.sort(lines[0][:, 0])[[0, -1]] + np.sort(lines[1][:, 0])[[-1, 0]])
    # The arm to the left points right on one and left on the other; seen downwards both are alike.
    assert apart.max() < 2.5
    assert lines[0][:, 0].max() > 25
    assert lines[1][:, 0].min() < -25


def test_stop_may_follow_the_whole_slab(shapes):
    body = shapes.sampled(lambda p: shapes.ball(p, 20.0), 20.0)
    slab = slabs(plan((-14, -4)), body)[1]
    narrow, wide = (plate(slab, body, options=PlateOptions(stop=stop)) for stop in ("rim", "slab"))
    reach = [np.ptp(np.vstack(of_mesh(made.mesh, np.eye(4), offset_mm=5.0))[:, 0]) / 2 - 2.4 for made in (narrow, wide)]
    # Radii of the ball where the rim ends (9.5 mm from the centre) and where the slab does (4.5 mm).
    assert np.isclose(reach[0], np.sqrt(400 - 9.5**2), atol=0.8)
    assert np.isclose(reach[1], np.sqrt(400 - 4.5**2), atol=0.8)


def test_a_slab_in_two_parts_gets_a_rim_round_each(shapes):
    def pair(p):
        return np.minimum(shapes.ball(p, 9.0, (-12, 0, 0)), shapes.ball(p, 9.0, (11, 0, 0)))

    body = shapes.sampled(pair, 24.0)
    made = plate(slabs(plan((-3, 3)), body)[1], body)
    assert check(made.mesh).bodies == 1
    assert len(of_mesh(made.mesh, np.eye(4), offset_mm=4.0)) == 4


def test_what_cannot_be_engraved_is_said(shapes):
    body = shapes.sampled(lambda p: shapes.ball(p, 12.0), 12.0)
    slab = slabs(plan((0,), ids="µ{}"), body)[1]
    with pytest.warns(ComouldWarning, match="no room or no sign to engrave: S02 µ1"):
        made = plate(slab, body)
    assert made.unmarked == ("µ1",)


def test_slabs_too_thin_for_a_plate_are_said_and_the_others_made(shapes):
    body = shapes.sampled(lambda p: shapes.ball(p, 14.0), 14.0)
    sampling = plan_cores(plan((-2, 0.6)), body, body, options=CoreOptions(unphotographed=True))
    assert all(sampling.of(slab) for slab in ("S01", "S02", "S03"))
    with pytest.warns(ComouldWarning, match=r"none for slabs thinner than 1\.8 mm: S02 \(1\.60 mm\)"):
        made = plates(sampling, body)
    assert set(made) == {"S01", "S03"}


def test_refusals(shapes):
    body = shapes.sampled(lambda p: shapes.ball(p, 12.0), 12.0)
    made = slabs(plan((0, 2.5)), body)
    with pytest.raises(GeometryError, match=r"plate of slab S02: expected a slab at least 1\.8 mm thick"):
        plate(made[1], body)
    sampling = plan_cores(plan((0,)), body, body, options=CoreOptions(unphotographed=True))
    with pytest.raises(GeometryError, match="plate of slab S01: expected its own cores, found S02-1"):
        plate(sampling.slabs[0], body, sampling.of("S02")[:1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thickness_mm": 0.5}, r"thickness_mm 0\.5 is not from 2 to 10"),
        ({"stroke_mm": 1.0}, r"digit_mm 4\.0 is too small for strokes of 1\.0 mm \(at least 5\)"),
        ({"stop": "face"}, "stop 'face' is not 'rim' or 'slab'"),
        ({"thickness_mm": 2.0, "engrave_mm": 1.2}, "leaves less than 1 mm"),
        ({"rim_mm": 0.0, "digit_mm": 1.0}, "2 problems"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(InputError, match=message):
        PlateOptions(**options)


def test_labels_keep_clear_of_holes_and_each_other():
    options = PlateOptions()
    rng = np.random.default_rng(5)
    holes = [(at, 2.0) for at in rng.uniform(10, 50, (25, 2))]
    wishes = [Label.beside(str(n), at, radius, options) for n, (at, radius) in enumerate(holes, 1)]
    placed, unmarked = place_labels(wishes, holes, (np.zeros(2), np.full(2, 60.0)))
    assert len(placed) + len(unmarked) == 25
    assert len(placed) > 10
    boxes = [label.box(label.places[0]) for label in placed]
    for n, (x0, y0, x1, y1) in enumerate(boxes):
        assert min(x0, y0) > 0
        assert max(x1, y1) < 60
        for at, radius in holes:
            assert np.linalg.norm(np.clip(at, (x0, y0), (x1, y1)) - at) >= radius + 0.8 - 1e-9
        for a0, b0, a1, b1 in boxes[:n]:
            assert x0 >= a1 or a0 >= x1 or y0 >= b1 or b0 >= y1


def test_files(case, tmp_path):
    import pandas as pd

    from comould.io.mesh import read_mesh

    blocks = plan_blocks(case.plan, case.body)
    written = write_sampling(tmp_path, case.sampling, case.plates, blocks)
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    assert names == {
        "sampling.csv",
        "blocks.csv",
        "sampling/short.csv",
        "sampling/sampling.json",
        *(f"sampling/plate_{slab}.stl" for slab in case.plates),
    }
    assert all(path.is_file() for path in written)
    data = json.loads((tmp_path / "sampling" / "sampling.json").read_text(encoding="utf-8"))
    assert [core["id"] for core in data["cores"]] == pd.read_csv(tmp_path / "sampling.csv")["core"].tolist()
    assert {slab["id"] for slab in data["slabs"]} == {"S01", "S02", "S03", "S04"}
    assert len(data["blocks"]) == len(blocks.blocks)
    for name, made in case.plates.items():
        assert np.allclose(data["plates"][name]["patient_from_plate"], made.patient_from_plate.matrix)
        back = read_mesh(tmp_path / "sampling" / f"plate_{name}.stl")
        assert np.allclose(back.bounds, made.mesh.bounds, atol=1e-3)


def test_an_oblique_image_changes_nothing_in_the_patient(shapes, arms):
    """The same body drawn on a turned grid: the plates' pockets agree in the patient."""
    turned = Rotation.from_euler("xyz", (15, -25, 40), degrees=True).as_matrix()
    oblique = shapes.sampled(shapes.arms, 34.0, spacing=(1.0, 1.0, 1.0), direction=turned)
    made = [plate(slabs(plan((-3, 3)), body)[1], body) for body in (arms, oblique)]
    reach = [p.patient_from_plate.apply(p.mesh.vertices[p.mesh.vertices[:, 2] > 4.0]) for p in made]
    assert np.allclose(reach[0].min(axis=0), reach[1].min(axis=0), atol=0.6)
    assert np.allclose(reach[0].max(axis=0), reach[1].max(axis=0), atol=0.6)

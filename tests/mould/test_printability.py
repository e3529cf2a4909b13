"""Printability of meshes with known faults, and the ray caster the fit is measured with."""

import numpy as np
import pytest
import trimesh

from comould.errors import InputError
from comould.mould import _cast, check
from comould.mould.printability import measure
from comould.mould.printing import slicer


@pytest.fixture
def box():
    return trimesh.creation.box((20, 30, 40))


def test_a_box_is_printable(box):
    report = check(box)
    assert report.printable
    assert report.watertight
    assert (report.bodies, report.voids, report.faces) == (1, 0, 12)
    assert report.volume_ml == pytest.approx(24.0)
    assert report.size_mm == pytest.approx((20, 30, 40))
    assert {line.name for line in report.lines()} >= {"watertight", "volume", "size", "bodies"}
    assert all(line.passed is not False for line in report.lines())
    assert report.to_dict()["printable"] is True


def test_hole(box):
    box.update_faces(np.arange(12) > 0)
    report = check(box)
    assert (report.open_edges, report.printable) == (3, False)
    assert any(line.passed is False and "holes" in line.value for line in report.lines())


def test_flipped_triangle(box):
    faces = np.array(box.faces)
    faces[0] = faces[0][::-1]
    report = check(trimesh.Trimesh(box.vertices, faces, process=False))
    assert report.flipped_edges == 3
    assert not report.printable


def test_inside_out(box):
    box.invert()
    report = check(box)
    assert report.watertight
    assert "inside out" in report.problems[0]


def test_two_bodies_and_a_hollow(box):
    far = box.copy()
    far.apply_translation((100, 0, 0))
    hollow = trimesh.creation.box((5, 5, 5))
    hollow.invert()
    report = check(trimesh.util.concatenate([box, far, hollow]))
    assert (report.bodies, report.voids, report.printable) == (2, 1, True)
    assert len(report.notes) == 2


def test_boxes_sharing_an_edge_or_a_corner(box):
    edge, corner = box.copy(), box.copy()
    edge.apply_translation((20, 30, 0))
    corner.apply_translation((20, 30, 40))
    assert check(trimesh.util.concatenate([box, edge])).crowded_edges == 1
    touching = check(trimesh.util.concatenate([box, corner]))
    assert (touching.touching_vertices, touching.bodies) == (1, 2)


@pytest.mark.parametrize(("scale", "unit"), [(0.001, "metres or inches"), (1000, "micrometres")])
def test_units_that_cannot_be_mm(box, scale, unit):
    box.apply_scale(scale)
    assert any(unit in problem for problem in check(box).problems)


def test_slivers_count_as_degenerate(box):
    vertices = np.vstack([box.vertices, box.vertices[:1] + 1e-9])
    faces = np.vstack([box.faces, [[0, len(vertices) - 1, 1]]])
    assert check(trimesh.Trimesh(vertices, faces, process=False)).degenerate_faces == 1


def test_reads_files(box, tmp_path):
    box.export(tmp_path / "box.stl")
    assert check(tmp_path / "box.stl").printable
    assert check(str(tmp_path / "box.stl")).faces == 12
    with pytest.raises(InputError, match="no file"):
        check(tmp_path / "none.stl")


def test_empty_mesh():
    with pytest.raises(InputError, match="finite triangles, found none"):
        check(trimesh.Trimesh())


def test_inside_matches_a_ball():
    mesh = trimesh.creation.icosphere(4, 7.3)
    mesh.apply_translation((10.2, 11.1, 9.7))
    solid = _cast.inside(np.asarray(mesh.triangles), (22, 24, 20))
    z, y, x = np.indices((20, 24, 22))
    distance = np.sqrt((x - 10.2) ** 2 + (y - 11.1) ** 2 + (z - 9.7) ** 2)
    assert solid[distance < 7.25].all()
    assert not solid[distance > 7.3].any()


def test_inside_of_a_box_on_whole_numbers_and_outside_the_grid():
    mesh = trimesh.creation.box((6, 6, 6))
    solid = _cast.inside(np.asarray(mesh.triangles) + np.array([0.5, 2.5, 3.5]), (8, 8, 5))
    assert np.array_equal(np.unique(np.argwhere(solid)[:, 2]), [0, 1, 2, 3])
    assert np.array_equal(np.unique(np.argwhere(solid)[:, 1]), [0, 1, 2, 3, 4, 5])
    assert np.array_equal(np.unique(np.argwhere(solid)[:, 0]), [1, 2, 3, 4])
    assert not _cast.inside(np.asarray(mesh.triangles) + 100.0, (8, 8, 5)).any()


def test_single_rays_along_each_axis():
    mesh = trimesh.creation.box((2, 4, 6))
    rays = _cast.Rays(np.asarray(mesh.triangles))
    for axis, half in enumerate((1, 2, 3)):
        assert rays.along(np.array([0.1, 0.2, 0.3]), axis) == pytest.approx([-half, half])
    assert rays.along(np.array([0, 9.0, 0]), 0).size == 0


def test_long_thin_triangles_in_chunks(monkeypatch):
    monkeypatch.setattr(_cast, "_CHUNK", 50)
    mesh = trimesh.creation.cylinder(9.4, 8, sections=200)
    mesh.apply_translation((12, 12, 6))
    solid = _cast.inside(np.asarray(mesh.triangles), (25, 25, 12))
    y, x = np.indices((25, 25))
    assert np.array_equal(solid[6], np.hypot(x - 12, y - 12) < 9.4)


def test_measure_is_the_cheap_part(box):
    report = measure(np.asarray(box.vertices), np.asarray(box.faces))
    assert report.printing is None
    assert "printing" not in report.to_dict()
    assert check(box).printing is not None


def test_a_thin_wall_is_not_printable():
    plate = trimesh.creation.box((40, 0.7, 30))
    report = check(plate)
    assert report.watertight
    assert not report.printable
    assert "walls of 0.70 mm" in report.problems[0]
    assert "make them thicker or choose a finer printer" in report.problems[0]
    thicker = check(trimesh.creation.box((40, 1.1, 30)), printer="formlabs_form3b")
    assert thicker.printable, "1 mm is enough for resin"


def test_too_large_for_the_bed_is_not_printable():
    report = check(trimesh.creation.box((300, 200, 10)))
    assert not report.printable
    assert "split" in report.problems[0]
    assert check(trimesh.creation.box((300, 20, 10))).printable, "along the diagonal"
    assert not check(trimesh.creation.box((150, 100, 10)), printer="generic_sla").printable


def test_an_overhang_is_a_note():
    top = trimesh.creation.box((40, 22, 4))
    top.apply_translation((12, 0, 17))
    report = check(trimesh.util.concatenate([trimesh.creation.box((20, 20, 40)), top]))
    assert report.printable
    assert any("support" in note for note in report.notes)


def test_an_open_mesh_waits(box):
    box.update_faces(np.arange(12) > 0)
    report = check(box)
    assert report.printing is None
    assert any("wait for a sound surface" in note for note in report.notes)


def test_unknown_names_and_prices(box):
    with pytest.raises(InputError, match="printer 'nothing'"):
        check(box, printer="nothing")
    with pytest.raises(InputError, match="price per kg: expected a number from 0"):
        check(box, price_per_kg=-1)


def test_report_says_why_the_slicer_has_no_figures(box, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="on the PATH"):
        check(box, slicer=True)


@pytest.mark.skipif(not slicer.available(), reason="prusa-slicer is not installed")
def test_slicer_joins_the_report(box):
    report = check(box, slicer=True)
    assert report.printable
    assert report.slicer.filament_g > 0
    assert report.to_dict()["slicer"]["sound"] is True
    assert any(line.name == "sliced" for line in report.lines())
    resin = check(box, printer="formlabs_form3b", slicer=True)
    assert resin.slicer.time_s is None
    assert any("not filament" in note for note in resin.notes)
    box.update_faces(np.arange(12) > 0)
    broken = check(box, slicer=True)
    assert broken.slicer.open_edges == 3
    assert not broken.printable
    large = check(trimesh.creation.box((400, 30, 30)), slicer=True)
    assert any("larger" in problem for problem in large.problems)

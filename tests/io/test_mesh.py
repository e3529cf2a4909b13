"""Meshes out and in: millimetres, closed at float32, the same bytes each time, clear refusals."""

import zipfile

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from comould.errors import InputError, PrintabilityError
from comould.io import read_mesh, write_3mf, write_stl
from comould.io.mesh import edge_report, read_stl_facets, weld


def ball(radius=20.0, centre=(100.0, -250.0, 700.0), subdivisions=3):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    mesh.apply_translation(centre)
    return mesh


def sliver(gap, x):
    """A closed prism whose two ends lie ``gap`` apart at ``x``."""
    box = trimesh.creation.box((gap, 1.0, 1.0))
    box.apply_translation((x, 0.0, 0.0))
    return box


def test_stl_is_binary_says_mm_and_reads_back_closed(tmp_path):
    mesh = ball()
    path = write_stl(mesh, tmp_path / "m.stl")
    data = path.read_bytes()
    assert data.startswith(b"comould")
    assert b"mm" in data[:80]
    assert len(data) == 84 + 50 * len(mesh.faces)
    back = read_mesh(path)
    assert back.is_watertight
    assert back.units == "mm"
    assert len(back.vertices) == len(mesh.vertices)
    assert back.volume == pytest.approx(mesh.volume, rel=1e-5)
    np.testing.assert_allclose(back.triangles, mesh.triangles, atol=1e-4)
    assert data == write_stl(mesh, tmp_path / "again.stl").read_bytes()


def test_3mf_keeps_names_unit_order_and_every_float32(tmp_path):
    bodies = {"mould": ball(), "base plate": trimesh.creation.box((30, 20, 5)), "key": trimesh.creation.box((1, 2, 3))}
    path = write_3mf(bodies, tmp_path / "m.3mf")
    with zipfile.ZipFile(path) as archive:
        model = archive.read("3D/3dmodel.model").decode()
    assert 'unit="millimeter"' in model
    assert [model.index(f'name="{name}"') for name in bodies] == sorted(model.index(f'name="{n}"') for n in bodies)
    back = read_mesh(path)
    expected = np.concatenate([body.triangles for body in bodies.values()])
    np.testing.assert_array_equal(back.triangles.astype(np.float32), expected.astype(np.float32))
    assert back.body_count == 3
    assert back.is_watertight


def test_3mf_bytes_repeat(tmp_path):
    bodies = {"mould": ball(), "plate": trimesh.creation.box((30, 20, 5))}
    first = write_3mf(bodies, tmp_path / "a.3mf").read_bytes()
    assert first == write_3mf(bodies, tmp_path / "b.3mf").read_bytes()
    assert first != write_3mf({"mould": bodies["mould"]}, tmp_path / "c.3mf").read_bytes()


def test_stl_facets_are_read_as_stored(tmp_path):
    mesh = ball()
    path = write_stl(mesh, tmp_path / "m.stl")
    np.testing.assert_array_equal(read_stl_facets(path), mesh.triangles.astype(np.float32))
    stored = np.frombuffer(path.read_bytes()[84:], np.uint8).reshape(-1, 50)[:, :12].copy().view("<f4")
    np.testing.assert_allclose(stored, mesh.face_normals, atol=1e-4)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"binary STL of {84 + 50 * len(mesh.faces)} bytes.*found"):
        read_stl_facets(path)


def test_3mf_colours(tmp_path):
    bodies = {
        "mould": ball(),
        "vessel & vein": trimesh.creation.box((1, 2, 3)),
        "tube": trimesh.creation.box((2, 2, 2)),
    }
    colours = {"tube": "#00FF00", "vessel & vein": "#C8102E80"}
    path = write_3mf(bodies, tmp_path / "m.3mf", colours=colours)
    with zipfile.ZipFile(path) as archive:
        model = archive.read("3D/3dmodel.model").decode()
    assert (
        '<base name="vessel &amp; vein" displaycolor="#C8102E80"/><base name="tube" displaycolor="#00FF00"/>' in model
    )
    assert (
        '<object id="2" name="vessel &amp; vein" partnumber="vessel &amp; vein" type="model" pid="4" pindex="0">'
        in model
    )
    assert '<object id="3" name="tube" partnumber="tube" type="model" pid="4" pindex="1">' in model
    assert '<object id="1" name="mould" partnumber="mould" type="model"><mesh>' in model
    assert read_mesh(path).body_count == 3
    for wrong in ({"tube": "green"}, {"artery": "#FF0000"}):
        with pytest.raises(InputError, match="expected #RRGGBB for any of mould, vessel & vein, tube"):
            write_3mf(bodies, tmp_path / "n.3mf", colours=wrong)


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
def test_weld_joins_equal_corners_and_no_others(seed, precision):
    rng = np.random.default_rng(seed)
    places = rng.integers(-2, 3, (12, 3)).astype(precision) * rng.choice([1.0, 0.1, 1e-7])
    corners = places[rng.integers(0, 12, 30)]
    corners[rng.random(corners.shape) < 0.1] *= -1
    faces = rng.integers(0, 30, (20, 3))
    merged, index = weld(corners, faces)
    np.testing.assert_array_equal(merged[index], corners[faces])
    assert len(merged) == len(np.unique(corners + 0, axis=0))
    seen = list(dict.fromkeys(map(tuple, (corners + 0).tolist())))
    assert list(map(tuple, merged.tolist())) == seen


@pytest.mark.parametrize(("unit", "factor"), [("inch", 25.4), ("micron", 0.001), ("meter", 1000.0)])
def test_3mf_of_another_unit_is_converted(tmp_path, unit, factor):
    path = write_3mf({"cube": trimesh.creation.box((1, 2, 3))}, tmp_path / "mm.3mf")
    other = tmp_path / "other.3mf"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'unit="millimeter"', f'unit="{unit}"'.encode()))
    np.testing.assert_allclose(read_mesh(other).extents, np.array([1, 2, 3]) * factor)


@pytest.mark.parametrize("suffix", ["ply", "obj", "stl"])
def test_others_read_with_their_facets_in_order(tmp_path, suffix):
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=5.0)
    mesh.export(tmp_path / f"m.{suffix}")
    back = read_mesh(tmp_path / f"m.{suffix}")
    np.testing.assert_allclose(back.triangles, mesh.triangles, atol=1e-5)
    assert back.is_watertight


def test_text_stl_reads(tmp_path):
    mesh = trimesh.creation.box((1, 2, 3))
    (tmp_path / "m.stl").write_text(trimesh.exchange.stl.export_stl_ascii(mesh))
    assert read_mesh(tmp_path / "m.stl").volume == pytest.approx(6.0)


def test_a_surface_that_opens_at_float32_is_refused(tmp_path):
    # Near x = 1000 float32 steps are 6e-5: corners 2e-5 apart fall together and the sides fold onto each other.
    mesh = ball(radius=10.0, centre=(0, 0, 0), subdivisions=1)
    spike = mesh.copy()
    spike.vertices[:, 0] = spike.vertices[:, 0] * 1e-6 + 1000.0
    assert spike.is_watertight
    assert edge_report(spike.vertices, spike.faces).open_edges > 0
    for write in (lambda: write_stl(spike, tmp_path / "m.stl"), lambda: write_3mf({"m": spike}, tmp_path / "m.3mf")):
        with pytest.raises(PrintabilityError, match=r"stays closed at float32 precision.*edges that open"):
            write()
    assert not list(tmp_path.iterdir())


def test_facets_without_area_are_left_out_and_the_rest_stays_closed(tmp_path):
    mesh = trimesh.creation.box((10.0, 10.0, 10.0)).subdivide()
    corners = mesh.vertices + 1000.0
    # Pull the middle of one edge onto its end, nearer than float32 tells apart.
    middle = int(np.argmin(np.linalg.norm(mesh.vertices - [0, 5, 5], axis=1)))
    corners[middle] = np.array([1005.0, 1005.0, 1005.0]) - [1e-6, 0, 0]
    near = trimesh.Trimesh(corners, mesh.faces, process=False)
    report = edge_report(near.vertices, near.faces)
    assert report.collapsed_facets == 2
    assert report.open_edges == 0
    back = read_mesh(write_stl(near, tmp_path / "m.stl"))
    assert back.is_watertight
    assert len(back.faces) == len(mesh.faces) - 2


def test_an_open_mesh_is_written_as_it_is_and_reported(tmp_path):
    mesh = trimesh.creation.box((1, 1, 1))
    mesh.update_faces(np.arange(len(mesh.faces)) > 0)
    assert edge_report(mesh.vertices, mesh.faces).open_edges == 3
    assert not read_mesh(write_stl(mesh, tmp_path / "m.stl")).is_watertight


@given(st.integers(1, 3), st.integers(0, 11))
def test_edge_report_sees_a_facet_turned_round(copies, facet):
    mesh = trimesh.creation.box((1, 2, 3))
    faces = mesh.faces.copy()
    assert edge_report(mesh.vertices, faces).open_edges == 0
    faces[facet] = faces[facet][::-1]
    assert edge_report(mesh.vertices, faces).open_edges == 6
    doubled = np.vstack([mesh.faces] + [mesh.faces] * copies)
    assert edge_report(mesh.vertices, doubled).open_edges == len(doubled) * 3


def test_minus_zero_is_zero():
    mesh = trimesh.creation.box((2, 2, 2))
    mesh.apply_translation((1, 1, 1))
    corners = mesh.vertices[mesh.faces.ravel()].copy()
    corners[::2][corners[::2] == 0] = -0.0
    assert edge_report(corners, np.arange(len(corners)).reshape(-1, 3)).open_edges == 0


def test_nothing_to_write_is_an_input_error(tmp_path):
    empty = trimesh.Trimesh(np.zeros((0, 3)), np.zeros((0, 3), int))
    holed = trimesh.creation.box((1, 1, 1))
    holed.vertices[0] = np.nan
    for mesh, message in ((empty, "expected a mesh with facets"), (holed, "1 corners that are NaN or infinite")):
        with pytest.raises(InputError, match=message):
            write_stl(mesh, tmp_path / "m.stl")
        with pytest.raises(InputError, match=message):
            write_3mf({"a": mesh}, tmp_path / "m.3mf")
    for bodies in ({}, {"": trimesh.creation.box((1, 1, 1))}):
        with pytest.raises(InputError, match="at least one, each with a name"):
            write_3mf(bodies, tmp_path / "m.3mf")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.stl", None, "expected a mesh, found no file"),
        ("m.step", b"x", "expected suffix .stl, .3mf, .ply, .obj, found .step"),
        ("m.stl", b"", "found an empty file"),
        ("m.stl", b"\0" * 60, "found a file that cannot be read|nothing in it"),
        ("m.stl", b"\0" * 80 + b"\x05\0\0\0" + b"\0" * 60, "cannot be read|nothing in it"),
        ("m.stl", b"\0" * 84, "expected a mesh with facets|cannot be read"),
        ("m.3mf", b"PK not a zip", "found a file that cannot be read"),
        ("m.ply", b"ply\nnonsense", "found a file that cannot be read"),
        ("m.obj", b"v 0 0 0\nv 1 0 0\n", "expected a mesh with facets"),
        ("m.obj", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "NaN or infinite"),
    ],
)
def test_files_that_are_no_mesh_are_input_errors(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_mesh(tmp_path / name)


def test_a_cloud_of_points_is_no_mesh(tmp_path):
    trimesh.PointCloud(np.eye(3)).export(tmp_path / "m.ply")
    with pytest.raises(InputError, match="expected a mesh with facets, found PointCloud"):
        read_mesh(tmp_path / "m.ply")

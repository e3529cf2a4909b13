"""Bed fit in the best rotation, and splitting what does not fit."""

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from manifold3d import Manifold

from comould.errors import ComouldWarning, InputError, PrintabilityError
from comould.mould import check
from comould.mould.printing.bed import fit_on_bed
from comould.mould.printing.limits import Limits
from comould.mould.printing.split import Joint, split_for_bed, write_split


def mesh_of(body):
    raw = body.to_mesh()
    return trimesh.Trimesh(raw.vert_properties[:, :3].astype(float), raw.tri_verts.astype(int), process=False)


def slotted(count=12, spacing=6.0, slot=1.0):
    length = 20 + spacing * count
    block = Manifold.cube((length, 60, 40))
    at = [10 + spacing * n for n in range(count)]
    for x in at:
        block -= Manifold.cube((slot, 40, 40)).translate((x - slot / 2, 10, 8))
    return mesh_of(block), at


def corners(size, turn_deg=0.0):
    box = trimesh.creation.box(size)
    box.apply_transform(trimesh.transformations.rotation_matrix(np.deg2rad(turn_deg), (0, 0, 1)))
    return np.asarray(box.vertices)


def test_fits_as_it_stands():
    fit = fit_on_bed(corners((100, 90, 50)), (250, 210, 200))
    assert (fit.fits, fit.rotation_deg) == (True, 0.0)
    assert fit.footprint_mm == pytest.approx((100, 90, 50))
    assert fit.margin_mm == pytest.approx(120)


def test_fits_turned_by_a_right_angle():
    fit = fit_on_bed(corners((200, 240, 50)), (250, 210, 200))
    assert fit.fits
    assert fit.rotation_deg == pytest.approx(90)
    assert fit.footprint_mm[:2] == pytest.approx((240, 200))


def test_a_bar_fits_along_the_diagonal():
    fit = fit_on_bed(corners((270, 20, 10)), (250, 210, 200))
    assert fit.fits
    assert 20 < fit.rotation_deg % 180 < 160
    assert not fit_on_bed(corners((330, 20, 10)), (250, 210, 200)).fits


def test_too_high_in_any_rotation():
    fit = fit_on_bed(corners((50, 50, 201)), (250, 210, 200))
    assert fit.margin_mm == pytest.approx(-1)


@given(st.floats(0, 360), st.floats(20, 240), st.floats(20, 200))
def test_a_turned_box_is_turned_back(turn, length, width):
    if length < width:
        length, width = width, length
    fit = fit_on_bed(corners((length, width, 10), turn), (length + 0.01, width + 0.01, 20))
    assert fit.fits
    assert fit.footprint_mm[:2] == pytest.approx((length, width), abs=0.02)


def test_the_rotation_says_how_to_turn_it():
    points = corners((240, 40, 10), 33.0)
    fit = fit_on_bed(points, (245, 45, 20))
    turn = np.deg2rad(fit.rotation_deg)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    assert np.ptp(points[:, :2] @ matrix.T, axis=0) == pytest.approx(fit.footprint_mm[:2])


def test_what_fits_is_left_whole():
    mesh, _ = slotted()
    assert split_for_bed(mesh)["mould"] is mesh


@pytest.mark.parametrize("bed", [(60, 80, 100), (50, 45, 100), (250, 210, 25)])
def test_parts_fit_and_make_up_the_whole(bed):
    mesh, at = slotted()
    joint = Joint(clearance_mm=0.2)
    bodies = split_for_bed(mesh, bed, slots_x=at, joint=joint)
    parts = {name: body for name, body in bodies.items() if "_pin_" not in name}
    pins = {name: body for name, body in bodies.items() if "_pin_" in name}
    assert len(parts) >= 2
    assert pins
    for body in bodies.values():
        assert check(body).watertight
        assert fit_on_bed(np.asarray(body.vertices), bed).fits
    total = sum(body.volume for body in bodies.values())
    gaps = sum(4.5 * 0.2 * np.prod(np.sort(body.extents)[1:]) for body in pins.values())
    assert mesh.volume - gaps < total < mesh.volume
    union = Manifold.batch_boolean([as_manifold(body) for body in bodies.values()], _add())
    whole = as_manifold(mesh)
    assert (union - whole).volume() < 1e-2 * mesh.volume
    assert union.volume() == pytest.approx(total, rel=1e-5)


def _add():
    from manifold3d import OpType

    return OpType.Add


def as_manifold(mesh):
    from manifold3d import Mesh

    return Manifold(Mesh(np.asarray(mesh.vertices, dtype=np.float32), np.asarray(mesh.faces, dtype=np.uint32)))


@pytest.mark.parametrize("known", [True, False])
def test_cuts_run_midway_between_slots(known):
    mesh, at = slotted()
    bodies = split_for_bed(mesh, (60, 80, 100), slots_x=at if known else ())
    middles = np.array(at[:-1]) + 3.0
    faces = [body.bounds[1, 0] for name, body in bodies.items() if name == "mould_1"]
    assert np.abs(middles - faces[0]).min() < 1e-3


def test_pins_go_into_their_sockets_with_play():
    mesh, at = slotted()
    bodies = split_for_bed(mesh, (60, 80, 100), slots_x=at)
    pins = [body for name, body in bodies.items() if "_pin_" in name]
    parts = [as_manifold(body) for name, body in bodies.items() if "_pin_" not in name]
    for pin in pins:
        pressed = sum((as_manifold(pin) ^ part).volume() for part in parts)
        assert pressed < 1e-6
        shifted = as_manifold(pin).translate((0, 0.35, 0))
        assert sum((shifted ^ part).volume() for part in parts) > 0.1
    sides = {round(float(np.sort(pin.extents)[0]), 2) for pin in pins}
    assert len(sides) > 1, "two sizes, so that the parts go together one way only"


def test_thin_ribs_are_named():
    mesh, at = slotted(40, spacing=2.4, slot=1.0)
    with pytest.warns(ComouldWarning, match=r"halves a wall of 1\.4 mm"):
        split_for_bed(mesh, (80, 80, 100), slots_x=at)


def test_no_room_for_pins():
    with pytest.warns(ComouldWarning, match="no room for pins"):
        bodies = split_for_bed(mesh_of(Manifold.cube((100, 4, 4))), (60, 60, 60))
    assert set(bodies) == {"mould_1", "mould_2"}


def test_bad_splits():
    mesh, _ = slotted()
    with pytest.raises(InputError, match="three sizes in mm above 0"):
        split_for_bed(mesh, (60, 0, 100))
    with (
        pytest.warns(ComouldWarning),
        pytest.raises(PrintabilityError, match="at most 64 parts"),
    ):
        split_for_bed(mesh, (2, 2, 2))
    mesh.update_faces(np.arange(len(mesh.faces)) > 0)
    with pytest.raises(PrintabilityError, match="expected a closed mesh"):
        split_for_bed(mesh, (60, 80, 100))


def test_writes_parts_and_manifest(tmp_path):
    mesh, at = slotted()
    problems = write_split(mesh, tmp_path / "parts", Limits(bed_mm=(60, 80, 100)), slots_x=at)
    written = {path.stem for path in (tmp_path / "parts").glob("*.stl")}
    assert written == set(problems)
    assert not any(problems.values())
    assert '"units": "mm"' in (tmp_path / "parts" / "manifest.json").read_text()
    with pytest.raises(InputError, match="new or empty folder"):
        write_split(mesh, tmp_path / "parts", Limits(bed_mm=(60, 80, 100)))

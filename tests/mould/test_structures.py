"""Vessels leave through windows, contacts are printed in their own colour, and several lesions get a mould each."""

import zipfile

import numpy as np
import pytest
import SimpleITK as sitk

from comould.errors import InputError
from comould.mould import Companions, build, check
from comould.mould.form import solid_of
from comould.mould.structures import Structure
from comould.space import Grid

pytestmark = pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")


def solid(mesh):
    return solid_of((np.asarray(mesh.vertices), np.asarray(mesh.faces)))


@pytest.fixture(scope="module")
def egg(shapes):
    return shapes.sampled(
        lambda p: (np.linalg.norm(p / (18.0, 15.0, 20.0), axis=1) - 1.0) * 15.0, (44, 44, 24), (1, 1, 2)
    )


@pytest.fixture(scope="module")
def drawn(egg):
    """Make a mask on the specimen's grid; points are relative to its centre, patient axes."""
    grid = Grid.from_image(egg)

    def make(inside):
        index = np.indices(grid.shape).reshape(3, -1)[::-1].T
        points = grid.patient_from_index(index) - np.array((11.0, -23.0, 47.0))
        return grid.to_image(inside(points).reshape(grid.shape))

    return make


@pytest.fixture(scope="module")
def vessel(drawn, shapes):
    """A tube of 8 mm out of the specimen's back half, to the patient's left."""
    return drawn(lambda p: shapes.capsule(p, (8, 0, 2), (40, 4, 2), 4.0) < 0)


@pytest.fixture(scope="module")
def contact(drawn):
    """A cap of capsule: a thin layer over part of the underside."""
    return drawn(
        lambda p: (np.abs(np.linalg.norm(p / (18.0, 15.0, 20.0), axis=1) - 1.0) < 0.12) & (p[:, 1] > 6) & (p[:, 0] > 0)
    )


@pytest.fixture(scope="module")
def windowed(egg, vessel):
    structure = Structure("vein", vessel, "window", reach_mm=1.5)
    return build(egg, spacing_mm=8, up="anterior", companions=Companions(structures=[structure]))


@pytest.fixture(scope="module")
def plain(egg):
    return build(egg, spacing_mm=8, up="anterior")


@pytest.fixture(scope="module")
def inlaid(egg, contact):
    structure = Structure("capsule", contact, colour="#2a9d8f", reach_mm=2.5)
    return build(egg, spacing_mm=8, up="anterior", companions=Companions(structures=[structure]))


def in_mould(mould, image):
    """Voxel centres of a mask in the mould frame."""
    index = np.argwhere(sitk.GetArrayFromImage(image) > 0)[:, ::-1]
    return mould.mould_from_patient.apply(Grid.from_image(image).patient_from_index(index))


def test_a_window_lets_the_vessel_out(windowed, plain, vessel):
    """It passes through the wall; the mould stays one body; specimen and vessel come out together."""
    from manifold3d import Manifold

    assert check(windowed.bodies["mould"]).bodies == 1
    body = solid(windowed.bodies["mould"])
    points = in_mould(windowed, vessel)
    tube = Manifold.hull_points(points)
    assert (solid(plain.bodies["mould"]) ^ tube).volume() > 100.0
    both = solid(windowed.specimen) + tube
    for lift in (0.0, 2.0, 10.0, 40.0):
        assert (body ^ both.translate((0.0, 0.0, lift))).volume() < 0.5, lift
    # It leaves sideways: beyond the wall there is vessel.
    assert np.abs(points[:, 0]).max() > 0.5 * np.ptp(windowed.bodies["mould"].bounds[:, 0]) or (
        np.abs(points[:, 1]).max() > 0.5 * np.ptp(windowed.bodies["mould"].bounds[:, 1])
    )
    assert [(s["name"], s["role"], s["body"]) for s in windowed.report["structures"]] == [("vein", "window", "")]


def test_a_window_takes_out_no_more_than_its_way(windowed, plain):
    cut = solid(plain.bodies["mould"]) - solid(windowed.bodies["mould"])
    low, high = np.array(cut.bounding_box()).reshape(2, 3)
    across = np.sort((high - low)[:2])[0]
    assert across < 8.0 + 2 * 1.5 + 8.0
    assert cut.volume() < 0.25 * solid(plain.bodies["mould"]).volume()


def test_an_inlay_is_a_piece_of_the_wall(inlaid, plain):
    """Inlay and body together are the body there was before, and share nothing."""
    body, inlay, before = solid(inlaid.bodies["mould"]), solid(inlaid.inlays["capsule"]), solid(plain.bodies["mould"])
    assert (body ^ inlay).volume() < 0.05
    joined = body + inlay
    assert joined.volume() == pytest.approx(before.volume(), rel=1e-4)
    assert (joined - before).volume() + (before - joined).volume() < 2.0
    assert inlay.volume() > 100.0
    (told,) = inlaid.report["structures"]
    assert (told["name"], told["role"], told["colour"], told["body"]) == ("capsule", "inlay", "#2a9d8f", "mould")
    assert told["volume_ml"] == pytest.approx(inlay.volume() / 1000.0, rel=1e-3)


def test_an_inlay_lies_where_the_structure_touches(inlaid, contact):
    from scipy.spatial import cKDTree

    points = in_mould(inlaid, contact)
    away = cKDTree(points).query(np.asarray(inlaid.inlays["capsule"].vertices))[0]
    assert away.max() < 2.5 + 0.4 + 2.5
    # It reaches the cavity: the patch is seen from inside.
    near = cKDTree(np.asarray(inlaid.specimen.vertices)).query(np.asarray(inlaid.inlays["capsule"].vertices))[0]
    assert near.min() < 0.6


def test_colours_and_names_in_the_3mf(inlaid, tmp_path):
    import trimesh

    out = inlaid.write(tmp_path / "out")
    scene = trimesh.load(out / "mould.3mf")
    assert {name.split(".")[0] for name in scene.geometry} >= {"mould", "capsule"}
    with zipfile.ZipFile(out / "mould.3mf") as packed:
        model = packed.read("3D/3dmodel.model").decode()
    assert "#2A9D8F" in model.upper()
    for name in ("mould", "capsule"):
        assert f'name="{name}"' in model


def test_window_and_inlay_in_a_mould_of_two_bodies(egg, vessel, contact):
    structures = [Structure("capsule", contact), Structure("vein", vessel, "window")]
    mould = build(egg, template="two_part", spacing_mm=10, up="anterior", companions=Companions(structures=structures))
    assert {check(mesh).bodies for mesh in mould.bodies.values()} == {1}
    assert mould.report["structures"][0]["name"] == "vein"
    assert all(name.startswith("capsule") for name in mould.inlays)


def test_a_window_through_a_mark_says_so(egg, drawn, plain):
    """A tube that leaves over a slice number: the number is gone, and the mould says which."""
    number = next(mark for mark in plain.report["marks"] if mark["kind"] == "number")
    at = plain.mould_from_patient.inverse().apply([number["at_mm"]])[0] - np.array((11.0, -23.0, 47.0))
    tube = drawn(lambda p: np.linalg.norm(p - 0.8 * at, axis=1) < 4.0)
    structure = Structure("duct", tube, "window", reach_mm=3.0)
    mould = build(egg, spacing_mm=8, up="anterior", companions=Companions(structures=[structure]))
    left = [mark["text"] for mark in mould.report["marks"] if mark["kind"] == "number"]
    if number["text"] not in left:
        assert any("takes away the mark" in text and number["text"] in text for text in mould.report["warnings"])


def test_a_structure_that_misses_the_mould(egg, shapes):
    far = shapes.sampled(lambda p: shapes.ball(p, 3.0), 4.0, (1, 1, 1), centre=(150.0, 90.0, 300.0))
    for role in ("window", "inlay"):
        with pytest.raises(InputError, match=r"structure 'nerve': expected a structure that touches .* nowhere meets"):
            build(egg, spacing_mm=12, companions=Companions(structures=[Structure("nerve", far, role)]))


def test_names_once_each(egg, contact):
    for names in (("tube", "tube"), ("mould", "tube")):
        structures = [Structure(name, contact) for name in names]
        with pytest.raises(InputError, match=rf"structure '{names[0]}': expected a name of its own"):
            build(egg, spacing_mm=12, companions=Companions(structures=structures))


def test_what_a_structure_must_be(contact):
    with pytest.raises(InputError, match=r"(?s)3 problems.*name.*role 'door'.*colour 'red'"):
        Structure("Ann Smith", contact, "door", "red")
    with pytest.raises(InputError, match="reach 0 mm"):
        Structure("vein", contact, reach_mm=0)

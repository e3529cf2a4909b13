"""Four designs over random specimens: whole bodies, free ways, slots as asked, one way to put them together."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from comould.errors import InputError, PrintabilityError
from comould.mould import _cast, build, check
from comould.mould.form import solid_of
from comould.mould.printing.columns import cast
from comould.mould.printing.overhang import overhang

QUIET = pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")
DESIGNS = ("open_block", "slab_and_guide", "two_part", "shell")
UPPER = {"two_part": "upper", "slab_and_guide": "guide"}
LIFTS_MM = (0.5, 3.0, 11.0, 40.0)


def solid(mesh):
    return solid_of((np.asarray(mesh.vertices), np.asarray(mesh.faces)))


def shared(one, other):
    return (one ^ other).volume()


@pytest.fixture(scope="module")
def blob(shapes):
    """Random lumps on a random oblique grid; ``limbs`` make undercuts."""

    def make(seed, limbs=0, scale=1.0):
        rng = np.random.default_rng(seed)
        centres, radii = rng.uniform(-9, 9, (4, 3)), rng.uniform(11, 15, 4)
        ends = rng.normal(size=(limbs, 3))
        ends *= 22.0 / np.linalg.norm(ends, axis=1, keepdims=True) if limbs else 1.0

        def distance(points):
            points = points / scale
            lumps = [shapes.ball(points, r, c) for r, c in zip(radii, centres, strict=True)]
            return scale * np.min([*lumps, *(shapes.capsule(points, (0, 0, 0), end, 6.0) for end in ends)], axis=0)

        direction = Rotation.random(rng=rng).as_matrix()
        return shapes.sampled(distance, 33.0 * scale, (1.2 * scale, 1.2 * scale, 2.4 * scale), direction=direction)

    return make


@pytest.fixture(scope="module")
def moulds(blob):
    """One of each, built on demand; nothing takes weight off it, so that walls are plain."""
    made = {}

    def get(design):
        if design not in made:
            made[design] = build(blob(3, limbs=2), template=design, spacing_mm=8, up=30.0)
        return made[design]

    return get


def assert_sound(mould):
    for name, mesh in mould.bodies.items():
        report = check(mesh)
        assert report.watertight, name
        assert not report.problems, (name, report.problems)
        assert (report.bodies, report.voids, report.touching_vertices) == (1, 0, 0), name


def assert_takes_apart(mould):
    """Nothing is in the way: first what is put on from above is lifted off, then the specimen."""
    bodies = {name: solid(mesh) for name, mesh in mould.bodies.items()}
    specimen = solid(mould.specimen)
    upper = UPPER.get(mould.template.design)
    assert sum(shared(body, specimen) for body in bodies.values()) < 0.5
    rest = [body for name, body in bodies.items() if name != upper]
    for lift in LIFTS_MM:
        up = (0.0, 0.0, lift)
        if upper:
            lifted = bodies[upper].translate(up)
            assert shared(lifted, specimen) < 0.5, (lift, "upper body off the specimen")
            assert sum(shared(lifted, body) for body in rest) < 0.5, (lift, "bodies apart")
        assert sum(shared(specimen.translate(up), body) for body in rest) < 0.5, (lift, "specimen out")


def assert_slots(mould, rays_at=(0.08, 0.92)):
    """Every slot is as wide as asked in whatever body it passes, opens up, and leaves the plate whole."""
    size = mould.template.parameters
    whole = np.concatenate([np.asarray(mesh.triangles) for mesh in mould.bodies.values()])
    rays = _cast.Rays(whole)
    tissue = np.asarray(mould.specimen.vertices)
    for slot in mould.report["slots"]["each"]:
        low, high = slot["y_mm"]
        here = tissue[np.abs(tissue[:, 0] - slot["x_mm"]) < 0.5 * size.slot_mm]
        assert low < here[:, 1].min() - 1.9
        assert high > here[:, 1].max() + 1.9
        assert slot["floor_z_mm"] <= here[:, 2].min() - 0.5 + 1e-3
        for y in (low + 0.5, high - 0.5):
            for share in rays_at:
                z = slot["floor_z_mm"] + share * (slot["top_z_mm"] - slot["floor_z_mm"])
                crossed = rays.along(np.array([0.0, y, z]), 0)
                left, right = crossed[crossed < slot["x_mm"]].max(), crossed[crossed > slot["x_mm"]].min()
                assert right - left == pytest.approx(size.slot_mm, abs=0.01)
            through = rays.along(np.array([slot["x_mm"], y, 0.0]), 2)
            assert through.max() == pytest.approx(slot["floor_z_mm"], abs=0.01)
            assert slot["floor_z_mm"] >= size.base_mm - 1e-3


@QUIET
@pytest.mark.parametrize("design", DESIGNS)
def test_each_design(moulds, design):
    mould = moulds(design)
    assert_sound(mould)
    assert_takes_apart(mould)
    assert_slots(mould)


def _tried(blob, design, seed, limbs, plane, settings_):
    mould = build(blob(seed, limbs), template=design, plane=plane, **settings_)
    assert_sound(mould)
    assert_takes_apart(mould)
    assert_slots(mould)


VARIED = {
    "seed": st.integers(0, 100_000),
    "limbs": st.integers(0, 4),
    "plane": st.sampled_from(["axial", "coronal", "sagittal", "image"]),
    "design": st.sampled_from(DESIGNS),
    "settings_": st.fixed_dictionaries(
        {"spacing_mm": st.sampled_from([4.0, 6.0, 8.0, 15.0])},
        optional={
            "slot_mm": st.sampled_from([0.5, 1.6, 2.2]),
            "clearance_mm": st.sampled_from([0.25, 1.0, 2.0]),
            "outline": st.just("block"),
            "top": st.just("flat"),
            "hollow": st.just(False),
            "flange_mm": st.sampled_from([0.0, 10.0]),
            "guide_mm": st.sampled_from([0.0, 12.0]),
            "drain_mm": st.just(4.0),
            "slit_depth_mm": st.sampled_from([0.0, 4.0]),
            "up": st.floats(0.0, 359.0),
        },
    ),
}


@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])
@given(**VARIED)
@QUIET
def test_random_specimens(blob, seed, limbs, plane, design, settings_):
    _tried(blob, design, seed, limbs, plane, settings_)


@pytest.mark.slow
@settings(max_examples=80, phases=[Phase.explicit, Phase.generate])
@given(**VARIED)
@QUIET
def test_many_random_specimens(blob, seed, limbs, plane, design, settings_):
    _tried(blob, design, seed, limbs, plane, settings_)


@QUIET
@pytest.mark.parametrize("design", list(UPPER))
def test_bodies_go_together_one_way_only(moulds, design):
    """Pins have the asked gap in their sockets; turned by half a turn they stand on the other body."""
    mould = moulds(design)
    upper = solid(mould.bodies[UPPER[design]])
    base = next(solid(mesh) for name, mesh in mould.bodies.items() if name != UPPER[design])
    split = upper.bounding_box()[2]
    pins = [pin for pin in base.split_by_plane((0.0, 0.0, 1.0), split + 0.5)[0].decompose() if pin.volume() > 20.0]
    assert len(pins) == 3
    size = mould.template.parameters
    corners = [np.array(pin.bounding_box()).reshape(2, 3) for pin in pins]
    assert sorted(box[1, 0] - box[0, 0] for box in corners) == pytest.approx(
        [size.pin_mm, size.pin_mm, size.pin_mm + 1.5], abs=0.02
    )
    for pin in pins:
        top = pin.bounding_box()[5]
        assert top - split == pytest.approx(6.0, abs=0.05)
        for side in np.eye(3)[:2]:
            for sign in (-1.0, 1.0):
                gap = size.pin_clearance_mm
                assert shared(pin.translate(tuple(sign * (gap - 0.03) * side)), upper) < 0.01
                assert shared(pin.translate(tuple(sign * (gap + 0.15) * side)), upper) > 0.01
        assert shared(pin.translate((0.0, 0.0, 0.4)), upper) < 0.01
    # Laid on turned, so that any two sockets take the place of each other, a pin is in the way.
    middles = [box[:, :2].mean(axis=0) for box in corners]
    diagonal = max(combinations(middles, 2), key=lambda two: float(np.linalg.norm(two[0] - two[1])))
    about = np.mean(diagonal, axis=0)
    turned = upper.translate((-about[0], -about[1], 0.0)).rotate((0.0, 0.0, 180.0))
    assert shared(turned.translate((about[0], about[1], 0.0)), base) > 20.0


@QUIET
@pytest.mark.parametrize("design", DESIGNS)
def test_one_corner_is_the_key(moulds, design):
    mould = moulds(design)
    lowest = min(mould.bodies.values(), key=lambda mesh: mesh.bounds[0, 2])
    foot = solid(lowest).slice(0.5)
    x0, y0, x1, y1 = foot.bounds()
    centred = foot.translate((-(x0 + x1) / 2, -(y0 + y1) / 2))
    for other in (centred.rotate(180.0), centred.mirror((1.0, 0.0)), centred.mirror((0.0, 1.0))):
        assert ((centred - other).area() + (other - centred).area()) > 25.0


@QUIET
@pytest.mark.parametrize("design", DESIGNS)
def test_marks_say_every_direction(moulds, design):
    """All five letters and every plane's number are there; inspect() measured that they read and are not mirrored."""
    report = moulds(design).report
    said = [mark["text"] for mark in report["marks"] if mark["kind"] in {"direction", "up"}]
    assert sorted(text.removeprefix("UP-") for text in said) == sorted(report["letters"].values())
    numbers = [mark["text"] for mark in report["marks"] if mark["kind"] == "number"]
    assert numbers == [str(n + 1) for n in range(report["slots"]["count"])]
    check_ = next(item for item in report["checks"] if item["name"] == "marks are readable")
    assert check_["measured"]["faults"] == []
    assert check_["measured"]["stroke_mm"] >= 0.7


@QUIET
@pytest.mark.parametrize(("spacing", "digit"), [(6.0, 5.0), (3.0, 5.0), (6.0, 8.0)])
def test_underlined_numbers_stay_on_their_step(shapes, spacing, digit):
    """6 and 9 are underlined: on a slanting plate, whose top steps at every slot, the line stays on the same step."""
    lie = Rotation.from_euler("z", 30, degrees=True).as_matrix()

    def plate(points):
        return (np.linalg.norm(points @ lie / (14.0, 42.0, 26.0), axis=1) - 1.0) * 14.0

    mould = build(shapes.sampled(plate, 44.0, (1.2, 1.2, 2.4)), plane="sagittal", spacing_mm=spacing, digit_mm=digit)
    assert "6" in [mark["text"] for mark in mould.report["marks"] if mark["kind"] == "number"]


@QUIET
def test_low_walls_leave_letters_out_and_say_so(shapes):
    image = shapes.sampled(lambda p: np.linalg.norm(p / (16.0, 12.0, 3.0), axis=1) - 1.0, (17, 13, 4), (0.8, 0.8, 0.8))
    mould = build(image, plane="sagittal", up="anterior", spacing_mm=10, guide_mm=0, base_mm=2, flange_mm=0)
    assert_sound(mould)
    flat = build(image, plane="sagittal", up="superior", spacing_mm=10, guide_mm=0, base_mm=2, flange_mm=0)
    letters = [mark for mark in flat.report["marks"] if mark["kind"] == "direction"]
    missing = 5 - len(letters)
    assert missing == 0 or any("letters: walls too low" in text for text in flat.report["warnings"])


@QUIET
@pytest.mark.parametrize("design", ["open_block", "slab_and_guide"])
def test_nothing_leans_out_beyond_45_degrees(moulds, design):
    """Rims round corners and roofs of cells carry themselves; ceilings that can be bridged do not count."""
    for mesh in moulds(design).bodies.values():
        triangles = np.asarray(mesh.triangles)
        normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        area = np.linalg.norm(normal, axis=1)
        down = -normal[:, 2] / area
        leaning = (down > np.sin(np.deg2rad(46.0))) & (down < 0.99) & (area > 4.0)
        # Engraved letters and the cavity's own ceilings are small or absent.
        assert area[leaning].sum() / 200.0 < 0.6


@QUIET
def test_hollow_saves_plastic_where_there_is_any(blob):
    image = blob(5, scale=2.0)
    hollow, solid_ = (build(image, spacing_mm=10, up=0.0, hollow=hollow) for hollow in (True, False))
    saved = 1 - hollow.report["volumes_ml"]["plastic"] / solid_.report["volumes_ml"]["plastic"]
    assert saved > 0.03
    mesh = hollow.bodies["mould"]
    found = overhang(np.asarray(mesh.triangles), cast(np.asarray(mesh.triangles), 2, 0.5))
    assert found.bridge_mm <= 10.0


@QUIET
def test_settings_no_mould_can_have_are_refused(blob):
    image = blob(1)
    with pytest.raises(InputError, match=r"spacing 3 mm: expected at least 4.5 mm \(slot 3 \+ rib 1.5\)"):
        build(image, spacing_mm=3, slot_mm=3)
    with pytest.raises(InputError, match="wall_mm = 15"):
        build(image, template="shell", wall_mm=15)
    with pytest.raises(InputError, match="digit_mm"):
        build(image, digit_mm=4.0, stroke_mm=2.0)


def test_a_hook_over_the_specimen_is_refused(moulds, monkeypatch):
    """Put a bar over the cavity on purpose: the specimen cannot come out, and the check sees it."""
    from manifold3d import Manifold

    from comould.mould import assemble

    genuine = assemble.CONSTRUCT["open_block"]

    def barred(order):
        from dataclasses import replace

        parts = genuine(order)
        x0, y0, _, x1, y1, z1 = parts.bodies["mould"].bounding_box()
        bar = Manifold.cube((x1 - x0 - 4.0, 2.0, 2.0)).translate((x0 + 2.0, 0.5 * (y0 + y1), z1 - 4.0))
        return replace(parts, bodies={"mould": parts.bodies["mould"] + bar})

    monkeypatch.setitem(assemble.CONSTRUCT, "open_block", barred)
    from comould import phantom

    with pytest.raises(PrintabilityError, match="specimen lifts straight out"):
        build(phantom.specimen(seed=0).mask, template="open_block", spacing_mm=10)

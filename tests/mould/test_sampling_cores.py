"""Cores: where truth is analytic, every distance, share and position is checked against it."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from comould.errors import ComouldWarning, InputError
from comould.mould import CoreOptions, SamplingPlan, plan_cores
from comould.space import CutPlane, Grid, SlicePlan

CENTRE = np.array([11.0, -23.0, 47.0])
PIXEL = 0.25


def plan(offsets, *, faces="-", normal=(0, 0, 1), kerf=1.0):
    normal = np.array(normal, float) / np.linalg.norm(normal)
    return SlicePlan(
        tuple(
            CutPlane.from_normal(f"P{n:02d}", CENTRE + offset * normal, normal, kerf_mm=kerf, face=faces)
            for n, offset in enumerate(offsets, 1)
        )
    )


def labelled(mask, function):
    """Label the voxels of a mask by a function of their position from the centre."""
    grid = Grid.from_image(mask)
    index = np.indices(grid.shape).reshape(3, -1)[::-1].T
    values = np.asarray(function(grid.patient_from_index(index) - CENTRE)).reshape(grid.shape)
    return grid.to_image(np.where(sitk.GetArrayViewFromImage(mask) != 0, values, 0).astype(np.uint8))


def at(image, points_mm):
    """Label of the voxel nearest to each patient point."""
    index = np.rint(Grid.from_image(image).index_from_patient(points_mm)).astype(int)
    return sitk.GetArrayViewFromImage(image)[tuple(index[:, ::-1].T)]


def quietly(*args, **options):
    """Plan cores where what falls short is looked at, not warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ComouldWarning)
        return plan_cores(*args, options=CoreOptions(**options))


def halves(points):
    return 1 + (points[:, 0] > 0)


@pytest.fixture(scope="module")
def ball(shapes):
    return shapes.sampled(lambda p: shapes.ball(p, 20.0), 20.0, spacing=(0.8, 0.8, 1.5))


@pytest.fixture(scope="module")
def small_ball(shapes):
    return shapes.sampled(lambda p: shapes.ball(p, 15.0), 15.0, spacing=(1.0, 1.0, 2.0))


@pytest.fixture(scope="module")
def split(ball):
    return labelled(ball, halves)


OFFSETS = (-10, -5, 0, 5, 10)


@pytest.fixture(scope="module")
def sampled(ball, split):
    with pytest.warns(ComouldWarning, match="S01 H1, S01 H2"):
        return plan_cores(plan(OFFSETS), ball, split, options=CoreOptions(diameter_mm=4, min_border_mm=1))


def test_each_half_of_each_slab_gets_its_cores(sampled):
    table = sampled.table()
    assert table.groupby(["slab", "habitat"]).size().to_dict() == {
        (f"S{n:02d}", habitat): 2 for n in range(2, 7) for habitat in ("H1", "H2")
    }
    assert table["core"].tolist() == [f"S{n:02d}-{k}" for n in range(2, 7) for k in range(1, 5)]
    assert not table.isna().any(axis=None)


def test_slab_without_photographed_face_is_reported_or_sampled_on_its_cut_face(ball, split, sampled):
    assert [(gap.slab, gap.habitat, gap.placed, gap.reason) for gap in sampled.short] == [
        ("S01", "H1", 0, "no photographed face"),
        ("S01", "H2", 0, "no photographed face"),
    ]
    every = plan_cores(plan(OFFSETS), ball, split, options=CoreOptions(unphotographed=True))
    assert not every.short
    first = every.of("S01")
    assert {(core.plane, core.face) for core in first} == {("P01", "+")}
    assert all(at(split, [core.face_mm])[0] == core.label for core in first)
    # From the face at P01 into S01, that is against the normal.
    assert all(core.middle_mm[2] < core.face_mm[2] < CENTRE[2] - 10 for core in first)


def test_distances_to_an_analytic_border_and_edge(sampled):
    for core in sampled.cores:
        x, y, z = np.array(core.face_mm) - CENTRE
        # The border is x = 0, to half a voxel; the edge is the sphere's circle on the face.
        assert core.to_border_mm >= 1.0 - 1e-9
        circle = np.sqrt(20.0**2 - z**2)
        edge = circle - np.hypot(x, y) - 2.0
        assert abs(core.to_edge_mm - edge) < 0.8
        assert abs(core.to_border_mm - min(abs(x) - 2.0, edge)) < 0.8
        assert core.label == 1 + (x > 0)


def test_positions_agree_with_plane_and_depth(sampled):
    cuts = plan(OFFSETS)
    for core in sampled.cores:
        u, v, n = cuts[core.plane].plane_from_patient.apply([core.face_mm])[0]
        assert np.allclose((u, v), core.uv_mm)
        assert np.isclose(n, 0.5)
        middle = cuts[core.plane].plane_from_patient.apply([core.middle_mm])[0]
        assert np.allclose(middle[:2], core.uv_mm)
        assert np.isclose(middle[2] - n, 0.5 * core.depth_mm)
        whole = next(slab.thickness_mm for slab in sampled.slabs if slab.id == core.slab)
        assert 0 < core.depth_mm <= whole + 1e-9
        assert core.volume_mm3 <= np.pi * 4 * whole + 1e-6


def test_cores_keep_apart(sampled):
    for slab in sampled.slabs:
        places = np.array([core.uv_mm for core in sampled.of(slab)])
        for n, place in enumerate(places):
            others = np.delete(places, n, axis=0)
            assert (np.linalg.norm(others - place, axis=1) >= 6.0 - 1e-9).all()


@pytest.mark.parametrize("face", ["-", "+"])
def test_shells_on_either_face_and_no_mirror(shapes, face):
    """Habitats without any symmetry: a core's patient position has the habitat it claims, on the face it claims."""
    body = shapes.sampled(shapes.arms, 34.0, spacing=(0.8, 0.8, 1.2))

    def arm(points):
        return np.select([points[:, 0] > 10.5, points[:, 1] > 11.0], [2, 3], 1)

    labels = labelled(body, arm)
    made = plan_cores(
        plan((-6, 0, 6), faces=face), body, labels, options=CoreOptions(unphotographed=True, diameter_mm=3)
    )
    assert {core.label for core in made.cores} == {1, 2, 3}
    for core in made.cores:
        # The whole circle on the face is of the habitat, in the patient.
        slab = next(slab for slab in made.slabs if slab.id == core.slab)
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        axes = slab.patient_from_face[:3]
        ring = np.array(core.face_mm) + 1.5 * (np.cos(turn)[:, None] * axes[:, 0] + np.sin(turn)[:, None] * axes[:, 1])
        inside = ring + 0.05 * axes[:, 2]
        assert (at(labels, inside) == core.label).all()
        assert (arm(inside - CENTRE) == core.label).all()
        assert slab.low_mm <= core.middle_mm[2] <= slab.high_mm
        assert core.face == slab.face
    photographed = {slab.id: slab.face for slab in made.slabs if slab.photographed}
    assert set(photographed.values()) == {face}
    assert len(photographed) == 3


def test_an_oblique_image_and_plan(shapes):
    rotation = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
    body = shapes.sampled(lambda p: shapes.ball(p, 18.0), 18.0, spacing=(0.9, 0.9, 1.3), direction=rotation)
    side = np.array([0.6, 0.8, 0.0])
    labels = labelled(body, lambda p: 1 + (p @ side > 0))
    normal = np.array([0.8, -0.6, 0.5])
    made = quietly(plan((-5, 1), normal=normal), body, labels)
    assert {(core.slab, core.label) for core in made.cores} >= {("S02", 1), ("S02", 2), ("S03", 1), ("S03", 2)}
    for core in made.cores:
        assert core.label == 1 + (np.dot(np.array(core.face_mm) - CENTRE, side) > 0)


def test_purity_is_the_share_of_depth_in_the_habitat(ball):
    # Habitat 1 ends 1.5 mm below the face of every 4 mm slab.
    low = -5 + 0.5 + 1.5
    labels = labelled(ball, lambda p: np.where(p[:, 2] < low, 1, 2))
    fine = Grid.from_image(ball)
    assert fine.spacing_mm[2] == 1.5
    made = quietly(plan((-5, 0)), ball, labels, min_purity=0.0)
    first = [core for core in made.of("S02") if core.label == 1]
    assert first
    # Slices 1.5 mm thick and layers of 1 mm decide it within 1 of 4 layers.
    assert all(abs(core.purity - 1.5 / 4.0) <= 0.25 for core in first)
    assert all(core.purity == 1.0 for core in made.of("S03"))
    assert ("S02", "H2", "not on the face, only below it") in [(g.slab, g.habitat, g.reason) for g in made.short]


def test_purity_of_a_slanted_border_and_preference_for_pure_places(ball):
    labels = labelled(ball, lambda p: 1 + (p[:, 0] - 2.0 * (p[:, 2] - 0.5) > 0))
    pure = quietly(plan((0, 5)), ball, labels, min_purity=0.99)
    # Habitat 1 leans over habitat 2 as one goes deeper: from its border habitat 1 is pure, habitat 2 is not.
    assert all(core.purity >= 0.99 for core in pure.of("S02"))
    second = [np.array(core.face_mm) - CENTRE for core in pure.of("S02") if core.label == 2]
    assert min(x for x, _, _ in second) > 2.0 + 2.0 * 3.0


def test_depth_may_be_limited(ball, split):
    made = quietly(plan((0, 8)), ball, split, depth_mm=2.0)
    core = made.of("S02")[0]
    assert core.depth_mm == 2.0
    assert np.isclose(core.volume_mm3, np.pi * 4 * 2.0, rtol=0.02)


def test_shells_and_what_is_too_small(ball):
    labels = labelled(ball, lambda p: np.where(np.linalg.norm(p, axis=1) < 3.0, 1, 2))
    with pytest.warns(ComouldWarning, match="none at all: S01 H2, S02 H1"):
        made = plan_cores(plan((-5, 0)), ball, labels)
    reasons = {(gap.slab, gap.habitat): gap.reason for gap in made.short}
    assert reasons["S02", "H1"] == "not on the face, only below it"
    assert reasons["S03", "H1"] == "room for 1"
    assert np.linalg.norm(np.array(made.of("S03")[0].face_mm) - CENTRE) < 1.0
    with pytest.warns(ComouldWarning, match="sampling: fewer 6 mm cores"):
        wide = plan_cores(plan((-5, 0)), ball, labels, options=CoreOptions(diameter_mm=6.0))
    gap = next(gap for gap in wide.short if (gap.slab, gap.habitat) == ("S03", "H1"))
    assert gap.reason.startswith("too small on the face: the widest place takes a core of ")
    widest = float(gap.reason.split()[-2])
    assert 4.0 <= widest <= 5.2
    assert abs(gap.face_mm2 - np.pi * 9) < 6
    assert 0.02 < gap.volume_ml < 2 / 3 * np.pi * 27 / 1000


def test_every_habitat_of_every_slab_is_sampled_or_reported(shapes):
    body = shapes.sampled(lambda p: shapes.ball(p, 16.0), 16.0)
    labels = labelled(body, lambda p: 1 + (np.floor(p[:, 0] / 7) + 2 * np.floor(p[:, 1] / 5) + 40).astype(int) % 5)
    made = quietly(plan((-5, 0, 5)), body, labels)
    known = {(core.slab, core.label) for core in made.cores} | {(gap.slab, gap.label) for gap in made.short}
    assert known == {(f"S{n:02d}", label) for n in range(1, 5) for label in range(1, 6)}
    for gap in made.short:
        assert gap.placed == sum(core.slab == gap.slab and core.label == gap.label for core in made.cores)
        assert gap.placed < gap.wanted
        assert gap.reason


@settings(max_examples=10)
@given(
    seed=st.integers(0, 10_000),
    diameter=st.floats(1.5, 7.0),
    border=st.floats(0.0, 2.0),
    edge=st.floats(0.0, 3.0),
    apart=st.floats(0.0, 6.0),
)
def test_least_distances_hold_in_random_habitats(small_ball, seed, diameter, border, edge, apart):
    waves = np.random.default_rng(seed).normal(size=(4, 3)) * 0.3
    labels = labelled(small_ball, lambda p: 1 + np.argmax(np.cos(p @ waves.T + np.arange(4)), axis=1))
    made = quietly(
        plan((-4, 4)),
        small_ball,
        labels,
        diameter_mm=diameter,
        min_border_mm=border,
        min_edge_mm=edge,
        min_apart_mm=apart,
        per_habitat=3,
        seed=seed,
        unphotographed=True,
    )
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    for slab in made.slabs:
        axes = slab.patient_from_face[:3]
        centres = np.array([core.face_mm for core in made.of(slab)]).reshape(-1, 3)
        away = np.linalg.norm(centres[:, None] - centres[None], axis=2) + 1e3 * np.eye(len(centres))
        assert away.min(initial=1e3) >= diameter + apart - 1e-9
        for core in made.of(slab):
            assert core.to_border_mm >= border - 1e-9
            assert core.to_edge_mm >= edge - 1e-9
            # A hair inside the promised distance (a pixel is 0.25 mm) every label is the core's.
            reach = 0.5 * diameter + border - 1.5 * PIXEL
            ring = np.cos(turn)[:, None] * axes[:, 0] + np.sin(turn)[:, None] * axes[:, 1]
            assert (at(labels, np.array(core.face_mm) + reach * ring) == core.label).all()
            assert 0.0 <= core.purity <= 1.0


def test_same_seed_same_cores_other_seed_other_cores(ball, split):
    one, two, other = (
        plan_cores(plan((0, 6)), ball, split, options=CoreOptions(seed=seed, unphotographed=True)) for seed in (3, 3, 4)
    )
    assert one.cores == two.cores
    assert one.cores != other.cores


def test_another_plane_elsewhere_changes_nothing(ball, split):
    some = plan_cores(plan((-8, -3, 2)), ball, split, options=CoreOptions(unphotographed=True))
    more = plan_cores(plan((-8, -3, 2, 7)), ball, split, options=CoreOptions(unphotographed=True))
    for slab in ("S01", "S02", "S03"):
        assert some.of(slab) == more.of(slab)
    assert more.of("S05")


def test_numbers_by_habitat_and_names(ball, split):
    made = plan_cores(
        plan((0,)),
        ball,
        split,
        names=["rim", "core"],
        options=CoreOptions(per_habitat={1: 3, 2: 0}, unphotographed=True),
    )
    assert made.table().groupby(["slab", "habitat"]).size().to_dict() == {("S01", "rim"): 3, ("S02", "rim"): 3}
    assert not made.short
    like = plan_cores(plan((0,)), ball, SimpleNamespace(labels=split), options=CoreOptions(unphotographed=True))
    assert {core.habitat for core in like.cores} == {"H1", "H2"}


def test_habitats_may_lie_on_another_grid(shapes, ball):
    coarse = shapes.sampled(lambda p: shapes.ball(p, 20.0), 20.0, spacing=(2.0, 2.0, 2.0))
    made = plan_cores(plan((0,)), ball, labelled(coarse, halves), options=CoreOptions(unphotographed=True))
    assert len(made.cores) == 8
    for core in made.cores:
        assert core.label == 1 + (core.face_mm[0] > CENTRE[0])


def test_two_cores_find_room_where_only_the_ends_fit_both(shapes):
    """A bar in which the second core fits only if the first is not in the middle."""
    body = shapes.sampled(lambda p: np.abs(p / (7.5, 4.2, 9.0)).max(axis=1) - 1.0, 12.0, spacing=(0.5, 0.5, 1.0))
    labels = labelled(body, lambda p: np.ones(len(p)))
    options = CoreOptions(diameter_mm=6.0, min_border_mm=0.2, min_edge_mm=0.2, min_apart_mm=1.5, unphotographed=True)
    made = plan_cores(plan((0,)), body, labels, options=options)
    assert len(made.of("S01")) == len(made.of("S02")) == 2


def test_table_and_files(sampled, tmp_path):
    import pandas as pd

    back = pd.read_csv(sampled.write_csv(tmp_path / "cores.csv"))
    assert back.columns.tolist() == sampled.table().columns.tolist()
    assert len(back) == len(sampled.cores)
    assert sampled.short_table()["reason"].tolist() == ["no photographed face"] * 2
    empty = SamplingPlan((), (), (), CoreOptions())
    assert empty.table().columns.tolist() == back.columns.tolist()
    assert empty.short_table().empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diameter_mm": 0.0}, r"diameter_mm 0\.0 is not from 0\.5 to 30"),
        ({"diameter_mm": float("nan"), "min_apart_mm": -1}, "2 problems"),
        ({"per_habitat": -1}, "per_habitat -1 is not a number from 0 to 50"),
        ({"per_habitat": {1: 2.5}}, "per_habitat"),
        ({"depth_mm": 0.0}, r"depth_mm 0\.0 is not from"),
        ({"seed": -1}, "seed -1 is not a whole number"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(InputError, match=message):
        CoreOptions(**options)


def test_images_that_are_no_habitats(ball, split, shapes):
    cut = plan((0,))
    with pytest.raises(InputError, match="0 everywhere"):
        plan_cores(cut, ball, split * 0)
    with pytest.raises(InputError, match="values that are not whole numbers"):
        plan_cores(cut, ball, sitk.Cast(split, sitk.sitkFloat32) * 0.5)
    with pytest.raises(InputError, match="values from -1 to 0"):
        plan_cores(cut, ball, sitk.Cast(ball, sitk.sitkInt16) * -1)
    with pytest.raises(InputError, match="2 values per voxel"):
        plan_cores(cut, ball, sitk.Compose(split, split))
    with pytest.raises(InputError, match="habitat names: expected 2, one per label, found 1"):
        plan_cores(cut, ball, split, names=["one"])
    elsewhere = shapes.sampled(lambda p: shapes.ball(p, 5.0), 5.0, centre=(200, 0, 0))
    with pytest.raises(InputError, match="labels inside the segmentation"):
        plan_cores(cut, ball, elsewhere)

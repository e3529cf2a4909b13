"""Virtual cutting: good specimens agree within a voxel, displaced, turned and mirrored ones do not."""

import numpy as np
import pytest
import trimesh

from comould.mould import virtual_cut
from comould.mould.lesion import find_lesion
from comould.space import CutPlane, SlicePlan

CENTRE = np.array([11.0, -23.0, 47.0])
RADII = np.array([16.0, 11.0, 13.0])
QUIET = pytest.mark.filterwarnings("ignore::comould.errors.ComouldWarning")


def ellipsoid(points):
    return np.linalg.norm(points / RADII, axis=1) - 1.0


def body():
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=1.0)
    return np.asarray(mesh.vertices) * RADII, np.asarray(mesh.faces)


def plan_of(normal, positions, u_hint=None):
    planes = [
        CutPlane.from_normal(f"P{n:02d}", CENTRE + np.array(normal) * at, normal, u_hint=u_hint, kerf_mm=1.0)
        for n, at in enumerate(positions, 1)
    ]
    return SlicePlan(tuple(planes))


def mould_from_patient(plan):
    """Mould x along the cuts, somewhere else than the patient."""
    first = plan.planes[0]
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([first.normal, first.u, first.v])
    matrix[:3, 3] = (5.0, -7.0, 30.0) - matrix[:3, :3] @ CENTRE
    return matrix


def compare(shapes, vertices, faces, spacing=(1.0, 1.0, 2.5), normal=(0.0, 0.0, 1.0), positions=(-5.0, 0.0, 5.0)):
    image = shapes.sampled(ellipsoid, 17.0, spacing=spacing, centre=tuple(CENTRE))
    plan = plan_of(normal, positions)
    matrix = mould_from_patient(plan)
    placed = (vertices + CENTRE) @ matrix[:3, :3].T + matrix[:3, 3]
    lesion = find_lesion(image)
    found = virtual_cut.cuts((placed, faces), matrix, lesion, plan)
    return found, virtual_cut.checks((placed, faces), matrix, lesion, plan)


TILTED = tuple(np.array([0.2, 0.3, 1.0]) / np.linalg.norm([0.2, 0.3, 1.0]))


@pytest.mark.parametrize(
    ("spacing", "normal"),
    [
        ((1.0, 1.0, 2.5), (0.0, 0.0, 1.0)),
        ((1.0, 1.0, 2.5), (1.0, 0.0, 0.0)),
        ((1.0, 1.0, 2.5), TILTED),
        ((0.6, 0.6, 5.0), TILTED),
        ((1.0, 1.0, 1.0), TILTED),
    ],
    ids=["on slices", "across slices", "oblique", "oblique, thick", "oblique, cubes"],
)
def test_the_true_body_agrees_within_a_voxel(shapes, spacing, normal):
    found, checks = compare(shapes, *body(), spacing=spacing, normal=normal)
    assert [cut.plane_id for cut in found] == ["P01", "P02", "P03"]
    assert max(cut.hd95_voxels for cut in found) <= 0.75
    assert max(cut.mean_mm for cut in found) <= 0.35 * max(spacing[:2])
    assert min(cut.dice for cut in found) >= 0.93
    assert all(check.passed for check in checks), checks


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), TILTED], ids=["on slices", "oblique"])
@pytest.mark.parametrize("wrong", ["shift", "turn", "shrunk", "along"])
def test_a_wrong_body_is_told(shapes, normal, wrong):
    vertices, faces = body()
    a = np.radians(15.0)
    changed = {
        "shift": vertices + np.array([1.6, 0, 0]),
        "turn": vertices @ np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]),
        "shrunk": vertices * 0.9,
        "along": vertices + np.array([0, 0, 3.5]),
    }[wrong]
    _, checks = compare(shapes, changed, faces, normal=normal)
    assert not all(check.passed for check in checks)


def test_the_mirror_image_is_told(shapes, arms_image, arms_mould):
    lesion = find_lesion(arms_image)
    vertices, faces = np.asarray(arms_mould.specimen.vertices), np.asarray(arms_mould.specimen.faces)
    matrix = arms_mould.mould_from_patient.matrix
    assert virtual_cut.checks((vertices, faces), matrix, lesion, arms_mould.plan)[0].passed
    for axis in range(3):
        flip = np.ones(3)
        flip[axis] = -1.0
        middle = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
        mirrored = (vertices - middle) * flip + middle
        check = virtual_cut.checks((mirrored, faces[:, ::-1]), matrix, lesion, arms_mould.plan)[0]
        assert check.measured["hd95_voxels"] > 3


def test_every_cut_of_a_finished_mould_is_the_segmentation(arms_image, arms_mould):
    found = virtual_cut.virtual_cuts(arms_mould, arms_image)
    assert [cut.plane_id for cut in found] == [plane.id for plane in arms_mould.plan]
    assert max(cut.hd95_mm for cut in found) <= 1.0
    assert max(cut.mean_mm for cut in found) <= 0.25
    assert min(cut.dice for cut in found) >= 0.96


def test_the_cavity_holds_the_tissue_at_its_clearance(arms_mould):
    clearance = arms_mould.template.parameters.clearance_mm
    walls = virtual_cut.cavity_walls(arms_mould)
    assert {wall.plane_id for wall in walls} == {plane.id for plane in arms_mould.plan}
    middles = [wall.gap_mm[1] for wall in walls]
    assert np.median(middles) == pytest.approx(clearance, abs=0.08)
    assert min(wall.gap_mm[0] for wall in walls) > 0.0


def test_measured_is_plain_and_names_the_worst_plane(shapes):
    vertices, faces = body()
    _, checks = compare(shapes, vertices * (1.0, 1.0, 1.0 - 0.3), faces)
    first = checks[0].to_dict()
    assert first["measured"]["worst_plane"] in {"P01", "P03"}
    assert not first["passed"]
    assert checks[1].to_dict()["measured"]["volume_ratio"] == pytest.approx(0.7, abs=0.02)


def test_a_plane_beside_the_body_is_infinitely_off(shapes):
    vertices, faces = body()
    found, checks = compare(shapes, vertices * (1.0, 1.0, 0.3), faces)
    assert found[0].dice == 0.0
    assert np.isinf(found[0].hd95_mm)
    assert not checks[0].passed


@QUIET
@pytest.mark.parametrize("name", ["STS_002", "STS_003", "STS_008"])
def test_real_tumours_are_cut_where_they_were_drawn(test_data, name):
    from comould import io
    from comould.mould import build

    image = io.read_segmentation(test_data / f"ibsi_sts/nifti/{name}/MR_T1_mask.nii.gz")
    mould = build(image, plane="axial", lesion="largest")
    found = virtual_cut.virtual_cuts(mould, image, "largest")
    assert max(cut.hd95_voxels for cut in found) <= 0.5
    assert min(cut.dice for cut in found) >= 0.96
